"""Loads and stores: from addresses to elements of memory, with the bounds and alignment of each checked.

Each instruction remembers the piece of memory that it touched last (its `View`); most find all their addresses in it,
and for them one reduction over the offsets shows that all lie inside and none is misaligned. Only otherwise are the
addresses looked at one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from workbench.ptx.compute import Step
from workbench.ptx.memory import View
from workbench.ptx.program import Site
from workbench.ptx.trespass import trespass

if TYPE_CHECKING:
    from workbench.ptx.wave import Wave

Offsets = npt.NDArray[np.int64]
Part = tuple[Any, View]  # which threads (None: all), and what they touch

_or = np.bitwise_or.reduce
_max = np.maximum.reduce


def inside(view: View, offsets: Any, low: int) -> bool:
    """Whether all offsets lie in the view and are multiples of the element size (`low` is that minus one)."""
    if offsets.ndim == 0:
        value = int(offsets)
        return 0 <= value < view.limit and not value & low
    # The bitwise or of numbers is at least their maximum, is negative if one of them is, and keeps their low bits.
    bits = int(_or(offsets))
    if bits < 0 or bits & low:
        return False
    return bits < view.limit or int(_max(offsets)) < view.limit


def spread(wave: Wave, view: View, offsets: Any, which: Any = None) -> Any:
    """Offsets in memory that lies once for each block or thread, made ones in the wave's memory."""
    if not view.spread:
        return offsets
    if view.spread == "shared":
        if wave.blocks == 1:
            return offsets
        start = wave.group.shared_start
    else:
        start = wave.group.local_start
    return offsets + (start if which is None or start.ndim == 0 else start[which])


def parts(wave: Wave, site: Site, addresses: Any, which: Any = None) -> list[Part]:
    """Which threads touch what. Raises a fault for the first thread that touches nothing it may.

    `which` are the places in the group of the threads that take part, if not all do.
    """
    if addresses.ndim == 0:
        only = find(wave, site, int(addresses))
        if only is None:
            raise trespass(wave, site, addresses, 0 if which is None else int(which[0]), 0)
        wave.views[site.number] = only
        return [(None, only)]
    view = wave.views[site.number]  # most likely what it was the last time
    if inside(view, addresses - view.start, site.size - 1):
        return [(None, view)]
    found: list[Part] = []
    pending = np.ones(len(addresses), np.bool_)
    while True:
        first = int(pending.argmax())
        if not pending[first]:
            break
        there = find(wave, site, int(addresses[first]))
        if there is None:
            raise trespass(wave, site, addresses, first if which is None else int(which[first]), first)
        offsets = addresses - there.start
        fits = (offsets >= 0) & (offsets < there.limit) & ((offsets & (site.size - 1)) == 0) & pending
        found.append((fits, there))
        pending &= ~fits
    wave.views[site.number] = found[0][1]
    return [(None, found[0][1])] if len(found) == 1 else found


