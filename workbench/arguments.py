"""Checks of a host function's tensors: what was wrong, what it got, what it accepts."""

from collections.abc import Collection

import torch


def check_tensor(
    name: str,
    tensor: torch.Tensor,
    *,
    shape: str,
    dtypes: Collection[torch.dtype],
    largest: int | None = None,
    contiguous: bool = True,
) -> None:
    """Raise ValueError unless `tensor` fits: its number of dimensions as in `shape` ("(rows, columns)"), one of
    `dtypes`, contiguous (unless contiguous=False allows any strides), at most `largest` elements from its first in
    memory to its last, neither sparse nor lazily negated."""
    if not isinstance(tensor, torch.Tensor):
        raise ValueError(f"{name} is a {type(tensor).__name__}; pass a torch tensor of shape {shape}")
    if tensor.dim() != len([size for size in shape.strip("()").split(",") if size.strip()]):
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}; it must be {shape}")
    if tensor.dtype not in dtypes:
        raise ValueError(f"{name} is {tensor.dtype}; it may be {' or '.join(map(str, dtypes))}")
    if contiguous and not tensor.is_contiguous():
        raise ValueError(f"{name} is not contiguous (strides {tensor.stride()}); pass {name}.contiguous()")
    if largest is not None and _reach(tensor) > largest:
        verb = "has" if tensor.is_contiguous() else "spans"
        raise ValueError(f"{name} {verb} {_reach(tensor):,} elements; at most {largest:,} are possible")
    if tensor.layout != torch.strided:
        raise ValueError(f"{name} is {tensor.layout}; pass {name}.to_dense()")
    if tensor.is_neg():  # what lies in memory has the other sign
        raise ValueError(f"{name} is negated, but its memory is not; pass {name}.resolve_neg()")


def _reach(tensor: torch.Tensor) -> int:
    """How many elements of memory lie from the tensor's first to its last, both counted."""
    if tensor.numel() == 0:
        return 0
    return 1 + sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True))


def check_alike(first: str, a: torch.Tensor, second: str, b: torch.Tensor) -> None:
    """Raise ValueError unless two tensors have one shape, one dtype and one device."""
    for what, mine, other in (
        ("shape", tuple(a.shape), tuple(b.shape)),
        ("dtype", a.dtype, b.dtype),
        ("device", a.device, b.device),
    ):
        if mine != other:
            raise ValueError(f"{second} has {what} {other} and {first} has {mine}; they must be the same")
