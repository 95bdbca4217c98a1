"""Reads of local variables that hold nothing.

Compilers read more than they need: a structure with its padding, a vector with a component that nobody uses. So a read
is only blamed if no byte of it has been written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.ptx.blame import uninitialised
from workbench.ptx.memory import Span
from workbench.ptx.program import Site

if TYPE_CHECKING:
    from workbench.ptx.wave import Wave


class LocalChecks:
    """For each byte of the wave's local memory whether it has been written."""

    def __init__(self, wave: Wave) -> None:
        self.wave = wave
        self.written = np.zeros(wave.count * wave.machine.program.local_size, np.bool_)

    def fill(self, start: int, size: int) -> None:
        at = self.wave.group.local_start + start
        self.written[at[:, None] + np.arange(size)] = True

    def access(self, site: Site, span: Span, start: int, addresses: Any, which: Any) -> None:
        group = self.wave.group
        first = group.local_start if which is None else group.local_start[which]
        at = (addresses - start + span.start + first) // site.size
        view = self.written[: len(self.written) // site.size * site.size].reshape(-1, site.size)
        if site.kind == "store":
            view[at] = True
            return
        found = view[at].any(axis=1)
        if not found.all():
            which_one = int((~found).argmax())
            place = which_one if which is None else int(which[which_one])
            offset = int(at[which_one]) * site.size - int(group.local_start[place])
            raise uninitialised(self.wave, site, span, int(group.threads[place]), offset)
