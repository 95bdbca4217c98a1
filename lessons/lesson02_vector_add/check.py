"""What `make check-lesson2` checks."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from cuda_basics.vector_add import cuda_version as cuda
from cuda_basics.vector_add import numpy_version
from lessons.lesson02_vector_add.mistakes import MISTAKES
from workbench import ptx
from workbench.check.exercise import function_from
from workbench.check.lesson import Case, Exercise, Implementation, Lesson, Task

KERNELS = Path(cuda.__file__).parent
TRITON = KERNELS.parent.parent / "triton_basics" / "vector_add.py"
FUNCTIONS = {
    "vector_add": cuda.vector_add,
    "vector_add_strided": cuda.vector_add_strided,
    "vector_add_vectorised": cuda.vector_add_vectorised,
}


def case(n: int, dtype: str = "float32", gpu_only: bool = False) -> Case:
    """Two vectors with a mean of 1/2 (so that a dropped term shows) and a spread of 1."""

    def make(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        a, b = (generator.standard_normal(n, dtype=np.float32) + np.float32(0.5) for _ in range(2))
        return a, b

    return Case(f"n = {n:,}, {dtype}", make, dtype, gpu_only=gpu_only)


def in_cuda(name: str, kernel: str, file: Path) -> Implementation:
    """A kernel of this lesson, as the shipped file or the learner's has it."""
    macros = ({"SCALAR": "float"}, {"SCALAR": "__half"})
    return Implementation(
        name,
        partial(FUNCTIONS[kernel], source=file),
        "cuda",
        kernels=tuple((file, kernel, defines) for defines in macros),
    )


def shipped_triton(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    from triton_basics.vector_add import (
        vector_add,
    )  # only now: where there is no Triton, the other rows still run

    return vector_add(a, b)


def in_triton(file: Path) -> Implementation:
    """The learner's Triton file, imported."""
    return Implementation("triton", function_from(file, "vector_add"), "triton")


def sixteen_bytes(reports: Sequence[ptx.Report]) -> str:
    """Does each thread move whole packs?"""
    counters = reports[0].counters
    assert counters is not None
    a_request = (counters.global_load_bytes + counters.global_store_bytes) / counters.global_requests
    if a_request > 0.9 * 32 * 16:
        return ""
    return (
        f"The sums are right, but a request of a warp moves {a_request:.0f} bytes; 16 bytes a thread make "
        f"{32 * 16}. Load and store whole packs, through a pointer to Pack."
    )


CASES = (
    *(
        case(n, dtype)
        for n in (1000, 31, 1, 0, 512, 4096, 16_384, 40_001)
        for dtype in ("float32", "float16")
    ),
    case(1_000_003, "float16"),
    case(1_000_003),
    case(2**24),
    case(2**24, "float16", gpu_only=True),
)

LESSON = Lesson(
    number=2,
    name="vector_add",
    title="Vector add: bytes over bandwidth",
    tasks=(
        Task(
            name="vector_add",
            oracle=numpy_version.vector_add,
            pytorch=lambda a, b: a + b,
            cases=CASES,
            implementations=(
                in_cuda("cuda/plain", "vector_add", KERNELS / "plain.cu"),
                in_cuda("cuda/strided", "vector_add_strided", KERNELS / "strided.cu"),
                in_cuda("cuda/vectorised", "vector_add_vectorised", KERNELS / "vectorised.cu"),
                Implementation("triton", shipped_triton, "triton"),
            ),
            exercises=(
                Exercise(
                    "exercise.cu",
                    "plain",
                    "cuda",
                    partial(in_cuda, "cuda/plain", "vector_add"),
                    solution=(KERNELS / "plain.cu", KERNELS / "vectorised.cu"),
                ),
                Exercise(
                    "exercise.cu",
                    "vectorised",
                    "cuda",
                    partial(in_cuda, "cuda/vectorised", "vector_add_vectorised"),
                    solution=(KERNELS / "plain.cu", KERNELS / "vectorised.cu"),
                    demand=sixteen_bytes,
                ),
                Exercise("exercise.py", "vector_add", "triton", in_triton, solution=(TRITON,)),
            ),
            mistakes=MISTAKES,
            counted=CASES[-3],
            timed=case(2**27),
            traffic=lambda a, b: 3 * a.numel() * a.element_size(),
        ),
    ),
)
