"""Integer arithmetic (PTX ISA 9.7.1) and extended-precision integer arithmetic (9.7.2)."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.ptx.builder import Builder, instruction
from workbench.ptx.compute import Source
from workbench.ptx.instructions import floating, halves, packed
from workbench.ptx.kinds import DTYPES, cast, signed, unsigned, viewed
from workbench.ptx.model import SIZES, Immediate, Instruction, Operand, Register

_WIDE = {"s16": "s32", "u16": "u32", "s32": "s64", "u32": "u64"}


def is_integer(kind: str) -> bool:
    return kind[0] in "sub" and kind in SIZES and not kind.endswith("x2") and not kind.startswith("bf")


@instruction("add", "sub", "mul", "mad", "fma", "min", "max", "abs", "neg", "div")
def arithmetic(build: Builder, ins: Instruction) -> None:
    """The same names serve integers, floats and halves: the type says which."""
    kind = next((part for part in reversed(ins.parts) if part != "relu"), "")
    if kind in ("u16x2", "s16x2"):
        packed.pairs(build, ins, kind)
    elif is_integer(kind):
        _INTEGER[ins.parts[0]](build, ins, kind)
    elif kind in ("f16", "f16x2", "bf16", "bf16x2"):
        halves.arithmetic(build, ins, kind)
    else:
        floating.arithmetic(build, ins, kind)


def _bits(kind: str) -> str:
    """Operations that don't look at the sign work on registers as they are kept."""
    return f"b{8 * SIZES[kind]}"


def _sum(function: Any) -> Any:
    def decode(build: Builder, ins: Instruction, kind: str) -> None:
        d, a, b = ins.operands
        parts = ins.parts[1:]
        if "cc" in parts:
            return with_carry(build, ins, kind, function, False)
        if "sat" in parts:
            return _saturated(build, ins, kind, function)
        bits = _bits(kind)
        build.compute(function, build.target(d, bits), build.source(a, bits), build.source(b, bits))

    return decode


def _saturated(build: Builder, ins: Instruction, kind: str, function: Any) -> None:
    d, a, b = ins.operands
    limits = np.iinfo(DTYPES[kind])

    def run(x: Any, y: Any) -> Any:
        wide = function(x.astype(np.int64), y.astype(np.int64))
        return np.clip(wide, limits.min, limits.max).astype(x.dtype)

    build.compute(run, build.target(d, kind), build.source(a, kind), build.source(b, kind))


def _wide_source(build: Builder, operand: Operand, kind: str) -> Source:
    """An operand as a value of twice its size: a constant is made one at once."""
    if isinstance(operand, Immediate):
        value = int(operand.value) & ((1 << 8 * SIZES[kind]) - 1)
        if kind[0] == "s" and value >> (8 * SIZES[kind] - 1):
            value -= 1 << 8 * SIZES[kind]
        return build.source(Immediate(value, operand.text), _WIDE[kind])
    slot, adapt = build.source(operand, kind)
    widen = cast(DTYPES[_WIDE[kind]])
    if adapt is None:
        return slot, widen
    return slot, lambda array: widen(adapt(array))


def _mul(build: Builder, ins: Instruction, kind: str) -> None:
    d, a, b, *c = ins.operands
    parts = ins.parts
    if "cc" in parts:
        with_carry(build, ins, kind, np.add, False)
        return
    if "wide" in parts:
        wide = _WIDE[kind]
        sources = [_wide_source(build, a, kind), _wide_source(build, b, kind)]
        if c:
            sources.append(build.source(c[0], wide))
            build.compute(_multiply_add, build.target(d, wide), *sources)
        else:
            build.compute(np.multiply, build.target(d, wide), *sources)
        return
    if "hi" in parts:
        sources = [build.source(a, kind), build.source(b, kind)]
        if c:
            sources.append(build.source(c[0], kind))
            build.compute(lambda x, y, z: high(x, y) + z, build.target(d, kind), *sources)
        else:
            build.compute(high, build.target(d, kind), *sources)
        return
    bits = _bits(kind)
    sources = [build.source(a, bits), build.source(b, bits)]
    if c:
        sources.append(build.source(c[0], bits))
        build.compute(_multiply_add, build.target(d, bits), *sources)
    else:
        build.compute(np.multiply, build.target(d, bits), *sources)


