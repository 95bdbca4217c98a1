"""Races and reads of what nobody has written, found with shadow memory.

Beside memory lies, for each unit of it, who wrote it last and when (an event and a thread in one number, 0 for never),
and who read it. Reads of shared memory are only noted in a list at first; they are looked at if somebody writes where
they read before the next barrier, which in most kernels never happens.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from workbench.ptx.blame import not_waited, race, uninitialised
from workbench.ptx.memory import Span
from workbench.ptx.order import BITS, MASK, Order
from workbench.ptx.program import Program, Site
from workbench.ptx.stuck import went_round

if TYPE_CHECKING:
    from workbench.ptx.wave import Wave

Units = npt.NDArray[np.int64]
LONG_LIST = 1 << 22  # reads that are only noted
SHARED = -1  # its number among the arrays


def is_strong(site: Site) -> bool:
    """Whether an access is meant to meet others: atomics, loads and stores that say so (PTX ISA 8.3), and guesses."""
    parts = site.instruction.parts
    return (
        site.guess
        or site.kind in ("atomic", "reduction")
        or any(part in ("volatile", "relaxed", "acquire", "release", "mmio") for part in parts)
    )


def releases(site: Site) -> bool:
    """Whether a write hands on what was done before it, as if a fence stood there (PTX ISA 8.8)."""
    parts = site.instruction.parts
    return "release" in parts or "acq_rel" in parts


def unwritten(site: Site, last: Any, unit: int) -> Any:
    """Which units of what a site reads nobody has written. last: who wrote each, access after access.

    The padding of structures doesn't count: a compiler copies it with what lies beside it, as integers. So 8 bytes that
    are read as integers are taken for whole if some of them have been written.
    """
    missing = last == 0
    together = min(site.size, 8) // unit if site.instruction.parts[-1][0] in "bus" else 1
    if together > 1 and len(missing) % together == 0:
        missing = np.repeat(missing.reshape(-1, together).all(axis=1), together)
    return missing


def unit_size(program: Program, spaces: tuple[str, ...]) -> int:
    """The largest size that all accesses are made of: two threads may write halves of a word."""
    return min([4, *(site.size for site in program.sites if site.space in spaces)])


class Events:
    """Which site each event belongs to, over the whole launch."""

    def __init__(self) -> None:
        self.sites: list[Site | None] = [None]

    @property
    def now(self) -> int:
        return len(self.sites) - 1

    def new(self, site: Site | None) -> int:
        self.sites.append(site)
        return len(self.sites) - 1


class Noted:
    """Reads that were noted but not entered into the shadow."""

    def __init__(self, units: Units, width: int, threads: Any, event: int) -> None:
        self.units, self.width, self.threads, self.event = units, width, threads, event


class SpanState:
    """What is known of one shared variable as a whole, so that most accesses need no closer look."""

    def __init__(self) -> None:
        self.complete = False  # every unit in every block has been written
        self.last_write = 0
        self.fresh = False  # written since `complete` was looked at
        self.reads: list[Noted] = []
        self.noted = 0
        self.folded = False


class SharedChecks:
    """The shadow of a wave's shared memory."""

    def __init__(self, wave: Wave, order: Order, events: Events, unit: int) -> None:
        self.wave, self.order, self.events, self.unit = wave, order, events, unit
        self.stride = wave.machine.shared_stride // unit
        self.written = np.zeros(wave.blocks * self.stride, np.int64)
        self.readers: Any = None
        self.others: Any = None
        self.spans: dict[str, SpanState] = {}
        self.copies = Copies(self)

    def access(self, site: Site, span: Span, start: int, addresses: Any, values: Any, which: Any) -> None:
        """`start` is the address at which the span begins, as `addresses` count."""
        wave = self.wave
        state = self.spans.get(span.name)
        if state is None:
            state = self.spans[span.name] = SpanState()
        group = wave.group
        threads = group.threads if which is None else group.threads[which]
        first = (
            group.shared_start if which is None or group.shared_start.ndim == 0 else group.shared_start[which]
        )
        units = (addresses - start + span.start + first) // self.unit
        if units.ndim == 0:
            units = np.broadcast_to(units, len(threads))
        width = site.size // self.unit
        event = self.events.new(site)
        if is_strong(site) and not site.guess:
            if releases(site):
                self.order.fence(threads, event)
            self.order.meet(SHARED, units, threads, site.kind != "load")
        if self.copies.pending:
            self.copies.check(site, span, *self.wide(units, width), threads)
        if site.kind == "copy":
            self.copies.start(site, units, width, threads)
        if site.kind == "load":
            self.read(site, span, state, units, width, threads, event)
        else:
            self.write(site, span, state, units, width, threads, event, values)

    def wide(self, units: Units, width: int) -> tuple[Units, Any]:
        """All units of accesses that are wider than one, and which access each belongs to."""
        if width == 1:
            return units, None
        return (units[:, None] + np.arange(width)).reshape(-1), _owners(len(units), width)

    def read(
        self, site: Site, span: Span, state: SpanState, units: Units, width: int, threads: Any, event: int
    ) -> None:
        if state.fresh and not state.complete:
            state.fresh = False
            part = self.written.reshape(-1, self.stride)[
                :, span.start // self.unit : -(-span.end // self.unit)
            ]
            state.complete = bool(part.all())
        if not state.complete or state.last_write > self.order.lowest:
            every, owner = self.wide(units, width)
            last = self.written.take(every)
            if not state.complete and not last.all() and (missing := unwritten(site, last, self.unit)).any():
                which = int(missing.argmax())
                which = which if owner is None else int(owner[which])
                raise uninitialised(self.wave, site, span, int(threads[which]), self._offset(units[which]))
            if int(last.max()) >> BITS > self.order.lowest:
                who = threads if owner is None else threads[owner]
                self._raise_if(site, span, who, last, every)
        state.reads.append(Noted(units, width, threads, event))
        state.noted += len(units)
        if state.noted > LONG_LIST:
            self.fold(state)

    def write(
        self,
        site: Site, span: Span, state: SpanState, units: Units, width: int, threads: Any, event: int, values: Any,
    ) -> None:  # fmt: skip
        every, owner = self.wide(units, width)
        who = threads if owner is None else threads[owner]
        atomic = is_strong(site)
        last = self.written.take(every)
        if atomic and site.kind != "load" and not last.all():
            which = int((last == 0).argmax())
            which = which if owner is None else int(owner[which])
            if site.kind != "store":
                raise uninitialised(self.wave, site, span, int(threads[which]), self._offset(units[which]))
        if int(last.max()) >> BITS > self.order.lowest:
            self._raise_if(site, span, who, last, every, units, values)
        if state.reads or state.folded:
            self.fold(state)
            for shadow in (self.readers, self.others):
                last = shadow.take(every)
                if int(last.max()) >> BITS > self.order.lowest:
                    self._raise_if(site, span, who, last, every)
        mine = (event << BITS) | who
        self.written[every] = mine
        state.last_write, state.fresh = event, True
        if not atomic:
            lost = self.written.take(every) != mine
            if lost.any():
                self._same_instruction(site, span, who, every, lost, owner, values)

    def fold(self, state: SpanState) -> None:
        """Enter noted reads into the shadow: for each unit the last reader, and another one if there was one."""
        if self.readers is None:
            self.readers, self.others = np.zeros_like(self.written), np.zeros_like(self.written)
        for noted in state.reads:
            if noted.event <= self.order.lowest:
                continue
            every, owner = self.wide(noted.units, noted.width)
            who = noted.threads if owner is None else noted.threads[owner]
            enter(self.readers, self.others, every, (noted.event << BITS) | who)
            state.folded = True
        state.reads, state.noted = [], 0

    def forget(self) -> None:
        """After a barrier of everybody: no noted read matters any more."""
        for state in self.spans.values():
            if state.reads and state.reads[-1].event <= self.order.lowest:
                state.reads, state.noted = [], 0

    def _offset(self, unit: Any) -> int:
        return int(unit) % self.stride * self.unit

    def _raise_if(
        self, site: Site, span: Span, who: Any, last: Any, every: Units, units: Any = None, values: Any = None
    ) -> None:
        found = self.order.unordered(who, last)
        if not found.any():
            return
        if is_strong(site):
            found &= ~self._strong(last)
        if values is not None and found.any() and len(who) == len(units):
            found &= ~_same_values(self.wave.machine.shared, site, units * self.unit, values)
        if found.any():
            self._blame(site, span, who, last, every, found)

    def _strong(self, last: Any) -> Any:
        sites = self.events.sites
        events = np.unique(last >> BITS)
        strong = [
            event for event in events.tolist() if (other := sites[event]) is not None and is_strong(other)
        ]
        return np.isin(last >> BITS, strong)

    def _same_instruction(
        self, site: Site, span: Span, who: Any, every: Units, lost: Any, owner: Any, values: Any
    ) -> None:
        """Several threads have written one unit in one instruction; that they wrote the same is no harm."""
        winners = self.written.take(every)
        if values is not None and values.ndim == 0:
            return
        if values is not None:
            place = np.empty(self.wave.count, np.int64)
            place[who] = np.arange(len(who)) if owner is None else owner
            mine = values if owner is None else values[owner]
            lost = lost & (_bits(mine) != _bits(values[place[winners & MASK]]))
        if lost.any():
            self._blame(site, span, who, winners, every, lost, at_once=True)

    def _blame(
        self, site: Site, span: Span, who: Any, last: Any, every: Units, found: Any, at_once: bool = False
    ) -> None:
        which = int(found.argmax())
        other = self.events.sites[int(last[which]) >> BITS]
        assert other is not None
        at = self._offset(every[which])
        skipped = went_round(self.wave, int(who[which]))
        if skipped is not None:
            raise skipped
        raise race(self.wave, site, other, int(who[which]), int(last[which]) & MASK, span, at, at_once)


