"""What lesson 10 measures on a GPU besides the times of its versions: time and peak memory by sequence length.

float16, one batch, 16 heads, head_dim 64. Times in milliseconds; memory in MiB, what one call takes beside its inputs.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from flash_attention import implementations
from workbench.timing.stopwatch import first_call
from workbench.timing.stopwatch import measure as timed

HEADS, HEAD_DIM = 16, 64
LENGTHS = tuple(2**n for n in range(10, 18))  # 1k to 128k
VERSIONS = (
    "naive/triton",
    "naive/cuda",
    "flash_v1/triton",
    "flash_v1/cuda",
    "flash_v2/triton",
    "flash_v2/cuda",
)
LONGEST = 15_000  # ms: a call that will take longer isn't made
SLOW = 50  # ms: a call that takes longer isn't made many times, but once more


def measure() -> dict[str, Any]:
    """For each version, and causal or not: {"time": {length: ms}, "peak": {length: MiB}, "ended": why it stops there}.

    In less than a minute. Needs a GPU.
    """
    versions = {name: implementations()[name] for name in VERSIONS} | {"PyTorch": pytorch}
    found = {
        name: by_length(partial(version, causal=causal))
        for name, version, causal in (
            *((name, version, False) for name, version in versions.items()),
            ("flash_v2/triton, causal", versions["flash_v2/triton"], True),
            ("PyTorch, causal", pytorch, True),
        )
    }
    return {"heads": HEADS, "head_dim": HEAD_DIM, "dtype": "float16", "versions": found}


def pytorch(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, causal: bool = False) -> torch.Tensor:
    """PyTorch's FlashAttention-2."""
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal)


def by_length(version: Callable[..., Any]) -> dict[str, Any]:
    times: dict[int, float] = {}
    peaks: dict[int, float] = {}
    for length in LENGTHS:
        before = times.get(length // 2, 0.0)
        if 4.5 * before > LONGEST:
            return {"time": times, "peak": peaks, "ended": "too slow"}
        inputs = (
            torch.randn(1, HEADS, length, HEAD_DIM, device="cuda", dtype=torch.float16) for _ in range(3)
        )
        call = partial(version, *inputs)
        try:
            if not before:
                call()  # compiles
            times[length], peaks[length] = first_call(call)
            if times[length] < SLOW:
                times[length] = timed(call, budget=0.05).median
            elif times[length] < LONGEST / 10:  # the first had to get its memory, from a GPU at rest
                times[length] = min(times[length], first_call(call)[0])
        except torch.OutOfMemoryError:
            return {"time": times, "peak": peaks, "ended": "out of memory"}
        finally:
            del call
            torch.cuda.empty_cache()
    return {"time": times, "peak": peaks, "ended": ""}
