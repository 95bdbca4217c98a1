"""What a kernel takes of a multiprocessor: registers, shared memory, spills. ptxas says so, without a GPU."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from workbench.cuda.compiler import KernelNotFound, Program, compile_file


@dataclass(frozen=True)
class Resources:
    """Registers a thread, static shared memory a block (bytes), and bytes spilled to local memory a thread."""

    registers: int
    shared_memory: int
    spill_stores: int
    spill_loads: int
    stack: int


def resources(
    path: Path | str, name: str, defines: Mapping[str, object] | None = None, target: str = "sm_90"
) -> Resources:
    """ptxas's figures for one kernel of a file, compiled for `target` ("sm_80", "sm_90", ...)."""
    return read_resources(compile_file(Path(path), defines or {}, target), name)


def read_resources(program: Program, name: str) -> Resources:
    """ptxas's figures for one kernel of a compiled program."""
    log = program.ptxas_log
    sections = re.split(r"Compiling entry function '(\w+)'", log)
    found = dict(zip(sections[1::2], sections[2::2], strict=True))
    if name not in found:
        raise KernelNotFound(program.path, name, sorted(found))

    def number(pattern: str) -> int:
        match = re.search(pattern, found[name])
        return int(match[1]) if match else 0

    return Resources(
        registers=number(r"Used (\d+) registers"),
        shared_memory=number(r"(\d+) bytes smem"),
        spill_stores=number(r"(\d+) bytes spill stores"),
        spill_loads=number(r"(\d+) bytes spill loads"),
        stack=number(r"(\d+) bytes stack frame"),
    )
