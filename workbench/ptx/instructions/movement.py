"""Moving data: mov, cvta, ld and st (PTX ISA 9.7.9)."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.ptx.access import loading, storing
from workbench.ptx.builder import Builder, instruction
from workbench.ptx.compute import Source
from workbench.ptx.kinds import DTYPES, viewed
from workbench.ptx.memory import LOCAL_WINDOW, PARAMETER_WINDOW, SHARED_WINDOW
from workbench.ptx.model import SIZES, Address, Immediate, Instruction, Operand, Register, Symbol, Vector

SPACES = ("global", "shared", "local", "const", "param")
SCALARS = tuple(SIZES)


def _as_bits(kind: str) -> str:
    return kind if kind in ("f32", "f64", "pred") else f"b{8 * SIZES[kind]}"


@instruction("mov")
def move(build: Builder, ins: Instruction) -> None:
    d, a = ins.operands
    kind = _as_bits(ins.parts[-1])
    if isinstance(d, Vector):
        _unpack(build, d, a, kind)
    elif isinstance(a, Vector):
        _pack(build, d, a, kind)
    elif isinstance(a, Symbol):
        slot = build.address_of(a.name)
        build.used.append(slot)
        resize = (slot, (lambda x: x.astype(np.int32)) if SIZES[kind] == 4 else None)
        build.compute(_keep, build.target(d, kind), resize)
    else:
        build.compute(_keep, build.target(d, kind), build.source(a, kind))


def _keep(array: Any) -> Any:
    return array


def _unpack(build: Builder, d: Vector, a: Operand, kind: str) -> None:
    """mov.b32 {lo, hi}, a: a register taken apart (9.7.9.2)."""
    count = len(d.items)
    size = SIZES[kind] // count
    part = np.dtype(f"i{size}")
    natural = np.dtype(f"u{SIZES[kind]}")
    slot, adapt = build.source(a, f"b{8 * SIZES[kind]}")
    targets = [build.target(item, f"b{8 * size}") for item in d.items]
    adapt = adapt or _keep

    def run(w: Any, r: list[Any]) -> None:
        whole = adapt(r[slot])
        if whole.ndim:  # the parts lie side by side in memory: the machine is little-endian, like the GPU
            pieces = whole.view(part).reshape(-1, count)
            values = [np.ascontiguousarray(pieces[:, at]) for at in range(count)]
        else:
            bits = whole.view(natural)
            values = [
                (bits >> natural.type(8 * size * at)).astype(f"u{size}").view(part) for at in range(count)
            ]
        for (target, out), value in zip(targets, values, strict=True):
            r[target] = out(value) if out else value

    build.steps.append(run)


def _pack(build: Builder, d: Operand, a: Vector, kind: str) -> None:
    """mov.b32 d, {lo, hi}: a register put together."""
    count = len(a.items)
    size = SIZES[kind] // count
    part, whole = np.dtype(f"i{size}"), np.dtype(f"i{SIZES[kind]}")
    sources = [build.source(item, f"b{8 * size}") for item in a.items]

    def run(*values: Any) -> Any:
        shape = np.broadcast_shapes(*(value.shape for value in values))
        together = np.empty((*shape, count), part)
        for at, value in enumerate(values):
            together[..., at] = value
        return together.view(whole)[..., 0]

    build.compute(run, build.target(d, f"b{8 * SIZES[kind]}"), *sources)


@instruction("cvta")
def convert_address(build: Builder, ins: Instruction) -> None:
    """Between generic addresses and those in one space; only windows differ (9.7.9.20)."""
    d, a = ins.operands
    parts = ins.parts
    space = next(part for part in (item.split("::")[0] for item in parts[1:]) if part in SPACES)
    window = {"shared": SHARED_WINDOW, "local": LOCAL_WINDOW}.get(space, 0)
    shift = np.array(-window if "to" in parts else window, np.int64)
    kind = f"b{parts[-1][1:]}"
    source: Source
    if isinstance(a, Symbol):
        slot = build.address_of(a.name)
        build.used.append(slot)
        source = slot, None
    else:
        source = build.source(a, kind)
    if window:
        build.compute(lambda x: np.add(x, shift), build.target(d, kind), source)
    else:
        build.compute(_keep, build.target(d, kind), source)


@instruction("isspacep")
def is_in_space(build: Builder, ins: Instruction) -> None:
    d, a = ins.operands
    space = ins.parts[1].split("::")[0]
    windows = {"shared": SHARED_WINDOW, "local": LOCAL_WINDOW}

    def run(x: Any) -> Any:
        region = x >> np.int64(40)
        if space in windows:
            return region == windows[space] >> 40
        return (region > 3) | (region == 0) if space == "global" else region == PARAMETER_WINDOW >> 40

    build.compute(run, build.target(d, "pred"), build.source(a, "b64"))


def address(build: Builder, operand: Operand, space: str) -> tuple[int, int, str]:
    """The slot of an address, what is added to it, and the space that it turns out to be in."""
    if not isinstance(operand, Address):
        raise build.unknown("this address")
    base = operand.base
    if isinstance(base, Symbol):
        place = build.place(base.name)
        if place is not None and place[0] == "local":
            space = "local"  # parameters of device functions lie in local memory
        slot = build.address_of(base.name)
    elif isinstance(base, Immediate):
        slot = build.constant(int(base.value), np.int64)
    elif isinstance(base, Register):
        slot = build.slot(base)
    else:
        raise build.unknown("this address")
    build.used.append(slot)
    return slot, operand.offset, space


def space_of(parts: list[str]) -> str:
    for part in parts:
        name = part.split("::")[0]
        if name in SPACES:
            return name
    return "generic"


@instruction("ld", "ldu")
def load(build: Builder, ins: Instruction) -> None:
    d, a = ins.operands[:2]
    parts = ins.parts
    kind = parts[-1]
    space = space_of(parts)
    if space == "param" and isinstance(a, Address) and isinstance(a.base, Symbol):
        place = build.place(a.base.name)
        if place is not None and place[0] == "param":
            _load_parameter(build, d, kind, place[1] - PARAMETER_WINDOW + a.offset, a.base.name)
            return
    slot, offset, space = address(build, a, space)
    if isinstance(d, Vector):
        targets = [build.target(item, kind) for item in d.items]
        carrier = carrier_of(build, SIZES[kind] * len(targets))
        keep = keep_vector(targets, DTYPES[kind])
    else:
        carrier = DTYPES[kind]
        keep = _keep_one(build.target(d, kind))
    build.effect(loading(build.site("load", space, carrier, slot, offset), slot, keep))


def carrier_of(build: Builder, size: int) -> np.dtype[Any]:
    """The type that a vector of so many bytes is moved as."""
    carriers = {2: np.int16, 4: np.int32, 8: np.int64, 16: np.complex128}
    if size not in carriers:
        raise build.unknown(f"{size} bytes at once")
    return np.dtype(carriers[size])


def _keep_one(target: Source) -> Any:
    d, out = target
    if out is None:

        def keep(r: list[Any], values: Any) -> None:
            r[d] = values

        return keep

    def keep_converted(r: list[Any], values: Any) -> None:
        r[d] = out(values)

    return keep_converted


def keep_vector(targets: list[Source], part: np.dtype[Any]) -> Any:
    """Take the loaded values apart into registers."""
    count = len(targets)

    def keep(r: list[Any], values: Any) -> None:
        if values.ndim:
            rows = values.view(part).reshape(-1, count).T.copy()
        else:
            rows = values.reshape(1).view(part)
        for (d, out), row in zip(targets, rows, strict=True):
            r[d] = out(row) if out else row

    return keep


def _load_parameter(build: Builder, d: Operand, kind: str, offset: int, name: str) -> None:
    """A kernel's parameter: one value for all threads (5.1.6.1)."""
    items = d.items if isinstance(d, Vector) else (d,)
    targets = [build.target(item, kind) for item in items]
    for slot, _ in targets:
        build.flow.origins.setdefault(slot, set()).add(name)
    dtype, size = DTYPES[kind], SIZES[kind]

    def run(w: Any, r: list[Any]) -> None:
        values = w.machine.parameters[offset : offset + size * len(targets)].view(dtype)
        for at, (target, out) in enumerate(targets):
            value = values[at : at + 1].reshape(())
            r[target] = out(value) if out else value

    build.steps.append(run)


