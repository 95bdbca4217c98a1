"""cvt: between all types, with all rounding modes (PTX ISA 9.7.9.21; 6.5, rounding).

Numbers pass through float64, which holds every float and every integer of up to 32 bits; 64-bit integers that don't fit
are taken by their upper and lower halves.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.ptx.builder import Builder, instruction
from workbench.ptx.instructions.floating import flush, saturate
from workbench.ptx.instructions.halves import from_bfloat, narrowed, to_bfloat, unpacked
from workbench.ptx.instructions.rounding import directed, to_odd, two_sum
from workbench.ptx.kinds import DTYPES
from workbench.ptx.model import SIZES, Instruction

F32, F64 = np.float32, np.float64
_FLOATS = ("f16", "bf16", "f32", "f64", "tf32")
_TO_WHOLE = {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}


@instruction("cvt")
def convert(build: Builder, ins: Instruction) -> None:
    parts = ins.parts
    made, kind = parts[-2], parts[-1]
    if made.endswith("x2") or kind.endswith("x2"):
        return _pairs(build, ins, made, kind)
    d, a = ins.operands
    target = build.target(d, "b16" if made in ("f16", "bf16") else "b32" if made == "tf32" else made)
    source = build.source(a, "b16" if kind in ("f16", "bf16") else kind)
    build.compute(conversion(made, kind, parts), target, source)


def conversion(made: str, kind: str, parts: list[str]) -> Any:
    if kind in _FLOATS and made in _FLOATS:
        return _float_to_float(made, kind, parts)
    if kind in _FLOATS:
        return _float_to_integer(made, kind, parts)
    if made in _FLOATS:
        return _integer_to_float(made, kind, parts)
    return _integer_to_integer(made, kind, "sat" in parts)


def _integer_to_integer(made: str, kind: str, sat: bool) -> Any:
    dtype = DTYPES[made]
    if not sat:
        return lambda x: x.astype(dtype)
    limits, source = np.iinfo(dtype), np.iinfo(DTYPES[kind])
    low, high = max(limits.min, source.min), min(limits.max, source.max)
    return lambda x: np.clip(x, x.dtype.type(low), x.dtype.type(high)).astype(dtype)


def _as_double(kind: str) -> Any:
    if kind == "f16":
        return lambda x: x.view(np.float16).astype(F64)
    if kind == "bf16":
        return lambda x: from_bfloat(x).astype(F64)
    return lambda x: x.astype(F64)


def _float_to_integer(made: str, kind: str, parts: list[str]) -> Any:
    """Out of range is the nearest end of the range; NaN is 0, for 64 bits the sign bit alone (as on sm_90)."""
    whole = next((_TO_WHOLE[part] for part in parts if part in _TO_WHOLE), np.trunc)
    double = _as_double(kind)
    dtype = DTYPES[made]
    limits = np.iinfo(dtype)
    ftz = "ftz" in parts and kind == "f32"
    nan = 0 if dtype.itemsize < 8 else 1 << 63 if dtype.kind == "u" else limits.min
    end = float(limits.max) + (1 if dtype.itemsize < 8 else 0)  # the first number that is too large

    def run(x: Any) -> Any:
        value = whole(double(flush(x) if ftz else x))
        fits = (value >= float(limits.min)) & (value < end)
        result = np.where(fits, value, 0.0).astype(dtype)
        if fits.all():
            return result
        ends = np.where(value < 0, dtype.type(limits.min), dtype.type(limits.max))
        return np.where(fits, result, np.where(np.isnan(value), dtype.type(nan), ends))

    return run


def _integer_to_float(made: str, kind: str, parts: list[str]) -> Any:
    mode = next((part for part in parts if part in ("rn", "rz", "rm", "rp")), "rn")
    if mode == "rn" and made in ("f32", "f64"):
        dtype = DTYPES[made]
        return lambda x: x.astype(dtype)

    def exact(x: Any) -> tuple[Any, Any]:
        if x.dtype.itemsize < 8:
            return x.astype(F64), np.zeros((), F64)
        low = (x & x.dtype.type(0xFFFFFFFF)).astype(F64)
        return two_sum((x >> x.dtype.type(32)).astype(F64) * 4294967296.0, low)

    def run(x: Any) -> Any:
        value, error = exact(x)
        return _rounded(value, error, made, mode)

    return run


def _float_to_float(made: str, kind: str, parts: list[str]) -> Any:
    double = _as_double(kind)
    ftz, sat, relu = "ftz" in parts, "sat" in parts, "relu" in parts
    whole = next((_TO_WHOLE[part] for part in parts if part in _TO_WHOLE), None)
    mode = next((part for part in parts if part in ("rn", "rz", "rm", "rp", "rna")), "rn")
    zero = np.zeros((), F64)
    if kind == "f16" and made == "f32" and not sat and not relu:
        return lambda x: x.view(np.float16).astype(F32)
    if kind == "f32" and made == "f16" and mode == "rn" and not (sat or relu or ftz):
        return lambda x: x.astype(np.float16).view(np.int16)

    def run(x: Any) -> Any:
        if ftz and kind == "f32":
            x = flush(x)
        value = double(x)
        if whole is not None:
            value = np.copysign(whole(value), value)
        if sat:
            value = saturate(value)
        if relu:
            value = np.where(np.isnan(value), value, np.maximum(value, 0.0))
        result = _rounded(value, zero, made, mode)
        return flush(result) if ftz and made == "f32" else result

    return run


def _rounded(value: Any, error: Any, made: str, mode: str) -> Any:
    """A float64 and its error, rounded once to a float type; 16-bit ones and tf32 as their bits."""
    value = np.asarray(value, F64)
    if made == "f64":
        return value
    if made == "tf32":
        return _to_tf32(value.astype(F32), mode)
    if mode == "rn":
        odd = to_odd(value, error)
        return odd.astype(F32) if made == "f32" else narrowed(odd, made)
    if made == "f32":
        return directed(value, error, mode)
    return _directed_half(directed(value, error, mode), made, mode)


def _directed_half(single: Any, made: str, mode: str) -> Any:
    """A float32, itself rounded in that direction, on to f16 or bf16."""
    near = narrowed(single, made)
    back = near.view(np.float16).astype(F32) if made == "f16" else from_bfloat(near)
    magnitude = near & np.int16(0x7FFF)
    outward = np.abs(back) > np.abs(single)  # rounded away from zero
    inward = np.abs(back) < np.abs(single)
    negative = np.signbit(single)
    shrink = outward & ({"rz": True, "rm": ~negative, "rp": negative}[mode])
    grow = inward & ({"rz": False, "rm": negative, "rp": ~negative}[mode])
    magnitude = magnitude - shrink.astype(np.int16) + np.asarray(grow).astype(np.int16)
    result = magnitude | np.where(negative, np.int16(-0x8000), np.int16(0))
    return np.where(np.isnan(single), near, result).astype(np.int16)


def _to_tf32(x: Any, mode: str) -> Any:
    """19 bits of a float32: .rna rounds ties away from zero, .rn to even, .rz cuts off."""
    bits = x.view(np.uint32)
    keep = np.uint32(0xFFFFE000)
    if mode == "rz":
        rounded = bits & keep
    elif mode == "rna":
        rounded = (bits + np.uint32(0x1000)) & keep
    else:
        rounded = (bits + np.uint32(0x0FFF) + ((bits >> np.uint32(13)) & np.uint32(1))) & keep
    return np.where(np.isfinite(x), rounded, bits).astype(np.uint32).view(np.int32)


def _pairs(build: Builder, ins: Instruction, made: str, kind: str) -> None:
    """cvt to or from two packed values: the first source becomes the upper half."""
    parts = ins.parts
    if made in ("f16x2", "bf16x2") and kind == "f32" and len(ins.operands) == 3:
        d, a, b = ins.operands
        single = _float_to_float(made[:-2], "f32", parts)

        def run(high: Any, low: Any) -> Any:
            upper, lower = single(high).view(np.uint16), single(low).view(np.uint16)
            return ((upper.astype(np.uint32) << np.uint32(16)) | lower.astype(np.uint32)).view(np.int32)

        build.compute(run, build.target(d, "b32"), build.source(a, "f32"), build.source(b, "f32"))
        return
    if made in ("e4m3x2", "e5m2x2"):
        from workbench.ptx.instructions.eighths import to_eighth

        d, *sources = ins.operands
        if kind == "f32":
            high_low = [build.source(item, "f32") for item in sources]
            build.compute(lambda high, low: to_eighth(high, low, made), build.target(d, "b16"), *high_low)
        else:
            build.compute(
                lambda x: to_eighth(unpacked(x, kind)[..., 1], unpacked(x, kind)[..., 0], made),
                build.target(d, "b16"),
                build.source(sources[0], "b32"),
            )
        return
    if kind in ("e4m3x2", "e5m2x2"):
        from workbench.ptx.instructions.eighths import from_eighth

        d, a = ins.operands
        build.compute(lambda x: from_eighth(x, kind), build.target(d, "b32"), build.source(a, "b16"))
        return
    raise build.unknown("these types")


__all__ = ["SIZES", "conversion", "convert", "to_bfloat"]
