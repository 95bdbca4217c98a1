"""Steps that compute: a function of registers into a register, with as little around it as can be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.ptx.wave import Wave

Step = Callable[["Wave", list[Any]], None]
Source = tuple[int, Any]  # a slot, and what to do to its array (None: nothing)


def computing(function: Any, target: Source, sources: Sequence[Source]) -> Step:
    d, out = target
    slots = [slot for slot, _ in sources]
    if out is None and all(adapt is None for _, adapt in sources):
        return _plain(function, d, slots)
    adapts = [adapt or _same for _, adapt in sources]
    out = out or _same
    if len(slots) == 1:
        (a,), (adapt_a,) = slots, adapts

        def one(w: Wave, r: list[Any]) -> None:
            r[d] = out(function(adapt_a(r[a])))

        return one
    if len(slots) == 2:
        (a, b), (adapt_a, adapt_b) = slots, adapts

        def two(w: Wave, r: list[Any]) -> None:
            r[d] = out(function(adapt_a(r[a]), adapt_b(r[b])))

        return two

    def many(w: Wave, r: list[Any]) -> None:
        r[d] = out(function(*[adapt(r[s]) for s, adapt in zip(slots, adapts)]))  # noqa: B905

    return many


def _same(array: Any) -> Any:
    return array


def _plain(function: Any, d: int, slots: Sequence[int]) -> Step:
    if len(slots) == 1:
        (a,) = slots

        def one(w: Wave, r: list[Any]) -> None:
            r[d] = function(r[a])

        return one
    if len(slots) == 2:
        a, b = slots

        def two(w: Wave, r: list[Any]) -> None:
            r[d] = function(r[a], r[b])

        return two
    if len(slots) == 3:
        a, b, c = slots

        def three(w: Wave, r: list[Any]) -> None:
            r[d] = function(r[a], r[b], r[c])

        return three

    def many(w: Wave, r: list[Any]) -> None:
        r[d] = function(*[r[s] for s in slots])

    return many
