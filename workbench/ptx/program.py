"""A kernel made ready to run: basic blocks of Python closures over numbered registers ("slots")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from workbench.ptx.compute import Step
from workbench.ptx.memory import Span
from workbench.ptx.model import Function, Instruction

IDLE = ("ret", "exit", "nop")


@dataclass
class Ending:
    """How a block ends. `kind`: jump, branch, switch, exit, barrier, or collect (a warp waits for its lanes)."""

    kind: str
    targets: tuple[int, ...] = ()  # instruction indices while building, then block numbers
    slot: int = -1
    negated: bool = False
    instruction: Instruction | None = None
    details: Any = None


@dataclass
class Block:
    """Steps that run one after the other, and how they end."""

    number: int
    steps: list[Step]
    ending: Ending
    instructions: list[Instruction]
    loads: tuple[int, ...] = ()  # slots read before they are written here
    uses: int = 0  # the same, as a bit set
    writes: int = 0
    live: int = 0  # slots whose values are needed from this block's start on
    spins: bool = False  # jumping back from here repeats a read of what others may change

    @property
    def works(self) -> bool:
        """Whether it does anything but return."""
        return any(ins.parts[0] not in IDLE for ins in self.instructions)


@dataclass
class Site:
    """An instruction that touches memory."""

    number: int
    instruction: Instruction
    kind: str  # load, store, atomic
    space: str
    dtype: np.dtype[Any]  # of what one thread touches
    offset: int = 0
    guess: bool = False  # a load whose value compare-and-swap then checks: see flow.mark_guesses

    @property
    def size(self) -> int:
        return self.dtype.itemsize


@dataclass
class Frame:
    """One expansion of a function: where its variables lie, and where `ret` goes to."""

    function: Function
    prefix: str
    places: dict[str, tuple[str, int]] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    end: int = 0


@dataclass
class Program:
    name: str
    blocks: list[Block]
    template: list[Any]  # the registers of a wave before it starts: constants are there
    specials: list[tuple[int, str]]
    sites: list[Site]
    local_size: int
    local_spans: list[Span]
    shared_size: int  # static, with red zones
    shared_used: int  # static, as the kernel declares it
    shared_spans: list[Span]
    dynamic_start: int
    dynamic_name: str | None
    parameters: dict[str, tuple[int, int]]
    parameter_size: int
    fixups: list[
        tuple[int, str, int]
    ]  # (slot, variable, offset): addresses known when the module is in memory
    features: set[str]
    written: set[str] | None  # parameters and variables that it may write; None: any
    read: set[str] | None
    _behind: dict[int, frozenset[int]] = field(default_factory=dict)

    def behind(self, barrier: int) -> frozenset[int]:
        """The blocks that come after one that ends with a barrier, and from which no way leads back to it.

        Those that only return aren't among them.
        """
        if barrier not in self._behind:
            ahead = [block.ending.targets for block in self.blocks]
            back: list[list[int]] = [[] for _ in self.blocks]
            for block in self.blocks:
                for target in block.ending.targets:
                    back[target].append(block.number)
            after = _reached(ahead[barrier], ahead) - _reached([barrier], back)
            self._behind[barrier] = frozenset(number for number in after if self.blocks[number].works)
        return self._behind[barrier]


def _reached(start: Sequence[int], targets: Sequence[Sequence[int]]) -> set[int]:
    found = set(start)
    pending = list(start)
    while pending:
        for target in targets[pending.pop()]:
            if target not in found:
                found.add(target)
                pending.append(target)
    return found
