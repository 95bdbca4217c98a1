"""Logic and shifts (PTX ISA 9.7.8), and counting and moving bits (9.7.1)."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.ptx.builder import Builder, instruction
from workbench.ptx.compute import Source
from workbench.ptx.kinds import DTYPES, unsigned
from workbench.ptx.model import SIZES, Immediate, Instruction, Operand


def _logic(function: Any) -> Any:
    def decode(build: Builder, ins: Instruction) -> None:
        d, a, b = ins.operands
        kind = ins.parts[-1]
        build.compute(function, build.target(d, kind), build.source(a, kind), build.source(b, kind))

    return decode


instruction("and")(_logic(np.bitwise_and))
instruction("or")(_logic(np.bitwise_or))
instruction("xor")(_logic(np.bitwise_xor))


@instruction("not")
def invert(build: Builder, ins: Instruction) -> None:
    d, a = ins.operands
    kind = ins.parts[-1]
    build.compute(np.invert, build.target(d, kind), build.source(a, kind))


@instruction("cnot")
def is_zero(build: Builder, ins: Instruction) -> None:
    d, a = ins.operands
    kind = ins.parts[-1]
    dtype = DTYPES[kind]
    build.compute(lambda x: (x == 0).astype(dtype), build.target(d, kind), build.source(a, kind))


def _amount(build: Builder, operand: Operand, dtype: np.dtype[Any]) -> Source:
    """A shift's amount, an unsigned 32-bit number, in the type of what is shifted; 255 says "everything"."""
    if isinstance(operand, Immediate):
        slot = build.constant(min(int(operand.value) & 0xFFFFFFFF, 255 if dtype.itemsize > 1 else 127), dtype)
        build.used.append(slot)
        return slot, None
    slot, adapt = build.source(operand, "u32")
    return slot, lambda array: np.minimum(adapt(array) if adapt else array, np.uint32(255)).astype(dtype)


@instruction("shl", "shr")
def shift(build: Builder, ins: Instruction) -> None:
    """Amounts beyond the width shift everything out, as they do in NumPy."""
    d, a, b = ins.operands
    kind = ins.parts[-1]
    left = ins.parts[0] == "shl"
    seen = "u" + kind[1:] if not left and kind[0] == "b" else kind
    function = np.left_shift if left else np.right_shift
    build.compute(function, build.target(d, seen), build.source(a, seen), _amount(build, b, DTYPES[seen]))


@instruction("shf")
def funnel(build: Builder, ins: Instruction) -> None:
    """Shifts the 64 bits b:a; the upper half of the result for .l, the lower for .r (9.7.8.7)."""
    d, a, b, c = ins.operands
    left, wrap = ins.parts[1] == "l", ins.parts[2] == "wrap"

    def run(x: Any, y: Any, amount: Any) -> Any:
        both = (y.astype(np.uint64) << np.uint64(32)) | x.astype(np.uint64)
        by = ((amount & np.uint32(31)) if wrap else np.minimum(amount, np.uint32(32))).astype(np.uint64)
        shifted = (both << by) >> np.uint64(32) if left else both >> by
        return shifted.astype(np.uint32)

    build.compute(run, build.target(d, "u32"), *(build.source(item, "u32") for item in (a, b, c)))


@instruction("lop3")
def three_inputs(build: Builder, ins: Instruction) -> None:
    """Any logic function of three inputs; the last operand is its truth table (9.7.8.6)."""
    d, a, b, c, table = ins.operands
    if not isinstance(table, Immediate):
        raise build.unknown("this table")
    rows = [row for row in range(8) if int(table.value) >> row & 1]

    def run(x: Any, y: Any, z: Any) -> Any:
        result = np.zeros_like(x & y & z)
        for row in rows:
            term = (x if row & 4 else ~x) & (y if row & 2 else ~y) & (z if row & 1 else ~z)
            result = result | term
        return result

    build.compute(run, build.target(d, "b32"), *(build.source(item, "b32") for item in (a, b, c)))


@instruction("popc")
def ones(build: Builder, ins: Instruction) -> None:
    kind = "u" + ins.parts[-1][1:]
    d, a = ins.operands
    build.compute(
        lambda x: np.bitwise_count(x).astype(np.int32), build.target(d, "b32"), build.source(a, kind)
    )


def leading_zeros(x: Any) -> Any:
    """For unsigned 32- or 64-bit numbers: smear the highest bit downwards and count what is left above it."""
    width = 8 * x.dtype.itemsize
    by = 1
    while by < width:
        x = x | (x >> x.dtype.type(by))
        by *= 2
    return np.int32(width) - np.bitwise_count(x).astype(np.int32)


