"""Matrix instructions of a warp: ldmatrix, stmatrix, movmatrix, mma.sync (PTX ISA 9.7.14.5).

A fragment register r of lane 4g + t holds, with E elements in 32 bits: of A row g + 8 (r mod 2), columns t E ... and
4E (r div 2) further; of B (column g) rows t E ... and 4E r further; of C row g + 8 (r div 2), column 2t + r mod 2.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from workbench.ptx.access import read, write
from workbench.ptx.builder import Builder, instruction
from workbench.ptx.compute import Source
from workbench.ptx.instructions import halves
from workbench.ptx.instructions.eighths import values_of
from workbench.ptx.instructions.movement import address
from workbench.ptx.instructions.warp import ALL, flat, present, rows
from workbench.ptx.model import Instruction, Operand, Vector
from workbench.ptx.stuck import lanes_returned
from workbench.ptx.trespass import full

if TYPE_CHECKING:
    from workbench.ptx.wave import Wave

Index = npt.NDArray[np.int64]
LANE = np.arange(32)
WIDTH = {
    "f16": 16,
    "bf16": 16,
    "tf32": 32,
    "f32": 32,
    "f64": 64,
    "s8": 8,
    "u8": 8,
    "e4m3": 8,
    "e5m2": 8,
    "s4": 4,
    "u4": 4,
}
ELEMENTS = {
    "f16": np.uint16, "bf16": np.int16, "tf32": np.int32, "f32": np.float32, "f64": np.float64, "s32": np.int32,
    "s8": np.int8, "u8": np.uint8, "e4m3": np.uint8, "e5m2": np.uint8,
}  # fmt: skip
REMEMBERED = 16  # fragments that products have used last


def aligned(build: Builder) -> None:
    """All lanes of a warp execute the instruction together. Where one has exited, its result is undefined (9.7.14)."""
    build.lanes = build.source(ALL, "b32")
    ins = build.current

    def all_lanes(w: Wave, r: list[Any]) -> None:
        if not w.group.whole_warps and not (here := present(w)).all():
            raise lanes_returned(w, ins, here)

    build.effect(all_lanes)


def items_of(operand: Operand) -> tuple[Operand, ...]:
    return operand.items if isinstance(operand, Vector) else (operand,)


@instruction("ldmatrix")
def load_matrix(build: Builder, ins: Instruction) -> None:
    """8 x 8 matrices of 16-bit elements; lanes 8k to 8k + 7 give the addresses of matrix k's rows (9.7.14.5.15)."""
    _shape(build, ins)
    aligned(build)
    d, a = ins.operands
    targets = [build.target(item, "b32") for item in items_of(d)]
    slot, offset, space = address(build, a, "shared")
    site = build.site("load", space, np.dtype(np.complex128), slot, offset)
    transposed = "trans" in ins.parts
    matrices = len(targets)

    def run(w: Wave, r: list[Any]) -> None:
        addresses, which = _row_addresses(w, r[slot], offset, matrices)
        values = read(w, site, addresses, which).view(np.int16).reshape(-1, matrices, 8, 8)
        if transposed:
            values = np.ascontiguousarray(values.swapaxes(2, 3))
        pairs = values.view(np.int32).reshape(-1, matrices, 32)
        for number, (target, out) in enumerate(targets):
            value = flat(w, pairs[:, number])
            r[target] = out(value) if out else value

    build.effect(run)


@instruction("stmatrix")
def store_matrix(build: Builder, ins: Instruction) -> None:
    """The reverse of ldmatrix (9.7.14.5.16)."""
    _shape(build, ins)
    aligned(build)
    a, value = ins.operands
    sources = [build.source(item, "b32") for item in items_of(value)]
    slot, offset, space = address(build, a, "shared")
    site = build.site("store", space, np.dtype(np.complex128), slot, offset)
    transposed = "trans" in ins.parts
    matrices = len(sources)

    def run(w: Wave, r: list[Any]) -> None:
        addresses, which = _row_addresses(w, r[slot], offset, matrices)
        registers = [rows(w, adapt(r[s]) if adapt else r[s]) for s, adapt in sources]
        values = np.stack(registers, axis=1).view(np.int16).reshape(-1, matrices, 8, 8)
        if transposed:
            values = values.swapaxes(2, 3)
        write(w, site, addresses, np.ascontiguousarray(values).reshape(-1).view(np.complex128), which)

    build.effect(run)


