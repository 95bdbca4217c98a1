"""Control flow (PTX ISA 9.7.12), barriers of a block (9.7.13.1), and system calls (9.7.12.4)."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.ptx.barriers import arrive
from workbench.ptx.builder import Builder, instruction
from workbench.ptx.faults import Trapped
from workbench.ptx.model import Arguments, Immediate, Instruction, Symbol
from workbench.ptx.printf import fail_assertion, print_all
from workbench.ptx.program import Ending
from workbench.ptx.trespass import full

ADVICE_ON_TRAPS = (
    "Either __trap() is called here, or the compiler saw that what stands here can't be right, such as an access "
    "through a null pointer."
)


def _label(build: Builder, name: str) -> int:
    if name not in build.frame.labels:
        raise build.unknown(f"the label {name}")
    return build.frame.labels[name]


@instruction("bra")
def branch(build: Builder, ins: Instruction) -> Ending:
    target = ins.operands[0]
    if not isinstance(target, Symbol):
        raise build.unknown("this target")
    there = _label(build, target.name)
    if ins.guard is None:
        return Ending("jump", (there,))
    return Ending("branch", (there, build.position + 1), build.slot(ins.guard), ins.negated)


@instruction("brx")
def branch_indexed(build: Builder, ins: Instruction) -> Ending:
    index, table = ins.operands
    slot, _ = build.source(index, "b32")
    if not isinstance(table, Symbol):
        raise build.unknown("this table")
    names = build.frame.function.tables[table.name]
    return Ending("switch", tuple(_label(build, name) for name in names), slot)


@instruction("ret", "exit")
def leave(build: Builder, ins: Instruction) -> Ending:
    if ins.parts[0] == "ret" and build.frame.prefix:
        return Ending("jump", (build.frame.end,))
    return Ending("exit")


@instruction("nop")
def called(build: Builder, ins: Instruction) -> None:
    """What stands for a call whose function is expanded behind it."""


@instruction("trap", "brkpt")
def trap(build: Builder, ins: Instruction) -> None:
    def run(w: Any, r: list[Any]) -> None:
        block, thread, block_at, thread_at = w.machine.whereabouts(w, 0)
        if any(name.startswith("%envreg") for _, name in w.machine.program.specials):
            raise Trapped(
                f"thread {thread} of block {block} waits for the whole grid (cooperative_groups' grid.sync()), which "
                "needs a cooperative launch, and this is none",
                file=ins.file, line=ins.line, block=block_at, thread=thread_at,
                advice="The end of a launch is a barrier of the whole grid: make two kernels of it, one launch each.",
            )  # fmt: skip
        raise Trapped(
            f"thread {thread} of block {block} executes {ins.parts[0]}", file=ins.file, line=ins.line,
            block=block_at, thread=thread_at, advice=ADVICE_ON_TRAPS,
        )  # fmt: skip

    build.effect(run)


@instruction("bar", "barrier")
def barrier(build: Builder, ins: Instruction) -> Ending | None:
    parts = ins.parts
    if "warp" in parts:
        build.lanes = build.source(ins.operands[0], "b32")
        build.effect(lambda w, r: w.watch.warp_barrier() if w.watch is not None else None)
        return None
    if "red" in parts:
        _reduce(build, ins)
        return None
    if not ("sync" in parts or "arrive" in parts) or "cluster" in parts:
        raise build.unknown()
    number, _ = build.source(ins.operands[0], "b32")
    count = ins.operands[1] if len(ins.operands) > 1 else Immediate(0, "0")
    expected, _ = build.source(count, "b32")
    if "arrive" in parts:  # counted, without waiting
        build.effect(lambda w, r: arrive(w, ins, r[number]))
        return None
    return Ending("barrier", (build.position + 1,), details=(number, expected))


def _reduce(build: Builder, ins: Instruction) -> None:
    """bar.red: a barrier after which each thread knows how many, or whether all or any, brought true."""
    d, number, *count, item = ins.operands
    slot, negated = build.predicate(item)
    expected = count[0] if count else Immediate(0, "0")
    build.waits = (build.source(number, "b32")[0], build.source(expected, "b32")[0])
    mode = next(part for part in ins.parts if part in ("popc", "and", "or"))
    target, out = build.target(d, "b32" if mode == "popc" else "pred")

    def run(w: Any, r: list[Any]) -> None:
        votes = full(~r[slot] if negated else r[slot], w.group.count)
        block = w.group.block
        yes, all_of_them = np.bincount(block, votes), np.bincount(block)
        if mode == "popc":
            result = yes[block].astype(np.int32)
        else:
            result = (yes > 0)[block] if mode == "or" else (yes == all_of_them)[block]
        r[target] = out(result) if out else result

    build.effect(run)


@instruction("call")
def system_call(build: Builder, ins: Instruction) -> None:
    """vprintf and __assertfail; calls of the module's own functions are expanded before (see `blocks`)."""
    if ins.opcode == "call.nothing":
        _calls_nothing(build, ins)
        return
    name = next(item.name for item in ins.operands if isinstance(item, Symbol))
    lists = [item.items for item in ins.operands if isinstance(item, Arguments)]
    passed = lists[-1] if lists else ()
    starts = []
    for item in passed:
        place = build.place(item.name) if isinstance(item, Symbol) else None
        if place is None:
            raise build.unknown("this argument")
        starts.append(place[1])
    if name == "vprintf":
        result = build.place(lists[0][0].name) if len(lists) > 1 and isinstance(lists[0][0], Symbol) else None

        def run(w: Any, r: list[Any]) -> None:
            print_all(w, _passed(w, starts[0], np.int64), _passed(w, starts[1], np.int64))
            if result is not None:
                _set_passed(w, result[1], np.int32(1))

    elif name == "__assertfail":

        def run(w: Any, r: list[Any]) -> None:
            fail_assertion(w, ins, _passed(w, starts[0], np.int64), _passed(w, starts[3], np.int64))

    else:
        raise build.unknown(
            f"a call of {name}",
            "Memory can't be allocated in a kernel here (malloc, free, new, delete): pass an array for it, or use a "
            "local or shared one.",
        )
    build.effect(run)


def _calls_nothing(build: Builder, ins: Instruction) -> None:
    """A pointer that points to no function that could be called here (9.7.12.4, indirect calls)."""
    slot, _ = build.source(ins.operands[0], "b64")

    def run(w: Any, r: list[Any]) -> None:
        block, thread, block_at, thread_at = w.machine.whereabouts(w, 0)
        raise Trapped(
            f"thread {thread} of block {block} calls through the pointer {int(full(r[slot], 1)[0]):#x}, which points "
            f"to no function that it could call: {ins.text!r} (line {ins.ptx_line} of the PTX, PTX ISA 9.7.12.4)",
            file=ins.file, line=ins.line, block=block_at, thread=thread_at,
            advice="See that the pointer is set, and that no function calls itself: recursion isn't possible here.",
        )  # fmt: skip

    build.effect(run)


def _passed(w: Any, start: int, dtype: Any) -> Any:
    """A parameter in each thread's local memory."""
    at = (w.group.local_start + start) // np.dtype(dtype).itemsize
    return w.machine.local.view(dtype)[at]


def _set_passed(w: Any, start: int, value: Any) -> None:
    if w.watch is not None:
        w.watch.returned(start, value.dtype.itemsize)
    w.machine.local.view(value.dtype)[(w.group.local_start + start) // value.dtype.itemsize] = value
