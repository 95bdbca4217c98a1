"""Races in global memory, between the threads and blocks of one launch, and reads of outputs that hold nothing yet.

Only arrays that the kernel may write are watched; which those are is read off the program (see `flow`). Blocks run in
waves, one after the other, but on a GPU in any order: an access of an earlier wave is no more ordered than another.

What is watched is the compiled program. A compiler may let all threads read what the source lets only some read, and
drop the rest: such a read counts.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.ptx.blame import global_race, uninitialised
from workbench.ptx.checks import Events, enter, is_strong, releases, unwritten
from workbench.ptx.handing import Handing
from workbench.ptx.memory import Allocation, View
from workbench.ptx.order import BITS, MASK, Order
from workbench.ptx.program import Site

if TYPE_CHECKING:
    from workbench.ptx.wave import Wave


class Shadow:
    """Of one allocation: who wrote each unit last, and who read it.

    While an array is only written, from its start to its end, as most outputs are, it is enough to keep a list of the
    runs that were written; the shadow itself is made when that no longer holds.
    """

    def __init__(self, size: int, unit: int, read_too: bool) -> None:
        units = -(-size // unit)
        self.units = units
        self.readers = np.zeros(units, np.int64) if read_too else None
        self.others = np.zeros(units, np.int64) if read_too else None
        self.anything = False
        self.runs: list[tuple[int, int, Any, int]] | None = None if read_too else []
        self.end = 0

    def note_run(self, units: Any, width: int, threads: Any, event: int) -> bool:
        """Whether a write could be kept as a run: side by side, behind all others."""
        if self.runs is None or len(units) < 1024 or int(units[0]) < self.end:
            return False
        if (
            int(units[-1]) - int(units[0]) != (len(units) - 1) * width
            or not (units[1:] - units[:-1] == width).all()
        ):
            return False
        self.runs.append((int(units[0]), event, threads, width))
        self.end = int(units[-1]) + width
        return True

    @cached_property
    def written(self) -> Any:
        made = np.zeros(self.units, np.int64)
        for start, event, threads, width in self.runs or ():
            made[start : start + len(threads) * width] = (event << BITS) | np.repeat(threads, width)
            self.anything = True
        self.runs = None
        return made


def slice_of(units: Any) -> slice | None:
    """Units that lie side by side, in order, as a slice, which is faster than a list of them."""
    if len(units) < 1024 or int(units[-1]) - int(units[0]) != len(units) - 1:
        return None
    if not (units[1:] - units[:-1] == 1).all():
        return None
    return slice(int(units[0]), int(units[-1]) + 1)


class GlobalChecks:
    """The shadows of all watched arrays, for a whole launch."""

    def __init__(
        self,
        events: Events,
        unit: int,
        written: set[str] | None,
        read: set[str] | None,
        empty: frozenset[str],
    ) -> None:
        self.events, self.unit, self.empty = events, unit, empty
        self.written, self.read_too = written, read
        self.shadows: dict[int, Shadow | None] = {}
        self.waves: list[tuple[int, Wave]] = []
        self.handing: Handing | None = None

    def begin(self, wave: Wave, order: Order) -> None:
        self.waves.append((self.events.now, wave))
        self.wave, self.order = wave, order
        if self.handing is None:
            self.handing = Handing(wave.machine.grid_blocks)

    def _shadow(self, owner: Allocation) -> Shadow | None:
        if owner.number not in self.shadows:
            wanted = owner.writable and (
                self.written is None or owner.name in self.written or owner.name in self.empty
            )
            read_too = self.read_too is None or owner.name in self.read_too
            self.shadows[owner.number] = Shadow(owner.size, self.unit, read_too) if wanted else None
        return self.shadows[owner.number]

    def access(self, site: Site, view: View, addresses: Any, values: Any, which: Any) -> None:
        owner = view.allocation
        if owner is None:
            return
        shadow = self._shadow(owner)
        if shadow is None:
            return
        threads = self.wave.group.threads if which is None else self.wave.group.threads[which]
        units = (addresses - owner.base) // self.unit
        if units.ndim == 0:
            units = np.broadcast_to(units, len(threads))
        width = max(1, site.size // self.unit)
        event = self.events.new(site)
        if site.kind == "store" and not is_strong(site) and shadow.note_run(units, width, threads, event):
            return
        if shadow.runs:
            _ = shadow.written
        owners = None
        if width > 1:
            units = (units[:, None] + np.arange(width)).reshape(-1)
            owners = np.repeat(np.arange(len(threads)), width)
            threads = threads[owners]
        if is_strong(site) and not site.guess and self.handing is not None:
            blocks = self.wave.first + threads // self.wave.machine.block_threads
            if releases(site):
                self.fence(threads, event, "cta" in site.instruction.parts)
            self.handing.meet(owner.number, units, blocks, event, site.kind != "load")
            self.order.meet(owner.number, units, threads, site.kind != "load")
        if site.kind == "load":
            self._read(site, owner, shadow, units, threads, event)
        else:
            self._write(site, owner, shadow, units, threads, event, values, owners)

    def _read(
        self, site: Site, owner: Allocation, shadow: Shadow, units: Any, threads: Any, event: int
    ) -> None:
        if shadow.anything or owner.name in self.empty:
            last = shadow.written.take(units)
            if owner.name in self.empty and (missing := unwritten(site, last, self.unit)).any():
                which = int(missing.argmax())
                offset = int(units[which]) * self.unit
                raise uninitialised(self.wave, site, owner, int(threads[which]), offset)
            self._raise_if(site, owner, threads, last, units)
        if shadow.readers is not None:
            enter(shadow.readers, shadow.others, units, (event << BITS) | threads)

    def _write(
        self,
        site: Site, owner: Allocation, shadow: Shadow, units: Any, threads: Any, event: int, values: Any, owners: Any,
    ) -> None:  # fmt: skip
        side_by_side = slice_of(units)
        if shadow.anything:
            last = shadow.written.take(units) if side_by_side is None else shadow.written[side_by_side]
            self._raise_if(site, owner, threads, last, units, values, owners)
        if shadow.readers is not None and shadow.others is not None:
            for readers in (shadow.readers, shadow.others):
                self._raise_if(site, owner, threads, readers.take(units), units)
        mine = (event << BITS) | threads
        shadow.written[units if side_by_side is None else side_by_side] = mine
        shadow.anything = True
        if side_by_side is not None or is_strong(site):
            return
        winners = shadow.written.take(units)
        lost = winners != mine
        if lost.any():
            if values is not None:
                if values.ndim == 0:
                    return
                place = np.empty(self.wave.count, np.int64)
                place[threads] = np.arange(len(threads)) if owners is None else owners
                given = values if owners is None else values[owners]
                lost &= given != values[place[winners & MASK]]
            if lost.any():
                self._blame(site, owner, threads, winners, units, lost)

    def _raise_if(
        self,
        site: Site,
        owner: Allocation,
        threads: Any,
        last: Any,
        units: Any,
        values: Any = None,
        owners: Any = None,
    ) -> None:
        if not last.any():
            return
        event = last >> BITS
        current = event >= self.order.start
        found = np.zeros(len(last), np.bool_)
        if current.all():
            found = self.order.unordered(threads, last) & (last != 0)
        else:
            if current.any():
                at = np.flatnonzero(current)
                found[at] = self.order.unordered(threads[at], last[at])
            found |= ~current & (last != 0)
        if not found.any():
            return
        at = np.flatnonzero(found)
        keep = ~self._handed_on(threads[at], last[at])
        if is_strong(site):
            keep &= ~self._strong(last[at])
        if values is not None and owners is None and site.kind == "store" and keep.any():
            keep &= ~self._same(site, owner, units[at], values if values.ndim == 0 else values[at])
        if keep.any():
            found[at[~keep]] = False
            self._blame(site, owner, threads, last, units, found)

    def _strong(self, last: Any) -> Any:
        sites = self.events.sites
        events = last >> BITS
        strong = [
            event for event in np.unique(events).tolist() if (s := sites[event]) is not None and is_strong(s)
        ]
        return np.isin(events, strong)

    def _same(self, site: Site, owner: Allocation, units: Any, values: Any) -> Any:
        view = owner.view(site.dtype)
        at = (units * self.unit + owner.base - view.start) // site.size
        return view.elements[at] == values

    def fence(self, threads: Any, event: int, of_block: bool) -> None:
        """What threads have done is ready to be handed on, if `of_block` only to their own block."""
        self.order.fence(threads, event)
        if self.handing is not None and not of_block:
            self.handing.fence(self.wave.first + threads // self.wave.machine.block_threads, event)

    def _handed_on(self, threads: Any, last: Any) -> Any:
        """Whether the other block has handed on what it did, and this one taken it."""
        event = last >> BITS
        size = self.wave.machine.block_threads
        first = np.array([self._wave_of(one).first for one in event.tolist()])
        theirs = first + (last & MASK) // size
        assert self.handing is not None
        return self.handing.knows(self.wave.first + threads // size, theirs, event)

    def _wave_of(self, event: int) -> Wave:
        at = bisect_right(self.waves, event - 1, key=lambda pair: pair[0]) - 1
        return self.waves[max(at, 0)][1]

    def _blame(self, site: Site, owner: Allocation, threads: Any, last: Any, units: Any, found: Any) -> None:
        which = int(found.argmax())
        event, before = int(last[which]) >> BITS, int(last[which]) & MASK
        other = self.events.sites[event]
        assert other is not None
        _, _, block, thread = self.wave.machine.whereabouts_of(self._wave_of(event), before)
        offset = int(units[which]) * self.unit
        raise global_race(self.wave, site, other, int(threads[which]), (block, thread), owner, offset)
