"""What every attention on torch tensors accepts, checked in one place."""

from collections.abc import Sequence
from numbers import Real
from typing import NamedTuple

import torch

from workbench.arguments import check_tensor

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
LARGEST = 2**31 - 1  # elements of a tensor: what an int can count


class Sizes(NamedTuple):
    """The sizes of a call, as the papers name them."""

    batch: int
    heads: int
    heads_kv: int
    seqlen_q: int
    seqlen_k: int
    head_dim: int


def check(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    scale: float | None,
    *,
    head_dims: Sequence[int] = (),
    dtypes: Sequence[torch.dtype] = DTYPES,
) -> tuple[Sizes, float]:
    """The sizes of a call and its scale, 1 / sqrt(D) if None; strides may be any.

    head_dims: those that the implementation supports (none given: all). Lengths, batch and heads may be 0.
    Raises ValueError for what doesn't fit together, naming the argument, what it is and what is accepted.
    """
    check_tensor(
        "q", q, shape="(batch, heads, seqlen_q, head_dim)", dtypes=dtypes, largest=LARGEST, contiguous=False
    )
    if q.device.type not in ("cpu", "cuda"):
        raise ValueError(f"q has device {q.device}; it must be the CPU or an NVIDIA GPU")
    for name, x in (("k", k), ("v", v)):
        shape = "(batch, heads_kv, seqlen_k, head_dim)"
        check_tensor(name, x, shape=shape, dtypes=dtypes, largest=LARGEST, contiguous=False)
        for what, mine, qs in (
            ("dtype", x.dtype, q.dtype),
            ("device", x.device, q.device),
            ("batch", x.shape[0], q.shape[0]),
            ("head_dim", x.shape[3], q.shape[3]),
        ):
            if mine != qs:
                raise ValueError(f"{name} has {what} {mine} and q has {qs}; they must be the same")
    if k.shape != v.shape:
        raise ValueError(f"v has shape {tuple(v.shape)} and k has {tuple(k.shape)}; they must be the same")
    (batch, heads, seqlen_q, head_dim), (heads_kv, seqlen_k) = q.shape, k.shape[1:3]
    if heads % heads_kv if heads_kv else heads:
        raise ValueError(f"k has {heads_kv} heads and q has {heads}; the heads of k must divide those of q")
    if head_dim == 0 or (head_dims and head_dim not in head_dims):
        raise ValueError(f"q has head_dim {head_dim}; it must be {_listed(head_dims)}")
    if scale is None:
        scale = head_dim**-0.5
    elif isinstance(scale, bool) or not isinstance(scale, Real):
        raise ValueError(f"scale is {scale!r}; it must be a number, or None for 1 / sqrt(head_dim)")
    return Sizes(batch, heads, heads_kv, seqlen_q, seqlen_k, head_dim), float(scale)


def _listed(head_dims: Sequence[int]) -> str:
    if isinstance(head_dims, range) and len(head_dims) > 1:
        if head_dims.step == 1:
            return f"{head_dims[0]} to {head_dims[-1]}"
        return f"one of {head_dims[0]}, {head_dims[1]}, ... {head_dims[-1]}"
    return f"one of {', '.join(map(str, head_dims))}" if head_dims else "1 or more"
