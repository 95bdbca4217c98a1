"""Vector add in Triton: one program adds one block of elements. (Lesson 2.)"""

import torch
import triton
import triton.language as tl

from workbench.arguments import check_alike, check_tensor

BLOCK = 16384
DTYPES = (torch.float32, torch.float16)
LARGEST = 2**31 - BLOCK  # offsets are int32


@triton.jit
def vector_add_kernel(a, b, c, n, BLOCK: tl.constexpr):
    """c = a + b for pointers to n elements; program p takes elements p * BLOCK to (p + 1) * BLOCK - 1."""
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = i < n  # the last program's block reaches past the end
    x = tl.load(a + i, mask=inside)
    y = tl.load(b + i, mask=inside)
    tl.store(c + i, x + y, mask=inside)


def vector_add(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """a + b. a, b: (n,) float32 or float16, contiguous, on one device. Returns a new tensor (n,).

    Raises ValueError for other shapes, dtypes, devices or strides.
    """
    check_tensor("a", a, shape="(n,)", dtypes=DTYPES, largest=LARGEST)
    check_tensor("b", b, shape="(n,)", dtypes=DTYPES, largest=LARGEST)
    check_alike("a", a, "b", b)
    c = torch.empty_like(a)
    n = a.numel()
    if n > 0:
        vector_add_kernel[(triton.cdiv(n, BLOCK),)](a, b, c, n, BLOCK=BLOCK, num_warps=16)
    return c
