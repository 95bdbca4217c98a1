"""What `make check-lesson8` checks."""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from flash_attention import reference
from flash_attention.naive import cuda_version as cuda
from flash_attention.naive import numpy_version
from lessons import attention_cases
from lessons.lesson08_naive_attention.mistakes import MISTAKES
from workbench.check.exercise import function_from
from workbench.check.lesson import Exercise, Implementation, Lesson, Task

KERNELS = Path(cuda.__file__).parent
SOURCES = (KERNELS / "scores.cu", KERNELS / "weighted_sum.cu")


def pytorch(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, causal: bool = False, scale: float | None = None
) -> tuple[torch.Tensor, ...]:
    """On the CPU plain PyTorch, the measure of what rounding costs; on a GPU what PyTorch is timed with."""
    if q.is_cuda:
        return (scaled_dot_product_attention(q, k, v, is_causal=causal, scale=scale),)
    return attention_cases.plain(q, k, v, causal=causal, scale=scale)


def in_cuda(files: dict[str, Path]) -> Implementation:
    """The kernels as shipped, but those that `files` names, by kernel."""
    sources = {"scores": SOURCES[0], "weighted_sum": SOURCES[1], **files}
    compiled = [(file, name, cuda.macros(dtype)) for name, file in sources.items() for dtype in cuda.SCALARS]
    attention = partial(cuda.attention, scores=sources["scores"], weighted_sum=sources["weighted_sum"])
    return Implementation("cuda", attention, "cuda", kernels=tuple(compiled))


def learners(name: str, file: Path) -> Implementation:
    return in_cuda({name: file})


def shipped_triton(*tensors: torch.Tensor, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
    from flash_attention.naive import triton_version  # only now: without Triton, the other rows still run

    return triton_version.attention(*tensors, **options)


COUNTED = attention_cases.case(128, 128, head_dim=64)
CASES = (*attention_cases.ON_A_CPU, COUNTED, *attention_cases.for_a_gpu(attention_cases.CASES))

LESSON = Lesson(
    number=8,
    name="naive_attention",
    title="Naive attention: the N × N matrix in memory",
    tasks=(
        Task(
            name="attention",
            oracle=reference.attention,
            pytorch=pytorch,
            cases=CASES,
            implementations=(
                Implementation("numpy", numpy_version.attention, "numpy"),
                in_cuda({}),
                Implementation("triton", shipped_triton, "triton"),
            ),
            exercises=(
                Exercise(
                    "exercise_numpy.py",
                    "attention",
                    "numpy",
                    lambda file: Implementation("numpy", function_from(file, "attention"), "numpy"),
                    solution=(Path(numpy_version.__file__),),
                ),
                *(
                    Exercise("exercise.cu", name, "cuda", partial(learners, name), solution=SOURCES)
                    for name in ("scores", "weighted_sum")
                ),
            ),
            mistakes=MISTAKES,
            counted=COUNTED,
            timed=attention_cases.case(2048, 2048, heads=16, head_dim=64, dtype="float16"),
            traffic=attention_cases.traffic,
            operations=attention_cases.operations,
            accumulation=attention_cases.accumulation,
            outputs=("o", "lse"),
            instructions=60_000,
        ),
    ),
)
