"""Look at what the PTX machine sees: collect the reports of the launches made inside a `with` block."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from workbench import ptx


@dataclass
class Observation:
    """How launches on the CPU are watched: what to record, the limits that hold, and the reports so far."""

    counters: bool = False
    trace: bool = False
    checks: bool = True
    limits: ptx.Limits = field(default_factory=ptx.Limits)
    reports: list[ptx.Report] | None = None


current: ContextVar[Observation] = ContextVar("observation", default=Observation())  # noqa: B039 (never changed)


@contextmanager
def observe(
    *, counters: bool = True, trace: bool = False, checks: bool = True, limits: ptx.Limits | None = None
) -> Iterator[list[ptx.Report]]:
    """Collect a report of each launch on CPU tensors.

        with observe() as launches:
            vector_add(a, b)
        print(launches[0].counters.sectors_per_request)

    `trace=True` also records which thread touched which element. `checks=False` looks for no races and no unwritten
    memory, which is faster; bounds are always checked. Launches on a GPU leave no report.
    """
    reports: list[ptx.Report] = []
    token = current.set(Observation(counters, trace, checks, limits or current.get().limits, reports))
    try:
        yield reports
    finally:
        current.reset(token)
