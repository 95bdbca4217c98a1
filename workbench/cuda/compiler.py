"""NVRTC: CUDA C++ in, PTX and machine code out. It needs neither a GPU nor a driver."""

import codecs
import hashlib
import importlib.util
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from workbench.cuda import kept

STANDARD = Path(__file__).parent / "include"  # stands in for the system's headers, which NVRTC hasn't got
HOUSE = Path(__file__).parents[2]
TRIES = 3  # with dozens of processes beside a GPU, NVRTC was seen to succeed and give PTX without the kernels

# What the compiler says to those who call it, and to those who wrote the kernel.
HOST_CODE = re.compile(r"not allowed in JIT mode\. Consider using -default-device flag[^\n]*")
FOR_THE_GPU = (
    "not compiled here: write __device__ before it, or leave it out if it is for the CPU, as main() is"
)
LEFT_OUT = re.compile(r"Remark: |ptxas (info|  +\.) |\d+ errors? detected ")
TOO_MUCH_SHARED = re.compile(
    r" *ptxas error +: Entry function '(\w+)' uses too much shared data \(0x(\w+) bytes, 0x(\w+) max\)"
)


class NvrtcMissing(RuntimeError):
    """NVRTC isn't installed, or doesn't exist for this system."""


class CompileError(Exception):
    """The compiler rejected a file. `file`, `line` and `words` are the first error's; `log` is all it said."""

    def __init__(self, path: Path, log: str) -> None:
        self.log = log.strip()
        first = re.search(
            r"^(?P<file>[^\n(]+)\((?P<line>\d+)\): (?P<words>[^:\n]*error.*)$", self.log, re.MULTILINE
        )
        self.file = first["file"] if first else str(path)
        self.line = int(first["line"]) if first else 0
        self.words = first["words"] if first else self.log
        super().__init__(f"{path.name} doesn't compile\n{_shortened(self.log, path)}")


class KernelNotFound(Exception):
    """The file compiles but holds no kernel of that name."""

    def __init__(self, path: Path, name: str, found: list[str]) -> None:
        there = f"its kernels are: {', '.join(found)}" if found else "it holds no kernel"
        super().__init__(
            f'{path.name} has no kernel named "{name}": {there}. '
            f'Write it as  extern "C" __global__ void {name}(...)  so that its name is kept.'
        )


@dataclass(frozen=True)
class Program:
    """What NVRTC made of one file for one target."""

    path: Path
    ptx: str
    cubin: bytes
    ptxas_log: str


