"""cp.async: copies from global to shared memory that a thread waits for later (PTX ISA 9.7.9.25).

The copy is made at once. What a kernel may not do before it has waited, read the data, is for the checks to notice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.ptx.access import read, write
from workbench.ptx.builder import Builder, instruction
from workbench.ptx.faults import Fault, OutOfBounds
from workbench.ptx.instructions.movement import address
from workbench.ptx.kinds import DTYPES
from workbench.ptx.model import Immediate, Instruction
from workbench.ptx.trespass import full

if TYPE_CHECKING:
    from workbench.ptx.wave import Wave

_KINDS = {4: "b32", 8: "b64", 16: "b128"}


@instruction("cp")
def copy(build: Builder, ins: Instruction) -> None:
    parts = ins.parts
    if parts[1] != "async" or "bulk" in parts or "mbarrier" in parts:
        raise build.unknown()
    if "commit_group" in parts:
        build.effect(lambda w, r: w.watch.commit() if w.watch is not None else None)
        return
    if "wait_group" in parts or "wait_all" in parts:
        left = ins.operands[0] if "wait_group" in parts else Immediate(0, "0")
        if not isinstance(left, Immediate):
            raise build.unknown("this number of groups")
        number, everything = int(left.value), "wait_all" in parts
        build.effect(lambda w, r: w.watch.wait(number, everything) if w.watch is not None else None)
        return
    to, source, size, *rest = ins.operands
    if not isinstance(size, Immediate) or int(size.value) not in _KINDS:
        raise build.unknown("this size")
    bytes_each = int(size.value)
    dtype = DTYPES[_KINDS[bytes_each]]
    to_slot, to_offset, _ = address(build, to, "shared")
    from_slot, from_offset, _ = address(build, source, "global")
    loads = build.site("load", "global", dtype, from_slot, from_offset)
    stores = build.site("copy", "shared", dtype, to_slot, to_offset)
    given = (
        build.source(rest[0], "b32") if rest else None
    )  # how many bytes to read; the rest is filled with zeros
    single = build.site("load", "global", np.dtype(np.uint8), from_slot, from_offset)

    def run(w: Wave, r: list[Any]) -> None:
        count = w.group.count
        target = full(r[to_slot], count).astype(np.int64) + to_offset
        origin = full(r[from_slot], count).astype(np.int64) + from_offset
        if given is None:
            values = read(w, loads, origin)
        else:
            wanted = full(r[given[0]], count).view(np.uint32)
            if (wanted > bytes_each).any():
                raise _too_much(w, ins, int((wanted > bytes_each).argmax()), wanted, bytes_each)
            values = np.zeros(count, dtype)
            whole = np.flatnonzero(wanted == bytes_each)
            if len(whole):
                values[whole] = read(w, loads, origin[whole], whole)
            for which in np.flatnonzero((wanted != bytes_each) & (wanted > 0)).tolist():
                each = origin[which] + np.arange(int(wanted[which]))
                place = np.full(len(each), which)
                values[which : which + 1].view(np.uint8)[: len(each)] = read(w, single, each, place)
        write(w, stores, target, values)

    build.effect(run)


def _too_much(w: Wave, ins: Instruction, which: int, wanted: Any, most: int) -> Fault:
    block, thread, block_at, thread_at = w.machine.whereabouts(w, which)
    return OutOfBounds(
        f"thread {thread} of block {block} copies {most} bytes, and asks for {int(wanted[which]):,} of them to be read",
        file=ins.file, line=ins.line, block=block_at, thread=thread_at,
        advice=f"How many bytes cp.async reads, before it fills the rest with zeros, is between 0 and {most}.",
    )  # fmt: skip
