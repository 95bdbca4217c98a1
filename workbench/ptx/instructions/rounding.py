"""Exactly rounded results from double-precision arithmetic.

A result is computed in float64 together with the error of that computation, so that it can be rounded once: to nearest,
or in a direction, to whatever narrower format.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

F32, F64, I64 = np.float32, np.float64, np.int64
_TAIL = np.array(0x1FFFFFFF, I64)  # the bits of a float64 that a float32 has no place for
_HALF = np.array(0x10000000, I64)
_SMALLEST = float(np.finfo(F32).tiny)


def two_sum(a: Any, b: Any) -> tuple[Any, Any]:
    """The float64 sum and its error, exactly (Knuth)."""
    total = a + b
    back = total - a
    error = (a - (total - back)) + (b - back)
    return total, np.where(np.isfinite(error), error, 0.0)


def to_odd(value: Any, error: Any) -> Any:
    """value + error rounded to odd in float64: rounding it again, to fewer bits, is then as good as rounding once."""
    value = np.asarray(value, F64)
    bits = value.view(I64)
    inexact = (error != 0) & np.isfinite(value) & ((bits & 1) == 0)
    away = (error > 0) == (value > 0)
    return np.where(inexact, bits + np.where(away, 1, -1), bits).view(F64)


def fused(a: Any, b: Any, c: Any) -> Any:
    """a * b + c for float32, rounded once to nearest even.

    The product is exact in float64. Rounding its sum with c to float64 first matters only if that lands exactly
    between two float32 numbers, or below the normal ones: rare, looked for, and then done with care.
    """
    wide = np.multiply(a.astype(F64), b.astype(F64)) + c.astype(F64)
    result = wide.astype(F32)
    tail = wide.view(I64) & _TAIL
    if (tail == _HALF).any() or ((np.abs(result) < _SMALLEST) & (wide != 0)).any():
        total, error = two_sum(np.multiply(a.astype(F64), b.astype(F64)), c.astype(F64))
        return to_odd(total, error).astype(F32)
    return result


def directed_sum(a: Any, b: Any, mode: str) -> Any:
    """The sum of two float64 rounded to float32 in a direction."""
    total, error = two_sum(a, b)
    return directed(zero_down(total, a, b, mode), error, mode)


def zero_down(total: Any, a: Any, b: Any, mode: str) -> Any:
    """A sum that is zero is -0 if rounded down, unless both are +0 (IEEE 754, 6.3)."""
    if mode != "rm":
        return total
    return np.where((total == 0) & (np.signbit(a) | np.signbit(b)), -0.0, total)


def directed(value: Any, error: Any, mode: str) -> Any:
    """value + error, in float64, rounded to float32 towards zero (rz), down (rm) or up (rp)."""
    value = np.asarray(value, F64)
    nearest = value.astype(F32)
    back = nearest.astype(F64)
    above = (back > value) | ((back == value) & (error < 0))
    below = (back < value) | ((back == value) & (error > 0))
    down, up = np.nextafter(nearest, F32(-np.inf)), np.nextafter(nearest, F32(np.inf))
    if mode == "rm":
        chosen = np.where(above, down, nearest)
    elif mode == "rp":
        chosen = np.where(below, up, nearest)
    else:
        chosen = np.where(above & (value > 0), down, np.where(below & (value < 0), up, nearest))
    return np.where(np.isfinite(value), chosen, nearest)


def directed_wide(nearest: Any, beyond: Any, mode: str, *values: Any) -> Any:
    """Results of float64 operations on values rounded in a direction: `nearest`, or its neighbour.

    `beyond` says, given as `Fraction`s a result and the values, by how much (or only to which side) the result is more
    than the true one. One element after the other: nobody does this in a loop that counts.
    """
    result, *operands = (np.array(array, F64) for array in np.broadcast_arrays(nearest, *values))
    for at in np.ndindex(result.shape):
        found, given = float(result[at]), [float(array[at]) for array in operands]
        if not np.isfinite(given).all() or np.isnan(found):
            continue
        towards = {"rm": -np.inf, "rp": np.inf, "rz": -np.inf if found > 0 else np.inf}[mode]
        largest = float(np.clip(found, -np.finfo(F64).max, np.finfo(F64).max))
        too_far = beyond(Fraction(largest), *map(Fraction, given))
        if np.isinf(found) and too_far:  # it ran over: an infinite result is more than any true one
            too_far = found
        if too_far and (too_far > 0) == (towards < 0):
            result[at] = np.nextafter(found, towards)
    return result


def fused_wide(a: Any, b: Any, c: Any) -> Any:
    """a * b + c for float64, rounded once: exact product and sum, the tail rounded to odd (Boldo and Melquiond)."""
    product, product_error = two_product(a, b)
    total, total_error = two_sum(c, product_error)
    high, high_error = two_sum(product, total)
    tail, tail_error = two_sum(total_error, high_error)
    result = high + to_odd(tail, tail_error)
    plain = a * b + c
    # Of a zero only the plain sum has the right sign.
    found = np.where(np.isfinite(plain) & np.isfinite(result) & (result != 0), result, plain)
    small = (np.abs(plain) < 1e-280) & (a != 0) & (b != 0)  # errors of the product are no float64 there
    large = np.isinf(product) & np.isfinite(a) & np.isfinite(b)  # and there the product itself is none
    if small.any() or large.any():
        found, left, right, added = (np.array(x) for x in np.broadcast_arrays(found, a, b, c))
        for at in map(tuple, np.argwhere(np.broadcast_to(small | large, found.shape)).tolist()):
            found[at] = _one_fused(found[at], float(left[at]), float(right[at]), float(added[at]))
    return found


def _one_fused(nearly: float, a: float, b: float, c: float) -> float:
    """a * b + c of finite a and b, by exact arithmetic; `nearly` has the sign of a zero."""
    if not np.isfinite(c):
        return c
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    try:
        return float(exact) if exact else nearly
    except OverflowError:
        return np.inf if exact > 0 else -np.inf


def two_product(a: Any, b: Any) -> tuple[Any, Any]:
    """The float64 product and its error (Dekker, with Veltkamp's splitting)."""
    product = a * b

    def split(x: Any) -> tuple[Any, Any]:
        big = x * 134217729.0
        high = big - (big - x)
        return high, x - high

    ah, al = split(a)
    bh, bl = split(b)
    error = ((ah * bh - product) + ah * bl + al * bh) + al * bl
    return product, np.where(np.isfinite(error), error, 0.0)
