"""When each operation ran, and how near that comes to the best that its parts allow."""

from collections.abc import Sequence
from dataclasses import dataclass

ENGINES = ("copy in", "kernel", "copy out")


@dataclass(frozen=True)
class Span:
    """One operation. engine: one of `ENGINES`. chunk, stream: counted from 0. start, end: milliseconds."""

    engine: str
    chunk: int
    stream: int
    start: float
    end: float


def busy(spans: Sequence[Span]) -> dict[str, float]:
    """For each engine, the sum of its operations' milliseconds."""
    return {name: sum(s.end - s.start for s in spans if s.engine == name) for name in ENGINES}


def lower_bound(spans: Sequence[Span]) -> float:
    """The least milliseconds that any schedule takes: those of the engine with the most to do.

    An engine (copies in, kernels, copies out) does one thing at a time, and at best never waits. The spans must come
    from a run in which engines didn't slow each other down: `sequential`'s.
    """
    return max(busy(spans).values())


def total(spans: Sequence[Span]) -> float:
    """Milliseconds from the first start to the last end."""
    return max(s.end for s in spans) - min(s.start for s in spans) if spans else 0.0


def one_at_a_time(spans: Sequence[Span]) -> list[Span]:
    """The same, where starts were measured by events.

    An event before a copy tells when its stream was ready, not when the engine came to it. So each operation begins
    no sooner than the engine's one before it has ended.
    """
    mended, free = [], dict.fromkeys(ENGINES, float("-inf"))
    for span in sorted(spans, key=lambda s: (s.end, s.chunk)):
        start = min(max(span.start, free[span.engine]), span.end)
        mended.append(Span(span.engine, span.chunk, span.stream, start, span.end))
        free[span.engine] = span.end
    return mended