@instruction("clz")
def count_leading_zeros(build: Builder, ins: Instruction) -> None:
    d, a = ins.operands
    kind = "u" + ins.parts[-1][1:]
    build.compute(leading_zeros, build.target(d, "b32"), build.source(a, kind))


@instruction("bfind")
def highest_bit(build: Builder, ins: Instruction) -> None:
    """The place of the highest bit that isn't the sign; all ones if there is none (9.7.1.17)."""
    d, a = ins.operands
    kind = ins.parts[-1]
    by_shift = "shiftamt" in ins.parts
    width = 8 * SIZES[kind]

    def run(x: Any) -> Any:
        natural = np.where(x < 0, ~x, x).view(unsigned(x.dtype)) if kind[0] == "s" else x
        zeros = leading_zeros(natural)
        found = zeros if by_shift else np.int32(width - 1) - zeros
        return np.where(zeros == width, np.int32(-1), found)

    build.compute(run, build.target(d, "b32"), build.source(a, kind))


@instruction("brev")
def reverse(build: Builder, ins: Instruction) -> None:
    d, a = ins.operands
    kind = "u" + ins.parts[-1][1:]
    masks = ((1, 0x5555555555555555), (2, 0x3333333333333333), (4, 0x0F0F0F0F0F0F0F0F))

    def run(x: Any) -> Any:
        make = x.dtype.type
        for by, mask in masks:
            low = make(mask & np.iinfo(x.dtype).max)
            x = ((x >> make(by)) & low) | ((x & low) << make(by))
        return x.byteswap()

    build.compute(run, build.target(d, kind), build.source(a, kind))


@instruction("bfe")
def extract(build: Builder, ins: Instruction) -> None:
    """`length` bits from `start` on, with the sign extended for signed types (9.7.1.20)."""
    d, a, b, c = ins.operands
    kind = ins.parts[-1]
    width = 8 * SIZES[kind]

    def run(x: Any, start: Any, length: Any) -> Any:
        start, length = (start & np.uint32(255)).astype(np.int64), (length & np.uint32(255)).astype(np.int64)
        bits = np.minimum(length, np.maximum(width - start, 0))
        last = np.minimum(start + length - 1, width - 1)
        natural = x.view(unsigned(x.dtype)).astype(np.uint64)
        taken = natural >> start.astype(np.uint64)
        ones_mask = np.where(
            bits >= 64, ~np.uint64(0), (np.uint64(1) << bits.astype(np.uint64)) - np.uint64(1)
        )
        taken = taken & ones_mask
        if kind[0] == "s":
            sign = (natural >> np.maximum(last, 0).astype(np.uint64)) & np.uint64(1)
            sign = np.where(length == 0, np.uint64(0), sign)
            taken = np.where(sign != 0, taken | ~ones_mask, taken)
        return taken.astype(unsigned(x.dtype)).view(x.dtype)

    build.compute(
        run, build.target(d, kind), build.source(a, kind), build.source(b, "u32"), build.source(c, "u32")
    )


@instruction("bfi")
def insert(build: Builder, ins: Instruction) -> None:
    """The low `length` bits of a, put into b at `start` (9.7.1.21)."""
    f, a, b, c, d = ins.operands
    kind = "u" + ins.parts[-1][1:]
    width = 8 * SIZES[kind]

    def run(x: Any, y: Any, start: Any, length: Any) -> Any:
        start = (start & np.uint32(255)).astype(np.uint64)
        length = (length & np.uint32(255)).astype(np.uint64)
        ones_mask = np.where(length >= 64, ~np.uint64(0), (np.uint64(1) << length) - np.uint64(1))
        mask = np.where(start >= width, np.uint64(0), ones_mask << start).astype(x.dtype)
        moved = np.where(start >= width, np.uint64(0), x.astype(np.uint64) << start).astype(x.dtype)
        return (y & ~mask) | (moved & mask)

    sources = (build.source(a, kind), build.source(b, kind), build.source(c, "u32"), build.source(d, "u32"))
    build.compute(run, build.target(f, kind), *sources)


@instruction("bmsk")
def bit_mask(build: Builder, ins: Instruction) -> None:
    """`length` ones from bit `start` on; .clamp stops at 32, .wrap takes both modulo 32 (9.7.1.25)."""
    d, a, b = ins.operands
    wrap = ins.parts[1] == "wrap"

    def run(start: Any, length: Any) -> Any:
        most = np.uint32(31 if wrap else 32)
        start, length = (
            (v & most if wrap else np.minimum(v, most)).astype(np.uint64) for v in (start, length)
        )
        mask = ((np.uint64(1) << length) - np.uint64(1)) << start
        return mask.astype(np.uint32)

    build.compute(run, build.target(d, "u32"), build.source(a, "u32"), build.source(b, "u32"))


