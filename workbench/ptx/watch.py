"""Looks at every access while a launch runs: for the counters, the trace, and the checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from workbench.ptx.checks import Events, SharedChecks, unit_size
from workbench.ptx.counters import Counting
from workbench.ptx.global_checks import GlobalChecks
from workbench.ptx.local_checks import LocalChecks
from workbench.ptx.memory import View
from workbench.ptx.model import Instruction
from workbench.ptx.order import Order
from workbench.ptx.program import Program, Site
from workbench.ptx.trespass import full

if TYPE_CHECKING:
    from workbench.ptx.wave import Wave


@dataclass(frozen=True)
class Access:
    """One instruction's access by some threads: thread `threads[k]` of the grid touched `array` at `offsets[k]`.

    Threads are counted through the grid, block after block; offsets and `size` are bytes. In shared and local memory
    each block or thread has an array of its own. start: the address of the array's first byte, by which sectors and
    banks go.
    """

    file: str
    line: int
    kind: str  # load, store, atomic
    space: str  # global, shared, local, ...
    array: str
    size: int
    threads: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    start: int = 0


class Watch:
    """The counters, the trace and the checks of one launch; the machine tells it what happens."""

    def __init__(
        self,
        program: Program,
        counting: Counting | None,
        trace: list[Access] | None,
        written: set[str] | None,
        read: set[str] | None,
        empty: frozenset[str],
        checks: bool = True,
    ) -> None:
        self.checks = checks
        self.counting, self.trace = counting, trace
        self.events = Events()
        self.shared_unit = unit_size(program, ("shared", "generic"))
        self.of_global = GlobalChecks(
            self.events, unit_size(program, ("global", "generic")), written, read, empty
        )
        self.of_shared: SharedChecks | None = None
        self.of_local: LocalChecks | None = None
        self.order: Order

    def begin(self, wave: Wave) -> None:
        """A wave of blocks starts."""
        self.order = Order(wave, self.events.new(None))
        self.of_global.begin(wave, self.order)
        shared = wave.machine.shared_stride
        self.of_shared = SharedChecks(wave, self.order, self.events, self.shared_unit) if shared else None
        self.of_local = LocalChecks(wave) if wave.machine.program.local_size else None

    # What orders accesses

    def barrier(self) -> None:
        """The running group has passed a barrier of all threads of its blocks."""
        self.order.full_barrier(self.events.new(None))
        if self.of_shared is not None:
            self.of_shared.forget()

    def released(self, threads: npt.NDArray[np.int64], numbers: npt.NDArray[np.int32]) -> None:
        """Threads that were waiting at barriers of these numbers go on."""
        self.order.released(threads, numbers, self.events.new(None))
        if self.of_shared is not None:
            self.of_shared.forget()

    def arrive(self, number: Any) -> None:
        """The running threads have arrived at a barrier without waiting."""
        self.order.arrive(number, self.events.new(None))

    def warp_barrier(self) -> None:
        """The running threads have passed __syncwarp."""
        self.order.warp_barrier(self.events.new(None))

    def fence(self, threads: npt.NDArray[np.int64], of_block: bool) -> None:
        """These threads have passed a fence, `of_block` if it counts within their block only."""
        self.of_global.fence(threads, self.events.new(None), of_block)

    def commit(self) -> None:
        """cp.async.commit_group."""
        if self.of_shared is not None:
            self.of_shared.copies.commit()

    def wait(self, left: int, everything: bool) -> None:
        """cp.async.wait_group, or with `everything` wait_all."""
        if self.of_shared is not None:
            self.of_shared.copies.wait(left, everything)

    def multiplied(self, ins: Instruction) -> None:
        """The running warps have done a matrix instruction."""
        if self.counting is not None and self.of_shared is not None:
            self.counting.beside_copies(ins, self.of_shared.copies.warps())

    # Accesses

    def returned(self, start: int, size: int) -> None:
        """A system call has written its result to the running threads' local memory."""
        if self.of_local is not None:
            self.of_local.fill(start, size)

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
        if self.counting is not None and space == "global" and site.space != "const":
            self.counting.global_access(site, addresses, wave.group, which)
        elif self.counting is not None and space == "shared":
            self.counting.shared_access(site, addresses, wave.group, which)
        if self.trace is not None and space in ("global", "shared"):
            self.record(self.trace, wave, site, addresses, pieces, which)
        if not self.checks:
            return
        for chosen, view in pieces:
            if chosen is None:
                self.check(site, view, addresses, values, which)
            else:
                inner = np.flatnonzero(chosen)
                outer = inner if which is None else which[inner]
                self.check(
                    site,
                    view,
                    addresses[inner],
                    values if values is None or values.ndim == 0 else values[inner],
                    outer,
                )

    def check(self, site: Site, view: View, addresses: Any, values: Any, which: Any) -> None:
        if view.space == "global":
            self.of_global.access(site, view, addresses, values, which)
        elif view.span is not None:
            if view.space == "shared":
                assert self.of_shared is not None
                self.of_shared.access(site, view.span, view.start, addresses, values, which)
            elif self.of_local is not None:
                self.of_local.access(site, view.span, view.start, addresses, which)

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
                    threads if which is None else threads[which], offsets if which is None else offsets[which], start,
                )
            )  # fmt: skip
