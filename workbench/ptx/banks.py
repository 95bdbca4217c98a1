"""Bank conflicts in shared memory (CUDA C++ Programming Guide, shared memory of compute capability 5 and later).

Shared memory has 32 banks of 4 bytes. In one go, a wavefront, each bank gives one word, to any number of lanes.
Accesses of 8 bytes are served half a warp at a time, those of 16 a quarter: 32 words each. Two such neighbouring parts
are served together, though, if each lane reads the same address as the one beside it (lane ^ 1), or each the same as
the one after next (lane ^ 2): then they have no more than 32 words between them. The guide doesn't say this last rule;
it is what measured counts show. What a request needs beyond one wavefront for each part are conflicts.
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
    here = None if present is None else np.repeat(present, each, axis=1).reshape(-1, BANKS)
    if each == 1:
        return _of_parts(every, here)
    together = _pairs(words, present, 32 // each * 2)
    if not together.any():
        return _of_parts(every, here)
    apart = ~np.repeat(together, 2)
    joined = every.reshape(-1, 2 * BANKS)[together]
    here_joined = None if here is None else here.reshape(-1, 2 * BANKS)[together]
    one = _of_parts(joined, here_joined)
    other = _of_parts(every[apart], None if here is None else here[apart]) if apart.any() else (0, 0)
    return one[0] + other[0], one[1] + other[1]


def _pairs(words: Any, present: Any, lanes: int) -> Any:
    """For each group of so many lanes, two parts, whether they are served together."""
    found = np.zeros(words.size // lanes, np.bool_)
    for beside in (1, 2):
        partner = np.arange(32) ^ beside
        alike = words == words[:, partner]
        if present is not None:
            alike |= ~(present & present[:, partner])
        found |= alike.reshape(-1, lanes).all(axis=1)
    return found


def _of_parts(every: Any, here: Any) -> tuple[int, int]:
    """Each row is served by itself: words, and which of them are asked for."""
    parts = len(every) if here is None else int(here.any(axis=1).sum())
    keyed = ((every % BANKS) << 40) | every
    order = np.sort(keyed if here is None else np.where(here, keyed, np.int64(-1)), axis=1)
    new = np.ones(order.shape, np.bool_)
    new[:, 1:] = order[:, 1:] != order[:, :-1]
    new &= order >= 0
    bank = order >> 40
    row = np.arange(len(order))[:, None]
    counts = np.bincount((row * BANKS + bank)[new], minlength=len(order) * BANKS).reshape(-1, BANKS)
    return int(counts.max(axis=1).sum()), parts
