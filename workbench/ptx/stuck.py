"""The texts of threads that wait in vain: for lanes or threads that never come, or that have gone round a barrier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from workbench.ptx.faults import BarrierDivergence, MissingLanes, OutOfBounds, place
from workbench.ptx.model import Instruction
from workbench.ptx.parked import Parked, absent_beside, alive, behind, lanes_present, warp_of
from workbench.ptx.program import Ending

if TYPE_CHECKING:
    from workbench.ptx.wave import Wave

ONE_BARRIER = "Every thread of a block must reach the same __syncthreads(): move it out of the branch."


def stuck(wave: Wave, parked: list[Parked]) -> Exception:
    """Say who waits, and for whom."""
    item = min(parked, key=lambda item: (item.kind != "collect", int(item.index[0])))
    block, thread, block_at, thread_at = wave.machine.whereabouts_of(wave, int(item.index[0]))
    size = wave.machine.block_threads
    ins = item.instruction
    where = {"file": ins.file, "line": ins.line, "block": block_at, "thread": thread_at}
    if item.kind == "collect":
        warp = warp_of(wave, item.index)
        here = int(lanes_present(wave, item.index)[warp[0]])
        named = int(item.number[0]) & int(alive(wave)[warp[0]])
        missing = [lane for lane in range(32) if (named & ~here) >> lane & 1]
        return MissingLanes(
            f"thread {thread} of block {block} waits in {ins.parts[0]} with the mask {int(item.number[0]):#x} for "
            f"lanes {_ranges(missing)} of its warp, which the mask names but which never come here",
            advice="The mask must name exactly the lanes that execute the call: move it out of the branch, or take "
            "__activemask() or a ballot made before the branch.",
            **where,  # type: ignore[arg-type]
        )
    number = int(item.index[0]) // size
    barrier, counts = int(item.number[0]), int(item.expected[0]) or size
    if barrier or item.expected[0]:
        beside = np.concatenate(
            [other.index[(other.index // size == number) & (other.number == barrier)]
             for other in parked if other.kind == "barrier"]
        )  # fmt: skip
        absent = absent_beside(wave, beside, np.full(len(beside), barrier))
        key = number * 16 + barrier
        came = int(wave.arrivals[key]) + len(beside) + int(absent[key])
        return BarrierDivergence(
            f"thread {thread} of block {block} waits at barrier {barrier}, which counts {counts} threads, but only "
            f"{came} have come and no more will{_returned(wave, number)}",
            advice="The count must be that of all threads which come to this barrier, to wait or only to arrive, and "
            "each of them must name the same barrier.",
            **where,  # type: ignore[arg-type]
        )
    whom, there = next(
        (int(thread), other.instruction)
        for other in parked
        for thread, at, count in zip(other.index, other.number, other.expected, strict=True)
        if thread // size == number and (other.kind != "barrier" or at or count)
    )
    return BarrierDivergence(
        f"thread {thread} of block {block} waits at a barrier for thread "
        f"{place(wave.machine.thread_position(whom % size))}, which waits at another one, in line "
        f"{there.line}, and so neither goes on",
        advice="All threads of a block must reach the same barrier: see that both name the same number.",
        also=(there.file, there.line),
        **where,  # type: ignore[arg-type]
    )


def check_number(wave: Wave, ins: Instruction | None, number: Any) -> None:
    """A block has sixteen barriers (9.7.13.1)."""
    wrong = (number < 0) | (number > 15)
    if wrong.any():
        assert ins is not None
        which = int(wrong.argmax())
        block, thread, block_at, thread_at = wave.machine.whereabouts(wave, which)
        raise OutOfBounds(
            f"thread {thread} of block {block} comes to barrier {int(number[which] if number.ndim else number)}, and a "
            "block has barriers 0 to 15",
            file=ins.file, line=ins.line, block=block_at, thread=thread_at,
            advice="See how the barrier's number is computed.",
        )  # fmt: skip


def _returned(wave: Wave, block: int) -> str:
    """A remark on threads of a block that aren't there any more."""
    left = int(wave.exited[block])
    return f"; {left} of the block's threads have returned" if left else ""


