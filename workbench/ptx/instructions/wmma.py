"""wmma: whole tiles as fragments, which nvcuda::wmma wraps (PTX ISA 9.7.14.4).

PTX leaves open which lane holds which element. Here fragments are those of mma.sync (9.7.14.5), as on the hardware,
so that a load or store makes the hardware's requests: the matrix is cut into parts of 8 rows by 4 lanes, each lane with
the 4 bytes (in C and D the two elements) that lie side by side, and each part is one access of the warp. Where a matrix
of halves or bytes lies in memory by columns, the parts have 8 columns, and the hardware turns them round afterwards.
Fragments with room for the matrix more than once, those of f16, repeat it.
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
    row, column, together = fragment_of(matrix, height, width, kind, by_rows)
    run_length = together if by_rows or matrix in "ab" else 1
    held_once = row.shape[1]  # a store needs no repetitions, and a load makes them
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
            for step in range(held_once // run_length)
        ]
        elements = np.tile(np.concatenate(pieces, axis=1), each // held_once)
        by_register = np.ascontiguousarray(elements).view(f"i{8 if kind == 'f64' else 4}")
        for number, (target, out) in enumerate(ends):
            value = np.ascontiguousarray(by_register[:, number])
            if held in ("f32", "f64"):
                value = value.view(np.float32 if held == "f32" else np.float64)
            r[target] = out(value) if out else value

    def store(w: Wave, r: list[Any]) -> None:
        count = w.group.count
        registers = [full(adapt(r[s]) if adapt else r[s], count) for s, adapt in starts]
        values = np.stack(registers, axis=1).view(element)
        for step in range(held_once // run_length):
            part = np.ascontiguousarray(values[:, step * run_length : (step + 1) * run_length])
            write(w, site, addresses(w, r, step), part.view(dtype)[:, 0])

    build.effect(load if loads else store)


def fragment_of(matrix: str, height: int, width: int, kind: str, by_rows: bool) -> tuple[Any, Any, int]:
    """Row and column of each lane's elements, (32, E) each, and how many of them lie side by side.

    `by_rows`: how A or B lies in memory; C and D have the same fragments either way.
    """
    size = 8 if kind == "f64" else 4 if kind in ("s32", "f32") else WIDTH[kind] // 8
    if matrix in "cd":
        turned, together = False, 2
    elif size >= 4:  # one element each, and nothing to turn round
        turned, together = matrix == "b", 1
    else:
        turned, together = not by_rows, 4 // size
    major, minor = (width, height) if turned else (height, width)
    together = min(together, minor // 4)
    down, across, next_to = np.meshgrid(
        np.arange(0, major, 8), np.arange(0, minor, 4 * together), np.arange(together), indexing="ij"
    )
    first = LANE[:, None] // 4 + down.reshape(-1)
    second = LANE[:, None] % 4 * together + (across + next_to).reshape(-1)
    return (second, first, together) if turned else (first, second, together)


def places(matrix: str, height: int, width: int, kind: str, by_rows: bool) -> tuple[Any, Any]:
    """The reverse of `fragment_of`: for each element of the matrix its lane, and its number there."""
    row, column, _ = fragment_of(matrix, height, width, kind, by_rows)
    lane, element = np.empty((height, width), np.int64), np.empty((height, width), np.int64)
    lane[row, column], element[row, column] = LANE[:, None], np.arange(row.shape[1])
    return lane, element


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
    by_rows_a, by_rows_b = (part == "row" for part in parts if part in ("row", "col"))
    part_a, place_a = Operands(build, a, kind_a), places("a", m, k, kind_a, by_rows_a)
    part_b, place_b = Operands(build, b, kind_a), places("b", k, n, kind_a, by_rows_b)
    part_c, place_c = Operands(build, c, kind_c), places("c", m, n, kind_c, True)
    held = "b32" if kind_d == "f16" else kind_d
    targets = [build.target(item, held) for item in d]
    saturates = "satfinite" in parts
    halves_in_d = 2 if kind_d == "f16" else 1
    row, column, _ = fragment_of("d", m, n, kind_d, True)
    position = row * n + column

    def run(w: Wave, r: list[Any]) -> None:
        left, right, added = (
            _matrix(w, r, part, at) for part, at in ((part_a, place_a), (part_b, place_b), (part_c, place_c))
        )
        product = (np.matmul(left, right) + added).reshape(len(left), -1)
        spread = product[:, position].reshape(-1, 32, len(targets), halves_in_d).swapaxes(1, 2)
        give(w, r, targets, spread.reshape(len(left), -1), kind_d, saturates)
        if w.watch is not None:
            w.watch.multiplied(ins)

    build.effect(run)
    build.features.add("mma")


def _matrix(w: Wave, r: list[Any], part: Operands, places: Any) -> Any:
    """A fragment as matrices, warp by warp: `places` says which element of which lane stands where."""
    registers = [rows(w, adapt(r[s]) if adapt else r[s]) for s, adapt in part.sources]
    by_lane = np.stack(registers, axis=2)  # warps, lanes, registers
    values = numbers(by_lane, part.kind).reshape(len(by_lane), 32, -1)
    lane, element = places
    return values[:, lane, element]


__all__ = ["flat", "tile_instruction"]
