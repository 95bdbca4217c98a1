"""What `make check-lesson6` checks."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cuda_basics.softmax import cuda_version as cuda
from cuda_basics.softmax import numpy_version as numpy_softmax
from lessons.lesson06_triton.mistakes import (
    EPILOGUE_MISTAKES,
    MATMUL_MISTAKES,
    ORDER_MISTAKES,
    SOFTMAX_MISTAKES,
)
from triton_basics import numpy_version
from workbench.check.exercise import function_from
from workbench.check.lesson import Case, Exercise, Implementation, Lesson, Task
from workbench.lessons import ROOT

SOLUTION = (ROOT / "triton_basics" / "softmax.py", ROOT / "triton_basics" / "matmul.py")
Arrays = tuple[np.ndarray, ...]


# Where there is no Triton, the CUDA rows still run: the kernels are imported when they are called.


def shipped_softmax(x: torch.Tensor) -> torch.Tensor:
    from triton_basics.softmax import softmax

    return softmax(x)


def shipped_tile_order(tiles_m: int, tiles_n: int, group: int, device: str = "cpu") -> torch.Tensor:
    from triton_basics.matmul import tile_order

    return tile_order(tiles_m, tiles_n, group, device=device)


def shipped_matmul(a: torch.Tensor, b: torch.Tensor, slope: float = 1.0) -> torch.Tensor:
    from triton_basics.matmul import matmul

    return matmul(a, b, slope=slope)


def learners(function: str, file: Path) -> Implementation:
    return Implementation("triton", function_from(file, function), "triton")


def exercise(blank: str, function: str) -> Exercise:
    return Exercise("exercise.py", blank, "triton", partial(learners, function), SOLUTION)


def softmax_case(
    rows: int, columns: int, dtype: str = "float32", kind: str = "", gpu_only: bool = False
) -> Case:
    """Rows with a mean of 1/2, or of another kind."""

    def make(generator: np.random.Generator) -> Arrays:
        x = generator.standard_normal((rows, columns), dtype=np.float32) + np.float32(0.5)
        if kind == "transposed":
            x = np.ascontiguousarray(x.T).T
        elif kind == "times 40":
            x *= 40
        elif kind == "far below zero":
            x -= 1000
        elif kind == "far apart":
            x += 200 * np.arange(rows, dtype=np.float32)[:, None]
        elif kind == "with -inf":  # a masked start, a row of nothing else
            x[:, : 2 * columns // 3] = -np.inf
            x[-1] = -np.inf
        return (x,)

    name = f"{rows:,} x {columns:,}, {dtype}" + (f", {kind}" if kind else "")
    return Case(name, make, dtype, gpu_only=gpu_only)


def matmul_case(
    m: int,
    n: int,
    k: int,
    dtype: str = "float32",
    transposed: str = "",
    mean: float = 0.5,
    options: Mapping[str, Any] | None = None,
    gpu_only: bool = False,
) -> Case:
    """a (m, k) and b (k, n) with a mean, so that no sum is near zero. transposed: "a", "b": those that are views."""

    def make(generator: np.random.Generator) -> Arrays:
        a, b = (
            generator.standard_normal(shape, dtype=np.float32) + np.float32(mean)
            for shape in ((m, k), (k, n))
        )
        return tuple(
            np.ascontiguousarray(x.T).T if name in transposed else x for name, x in (("a", a), ("b", b))
        )

    name = f"{m:,} x {n:,} x {k:,}, {dtype}" + (f", {transposed} transposed" if transposed else "")
    return Case(name, make, dtype, options or {}, gpu_only=gpu_only)


def order_case(tiles_m: int, tiles_n: int, group: int) -> Case:
    return Case(f"{tiles_m} x {tiles_n} tiles, groups of {group}", lambda _: (tiles_m, tiles_n, group))


def torch_order(tiles_m: int, tiles_n: int, group: int, device: str) -> torch.Tensor:
    """`numpy_version.tile_order` by sorting: group, then column, then row."""
    row, column = torch.meshgrid(
        torch.arange(tiles_m, device=device), torch.arange(tiles_n, device=device), indexing="ij"
    )
    place = (row // group * tiles_n + column) * group + row % group
    order = place.flatten().argsort()
    return torch.stack([row.flatten()[order], column.flatten()[order]], dim=1).int()


def bytes_of_matmul(a: torch.Tensor, b: torch.Tensor, slope: float = 1.0) -> int:
    return (a.numel() + b.numel() + a.shape[0] * b.shape[1]) * a.element_size()


def operations_of_matmul(a: torch.Tensor, b: torch.Tensor, slope: float = 1.0) -> int:
    return 2 * a.shape[0] * a.shape[1] * b.shape[1]


def length_of_matmul(a: np.ndarray, b: np.ndarray, slope: float = 1.0) -> int:
    return max(1, a.shape[1]) + (slope != 1)


SOFTMAX_CASES = (
    *(softmax_case(64, 256, dtype) for dtype in ("float32", "float16", "bfloat16")),
    softmax_case(1, 1),
    softmax_case(5, 1),
    softmax_case(0, 3),
    softmax_case(3, 0),
    *(softmax_case(33, 100, dtype) for dtype in ("float32", "float16")),
    softmax_case(40, 30, kind="transposed"),
    softmax_case(40, 200, kind="times 40"),
    softmax_case(40, 200, kind="far below zero"),
    softmax_case(40, 200, kind="far apart"),
    softmax_case(9, 300, kind="with -inf"),
    softmax_case(2, 40_001),
    softmax_case(2, 70_001, kind="with -inf"),
    softmax_case(2, 40_001, "float16"),
    softmax_case(256, 1024, "float16"),
    softmax_case(223, 781),
    *(softmax_case(1823, 781, dtype, gpu_only=True) for dtype in ("float32", "float16", "bfloat16")),
    *(softmax_case(3000, 4096, dtype, gpu_only=True) for dtype in ("float32", "float16", "bfloat16")),
    softmax_case(7, 1_000_003, gpu_only=True),
)

MATMUL_CASES = (
    *(matmul_case(64, 64, 64, dtype) for dtype in ("float32", "float16")),
    matmul_case(1, 1, 1),
    matmul_case(0, 5, 7),
    matmul_case(5, 7, 0),
    *(matmul_case(130, 70, 33, dtype) for dtype in ("float32", "float16")),
    matmul_case(65, 300, 100),
    matmul_case(97, 81, 70, transposed="a"),
    matmul_case(97, 81, 70, transposed="b"),
    matmul_case(640, 128, 40),  # ten rows of tiles: the last group has two
    matmul_case(16, 16, 4000),
    matmul_case(16, 16, 16_000, "float16"),  # sums of 4000: rounded to float16 on the way they go astray
    *(
        matmul_case(1000, 999, 1001, dtype, gpu_only=True)  # 2^29.9 multiply-adds: not tuned
        for dtype in ("float32", "float16", "bfloat16")
    ),
    *(
        matmul_case(1111, 1030, 1002, dtype, gpu_only=True)  # tuned, and every edge is ragged
        for dtype in ("float32", "bfloat16")
    ),
    matmul_case(2048, 1024, 1024, "bfloat16", transposed="b", gpu_only=True),
)

LEAKY = {"slope": 0.1}
LEAKY_CASES = (
    *(matmul_case(64, 64, 64, dtype, mean=0, options=LEAKY) for dtype in ("float32", "float16")),
    matmul_case(130, 70, 100, mean=0, options=LEAKY),
    matmul_case(2000, 1000, 1000, "bfloat16", mean=0, options=LEAKY, gpu_only=True),
)

ORDER_CASES = tuple(
    order_case(*sizes)
    for sizes in ((4, 4, 2), (1, 1, 8), (5, 3, 2), (10, 7, 4), (3, 5, 8), (7, 1, 3), (9, 11, 1), (20, 12, 8))
)

LESSON = Lesson(
    number=6,
    name="triton",
    title="Triton: blocks instead of threads",
    tasks=(
        Task(
            name="fused softmax",
            oracle=numpy_softmax.softmax,
            pytorch=lambda x: torch.softmax(x, dim=1),
            cases=SOFTMAX_CASES,
            implementations=(
                Implementation(
                    "cuda/fused",
                    cuda.softmax,
                    "cuda",
                    kernels=tuple(
                        (cuda.HERE / "fused.cu", "softmax", cuda.macros(dtype, width, threads))
                        for dtype, width, threads in (
                            (torch.float32, 1, 32),
                            (torch.float16, 8, 256),
                            (torch.bfloat16, 8, 256),
                            (torch.float32, 4, 256),
                        )
                    ),
                ),
                Implementation("triton", shipped_softmax, "triton"),
            ),
            exercises=(exercise("softmax", "softmax"),),
            mistakes=SOFTMAX_MISTAKES,
            counted=next(case for case in SOFTMAX_CASES if case.name == "256 x 1,024, float16"),
            timed=softmax_case(8192, 4096),
            traffic=lambda x: 2 * x.numel() * x.element_size(),
            accumulation=lambda x: max(2, x.shape[1]),
            instructions=100_000,  # a row of 70,001
        ),
        Task(
            name="grouped order",
            oracle=numpy_version.tile_order,
            pytorch=torch_order,
            cases=ORDER_CASES,
            implementations=(Implementation("triton", shipped_tile_order, "triton"),),
            exercises=(exercise("tile_of", "tile_order"),),
            mistakes=ORDER_MISTAKES,
            counted=ORDER_CASES[-1],
            timed=order_case(512, 512, 8),
            traffic=lambda tiles_m, tiles_n, group: 8 * tiles_m * tiles_n,
        ),
        Task(
            name="matmul in Triton",
            oracle=numpy_version.matmul,
            pytorch=lambda a, b: a @ b,
            cases=MATMUL_CASES,
            implementations=(Implementation("triton", shipped_matmul, "triton"),),
            exercises=(exercise("matmul", "matmul"),),
            mistakes=MATMUL_MISTAKES,
            counted=next(case for case in MATMUL_CASES if case.name == "130 x 70 x 33, float16"),
            timed=matmul_case(8192, 8192, 8192, "bfloat16"),
            traffic=bytes_of_matmul,
            operations=operations_of_matmul,
            accumulation=length_of_matmul,
        ),
        Task(
            name="matmul with leaky ReLU",
            oracle=numpy_version.matmul,
            pytorch=lambda a, b, slope: torch.nn.functional.leaky_relu(a @ b, slope),
            cases=LEAKY_CASES,
            implementations=(Implementation("triton", shipped_matmul, "triton"),),
            exercises=(exercise("leaky_relu", "matmul"),),
            mistakes=EPILOGUE_MISTAKES,
            counted=LEAKY_CASES[2],
            timed=matmul_case(8192, 8192, 8192, "bfloat16", mean=0, options=LEAKY),
            traffic=bytes_of_matmul,
            operations=operations_of_matmul,
            accumulation=length_of_matmul,
        ),
    ),
)
