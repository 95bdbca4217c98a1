"""What one block may know of another's writes: fences and atomic accesses between blocks (PTX ISA 8.7 to 8.10).

A fence makes what a block has written, and what it knew, ready to be handed on; its next atomic write leaves that at
the element; whoever meets that element atomically later knows it, too. This is release and acquire, by blocks: what
one thread of a block knows, all are taken to know, as they mostly do after a barrier.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

MOST_BLOCKS = 1024  # of a grid for which all this is followed exactly
MOST_MEETINGS = 4096  # of blocks and elements in one instruction


class Handing:
    def __init__(self, blocks: int) -> None:
        self.blocks = blocks
        self.exact = blocks <= MOST_BLOCKS
        self.known: Any = None  # for each block, of each other: the last event that it knows of
        self.ready: Any = None  # the same as it was at the block's last fence
        self.left: dict[tuple[int, int], Any] = {}  # at each element: what was left there
        self.published = self.acquired = np.empty(0, np.int64)

    def fence(self, blocks: npt.NDArray[np.int64], event: int) -> None:
        if self.known is None:
            shape = (self.blocks, self.blocks) if self.exact else (0, 0)
            self.known, self.ready = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
            self.published, self.acquired = np.zeros(self.blocks, np.int64), np.zeros(self.blocks, np.int64)
        self.published[blocks] = event
        if self.exact:
            own = np.unique(blocks)
            self.ready[own] = self.known[own]
            self.ready[own, own] = event

    def meet(self, array: int, units: Any, blocks: npt.NDArray[np.int64], event: int, writes: bool) -> None:
        """Blocks access elements atomically, in this order."""
        if self.known is None:
            return
        self.acquired[blocks] = event
        if not self.exact:
            return
        pairs = np.stack([blocks, units], axis=1)
        _, first = np.unique(pairs, axis=0, return_index=True)
        if len(first) > MOST_MEETINGS:
            self.exact = False
            return
        for block, unit in pairs[np.sort(first)].tolist():
            left = self.left.get((array, unit))
            if left is not None:
                np.maximum(self.known[block], left, out=self.known[block])
            if writes and self.published[block]:
                mine = self.ready[block]
                self.left[array, unit] = mine.copy() if left is None else np.maximum(left, mine)

    def knows(self, mine: Any, theirs: Any, event: Any) -> Any:
        """Whether blocks know what others have done at an event."""
        if self.known is None:
            return np.zeros(len(event), np.bool_)
        if not self.exact:  # too much to follow: a fence there, and an atomic access here after the write
            return (event <= self.published[theirs]) & (self.acquired[mine] > event)
        return event <= self.known[mine, theirs]
