"""Triton's compiler without a GPU: every kernel that a function launches, compiled for GPUs that aren't here.

The interpreter accepts what the compiler rejects, so a kernel that was only interpreted isn't known to compile. This
needs a process of its own, in which Triton doesn't interpret (TRITON_INTERPRET=0 before it is imported):
`compiled_apart` has one.
"""

import atexit
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

import triton
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from workbench.lessons import ROOT

SHARED_MEMORY = {
    "sm_80": 166_912,
    "sm_90": 232_448,
}  # bytes a block may have: CUDA C++ Programming Guide, 20.1
# What a kernel's PTX shows of how it multiplies and how it fetches. PTX ISA, 9.7.14, 9.7.15 and 9.7.9.
INSTRUCTIONS = {
    "mma.sync": r"\bmma\.sync",
    "wgmma": r"\bwgmma\.mma_async",
    "cp.async": r"\bcp\.async\.c[ag]\b",
    "tma": r"\bcp\.async\.bulk\.tensor",
}


class TooMuchSharedMemory(Exception):
    """The kernel compiles, but no multiprocessor of that kind has the shared memory it wants."""


class AbsentGpu:
    """Stands where Triton's driver would: names the target, launches nothing."""

    def __init__(self, target: str) -> None:
        self.capability = int(target.removeprefix("sm_"))

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", self.capability, 32)

    def get_current_device(self) -> int:
        return self.capability  # Triton remembers what it compiled by device

    def get_current_stream(self, device: int) -> int:
        return 0


def compiled(call: Callable[[], Any], target: str) -> dict[str, dict[str, int]]:
    """Run `call`, compiling each Triton kernel it launches for `target` ("sm_80", "sm_90") and launching none.

    Returns, by kernel name: registers and local_memory (bytes; spills go there) a thread, shared_memory (bytes) a
    block, and how many of these stand in its PTX: tensor-core instructions ("mma.sync", since sm_80, by a warp;
    "wgmma", on sm_90, by four) and copies straight into shared memory ("cp.async", since sm_80; "tma", on sm_90).
    Raises Triton's own CompilationError, or `TooMuchSharedMemory`.
    """
    found: dict[str, dict[str, int]] = {}
    with _compiling_only(target, found):
        call()
    for name, figures in found.items():
        if figures["shared_memory"] > SHARED_MEMORY[target]:
            raise TooMuchSharedMemory(
                f"{name} wants {figures['shared_memory']:,} bytes of shared memory; "
                f"a block on {target} may have {SHARED_MEMORY[target]:,}"
            )
    return found


def compiled_apart(program: str, targets: Sequence[str]) -> dict[str, dict[str, dict[str, int]]]:
    """By target, `compiled` of what the lines of `program` launch, in a process that doesn't interpret Triton.

    It is started at the first call, and serves the later ones, too: importing PyTorch and Triton takes seconds.
    Raises RuntimeError with the last line of what that process complained about.
    """
    process, said = _apart()
    assert process.stdin and process.stdout
    with suppress(BrokenPipeError):
        print(json.dumps([program, list(targets)]), file=process.stdin, flush=True)
    answer = process.stdout.readline()
    if not answer:
        _apart.cache_clear()
        process.wait()
        said.seek(0)
        raise RuntimeError((said.read().strip() or f"it ended with {process.returncode}").splitlines()[-1])
    found: dict[str, dict[str, dict[str, int]]]
    found, error = json.loads(answer)
    if error:
        raise RuntimeError(error)
    return found


SERVE = """
import json, os, sys, traceback
answers = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)  # what a program prints is no answer
from workbench.triton.compiler import compiled
for line in sys.stdin:
    program, targets = json.loads(line)
    try:
        found, error = {target: compiled(lambda: exec(program, {}), target) for target in targets}, ""
    except Exception as problem:
        found, error = {}, "".join(traceback.format_exception_only(problem)).strip().splitlines()[-1]
    print(json.dumps([found, error]), file=answers)
"""


@cache
def _apart() -> tuple["subprocess.Popen[str]", IO[str]]:
    """The process, and the file with what it says besides its answers."""
    said = tempfile.TemporaryFile("w+")  # noqa: SIM115
    atexit.register(said.close)
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE],
        cwd=ROOT,
        env={**os.environ, "TRITON_INTERPRET": "0", "CUDA_VISIBLE_DEVICES": ""},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True,
    )  # fmt: skip
    atexit.register(process.communicate)
    return process, said


@contextmanager
def _compiling_only(target: str, found: dict[str, dict[str, int]]) -> Iterator[None]:
    original = JITFunction.run

    def compile_only(self: Any, *arguments: Any, grid: Any, warmup: bool, **options: Any) -> Any:
        kernel = original(self, *arguments, grid=grid, warmup=True, **options)
        if kernel is not None:
            counted = {name: len(re.findall(one, kernel.asm["ptx"])) for name, one in INSTRUCTIONS.items()}
            usage = _usage(kernel.asm["cubin"])
            found[self.__name__] = {"shared_memory": kernel.metadata.shared, **usage, **counted}
        return kernel

    driver.set_active(AbsentGpu(target))
    JITFunction.run = compile_only
    try:
        yield
    finally:
        JITFunction.run = original


def _usage(cubin: bytes) -> dict[str, int]:
    """Registers and local memory of the one kernel in a cubin, as Triton's own cuobjdump reads them."""
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        said = subprocess.run(
            [tool, "--dump-resource-usage", file.name], capture_output=True, text=True
        ).stdout
    return {
        name: int(match[1]) if (match := re.search(pattern, said)) else 0
        for name, pattern in (("registers", r"REG:(\d+)"), ("local_memory", r"STACK:(\d+)"))
    }
