"""Builds programs: walks a kernel once, and lets each instruction family make steps of its instructions.

Device functions that weren't inlined by the compiler are expanded where they are called (PTX ISA 7.1), so that a
program has one flat list of blocks, in the order of the text. Control instructions end a block (see `Ending`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from workbench.ptx.compute import Source, Step, computing
from workbench.ptx.faults import UnknownInstruction
from workbench.ptx.flow import Flow, mark_guesses
from workbench.ptx.kinds import DTYPES, cast, held, viewed
from workbench.ptx.memory import PARAMETER_WINDOW, RED_ZONE, Span, function_address, round_up
from workbench.ptx.model import (
    SIZES,
    Address,
    Function,
    Immediate,
    Instruction,
    Module,
    Negated,
    Operand,
    Register,
    Special,
    Symbol,
    Variable,
)
from workbench.ptx.program import Ending, Frame, Program, Site
from workbench.ptx.refusals import ISA, section_and_reason

# What a decoder meets in an instruction that isn't as the PTX ISA has it.
MALFORMED = (
    ValueError,
    IndexError,
    KeyError,
    AttributeError,
    TypeError,
    StopIteration,
    AssertionError,
    OverflowError,
)
CLOCKS = ("%clock", "%clock_hi", "%clock64", "%globaltimer", "%globaltimer_lo", "%globaltimer_hi")
CYCLES = 32  # that one instruction counts for: about what it takes on a GPU until its result can be used

_DECODERS: dict[str, Callable[[Builder, Instruction], Ending | None]] = {}


def instruction(*opcodes: str) -> Callable[[Any], Any]:
    """Register a decoder for instructions whose name, up to the first dot, is one of these."""

    def register(decoder: Any) -> Any:
        for opcode in opcodes:
            _DECODERS[opcode] = decoder
        return decoder

    return register


class Builder:
    """Turns one kernel into a `Program`; decoders call its methods."""

    def __init__(self, module: Module, kernel: Function) -> None:
        self.module, self.kernel = module, kernel
        self.slots: dict[tuple[str, str], int] = {}
        self.template: list[Any] = []
        self.kinds: list[np.dtype[Any]] = []
        self.constants: dict[tuple[bytes, str], int] = {}
        self.special_slots: dict[str, int] = {}
        self.sites: list[Site] = []
        self.steps: list[Step] = []
        self.used: list[int] = []
        self.defined: list[int] = []
        self.pure = True
        self.local_size = 0
        self.local_spans: list[Span] = []
        self.shared_spans: list[Span] = []
        self.shared_places: dict[str, int] = {}
        self.shared_size = self.shared_used = 0
        self.dynamic_name: str | None = None
        self.fixups: list[tuple[int, str, int]] = []
        self.features: set[str] = set()
        self.frame = Frame(kernel, "")
        self.current: Instruction = kernel.body[0] if kernel.body else Instruction("", (), None, False, "", 0)
        self.waits: tuple[int, int] | None = None  # number and count of the barrier that it waits at first
        self.position = 0  # of the current instruction among all
        self.place_in_block = 0  # how many stand before it there
        self.lanes: Source | None = None  # the lane mask that the current instruction waits for
        self.parameters, self.parameter_size = layout_parameters(kernel)
        self.flow = Flow()

    # Slots

    def _new(self, value: Any) -> int:
        self.template.append(value)
        self.kinds.append(value.dtype)
        return len(self.template) - 1

    def slot(self, register: Register) -> int:
        key = (self.frame.prefix, register.name)
        if key not in self.slots:
            self.slots[key] = self._new(np.zeros((), held(register.type)))
        return self.slots[key]

    def temporary(self, dtype: Any) -> int:
        return self._new(np.zeros((), dtype))

    def constant(self, value: int | float, dtype: Any) -> int:
        dtype = np.dtype(dtype)
        made = np.zeros((), dtype)
        if dtype.kind in "iu":
            bits = int(value) & ((1 << 8 * dtype.itemsize) - 1)
            made = np.array(bits, f"u{dtype.itemsize}").view(dtype)
        else:
            with np.errstate(all="ignore"):
                made[...] = value
        key = (made.tobytes(), dtype.str)
        if key not in self.constants:
            self.constants[key] = self._new(made)
        return self.constants[key]

    def special(self, name: str) -> int:
        if name not in self.special_slots:
            self.special_slots[name] = self._new(np.zeros((), np.int64 if name == "%gridid" else np.int32))
        return self.special_slots[name]

    def _clock(self, name: str, kind: str) -> Source:
        """A register that grows with time (PTX ISA 10, %clock64): here with what the running threads have executed."""
        dtype = DTYPES[kind]
        slot, before = self.temporary(dtype), self.place_in_block
        shift = 32 if name.endswith("_hi") else 0

        def look(w: Any, r: list[Any]) -> None:
            r[slot] = np.array(CYCLES * (w.spent + before) >> shift, np.int64).astype(dtype)

        self.steps.append(look)
        return slot, None

    # Operands

    def source(self, operand: Operand, kind: str) -> Source:
        """A slot that holds the operand, and what makes its array one of type `kind`."""
        wanted = DTYPES[kind]
        if isinstance(operand, Immediate):
            slot = self._immediate(operand, kind)
        elif isinstance(operand, Register):
            slot = self.slot(operand)
        elif isinstance(operand, Special) and operand.name in CLOCKS:
            return self._clock(operand.name, kind)
        elif isinstance(operand, Special):
            slot = self.special(operand.name)
        elif isinstance(operand, Symbol):
            slot = self.address_of(operand.name)
        else:
            raise self.unknown("an operand of this form")
        self.used.append(slot)
        have = self.kinds[slot]
        if have == wanted:
            return slot, None
        if have.itemsize == wanted.itemsize:
            return slot, viewed(wanted)
        if have.itemsize > wanted.itemsize or wanted.kind in "iu":
            return slot, _resized(have, wanted)
        raise self.unknown(f"a {have.itemsize}-byte register as .{kind}")

    def _immediate(self, operand: Immediate, kind: str) -> int:
        value = operand.value
        dtype = DTYPES[kind]
        if isinstance(value, float) and dtype.kind in "iu":
            # A float's bits in an untyped move, as in mov.b32 %r1, 0f3F800000.
            held_as = np.dtype(np.float32 if SIZES[kind] == 4 else np.float64)
            if held_as.itemsize != dtype.itemsize:
                raise self.unknown("this constant")
            bits = np.array(value, held_as).view(f"i{dtype.itemsize}")
            return self.constant(int(bits), dtype)
        return self.constant(value, dtype)

    def target(self, operand: Operand, kind: str) -> Source:
        """The slot to write a result of type `kind` to, and what makes the result what the register keeps."""
        if isinstance(operand, Symbol) and operand.name == "_":
            return self.temporary(DTYPES[kind]), None
        if not isinstance(operand, Register):
            raise self.unknown("a destination of this form")
        slot = self.slot(operand)
        self.defined.append(slot)
        have, made = self.kinds[slot], DTYPES[kind]
        if have == made:
            return slot, None
        if have.itemsize == made.itemsize:
            return slot, viewed(have)
        if have.itemsize > made.itemsize and made.kind in "iu" and kind[0] != "b":
            return slot, cast(have)
        if have.itemsize > made.itemsize:
            return slot, _resized(made, have)
        raise self.unknown(f"a .{kind} result in a {have.itemsize}-byte register")

    def predicate(self, operand: Operand) -> tuple[int, bool]:
        """The slot of a predicate and whether it is negated."""
        if isinstance(operand, Negated):
            slot, negated = self.predicate(operand.item)
            return slot, not negated
        slot, _ = self.source(operand, "pred")
        return slot, False

    def address_of(self, name: str) -> int:
        """A slot that holds the address of a variable in its own space (PTX ISA 5.1)."""
        place = self.place(name)
        if place is not None:
            return self.constant(place[1], np.int64)
        variable = self.module.variables.get(name)
        if variable is None:
            if name in self.module.functions:
                return self.constant(function_address(self.module, name), np.int64)
            raise self.unknown(f"the name {name}")
        slot = self._new(np.zeros((), np.int64))
        self.fixups.append((slot, name, 0))
        self.flow.origins[slot] = {name}
        return slot

    def place(self, name: str) -> tuple[str, int] | None:
        """The space of a variable and its address there; None for .global and .const ones."""
        found = self.frame.places.get(name)
        if found is not None:
            return found
        if not self.frame.prefix and name in self.parameters:
            return "param", PARAMETER_WINDOW + self.parameters[name][0]
        variable = self.frame.function.variables.get(name) or self.module.variables.get(name)
        if variable is None or variable.space in ("global", "const"):
            return None
        if variable.space == "shared":
            key = name if name in self.module.variables else f"{self.frame.function.name}:{name}"
            return "shared", self.shared_places.get(key, self.dynamic_start)
        found = ("local", self.local(variable.name, variable.size, variable.align, variable.type))
        self.frame.places[name] = found
        return found

    def local(self, name: str, size: int, align: int, kind: str) -> int:
        start = round_up(self.local_size, max(align, 8))
        self.local_size = start + round_up(size, 8)
        self.local_spans.append(Span(name, start, start + size, DTYPES.get(kind, np.dtype(np.int8))))
        return start

    def lay_out_shared(self) -> None:
        """Give shared variables their addresses, dynamic shared memory behind them all (PTX ISA 5.1.7)."""
        seen: set[str] = set()

        def visit(function: Function) -> None:
            if function.name in seen:
                return
            seen.add(function.name)
            for variable in function.variables.values():
                if variable.space == "shared":
                    self.shared(f"{function.name}:{variable.name}", variable)
            for ins in function.body:
                for name in _names(ins.operands):
                    found = self.module.variables.get(name)
                    if found is not None and found.space == "shared":
                        self.shared(name, found)
                    for called in (name, *(symbol for _, symbol, _ in found.pointers)) if found else (name,):
                        if called in self.module.functions:
                            visit(self.module.functions[called])

        visit(self.kernel)
        self.dynamic_start = round_up(self.shared_size, 1024)

    def shared(self, key: str, variable: Variable) -> None:
        if variable.size == 0:  # extern: as large as the launch says
            self.dynamic_name = variable.name
        elif key not in self.shared_places:
            start = round_up(self.shared_size, max(variable.align, 128))
            self.shared_places[key] = start
            self.shared_size = start + variable.size + RED_ZONE
            self.shared_used = round_up(self.shared_used, variable.align) + variable.size
            self.shared_spans.append(Span(variable.name, start, start + variable.size, DTYPES[variable.type]))

    # What decoders make

    def compute(self, function: Any, target: Source, *sources: Source) -> None:
        """target = function(sources...): a step that has no other effect."""
        self.steps.append(computing(function, target, sources))

    def effect(self, step: Step) -> None:
        """A step that does more than write registers: under a guard it becomes a branch around it."""
        self.pure = False
        self.steps.append(step)

    def site(self, kind: str, space: str, dtype: np.dtype[Any], slot: int, offset: int = 0) -> Site:
        site = Site(len(self.sites), self.current, kind, space, dtype, offset)
        self.sites.append(site)
        self.flow.bases[site.number] = slot
        return site

    def unknown(self, what: str = "", reason: str = "") -> UnknownInstruction:
        """What to raise for an instruction that this machine doesn't have; `reason`: what to do about it."""
        ins = self.current
        detail = f" with {what}" if what else ""
        section, known = section_and_reason(ins.opcode)
        advice = f"PTX ISA {section} describes it: {ISA}"
        return UnknownInstruction(
            f"this machine can't execute {ins.text!r}{detail} (line {ins.ptx_line} of the PTX)",
            file=ins.file,
            line=ins.line,
            advice=f"{reason or known} {advice}".strip(),
        )

    # Building

    def build(self) -> Program:
        import workbench.ptx.instructions  # noqa: F401  registers all decoders
        from workbench.ptx.blocks import make_blocks

        self.lay_out_shared()
        blocks = make_blocks(self)
        mark_guesses((ins for block in blocks for ins in block.instructions), self.sites)
        self._poison(blocks[0].live)
        return Program(
            self.kernel.name, blocks, self.template, list(self._specials()), self.sites,
            round_up(self.local_size, 16), self.local_spans, self.shared_size, self.shared_used, self.shared_spans,
            self.dynamic_start, self.dynamic_name, self.parameters, self.parameter_size, self.fixups,
            self.features, *self.flow.solve(self.sites),
        )  # fmt: skip

    def _poison(self, live: int) -> None:
        """Registers that are read though nothing was put into them: what they hold should be noticed."""
        for (_, _), slot in self.slots.items():
            if live >> slot & 1 and self.kinds[slot].kind != "b":
                dtype = self.kinds[slot]
                poison: Any = np.nan if dtype.kind == "f" else np.iinfo(dtype).max // 3
                self.template[slot] = np.array(poison, dtype)

    def _specials(self) -> list[tuple[int, str]]:
        return [(slot, name) for name, slot in self.special_slots.items()]

    def decode(self, ins: Instruction) -> Ending | None:
        """Append the steps of one instruction; return how the block ends if it is a control instruction."""
        self.current = ins
        decoder = _DECODERS.get(ins.parts[0])
        if decoder is None:
            raise self.unknown()
        try:
            return decoder(self, ins)
        except MALFORMED as problem:
            raise self.unknown() from problem


def layout_parameters(kernel: Function) -> tuple[dict[str, tuple[int, int]], int]:
    """Offset and size of each parameter in the parameter space (PTX ISA 5.1.6.1)."""
    places: dict[str, tuple[int, int]] = {}
    end = 0
    for parameter in kernel.parameters:
        start = round_up(end, parameter.align)
        places[parameter.name] = (start, parameter.size)
        end = start + parameter.size
    return places, end


def _names(operands: Sequence[Operand]) -> Iterator[str]:
    for item in operands:
        if isinstance(item, Symbol):
            yield item.name
        elif isinstance(item, Address):
            yield from _names((item.base,))


def _resized(have: np.dtype[Any], wanted: np.dtype[Any]) -> Any:
    """Between registers and values of different sizes: the low bits, zero-extended."""
    narrow, wide = np.dtype(f"u{have.itemsize}"), np.dtype(f"u{wanted.itemsize}")
    return lambda array: array.view(narrow).astype(wide).view(wanted)
