"""What `make check-lesson3` checks."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from cuda_basics.matmul import cuda_version as cuda
from cuda_basics.matmul import numpy_version
from lessons.lesson03_matmul.mistakes import MISTAKES
from workbench import ptx
from workbench.check.lesson import Case, Exercise, Implementation, Lesson, Task

KERNELS = cuda.HERE
ALIGNS = ("vectorised", "warp_tile", "pipelined", "tuned")  # these have the macro ALIGNED


def case(m: int, k: int, n: int, gpu_only: bool = False) -> Case:
    """(m, k) @ (k, n), of numbers with a mean of 1/2 (so that a dropped product shows) and a spread of 1."""

    def make(generator: np.random.Generator) -> tuple[np.ndarray, ...]:
        shapes = ((m, k), (k, n))
        return tuple(generator.standard_normal(s, dtype=np.float32) + np.float32(0.5) for s in shapes)

    return Case(f"({m}, {k}) @ ({k}, {n})", make, gpu_only=gpu_only)


def in_cuda(step: str, file: Path) -> Implementation:
    """A step of the ladder, as the shipped file or the learner's has it."""
    macros = ({"ALIGNED": 0}, {"ALIGNED": 1}) if step in ALIGNS else ({},)
    return Implementation(
        f"cuda/{step}",
        partial(cuda.STEPS[step], source=file),
        "cuda",
        kernels=tuple((file, f"matmul_{step}", defines) for defines in macros),
    )


def total(reports: Sequence[ptx.Report], counter: str) -> int:
    return sum(getattr(report.counters, counter) for report in reports)


def coalesces(reports: Sequence[ptx.Report]) -> str:
    """What is missing while a warp's loads and stores are spread over many sectors."""
    moved = total(reports, "global_load_bytes") + total(reports, "global_store_bytes")
    each = 128 * total(reports, "global_sectors") / moved
    if each <= 4:
        return ""
    return (
        f"It is right, but 32 numbers take {each:.1f} sectors of 32 bytes, and 4 can hold them. Let threadIdx.x count "
        "columns: then neighbouring threads want neighbouring elements."
    )


def reuses(reports: Sequence[ptx.Report]) -> str:
    """What is missing while elements come from global memory for each product."""
    loads = total(reports, "global_load_bytes") / 4 / (total(reports, "cuda_core_operations") / 2)
    if loads <= 1 / 4:
        return coalesces(reports)
    return (
        f"It is right, but loads {loads:.2f} elements from global memory for each multiplication; tiles in shared "
        "memory bring that down to 1 in 16 or less. The products must read A_tile and B_tile."
    )


BLANKS = {"coalesced": coalesces, "shared_tile": reuses, "register_tile_1d": reuses}
COUNTED = case(128, 64, 256)
LESSON = Lesson(
    number=3,
    name="matmul",
    title="Matrix product: every level of memory buys reuse",
    tasks=(
        Task(
            name="matmul",
            oracle=numpy_version.matmul,
            pytorch=torch.matmul,
            cases=(
                case(64, 64, 64),
                case(64, 24, 40),
                case(33, 40, 64),
                case(128, 40, 64),
                case(90, 64, 100),
                case(70, 65, 33),
                case(1, 1, 1),
                case(128, 0, 64),
                case(0, 8, 5),
                case(8, 5, 0),
                case(1, 100, 200),
                case(200, 33, 1),
                case(131, 67, 130),
                COUNTED,
                case(257, 65, 193),
                case(1000, 999, 1001, gpu_only=True),
                case(1024, 512, 768, gpu_only=True),
            ),
            implementations=tuple(in_cuda(step, KERNELS / f"{step}.cu") for step in cuda.STEPS),
            exercises=tuple(
                Exercise(
                    "exercise.cu",
                    blank,
                    "cuda",
                    partial(in_cuda, blank),
                    solution=tuple(KERNELS / f"{step}.cu" for step in BLANKS),
                    demand=demand,
                )
                for blank, demand in BLANKS.items()
            ),
            mistakes=MISTAKES,
            counted=COUNTED,
            timed=case(4096, 4096, 4096),
            traffic=lambda a, b: 4 * (a.numel() + b.numel() + a.shape[0] * b.shape[1]),
            operations=lambda a, b: 2 * a.numel() * b.shape[1],
            accumulation=lambda a, b: a.shape[1],
            instructions=100_000,
        ),
    ),
)