@instruction("szext")
def extend(build: Builder, ins: Instruction) -> None:
    """The low bits of a, as many as b says, extended with zeros or their sign (9.7.1.24)."""
    d, a, b = ins.operands
    kind, wrap = ins.parts[-1], ins.parts[1] == "wrap"

    def run(x: Any, bits: Any) -> Any:
        bits = ((bits & np.uint32(31)) if wrap else np.minimum(bits, np.uint32(32))).astype(np.uint64)
        low = x.astype(np.uint64) & ((np.uint64(1) << bits) - np.uint64(1))
        if kind[0] == "u":
            return low.astype(np.uint32)
        sign = np.where(bits == 0, np.uint64(0), (low >> (np.maximum(bits, 1) - np.uint64(1))) & np.uint64(1))
        return (low - (sign << bits)).astype(np.uint32)

    build.compute(run, build.target(d, "u32"), build.source(a, "u32"), build.source(b, "u32"))


@instruction("fns")
def nth_bit(build: Builder, ins: Instruction) -> None:
    """The place of the n-th bit set from `base` on, downwards for negative n; all ones if there is none (9.7.1.18)."""
    d, a, b, c = ins.operands

    def run(mask: Any, base: Any, n: Any) -> Any:
        shape = np.broadcast_shapes(mask.shape, base.shape, n.shape)
        mask, base, n = (
            np.broadcast_to(value, shape).astype(np.int64)[..., None] for value in (mask, base, n)
        )
        at = np.arange(32)
        ones = (mask >> at & 1) == 1
        up = np.cumsum(ones & (at >= base), axis=-1)
        down = np.cumsum((ones & (at <= base))[..., ::-1], axis=-1)[..., ::-1]
        hit = np.where(n > 0, (up == n) & (at >= base), (down == -n) & (at <= base)) & ones
        hit = np.where(n == 0, ones & (at == base), hit)
        return np.where(hit.any(axis=-1), hit.argmax(axis=-1), -1).astype(np.int32)

    build.compute(
        run, build.target(d, "b32"), build.source(a, "u32"), build.source(b, "u32"), build.source(c, "s32")
    )


@instruction("prmt")
def permute(build: Builder, ins: Instruction) -> None:
    """Picks four of eight bytes; each nibble of c says which, its top bit to spread the sign (9.7.9.8)."""
    d, a, b, c = ins.operands
    mode = ins.parts[2] if len(ins.parts) > 2 else ""
    tables = {
        "f4e": ((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (3, 4, 5, 6)),
        "b4e": ((0, 7, 6, 5), (1, 0, 7, 6), (2, 1, 0, 7), (3, 2, 1, 0)),
        "rc8": ((0, 0, 0, 0), (1, 1, 1, 1), (2, 2, 2, 2), (3, 3, 3, 3)),
        "ecl": ((0, 1, 2, 3), (1, 1, 2, 3), (2, 2, 2, 3), (3, 3, 3, 3)),
        "ecr": ((0, 0, 0, 0), (0, 1, 1, 1), (0, 1, 2, 2), (0, 1, 2, 3)),
        "rc16": ((0, 1, 0, 1), (2, 3, 2, 3), (0, 1, 0, 1), (2, 3, 2, 3)),
    }

    def run(x: Any, y: Any, selector: Any) -> Any:
        both = x.astype(np.uint64) | (y.astype(np.uint64) << np.uint64(32))
        result = np.uint64(0)
        for byte in range(4):
            if mode:
                place = np.array([row[byte] for row in tables[mode]], np.uint64)[selector & np.uint32(3)]
                negative = np.uint64(0)
            else:
                nibble = (selector >> np.uint32(4 * byte)) & np.uint32(15)
                place = (nibble & np.uint32(7)).astype(np.uint64)
                negative = (nibble >> np.uint32(3)).astype(np.uint64)
            value = (both >> (place * np.uint64(8))) & np.uint64(255)
            value = np.where(negative != 0, (value >> np.uint64(7)) * np.uint64(255), value)
            result = result | (value << np.uint64(8 * byte))
        return result.astype(np.uint32)

    build.compute(run, build.target(d, "u32"), *(build.source(item, "u32") for item in (a, b, c)))
