"""From instructions to basic blocks: calls expanded, cut at control flow, with the registers that live in each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.ptx.builder import Builder
from workbench.ptx.compute import Step
from workbench.ptx.faults import UnknownInstruction
from workbench.ptx.flow import ANYTHING
from workbench.ptx.model import Arguments, Instruction, Register, Symbol
from workbench.ptx.program import Block, Ending, Frame

if TYPE_CHECKING:
    from workbench.ptx.wave import Wave

Flat = list[tuple[Instruction, Frame]]
BUILT_IN = ("vprintf", "__assertfail", "malloc", "free")


def make_blocks(build: Builder) -> list[Block]:
    flat: Flat = []
    _expand(build, build.frame, flat, ())
    return _Cutter(build, flat).blocks()


def _expand(build: Builder, frame: Frame, flat: Flat, callers: tuple[str, ...]) -> None:
    """Append a function's instructions, with the bodies of the functions that it calls in the calls' place."""
    positions: dict[int, int] = {}
    for index, ins in enumerate(frame.function.body):
        positions[index] = len(flat)
        callee = (
            next((o.name for o in ins.operands if isinstance(o, Symbol)), "")
            if ins.parts[0] == "call"
            else ""
        )
        if not callee or callee in BUILT_IN:
            flat.append((ins, frame))
            continue
        function = build.module.functions.get(callee)
        build.current, build.frame = ins, frame
        if function is None and any(isinstance(operand, Register) for operand in ins.operands):
            raise UnknownInstruction(
                f"this machine can't call through a function pointer: {ins.text!r} (line {ins.ptx_line} of the PTX)",
                file=ins.file, line=ins.line,
                advice="Call the functions by their names, for example in a switch.",
            )  # fmt: skip
        if function is None or not function.body:
            raise build.unknown(f"a call of {callee or 'a pointer'}")
        if callee in callers:
            raise UnknownInstruction(
                f"{callee} calls itself, and this machine runs no recursion", file=ins.file, line=ins.line,
                advice="Write the recursion as a loop.",
            )  # fmt: skip
        inner = Frame(function, f"{frame.prefix}{callee}@{index}/")
        _bind(build, ins, inner)
        flat.append(
            (
                Instruction("nop", (), ins.guard, ins.negated, ins.text, ins.ptx_line, ins.file, ins.line),
                frame,
            )
        )
        _expand(build, inner, flat, (*callers, callee))
    positions[len(frame.function.body)] = len(flat)
    frame.labels = {label: positions[index] for label, index in frame.function.labels.items()}
    frame.end = len(flat)


def _bind(build: Builder, call: Instruction, inner: Frame) -> None:
    """Parameters of the called function are the caller's variables: they pass in local memory (PTX ISA 7.1)."""
    lists = [operand.items for operand in call.operands if isinstance(operand, Arguments)]
    function = inner.function
    expected = [group for group in (function.returns, function.parameters) if group]
    if len(lists) < len(expected):
        lists = [(), *lists] if function.returns else lists
    for group, passed in zip(expected, lists, strict=False):
        for parameter, operand in zip(group, passed, strict=True):
            if not isinstance(operand, Symbol):
                raise build.unknown("this argument")
            place = build.place(operand.name)
            if place is None:
                raise build.unknown("this argument")
            inner.places[parameter.name] = place