@instruction("movmatrix")
def transpose_matrix(build: Builder, ins: Instruction) -> None:
    """A matrix of 16-bit elements, transposed from registers to registers (9.7.14.5.17)."""
    _shape(build, ins)
    aligned(build)
    d, a = ins.operands
    slot, adapt = build.source(a, "b32")
    target, out = build.target(d, "b32")

    def run(w: Wave, r: list[Any]) -> None:
        before = rows(w, adapt(r[slot]) if adapt else r[slot])
        after = np.ascontiguousarray(
            np.ascontiguousarray(before).view(np.int16).reshape(-1, 8, 8).swapaxes(1, 2)
        )
        value = flat(w, after.view(np.int32).reshape(-1, 32))
        r[target] = out(value) if out else value

    build.effect(run)


def _shape(build: Builder, ins: Instruction) -> None:
    if "m8n8" not in ins.parts or ins.parts[-1] != "b16":
        raise build.unknown("this shape")


def _row_addresses(w: Wave, address_register: Any, offset: int, matrices: int) -> tuple[Any, Any]:
    count = w.group.count
    addresses = full(address_register, count).astype(np.int64) + offset
    if matrices == 4:
        return addresses, np.arange(count)
    which = np.flatnonzero(w.group.lane < 8 * matrices)
    return addresses[which], which


# mma


