"""8-bit floats in pairs: e4m3 and e5m2 (PTX ISA 5.2.3)."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np


@cache
def values_of(kind: str) -> Any:
    """The number that each of the 256 bit patterns stands for."""
    bits = np.arange(256)
    mantissa_bits, bias = (3, 7) if kind == "e4m3" else (2, 15)
    sign = np.where(bits & 128, -1.0, 1.0)
    exponent = (bits & 127) >> mantissa_bits
    mantissa = bits & ((1 << mantissa_bits) - 1)
    fraction = mantissa / (1 << mantissa_bits)
    normal = np.ldexp(1 + fraction, exponent - bias)
    values = sign * np.where(exponent == 0, np.ldexp(fraction, 1 - bias), normal)
    if kind == "e4m3":
        values[(bits & 127) == 127] = np.nan
    else:
        values[(exponent == 31) & (mantissa == 0)] = np.inf * sign[(exponent == 31) & (mantissa == 0)]
        values[(exponent == 31) & (mantissa != 0)] = np.nan
    return values


def _encode(x: Any, kind: str) -> Any:
    """To nearest even; what is too large becomes the largest finite number (.satfinite)."""
    finite = 126 if kind == "e4m3" else 123
    grid = values_of(kind)[: finite + 1]
    size = np.minimum(np.abs(x.astype(np.float64)), grid[-1])
    above = np.searchsorted(grid, size)
    below = np.maximum(above - 1, 0)
    middle = (grid[above] + grid[below]) / 2
    code = np.where(
        size > middle, above, np.where(size < middle, below, np.where(above % 2 == 0, above, below))
    )
    code = np.where(np.isnan(x), 127, code)
    return (code | np.where(np.signbit(x) & ~np.isnan(x), 128, 0)).astype(np.uint16)


def to_eighth(high: Any, low: Any, kind: str) -> Any:
    return (_encode(low, kind[:4]) | (_encode(high, kind[:4]) << np.uint16(8))).view(np.int16)


def from_eighth(x: Any, kind: str) -> Any:
    """A pair of 8-bit floats as a pair of f16."""
    table = values_of(kind[:4]).astype(np.float16).view(np.uint16).astype(np.uint32)
    bits = x.view(np.uint16)
    return (table[bits & 255] | (table[bits >> np.uint16(8)] << np.uint32(16))).view(np.int32)
