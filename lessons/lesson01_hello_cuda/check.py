"""What `make check-lesson1` checks."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from cuda_basics.hello import cuda_version as cuda
from cuda_basics.hello import numpy_version
from lessons.lesson01_hello_cuda.mistakes import COORDINATES, WHO_AM_I
from workbench.check.lesson import Case, Exercise, Implementation, Lesson, Task

KERNELS = Path(cuda.__file__).parent


def who_am_i_in_pytorch(
    n: int, threads_per_block: int = 128, *, device: str = "cpu"
) -> tuple[torch.Tensor, ...]:
    i = torch.arange(n, dtype=torch.int32, device=device)
    thread = i % threads_per_block
    return i // threads_per_block, thread, thread // 32, thread % 32


def coordinates_in_pytorch(rows: int, columns: int, *, device: str = "cpu") -> torch.Tensor:
    row = torch.arange(rows, dtype=torch.int32, device=device)
    return 10000 * row[:, None] + torch.arange(columns, dtype=torch.int32, device=device)


def line(n: int, threads: int = 128, name: str = "") -> Case:
    return Case(name or f"n = {n:,}, blocks of {threads}", lambda generator: (n, threads))


def table(rows: int, columns: int) -> Case:
    return Case(f"{rows:,} x {columns:,}", lambda generator: (rows, columns))


def cuda_kernel(function: Callable[..., Any], name: str, file: Path) -> Implementation:
    """A kernel of this lesson, as the shipped file or the learner's has it."""
    return Implementation(f"cuda/{name}", partial(function, source=file), "cuda", ((file, name, {}),))


LINES = (
    line(1000),
    line(512),
    line(31),
    line(1),
    line(0),
    line(1000, threads=64),
    line(777, threads=100),
    line(100_003),
)
TABLES = (
    table(100, 70),
    table(16, 50),
    table(50, 64),
    table(64, 64),
    table(1, 1),
    table(0, 5),
    table(300, 1001),
)

LESSON = Lesson(
    number=1,
    name="hello_cuda",
    title="Who am I? Threads, blocks, warps",
    tasks=(
        Task(
            name="who_am_i",
            oracle=numpy_version.who_am_i,
            pytorch=who_am_i_in_pytorch,
            cases=LINES,
            implementations=(cuda_kernel(cuda.who_am_i, "who_am_i", KERNELS / "who_am_i.cu"),),
            exercises=(
                Exercise(
                    "exercise.cu",
                    "who_am_i",
                    "cuda",
                    partial(cuda_kernel, cuda.who_am_i, "who_am_i"),
                    solution=(KERNELS / "who_am_i.cu", KERNELS / "coordinates.cu"),
                ),
            ),
            mistakes=WHO_AM_I,
            counted=LINES[-1],
            timed=line(2**26, threads=256),
            traffic=lambda n, threads: 4 * 4 * n,
            outputs=("block", "thread", "warp", "lane"),
        ),
        Task(
            name="coordinates",
            oracle=numpy_version.coordinates,
            pytorch=coordinates_in_pytorch,
            cases=TABLES,
            implementations=(cuda_kernel(cuda.coordinates, "coordinates", KERNELS / "coordinates.cu"),),
            exercises=(
                Exercise(
                    "exercise.cu",
                    "coordinates",
                    "cuda",
                    partial(cuda_kernel, cuda.coordinates, "coordinates"),
                    solution=(KERNELS / "who_am_i.cu", KERNELS / "coordinates.cu"),
                ),
            ),
            mistakes=COORDINATES,
            counted=TABLES[-1],
            timed=table(16_384, 16_384),
            traffic=lambda rows, columns: 4 * rows * columns,
        ),
    ),
)
