"""A case made ready: inputs, what the oracle says of them, and how far from it an output may be."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import torch

from workbench.check.compare import Tolerance, tolerance
from workbench.check.lesson import Case, Task


@dataclass(frozen=True)
class Prepared:
    """A case, ready to run: what implementations get, what the oracle says, how far from it they may be."""

    tensors: tuple[Any, ...]
    expected: tuple[np.ndarray, ...]
    dtypes: tuple[torch.dtype, ...]
    allowed: tuple[Tolerance, ...]

    @property
    def size(self) -> int:
        """Output elements."""
        return sum(out.size for out in self.expected)


def prepare(task: Task, index: int) -> Prepared:
    """Case `index` of a task: its inputs, the oracle's outputs, and the tolerance of `compare`."""
    return _prepared(task.cases[index], task.oracle, task.pytorch, task.accumulation)


@cache
def _prepared(
    case: Case, oracle: Callable[..., Any], pytorch: Callable[..., Any], accumulation: Callable[..., int]
) -> Prepared:
    tensors = inputs(case)
    numbers = tuple(as_numbers(value) for value in tensors)
    expected = as_tuple(oracle(*numbers, **case.options))
    plain = as_tuple(pytorch(*tensors, **case.options, **placed(tensors, "cpu")))
    rounded = accumulation(*numbers, **case.options)
    allowed = tuple(
        tolerance(right, partial(as_numbers, out), dtype_name(out.dtype), rounded)
        for right, out in zip(expected, plain, strict=True)
    )
    return Prepared(tensors, expected, tuple(out.dtype for out in plain), allowed)


def inputs(case: Case) -> tuple[Any, ...]:
    """A case's arguments, always the same ones: arrays as tensors on the CPU, floats rounded to the case's dtype."""
    made = case.make(np.random.default_rng(zlib.crc32(case.name.encode())))
    return tuple(_as_tensor(value, case.dtype) for value in made)


def on_device(value: Any, device: str, *, host: bool = False) -> Any:
    """A copy of a tensor on `device`; with `host`, in the host's memory, pinned for that device. Others as they are."""
    if not isinstance(value, torch.Tensor):
        return value
    if host:
        return value.clone().pin_memory() if device == "cuda" else value.clone()
    return value.to(device, copy=True)


def placed(arguments: tuple[Any, ...], device: str) -> dict[str, str]:
    """The `device=` that a call needs: none if a tensor already says where it happens."""
    return {} if any(isinstance(value, torch.Tensor) for value in arguments) else {"device": device}


def as_numbers(value: Any) -> Any:
    """A tensor's values in NumPy: floats in float64, integers as they are. Other values as they are."""
    if not isinstance(value, torch.Tensor):
        return value
    return (value.double() if value.is_floating_point() else value).detach().cpu().numpy()


def as_array(tensor: torch.Tensor) -> np.ndarray:
    """A tensor's values in NumPy, in its own dtype (bfloat16, for which NumPy has none, in float32)."""
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().cpu().numpy()


def as_tuple(outputs: Any) -> tuple[Any, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


def dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _as_tensor(value: Any, dtype: str) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    tensor = torch.from_numpy(value)
    return tensor.to(getattr(torch, dtype)) if tensor.is_floating_point() else tensor
