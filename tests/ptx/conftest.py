"""Compiles the test kernels with NVRTC, once each, and launches them on the PTX machine."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from workbench import ptx

KERNELS = Path(__file__).parent / "sources"
SLACK = 3.0  # what tests of speed allow beyond the stated seconds, for a machine that is slower or busy
HEADER = ".version 9.0\n.target sm_90\n.address_size 64\n"


def includes() -> list[Path]:
    found = importlib.util.find_spec("nvidia")
    roots = [Path(root) for root in found.submodule_search_locations or ()] if found else []
    return [
        path
        for root in roots
        for path in (root / "cu13/include", root / "cu13/include/cccl")
        if path.is_dir()
    ]


@cache
def compile_text(source: str, name: str, options: tuple[str, ...] = ()) -> str:
    """PTX of CUDA source; `name` is the file that faults will speak of."""
    nvrtc: Any = pytest.importorskip("cuda.bindings.nvrtc")
    _, program = nvrtc.nvrtcCreateProgram(source.encode(), name.encode(), 0, [], [])
    flags = ["-lineinfo", "--std=c++17", "--gpu-architecture=compute_90", *options]
    flags += [f"--include-path={path}" for path in includes()]
    status = nvrtc.nvrtcCompileProgram(program, len(flags), [flag.encode() for flag in flags])[0]
    if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        size = nvrtc.nvrtcGetProgramLogSize(program)[1]
        log = b" " * size
        nvrtc.nvrtcGetProgramLog(program, log)
        raise AssertionError(log.decode())
    size = nvrtc.nvrtcGetPTXSize(program)[1]
    text = b" " * size
    nvrtc.nvrtcGetPTX(program, text)
    nvrtc.nvrtcDestroyProgram(program)
    return text.decode().rstrip("\0")


@cache
def compiled(file: str, *options: str) -> ptx.Module:
    """One of the kernel files, as a module."""
    path = KERNELS / file
    return ptx.parse(compile_text(path.read_text(), str(path), options))


@cache
def snippet(source: str) -> ptx.Module:
    """CUDA source given in a test."""
    return ptx.parse(compile_text(source, "snippet.cu"))


def assembled(
    body: str, declarations: str = "", parameters: str = ".param .u64 out, .param .u64 in"
) -> ptx.Module:
    """A kernel `k` written in PTX: for instructions that the compiler doesn't emit on demand."""
    return ptx.parse(f"{HEADER}{declarations}\n.visible .entry k({parameters})\n{{\n{body}\nret;\n}}\n")


def line_of(file: str, text: str) -> int:
    """The first line of a kernel file that contains the text."""
    lines = (KERNELS / file).read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if re.search(re.escape(text), line))


@pytest.fixture(scope="session")
def kernels() -> Callable[..., ptx.Module]:
    return compiled
