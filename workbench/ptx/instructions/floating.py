"""Floating-point arithmetic in 32 and 64 bits (PTX ISA 9.7.3). Halves have a file of their own.

Where PTX promises a correctly rounded result, this is it, to the bit. The .approx functions, whose last bits differ
from one GPU to the next, are the correctly rounded value of the true result here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.ptx.builder import Builder, instruction
from workbench.ptx.instructions.rounding import (
    directed,
    directed_sum,
    directed_wide,
    fused,
    fused_wide,
    two_product,
    zero_down,
)
from workbench.ptx.kinds import DTYPES
from workbench.ptx.model import Instruction

F32, F64 = np.float32, np.float64
_SMALLEST = np.array(np.finfo(F32).tiny, F32)


def flush(x: Any) -> Any:
    """.ftz: subnormal numbers become zeros with their sign."""
    small = np.abs(x) < _SMALLEST
    return np.where(small, np.copysign(F32(0), x), x) if small.any() else x


def saturate(x: Any) -> Any:
    """.sat: into [0, 1]; NaN becomes 0."""
    return np.where(np.isnan(x), x.dtype.type(0), np.clip(x, x.dtype.type(0), x.dtype.type(1)))


def shaped(function: Any, parts: list[str]) -> Any:
    """A function with the .ftz and .sat that its instruction asks for."""
    ftz, sat = "ftz" in parts and parts[-1] != "f64", "sat" in parts
    if not ftz and not sat:
        return function

    def run(*values: Any) -> Any:
        result = function(*(flush(value) for value in values)) if ftz else function(*values)
        if ftz:
            result = flush(result)
        return saturate(result) if sat else result

    return run


def _mode(parts: list[str]) -> str:
    return next((part for part in parts if part in ("rz", "rm", "rp")), "rn")


def _wide(x: Any) -> Any:
    return x.astype(F64)


def _directed_wide(nearest: Any, beyond: Any, mode: str) -> Any:
    return lambda *values: directed_wide(nearest(*values), beyond, mode, *values)


def _add(mode: str, kind: str) -> Any:
    if mode == "rn":
        return np.add
    if kind == "f64":
        nearest = lambda x, y: zero_down(np.add(x, y), x, y, mode)  # noqa: E731
        return _directed_wide(nearest, lambda found, x, y: found - (x + y), mode)
    return lambda x, y: directed_sum(_wide(x), _wide(y), mode)


def _sub(mode: str, kind: str) -> Any:
    if mode == "rn":
        return np.subtract
    if kind == "f64":
        nearest = lambda x, y: zero_down(np.subtract(x, y), x, -y, mode)  # noqa: E731
        return _directed_wide(nearest, lambda found, x, y: found - (x - y), mode)
    return lambda x, y: directed_sum(_wide(x), -_wide(y), mode)


def _mul(mode: str, kind: str) -> Any:
    if mode == "rn":
        return np.multiply
    if kind == "f64":
        return _directed_wide(np.multiply, lambda found, x, y: found - x * y, mode)
    return lambda x, y: directed(_wide(x) * _wide(y), 0.0, mode)


def _fma(mode: str, kind: str) -> Any:
    if kind == "f64":
        if mode != "rn":
            return _directed_wide(fused_wide, lambda found, x, y, z: found - (x * y + z), mode)
        return fused_wide
    if mode == "rn":
        return fused
    return lambda x, y, z: directed_sum(_wide(x) * _wide(y), _wide(z), mode)


def _div(mode: str, kind: str) -> Any:
    if mode == "rn":
        return np.divide
    if kind == "f64":  # compared after multiplying by the divisor; infinite where that is 0
        beyond = lambda found, x, y: (found * y - x) * (1 if y > 0 else -1) if y else 0  # noqa: E731
        return _directed_wide(np.divide, beyond, mode)

    def run(x: Any, y: Any) -> Any:
        quotient = _wide(x) / _wide(y)
        product, error = two_product(quotient, _wide(y))
        left = ((_wide(x) - product) - error) * np.sign(_wide(y))  # the sign of what the quotient lacks
        return directed(quotient, np.where(np.isfinite(left), left, 0.0), mode)

    return run


def _root(mode: str, kind: str) -> Any:
    if mode == "rn":
        return np.sqrt
    if kind == "f64":
        return _directed_wide(np.sqrt, lambda found, x: found * found - x, mode)

    def run(x: Any) -> Any:
        root = np.sqrt(_wide(x))
        product, error = two_product(root, root)
        left = (_wide(x) - product) - error
        return directed(root, np.where(np.isfinite(left), left, 0.0), mode)

    return run


def smaller(x: Any, y: Any) -> Any:
    """min: a number wins over NaN, and -0 over +0."""
    return _zero_signs(np.fmin(x, y), x, y, np.logical_or)


def larger(x: Any, y: Any) -> Any:
    return _zero_signs(np.fmax(x, y), x, y, np.logical_and)


def _zero_signs(result: Any, x: Any, y: Any, combine: Any) -> Any:
    if result.all():
        return result
    both = (x == 0) & (y == 0)
    zero = np.where(combine(np.signbit(x), np.signbit(y)), result.dtype.type(-0.0), result.dtype.type(0.0))
    return np.where(both, zero, result)


def _extreme(function: Any, strict: Any) -> Any:
    def make(parts: list[str]) -> Any:
        chosen = strict if "NaN" in parts else function
        if "xorsign" in parts:
            return lambda x, y: np.copysign(
                chosen(np.abs(x), np.abs(y)), np.where(np.signbit(x) ^ np.signbit(y), F32(-1), F32(1))
            )
        return chosen

    return make


_TWO = {"add": _add, "sub": _sub, "mul": _mul, "div": _div}
_EXTREME = {"min": _extreme(smaller, np.minimum), "max": _extreme(larger, np.maximum)}


def arithmetic(build: Builder, ins: Instruction, kind: str) -> None:
    """add, sub, mul, fma, mad, div, min, max, abs and neg of .f32 and .f64."""
    if kind == "f32x2":
        return _pairs(build, ins)
    if kind not in ("f32", "f64"):
        raise build.unknown(f"the type .{kind}")
    name, parts = ins.parts[0], ins.parts
    d, *sources = ins.operands
    if name in ("fma", "mad"):
        function = _fma(_mode(parts), kind)
    elif name in _TWO:
        function = _TWO[name](_mode(parts), kind)
    elif name in _EXTREME:
        function = _EXTREME[name](parts)
        if len(sources) == 3:
            two = function
            function = lambda x, y, z: two(two(x, y), z)  # noqa: E731
    else:
        function = {"abs": np.abs, "neg": np.negative}[name]
    build.compute(
        shaped(function, parts), build.target(d, kind), *(build.source(item, kind) for item in sources)
    )


def _pairs(build: Builder, ins: Instruction) -> None:
    """Two float32 operations in a 64-bit register (sm_100 and later)."""
    name, mode = ins.parts[0], _mode(ins.parts)
    function = shaped(_fma(mode, "f32") if name == "fma" else _TWO[name](mode, "f32"), ins.parts)

    def run(*values: Any) -> Any:
        apart = [np.atleast_1d(value).view(F32).reshape(-1, 2) for value in values]
        together = np.ascontiguousarray(function(*apart)).view(np.int64).reshape(-1)
        return together if any(value.ndim for value in values) else together[0]

    build.compute(
        run, build.target(ins.operands[0], "b64"), *(build.source(item, "b64") for item in ins.operands[1:])
    )


def _unary(name: str, kind: str, mode: str) -> Any:
    if name == "rcp":
        divide = _div(mode, kind)
        one = np.array(1, DTYPES[kind])
        return lambda x: divide(one, x)
    if name == "sqrt":
        return _root(mode, kind)
    exact: Any = {
        "rsqrt": lambda x: 1.0 / np.sqrt(x), "sin": np.sin, "cos": np.cos, "tanh": np.tanh,
        "ex2": np.exp2, "lg2": np.log2,
    }[name]  # fmt: skip
    if kind == "f64":
        return exact
    return lambda x: exact(x.astype(F64)).astype(F32)


@instruction("rcp", "sqrt", "rsqrt", "sin", "cos", "tanh", "ex2", "lg2")
def unary(build: Builder, ins: Instruction) -> None:
    d, a = ins.operands
    kind = ins.parts[-1]
    name = ins.parts[0]
    if kind in ("f16", "f16x2", "bf16", "bf16x2"):
        from workbench.ptx.instructions import halves

        return halves.unary(build, ins, _unary(name, "f32", "rn"))
    function = shaped(_unary(name, kind, _mode(ins.parts)), ins.parts)
    build.compute(function, build.target(d, kind), build.source(a, kind))


@instruction("copysign")
def copy_sign(build: Builder, ins: Instruction) -> None:
    """copysign d, a, b: b with the sign of a (9.7.3.2)."""
    d, a, b = ins.operands
    kind = ins.parts[-1]
    build.compute(
        lambda x, y: np.copysign(y, x), build.target(d, kind), build.source(a, kind), build.source(b, kind)
    )


@instruction("testp")
def test_property(build: Builder, ins: Instruction) -> None:
    d, a = ins.operands
    kind = ins.parts[-1]
    tiny = np.finfo(DTYPES[kind]).tiny
    function = {
        "finite": np.isfinite, "infinite": np.isinf, "number": lambda x: ~np.isnan(x), "notanumber": np.isnan,
        "normal": lambda x: np.isfinite(x) & (np.abs(x) >= tiny),
        "subnormal": lambda x: (x != 0) & (np.abs(x) < tiny),
    }[ins.parts[1]]  # fmt: skip
    build.compute(function, build.target(d, "pred"), build.source(a, kind))
