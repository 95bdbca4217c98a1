"""From instructions to basic blocks: calls expanded, cut at control flow, with the registers that live in each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.ptx.builder import Builder
from workbench.ptx.compute import Step
from workbench.ptx.flow import ANYTHING
from workbench.ptx.model import Arguments, Instruction, Module, Operand, Register, Symbol
from workbench.ptx.program import Block, Ending, Frame

if TYPE_CHECKING:
    from workbench.ptx.wave import Wave

Flat = list[tuple[Instruction, Frame]]
SYSTEM_CALLS = ("vprintf", "__assertfail", "malloc", "free")


def make_blocks(build: Builder) -> list[Block]:
    flat: Flat = []
    _expand(build, build.frame, flat, ())
    return _Cutter(build, flat).blocks()


def _expand(build: Builder, frame: Frame, flat: Flat, callers: tuple[str, ...]) -> None:
    """Append a function's instructions, with the bodies of the functions that it calls in the calls' place."""
    positions: dict[int, int] = {}
    for index, ins in enumerate(frame.function.body):
        positions[index] = len(flat)
        callee = _callee(ins)
        if ins.parts[0] != "call" or (isinstance(callee, Symbol) and callee.name in SYSTEM_CALLS):
            flat.append((ins, frame))
            continue
        build.current, build.frame = ins, frame
        _expand_call(build, ins, index, frame, flat, callers)
    positions[len(frame.function.body)] = len(flat)
    frame.labels |= {label: positions[index] for label, index in frame.function.labels.items()}
    frame.end = len(flat)


def _callee(ins: Instruction) -> Operand | None:
    """What a call names: a function, or a register that points to one."""
    return next((operand for operand in ins.operands if isinstance(operand, (Symbol, Register))), None)


def _expand_call(
    build: Builder, call: Instruction, index: int, frame: Frame, flat: Flat, callers: tuple[str, ...]
) -> None:
    """A call by name; or through a pointer: then of each function that it may point to, where it does."""

    def add(opcode: str, *operands: Operand, guard: Register | None = None, negated: bool = False) -> None:
        flat.append((replace(call, opcode=opcode, operands=operands, guard=guard, negated=negated), frame))

    end = f"#end of call {index}"
    add("nop")
    if call.guard is not None:
        add("bra", Symbol(end), guard=call.guard, negated=not call.negated)
    callee = _callee(call)
    if isinstance(callee, Symbol):
        _expand_body(build, call, callee.name, f"{index}", frame, flat, callers)
    elif isinstance(callee, Register):
        for number, name in enumerate(_pointed_to(build.module, call)):
            if name in callers:
                continue  # recursion: reported if a thread gets there
            other, differs = f"#not {number} of call {index}", Register(f"%call{index}", "pred")
            add("setp.ne.b64", differs, callee, Symbol(name))
            add("bra", Symbol(other), guard=differs)
            build.current, build.frame = call, frame
            _expand_body(build, call, name, f"{index}.{number}", frame, flat, callers)
            add("bra", Symbol(end))
            frame.labels[other] = len(flat)
        add("call.nothing", callee)
    else:
        raise build.unknown("nothing that is called")
    frame.labels[end] = len(flat)


def _expand_body(
    build: Builder,
    call: Instruction,
    name: str,
    number: str,
    frame: Frame,
    flat: Flat,
    callers: tuple[str, ...],
) -> None:
    function = build.module.functions.get(name)
    if function is None or not function.body:
        raise build.unknown(f"a call of {name}, which this PTX doesn't hold")
    if name in callers:
        raise build.unknown(
            f"a call of {name} by itself",
            "Recursion needs a stack, which this machine doesn't have: write it as a loop.",
        )
    inner = Frame(function, f"{frame.prefix}{name}@{number}/")
    _bind(build, call, inner)
    _expand(build, inner, flat, (*callers, name))


def _pointed_to(module: Module, call: Instruction) -> list[str]:
    """The functions whose address is taken somewhere, and that take and give what the call does."""
    shape = [len(operand.items) for operand in call.operands if isinstance(operand, Arguments)]
    taken = {symbol for variable in module.variables.values() for _, symbol, _ in variable.pointers}
    for function in module.functions.values():
        for ins in function.body:
            if ins.parts[0] != "call":
                taken |= {operand.name for operand in ins.operands if isinstance(operand, Symbol)}
    return [
        name
        for name, function in module.functions.items()
        if name in taken
        and [len(each) for each in (function.returns, function.parameters) if each] == [n for n in shape if n]
    ]


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
        build.position, build.place_in_block = index, len(self.instructions)
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
