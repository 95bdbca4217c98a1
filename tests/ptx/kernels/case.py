"""A launch of a kernel, with what it must compute, and the values that go in.

Arrays of bfloat16 are held as uint16, as NumPy has no such type. Outputs start out poisoned.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from workbench import ptx
from workbench.cuda.compiler import compile_file
from workbench.cuda.signature import parameters

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent
BASICS = ROOT / "cuda_basics"

Array = np.ndarray
Arguments = list[Any]  # NumPy arrays and scalars
Expected = Mapping[int, Array]  # what the argument of this number must hold afterwards


@dataclass(frozen=True)
class Case:
    name: str
    path: Path
    kernel: str
    grid: int | tuple[int, ...]
    block: int | tuple[int, ...]
    make: Callable[[np.random.Generator], Arguments]
    expected: Callable[[Arguments], Expected]
    tolerance: float = 0.0  # of |got - expected| / (1 + |expected|); 0: the same values exactly
    defines: Mapping[str, object] = field(default_factory=dict)
    shared_memory: int = 0
    printed: Callable[[Arguments], str] | None = None
    unordered: tuple[int, ...] = ()  # arguments whose elements may come in any order

    def arguments(self) -> Arguments:
        """Fresh arguments, the same each time."""
        return self.make(np.random.default_rng(zlib.crc32(self.name.encode())))


@lru_cache(maxsize=128)
def _module(path: Path, stamp: int, kernel: str, defines: tuple[tuple[str, object], ...]) -> Any:
    module = ptx.parse(compile_file(path, dict(defines), "compute_90").ptx)
    return module, [parameter.name for parameter in parameters(path, module.kernels[kernel], dict(defines))]


def compiled(case: Case, path: Path | None = None) -> tuple[ptx.Module, list[str]]:
    """The case's module and the names of the kernel's parameters. path: this file instead of the case's own."""
    path = path or case.path
    return _module(path, path.stat().st_mtime_ns, case.kernel, tuple(sorted(case.defines.items())))


def launch(case: Case, arguments: Arguments, *, path: Path | None = None, **options: Any) -> ptx.Report:
    """Run a case in the PTX machine on these arguments."""
    module, names = compiled(case, path)
    return ptx.launch(
        module,
        case.kernel,
        case.grid,
        case.block,
        arguments,
        shared_memory=case.shared_memory,
        names=names,
        uninitialised=[name for name, value in zip(names, arguments, strict=True) if is_poisoned(value)],
        **options,
    )


def difference(case: Case, before: Arguments, after: Sequence[Any], printed: str | None = None) -> str:
    """What is wrong with a launch's results; nothing if they are right. before: the arguments as they were."""
    for place, wanted in case.expected(before).items():
        got = np.sort(after[place]) if place in case.unordered else after[place]
        problem = unequal(got, wanted, case.tolerance)
        if problem:
            return f"argument {place + 1} {problem}"
    if case.printed and printed is not None and printed != case.printed(before):
        return f"it printed {printed!r} instead of {case.printed(before)!r}"
    return ""


def unequal(got: Array, wanted: Array, tolerance: float) -> str:
    """Where two arrays differ by more than the tolerance, in words. Arrays of uint16 are bfloat16."""
    if got.dtype == np.uint16:
        got, wanted = from_bfloat16(got), from_bfloat16(wanted)
    got, wanted = got.reshape(-1), np.asarray(wanted).reshape(-1)
    if got.dtype.kind != "f":
        wrong = got != wanted
    else:
        with np.errstate(invalid="ignore"):
            error = np.abs(got.astype(np.float64) - wanted)
            wrong = ~(
                (error <= tolerance * (1 + np.abs(wanted)))
                | (got == wanted)
                | (np.isnan(got) & np.isnan(wanted))
            )
    if not wrong.any():
        return ""
    first = int(wrong.argmax())
    share = f"{int(wrong.sum())} of {wrong.size} elements"
    return f"differs in {share}; element {first} is {got[first]}, not {wanted[first]}"


# Values


def poisoned(shape: int | tuple[int, ...], dtype: Any = np.float32) -> Array:
    """An output before the launch: NaN, or numbers that nobody computes."""
    if np.dtype(dtype).kind == "f":
        return np.full(shape, np.nan, dtype)
    return np.full(shape, {1: 0x5A, 2: 0x7F7F}.get(np.dtype(dtype).itemsize, 0x5A5A5A5A), dtype)


def is_poisoned(value: Any) -> bool:
    """Whether an argument is an array that still holds nothing."""
    if not isinstance(value, np.ndarray) or not value.size:
        return False
    return bool(
        np.isnan(value).all() if value.dtype.kind == "f" else (value == poisoned(1, value.dtype)).all()
    )


def floats(generator: np.random.Generator, *shape: int) -> Array:
    """Numbers with a mean, so that a term too few or too many shows."""
    return generator.standard_normal(shape, dtype=np.float32) + np.float32(0.5)


def from_bfloat16(bits: Array) -> Array:
    return (bits.astype(np.uint32) << 16).view(np.float32)


def to_bfloat16(values: Array) -> Array:
    """The nearest bfloat16, ties to even, of normal numbers."""
    mantissa, exponent = np.frexp(np.asarray(values, np.float64))
    rounded = np.ldexp(np.rint(mantissa * 256), exponent - 8).astype(np.float32)
    return (rounded.view(np.uint32) >> 16).astype(np.uint16)


def in_blocks(values: Array, size: int) -> Array:
    """A vector cut into rows of `size`, filled up with zeros."""
    rows = -(-len(values) // size)
    return np.pad(values, (0, rows * size - len(values))).reshape(rows, size)


def in_warps(values: Array) -> Array:
    return in_blocks(values, 32)
