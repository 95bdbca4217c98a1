"""What `make check-lesson4` checks."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cuda_basics.reduction import cuda_version as cuda
from cuda_basics.reduction import numpy_version
from lessons.lesson04_reduction.mistakes import MAX_MISTAKES, ROWS_MISTAKES, SUM_MISTAKES
from workbench.check.exercise import function_from
from workbench.check.lesson import Case, Exercise, Implementation, Lesson, Task
from workbench.ptx import Report

KERNELS = Path(cuda.__file__).parent
TRITON = KERNELS.parent.parent / "triton_basics" / "reduction.py"
STEPS: dict[str, Callable[..., torch.Tensor]] = {
    "interleaved": cuda.reduce_interleaved,
    "strided": cuda.reduce_strided,
    "sequential": cuda.reduce_sequential,
    "first_add": cuda.reduce_first_add,
    "warp_shuffle": cuda.reduce_warp_shuffle,
    "grid_stride": cuda.reduce_grid_stride,
}


def numbers(generator: np.random.Generator, *shape: int, mean: float = 1.0) -> np.ndarray:
    """Normally distributed, with a spread of 1. Large arrays repeat themselves: they only have to be there soon."""
    size = int(np.prod(shape))
    some = generator.standard_normal(min(size, 2**22), dtype=np.float32) + np.float32(mean)
    return np.resize(some, size).reshape(shape)


def vector(n: int, mean: float = 1.0, gpu_only: bool = False) -> Case:
    name = f"n = {n:,}" if mean == 1 else f"n = {n:,}, mean {mean:g}"
    return Case(name, lambda generator: (numbers(generator, n, mean=mean),), gpu_only=gpu_only)


def with_value(n: int, place: int, value: float) -> Case:
    """A vector with something special in it."""

    def make(generator: np.random.Generator) -> tuple[np.ndarray]:
        x = numbers(generator, n)
        x[place] = value
        return (x,)

    return Case(f"n = {n:,} with {value} at {place}", make)


def all_equal(n: int, value: float) -> Case:
    return Case(f"n = {n:,}, all {value}", lambda generator: (np.full(n, value, np.float32),))


def table(rows: int, columns: int, operation: str, mean: float = 1.0) -> Case:
    name = f"{rows:,} x {columns:,}, {operation}" + ("" if mean == 1 else f", mean {mean:g}")
    return Case(
        name,
        lambda generator: (numbers(generator, rows, columns, mean=mean),),
        options={"operation": operation},
    )


def table_with_nan(rows: int, columns: int, row: int) -> Case:
    def make(generator: np.random.Generator) -> tuple[np.ndarray]:
        x = numbers(generator, rows, columns)
        x[row, columns // 2] = np.nan
        return (x,)

    return Case(f"{rows:,} x {columns:,}, max, with nan in row {row}", make, options={"operation": "max"})


def in_cuda(step: str, operation: str, file: Path, name: str = "") -> Implementation:
    """A step of the ladder, as the shipped file or the learner's has it."""
    threads = cuda.WALKERS if step == "grid_stride" else cuda.THREADS
    macros = {"MAXIMUM": cuda.MAXIMUM[operation], "THREADS": threads}
    function = partial(STEPS[step], operation=operation, source=file)
    return Implementation(
        name or f"cuda/{step}", function, "cuda", kernels=((file, f"reduce_{step}", macros),)
    )


def shipped_triton(function: str, *arguments: Any, **options: Any) -> torch.Tensor:
    from triton_basics import reduction  # only now: where there is no Triton, the other rows still run

    answer: torch.Tensor = getattr(reduction, function)(*arguments, **options)
    return answer


def in_triton(function: str, file: Path) -> Implementation:
    return Implementation("triton", function_from(file, function), "triton")


def shipped(operation: str) -> tuple[Implementation, ...]:
    ladder = (in_cuda(step, operation, KERNELS / f"{step}.cu") for step in STEPS)
    triton = partial(shipped_triton, "reduce", operation=operation)
    return (*ladder, Implementation("triton", triton, "triton"))


def in_the_exercise(blank: str, demand: Callable[[Sequence[Report]], str]) -> Exercise:
    return Exercise(
        "exercise.cu",
        blank,
        "cuda",
        partial(in_cuda, blank, "sum"),
        solution=(KERNELS / f"{blank}.cu",),
        demand=demand,
    )


def halves(reports: Sequence[Report]) -> str:
    """What is missing while the tree isn't cut in halves: a block asks shared memory 45 times, without conflicts."""
    counters = [report.counters for report in reports if report.counters]
    conflicts = sum(one.bank_conflicts for one in counters)
    if conflicts:
        return (
            f"The sum is right, but {conflicts:,} accesses to shared memory wait for a bank: neighbouring threads "
            "should touch neighbouring values."
        )
    requests = sum(one.shared_requests for one in counters) / COUNTED_BLOCKS
    if requests > 2 * 45:
        return (
            f"The sum is right, but a block asks shared memory {requests:.0f} times; 45 are enough if in each round "
            "the first `distance` threads work, so that whole warps rest."
        )
    return ""


def shuffles(reports: Sequence[Report]) -> str:
    shuffled = any(report.counters.instructions.get("shfl") for report in reports if report.counters)
    return "" if shuffled else "The sum is right, but no lane hands its value on: use __shfl_down_sync."


def wide_loads(reports: Sequence[Report]) -> str:
    first = reports[0].counters
    assert first is not None
    lane_bytes = first.global_load_bytes / first.global_load_requests / 32
    return (
        f"The sum is right, but a lane loads {lane_bytes:.0f} bytes at a time: 16 are asked for, a float4."
        if lane_bytes < 12
        else ""
    )


