"""Some blocks of the grid running together: every register is an array over their threads.

The threads that stand at the same instruction form a group, which runs as one; the group that is least far goes first,
so that threads meet again after a branch (PTX ISA 3.1, and 9.7.12 for control flow). A register that is equal in all
threads of its group is kept as a single value (an array of no dimensions).

`base` holds the registers of all threads of the wave. A group of all threads works on it directly. A smaller group
takes from it what a block reads, and gives back what it has written, as far as anybody still needs it, when it stops.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from workbench.ptx.barriers import note_skipping, pass_barrier, pass_collect, release
from workbench.ptx.faults import BudgetSpent, UnknownInstruction
from workbench.ptx.memory import View
from workbench.ptx.parked import Parked
from workbench.ptx.program import Block, Ending

if TYPE_CHECKING:
    from workbench.ptx.machine import Machine

Threads = npt.NDArray[np.int64]
NOWHERE = -1
PATIENCE = 2  # rounds of a loop that looks at what others do, before it is their turn


class Group:
    """The threads that run now. `index` are their places in the wave, ascending; None stands for all of them."""

    def __init__(self, wave: Wave, index: Threads | None) -> None:
        self.wave, self.index = wave, index
        self.count = wave.count if index is None else len(index)

    @cached_property
    def threads(self) -> Threads:
        return self.wave.everyone if self.index is None else self.index

    @cached_property
    def block(self) -> Threads:
        """The block of each thread, counted in the wave."""
        return self.threads // self.wave.machine.block_threads

    @cached_property
    def lane(self) -> Threads:
        return self.threads % self.wave.machine.block_threads % 32

    @cached_property
    def warp(self) -> Threads:
        """The warp of each thread, counted in the wave."""
        return self.block * self.warps_per_block + self.threads % self.wave.machine.block_threads // 32

    @property
    def warps_per_block(self) -> int:
        return -(-self.wave.machine.block_threads // 32)

    @cached_property
    def whole_warps(self) -> bool:
        """Whether the threads are full warps of 32, one after the other."""
        if self.wave.machine.block_threads % 32 or self.count % 32:
            return False
        if self.index is None:
            return True
        rows = self.index.reshape(-1, 32)
        return bool((rows[:, 0] % 32 == 0).all() and (rows[:, 31] - rows[:, 0] == 31).all())

    @cached_property
    def whole_blocks(self) -> bool:
        """Whether the threads are all those of their blocks that haven't exited."""
        if self.index is None:
            return True
        counts = np.bincount(self.block, minlength=self.wave.blocks)
        alive = self.wave.machine.block_threads - self.wave.exited
        return bool(((counts == 0) | (counts == alive)).all())

    @cached_property
    def warps(self) -> int:
        if self.whole_warps:
            return self.count // 32
        return int(np.count_nonzero(np.diff(self.warp))) + 1

    @cached_property
    def _rows(self) -> tuple[Threads, int]:
        first = np.concatenate(([0], np.cumsum(np.diff(self.warp) != 0)))
        return first, int(first[-1]) + 1

    @property
    def row(self) -> Threads:
        """The warp of each thread, counted among the warps of this group."""
        return self._rows[0]

    @property
    def warp_count(self) -> int:
        return self._rows[1]

    @cached_property
    def place(self) -> Threads:
        """For each thread of the wave its place in this group, -1 if it isn't in it."""
        found = np.full(self.wave.count, -1, np.int64)
        found[self.threads] = np.arange(self.count)
        return found

    @cached_property
    def shared_start(self) -> Any:
        """Where each thread's shared memory starts in the wave's."""
        if self.wave.blocks == 1:
            return np.zeros((), np.int64)
        return self.block * self.wave.machine.shared_stride

    @cached_property
    def local_start(self) -> Threads:
        return self.threads * self.wave.machine.program.local_size