@lru_cache(maxsize=64)
def _owners(count: int, width: int) -> Units:
    """0, 0, 0, 0, 1, 1, 1, 1, ... for a width of 4."""
    owners = np.repeat(np.arange(count), width)
    owners.flags.writeable = False
    return owners


class Copies:
    """cp.async: the copies that are under way, by the groups of the threads that started them (PTX ISA 9.7.9.25)."""

    def __init__(self, checks: SharedChecks) -> None:
        self.checks = checks
        self.pending: list[tuple[Site, Units, int, Any, Any]] = []
        self.shadow: Any = None  # for each unit the event that copies to it
        self.committed = np.zeros(checks.wave.count, np.int64)
        self.waited = np.zeros(checks.wave.count, np.int64)
        self.open = np.zeros(checks.wave.count, np.int64)  # copies of each thread that are under way

    def start(self, site: Site, units: Units, width: int, threads: Any) -> None:
        if self.shadow is None:
            self.shadow = np.zeros_like(self.checks.written)
        self.pending.append((site, units, width, threads, self.committed[threads]))
        self.open[threads] += 1
        self.shadow[self.checks.wide(units, width)[0]] = self.checks.events.now

    def commit(self) -> None:
        self.committed[self.checks.wave.group.threads] += 1

    def wait(self, left: int, everything: bool) -> None:
        """All but the last `left` groups of the running threads are complete."""
        threads = self.checks.wave.group.threads
        if everything:
            self.committed[threads] += 1
        self.waited[threads] = np.maximum(self.waited[threads], self.committed[threads] - left)
        still = []
        for site, units, width, owners, groups in self.pending:
            done = groups < self.waited[owners]
            if done.any():
                self.open[owners[done]] -= 1
                # For other threads the data is written now: they need a barrier from here on.
                event = self.checks.events.new(site)
                every, owner = self.checks.wide(units[done], width)
                who = owners[done] if owner is None else owners[done][owner]
                self.checks.written[every] = (event << BITS) | who
                self.shadow[every] = 0
                for state in self.checks.spans.values():
                    state.last_write = max(state.last_write, event)
            if not done.all():
                still.append((site, units[~done], width, owners[~done], groups[~done]))
        self.pending = still

    def warps(self) -> int:
        """How many of the running warps have a copy under way."""
        group = self.checks.wave.group
        return int(np.count_nonzero(np.bincount(group.warp, self.open[group.threads]))) if self.pending else 0

    def check(self, site: Site, span: Span, every: Units, owner: Any, threads: Any) -> None:
        found = self.shadow.take(every)
        if not found.any():
            return
        which = int((found != 0).argmax())
        other = self.checks.events.sites[int(found[which])]
        assert other is not None
        thread = int(threads[which if owner is None else int(owner[which])])
        at = int(every[which]) % self.checks.stride * self.checks.unit
        raise not_waited(self.checks.wave, site, other, thread, span, at)


def enter(readers: Any, others: Any, every: Units, mine: Any) -> None:
    """Note reads: the last one in `readers`; in `others` one of another thread."""
    before = readers.take(every)
    differs = (before != 0) & ((before & MASK) != (mine & MASK))
    if differs.any():
        others[every[differs]] = before[differs]
    readers[every] = mine
    lost = readers.take(every) != mine
    if lost.any():
        others[every[lost]] = mine[lost]


def _bits(values: Any) -> Any:
    if values.dtype.itemsize == 16:
        return values.view(np.int64).reshape(-1, 2).sum(axis=1)
    return values.view(f"i{values.dtype.itemsize}")


def _same_values(memory: Any, site: Site, at: Any, values: Any) -> Any:
    """Whether what is written is there already: such a race harms nobody."""
    if site.kind != "store":
        return np.zeros(len(at), np.bool_)
    there = memory[: len(memory) // site.size * site.size].view(site.dtype)[at // site.size]
    return _bits(there) == _bits(np.broadcast_to(values, len(at)).copy())
