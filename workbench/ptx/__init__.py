"""Runs compiled CUDA on the CPU and watches every access.

`parse` reads PTX, which NVRTC makes of CUDA C++ without a GPU; `launch` executes a kernel on NumPy arrays:

    module = ptx.parse(text)
    report = ptx.launch(module, "vector_add", grid=4, block=256, arguments=(a, b, c, np.int32(1000)))

A kernel that does something wrong stops with a `Fault` that names the CUDA line, the thread and the array.
"""

from workbench.ptx.counters import Counters
from workbench.ptx.faults import (
    AssertionFailed,
    AsyncNotWaited,
    BarrierDivergence,
    BudgetSpent,
    Fault,
    GlobalRace,
    LaunchError,
    Misaligned,
    MissingLanes,
    OutOfBounds,
    PtxError,
    SharedRace,
    TooManyResources,
    Trapped,
    Uninitialised,
    UnknownInstruction,
)
from workbench.ptx.launch import Report, launch
from workbench.ptx.machine import Limits
from workbench.ptx.model import Kernel, Module, Parameter
from workbench.ptx.parser import parse
from workbench.ptx.watch import Access

__all__ = [
    "Access",
    "AssertionFailed",
    "AsyncNotWaited",
    "BarrierDivergence",
    "BudgetSpent",
    "Counters",
    "Fault",
    "GlobalRace",
    "Kernel",
    "LaunchError",
    "Limits",
    "Misaligned",
    "MissingLanes",
    "Module",
    "OutOfBounds",
    "Parameter",
    "PtxError",
    "Report",
    "SharedRace",
    "TooManyResources",
    "Trapped",
    "Uninitialised",
    "UnknownInstruction",
    "launch",
    "parse",
]
