"""What lessons 9 and 10 have in common: the same task, and a NumPy, a Triton and a CUDA version of it in one folder."""

import importlib
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F

from flash_attention import reference
from flash_attention.tiles import SIZES, macros
from lessons import attention_cases
from lessons.attention_cases import case
from workbench.check.exercise import function_from
from workbench.check.lesson import Case, Exercise, Implementation, Lesson, Mistake, Task
from workbench.lessons import ROOT

COUNTED = case(64, 96, dtype="float16")
ON_A_GPU = (  # each compiles a kernel or two more, so not everything with everything
    *attention_cases.TELLING,
    *attention_cases.DTYPES,
    *attention_cases.HEAD_DIMS,
    *(c for c in attention_cases.LARGE if c.options["causal"] or c.dtype == "float16"),
    case(100, 150, heads=2, heads_kv=1, head_dim=192, dtype="float16"),
    case(100, 150, heads=2, heads_kv=1, head_dim=248, dtype="bfloat16", causal=True),
)
CASES = (*attention_cases.ON_A_CPU, COUNTED, *attention_cases.for_a_gpu(ON_A_GPU))
TILES = (32, 32)  # of the CUDA exercise: with the same ones everywhere, a mistake looks the same everywhere


def pytorch(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, causal: bool = False, scale: float | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Plain PyTorch; where time is taken, on a GPU, its own fused attention."""
    if q.is_cuda:
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=scale), q.new_empty(0)
    return attention_cases.plain(q, k, v, causal=causal, scale=scale)


def flash_lesson(
    number: int, name: str, title: str, package: str, mistakes: tuple[Mistake, ...], timed: Case
) -> Lesson:
    """The lesson about `package` ("flash_v1" or "flash_v2"), whose three versions lie in flash_attention/<package>."""
    folder = ROOT / "flash_attention" / package
    compiled = [(torch.float16, 64), (torch.float32, 256)]  # for the table; a test compiles many more

    def shipped(language: str, *arguments: torch.Tensor, **options: object) -> object:
        module = f"flash_attention.{package}.{language}_version"  # imported only now: there may be no Triton
        return importlib.import_module(module).attention(*arguments, **options)

    def in_cuda(file: Path, options: dict[str, object]) -> Implementation:
        kernels = tuple((file, package, macros(*one, SIZES[0])) for one in compiled)
        return Implementation("cuda", partial(shipped, "cuda", source=file, **options), "cuda", kernels)

    def in_python(language: str, file: Path) -> Implementation:
        return Implementation(language, function_from(file, "attention"), language)

    def exercise(file: str, language: str, solution: str) -> Exercise:
        make = (
            partial(in_cuda, options={"tiles": TILES}) if language == "cuda" else partial(in_python, language)
        )
        return Exercise(file, package, language, make, solution=(folder / solution,))

    task = Task(
        name=name,
        oracle=reference.attention,
        pytorch=pytorch,
        cases=CASES,
        implementations=(
            Implementation("numpy", partial(shipped, "numpy"), "numpy"),
            Implementation("triton", partial(shipped, "triton"), "triton"),
            in_cuda(folder / f"{package}.cu", {}),
        ),
        exercises=(
            exercise("exercise_numpy.py", "numpy", "numpy_version.py"),
            exercise("exercise.py", "triton", "triton_version.py"),
            exercise("exercise.cu", "cuda", f"{package}.cu"),
        ),
        mistakes=mistakes,
        counted=COUNTED,
        timed=timed,
        traffic=attention_cases.traffic,
        operations=attention_cases.operations,
        accumulation=attention_cases.accumulation,
        instructions=200_000,
        outputs=("o", "lse"),
    )
    return Lesson(number=number, name=name, title=title, tasks=(task,))
