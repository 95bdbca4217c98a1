"""Atomic operations and reductions on memory (PTX ISA 9.7.13.5, atom; 9.7.13.6, red).

Threads that update the same element do so one after the other, in the order of their numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.ptx.access import located
from workbench.ptx.builder import Builder, instruction
from workbench.ptx.compute import Source
from workbench.ptx.instructions import halves
from workbench.ptx.instructions.movement import address, carrier_of, space_of
from workbench.ptx.kinds import DTYPES
from workbench.ptx.model import Instruction, Operand, Vector
from workbench.ptx.program import Site
from workbench.ptx.trespass import full

if TYPE_CHECKING:
    from workbench.ptx.wave import Wave

_SCANS: dict[str, Any] = {
    "add": np.add, "min": np.minimum, "max": np.maximum,
    "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
}  # fmt: skip
_OPERATIONS = (*_SCANS, "exch", "cas", "inc", "dec")
FEW = 24  # updates of one element that are made round by round


@instruction("atom")
def atomic(build: Builder, ins: Instruction) -> None:
    d, a, *values = ins.operands
    _atomic(build, ins, d, a, values)


@instruction("red")
def reduction(build: Builder, ins: Instruction) -> None:
    a, *values = ins.operands
    _atomic(build, ins, None, a, values)


def _atomic(build: Builder, ins: Instruction, d: Operand | None, a: Operand, values: list[Operand]) -> None:
    parts = ins.parts
    if "async" in parts:
        raise build.unknown()
    operation = next(part for part in parts[1:] if part in _OPERATIONS)
    kind = parts[-1]
    held = {"f16": "b16", "bf16": "b16", "f16x2": "b32", "bf16x2": "b32"}.get(kind, kind)
    slot, offset, space = address(build, a, space_of(parts))
    # Of a vector (9.7.13.5) each element is updated by itself; `lists` holds an instruction's operands for each.
    given = values[0]
    width = len(given.items) if isinstance(given, Vector) else 1
    lists = [[item] for item in given.items] if isinstance(given, Vector) else [values]
    sources = [[build.source(value, held) for value in some] for some in lists]
    items = d.items if isinstance(d, Vector) else () if d is None else (d,)
    targets = [build.target(item, held) for item in items]
    element = DTYPES[held]
    carrier = carrier_of(build, width * element.itemsize) if width > 1 else element
    site = build.site("atomic" if d is not None else "reduction", space, carrier, slot, offset)
    function = _combiner(operation, kind)
    scan = _SCANS.get(operation) if held == kind else None

    def run(w: Wave, r: list[Any]) -> None:
        count = w.group.count
        addresses = full(r[slot], count).astype(np.int64) + offset
        operands = [[full(adapt(r[s]) if adapt else r[s], count) for s, adapt in some] for some in sources]
        old = np.zeros((width, count), element)
        for chosen, view, at in located(w, site, addresses):
            memory = view.elements.view(element)
            which = slice(None) if chosen is None else chosen
            for place, mine in enumerate(operands):
                picked = [operand[which] for operand in mine]
                old[place, which] = update(memory, at * width + place, picked, function, scan, operation)
        for target, found in zip(targets, old, strict=False):
            _keep(r, target, found)

    build.effect(run)


def _keep(r: list[Any], target: Source, value: Any) -> None:
    d, out = target
    r[d] = out(value) if out else value


def _combiner(operation: str, kind: str) -> Any:
    """What an update makes of the old value and its operands."""
    if kind in ("f16", "bf16", "f16x2", "bf16x2"):
        plain = {"add": np.add, "min": np.minimum, "max": np.maximum}.get(operation)
        if plain is not None:
            wide, narrow = (
                (halves.unpacked, halves.packed) if kind.endswith("x2") else (halves.widened, halves.narrowed)
            )
            return lambda old, value: narrow(plain(wide(old, kind), wide(value, kind)), kind)
    if operation in _SCANS:
        return _SCANS[operation]
    if operation == "exch":
        return lambda old, value: value
    if operation == "cas":
        return lambda old, compare, value: np.where(old == compare, value, old)
    if operation == "inc":
        return lambda old, value: np.where(old >= value, 0, old + 1).astype(old.dtype)
    return lambda old, value: np.where((old == 0) | (old > value), value, old - 1).astype(old.dtype)


def update(memory: Any, at: Any, operands: list[Any], function: Any, scan: Any, operation: str) -> Any:
    """Update memory[at[k]] for k in order; return what each update found there."""
    if len(at) == 1 or (np.diff(at) > 0).all():
        old = memory[at]
        memory[at] = function(old, *operands)
        return old
    order = np.argsort(at, kind="stable")
    places = at[order]
    new = np.concatenate(([True], places[1:] != places[:-1]))
    starts = np.flatnonzero(new)
    lengths = np.diff(np.append(starts, len(places)))
    old = np.empty(len(at), memory.dtype)
    if scan is not None and lengths.max() > FEW:
        _by_element(memory, places, starts, lengths, operands[0][order], scan, order, old)
        return old
    rank = np.arange(len(places)) - np.repeat(starts, lengths)
    for turn in range(int(lengths.max())):
        chosen = order[rank == turn]
        here = memory[at[chosen]]
        old[chosen] = here
        memory[at[chosen]] = function(here, *(operand[chosen] for operand in operands))
    return old


def _by_element(
    memory: Any, places: Any, starts: Any, lengths: Any, values: Any, scan: Any, order: Any, old: Any
) -> None:
    """For elements with many updates: all of one element's at once."""
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        place = places[start]
        chain = np.empty(length + 1, memory.dtype)
        chain[0] = memory[place]
        chain[1:] = values[start : start + length]
        results = scan.accumulate(chain, dtype=memory.dtype)
        old[order[start : start + length]] = results[:-1]
        memory[place] = results[-1]


__all__ = ["Site", "atomic", "reduction", "update"]
