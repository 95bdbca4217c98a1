"""What this very GPU can do at most, measured in the run that speaks of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch

from workbench.timing.stopwatch import measure

GIB = 2**30


@lru_cache
def copy_bandwidth() -> float:
    """Bytes a second of a device-to-device copy of 1 GiB, counting bytes read and bytes written."""
    source = torch.randint(0, 255, (GIB,), dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return 2 * GIB / (measure(lambda: target.copy_(source)).median * 1e-3)


@lru_cache
def host_copy_bandwidth() -> float:
    """Bytes a second between pinned host memory and the GPU, counting 256 MiB in and 256 MiB out at the same time.

    Of the fastest copy: the host disturbs these more than the GPU does its own.
    """
    size = GIB // 4
    on_host = [torch.randint(0, 255, (size,), dtype=torch.uint8).pin_memory() for _ in range(2)]
    on_gpu = [torch.empty(size, dtype=torch.uint8, device="cuda") for _ in range(2)]
    outward = torch.cuda.Stream()

    def both_ways() -> None:
        outward.wait_stream(torch.cuda.current_stream())
        on_gpu[0].copy_(on_host[0], non_blocking=True)
        with torch.cuda.stream(outward):
            on_host[1].copy_(on_gpu[1], non_blocking=True)
        torch.cuda.current_stream().wait_stream(outward)

    return 2 * size / (measure(both_ways).minimum * 1e-3)


@lru_cache
def matrix_product(dtype: str) -> float:
    """Floating-point operations a second of PyTorch's matrix product (cuBLAS), 4096 x 4096 by 4096 x 4096, no TF32.

    dtype: "float32", "float16" or "bfloat16".
    """
    n = 4096
    a, b = (torch.randn(n, n, device="cuda").to(getattr(torch, dtype)) for _ in range(2))
    with full_precision():
        return 2 * n**3 / (measure(lambda: a @ b).median * 1e-3)


@contextmanager
def full_precision() -> Iterator[None]:
    """PyTorch's float32 products in float32, not TF32, inside a `with` block."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
