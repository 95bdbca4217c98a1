"""Where threads wait for each other: barriers of a block and lanes of a warp (PTX ISA 9.7.13).

A thread that waits is parked. Parked threads are looked at when no others can run: a barrier opens when all that it
counts have come. If none opens, somebody waits for a thread that never comes, and that is a fault.

A barrier of the whole block doesn't wait for threads that have exited (9.7.12, exit): returning early, before a
barrier, is allowed. A thread that skips the barrier and goes on with what lies behind it is not; that some hardware
lets it pass, once the thread has exited, is luck.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from workbench.ptx.model import Instruction
from workbench.ptx.parked import Parked, Threads, absent_beside, alive, behind, lanes_present, warp_of
from workbench.ptx.program import Ending
from workbench.ptx.stuck import check_number, not_in_mask, raise_if_skipped, stuck
from workbench.ptx.trespass import full

if TYPE_CHECKING:
    from workbench.ptx.wave import Wave


def pass_barrier(wave: Wave, ending: Ending) -> int:
    """bar.sync: go on if the group is made of whole blocks, else park."""
    number_slot, count_slot = ending.details
    number, expected = wave.r[number_slot], wave.r[count_slot]
    check_number(wave, ending.instruction, number)
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


def arrive(wave: Wave, ins: Instruction, number: Any) -> None:
    """bar.arrive: these threads' warps are counted at a barrier, with all their lanes, and go on."""
    check_number(wave, ins, number)
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
        mask = full(mask, group.count).view(np.uint32)
        outside = (mask >> group.lane.astype(np.uint32)) & 1 == 0
        if outside.any():
            raise not_in_mask(wave, ending, int(outside.argmax()), mask)
    if group.whole_warps:
        return ending.targets[0]
    mask = full(mask, group.count).view(np.uint32)
    present = lanes_present(wave, group.threads)
    if not (mask & ~present[group.warp] & alive(wave)[group.warp]).any():
        return ending.targets[0]
    return _park(wave, "collect", ending, mask, np.zeros((), np.int32))


def _park(wave: Wave, kind: str, ending: Ending, number: Any, expected: Any) -> int:
    pc = ending.targets[0]
    group = wave.group
    wave.save(wave.machine.program.blocks[pc].live)
    assert ending.instruction is not None
    wave.parked.append(
        Parked(
            kind, group.threads, wave.pc, pc, wave.spent, ending.instruction,
            full(number, group.count), full(expected, group.count),
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
        raise stuck(wave, parked)
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
    for items in places.values():
        present = lanes_present(wave, np.concatenate([item.index for item in items])) | ~alive(wave)
        for item in items:
            warp = warp_of(wave, item.index)
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
        counted = arrived + absent_beside(wave, threads, keys % 16)
    freed = False
    gone: list[tuple[Threads, Any]] = []
    opened: list[Threads] = []
    for item in waiting:
        key = item.index // size * 16 + item.number
        everybody = arrived[key] + exited[key] >= size
        goes = np.where(item.expected > 0, counted[key] >= item.expected, everybody)
        if wave.skipped is not None and goes.any():
            raise_if_skipped(wave, item, goes & (item.expected == 0))
        gone.append((item.index[goes], item.number[goes]))
        opened.append(np.unique(key[goes]))
        freed |= _keep(wave, item, goes)
    if freed:
        keys = np.concatenate(opened)
        wave.arrivals[keys] = 0
        if wave.skipped is not None:
            wave.skipped &= ~np.isin(wave.everyone // size, keys // 16)
        if wave.watch is not None:
            wave.watch.released(np.concatenate([t for t, _ in gone]), np.concatenate([n for _, n in gone]))
    return freed


def note_skipping(wave: Wave, number: int) -> None:
    """Remember the running threads, at a block of the program, for whom others wait at a barrier behind it."""
    size = wave.machine.block_threads
    for item in wave.parked:
        if behind(wave, item, number):
            if wave.skipped is None:
                wave.skipped = np.zeros(wave.count, np.bool_)
            waited_for = np.isin(wave.group.block, item.index // size)
            wave.skipped[wave.group.threads[waited_for]] = True
