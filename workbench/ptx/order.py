"""Which accesses of a wave come before which: what barriers, fences and atomics promise (PTX ISA 8, memory model).

Every executed access has a serial number, an "event". An access by one thread is ordered before a later one by another
if a barrier that both took part in lies between: then its event is at most the barrier's. Each block keeps the event of
its last full barrier, each warp that of its last __syncwarp, and, where barriers count only some warps, each warp keeps
for each other one how far it has been synchronised with it.

Threads of a block may also hand on what they did without a barrier: by a fence and then a flag, which others wait for
(release and acquire, PTX ISA 8.8). Here warps do so, in shared and global memory. Between blocks see `handing`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from workbench.ptx.wave import Wave

Threads = npt.NDArray[np.int64]
BITS = 20  # of a thread's place in its wave, beside the event
MASK = (1 << BITS) - 1
MOST_MEETINGS = 4096  # of warps and elements in one instruction


class Order:
    """The clocks of one wave."""

    def __init__(self, wave: Wave, start: int) -> None:
        self.wave, self.start = wave, start
        self.size = wave.machine.block_threads
        self.warps = -(-self.size // 32)
        self.block = np.full(wave.blocks, start, np.int64)
        self.lowest = start  # of `block`: whatever is older is ordered for everybody
        self.warp: Any = None  # per warp of the wave
        self.pairs: Any = None  # per block, warp, and other warp
        self.arrived: dict[
            int, list[tuple[int, Any]]
        ] = {}  # per block and barrier: who arrived, and what it knew
        self.ready: Any = None  # per block, warp, and other warp: `pairs` as it was at the warp's last fence
        self.left: dict[tuple[int, int, int], Any] = {}  # per block, array and element: what was left there

    def full_barrier(self, event: int) -> None:
        """All blocks of the running group have passed a barrier of all their threads."""
        group = self.wave.group
        if group.index is None:
            self.block[:] = event
            self.lowest = event
        else:
            self.block[np.unique(group.block)] = event
            self.lowest = int(self.block.min())

    def released(self, threads: Threads, numbers: Any, event: int) -> None:
        """Threads that waited at barriers go on."""
        blocks = threads // self.size
        counts = np.bincount(blocks * 16 + numbers, minlength=len(self.block) * 16)
        for key in np.flatnonzero(counts).tolist():
            block, number = divmod(key, 16)
            if counts[key] == self.size - self.wave.exited[block]:
                self.block[block] = event
                continue
            here = threads[(blocks == block) & (numbers == number)]
            self._partial(block, key, np.unique(here % self.size // 32), event)
        self.lowest = int(self.block.min())

    def _known(self) -> Any:
        if self.pairs is None:
            self.pairs = np.zeros((len(self.block), self.warps, self.warps), np.int64)
        return self.pairs

    def _partial(self, block: int, key: int, warps: Any, event: int) -> None:
        """A barrier of some warps: they now know what each of them knew, and what those knew that only arrived."""
        known = self._known()[block]
        together = known[warps].max(axis=0)
        together[warps] = event
        for warp, row in self.arrived.pop(key, []):
            together = np.maximum(together, row)
            together[warp] = max(together[warp], row[warp])
        known[warps] = np.maximum(known[warps], together)

    def arrive(self, number: Any, event: int) -> None:
        group = self.wave.group
        known = self._known()
        numbers = np.broadcast_to(number, group.count)
        keys = (group.block * 16 + numbers) * 64 + group.threads % self.size // 32
        for key in np.unique(keys).tolist():
            at, warp = divmod(key, 64)
            row = known[at // 16, warp].copy()
            row[warp] = event
            self.arrived.setdefault(at, []).append((warp, row))

    def warp_barrier(self, event: int) -> None:
        if self.warp is None:
            self.warp = np.zeros(len(self.block) * self.warps, np.int64)
        self.warp[self.wave.group.warp] = event

    def fence(self, threads: Threads, event: int) -> None:
        """What the threads' warps have done, and know, is ready to be handed on."""
        known = self._known()
        if self.ready is None:
            self.ready = np.zeros_like(known)
        blocks, warps = np.divmod(np.unique(self._warps_of(threads)), self.warps)
        self.ready[blocks, warps] = known[blocks, warps]
        self.ready[blocks, warps, warps] = event

    def meet(self, array: int, units: Any, threads: Threads, writes: bool) -> None:
        """Threads access elements in a way that is meant to meet others (volatile, atomic), in this order."""
        if self.ready is None:
            return
        pairs = np.stack([self._warps_of(threads), units], axis=1)
        _, first = np.unique(pairs, axis=0, return_index=True)
        if (
            len(first) > MOST_MEETINGS
        ):  # too much to follow: whoever is here knows of every fence in its block
            blocks, warps = np.divmod(np.unique(pairs[:, 0]), self.warps)
            self.pairs[blocks, warps] = np.maximum(self.pairs[blocks, warps], self.ready[blocks].max(axis=1))
            return
        for at, unit in pairs[np.sort(first)].tolist():
            block, warp = divmod(at, self.warps)
            known, ready = self.pairs[block, warp], self.ready[block, warp]
            left = self.left.get((block, array, unit))
            if left is not None:
                np.maximum(known, left, out=known)
            if writes and ready[warp]:
                self.left[block, array, unit] = ready.copy() if left is None else np.maximum(left, ready)

    def _warps_of(self, threads: Threads) -> Any:
        return threads // self.size * self.warps + threads % self.size // 32

    def unordered(self, threads: Threads, last: Any) -> Any:
        """For each thread: whether another's access `last` (event and thread, in this wave) isn't ordered before."""
        event, other = last >> BITS, last & MASK
        block = threads // self.size
        found = (event > self.block[block]) | (other // self.size != block)
        found &= (other != threads) & (last != 0)
        if (self.warp is None and self.pairs is None) or not found.any():
            return found
        at = np.flatnonzero(found)
        t, s, e, b = threads[at], other[at], event[at], block[at]
        same_block = s // self.size == b
        warp_t, warp_s = t % self.size // 32, s % self.size // 32
        ordered = np.zeros(len(at), np.bool_)
        if self.warp is not None:
            ordered |= same_block & (warp_t == warp_s) & (e <= self.warp[b * self.warps + warp_t])
        if self.pairs is not None:
            ordered |= same_block & (e <= self.pairs[b, warp_t, warp_s])
        found[at[ordered]] = False
        return found
