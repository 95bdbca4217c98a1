"""Bank conflicts in shared memory (CUDA C++ Programming Guide, shared memory of compute capability 5 and later).

Shared memory has 32 banks of 4 bytes. In one go, a wavefront, each bank gives one word, to any number of lanes.
Accesses of 8 bytes are served half a warp at a time, those of 16 a quarter: 32 words each. What a request needs beyond
one wavefront for each of these parts are conflicts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

BANKS = 32
REMEMBERED = 4096  # patterns; only small ones, which loops repeat
SMALL = 1 << 14


class Banks:
    """Counts wavefronts, and remembers those of patterns that come again."""

    def __init__(self) -> None:
        self.known: dict[tuple[int, bytes], tuple[int, int]] = {}

    def wavefronts(self, offsets: npt.NDArray[np.int64], present: Any, size: int) -> tuple[int, int]:
        """Wavefronts, and how many there would be without conflicts.

        `offsets` are bytes, warps by lanes; `present` says which lanes take part, None for all.
        """
        words = offsets >> 2
        relative = (words - words[:, :1]).astype(np.int32)  # moving a pattern by a word changes nothing
        if present is not None:
            relative = np.where(present, relative, np.int32(-(2**31)))
        key = (size, relative.tobytes()) if relative.size <= SMALL else None
        if key is not None and key in self.known:
            return self.known[key]
        found = _count(words, present, size)
        if key is not None and len(self.known) < REMEMBERED:
            self.known[key] = found
        return found


def _count(words: Any, present: Any, size: int) -> tuple[int, int]:
    each = max(1, size // 4)
    every = (words[:, :, None] + np.arange(each)).reshape(-1, BANKS)
    if present is None:
        parts = len(every)
        here = None
    else:
        here = np.repeat(present, each, axis=1).reshape(-1, BANKS)
        parts = int(here.any(axis=1).sum())
    keyed = ((every % BANKS) << 40) | every
    order = np.sort(keyed if here is None else np.where(here, keyed, np.int64(-1)), axis=1)
    new = np.ones(order.shape, np.bool_)
    new[:, 1:] = order[:, 1:] != order[:, :-1]
    new &= order >= 0
    bank = order >> 40
    row = np.arange(len(order))[:, None]
    counts = np.bincount((row * BANKS + bank)[new], minlength=len(order) * BANKS).reshape(-1, BANKS)
    return int(counts.max(axis=1).sum()), parts