@instruction("mma")
def multiply(build: Builder, ins: Instruction) -> None:
    """D = A B + C (9.7.14.5.14). Sums are in double precision, rounded once; a GPU's may differ in a bit."""
    parts = ins.parts
    if "sp" in parts or "block_scale" in parts or "row" not in parts:
        raise build.unknown()
    m, n, k = shape(next(part for part in parts if part[0] == "m" and part[1:2].isdigit()))
    kind_d, kind_a, kind_b, kind_c = parts[-4:]
    if (
        parts[-5:-4] == ["popc"]
        or parts[-1] == "popc"
        or kind_a not in WIDTH
        or kind_a in ("s4", "u4")
        or (m, n) == (8, 32)
    ):
        raise build.unknown("these types")
    if (m, n, k) == (8, 8, 4) and kind_a != "f64":
        raise build.unknown("this shape")
    aligned(build)
    d, a, b, c = (items_of(operand) for operand in ins.operands[:4])
    part_a, part_b = Operands(build, a, kind_a), Operands(build, b, kind_b)
    part_c = Operands(build, c, kind_c)
    held = "b32" if kind_d in ("f16", "bf16") else kind_d
    targets = [build.target(item, held) for item in d]
    saturates = "satfinite" in parts
    each = max(1, 32 // WIDTH[kind_a])
    order_a, order_b = _order_a(m, k, each, len(a)), _order_b(k, each, len(b))
    order_c, order_d = _order_c(m, kind_c), _back_to_c(m, kind_d)

    def run(w: Wave, r: list[Any]) -> None:
        left = part_a.kept(w, r, order_a).reshape(-1, m, k)
        right = part_b.kept(w, r, order_b).reshape(-1, k, n)
        product = np.matmul(left, right).reshape(-1, m * n)
        product += part_c.take(w, r, order_c)
        give(w, r, targets, product.take(order_d, axis=1), kind_d, saturates)
        if w.watch is not None:
            w.watch.multiplied(ins)

    build.effect(run)
    build.features.add("mma")


def shape(text: str) -> tuple[int, int, int]:
    m, rest = text[1:].split("n")
    n, k = rest.split("k")
    return int(m), int(n), int(k)


class Operands:
    """The registers of a fragment, as numbers."""

    def __init__(self, build: Builder, items: tuple[Operand, ...], kind: str) -> None:
        self.kind = kind
        self.sources = [
            build.source(item, kind if kind in ("f32", "f64", "s32") else "b32") for item in items
        ]

    def take(self, w: Wave, r: list[Any], order: Index) -> Any:
        """Warps by elements, in this order of theirs among (register, lane, element), in double precision."""
        registers = [rows(w, adapt(r[s]) if adapt else r[s]) for s, adapt in self.sources]
        return as_doubles(
            elements(np.concatenate(registers, axis=1), self.kind).take(order, axis=1), self.kind
        )

    def kept(self, w: Wave, r: list[Any], order: Index) -> Any:
        """The same of a fragment that further products are likely to use: the last ones are remembered.

        A register's array is never changed, only replaced: the same arrays hold the same fragment.
        """
        registers = [r[s] for s, _ in self.sources]
        key = (w.group, self.kind, id(order), *map(id, registers))  # one value may stand for all of a group
        found = w.fragments.pop(key, None) or (registers, self.take(w, r, order))
        w.fragments[key] = found  # behind all others
        if len(w.fragments) > REMEMBERED:
            del w.fragments[next(iter(w.fragments))]
        return found[1]


def elements(bits: Any, kind: str) -> Any:
    """Registers as elements, which the last axis grows by."""
    return np.ascontiguousarray(bits).view(ELEMENTS[kind])


def as_doubles(values: Any, kind: str) -> Any:
    """Elements as float64, which holds all of them exactly."""
    if kind == "tf32":
        return (values & np.int32(-0x2000)).view(np.float32).astype(np.float64)
    if kind == "f16":
        return _halves().take(values)
    if kind == "bf16":
        return halves.from_bfloat(values).astype(np.float64)
    if kind in ("e4m3", "e5m2"):
        return values_of(kind)[values]
    return values.astype(np.float64)


@cache
def _halves() -> Any:
    """The number that each pattern of 16 bits stands for: looked up faster than converted."""
    return np.arange(1 << 16).astype(np.uint16).view(np.float16).astype(np.float64)


def numbers(bits: Any, kind: str) -> Any:
    """Registers' elements as float64; the last axis grows."""
    return as_doubles(elements(bits, kind), kind)


def give(w: Wave, r: list[Any], targets: list[Source], values: Any, kind: str, saturates: bool) -> None:
    """Write results, warps by (register, lane, element), to registers."""
    count = len(targets)
    if kind == "s32":
        if saturates:
            values = np.clip(values, -(2.0**31), 2.0**31 - 1)
        made = values.astype(np.int64).astype(np.int32)
    elif kind == "f16":
        made = np.ascontiguousarray(values.astype(np.float16)).view(np.int32)
    elif kind == "f32":
        made = values.astype(np.float32)
    else:
        made = values
    made = made.reshape(len(made), count, 32)
    for number, (target, out) in enumerate(targets):
        value = flat(w, made[:, number])
        r[target] = out(value) if out else value


@cache
def _order_a(m: int, k: int, each: int, registers: int) -> Index:
    """For each element of A, row by row: where it lies among (register, lane, element)."""
    order = np.empty((m, k), np.int64)
    for register in range(registers):
        for element in range(each):
            high = register % 2 if m == 16 else 0
            further = register // 2 if m == 16 else register
            row, column = LANE // 4 + 8 * high, LANE % 4 * each + element + 4 * each * further
            order[row, column] = (register * 32 + LANE) * each + element
    return order.reshape(-1)


@cache
def _order_b(k: int, each: int, registers: int) -> Index:
    order = np.empty((k, 8), np.int64)
    for register in range(registers):
        for element in range(each):
            row = LANE % 4 * each + element + 4 * each * register
            order[row, LANE // 4] = (register * 32 + LANE) * each + element
    return order.reshape(-1)


@cache
def _order_c(m: int, kind: str) -> Index:
    """C and D, row by row: pairs of columns lie in one register as halves, else in two registers."""
    order = np.empty((m, 8), np.int64)
    for number in range(m * 8 // 32):
        row, column = LANE // 4 + 8 * (number // 2), LANE % 4 * 2 + number % 2
        if kind == "f16":
            order[row, column] = (number // 2 * 32 + LANE) * 2 + number % 2
        else:
            order[row, column] = number * 32 + LANE
    return order.reshape(-1)


@cache
def _back_to_c(m: int, kind: str) -> Index:
    return np.argsort(_order_c(m, kind))
