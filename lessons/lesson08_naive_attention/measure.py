"""What lesson 8 measures on a GPU besides the times of its versions. `make bench` keeps what `measure()` returns."""

from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from flash_attention.naive import cuda_version, triton_version
from lessons.lesson08_naive_attention import backends
from workbench.timing.stopwatch import measure as timed

HEADS, HEAD_DIM = 8, 64
LENGTHS = (512, 1024, 2048, 4096, 8192, 16_384)


def measure() -> dict[str, Any]:
    """Time and peak memory by length, and the backends that PyTorch picks, in about half a minute. Needs a GPU."""
    return {
        "heads": HEADS,
        "head_dim": HEAD_DIM,
        "dtype": "float16",
        "by_length": [one for length in LENGTHS for one in costs(length)],
        "backends": backends.report("cuda"),
        "torch": torch.__version__,
    }


def costs(length: int) -> list[dict[str, Any]]:
    """Milliseconds and the memory that a call takes, in MiB, for each version."""
    q, k, v = (
        torch.randn(1, HEADS, length, HEAD_DIM, device="cuda", dtype=torch.float32).half() for _ in range(3)
    )

    def pytorch(backend: SDPBackend) -> None:
        with sdpa_kernel(backend):
            scaled_dot_product_attention(q, k, v)

    versions = {
        "naive/cuda": lambda: cuda_version.attention(q, k, v),
        "naive/triton": lambda: triton_version.attention(q, k, v),
        "PyTorch, MATH": lambda: pytorch(SDPBackend.MATH),
        "PyTorch, FLASH_ATTENTION": lambda: pytorch(SDPBackend.FLASH_ATTENTION),
    }
    found = []
    for name, call in versions.items():
        torch.cuda.empty_cache()
        call()
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        torch.cuda.synchronize()
        peak = (torch.cuda.max_memory_allocated() - before) / 2**20
        found.append(
            {"version": name, "length": length, "mib": peak, "ms": timed(call, budget=0.05, warmup=1).median}
        )
    return found
