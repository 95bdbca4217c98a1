"""Comparison and selection (PTX ISA 9.7.6, and 9.7.7 for halves)."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.ptx.builder import Builder, instruction
from workbench.ptx.instructions.halves import from_bfloat
from workbench.ptx.model import Instruction, Pair, Symbol

_ORDERED = {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "lo": np.less, "ls": np.less_equal, "hi": np.greater, "hs": np.greater_equal,
}  # fmt: skip


def _unordered(function: Any) -> Any:
    return lambda x, y: function(x, y) | np.isnan(x) | np.isnan(y)


def _ordered_ne(x: Any, y: Any) -> Any:
    return (x < y) | (x > y)


def comparison(name: str, floating: bool) -> Any:
    """The function of a comparison operator. With a NaN the plain ones are false, those with u are true."""
    if floating:
        if name == "ne":
            return _ordered_ne
        if name == "num":
            return lambda x, y: ~(np.isnan(x) | np.isnan(y))
        if name == "nan":
            return lambda x, y: np.isnan(x) | np.isnan(y)
        if name == "neu":
            return np.not_equal
        if name[-1] == "u" and name[:-1] in _ORDERED:
            return _unordered(_ORDERED[name[:-1]])
    return _ORDERED[name]


_BOOLEAN = {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor}


@instruction("setp")
def set_predicate(build: Builder, ins: Instruction) -> None:
    d, a, b, *c = ins.operands
    parts = ins.parts[1:]
    kind = parts[-1]
    floating = kind in ("f16", "bf16", "f32", "f64")
    if kind in ("f16x2", "bf16x2"):
        return _halves(build, ins)
    compare = comparison(parts[0], floating)
    if kind == "bf16":
        plain = compare
        compare = lambda x, y: plain(from_bfloat(x), from_bfloat(y))  # noqa: E731
    if "ftz" in parts and kind == "f32":
        unflushed = compare
        from workbench.ptx.instructions.floating import flush

        compare = lambda x, y: unflushed(flush(x), flush(y))  # noqa: E731
    sources = [build.source(a, kind), build.source(b, kind)]
    combine = next((_BOOLEAN[part] for part in parts if part in _BOOLEAN), None)
    first, second = (d.first, d.second) if isinstance(d, Pair) else (d, None)
    if combine is None and second is None:
        build.compute(compare, build.target(first, "pred"), *sources)
        return
    negated = False
    if c:
        slot, negated = build.predicate(c[0])
        sources.append((slot, None))

    def run(x: Any, y: Any, z: Any = None) -> Any:
        found = compare(x, y)
        if combine is None or z is None:
            return found
        return combine(found, ~z if negated else z)

    def opposite(x: Any, y: Any, z: Any = None) -> Any:
        found = ~compare(x, y)
        if combine is None or z is None:
            return found
        return combine(found, ~z if negated else z)

    # The second destination is computed first: the first may be one of the sources.
    if second is not None and not (isinstance(second, Symbol) and second.name == "_"):
        both = (build.target(first, "pred")[0], build.target(second, "pred")[0])
        slots = [slot for slot, _ in sources]
        adapts = [adapt or (lambda array: array) for _, adapt in sources]

        def pair(w: Any, r: list[Any]) -> None:
            values = [adapt(r[slot]) for adapt, slot in zip(adapts, slots, strict=True)]
            r[both[0]], r[both[1]] = run(*values), opposite(*values)

        build.steps.append(pair)
        return
    build.compute(run, build.target(first, "pred"), *sources)


def _halves(build: Builder, ins: Instruction) -> None:
    """setp on packed halves: one predicate for each."""
    from workbench.ptx.instructions.halves import unpacked

    d, a, b = ins.operands
    kind = ins.parts[-1]
    if not isinstance(d, Pair):
        raise build.unknown("one destination")
    compare = comparison(ins.parts[1], True)
    (x, adapt_x), (y, adapt_y) = build.source(a, kind), build.source(b, kind)
    both = (build.target(d.first, "pred")[0], build.target(d.second, "pred")[0])

    def pair(w: Any, r: list[Any]) -> None:
        left = unpacked(adapt_x(r[x]) if adapt_x else r[x], kind)
        right = unpacked(adapt_y(r[y]) if adapt_y else r[y], kind)
        r[both[0]], r[both[1]] = compare(left[..., 0], right[..., 0]), compare(left[..., 1], right[..., 1])

    build.steps.append(pair)


@instruction("set")
def set_value(build: Builder, ins: Instruction) -> None:
    """A comparison that gives all ones, or 1.0, for true (9.7.6.1)."""
    d, a, b, *c = ins.operands
    parts = ins.parts
    made, kind = parts[-2], parts[-1]
    if kind.endswith("x2"):
        return _set_halves(build, ins)
    compare = comparison(parts[1], kind in ("f16", "bf16", "f32", "f64"))
    if kind == "bf16":
        plain = compare
        compare = lambda x, y: plain(from_bfloat(x), from_bfloat(y))  # noqa: E731
    combine = next((_BOOLEAN[part] for part in parts if part in _BOOLEAN), None)
    sources = [build.source(a, kind), build.source(b, kind)]
    negated = False
    if c:
        slot, negated = build.predicate(c[0])
        sources.append((slot, None))

    def run(x: Any, y: Any, z: Any = None) -> Any:
        found = compare(x, y)
        if combine is not None and z is not None:
            found = combine(found, ~z if negated else z)
        if made == "f32":
            return found.astype(np.float32)
        if made == "f16":
            return found.astype(np.float16)
        return -found.astype(np.int32)

    build.compute(run, build.target(d, made if made[0] == "f" else "b32"), *sources)


def _set_halves(build: Builder, ins: Instruction) -> None:
    from workbench.ptx.instructions.halves import packed, unpacked

    d, a, b = ins.operands
    made, kind = ins.parts[-2], ins.parts[-1]
    compare = comparison(ins.parts[1], True)

    def run(x: Any, y: Any) -> Any:
        found = compare(unpacked(x, kind), unpacked(y, kind))
        if made == kind:
            return packed(found.astype(np.float32), kind)
        halves = np.where(found, 0xFFFF, 0).astype(np.uint32)
        return (halves[..., 0] | (halves[..., 1] << np.uint32(16))).view(np.int32)

    build.compute(run, build.target(d, "b32"), build.source(a, kind), build.source(b, kind))


@instruction("selp")
def select(build: Builder, ins: Instruction) -> None:
    d, a, b, c = ins.operands
    kind = ins.parts[-1]
    bits = kind if kind[0] == "f" and kind != "f16" else f"b{kind[1:]}" if kind[0] in "sub" else "b16"
    slot, negated = build.predicate(c)
    sources = (slot, None), build.source(a, bits), build.source(b, bits)
    if negated:
        build.compute(lambda p, x, y: np.where(p, y, x), build.target(d, bits), *sources)
    else:
        build.compute(np.where, build.target(d, bits), *sources)


@instruction("slct")
def select_by_sign(build: Builder, ins: Instruction) -> None:
    d, a, b, c = ins.operands
    kind, judged = ins.parts[-2], ins.parts[-1]
    build.compute(
        lambda x, y, z: np.where(z >= 0, x, y),
        build.target(d, kind), build.source(a, kind), build.source(b, kind), build.source(c, judged),
    )  # fmt: skip
