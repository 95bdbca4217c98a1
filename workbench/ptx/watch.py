"""Looks at every access while a launch runs: for the counters, the trace, and the checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from workbench.ptx.counters import Counting
from workbench.ptx.memory import View
from workbench.ptx.program import Site
from workbench.ptx.trespass import full

if TYPE_CHECKING:
    from workbench.ptx.wave import Wave


@dataclass(frozen=True)
class Access:
    """One instruction's access by some threads: thread `threads[k]` of the grid touched `array` at `offsets[k]`.

    Threads are counted through the grid, block after block; offsets and `size` are bytes. In shared and local memory
    each block or thread has an array of its own.
    """

    file: str
    line: int
    kind: str  # load, store, atomic
    space: str  # global, shared, local, ...
    array: str
    size: int
    threads: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]


class Watch:
    def __init__(self, counting: Counting | None, trace: list[Access] | None) -> None:
        self.counting, self.trace = counting, trace

    def begin(self, wave: Wave) -> None:
        """A wave of blocks starts."""

    def barrier(self, wave: Wave, threads: npt.NDArray[np.int64], whole: bool) -> None:
        """These threads have passed a barrier of their block."""

    def arrive(self, wave: Wave, number: Any) -> None:
        """The running threads have arrived at a barrier without waiting."""

    def commit(self, wave: Wave) -> None:
        """cp.async.commit_group."""

    def wait(self, wave: Wave, left: int, everything: bool) -> None:
        """cp.async.wait_group, or with `everything` wait_all."""

    def warp_barrier(self, wave: Wave, threads: npt.NDArray[np.int64]) -> None:
        """These threads have passed __syncwarp."""

    def access(
        self,
        wave: Wave,
        site: Site,
        addresses: Any,
        pieces: list[tuple[Any, View]],
        values: Any = None,
        which: Any = None,
    ) -> None:
        """Threads touch memory: those at the places `which` of the group, or all of it, piece by piece."""
        space = pieces[0][1].space
        if self.counting is not None and space == "global":
            self.counting.global_access(site, addresses, wave.group, which)
        if self.trace is not None and space in ("global", "shared"):
            self.record(self.trace, wave, site, addresses, pieces, which)

    def record(
        self,
        trace: list[Access],
        wave: Wave,
        site: Site,
        addresses: Any,
        pieces: list[tuple[Any, View]],
        places: Any,
    ) -> None:
        threads = wave.group.threads + wave.first * wave.machine.block_threads
        if places is not None:
            threads = threads[places]
        addresses = full(addresses, len(threads))
        ins = site.instruction
        for which, view in pieces:
            owner = view.allocation or view.span
            assert owner is not None
            start = view.allocation.base if view.allocation else view.start
            offsets = addresses - start
            trace.append(
                Access(
                    ins.file, ins.line, site.kind, view.space, owner.name, site.size,
                    threads if which is None else threads[which], offsets if which is None else offsets[which],
                )
            )  # fmt: skip
