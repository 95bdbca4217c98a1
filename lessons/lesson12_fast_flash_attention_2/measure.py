"""What lesson 12 measures on a GPU besides the times of its versions: lengths and head_dims beside PyTorch's backends.

16,384 tokens in all, 2,048 numbers a token in all heads together.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from flash_attention import implementations
from lessons.attention_cases import operations
from workbench.timing.stopwatch import measure_in_turn

TOKENS, WIDTH = 16_384, 2_048
LENGTHS = (512, 1024, 2048, 4096, 8192, 16_384)
REPEATS = 250


def measure() -> dict[str, Any]:
    """TFLOP/s by dtype, head_dim, mask and length for each version; and whether launches repeat bit for bit.

    In less than a minute. Needs a GPU.
    """
    found = [
        peers(dtype, head_dim, causal, length)
        for dtype, head_dims in ((torch.bfloat16, (64, 128, 256)), (torch.float16, (64, 128)))
        for head_dim in head_dims
        for causal in (False, True)
        for length in LENGTHS
    ]
    return {"peers": found, "repeats": REPEATS, "repeats_that_differ": repeats_that_differ()}


def peers(dtype: torch.dtype, head_dim: int, causal: bool, length: int) -> dict[str, Any]:
    """One shape, by all: {"dtype", "head_dim", "causal", "length", "tflop_per_s": {version: number}}."""
    shape = (TOKENS // length, WIDTH // head_dim, length, head_dim)
    q, k, v = (torch.randn(shape, device="cuda", dtype=dtype) for _ in range(3))

    def pytorch(backend: SDPBackend) -> Any:
        with sdpa_kernel(backend):
            return F.scaled_dot_product_attention(q, k, v, is_causal=causal)

    versions: dict[str, Callable[[], Any]] = {
        "CUDA": partial(implementations()["flash_v2_tensor_cores/cuda"], q, k, v, causal=causal),
        "Triton": partial(implementations()["flash_v2_tensor_cores/triton"], q, k, v, causal=causal),
        "FlashAttention-2": partial(pytorch, SDPBackend.FLASH_ATTENTION),
        "cuDNN": partial(pytorch, SDPBackend.CUDNN_ATTENTION),
    }
    if head_dim <= 128 and torch.cuda.get_device_capability() == (9, 0):
        versions["Gluon"] = partial(implementations()["flash_v2/gluon"], q, k, v, causal=causal)
    count = operations(q, k, v, causal=causal)
    times = measure_in_turn(list(versions.values()), budget=0.04, warmup=2)
    return {
        "dtype": str(dtype).removeprefix("torch."),
        "head_dim": head_dim,
        "causal": causal,
        "length": length,
        "tflop_per_s": {
            name: count / taken.median / 1e9 for name, taken in zip(versions, times, strict=True)
        },
    }


def repeats_that_differ() -> int:
    """Of `REPEATS` launches of the tuned CUDA version on the same inputs, how many differ from the first in any bit."""
    attention = implementations()["flash_v2_tensor_cores/cuda"]
    q, k, v = (torch.randn(2, heads, 1000, 128, device="cuda").bfloat16() for heads in (16, 4, 4))
    first = attention(q, k, v, causal=True)
    others = (attention(q, k, v, causal=True) for _ in range(REPEATS))
    return sum(not all(map(torch.equal, first, other)) for other in others)
