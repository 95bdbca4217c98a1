"""Threads that wait, and what is known of the others that they may be waiting for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from workbench.ptx.model import Instruction

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


def warp_of(wave: Wave, threads: Threads) -> Threads:
    """The warp of each thread, counted in the wave."""
    size = wave.machine.block_threads
    return threads // size * -(-size // 32) + threads % size // 32


def lanes_present(wave: Wave, threads: Threads) -> npt.NDArray[np.uint32]:
    """For each warp of the wave a bit for each of its lanes that is among the threads."""
    size = wave.machine.block_threads
    lanes = np.exp2(threads % size % 32)
    bits = np.bincount(warp_of(wave, threads), weights=lanes, minlength=wave.blocks * -(-size // 32))
    return bits.astype(np.uint32)


def alive(wave: Wave) -> npt.NDArray[np.uint32]:
    """For each warp a bit for each lane that hasn't exited: only those are waited for (PTX ISA 9.7.9.6)."""
    return lanes_present(wave, wave.everyone if wave.gone is None else np.flatnonzero(~wave.gone))


def absent_beside(wave: Wave, threads: Threads, numbers: Any) -> npt.NDArray[np.int64]:
    """For each barrier the lanes that have exited, or never were, of the warps that wait there.

    A barrier with a count, a multiple of the warp size, counts whole warps (9.7.13.1).
    """
    size = wave.machine.block_threads
    found = np.zeros(wave.blocks * 16, np.int64)
    if wave.gone is None and size % 32 == 0:
        return found
    there = alive(wave)
    per_block = -(-size // 32)
    for key in np.unique(warp_of(wave, threads) * 16 + numbers).tolist():
        found[key // 16 // per_block * 16 + key % 16] += 32 - int(there[key // 16]).bit_count()
    return found


def behind(wave: Wave, item: Parked, number: int) -> bool:
    """Whether threads wait at a barrier of everybody to which no way leads from a block of the program."""
    return (
        item.kind == "barrier" and number in wave.machine.program.behind(item.at) and not item.expected.all()
    )