class _Cutter:
    def __init__(self, build: Builder, flat: Flat) -> None:
        self.build, self.flat = build, flat
        self.done: list[Block] = []
        self.starts: dict[int, int] = {}
        self.cuts = {position for _, frame in flat for position in frame.labels.values()}
        self.cuts |= {frame.end for _, frame in flat}
        self.instructions: list[Instruction] = []
        self.loads: list[int] = []
        self.written: set[int] = set()

    def blocks(self) -> list[Block]:
        build = self.build
        for index, (ins, frame) in enumerate(self.flat):
            if index in self.cuts and (build.steps or self.instructions):
                self.close(Ending("jump", (index,)))
            if index in self.cuts or not self.starts:
                self.starts.setdefault(index, len(self.done))
            build.frame = frame
            self.add(index, ins)
        self.starts.setdefault(len(self.flat), len(self.done))
        self.close(Ending("exit"))
        for block in self.done:
            block.ending.targets = tuple(
                self.starts[target] if target >= 0 else ~target for target in block.ending.targets
            )
        _liveness(self.done)
        _mark_spins(self.done)
        return self.done

    def add(self, index: int, ins: Instruction) -> None:
        build = self.build
        before = build.steps
        build.steps, build.used, build.defined, build.pure = [], [], [], True
        build.lanes = build.waits = None
        build.position = index
        sites = len(build.sites)
        ending = build.decode(ins)
        self.follow(build.used, build.defined, len(build.sites) > sites)
        steps, build.steps = build.steps, before
        uses, writes = build.used, build.defined
        branches = ending is not None and ending.kind == "branch"
        if ins.guard is not None and not branches:
            guard = build.slot(ins.guard)
            if build.pure and ending is None and build.lanes is None:
                uses = [*uses, guard, *writes]
                steps = [_guarded(step, guard, ins.negated, tuple(writes)) for step in steps]
            else:
                self.note([guard], [])
                self.around(Ending("branch", (index + 1,), guard, not ins.negated, ins))
                self.cuts.add(index + 1)
        if build.waits is not None:
            self.note(list(build.waits), [])
            self.around(Ending("barrier", (), instruction=ins, details=build.waits))
        if build.lanes is not None:
            self.note([build.lanes[0]], [])
            self.around(Ending("collect", (), build.lanes[0], instruction=ins, details=build.lanes))
        self.instructions.append(ins)
        self.note(uses, writes)
        build.steps += steps
        if ending is not None:
            ending.instruction = ins
            self.close(ending)
            self.starts[index + 1] = len(self.done)

    def follow(self, uses: list[int], writes: list[int], from_memory: bool) -> None:
        """Note what went into the registers that are written, for `flow`."""
        build = self.build
        if not from_memory:
            build.flow.steps.append((tuple(writes), tuple(uses)))
            return
        for slot in writes:
            if build.kinds[slot].itemsize == 8:
                build.flow.origins.setdefault(slot, set()).add(ANYTHING)

    def around(self, ending: Ending) -> None:
        """End the block before an instruction; the next one goes on with it."""
        ending.targets = (
            *ending.targets,
            ~(len(self.done) + 1),
        )  # a block's number rather than an instruction's
        self.close(ending)

    def note(self, uses: list[int], writes: list[int]) -> None:
        for slot in uses:
            if slot not in self.written and slot not in self.loads:
                self.loads.append(slot)
        self.written.update(writes)

    def close(self, ending: Ending) -> None:
        build = self.build
        if ending.slot >= 0:
            self.note([ending.slot], [])
        uses = sum(1 << slot for slot in self.loads)
        writes = sum(1 << slot for slot in self.written)
        self.done.append(
            Block(len(self.done), build.steps, ending, self.instructions, tuple(self.loads), uses, writes)
        )
        build.steps, self.instructions, self.loads, self.written = [], [], [], set()


def _guarded(step: Step, guard: int, negated: bool, targets: tuple[int, ...]) -> Step:
    """A step under a guard: where it is false, registers keep their values (PTX ISA 9.3)."""

    def run(w: Wave, r: list[Any]) -> None:
        allowed = r[guard]
        if allowed.ndim == 0:
            if bool(allowed) != negated:
                step(w, r)
            return
        kept = [r[slot] for slot in targets]
        step(w, r)
        for slot, old in zip(targets, kept, strict=True):
            r[slot] = np.where(allowed, old, r[slot]) if negated else np.where(allowed, r[slot], old)

    return run


def _mark_spins(blocks: list[Block]) -> None:
    """Find the ends of loops that look at memory in ways that notice what other threads do there."""
    looks = [any(_looks(ins) for ins in block.instructions) for block in blocks]
    for block in blocks:
        back = [target for target in block.ending.targets if target <= block.number]
        block.spins = any(any(looks[target : block.number + 1]) for target in back)


def _looks(ins: Instruction) -> bool:
    parts = ins.parts
    return parts[0] == "atom" or (
        parts[0] == "ld" and any(p in ("volatile", "acquire", "relaxed") for p in parts)
    )


def _liveness(blocks: list[Block]) -> None:
    """Which slots each block's start needs: read before written, there or further on."""
    for block in blocks:
        block.live = block.uses
    changed = True
    while changed:
        changed = False
        for block in reversed(blocks):
            after = 0
            for target in block.ending.targets:
                after |= blocks[target].live
            live = block.uses | (after & ~block.writes)
            if live != block.live:
                block.live, changed = live, True