def _multiply_add(x: Any, y: Any, z: Any) -> Any:
    return np.add(np.multiply(x, y), z)


def high(x: Any, y: Any) -> Any:
    """The upper half of a product."""
    dtype = x.dtype
    if dtype.itemsize < 8:
        wide = np.dtype(f"{dtype.kind}{2 * dtype.itemsize}")
        return ((x.astype(wide) * y.astype(wide)) >> np.array(8 * dtype.itemsize, wide)).astype(dtype)
    a, b = x.view(np.uint64), y.view(np.uint64)
    low, half = np.array(0xFFFFFFFF, np.uint64), np.array(32, np.uint64)
    a0, a1, b0, b1 = a & low, a >> half, b & low, b >> half
    middle = a1 * b0 + ((a0 * b0) >> half)
    other = a0 * b1 + (middle & low)
    upper = a1 * b1 + (middle >> half) + (other >> half)
    if dtype.kind == "u":
        return upper
    upper = upper - np.where(x < 0, b, np.uint64(0)) - np.where(y < 0, a, np.uint64(0))
    return upper.view(np.int64)


def _div(build: Builder, ins: Instruction, kind: str) -> None:
    d, a, b = ins.operands
    build.compute(divided, build.target(d, kind), build.source(a, kind), build.source(b, kind))


def divided(x: Any, y: Any) -> Any:
    """Division towards zero; by zero it gives all bits set, as the hardware's division routine does."""
    if x.dtype.kind == "u":
        quotient = x // y
    else:
        quotient = (x - np.fmod(x, y)) // np.where(y == 0, y.dtype.type(1), y)
    return np.where(y == 0, ~x.dtype.type(0), quotient)


@instruction("rem")
def remainder(build: Builder, ins: Instruction) -> None:
    d, a, b = ins.operands
    kind = ins.parts[-1]

    def run(x: Any, y: Any) -> Any:
        return np.where(y == 0, x, np.fmod(x, y))

    build.compute(run, build.target(d, kind), build.source(a, kind), build.source(b, kind))


def _extreme(function: Any) -> Any:
    def decode(build: Builder, ins: Instruction, kind: str) -> None:
        d, a, b = ins.operands
        relu = "relu" in ins.parts

        def run(x: Any, y: Any) -> Any:
            return np.maximum(function(x, y), 0) if relu else function(x, y)

        build.compute(
            run if relu else function, build.target(d, kind), build.source(a, kind), build.source(b, kind)
        )

    return decode


def _single(function: Any) -> Any:
    def decode(build: Builder, ins: Instruction, kind: str) -> None:
        d, a = ins.operands
        build.compute(function, build.target(d, kind), build.source(a, kind))

    return decode


_INTEGER: dict[str, Any] = {
    "add": _sum(np.add),
    "sub": _sum(np.subtract),
    "mul": _mul,
    "mad": _mul,
    "fma": _mul,
    "div": _div,
    "min": _extreme(np.minimum),
    "max": _extreme(np.maximum),
    "abs": _single(np.abs),
    "neg": _single(np.negative),
}


@instruction("mul24", "mad24")
def short_multiply(build: Builder, ins: Instruction) -> None:
    """Products of 24-bit numbers; their low 32 bits, or with .hi those from bit 16 on (9.7.1.8)."""
    d, a, b, *c = ins.operands
    kind = ins.parts[-1]
    shift = np.array(16 if "hi" in ins.parts else 0, np.int64)

    def run(x: Any, y: Any, *z: Any) -> Any:
        x, y = (
            (v.astype(np.int64) << 40) >> 40 if kind == "s32" else v.astype(np.int64) & 0xFFFFFF
            for v in (x, y)
        )
        product = ((x * y) >> shift).astype(np.int32)
        return product + z[0].view(np.int32) if z else product

    build.compute(run, build.target(d, "b32"), *(build.source(item, kind) for item in (a, b, *c)))


