"""wmma: whole tiles as fragments, which nvcuda::wmma wraps (PTX ISA 9.7.14.4).

PTX leaves open which lane holds which element. Here lane l holds, of a matrix with 32 E elements, the E that start at
l E, row by row. Fragments of halves have room for the matrix twice: lanes 16 to 31 then hold what lanes 0 to 15 do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.ptx.access import read, write
from workbench.ptx.builder import Builder, instruction
from workbench.ptx.instructions.matrix import WIDTH, Operands, aligned, give, items_of, numbers, shape
from workbench.ptx.instructions.movement import address, space_of
from workbench.ptx.instructions.warp import flat, rows
from workbench.ptx.model import Immediate, Instruction
from workbench.ptx.trespass import full

if TYPE_CHECKING:
    from workbench.ptx.wave import Wave

LANE = np.arange(32)
TYPES = (*WIDTH, "s32")


@instruction("wmma")
def tile_instruction(build: Builder, ins: Instruction) -> None:
    aligned(build)
    kind = ins.parts[1]
    if kind == "mma":
        _multiply(build, ins)
    elif kind in ("load", "store"):
        _move(build, ins, kind == "load")
    else:
        raise build.unknown()


def _tile(parts: list[str]) -> tuple[int, int, int]:
    return shape(next(part for part in parts if part[0] == "m" and part[1:2].isdigit()))


def _move(build: Builder, ins: Instruction, loads: bool) -> None:
    """wmma.load and wmma.store: a matrix whose rows, or columns, lie `stride` elements apart."""
    parts = ins.parts
    m, n, k = _tile(parts)
    matrix = parts[2]
    height, width = {"a": (m, k), "b": (k, n), "c": (m, n), "d": (m, n)}[matrix]
    by_rows = "row" in parts
    kind = parts[-1]
    fragment, place = ins.operands[:2] if loads else (ins.operands[1], ins.operands[0])
    stride = ins.operands[2] if len(ins.operands) > 2 else Immediate(width if by_rows else height, "")
    bits = 32 if kind in ("s32", "f32") else WIDTH[kind]
    size = bits // 8
    items = items_of(fragment)
    each = len(items) * (8 if kind == "f64" else 4) // size
    held = kind if kind in ("f32", "f64", "s32") else "b32"
    slot, offset, space = address(build, place, space_of(parts))
    apart = build.source(stride, "b32")[0]
    # A lane's elements lie side by side in memory as far as they are in one row (or column) there.
    position = (LANE[:, None] * each + np.arange(each)) % (height * width)
    row, column = position // width, position % width
    run_length = min(each, 16 // size) if by_rows else 1
    dtype = np.dtype(
        {1: np.int8, 2: np.int16, 4: np.int32, 8: np.int64, 16: np.complex128}[run_length * size]
    )
    site = build.site("load" if loads else "store", space, dtype, slot, offset)
    major, minor = (row, column) if by_rows else (column, row)
    major, minor = major[:, ::run_length], minor[:, ::run_length]
    ends = [build.target(item, held) for item in items] if loads else []
    starts = [build.source(item, held) for item in items] if not loads else []
    element = np.dtype(f"i{size}")

    def addresses(w: Wave, r: list[Any], step: int) -> Any:
        count = w.group.count
        base = full(r[slot], count).astype(np.int64) + offset
        lane = w.group.lane
        return base + (major[lane, step] * full(r[apart], count).astype(np.int64) + minor[lane, step]) * size

    def load(w: Wave, r: list[Any]) -> None:
        pieces = [
            read(w, site, addresses(w, r, step)).view(element).reshape(w.group.count, run_length)
            for step in range(each // run_length)
        ]
        together = np.ascontiguousarray(np.concatenate(pieces, axis=1)).view(f"i{8 if kind == 'f64' else 4}")
        for number, (target, out) in enumerate(ends):
            value = np.ascontiguousarray(together[:, number])
            if held in ("f32", "f64"):
                value = value.view(np.float32 if held == "f32" else np.float64)
            r[target] = out(value) if out else value

    def store(w: Wave, r: list[Any]) -> None:
        count = w.group.count
        registers = [full(adapt(r[s]) if adapt else r[s], count) for s, adapt in starts]
        values = np.stack(registers, axis=1).view(element)
        for step in range(each // run_length):
            part = np.ascontiguousarray(values[:, step * run_length : (step + 1) * run_length])
            write(w, site, addresses(w, r, step), part.view(dtype)[:, 0])

    build.effect(load if loads else store)


def _multiply(build: Builder, ins: Instruction) -> None:
    """wmma.mma: D = A B + C."""
    parts = ins.parts
    m, n, k = _tile(parts)
    types = [part for part in parts[2:] if part in TYPES]
    if len(types) == 2:  # d and c; a and b are f16
        kind_d, kind_c = types
        kind_a = "f16"
    elif len(types) == 4:
        kind_d, kind_a, _, kind_c = types
    else:
        raise build.unknown("these types")
    if kind_a in ("s4", "u4") or any(part in ("b1", "xor", "popc") for part in parts):
        raise build.unknown("these types")
    d, a, b, c = (items_of(operand) for operand in ins.operands)
    part_a, part_b, part_c = (
        Operands(build, a, kind_a),
        Operands(build, b, kind_a),
        Operands(build, c, kind_c),
    )
    held = "b32" if kind_d == "f16" else kind_d
    targets = [build.target(item, held) for item in d]
    saturates = "satfinite" in parts
    halves_in_d = 2 if kind_d == "f16" else 1

    def run(w: Wave, r: list[Any]) -> None:
        left = _matrix(w, r, part_a, m, k)
        right = _matrix(w, r, part_b, k, n)
        added = _matrix(w, r, part_c, m, n)
        product = (np.matmul(left, right) + added).reshape(len(left), -1)
        each = len(targets) * halves_in_d
        position = (LANE[:, None] * each + np.arange(each)) % (m * n)
        spread = product[:, position].reshape(-1, 32, len(targets), halves_in_d).swapaxes(1, 2)
        give(w, r, targets, spread.reshape(len(left), -1), kind_d, saturates)

    build.effect(run)
    build.features.add("mma")


def _matrix(w: Wave, r: list[Any], part: Operands, height: int, width: int) -> Any:
    """A fragment as matrices, warp by warp."""
    registers = [rows(w, adapt(r[s]) if adapt else r[s]) for s, adapt in part.sources]
    by_lane = np.stack(registers, axis=2)  # warps, lanes, registers
    values = numbers(by_lane, part.kind).reshape(len(by_lane), -1)
    return values[:, : height * width].reshape(-1, height, width)


__all__ = ["flat", "tile_instruction"]