class Wave:
    def __init__(self, machine: Machine, first: int, blocks: int) -> None:
        self.machine, self.first, self.blocks = machine, first, blocks
        self.count = blocks * machine.block_threads
        self.everyone = machine.everyone[: self.count]
        self.base = machine.registers(first, blocks)
        self.views: list[View] = machine.views
        self.watch = machine.watch
        self.waiting: dict[int, list[tuple[Threads, int]]] = {}
        self.parked: list[Parked] = []
        self.resting: list[tuple[int, Threads, int]] = []  # they look for what others do, and let them do it
        self.exited = np.zeros(blocks, np.int64)
        self.gone: Any = None  # once a thread has exited: for each whether it has
        self.skipped: Any = (
            None  # once threads have gone round a barrier where others wait: for each whether it has
        )
        self.arrivals = np.zeros(blocks * 16, np.int64)  # bar.arrive, for each block and barrier
        self.fragments: dict[Any, Any] = {}  # what tensor core instructions have made of registers
        self.spent = 0
        self.dirty = 0
        self.pc = 0
        self.group = Group(self, None)
        self.r: list[Any] = self.base

    # Groups

    def enter(self, index: Threads | None) -> None:
        if index is not None and len(index) == self.count:
            index = None
        self.group = Group(self, index)
        self.r = self.base if index is None else [None] * len(self.base)
        self.dirty = 0

    def save(self, live: int) -> None:
        """Give back the registers that this group has written and that somebody will read."""
        index = self.group.index
        bits = self.dirty & live
        self.dirty = 0
        if index is None or not bits:
            return
        others = self.needed()
        while bits:
            lowest = bits & -bits
            bits ^= lowest
            slot = lowest.bit_length() - 1
            value = self.r[slot]
            if value is None:
                continue
            base = self.base[slot]
            if not others & lowest:
                if value.ndim == 0:
                    self.base[slot] = value
                    continue
                base = np.empty(self.count, base.dtype)
            else:
                base = np.full(self.count, base) if base.ndim == 0 else base.copy()
            base[index] = value
            self.base[slot] = base

    def needed(self) -> int:
        """The registers that threads other than the running ones will still read."""
        blocks = self.machine.program.blocks
        bits = 0
        for pc in self.waiting:
            bits |= blocks[pc].live
        for parked in self.parked:
            bits |= blocks[parked.pc].live
        for pc, _, _ in self.resting:
            bits |= blocks[pc].live
        return bits

    def wait(self, pc: int, index: Threads, spent: int) -> None:
        self.waiting.setdefault(pc, []).append((index, spent))

    def pick(self) -> int:
        """Make the group that is least far the running one; NOWHERE when all threads have exited."""
        if not self.waiting:
            if not self.parked and not self.resting:
                return NOWHERE
            if not self.parked or not release(self, bool(self.resting)):
                for pc, index, spent in self.resting:
                    self.wait(pc, index, spent)
                self.resting = []
        pc = min(self.waiting)
        groups = self.waiting.pop(pc)
        if len(groups) == 1:
            index, self.spent = groups[0]
        else:
            index = np.sort(np.concatenate([index for index, _ in groups]))
            self.spent = max(spent for _, spent in groups)
        self.enter(index)
        return pc

    # Running

    def run(self) -> None:
        blocks = self.machine.program.blocks
        budget = self.machine.limits.instructions
        count = self.machine.counting
        pc = 0
        turns = 0
        while pc != NOWHERE:
            block = blocks[pc]
            self.pc = pc
            if self.parked:
                note_skipping(self, pc)
            r = self.r
            index = self.group.index
            if index is not None:
                base = self.base
                for slot in block.loads:
                    if r[slot] is None:
                        value = base[slot]
                        r[slot] = value if value.ndim == 0 else value.take(index)
                self.dirty |= block.writes
            for step in block.steps:
                step(self, r)
            self.spent += len(block.instructions)
            if count is not None:
                count.block(block, self.group)
            if self.spent > budget:
                raise self.over_budget(block)
            pc = self.end(block)
            if block.spins and NOWHERE < pc <= block.number and (self.waiting or self.parked or self.resting):
                turns += 1
                if turns > PATIENCE:
                    turns = 0
                    self.save(blocks[pc].live)
                    self.resting.append((pc, self.group.threads, self.spent))
                    pc = self.pick()
            elif self.waiting and pc >= min(self.waiting):
                self.save(blocks[pc].live)
                self.wait(pc, self.group.threads, self.spent)
                pc = self.pick()

    def end(self, block: Block) -> int:
        """Where the group goes after a block. It may split, park, or be gone: then another one runs."""
        ending = block.ending
        kind = ending.kind
        if kind == "jump":
            return ending.targets[0]
        if kind == "branch":
            taken = self.r[ending.slot]
            first, second = ending.targets
            if ending.negated:
                first, second = second, first
            if taken.ndim == 0:
                return first if taken else second
            votes = np.count_nonzero(taken)
            if votes == self.group.count:
                return first
            if votes == 0:
                return second
            return self.split(ending, taken, first, second)
        if kind == "exit":
            return self.exit()
        if kind == "barrier":
            return pass_barrier(self, ending)
        if kind == "collect":
            return pass_collect(self, ending)
        return self.switch(ending)

    def split(self, ending: Ending, taken: Any, first: int, second: int) -> int:
        if self.machine.counting is not None:
            self.machine.counting.divergence(ending, taken, self.group)
        threads = self.group.threads
        live = self.machine.program.blocks
        self.save(live[first].live | live[second].live)
        self.wait(first, threads[taken], self.spent)
        self.wait(second, threads[~taken], self.spent)
        return self.pick()

    def switch(self, ending: Ending) -> int:
        """brx.idx: each thread goes where its index says (PTX ISA 9.7.12.3)."""
        chosen = self.r[ending.slot].view(np.uint32)
        targets = ending.targets
        if chosen.ndim == 0:
            return targets[min(int(chosen), len(targets) - 1)]
        blocks = self.machine.program.blocks
        threads = self.group.threads
        live = 0
        for target in targets:
            live |= blocks[target].live
        self.save(live)
        for number in np.unique(chosen):
            self.wait(targets[min(int(number), len(targets) - 1)], threads[chosen == number], self.spent)
        return self.pick()

    def exit(self) -> int:
        if self.group.index is None:
            return NOWHERE
        if self.gone is None:
            self.gone = np.zeros(self.count, np.bool_)
        self.gone[self.group.index] = True
        self.exited += np.bincount(self.group.block, minlength=self.blocks)
        self.dirty = 0
        return self.pick()

    def unable(self, problem: Exception) -> UnknownInstruction:
        """What to raise when a step fails: its operands aren't what such an instruction has."""
        instructions = self.machine.program.blocks[self.pc].instructions
        first, last = (instructions[0], instructions[-1]) if instructions else (None, None)
        where = f"lines {first.ptx_line} to {last.ptx_line} of the PTX" if first and last else "the PTX"
        return UnknownInstruction(
            f"this machine can't execute an instruction in {where}: {problem}",
            file=first.file if first else "",
            line=first.line if first else 0,
            advice="See that its operands have the types that the PTX ISA, section 9.7, asks for.",
        )

    def over_budget(self, block: Block) -> BudgetSpent:
        ins = block.instructions[-1] if block.instructions else block.ending.instruction
        thread = self.machine.whereabouts(self, 0)
        assert ins is not None
        return BudgetSpent(
            f"thread {thread[1]} of block {thread[0]} has executed {self.machine.limits.instructions:,} instructions "
            "and hasn't come to its end",
            file=ins.file,
            line=ins.line,
            block=thread[2],
            thread=thread[3],
            advice="Either a loop here never ends (does its condition become false?), or this thread does alone what "
            "many were to share. How long it would have gone on isn't known.",
        )