@instruction("sad")
def absolute_difference(build: Builder, ins: Instruction) -> None:
    d, a, b, c = ins.operands
    kind = ins.parts[-1]

    def run(x: Any, y: Any, z: Any) -> Any:
        return z + (np.maximum(x, y) - np.minimum(x, y))

    build.compute(run, build.target(d, kind), *(build.source(item, kind) for item in (a, b, c)))


@instruction("addc", "subc", "madc")
def carry_on(build: Builder, ins: Instruction) -> None:
    with_carry(build, ins, ins.parts[-1], np.subtract if ins.parts[0] == "subc" else np.add, True)


def with_carry(build: Builder, ins: Instruction, kind: str, function: Any, takes: bool) -> None:
    """add.cc, addc, sub.cc, subc, mad.cc, madc: the carry lies in a register of its own, CC.CF (PTX ISA 9.7.2).

    The hardware subtracts as a + ~b + 1, so the carry is 1 where nothing is borrowed. An addc that follows a sub.cc
    sees this, and NVIDIA's division of 128-bit integers relies on it.
    """
    d, *operands = ins.operands
    carry = build.slot(Register("%cc", "b32"))
    bits = DTYPES[_bits(kind)]
    natural = unsigned(bits)
    sources = [
        (slot, adapt or viewed(bits))
        for slot, adapt in (build.source(item, _bits(kind)) for item in operands)
    ]
    target, out = build.target(d, _bits(kind))
    gives = "cc" in ins.parts
    if takes:
        build.used.append(carry)
    if gives:
        build.defined.append(carry)
    adding = function is not np.subtract
    product_of = high if "hi" in ins.parts else np.multiply
    seen = signed(bits) if kind[0] == "s" else natural

    def run(w: Any, r: list[Any]) -> None:
        values = [adapt(r[slot]) for slot, adapt in sources]
        if len(values) == 3:
            values = [product_of(values[0].view(seen), values[1].view(seen)), values[2]]
        left, right = (value.view(natural) for value in values)
        if not adding:
            right = ~right
        before = r[carry].astype(natural) if takes else natural.type(0 if adding else 1)
        first = left + right
        result = first + before
        over = (first < left) | (result < first)
        if gives:
            r[carry] = over.astype(np.int32)
        kept = result.view(bits)
        r[target] = out(kept) if out else kept

    build.steps.append(run)


@instruction("dp4a", "dp2a")
def dot_bytes(build: Builder, ins: Instruction) -> None:
    """Dot products of packed bytes, or of 16-bit halves with bytes (9.7.1.23, 9.7.1.24)."""
    d, a, b, c = ins.operands
    left, right = ins.parts[-2], ins.parts[-1]
    four = ins.parts[0] == "dp4a"
    upper = "hi" in ins.parts

    def lanes(array: Any, kind: str, bits: int) -> list[Any]:
        found = [(array.astype(np.int64) >> at) & ((1 << bits) - 1) for at in range(0, 32, bits)]
        if kind[0] == "s":
            found = [value - ((value >> (bits - 1)) << bits) for value in found]
        return found

    def run(x: Any, y: Any, z: Any) -> Any:
        xs, ys = lanes(x, left, 8 if four else 16), lanes(y, right, 8)
        if not four:
            ys = ys[2:] if upper else ys[:2]
        total = z.astype(np.int64)
        for p, q in zip(xs, ys, strict=True):
            total = total + p * q
        return total.astype(np.int32)

    build.compute(run, build.target(d, "b32"), *(build.source(item, "b32") for item in (a, b, c)))
