"""Half-precision arithmetic: f16, bf16, and pairs of them in 32 bits (PTX ISA 9.7.4).

Sums, products, quotients and roots of halves are computed in float32, which has more than twice their precision:
rounding its result once more is as good as rounding once. fma goes through float64 (see `rounding`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.ptx.builder import Builder
from workbench.ptx.instructions.rounding import to_odd, two_sum
from workbench.ptx.model import Instruction

F32, F64 = np.float32, np.float64


def from_bfloat(x: Any) -> Any:
    """bfloat16 bits, in 16-bit integers, as float32."""
    return (x.view(np.uint16).astype(np.uint32) << np.uint32(16)).view(F32)


def to_bfloat(x: Any) -> Any:
    """float32 to the bits of bfloat16, to nearest even."""
    x = np.asarray(x, F32)
    bits = x.view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    return np.where(np.isnan(x), np.uint32(0x7FFF), rounded).astype(np.uint16).view(np.int16)


def narrowed(x: Any, kind: str) -> Any:
    """float32 or float64 to bits of f16 or bf16. A float64 has been rounded to odd."""
    if kind.startswith("f16"):
        return np.asarray(x).astype(np.float16).view(np.int16)
    if x.dtype == F64:
        x = _odd_to_single(x)
    return to_bfloat(x)


def _odd_to_single(x: Any) -> Any:
    """float64 to float32, rounded to odd: towards zero, with the last bit set if anything was lost."""
    near = x.astype(F32)
    toward = np.where(np.abs(near.astype(F64)) > np.abs(x), np.nextafter(near, F32(0)), near)
    lost = (toward.astype(F64) != x) & np.isfinite(toward)
    return np.where(lost, toward.view(np.int32) | 1, toward.view(np.int32)).view(F32)


def widened(x: Any, kind: str) -> Any:
    """Bits of f16 or bf16 as float32."""
    return x.view(np.float16).astype(F32) if kind.startswith("f16") else from_bfloat(x)


def unpacked(x: Any, kind: str) -> Any:
    """A pair, in 32-bit integers, as float32 with the low half first: an array of one dimension more, the last."""
    bits = x.view(np.uint32)
    low, high = (
        bits.astype(np.uint16).view(np.int16),
        (bits >> np.uint32(16)).astype(np.uint16).view(np.int16),
    )
    return np.stack([widened(low, kind), widened(high, kind)], axis=-1)


def packed(x: Any, kind: str) -> Any:
    """The reverse of `unpacked`."""
    low, high = (narrowed(x[..., half], kind).view(np.uint16) for half in (0, 1))
    return (low.astype(np.uint32) | (high.astype(np.uint32) << np.uint32(16))).view(np.int32)


def fused(a: Any, b: Any, c: Any) -> Any:
    """a * b + c for halves given as float32; the result, in float64, can be rounded to any of them."""
    total, error = two_sum(np.multiply(a.astype(F64), b.astype(F64)), c.astype(F64))
    return to_odd(total, error)


def _extreme(function: Any, strict: Any) -> Any:
    return lambda parts: strict if "NaN" in parts else function


def _function(ins: Instruction) -> Any:
    from workbench.ptx.instructions.floating import larger, smaller

    name, parts = ins.parts[0], ins.parts
    if name in ("min", "max"):
        pair = (smaller, np.minimum) if name == "min" else (larger, np.maximum)
        return pair["NaN" in parts]
    if name == "fma":
        if "relu" in parts:
            return lambda x, y, z: np.maximum(fused(x, y, z), 0)
        return fused
    return {
        "add": np.add, "sub": np.subtract, "mul": np.multiply, "abs": np.abs, "neg": np.negative, "div": np.divide,
    }[name]  # fmt: skip


def arithmetic(build: Builder, ins: Instruction, kind: str) -> None:
    apply(build, ins, kind, _function(ins))


def unary(build: Builder, ins: Instruction, function: Any) -> None:
    apply(build, ins, ins.parts[-1], function)


def apply(build: Builder, ins: Instruction, kind: str, function: Any) -> None:
    """Run a function of float32 values on halves or pairs of them."""
    d, *sources = ins.operands
    sat = "sat" in ins.parts
    if kind.endswith("x2"):
        wide, narrow, bits = unpacked, packed, "b32"
    else:
        wide, narrow, bits = widened, narrowed, "b16"

    def run(*values: Any) -> Any:
        result = function(*(wide(value, kind) for value in values))
        if sat:
            result = np.where(np.isnan(result), 0, np.clip(result, 0, 1)).astype(result.dtype)
        return narrow(result, kind)

    build.compute(run, build.target(d, bits), *(_half_source(build, item, kind) for item in sources))


def _half_source(build: Builder, operand: Any, kind: str) -> Any:
    """Half immediates are written as their bits, as in 0x3C00."""
    return build.source(operand, "b32" if kind.endswith("x2") else "b16")
