"""Exchange between the lanes of a warp: shfl, vote, match, redux, activemask, elect (PTX ISA 9.7.9.6, 9.7.13)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from workbench.ptx.builder import Builder, instruction
from workbench.ptx.compute import Source
from workbench.ptx.faults import MissingLanes
from workbench.ptx.model import Immediate, Instruction, Operand, Pair, Symbol
from workbench.ptx.trespass import full

if TYPE_CHECKING:
    from workbench.ptx.wave import Wave

LANES = np.arange(32, dtype=np.int32)
ALL = Immediate(-1, "-1")


def rows(wave: Wave, value: Any) -> Any:
    """A register as a matrix, warps by lanes. Lanes that don't take part hold 0."""
    group = wave.group
    value = full(value, group.count)
    if group.whole_warps:
        return value.reshape(-1, 32)
    matrix = np.zeros((group.warp_count, 32), value.dtype)
    matrix[group.row, group.lane] = value
    return matrix


def flat(wave: Wave, matrix: Any) -> Any:
    """The reverse of `rows`."""
    group = wave.group
    if group.whole_warps:
        return np.ascontiguousarray(matrix).reshape(-1)
    return matrix[group.row, group.lane]


def present(wave: Wave) -> npt.NDArray[np.bool_]:
    group = wave.group
    if group.whole_warps:
        return np.ones((group.count // 32, 32), np.bool_)
    matrix = np.zeros((group.warp_count, 32), np.bool_)
    matrix[group.row, group.lane] = True
    return matrix


def to_bits(matrix: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint32]:
    """A bit for each lane, for each warp."""
    packed = np.packbits(matrix, axis=-1, bitorder="little")
    return np.ascontiguousarray(packed).view(np.uint32)[..., 0]


def _collect(build: Builder, mask: Operand) -> Source:
    build.lanes = build.source(mask, "b32")
    return build.lanes


@instruction("shfl")
def shuffle(build: Builder, ins: Instruction) -> None:
    """shfl.sync: each lane takes a register from another (9.7.9.6)."""
    d, a, b, c, mask = ins.operands
    mode = ins.parts[2]
    _collect(build, mask)
    value, adapt = build.source(a, "b32")
    mask_slot = build.source(mask, "b32")[0]
    by, limit = build.source(b, "b32")[0], build.source(c, "b32")[0]
    first, second = (d.first, d.second) if isinstance(d, Pair) else (d, None)
    target, out = build.target(first, "b32")
    valid = build.target(second, "pred")[0] if second is not None else None

    def run(w: Wave, r: list[Any]) -> None:
        values = rows(w, adapt(r[value]) if adapt else r[value])
        if r[by].ndim == 0 and r[limit].ndim == 0:
            amount, bound = r[by], r[limit]
        else:
            amount, bound = rows(w, r[by]), rows(w, r[limit])
        source, inside = sources(mode, amount, bound)
        _check(w, ins, source, inside, r[mask_slot])
        taken = values[:, source] if source.ndim == 1 else np.take_along_axis(values, source, axis=1)
        result = flat(w, taken)
        if valid is not None:
            r[valid] = flat(w, np.broadcast_to(inside, taken.shape))
        r[target] = out(result) if out else result

    build.effect(run)


def sources(mode: str, b: Any, c: Any) -> tuple[Any, Any]:
    """The lane that each lane reads, and whether it lies inside its segment; otherwise it reads itself."""
    segment, clamp = (c >> 8) & 31, c & 31
    by = b & 31
    last = (LANES & segment) | (clamp & ~segment)
    if mode == "up":
        lane = LANES - by
        inside = lane >= last
    elif mode == "down":
        lane = LANES + by
        inside = lane <= last
    elif mode == "bfly":
        lane = LANES ^ by
        inside = lane <= last
    else:
        lane = (LANES & segment) | (by & ~segment)
        inside = lane <= last
    return np.where(inside, lane, LANES), inside


def _check(wave: Wave, ins: Instruction, source: Any, inside: Any, mask: Any) -> None:
    """Reading a lane that doesn't execute the shuffle gives anything."""
    group = wave.group
    if group.whole_warps and mask.ndim == 0 and int(mask) == -1:
        return
    here = present(wave)
    masks = rows(wave, mask).view(np.uint32)
    wide = np.broadcast_to(source, here.shape)
    named = (masks >> wide.astype(np.uint32)) & 1 == 1
    bad = here & ~(np.take_along_axis(here, wide, axis=1) & named)
    if not bad.any():
        return
    which = int(flat(wave, bad).argmax())
    block, thread, block_at, thread_at = wave.machine.whereabouts(wave, which)
    lane = int(flat(wave, wide)[which])
    raise MissingLanes(
        f"thread {thread} of block {block} reads lane {lane} of its warp, which doesn't take part in the "
        f"shuffle (its mask is {int(flat(wave, masks)[which]):#x})",
        file=ins.file, line=ins.line, block=block_at, thread=thread_at,
        advice="All lanes that are read must execute the shuffle, with the same mask: move it out of the branch, or "
        "let the lanes without data bring a neutral value.",
    )  # fmt: skip


@instruction("vote")
def vote(build: Builder, ins: Instruction) -> None:
    """vote.sync: all, any, uni (all alike) or ballot (9.7.13.9)."""
    d, a, mask = ins.operands
    mode, kind = ins.parts[2], ins.parts[3]
    mask_slot = _collect(build, mask)[0]
    slot, negated = build.predicate(a)
    target, out = build.target(d, kind)

    def run(w: Wave, r: list[Any]) -> None:
        here = present(w)
        votes = rows(w, ~r[slot] if negated else r[slot])
        masks = rows(w, r[mask_slot]).view(np.uint32)
        yes, no = to_bits(votes & here)[:, None] & masks, to_bits(~votes & here)[:, None] & masks
        if mode == "ballot":
            result = flat(w, yes.view(np.int32))
        else:
            result = flat(w, {"all": no == 0, "any": yes != 0, "uni": (yes == 0) | (no == 0)}[mode])
        r[target] = out(result) if out else result

    build.effect(run)


@instruction("match")
def match(build: Builder, ins: Instruction) -> None:
    """match.sync: the lanes that hold the same value as this one (9.7.13.10)."""
    d, a, mask = ins.operands
    mode, kind = ins.parts[1], ins.parts[-1]
    mask_slot = _collect(build, mask)[0]
    slot, adapt = build.source(a, kind)
    first, second = (d.first, d.second) if isinstance(d, Pair) else (d, None)
    target = build.target(first, "b32")[0]
    agreed = build.target(second, "pred")[0] if second is not None else None

    def run(w: Wave, r: list[Any]) -> None:
        values = rows(w, adapt(r[slot]) if adapt else r[slot])
        here = to_bits(present(w))[:, None]
        masks = rows(w, r[mask_slot]).view(np.uint32) & here
        same = to_bits(values[:, :, None] == values[:, None, :]) & masks
        if mode == "any":
            r[target] = flat(w, same.view(np.int32))
            return
        all_same = same == masks
        r[target] = flat(w, np.where(all_same, masks, np.uint32(0)).view(np.int32))
        if agreed is not None:
            r[agreed] = flat(w, all_same)

    build.effect(run)


_REDUCTIONS: dict[str, Any] = {
    "add": np.add, "min": np.minimum, "max": np.maximum,
    "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
}  # fmt: skip


@instruction("redux")
def reduce(build: Builder, ins: Instruction) -> None:
    """redux.sync: a sum, minimum, ... over the lanes that the mask names (9.7.13.12)."""
    d, a, mask = ins.operands
    name, kind = ins.parts[2], ins.parts[-1]
    if kind == "f32":
        raise build.unknown("the type .f32")
    function = _REDUCTIONS[name]
    mask_slot = _collect(build, mask)[0]
    slot, adapt = build.source(a, kind)
    target, out = build.target(d, kind)

    def run(w: Wave, r: list[Any]) -> None:
        values = rows(w, adapt(r[slot]) if adapt else r[slot])
        masks = rows(w, r[mask_slot]).view(np.uint32)
        named = (masks[:, :, None] >> np.arange(32, dtype=np.uint32)) & 1 == 1
        named = named & present(w)[:, None, :]
        if name == "min":
            neutral = np.iinfo(values.dtype).max
        elif name == "max":
            neutral = np.iinfo(values.dtype).min
        else:
            neutral = -1 if name == "and" else 0
        spread_out = np.where(named, values[:, None, :], np.array(neutral).astype(values.dtype))
        result = flat(w, function.reduce(spread_out, axis=2, dtype=values.dtype))
        r[target] = out(result) if out else result

    build.effect(run)


@instruction("activemask")
def active_mask(build: Builder, ins: Instruction) -> None:
    target = build.target(ins.operands[0], "b32")[0]

    def run(w: Wave, r: list[Any]) -> None:
        bits = to_bits(present(w)).view(np.int32)
        r[target] = flat(w, np.broadcast_to(bits[:, None], (len(bits), 32)))

    build.effect(run)


@instruction("elect")
def elect(build: Builder, ins: Instruction) -> None:
    """elect.sync: the lowest lane that the mask names is chosen (9.7.13.14)."""
    d, mask = ins.operands
    mask_slot = _collect(build, mask)[0]
    assert isinstance(d, Pair)
    target = None if isinstance(d.first, Symbol) else build.target(d.first, "b32")[0]
    chosen = build.target(d.second, "pred")[0]

    def run(w: Wave, r: list[Any]) -> None:
        masks = rows(w, r[mask_slot]).view(np.uint32) & to_bits(present(w))[:, None]
        leader = np.bitwise_count((masks & (~masks + np.uint32(1))) - np.uint32(1)).astype(np.int32)
        if target is not None:
            r[target] = flat(w, leader)
        r[chosen] = flat(w, leader == LANES)

    build.effect(run)