def raise_if_skipped(wave: Wave, item: Parked, goes: npt.NDArray[np.bool_]) -> None:
    """Some barrier opens because nobody else is left: those who left must not have gone round it."""
    size = wave.machine.block_threads
    if not goes.any() or wave.gone is None:
        return
    opening = np.isin(wave.everyone // size, item.index[goes] // size)
    found = np.flatnonzero(opening & wave.gone & wave.skipped)
    if not len(found):
        return
    block = int(found[0]) // size
    here = item.index[item.index // size == block]
    at, first, block_at, thread_at = wave.machine.whereabouts_of(wave, int(here[0]))
    _, other, _, _ = wave.machine.whereabouts_of(wave, int(found[0]))
    ins = item.instruction
    raise BarrierDivergence(
        f"{len(here)} of the {size} threads of block {at} wait at a barrier, the first of them thread {first}, but "
        f"others (thread {other} for one) have gone round it",
        file=ins.file, line=ins.line, block=block_at, thread=thread_at,
        advice=ONE_BARRIER,
    )  # fmt: skip


def went_round(wave: Wave, thread: int) -> BarrierDivergence | None:
    """Whether others of a thread's block wait at a barrier that it can only have gone round.

    It has if it is where no way leads back to that barrier. The threads that are least far go first, so it has, too, if
    it stands before the barrier: then it has jumped back.
    """
    size = wave.machine.block_threads
    for item in wave.parked:
        here = item.index[item.index // size == thread // size]
        beyond = item.pc > wave.pc or behind(wave, item, wave.pc)
        if item.kind == "barrier" and beyond and len(here):
            block, who, block_at, thread_at = wave.machine.whereabouts_of(wave, int(here[0]))
            _, whom, _, _ = wave.machine.whereabouts_of(wave, thread)
            ins = item.instruction
            return BarrierDivergence(
                f"thread {who} of block {block} waits at a barrier, but thread {whom} has gone round it",
                file=ins.file, line=ins.line, block=block_at, thread=thread_at,
                advice=ONE_BARRIER,
            )  # fmt: skip
    return None


def not_in_mask(wave: Wave, ending: Ending, which: int, mask: Any) -> MissingLanes:
    block, thread, block_at, thread_at = wave.machine.whereabouts(wave, which)
    ins = ending.instruction
    assert ins is not None
    return MissingLanes(
        f"thread {thread} of block {block} executes {ins.parts[0]} with the mask {int(mask[which]):#x}, "
        f"which doesn't name its own lane {int(wave.group.lane[which])}",
        file=ins.file, line=ins.line, block=block_at, thread=thread_at,
        advice="The mask must name every lane that executes the call; 0xffffffff is all of them.",
    )  # fmt: skip


def lanes_returned(wave: Wave, ins: Instruction, here: npt.NDArray[np.bool_]) -> MissingLanes:
    """here: for each warp of the group, which lanes execute the instruction; not all do."""
    warp = int((~here).any(axis=1).argmax())
    block, thread, block_at, thread_at = wave.machine.whereabouts(
        wave, int((wave.group.row == warp).argmax())
    )
    return MissingLanes(
        f"thread {thread} of block {block} executes {ins.parts[0]}, but lanes "
        f"{_ranges(np.flatnonzero(~here[warp]).tolist())} of its warp have returned, or never were there",
        file=ins.file, line=ins.line, block=block_at, thread=thread_at,
        advice="All 32 lanes must execute it: let those without data bring zeros, and start whole warps.",
    )  # fmt: skip


def _ranges(lanes: list[int]) -> str:
    """3, 5-7, 31"""
    parts: list[str] = []
    start = 0
    for at in range(1, len(lanes) + 1):
        if at == len(lanes) or lanes[at] != lanes[at - 1] + 1:
            parts.append(str(lanes[start]) if at - start == 1 else f"{lanes[start]}-{lanes[at - 1]}")
            start = at
    return ", ".join(parts)
