"""What `make check-lesson12` checks."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from flash_attention import implementations, reference
from flash_attention.tensor_cores import cuda_version as cuda
from lessons import attention_cases
from lessons.attention_cases import case
from lessons.demands import counted, overlaps
from lessons.lesson12_fast_flash_attention_2.mistakes import MISTAKES
from workbench import ptx
from workbench.check.lesson import Exercise, Implementation, Lesson, Task
from workbench.gpu import has_gpu

COUNTED = case(64, 256, head_dim=64, dtype="float16")


def pytorch(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, causal: bool = False, scale: float | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Plain PyTorch; where time is taken, on a GPU, its FlashAttention-2."""
    if q.is_cuda:
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            return F.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=scale), q.new_empty(0)
    return attention_cases.plain(q, k, v, causal=causal, scale=scale)


def step(name: str, file: Path, head_dim: int = 128) -> Implementation:
    """A step of the ladder, as the shipped file or the learner's has it. head_dim: of the compiler's figures."""
    tiles = cuda.choose(head_dim, torch.device("cpu")) if name == "tuned" else cuda.STEP_TILES
    macros = cuda.macros(torch.bfloat16, head_dim, tiles)
    function = partial(cuda.attention, step=name, source=file)
    return Implementation(f"cuda/{name}", function, "cuda", ((file, "flash_attention", macros),))


def triton(name: str) -> Implementation:
    return Implementation(name, implementations()["flash_v2_tensor_cores/triton"], "triton")


def gluon() -> tuple[Implementation, ...]:
    """The Gluon version: a row where it runs, and where there is no GPU, one that says what it needs."""
    if has_gpu() and torch.cuda.get_device_capability() != (9, 0):
        return ()
    function = implementations()["flash_v2/gluon"]
    return (Implementation("gluon", function, "triton", needs_gpu="It needs a Hopper GPU (H100, H200)."),)


def keeps_p_in_registers(reports: Sequence[ptx.Report]) -> str:
    """What is missing while P, or anything else, is stored to shared memory."""
    stores = counted(reports).shared_store_requests
    if not stores:
        return ""
    return f"It is right, but P takes a way through shared memory ({stores:,} stores); it should stay in registers."


CASES = (
    case(1, 1, head_dim=64, dtype="float16"),
    case(0, 5, head_dim=64, dtype="float16"),
    case(5, 0, head_dim=64, dtype="float16"),
    case(20, 20, head_dim=64, dtype="float16", kind="NaN and inf"),
    case(65, 130, head_dim=64, dtype="float16"),
    case(90, 50, head_dim=64, dtype="float16", causal=True),  # the first 40 queries see no key
    case(65, 190, head_dim=64, dtype="float16", causal=True),
    case(40, 130, head_dim=64, dtype="float16", kind="q * 40"),
    case(64, 70, head_dim=64, dtype="float16", kind="very negative"),
    case(33, 70, head_dim=64, dtype="float16", scale=-0.2, causal=True),
    case(40, 70, batch=2, heads=4, heads_kv=2, head_dim=64, dtype="float16", kind="transposed"),
    COUNTED,
    case(70, 150, head_dim=128, dtype="bfloat16", causal=True),
    *(
        case(seqlen_q, seqlen_k, heads=4, heads_kv=2, head_dim=d, dtype=dtype, causal=causal, gpu_only=True)
        for seqlen_q, seqlen_k, d, dtype, causal in (
            (1023, 1024, 64, "bfloat16", True),
            (1024, 1023, 128, "float16", False),
            (113, 1203, 32, "float16", True),
            (203, 113, 16, "bfloat16", False),
        )
    ),
    case(2048, 2048, heads=4, head_dim=128, dtype="bfloat16", kind="q * 40", causal=True, gpu_only=True),
)
HEAD_DIMS = (
    case(17, 33, head_dim=8, dtype="float16"),
    case(100, 70, head_dim=40, dtype="bfloat16", causal=True),
    case(70, 100, heads=2, heads_kv=1, head_dim=96, dtype="float16", causal=True),
    case(150, 90, head_dim=136, dtype="float16"),
    case(33, 190, head_dim=256, dtype="bfloat16", causal=True),
    *(
        case(
            seqlen_q,
            seqlen_k,
            batch=2,
            heads=4,
            heads_kv=1,
            head_dim=d,
            dtype=dtype,
            causal=d % 3 > 0,
            gpu_only=True,
        )
        for d in (32, 64, 72, 96, 104, 128, 192, 224, 256)
        for dtype, seqlen_q, seqlen_k in (("float16", 1, 239), ("bfloat16", 500, 333))
    ),
)
TIMED = case(4096, 4096, batch=4, heads=16, head_dim=128, dtype="bfloat16", causal=True)
COMMON: dict[str, Any] = {
    "oracle": reference.attention,
    "pytorch": pytorch,
    "traffic": attention_cases.traffic,
    "operations": attention_cases.operations,
    "accumulation": attention_cases.accumulation,
    "instructions": 100_000,
    "outputs": ("o", "lse"),
}

LESSON = Lesson(
    number=12,
    name="fast_flash_attention_2",
    title="FlashAttention-2 on tensor cores, at the official kernel's speed",
    tasks=(
        Task(
            name="attention",
            cases=CASES,
            implementations=(
                *(step(name, cuda.HERE / f"{name}.cu") for name in cuda.STEPS),
                triton("triton"),
                *gluon(),
            ),
            exercises=(
                Exercise(
                    "exercise_1.cu",
                    "operand",
                    "cuda",
                    partial(step, "registers"),
                    solution=(cuda.HERE / "registers.cu",),
                    demand=keeps_p_in_registers,
                ),
                Exercise(
                    "exercise_2.cu",
                    "softmax",
                    "cuda",
                    partial(step, "registers"),
                    solution=(cuda.HERE / "registers.cu",),
                ),
                Exercise(
                    "exercise_3.cu",
                    "overlap",
                    "cuda",
                    partial(step, "prefetch"),
                    solution=(cuda.HERE / "prefetch.cu",),
                    demand=partial(
                        overlaps,
                        advice="Start the next fetch before attend, and wait for a tile only when its turn comes.",
                    ),
                ),
            ),
            mistakes=MISTAKES,
            counted=COUNTED,
            timed=TIMED,
            **COMMON,
        ),
        Task(
            name="any_head_dim",
            cases=HEAD_DIMS,
            implementations=(
                replace(step("tuned", cuda.HERE / "tuned.cu", 256), name="cuda/any_head_dim"),
                triton("triton/any_head_dim"),
            ),
            exercises=(),
            mistakes=(),
            counted=HEAD_DIMS[2],
            timed=case(4096, 4096, batch=4, heads=8, head_dim=256, dtype="bfloat16", causal=True),
            **COMMON,
        ),
    ),
)