@instruction("st")
def store(build: Builder, ins: Instruction) -> None:
    a, value = ins.operands[:2]
    kind = ins.parts[-1]
    slot, offset, space = address(build, a, space_of(ins.parts))
    if isinstance(value, Vector):
        sources = [build.source(item, kind) for item in value.items]
        carrier = carrier_of(build, SIZES[kind] * len(sources))
        value_of = value_vector(sources, DTYPES[kind], carrier)
    else:
        carrier = DTYPES[kind]
        value_of = _value_one(build.source(value, kind))
    build.effect(storing(build.site("store", space, carrier, slot, offset), slot, value_of))


def _value_one(source: Source) -> Any:
    slot, adapt = source
    if adapt is None:
        return lambda r: r[slot]
    return lambda r: adapt(r[slot])


def value_vector(sources: list[Source], part: np.dtype[Any], carrier: np.dtype[Any]) -> Any:
    """Put registers together into the values that are stored."""
    slots = [slot for slot, _ in sources]
    adapts = [adapt or viewed(part) for _, adapt in sources]

    def value_of(r: list[Any]) -> Any:
        values = [adapt(r[slot]) for adapt, slot in zip(adapts, slots, strict=True)]
        shape = np.broadcast_shapes(*(value.shape for value in values))
        together = np.empty((*shape, len(values)), part)
        for at, value in enumerate(values):
            together[..., at] = value
        return together.view(carrier)[..., 0]

    return value_of


@instruction(
    "prefetch",
    "prefetchu",
    "discard",
    "applypriority",
    "createpolicy",
    "nanosleep",
    "pmevent",
)
def nothing(build: Builder, ins: Instruction) -> None:
    """Hints for caches (9.7.9.14 and following)."""


@instruction("membar", "fence")
def fence(build: Builder, ins: Instruction) -> None:
    """Accesses here take effect at once and in order: only the checks want to know (9.7.13.4)."""
    of_block = "cta" in ins.parts
    build.effect(lambda w, r: w.watch.fence(w.group.threads, of_block) if w.watch is not None else None)