def compile_file(path: Path, defines: Mapping[str, object], target: str = "sm_90") -> Program:
    """Compile a .cu file for `target` ("sm_80", "sm_90", ...). Files and results are remembered by their content.

    For "compute_90" and the like there is PTX alone, which takes half the time; it is that of "sm_90".

    Headers are looked for beside the file and from the repository's root: #include "cuda_basics/topic/header.cuh".

    Raises `CompileError` with the compiler's words, `FileNotFoundError`, `NvrtcMissing`.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} doesn't exist")
    headers = sorted({*path.parent.glob("*.cuh"), *HOUSE.glob("*/*/*.cuh")})
    options = tuple(f"--define-macro={key}={value}" for key, value in sorted(defines.items()))
    source = path.read_bytes().removeprefix(codecs.BOM_UTF8)  # NVRTC trips over it; some editors write it
    return _compile(path.resolve(), source, tuple(header.read_bytes() for header in headers), options, target)


@lru_cache(maxsize=256)
def _compile(
    path: Path, source: bytes, headers: tuple[bytes, ...], options: tuple[str, ...], target: str
) -> Program:
    nvrtc = check_nvrtc()
    flags = [
        "--generate-line-info",
        "--ptxas-options=-v",
        "--no-cache",  # of the driver's (NVRTC guide, 10): we have our own, and that one doesn't survive a fork
        f"--include-path={path.parent}",
        f"--include-path={HOUSE}",
        *(f"--include-path={folder}" for folder in (*include_folders(), STANDARD)),
        "--pre-include=math.h",
        "--device-int128",
        *options,
    ]

    def key(target: str) -> str:
        written = repr((nvrtc.nvrtcVersion(), path, source, headers, target, flags))
        return hashlib.sha256(written.encode()).hexdigest()

    found = kept.read(key(target)) or kept.read(key(target.replace("compute_", "sm_")))
    if found is not None:
        return Program(path, found["ptx"].decode(), found["cubin"], found["log"].decode())

    for _ in range(TRIES):
        whole = [f"--gpu-architecture={target}", *flags]
        program = _made(nvrtc, path, source, whole, with_cubin=target.startswith("sm_"))
        if ".entry" in program.ptx or b"__global__" not in source:
            parts = {"ptx": program.ptx.encode(), "cubin": program.cubin, "log": program.ptxas_log.encode()}
            kept.keep(key(target), parts)
            break
    return program


def _made(nvrtc: Any, path: Path, source: bytes, flags: list[str], *, with_cubin: bool) -> Program:
    """What NVRTC makes of a file. Raises `CompileError`."""

    def call(function: str, *arguments: object) -> Any:
        status, *result = getattr(nvrtc, function)(*arguments)
        if status != nvrtc.nvrtcResult.NVRTC_SUCCESS and function != "nvrtcCompileProgram":
            raise RuntimeError(f"{function} answered {status}")
        return result[0] if result else status

    def read(what: str) -> bytes:
        buffer = bytes(call(f"nvrtcGet{what}Size", program))
        call(f"nvrtcGet{what}", program, buffer)
        return buffer if what == "CUBIN" else buffer.rstrip(b"\0")

    program = call("nvrtcCreateProgram", source, str(path).encode(), 0, [], [])
    status = call("nvrtcCompileProgram", program, len(flags), [flag.encode() for flag in flags])
    log = read("ProgramLog").decode(errors="replace").replace("\0", "")  # there is one before ptxas's errors
    if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        raise CompileError(path, log)
    return Program(path, read("PTX").decode(), read("CUBIN") if with_cubin else b"", log)


@lru_cache(maxsize=1)
def check_nvrtc() -> Any:
    """`cuda.bindings.nvrtc`, once it has answered. Raises `NvrtcMissing` in words for the learner."""
    try:
        from cuda.bindings import nvrtc

        nvrtc.nvrtcVersion()
    except ImportError as error:
        raise NvrtcMissing(
            "NVRTC, NVIDIA's run-time compiler, isn't installed (there is none for macOS). "
            "`make doctor` says what is missing."
        ) from error
    except RuntimeError as error:  # the bindings are there, the library isn't
        raise NvrtcMissing(f"NVRTC can't be started: {error}. `make doctor` says what is missing.") from error
    return nvrtc


@lru_cache(maxsize=1)
def include_folders() -> tuple[Path, ...]:
    """Where CUDA's own headers lie: in the wheels, else in an installed toolkit."""
    folders: list[Path] = []
    spec = importlib.util.find_spec("nvidia")
    for root in spec.submodule_search_locations if spec and spec.submodule_search_locations else ():
        folders.append(Path(root) / "cu13" / "include")
    for toolkit in (os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"):
        if toolkit:
            folders.append(Path(toolkit) / "include")
    folders = [folder for folder in folders if (folder / "cuda_fp16.h").is_file()]
    return tuple(path for folder in folders for path in (folder, folder / "cccl") if path.is_dir())


def _shortened(log: str, path: Path, lines: int = 12) -> str:
    """The first lines, errors before warnings, with the names of files instead of their paths, and advice that fits.

    What is noted in CUDA's headers, and ptxas's figures, are left out.
    """
    headers = [f"{folder}/" for folder in sorted(include_folders(), key=lambda folder: -len(folder.parts))]
    diagnostics: list[str] = []
    for part in re.split(r"^(?=[^\s(][^(\n]*\(\d+\): | *ptxas error)", log, flags=re.MULTILINE):
        note = "): note" in part.partition("\n")[0]
        if note and diagnostics and not part.startswith(tuple(headers)):
            diagnostics[-1] += part
        elif not note:
            diagnostics.append(part)
    diagnostics.sort(key=lambda part: "): warning" in part.partition("\n")[0])
    whole = "\n".join(diagnostics)
    said = [line for line in whole.splitlines() if line.strip() and not LEFT_OUT.match(line)]
    if len(said) > lines + 1:
        said[lines:] = [f"(and {len(said) - lines} more lines)"]
    text = TOO_MUCH_SHARED.sub(_in_bytes, HOST_CODE.sub(FOR_THE_GPU, "\n".join(said)))
    for folder in (*headers, f"{path.resolve().parent}/", f"{HOUSE}/"):
        text = text.replace(folder, "")
    return text


def _in_bytes(too_much: re.Match[str]) -> str:
    kernel, declared, most = too_much[1], int(too_much[2], 16), int(too_much[3], 16)
    return (
        f"error: {kernel} declares {declared:,} bytes of __shared__ memory, and {most:,} is the most. "
        "Only an extern __shared__ array, whose size the launch gives, can be larger."
    )