def read(wave: Wave, site: Site, addresses: Any, which: Any = None) -> Any:
    """Load from addresses, by the threads at the places `which` of the group: for instructions that aren't plain."""
    pieces = parts(wave, site, addresses, which)
    if wave.watch is not None:
        wave.watch.access(wave, site, addresses, pieces, None, which)
    if len(pieces) == 1:
        view = pieces[0][1]
        return view.elements.take(spread(wave, view, addresses - view.start, which) // site.size)
    result = np.zeros(len(addresses), site.dtype)
    for chosen, view, at in _places(wave, site, addresses, pieces, which):
        result[chosen] = view.elements.take(at)
    return result


def write(wave: Wave, site: Site, addresses: Any, values: Any, which: Any = None) -> None:
    """Store to addresses, as `read` loads."""
    pieces = parts(wave, site, addresses, which)
    if wave.watch is not None:
        wave.watch.access(wave, site, addresses, pieces, values, which)
    for chosen, view, at in _places(wave, site, addresses, pieces, which):
        given = values if chosen is None or values.ndim == 0 else values[chosen]
        view.elements[at] = given[-1] if at.ndim == 0 and given.ndim else given


def _places(
    wave: Wave, site: Site, addresses: Any, pieces: list[Part], which: Any
) -> Iterator[tuple[Any, View, Any]]:
    """For each piece: the threads among those that take part, what they touch, and the elements there."""
    for chosen, view in pieces:
        if chosen is None:
            yield None, view, spread(wave, view, addresses - view.start, which) // site.size
        else:
            inner = np.flatnonzero(chosen)
            outer = inner if which is None else which[inner]
            yield inner, view, spread(wave, view, addresses[inner] - view.start, outer) // site.size


def located(wave: Wave, site: Site, addresses: Any, values: Any = None) -> Iterator[tuple[Any, View, Any]]:
    """Bounds-check an access of the whole group, and give its pieces: threads, memory, elements."""
    pieces = parts(wave, site, addresses)
    if wave.watch is not None:
        wave.watch.access(wave, site, addresses, pieces, values)
    yield from _places(wave, site, addresses, pieces, None)


def find(wave: Wave, site: Site, address: int) -> View | None:
    """The view that an address lies in as an aligned element of the site's type."""
    view = wave.machine.view_at(site, address)
    if view is None or not 0 <= address - view.start < view.limit or (address - view.start) % site.size:
        return None
    return view


def loading(site: Site, slot: int, keep: Any) -> Step:
    """A step that loads; `keep(r, values)` writes the registers."""
    number, low, added = site.number, site.size - 1, site.offset
    shift = np.array(low.bit_length(), np.int64)

    def load(w: Wave, r: list[Any]) -> None:
        view = w.views[number]
        addresses = r[slot]
        offsets = addresses - (view.start - added)
        if not inside(view, offsets, low):
            addresses = addresses.astype(np.int64) + added
            pieces = parts(w, site, addresses)
            if len(pieces) > 1:
                keep(r, _load_parts(w, site, addresses, pieces))
                if w.watch is not None:
                    w.watch.access(w, site, addresses, pieces)
                return
            view = pieces[0][1]
            offsets = addresses - view.start
        if w.watch is not None:
            w.watch.access(w, site, offsets + view.start, [(None, view)])
        if view.spread:
            offsets = spread(w, view, offsets)
        keep(r, view.elements.take(offsets >> shift))

    return load


def _load_parts(w: Wave, site: Site, addresses: Any, pieces: list[Part]) -> Any:
    result = np.zeros(len(addresses), site.dtype)
    for which, view in pieces:
        offsets = spread(w, view, addresses[which] - view.start, which)
        result[which] = view.elements.take(offsets // site.size)
    return result


def storing(site: Site, slot: int, value_of: Any) -> Step:
    """A step that stores what `value_of(r, count)` gives."""
    number, low, added = site.number, site.size - 1, site.offset
    shift = np.array(low.bit_length(), np.int64)

    def store(w: Wave, r: list[Any]) -> None:
        view = w.views[number]
        addresses = r[slot]
        offsets = addresses - (view.start - added)
        values = value_of(r)
        pieces: list[Part] = [(None, view)]
        if not inside(view, offsets, low):
            addresses = addresses.astype(np.int64) + added
            pieces = parts(w, site, addresses)
            if len(pieces) > 1:
                if w.watch is not None:
                    w.watch.access(w, site, addresses, pieces)
                for which, piece in pieces:
                    at = spread(w, piece, addresses[which] - piece.start, which) // site.size
                    piece.elements[at] = values if values.ndim == 0 else values[which]
                return
            view = pieces[0][1]
            offsets = addresses - view.start
        if w.watch is not None:
            w.watch.access(w, site, offsets + view.start, pieces, values)
        if view.spread:
            offsets = spread(w, view, offsets)
        at = offsets >> shift
        if at.ndim == 0 and values.ndim:
            values = values[-1]
        view.elements[at] = values

    return store
