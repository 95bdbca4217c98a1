"""Integers side by side in a register: pairs of 16 bits (PTX ISA 9.7.1) and the video instructions (9.7.18).

CUDA's SIMD intrinsics (__vadd2, __vabsdiffu4, ...) are made of these.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from workbench.ptx.builder import Builder, instruction
from workbench.ptx.model import Instruction

_TYPE = re.compile(r"[us]32$")
_FUNCTIONS: dict[str, Any] = {
    "add": np.add,
    "sub": np.subtract,
    "min": np.minimum,
    "max": np.maximum,
    "absdiff": lambda x, y: np.abs(x - y),
    "avrg": lambda x, y: (x + y + (x + y >= 0)) >> 1,  # halves are rounded away from zero
}
_COMPARISONS: dict[str, Any] = {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
}  # fmt: skip


def parts_of(array: Any, dtype: Any) -> Any:
    """32-bit registers as rows of narrower integers, the lowest first; a single value is one row."""
    return np.atleast_1d(array).view(dtype).reshape(-1, 4 // np.dtype(dtype).itemsize)


def pairs(build: Builder, ins: Instruction, kind: str) -> None:
    """add, min and max of .u16x2 and .s16x2; .relu makes negative results 0 (9.7.1.1, 9.7.1.9, 9.7.1.10)."""
    dtype = np.dtype(f"{'i' if kind[0] == 's' else 'u'}2")
    function = _FUNCTIONS[ins.parts[0]]
    relu = "relu" in ins.parts
    d, *operands = ins.operands

    def run(*values: Any) -> Any:
        result = function(*(parts_of(value, dtype) for value in values))
        result = np.maximum(result, 0) if relu else result
        whole = np.ascontiguousarray(result).view(np.int32).reshape(-1)
        return whole if any(value.ndim for value in values) else whole[0]

    build.compute(run, build.target(d, "b32"), *(build.source(item, "b32") for item in operands))


@instruction(*(f"v{name}{count}" for name in (*_FUNCTIONS, "set") for count in (2, 4)))
def video(build: Builder, ins: Instruction) -> None:
    """Two or four at once, in order; .sat clamps to the results' range, .add sums them up and adds c (9.7.18)."""
    name, count = ins.parts[0][1:-1], int(ins.parts[0][-1])
    kinds = [part for part in ins.parts if _TYPE.match(part)]
    result_kind = kinds[0] if len(kinds) == 3 else "u32"
    left, right = (np.dtype(f"{'i' if kind[0] == 's' else 'u'}{4 // count}") for kind in kinds[-2:])
    made = np.dtype(f"{'i' if result_kind[0] == 's' else 'u'}{4 // count}")
    function = _FUNCTIONS.get(name) or _COMPARISONS[ins.parts[-1 if "add" not in ins.parts else -2]]
    d, a, b, c = ins.operands
    sums, clamps = "add" in ins.parts[1:], "sat" in ins.parts
    limits = np.iinfo(made)

    def run(x: Any, y: Any, z: Any) -> Any:
        found = function(parts_of(x, left).astype(np.int64), parts_of(y, right).astype(np.int64)).astype(
            np.int64
        )
        if clamps:
            found = np.clip(found, limits.min, limits.max)
        whole = found.sum(axis=1) + z if sums else found.astype(made).view(np.int32).reshape(-1)
        whole = whole.astype(np.int32)
        return whole if x.ndim or y.ndim or (sums and z.ndim) else whole[0]

    build.compute(run, build.target(d, "b32"), *(build.source(item, "b32") for item in (a, b, c)))
