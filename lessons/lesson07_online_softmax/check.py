"""What `make check-lesson7` checks."""

from functools import partial
from pathlib import Path

import numpy as np
import torch

from flash_attention.softmax import cuda_version as cuda
from flash_attention.softmax import numpy_version
from lessons.lesson07_online_softmax.mistakes import MISTAKES
from workbench.check.exercise import function_from
from workbench.check.lesson import Case, Exercise, Implementation, Lesson, Task

NUMPY = Path(numpy_version.__file__)
TRITON = NUMPY.parent / "triton_version.py"
FUNCTIONS = {
    "three_pass": cuda.softmax_three_pass,
    "online": cuda.softmax_online,
    "one_pass": cuda.softmax_one_pass,
}


def case(rows: int, columns: int, dtype: str = "float32", kind: str = "", gpu_only: bool = False) -> Case:
    """A matrix of random numbers with a mean.

    kind: "x * 400" (exp overflows, in float64 too, in which NumPy submissions compute), "very negative" (each exp
    underflows), "rising" (the maximum moves at each step), "falling * 400" (it comes first, far above the last
    ones), "-inf" (some elements and one row), "-inf, very negative" (both), "NaN and inf" (one each, in rows of their
    own) or "" (none of these).
    """

    def make(generator: np.random.Generator) -> tuple[np.ndarray]:
        x = generator.standard_normal((rows, columns), dtype=np.float32) + np.float32(0.5)
        if kind.endswith("* 400"):
            x *= 400
        if kind.endswith("very negative"):
            x -= 1000
        if kind == "rising":
            x.sort(axis=1)
        if kind.startswith("falling"):
            x = -np.sort(-x, axis=1)
        if kind.startswith("-inf"):
            x[:, : columns // 3] = -np.inf
            x[1] = -np.inf
        if kind == "NaN and inf":
            x[0, columns // 2], x[1, columns // 3] = np.nan, np.inf
        return (x,)

    name = f"{rows:,} x {columns:,}, {dtype}" + f", {kind}" * bool(kind)
    return Case(name, make, dtype, gpu_only=gpu_only)


def pytorch(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    if x.is_cuda:  # timed: softmax alone, which is all that it has in one kernel
        return torch.softmax(x, 1), x.new_empty(0)
    return torch.softmax(x, 1), torch.logsumexp(x.float(), 1)


def in_cuda(name: str, file: Path) -> Implementation:
    """A kernel of this lesson, as the shipped file or the learner's has it."""
    compiled = tuple((file, "softmax", cuda.macros(s, *cuda.shares(1000))) for s in cuda.SCALARS.values())
    return Implementation(f"cuda/{name}", partial(FUNCTIONS[name], source=file), "cuda", kernels=compiled)


def shipped_triton(name: str, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    from flash_attention.softmax import triton_version  # only now: without Triton, the other rows still run

    return getattr(triton_version, name)(x)


def written(language: str, name: str, file: Path) -> Implementation:
    """The learner's Python file."""
    return Implementation(f"{language}/{name}", function_from(file, f"softmax_{name}"), language)


CASES = (
    *(case(3, columns) for columns in (257, 1, 2, 31, 64)),
    case(0, 7),
    case(3, 0),
    case(3, 130, kind="x * 400"),
    case(3, 300, kind="very negative"),
    case(2, 600, kind="rising"),
    case(2, 1500, kind="falling * 400"),
    case(3, 90, kind="-inf"),
    case(3, 3300, kind="-inf, very negative"),
    case(3, 40, kind="NaN and inf"),
    case(5, 333, "float16"),
    case(5, 333, "bfloat16", kind="x * 400"),
    case(16, 1000),
    case(2, 3001),
    *(case(1823, 781, dtype, gpu_only=True) for dtype in ("float32", "float16", "bfloat16")),
    case(30, 9000, "float16", gpu_only=True),
    case(40, 1_000_003, gpu_only=True),
)
COUNTED = next(c for c in CASES if c.name.startswith("16 x"))

LESSON = Lesson(
    number=7,
    name="online_softmax",
    title="Online softmax: statistics that merge",
    tasks=(
        Task(
            name="softmax",
            oracle=numpy_version.softmax_three_pass,
            pytorch=pytorch,
            cases=CASES,
            implementations=(
                *(
                    Implementation(f"numpy/{name}", getattr(numpy_version, f"softmax_{name}"), "numpy")
                    for name in FUNCTIONS
                ),
                *(in_cuda(name, NUMPY.parent / f"{name}.cu") for name in FUNCTIONS),
                *(
                    Implementation(f"triton/{name}", partial(shipped_triton, f"softmax_{name}"), "triton")
                    for name in FUNCTIONS
                ),
            ),
            exercises=(
                Exercise(
                    "exercise_numpy.py",
                    "online",
                    "numpy",
                    partial(written, "numpy", "online"),
                    solution=(NUMPY,),
                ),
                Exercise(
                    "exercise_numpy.py",
                    "merge",
                    "numpy",
                    partial(written, "numpy", "one_pass"),
                    solution=(NUMPY,),
                ),
                Exercise(
                    "exercise.py",
                    "online",
                    "triton",
                    partial(written, "triton", "online"),
                    solution=(TRITON,),
                ),
                Exercise(
                    "exercise.cu",
                    "online",
                    "cuda",
                    partial(in_cuda, "online"),
                    solution=(NUMPY.parent / "online.cu",),
                ),
            ),
            mistakes=MISTAKES,
            counted=COUNTED,
            timed=case(8192, 4096),
            traffic=lambda x: 2 * x.numel() * x.element_size() + 4 * x.shape[0],
            # and x - m, rounded, with |x - m| < 88 wherever it counts
            accumulation=lambda x: x.shape[1] + 100,
            outputs=("y", "lse"),
            instructions=60_000,
        ),
    ),
)
