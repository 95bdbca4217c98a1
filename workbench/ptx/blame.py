"""The texts of races, and of reads of what nobody has written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.ptx.faults import AsyncNotWaited, Fault, GlobalRace, SharedRace, Triple, Uninitialised, place
from workbench.ptx.memory import Allocation, Span
from workbench.ptx.program import Site
from workbench.ptx.trespass import VERBS, element_of, pretty

if TYPE_CHECKING:
    from workbench.ptx.wave import Wave


def _where(site: Site, block: Triple, thread: Triple) -> dict[str, Any]:
    ins = site.instruction
    return {"file": ins.file, "line": ins.line, "block": block, "thread": thread}


def uninitialised(wave: Wave, site: Site, owner: Span | Allocation, thread: int, offset: int) -> Fault:
    block, who, block_at, thread_at = wave.machine.whereabouts_of(wave, thread)
    if isinstance(owner, Span):
        name = pretty(owner.name)
        shared = owner in wave.machine.shared_spans
        what = element_of(site, owner, offset) if shared else f"byte {offset - owner.start} of {name}"
        what += f" in {'shared' if shared else 'local'} memory"
        advice = (
            "See that the element is written, by any thread, and that a barrier stands between."
            if shared
            else "Give the variable a value before it is read."
        )
        left = int(wave.exited[thread // wave.machine.block_threads])
        if shared and left:
            advice += f" {left} of the block's threads have already returned: nobody does their part."
    else:
        name = owner.name
        what = owner.element_at(owner.base + offset)
        advice = "See that every element is written before it is read; an output holds nothing at first."
    does = f"{VERBS[site.kind]} {site.size} byte{'' if site.size == 1 else 's'}"
    return Uninitialised(
        f"thread {who} of block {block} {does} at {what}, which nobody has written yet",
        array=name, advice=advice, **_where(site, block_at, thread_at),
    )  # fmt: skip


def _in_one_warp(wave: Wave, one: int, other: int) -> bool:
    size = wave.machine.block_threads
    return one // size == other // size and one % size // 32 == other % size // 32


def race(
    wave: Wave, site: Site, other: Site, thread: int, before: int, owner: Span, offset: int, at_once: bool
) -> Fault:
    """Two threads of a block meet in shared memory. at_once: in one and the same execution of an instruction."""
    block, who, block_at, thread_at = wave.machine.whereabouts_of(wave, thread)
    _, whom, _, _ = wave.machine.whereabouts_of(wave, before)
    name = pretty(owner.name)
    theirs = other.instruction
    element = element_of(other if site.kind == "copy" else site, owner, offset)
    same = "the same line" if theirs.line == site.instruction.line else f"line {theirs.line}"
    if other.kind == "copy" or site.kind == "copy":
        advice = "Wait for the copy (cp.async.wait_group) and then for the other threads (__syncthreads())."
    elif at_once:
        advice = "No barrier helps where threads write one element at once: give each its own, or use an atomic one."
    else:
        advice = _order_advice(site, other)
        if _in_one_warp(wave, thread, before):
            advice += " __syncwarp() is enough if only lanes of one warp share the data."
    return SharedRace(
        f"thread {who} of block {block} {VERBS[site.kind]} {element}, which thread {whom} "
        f"{VERBS[other.kind]} in {same}, and no barrier says who is first",
        array=name, advice=advice, also=(theirs.file, theirs.line), **_where(site, block_at, thread_at),
    )  # fmt: skip


def _order_advice(site: Site, other: Site) -> str:
    """Where the barrier belongs that is missing between two accesses."""
    if (site.instruction.file, site.instruction.line) != (other.instruction.file, other.instruction.line):
        return "Put __syncthreads() between the two lines, where all threads reach it."
    if site.kind == other.kind:
        return (
            "The line runs again, in a loop, before all threads have done with the last round: put __syncthreads() "
            "into the loop, where all threads reach it."
        )
    return (
        "One line reads and writes: keep what is read in a variable, and put __syncthreads() before it is written; in "
        "a loop, another one before the next round reads."
    )


def global_race(
    wave: Wave,
    site: Site,
    other: Site,
    thread: int,
    before: tuple[Triple, Triple],
    owner: Allocation,
    offset: int,
) -> Fault:
    """Two threads of the grid meet in global memory."""
    block, who, block_at, thread_at = wave.machine.whereabouts_of(wave, thread)
    their_block, whom = before
    theirs = other.instruction
    same = "the same line" if theirs.line == site.instruction.line else f"line {theirs.line}"
    element = owner.element_at(owner.base + offset)
    if their_block == block_at:
        advice = "Give each thread its own elements, use an atomic operation, or put __syncthreads() between."
    else:
        advice = (
            "Blocks run in any order: give each its own elements, use an atomic operation, or, to hand data on, "
            "__threadfence() before an atomic flag is set."
        )
    return GlobalRace(
        f"thread {who} of block {block} {VERBS[site.kind]} {element}, which thread {place(whom)} of block "
        f"{place(their_block)} {VERBS[other.kind]} in {same}, and nothing says who is first",
        array=owner.name, advice=advice, also=(theirs.file, theirs.line), **_where(site, block_at, thread_at),
    )  # fmt: skip


def not_waited(wave: Wave, site: Site, other: Site, thread: int, owner: Span, offset: int) -> Fault:
    block, who, block_at, thread_at = wave.machine.whereabouts_of(wave, thread)
    name = pretty(owner.name)
    theirs = other.instruction
    return AsyncNotWaited(
        f"thread {who} of block {block} {VERBS[site.kind]} {element_of(site, owner, offset)}, where a copy that "
        f"line {theirs.line} has started (cp.async) may still be under way",
        array=name, also=(theirs.file, theirs.line),
        advice="Commit the copies and wait for their group (cp.async.wait_group), then __syncthreads().",
        **_where(site, block_at, thread_at),
    )  # fmt: skip
