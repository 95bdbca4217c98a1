"""Which arrays a kernel may write, and which it may read: where the addresses that it uses come from.

A register holds an address in an array if that array's parameter, or variable, went into it through moves and
arithmetic. Whatever comes out of memory might point anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.ptx.program import Site

ANYTHING = "*"


@dataclass
class Flow:
    """What is known while a program is built: `steps` are (destinations, sources) of each instruction."""

    steps: list[tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=list)
    origins: dict[int, set[str]] = field(default_factory=dict)
    bases: dict[int, int] = field(default_factory=dict)  # the address slot of each site

    def solve(self, sites: Iterable[Site]) -> tuple[set[str] | None, set[str] | None]:
        """Names of what may be written, and read; None if it may be anything."""
        origins = {slot: set(names) for slot, names in self.origins.items()}
        changed = True
        while changed:
            changed = False
            for targets, sources in self.steps:
                names: set[str] = set()
                for slot in sources:
                    names |= origins.get(slot, set())
                if not names:
                    continue
                for slot in targets:
                    have = origins.setdefault(slot, set())
                    if not names <= have:
                        have |= names
                        changed = True
        written: set[str] = set()
        read: set[str] = set()
        for site in sites:
            if site.space in ("shared", "local"):
                continue
            names = origins.get(self.bases.get(site.number, -1), set()) or {ANYTHING}
            if site.kind != "load":
                written |= names
            if site.kind not in ("store", "copy"):
                read |= names
        return (None if ANYTHING in written else written), (None if ANYTHING in read else read)
