"""PTX's types (PTX ISA 5.2) and how NumPy holds them.

A register has no type of its own but a size: it is kept as a signed integer of that size, except that registers
declared .f32, .f64 and .pred are kept as what they are. Instructions see it as the type that they name.
"""

from __future__ import annotations

from operator import methodcaller
from typing import Any

import numpy as np

from workbench.ptx.model import SIZES

DTYPES: dict[str, np.dtype[Any]] = {
    "pred": np.dtype(np.bool_),
    "u8": np.dtype(np.uint8), "s8": np.dtype(np.int8), "b8": np.dtype(np.int8),
    "u16": np.dtype(np.uint16), "s16": np.dtype(np.int16), "b16": np.dtype(np.int16),
    "u32": np.dtype(np.uint32), "s32": np.dtype(np.int32), "b32": np.dtype(np.int32),
    "u64": np.dtype(np.uint64), "s64": np.dtype(np.int64), "b64": np.dtype(np.int64),
    "f16": np.dtype(np.float16), "f32": np.dtype(np.float32), "f64": np.dtype(np.float64),
    "bf16": np.dtype(np.int16), "f16x2": np.dtype(np.int32), "bf16x2": np.dtype(np.int32),
    "tf32": np.dtype(np.int32), "u16x2": np.dtype(np.int32), "s16x2": np.dtype(np.int32),
    "f32x2": np.dtype(np.int64), "b128": np.dtype(np.complex128),
    "e4m3x2": np.dtype(np.int16), "e5m2x2": np.dtype(np.int16),
}  # fmt: skip

_HELD: dict[int, np.dtype[Any]] = {
    1: np.dtype(np.int8),
    2: np.dtype(np.int16),
    4: np.dtype(np.int32),
    8: np.dtype(np.int64),
}
_HELD[16] = np.dtype(np.complex128)


def held(kind: str) -> np.dtype[Any]:
    """How a register declared with this type is kept."""
    if kind in ("f32", "f64", "pred"):
        return DTYPES[kind]
    return _HELD[SIZES[kind]]


_VIEWS: dict[np.dtype[Any], Any] = {}
_CASTS: dict[np.dtype[Any], Any] = {}


def viewed(dtype: np.dtype[Any]) -> Any:
    """A function that sees an array's bits as another type of the same size."""
    return _VIEWS.setdefault(dtype, methodcaller("view", dtype))


def cast(dtype: np.dtype[Any]) -> Any:
    """A function that converts an array's values; integers are cut off or extended."""
    return _CASTS.setdefault(dtype, methodcaller("astype", dtype))


def unsigned(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(f"u{dtype.itemsize}")


def signed(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(f"i{dtype.itemsize}")
