"""Which arrays a kernel may write, and which it may read: where the addresses that it uses come from.

A register holds an address in an array if that array's parameter, or variable, went into it through moves and
arithmetic. Whatever comes out of memory might point anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workbench.ptx.model import Address, Immediate, Instruction, Operand, Register, Symbol

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


def mark_guesses(instructions: Iterable[Instruction], sites: Iterable[Site]) -> None:
    """Mark plain loads whose value is only what compare-and-swap at the same address expects to find.

    `old = *p; do { seen = old; old = atomicCAS(p, seen, f(seen)); } while (seen != old)`: that others update *p
    meanwhile harms nobody, for then the swap isn't made.
    """
    instructions = list(instructions)
    copied: dict[Register, set[Register]] = {}
    places: dict[Operand, tuple[Operand, int]] = {}  # registers that hold an address: so far behind what

    def where(place: Operand) -> tuple[Operand, int]:
        base, offset = (place.base, place.offset) if isinstance(place, Address) else (place, 0)
        start, further = places.get(base, (base, 0))
        return start, offset + further

    for ins in instructions:
        if ins.parts[0] == "mov" and len(ins.operands) == 2:
            to, source = ins.operands
            if isinstance(to, Register) and isinstance(source, Register):
                copied.setdefault(to, set()).add(source)
            elif isinstance(to, Register) and isinstance(source, Symbol):
                places[to] = (source, 0)
        elif ins.parts[0] == "add":
            to, base, by = ins.operands
            if isinstance(by, Immediate) and isinstance(by.value, int):
                start, offset = where(base)
                places[to] = (start, offset + by.value)
    loads = [
        site for site in sites if site.instruction.parts[0] == "ld" and len(site.instruction.operands) == 2
    ]
    for ins in instructions:
        if ins.parts[0] != "atom" or "cas" not in ins.parts:
            continue
        place, expected = ins.operands[1:3]
        known: set[Register] = set()
        pending = [expected] if isinstance(expected, Register) else []
        while pending:
            register = pending.pop()
            if register not in known:
                known.add(register)
                pending += copied.get(register, ())
        for site in loads:
            to, source = site.instruction.operands
            site.guess |= where(source) == where(place) and to in known
