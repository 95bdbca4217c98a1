"""What `make check-lesson11` checks."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from cuda_basics.tensor_cores import cuda_version as cuda
from cuda_basics.tensor_cores import numpy_version
from lessons.demands import counted, overlaps
from lessons.lesson11_tensor_cores import mistakes
from workbench import ptx
from workbench.check.lesson import Case, Exercise, Implementation, Lesson, Race, Task

KERNELS = cuda.HERE
MACROS = {"SCALAR": "__nv_bfloat16"}


def case(a: tuple[int, ...], b: tuple[int, ...], dtype: str, gpu_only: bool = False) -> Case:
    """Matrices of these shapes, of numbers with a mean of 1/2 (so that a dropped product shows) and a spread of 1."""

    def make(generator: np.random.Generator) -> tuple[np.ndarray, ...]:
        return tuple(generator.standard_normal(s, dtype=np.float32) + np.float32(0.5) for s in (a, b))

    return Case(f"{a} @ {b}, {dtype}", make, dtype, gpu_only=gpu_only)


def product(m: int, k: int, n: int, dtype: str, gpu_only: bool = False) -> Case:
    return case((m, k), (k, n), dtype, gpu_only)


def tiles(number: int, dtype: str) -> Case:
    return case((number, 16, 16), (number, 16, 8), dtype)


def one_mma(file: Path) -> Implementation:
    return Implementation(
        "cuda/one_mma", partial(cuda.one_mma, source=file), "cuda", kernels=((file, "one_mma", MACROS),)
    )


def step(name: str, file: Path) -> Implementation:
    """A step of the ladder, as the shipped file or the learner's has it."""
    macros = {**MACROS, "ALIGNED": 1} | ({"STAGES": 3} if name == "tuned" else {})
    return Implementation(
        f"cuda/{name}",
        partial(cuda.STEPS[name], source=file),
        "cuda",
        kernels=((file, f"matmul_{name}", macros),),
    )


def with_own_places(file: Path) -> Implementation:
    """The second exercise. Its threads race only if place() has one place for two chunks."""

    def matmul(*matrices: torch.Tensor) -> torch.Tensor:
        try:
            return cuda.matmul_swizzled(*matrices, source=file)
        except ptx.SharedRace as race:
            raise Race(np.empty(0), str(race), kind="places") from race

    return replace(step("swizzled", file), function=matmul)


def uses_tensor_cores(reports: Sequence[ptx.Report]) -> str:
    if counted(reports).tensor_core_operations > 0:
        return ""
    return "The sums are right, but no mma was executed: the tensor cores had nothing to do."


def without_conflicts(reports: Sequence[ptx.Report]) -> str:
    """What is missing while wavefronts wait for banks."""
    counters = counted(reports)
    if counters.bank_conflicts == 0:
        return ""
    each = counters.shared_load_wavefronts / counters.shared_load_requests
    return (
        f"It is right, but {counters.bank_conflicts:,} wavefronts are bank conflicts: an ldmatrix takes {each:.1f} and "
        "could take 4. The 8 chunks of one column of a tile must fall into 8 different columns of shared memory."
    )


SMALL = (
    product(64, 64, 64, "float16"),
    product(40, 40, 96, "bfloat16"),
    product(1, 8, 1, "bfloat16"),
    product(16, 0, 5, "float16"),
    product(0, 16, 8, "float16"),
    product(130, 264, 136, "float16"),
    product(65, 328, 131, "bfloat16"),
)
TILES = tiles(100, "float16")
COUNTED = product(128, 512, 256, "bfloat16")

LESSON = Lesson(
    number=11,
    name="tensor_cores",
    title="Tensor cores: fragments, layouts, latency",
    tasks=(
        Task(
            name="one_mma",
            oracle=numpy_version.matmul,
            pytorch=lambda a, b: a.float() @ b.float(),
            cases=(tiles(1, "float16"), tiles(1, "bfloat16"), tiles(0, "float16"), TILES),
            implementations=(one_mma(KERNELS / "one_mma.cu"),),
            exercises=(
                Exercise(
                    "exercise_1.cu",
                    "fragments",
                    "cuda",
                    one_mma,
                    solution=(KERNELS / "one_mma.cu",),
                    demand=uses_tensor_cores,
                ),
            ),
            mistakes=mistakes.ONE_MMA,
            counted=TILES,
            timed=tiles(2**18, "float16"),
            traffic=lambda a, b: len(a) * (16 * 16 * 2 + 16 * 8 * 2 + 16 * 8 * 4),
            accumulation=lambda a, b: 2 * 16,  # tensor cores cut off where others round
        ),
        Task(
            name="matmul_16_bit",
            oracle=numpy_version.matmul,
            pytorch=lambda a, b: a @ b,
            cases=(
                *SMALL,
                COUNTED,
                product(1000, 1000, 1000, "float16", gpu_only=True),
                product(4096, 72, 1001, "bfloat16", gpu_only=True),
                product(520, 4096, 776, "bfloat16", gpu_only=True),
            ),
            implementations=tuple(step(name, KERNELS / f"{name}.cu") for name in cuda.STEPS),
            exercises=(
                Exercise(
                    "exercise_2.cu",
                    "swizzle",
                    "cuda",
                    with_own_places,
                    solution=(KERNELS / "swizzled.cu",),
                    demand=without_conflicts,
                ),
                Exercise(
                    "exercise_3.cu",
                    "overlap",
                    "cuda",
                    partial(step, "pipelined"),
                    solution=(KERNELS / "pipelined.cu",),
                    demand=partial(
                        overlaps,
                        advice="Start the next fetch before multiply, and wait for what is multiplied now, "
                        "not for all.",
                    ),
                ),
            ),
            mistakes=mistakes.MATMUL,
            counted=COUNTED,
            timed=product(8192, 8192, 8192, "bfloat16"),
            traffic=lambda a, b: 2 * (a.numel() + b.numel() + a.shape[0] * b.shape[1]),
            operations=lambda a, b: 2 * a.numel() * b.shape[1],
            instructions=100_000,
        ),
    ),
)