def additions(n: int) -> int:
    """How many rounded additions lie between an element and the sum of n, at most, in any of the versions.

    A tree has a round for each halving. Before it, a thread of Triton's version adds 32 elements in a row, and one of
    the grid-stride loop up to n / (8192 blocks * 1024 threads) + 16, if the elements of its packs are added one by one.
    """
    return max(1, min(n - 1, 32 + -(-n // 2**23) + int(np.ceil(np.log2(max(n, 2))))))


def sum_error(x: np.ndarray) -> int:
    """The rounding error of a sum is bounded by additions * u * sum|x| (Higham, section 4.2): in units of u |sum|."""
    total = abs(x.sum())
    return max(1, int(np.ceil(additions(x.size) * np.abs(x).sum() / total))) if total else 1


def rows_error(x: np.ndarray, operation: str) -> int:
    """The same for the largest of the rows' sums; a maximum isn't rounded."""
    if operation == "max" or not x.size:
        return 1
    longest = -(-x.shape[1] // 512) + additions(x.shape[1])  # 512 threads walk through a long row
    return max(1, int(np.ceil(longest * np.abs(x).sum(1).max() / np.abs(x.sum(1)).max())))


def plain_max(x: torch.Tensor) -> torch.Tensor:
    return x.amax() if x.numel() else x.new_tensor(-np.inf)


def plain_rows(x: torch.Tensor, operation: str) -> torch.Tensor:
    if operation == "sum":
        return x.sum(1)
    return x.amax(1) if x.shape[1] else x.new_full((x.shape[0],), -np.inf)


LENGTHS = (1000, 31, 1, 0, 32, 33, 255, 256, 257, 511, 512, 513, 4096, 16_384, 40_001)
VECTORS = (*map(vector, LENGTHS), vector(300_007), vector(2**24 + 3, gpu_only=True))
COUNTED = VECTORS[LENGTHS.index(40_001)]
COUNTED_BLOCKS = -(-40_001 // cuda.THREADS) + 1  # of a tree: those of the first launch, and one of the second
TALL, LONG = (
    ((300, 70), (7, 31), (33, 32), (64, 33), (5, 1), (3, 1024)),
    ((4, 1025), (3, 4097), (2, 9000), (2, 20_000)),
)
EMPTY = ((0, 5), (5, 0), (1, 1))
TABLES = tuple(
    table(rows, columns, operation) for rows, columns in (*TALL, *LONG, *EMPTY) for operation in cuda.MAXIMUM
)

LESSON = Lesson(
    number=4,
    name="reduction",
    title="Reduction: a tree, warps, and a walk",
    tasks=(
        Task(
            name="sum",
            oracle=numpy_version.reduce,
            pytorch=lambda x: x.sum(),
            cases=VECTORS,
            implementations=shipped("sum"),
            exercises=(
                in_the_exercise("sequential", halves),
                in_the_exercise("warp_shuffle", shuffles),
                in_the_exercise("grid_stride", wide_loads),
                Exercise("exercise.py", "blocks", "triton", partial(in_triton, "reduce"), solution=(TRITON,)),
            ),
            mistakes=SUM_MISTAKES,
            counted=COUNTED,
            timed=vector(2**28),
            traffic=lambda x: 4 * x.numel() + 4,
            accumulation=sum_error,
        ),
        Task(
            name="max",
            oracle=partial(numpy_version.reduce, operation="max"),
            pytorch=plain_max,
            cases=(
                *(case for case, n in zip(VECTORS, LENGTHS, strict=False) if n in (0, 1, 31, 33, 256, 257)),
                COUNTED,
                VECTORS[-1],
                vector(1000, mean=-10),
                vector(40_001, mean=-10),
                with_value(1000, 300, np.nan),
                with_value(40_001, 40_000, np.nan),
                with_value(1000, 999, np.inf),
                all_equal(300, -np.inf),
            ),
            implementations=shipped("max"),
            exercises=(
                Exercise(
                    "exercise.cu",
                    "combine",
                    "cuda",
                    partial(in_cuda, "sequential", "max"),
                    solution=(KERNELS / "sequential.cu",),
                ),
            ),
            mistakes=MAX_MISTAKES,
            counted=COUNTED,
            timed=vector(2**28),
            traffic=lambda x: 4 * x.numel() + 4,
        ),
        Task(
            name="rows",
            oracle=numpy_version.reduce_rows,
            pytorch=plain_rows,
            cases=(
                *TABLES,
                table(7, 31, "max", mean=-10),
                table(3, 9000, "max", mean=-10),
                table_with_nan(3, 9000, 1),
            ),
            implementations=(
                Implementation(
                    "cuda/rows",
                    cuda.reduce_rows,
                    "cuda",
                    kernels=tuple(
                        (KERNELS / "rows.cu", "reduce_rows", {"MAXIMUM": 0, "THREADS": threads})
                        for threads in (32, 512)
                    ),
                ),
                Implementation("triton", partial(shipped_triton, "reduce_rows"), "triton"),
            ),
            exercises=(
                Exercise(
                    "exercise.py", "rows", "triton", partial(in_triton, "reduce_rows"), solution=(TRITON,)
                ),
            ),
            mistakes=ROWS_MISTAKES,
            counted=TABLES[0],
            timed=table(65_536, 4096, "sum"),
            traffic=lambda x, operation: 4 * x.numel() + 4 * x.shape[0],
            accumulation=rows_error,
        ),
    ),
)
