"""Where threads wait for each other: barriers of a block and lanes of a warp (PTX ISA 9.7.13).

A thread that waits is parked. Parked threads are looked at when no others can run: a barrier opens when all that it
counts have come. If none opens, somebody waits for a thread that never comes, and that is a fault.

A barrier of the whole block doesn't wait for threads that have exited (9.7.12, exit): returning early, before a
barrier, is allowed. A thread that skips the barrier and goes on with what lies behind it is not; that some hardware
lets it pass, once the thread has exited, is luck.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from workbench.ptx.faults import BarrierDivergence, MissingLanes, place
from workbench.ptx.model import Instruction
from workbench.ptx.program import Ending

if TYPE_CHECKING:
    from workbench.ptx.wave import Wave

Threads = npt.NDArray[np.int64]


@dataclass
class Parked:
    """Threads that wait at one instruction, and where they go on."""

    kind: str  # barrier or collect
    index: Threads
    at: int  # the block of the program that ends with it
    pc: int
    spent: int
    instruction: Instruction
    number: Any  # a barrier's number, or a lane mask: one for each thread
    expected: Any  # how many threads a barrier counts; 0 for all


def pass_barrier(wave: Wave, ending: Ending) -> int:
    """bar.sync: go on if the group is made of whole blocks, else park."""
    number_slot, count_slot = ending.details
    number, expected = wave.r[number_slot], wave.r[count_slot]
    size = wave.machine.block_threads
    if (
        wave.group.whole_blocks
        and number.ndim == 0
        and expected.ndim == 0
        and (int(expected) == 0 or (int(expected) == size and wave.gone is None))
        and not wave.arrivals.any()
    ):
        if wave.watch is not None:
            wave.watch.barrier()
        return ending.targets[0]
    return _park(wave, "barrier", ending, number, expected)


def arrive(wave: Wave, number: Any) -> None:
    """bar.arrive: these threads' warps are counted at a barrier, with all their lanes, and go on."""
    if wave.watch is not None:
        wave.watch.arrive(number)
    group = wave.group
    for key in np.unique(group.warp * 16 + number).tolist():
        wave.arrivals[key // 16 // group.warps_per_block * 16 + key % 16] += 32


def pass_collect(wave: Wave, ending: Ending) -> int:
    """An instruction with a lane mask: go on if all lanes that it names are here, else park."""
    group = wave.group
    mask = wave.r[ending.slot]
    if mask.ndim or int(mask) != -1:
        mask = _full(mask, group.count).view(np.uint32)
        outside = (mask >> group.lane.astype(np.uint32)) & 1 == 0
        if outside.any():
            raise _not_in_mask(wave, ending, int(outside.argmax()), mask)
    if group.whole_warps:
        return ending.targets[0]
    mask = _full(mask, group.count).view(np.uint32)
    present = _lanes_present(wave, group.threads)
    if not (mask & ~present[group.warp] & _alive(wave)[group.warp]).any():
        return ending.targets[0]
    return _park(wave, "collect", ending, mask, np.zeros((), np.int32))


def _alive(wave: Wave) -> npt.NDArray[np.uint32]:
    """For each warp a bit for each lane that hasn't exited: only those are waited for (PTX ISA 9.7.9.6)."""
    return _lanes_present(wave, wave.everyone if wave.gone is None else np.flatnonzero(~wave.gone))


def _not_in_mask(wave: Wave, ending: Ending, which: int, mask: Any) -> MissingLanes:
    block, thread, block_at, thread_at = wave.machine.whereabouts(wave, which)
    ins = ending.instruction
    assert ins is not None
    return MissingLanes(
        f"thread {thread} of block {block} executes {ins.parts[0]} with the mask {int(mask[which]):#x}, "
        f"which doesn't name its own lane {int(wave.group.lane[which])}",
        file=ins.file, line=ins.line, block=block_at, thread=thread_at,
        advice="The mask must name every lane that executes the call; 0xffffffff is all of them.",
    )  # fmt: skip


def _full(value: Any, count: int) -> Any:
    return np.full(count, value) if value.ndim == 0 else value


def _lanes_present(wave: Wave, threads: Threads) -> npt.NDArray[np.uint32]:
    """For each warp of the wave a bit for each of its lanes that is among the threads."""
    size = wave.machine.block_threads
    per_block = -(-size // 32)
    within = threads % size
    warp = threads // size * per_block + within // 32
    bits = np.bincount(warp, weights=np.exp2(within % 32), minlength=wave.blocks * per_block)
    return bits.astype(np.uint32)


def _park(wave: Wave, kind: str, ending: Ending, number: Any, expected: Any) -> int:
    pc = ending.targets[0]
    group = wave.group
    wave.save(wave.machine.program.blocks[pc].live)
    assert ending.instruction is not None
    wave.parked.append(
        Parked(
            kind, group.threads, wave.pc, pc, wave.spent, ending.instruction,
            _full(number, group.count), _full(expected, group.count),
        )
    )  # fmt: skip
    return wave.pick()


def release(wave: Wave, others: bool) -> bool:
    """Let those go on whose barrier is complete or whose lanes are together; called when nobody else can run.

    If none can, that is a fault, unless there are `others` that may still come.
    """
    parked, wave.parked = wave.parked, []
    freed = _release_lanes(wave, parked) | _release_barriers(wave, parked)
    if not freed and not others:
        raise _stuck(wave, parked)
    return freed


def _keep(wave: Wave, parked: Parked, goes: npt.NDArray[np.bool_]) -> bool:
    if goes.all():
        wave.wait(parked.pc, parked.index, parked.spent)
        return True
    if goes.any():
        wave.wait(parked.pc, parked.index[goes], parked.spent)
        stays = ~goes
        parked.index = parked.index[stays]
        parked.number, parked.expected = parked.number[stays], parked.expected[stays]
        wave.parked.append(parked)
        return True
    wave.parked.append(parked)
    return False


def _release_lanes(wave: Wave, parked: list[Parked]) -> bool:
    """Lanes meet at the same instruction (PTX ISA 9.7.9.6): each place is looked at by itself."""
    freed = False
    places: dict[int, list[Parked]] = {}
    for item in parked:
        if item.kind == "collect":
            places.setdefault(item.pc, []).append(item)
    size = wave.machine.block_threads
    for items in places.values():
        present = _lanes_present(wave, np.concatenate([item.index for item in items])) | ~_alive(wave)
        for item in items:
            warp = item.index // size * -(-size // 32) + item.index % size // 32
            freed |= _keep(wave, item, (item.number & ~present[warp]) == 0)
    return freed


def _release_barriers(wave: Wave, parked: list[Parked]) -> bool:
    waiting = [item for item in parked if item.kind == "barrier"]
    if not waiting:
        return False
    size = wave.machine.block_threads
    keys = np.concatenate([item.index // size * 16 + item.number for item in waiting])
    here = np.bincount(keys, minlength=wave.blocks * 16)
    arrived = here + wave.arrivals
    exited = np.maximum(np.repeat(wave.exited, 16) - wave.arrivals, 0)  # and haven't arrived before
    counted = arrived
    if any(item.expected.any() for item in waiting):
        threads = np.concatenate([item.index for item in waiting])
        counted = arrived + _absent_beside(wave, threads, keys % 16)
    freed = False
    gone: list[tuple[Threads, Any]] = []
    opened: list[Threads] = []
    for item in waiting:
        key = item.index // size * 16 + item.number
        everybody = arrived[key] + exited[key] >= size
        goes = np.where(item.expected > 0, counted[key] >= item.expected, everybody)
        if wave.skipped is not None and goes.any():
            _raise_if_skipped(wave, item, goes & (item.expected == 0))
        gone.append((item.index[goes], item.number[goes]))
        opened.append(np.unique(key[goes]))
        freed |= _keep(wave, item, goes)
    if freed:
        wave.arrivals[np.concatenate(opened)] = 0
        wave.skipped = None
        if wave.watch is not None:
            wave.watch.released(np.concatenate([t for t, _ in gone]), np.concatenate([n for _, n in gone]))
    return freed


def _absent_beside(wave: Wave, threads: Threads, numbers: Any) -> npt.NDArray[np.int64]:
    """For each barrier the lanes that have exited, or never were, of the warps that wait there.

    A barrier with a count, a multiple of the warp size, counts whole warps (9.7.13.1).
    """
    size = wave.machine.block_threads
    found = np.zeros(wave.blocks * 16, np.int64)
    if wave.gone is None and size % 32 == 0:
        return found
    alive = _alive(wave)
    per_block = -(-size // 32)
    warp = threads // size * per_block + threads % size // 32
    for key in np.unique(warp * 16 + numbers).tolist():
        found[key // 16 // per_block * 16 + key % 16] += 32 - int(alive[key // 16]).bit_count()
    return found


def note_skipping(wave: Wave, number: int) -> None:
    """Remember the running threads, at a block of the program, if others wait at a barrier that they can't reach."""
    for item in wave.parked:
        if _behind(wave, item, number):
            if wave.skipped is None:
                wave.skipped = np.zeros(wave.count, np.bool_)
            wave.skipped[wave.group.threads] = True
            return


def _behind(wave: Wave, item: Parked, number: int) -> bool:
    """Whether threads wait at a barrier of everybody to which no way leads from a block of the program."""
    return (
        item.kind == "barrier" and number in wave.machine.program.behind(item.at) and not item.expected.all()
    )


def _raise_if_skipped(wave: Wave, item: Parked, goes: npt.NDArray[np.bool_]) -> None:
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
        advice="Every thread of a block must reach the same __syncthreads(): move it out of the branch.",
    )  # fmt: skip


def _stuck(wave: Wave, parked: list[Parked]) -> Exception:
    """Say who waits, and for whom."""
    item = min(parked, key=lambda item: (item.kind != "collect", int(item.index[0])))
    block, thread, block_at, thread_at = wave.machine.whereabouts_of(wave, int(item.index[0]))
    size = wave.machine.block_threads
    ins = item.instruction
    where = {"file": ins.file, "line": ins.line, "block": block_at, "thread": thread_at}
    if item.kind == "collect":
        here = {int(lane) for lane in item.index[item.index // 32 == item.index[0] // 32] % size % 32}
        asked = [lane for lane in range(32) if int(item.number[0]) >> lane & 1]
        alive = int(_alive(wave)[item.index[0] // size * -(-size // 32) + item.index[0] % size // 32])
        missing = [lane for lane in asked if lane not in here and alive >> lane & 1]
        return MissingLanes(
            f"thread {thread} of block {block} waits in {ins.parts[0]} with the mask {int(item.number[0]):#x} for "
            f"lanes {_ranges(missing)} of its warp, which the mask names but which never come here",
            advice="The mask must name exactly the lanes that execute the call: move it out of the branch, or take "
            "__activemask() or a ballot made before the branch.",
            **where,  # type: ignore[arg-type]
        )
    number = int(item.index[0]) // size
    barrier, counts = int(item.number[0]), int(item.expected[0]) or size
    if barrier or counts != size:
        beside = np.concatenate(
            [other.index[(other.index // size == number) & (other.number == barrier)]
             for other in parked if other.kind == "barrier"]
        )  # fmt: skip
        absent = _absent_beside(wave, beside, np.full(len(beside), barrier))
        key = number * 16 + barrier
        came = int(wave.arrivals[key]) + len(beside) + int(absent[key])
        return BarrierDivergence(
            f"thread {thread} of block {block} waits at barrier {barrier}, which counts {counts} threads, but only "
            f"{came} have come and no more will{_returned(wave, number)}",
            advice="The count must be that of all threads which come to this barrier, to wait or only to arrive, and "
            "each of them must name the same barrier.",
            **where,  # type: ignore[arg-type]
        )
    elsewhere = next(
        other
        for other in parked
        if (other.kind != "barrier" or (other.number != barrier).any())
        and (other.index // size == number).any()
    )
    whom = int(elsewhere.index[(elsewhere.index // size == number).argmax()])
    line = elsewhere.instruction.line
    return BarrierDivergence(
        f"thread {thread} of block {block} waits at a barrier for thread "
        f"{place(wave.machine.thread_position(whom % size))}, which waits at another one, in line {line}, and so "
        "neither goes on",
        advice="All threads of a block must reach the same barrier: see that both name the same number.",
        also=(elsewhere.instruction.file, line),
        **where,  # type: ignore[arg-type]
    )


def _returned(wave: Wave, block: int) -> str:
    """A remark on threads of a block that aren't there any more."""
    left = int(wave.exited[block])
    return f"; {left} of the block's threads have returned" if left else ""


def went_round(wave: Wave, thread: int) -> BarrierDivergence | None:
    """Whether others of a thread's block wait at a barrier that it can only have gone round.

    It has if it is where no way leads back to that barrier. The threads that are least far go first, so it has, too, if
    it stands before the barrier: then it has jumped back.
    """
    size = wave.machine.block_threads
    for item in wave.parked:
        here = item.index[item.index // size == thread // size]
        beyond = item.pc > wave.pc or _behind(wave, item, wave.pc)
        if item.kind == "barrier" and beyond and len(here):
            block, who, block_at, thread_at = wave.machine.whereabouts_of(wave, int(here[0]))
            _, whom, _, _ = wave.machine.whereabouts_of(wave, thread)
            ins = item.instruction
            return BarrierDivergence(
                f"thread {who} of block {block} waits at a barrier, but thread {whom} has gone round it",
                file=ins.file, line=ins.line, block=block_at, thread=thread_at,
                advice="Every thread of a block must reach the same __syncthreads(): move it out of the branch.",
            )  # fmt: skip
    return None


def _ranges(lanes: list[int]) -> str:
    """3, 5-7, 31"""
    parts: list[str] = []
    start = 0
    for at in range(1, len(lanes) + 1):
        if at == len(lanes) or lanes[at] != lanes[at - 1] + 1:
            parts.append(str(lanes[start]) if at - start == 1 else f"{lanes[start]}-{lanes[at - 1]}")
            start = at
    return ", ".join(parts)
