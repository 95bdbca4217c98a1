"""Kernels that the PTX machine must run: how each is launched, and what it computes, in NumPy.

A `Case` is one launch. Arrays of bfloat16 are held as uint16, as NumPy has no such type. Outputs start out poisoned.
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
    module = ptx.parse(compile_file(path, dict(defines)).ptx)
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


# Vectors


def adding(n: int, dtype: Any = np.float32) -> tuple[Any, Any]:
    def make(g: np.random.Generator) -> Arguments:
        return [floats(g, n).astype(dtype), floats(g, n).astype(dtype), poisoned(n, dtype), np.int32(n)]

    return make, lambda a: {2: a[0] + a[1]}


def basics(name: str, file: str, kernel: str, n: int, threads: int, dtype: Any = np.float32) -> Case:
    """A kernel of lesson 2, with blocks of 64 threads."""
    scalar = {np.float32: "float", np.float16: "__half"}[dtype]
    make, expected = adding(n, dtype)
    return Case(
        name,
        BASICS / "vector_add" / file,
        kernel,
        -(-threads // 64),
        64,
        make,
        expected,
        defines={"SCALAR": scalar},
    )


def coordinates() -> Case:
    rows, columns = 37, 50

    def expected(a: Arguments) -> Expected:
        return {0: 10000 * np.arange(rows)[:, None] + np.arange(columns)}

    make = lambda g: [poisoned((rows, columns), np.int32), np.int32(rows), np.int32(columns)]  # noqa: E731
    return Case(
        "coordinates", BASICS / "hello/coordinates.cu", "coordinates", (4, 5), (16, 8), make, expected
    )


def who_am_i() -> Case:
    n, block = 150, 48

    def expected(a: Arguments) -> Expected:
        i = np.arange(n)
        return {0: i // block, 1: i % block, 2: i % block // 32, 3: i % block % 32}

    make = lambda g: [*(poisoned(n, np.int32) for _ in range(4)), np.int32(n)]  # noqa: E731
    return Case("who_am_i", BASICS / "hello/who_am_i.cu", "who_am_i", 4, block, make, expected)


def hello() -> Case:
    lines = "".join(
        f"hello from thread {thread} of block {block}\n" for block in range(3) for thread in range(5)
    )
    return Case(
        "hello", BASICS / "hello/hello.cu", "hello", 3, 5, lambda g: [], lambda a: {}, printed=lambda a: lines
    )


def saxpy(n: int = 1001, blocks: int = 3) -> Case:
    name = "saxpy" if blocks == 3 else "saxpy, many blocks"

    def expected(a: Arguments) -> Expected:
        return {1: a[2] * a[0].astype(np.float64) + a[1]}

    make = lambda g: [floats(g, n), floats(g, n), np.float32(1.7), np.int32(n)]  # noqa: E731
    return Case(name, HERE / "saxpy.cu", "saxpy", blocks, 64, make, expected, 1e-6)


def stencil() -> Case:
    n, radius = 333, 3

    def expected(a: Arguments) -> Expected:
        return {1: np.convolve(a[0], np.ones(2 * radius + 1, np.int32))[radius : radius + n]}

    make = lambda g: [g.integers(-99, 99, n, np.int32), poisoned(n, np.int32), np.int32(n)]  # noqa: E731
    return Case("stencil", HERE / "stencil.cu", "stencil", 6, 64, make, expected)


def transpose(padding: int) -> Case:
    rows, columns = 45, 70
    make = lambda g: [floats(g, rows, columns), poisoned((columns, rows)), np.int32(rows), np.int32(columns)]  # noqa: E731
    return Case(
        f"transpose, padding {padding}",
        HERE / "transpose.cu",
        "transpose",
        (3, 2),
        (32, 8),
        make,
        lambda a: {1: a[0].T},
        defines={"PADDING": padding},
    )


def turn_round() -> Case:
    n, block = 150, 64

    def expected(a: Arguments) -> Expected:
        return {1: np.concatenate([a[0][first : first + block][::-1] for first in range(0, n, block)])}

    make = lambda g: [floats(g, n), poisoned(n), np.int32(n)]  # noqa: E731
    return Case(
        "turn_round",
        HERE / "dynamic_shared.cu",
        "turn_round",
        3,
        block,
        make,
        expected,
        shared_memory=4 * block,
    )


def volume() -> Case:
    width, height, depth = 21, 10, 5

    def expected(a: Arguments) -> Expected:
        z, y, x = np.mgrid[:depth, :height, :width]
        return {0: 10000 * z + 100 * y + x}

    make = lambda g: [poisoned((depth, height, width), np.int32), *map(np.int32, (width, height, depth))]  # noqa: E731
    return Case("volume", HERE / "volume.cu", "volume", (3, 3, 3), (8, 4, 2), make, expected)


# Matrices


def matmul(
    name: str,
    file: str,
    kernel: str,
    sizes: tuple[int, int, int],
    tile: tuple[int, int],
    block: int | tuple[int, int],
    kind: str = "float",
    defines: Mapping[str, object] | None = None,
) -> Case:
    """C = A B of (rows, inner) by (inner, columns); tile: the rows and columns that a block computes."""
    rows, columns, inner = sizes

    def make(g: np.random.Generator) -> Arguments:
        a, b = floats(g, rows, inner), floats(g, inner, columns)
        if kind != "float":
            convert = to_bfloat16 if kind == "__nv_bfloat16" else lambda values: values.astype(np.float16)
            a, b = convert(a), convert(b)
        return [a, b, poisoned((rows, columns)), np.int32(rows), np.int32(columns), np.int32(inner)]

    def expected(a: Arguments) -> Expected:
        left, right = (from_bfloat16(m) if m.dtype == np.uint16 else m for m in a[:2])
        return {2: left.astype(np.float64) @ right.astype(np.float64)}

    grid = (-(-columns // tile[1]), -(-rows // tile[0]))
    return Case(name, HERE / file, kernel, grid, block, make, expected, 2e-5, defines or {})


# Sums


def reduction(kernel: str, n: int = 500) -> Case:
    blocks = -(-n // 128)

    def make(g: np.random.Generator) -> Arguments:
        x = floats(g, n)
        if kernel == "reduce_atomic":
            return [x, np.zeros(1, np.float32), np.int32(n)]
        if kernel == "reduce_two_stages":
            return [x, poisoned(blocks), poisoned(1), np.zeros(1, np.uint32), np.int32(n)]
        return [x, poisoned(blocks), np.int32(n)]

    def expected(a: Arguments) -> Expected:
        sums = in_blocks(a[0].astype(np.float64), 128).sum(1)
        if kernel == "reduce_atomic":
            return {1: sums.sum()}
        if kernel == "reduce_two_stages":
            return {1: sums, 2: sums.sum(), 3: np.uint32(blocks)}
        return {1: sums}

    return Case(kernel, HERE / "reduce.cu", kernel, blocks, 128, make, expected, 1e-5)


def softmax() -> Case:
    rows, columns = 7, 150

    def expected(a: Arguments) -> Expected:
        weights = np.exp(a[0] - a[0].max(1, keepdims=True, initial=-np.inf).astype(np.float64))
        return {1: weights / weights.sum(1, keepdims=True)}

    make = lambda g: [3 * floats(g, rows, columns), poisoned((rows, columns)), np.int32(columns)]  # noqa: E731
    return Case("softmax", HERE / "softmax.cu", "softmax", rows, 64, make, expected, 1e-6)


def histogram() -> Case:
    n, bins = 3001, 48

    def make(g: np.random.Generator) -> Arguments:
        x = np.minimum(g.integers(0, bins, n), g.integers(0, bins, n)).astype(np.uint8)
        return [x, np.arange(bins, dtype=np.int32), np.int32(n)]

    def expected(a: Arguments) -> Expected:
        return {1: a[1] + np.bincount(a[0], minlength=bins)}

    return Case("histogram", HERE / "histogram.cu", "histogram", 4, 128, make, expected)


def scan(kernel: str) -> Case:
    n = 500

    def expected(a: Arguments) -> Expected:
        return {1: np.cumsum(in_blocks(a[0], 128), 1).reshape(-1)[:n]}

    make = lambda g: [g.integers(-99, 99, n, np.int32), poisoned(n, np.int32), np.int32(n)]  # noqa: E731
    return Case(kernel, HERE / "scan.cu", kernel, 4, 128, make, expected)


def chained_scan() -> Case:
    n, blocks = 600, 10

    def make(g: np.random.Generator) -> Arguments:
        x = g.integers(-99, 99, n, np.int32)
        return [x, poisoned(n, np.int32), poisoned(blocks, np.int32), np.zeros(blocks, np.int32), np.int32(n)]

    return Case(
        "chained_scan",
        HERE / "chained_scan.cu",
        "chained_scan",
        blocks,
        64,
        make,
        lambda a: {1: np.cumsum(a[0])},
    )


def atomics() -> Case:
    n = 300

    def make(g: np.random.Generator) -> Arguments:
        results = np.array([0, 0, 2**30, 0, 0, 1, 0, 0], np.int32)
        return [g.integers(1, 2**20, n, np.int32), results, np.zeros(1), np.int32(n)]

    def expected(a: Arguments) -> Expected:
        x = a[0]
        product = 1
        for factor in x.tolist():
            product = product * (factor % 1008 + 1) % 1009
        both = [np.bitwise_or.reduce(x), np.bitwise_xor.reduce(x)]
        return {1: np.array([x.sum(), x.max(), x.min(), *both, product, n, n - 1]), 2: 0.5 * x.sum()}

    return Case("atomics", HERE / "atomics.cu", "atomics", 5, 64, make, expected)


def sum_of_groups() -> Case:
    make = lambda g: [floats(g, 1000), poisoned(1), np.int32(1000)]  # noqa: E731
    total = lambda a: {1: a[0].sum(dtype=np.float64)}  # noqa: E731
    return Case("sum_of_groups", HERE / "cooperative.cu", "sum_of_groups", 1, 96, make, total, 1e-5)


def collect_positive() -> Case:
    n = 500
    make = lambda g: [floats(g, n), poisoned(n), np.zeros(1, np.int32), np.int32(n)]  # noqa: E731
    return Case(
        "collect_positive",
        HERE / "cooperative.cu",
        "collect_positive",
        4,
        128,
        make,
        lambda a: {1: np.sort(np.where(a[0] > 0, a[0], np.nan)), 2: np.count_nonzero(a[0] > 0)},
        unordered=(1,),
    )


def with_lock() -> Case:
    n = 500

    def make(g: np.random.Generator) -> Arguments:
        start = [np.full(1, 7, np.int32), np.full(1, -(2**30), np.int32), np.zeros(1, np.int32)]
        return [g.integers(-99, 99, n, np.int32), *start, np.int32(n)]

    def expected(a: Arguments) -> Expected:
        sums = in_blocks(a[0], 64).sum(1)
        return {1: a[1] + sums.sum(), 2: sums.max(), 3: np.zeros(1)}

    return Case("with_lock", HERE / "lock.cu", "with_lock", 8, 64, make, expected)


def bitonic_sort() -> Case:
    make = lambda g: [g.integers(-999, 999, 3 * 128, np.int32)]  # noqa: E731
    result = lambda a: {0: np.sort(a[0].reshape(3, 128), 1)}  # noqa: E731
    return Case("bitonic_sort", HERE / "bitonic.cu", "bitonic_sort", 3, 128, make, result)


# Shared memory


def shared_types() -> Case:
    def expected(a: Arguments) -> Expected:
        halves = a[0].astype(np.float16).astype(np.float64).reshape(-1, 2)
        mirrored = a[0].reshape(3, 64)[:, ::-1].reshape(-1)
        return {1: np.repeat(halves.sum(1), 2) + 2 * mirrored}

    make = lambda g: [floats(g, 192), poisoned(192)]  # noqa: E731
    path = HERE / "shared_types.cu"
    return Case("shared_types", path, "shared_types", 3, 64, make, expected, 1e-6, shared_memory=64 * 6)


def shared_flags() -> Case:
    def expected(a: Arguments) -> Expected:
        first = a[0][:64]
        return {1: a[0].view(np.uint32) + (first > a[2]).any() + np.isin(np.arange(64), first % 64)}

    make = lambda g: [g.integers(0, 200, 256).astype(np.uint8), poisoned(64, np.uint32), np.int32(150)]  # noqa: E731
    return Case("shared_flags", HERE / "shared_types.cu", "shared_flags", 1, 64, make, expected)


def one_barrier() -> Case:
    make = lambda g: [g.integers(-99, 99, 7 * 64, np.int32), poisoned(64, np.int32), np.int32(7)]  # noqa: E731
    result = lambda a: {1: a[0].reshape(7, 64)[:, ::-1].sum(0)}  # noqa: E731
    return Case("one_barrier", HERE / "shared_types.cu", "one_barrier", 1, 64, make, result)


# Attention


def attention(q: Array, k: Array, v: Array, causal: bool) -> tuple[Array, Array]:
    """Outputs and log-sum-exp of (heads, n, d), in float64."""
    q, k, v = (x.astype(np.float64) for x in (q, k, v))
    scores = q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1])
    if causal:
        scores[:, np.triu(np.ones(scores.shape[1:], bool), 1)] = -np.inf
    largest = scores.max(2, keepdims=True)
    weights = np.exp(scores - largest)
    sums = weights.sum(2, keepdims=True)
    return weights / sums @ v, (largest + np.log(sums))[..., 0]


def flash(version: str, heads: int, n: int, causal: bool, threads: int = 128) -> Case:
    """version: v1, v2, or v2_rows, which has one block and one head."""
    shape = (heads, n, 64)

    def make(g: np.random.Generator) -> Arguments:
        q, k, v = (floats(g, *shape) for _ in range(3))
        scalars = [np.int32(n), np.float32(64**-0.5), np.int32(causal)]
        if version == "v1":
            o, l, m = np.zeros(shape, np.float32), np.zeros((heads, n)), np.full((heads, n), -np.inf)
            return [q, k, v, o, l.astype(np.float32), m.astype(np.float32), *scalars]
        return [q, k, v, poisoned(shape), poisoned((heads, n)), *scalars]

    def expected(a: Arguments) -> Expected:
        o, lse = attention(*a[:3], causal)
        return {3: o} if version == "v1" else {3: o, 4: lse}

    name = f"flash_{version}, {heads} heads of {n}{', causal' if causal else ''}"
    grid: int | tuple[int, ...] = {"v1": heads, "v2": (-(-n // 32), heads), "v2_rows": 1}[version]
    kernel = f"flash_{version}"
    defines = {"THREADS": threads} if version == "v2_rows" else {}
    return Case(name, HERE / f"{kernel}.cu", kernel, grid, threads, make, expected, 2e-5, defines)


def flash_mma(
    heads: int, n: int, d: int, rows: int, keys: int, causal: bool = False, swizzle: int = 1
) -> Case:
    """On tensor cores, with tiles of rows x keys."""
    shape = (heads, n, d)

    def make(g: np.random.Generator) -> Arguments:
        q, k, v = (to_bfloat16(floats(g, *shape)) for _ in range(3))
        scalars = [np.int32(n), np.float32(d**-0.5), np.int32(causal)]
        return [q, k, v, poisoned(shape, np.uint16), poisoned((heads, n)), *scalars]

    def expected(a: Arguments) -> Expected:
        o, lse = attention(*(from_bfloat16(x) for x in a[:3]), causal)
        return {3: to_bfloat16(o.astype(np.float32)), 4: lse}

    words = "causal, " * causal + "not swizzled, " * (not swizzle)
    defines = {"D": d, "ROWS": rows, "KEYS": keys, "SWIZZLE": swizzle}
    memory = 2 * d * (rows + 4 * keys)
    return Case(
        f"flash_mma, {words}{heads} heads of {n} x {d}, tiles of {rows} x {keys}", HERE / "flash_mma.cu", "flash_mma",
        (-(-n // rows), heads), 128, make, expected, 1e-2, defines, memory,
    )  # fmt: skip


def matrices(count: int, stride: int, transposed: bool = False, copy: int = 16) -> Case:
    """ldmatrix of so many matrices whose rows lie `stride` bytes apart, copied there by `copy` bytes at a time."""
    warps = 4

    def make(g: np.random.Generator) -> Arguments:
        return [g.integers(0, 2**15, (warps, 4, 8, 8)).astype(np.int16), np.zeros((warps, 4, 32), np.int32)]

    def expected(a: Arguments) -> Expected:
        found = np.zeros((warps, 4, 32), np.int32)
        used = a[0].swapaxes(2, 3) if transposed else a[0]
        found[:, :count] = np.ascontiguousarray(used).view(np.int32).reshape(warps, 4, 32)[:, :count]
        return {1: found}

    name = f"matrices, {count}{' transposed' * transposed}, rows {stride} bytes apart, {copy} at a time"
    defines = {"COUNT": count, "STRIDE": stride, "TRANS": '".trans"' if transposed else '""', "COPY": copy}
    memory = warps * 32 * stride
    return Case(
        name, HERE / "matrices.cu", "matrices", 1, 32 * warps, make, expected, 0.0, defines, memory
    )  # fmt: skip


# Arithmetic


def halves(kernel: str) -> Case:
    n = 130
    bfloat, packed = "bfloat" in kernel, "2" in kernel
    read = from_bfloat16 if bfloat else lambda values: values
    write = to_bfloat16 if bfloat else lambda values: values.astype(np.float16)
    rows = {(False, False): 9, (False, True): 6, (True, False): 6, (True, True): 4}[bfloat, packed]

    def make(g: np.random.Generator) -> Arguments:
        x, y = (write(3 * floats(g, n)) for _ in range(2))
        return [x, y, poisoned((rows, n), x.dtype), np.int32(n)]

    def expected(arguments: Arguments) -> Expected:
        a, b = (read(x).astype(np.float64) for x in arguments[:2])
        third, scaled = np.float32(a) / np.float32(3), np.float32(a)
        scaled = np.where(np.arange(n) % 2, scaled * np.float32(0.1), scaled * np.float32(1.5))
        if not packed:
            results = [
                a + b,
                a - b,
                a * b,
                a * b + a,
                np.maximum(a, b),
                -a,
                np.where(a < b, a, b),
                third,
                np.trunc(a),
            ]
            results = [*results[:5], third] if bfloat else results
        else:
            swapped = a.reshape(-1, 2)[:, ::-1].reshape(-1)
            results = [a + b, a * b, a * b + b, np.minimum(a, b), swapped, scaled]
            results = [*results[:3], scaled] if bfloat else results
        return {2: np.stack([write(row) for row in results])}

    threads = n // 2 if packed else n
    return Case(kernel, HERE / "halves.cu", kernel, -(-threads // 64), 64, make, expected)


def integers() -> Case:
    n = 100

    def make(g: np.random.Generator) -> Arguments:
        x, y = (g.integers(-(2**63), 2**63 - 1, n, np.int64) >> g.integers(0, 60, n) for _ in range(2))
        return [x, np.where(y == 0, 7, y), poisoned((21, n), np.int64), np.int32(n)]

    def expected(a: Arguments) -> Expected:
        return {
            2: np.array(
                [
                    integer_results(x, y, i)
                    for i, (x, y) in enumerate(zip(*map(np.ndarray.tolist, a[:2]), strict=True))
                ]
            ).T
        }

    return Case("integers", HERE / "integers.cu", "integers", 2, 64, make, expected)


def wrapped(value: int, bits: int = 64) -> int:
    """As a two's complement number of so many bits."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def integer_results(a: int, b: int, i: int) -> list[int]:
    """Each row of integers.cu, with Python's unbounded integers."""
    quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    u, low_a, low_b = a % 2**64, a % 2**32, b % 2**32
    small_a, small_b = wrapped(a, 32), wrapped(b, 32)
    rest = [abs(x) % 1000 * (1 if x >= 0 else -1) for x in (small_a, small_b)]
    bytes_of = [(low_a >> 8 * k) % 256 for k in range(4)] + [(low_b >> 8 * k) % 256 for k in range(4)]
    dot = sum(wrapped(x, 8) * wrapped(y, 8) for x, y in zip(bytes_of[:4], bytes_of[4:], strict=True))
    permuted = sum(bytes_of[choice] << 8 * k for k, choice in enumerate((7, 1, 5, 2)))
    results = [
        *(a + b, a * b, quotient, a - quotient * b, a * b >> 64, a >> i % 64, u >> i % 64, a << i % 64),
        *(u.bit_count(), 64 - u.bit_length(), (u & -u).bit_length(), int(f"{u:064b}"[::-1], 2)),
        *(small_a * small_b >> 32, wrapped(small_a * small_b, 32), low_a // (low_b | 1)),
        *(((low_b << 32 | low_a) << i % 32) >> 32 & 0xFFFFFFFF, permuted, max(a, b) - min(small_a, small_b)),
        *((abs(rest[0] - rest[1]) + 7), wrapped(dot + 5, 32), wrapped(a, 8) * wrapped(b, 16)),
    ]
    return [wrapped(result) for result in results]


def doubles() -> Case:
    n = 100

    def make(g: np.random.Generator) -> Arguments:
        return [
            100 * g.standard_normal(n),
            np.exp(g.standard_normal(n)),
            poisoned((10, n), np.float64),
            np.int32(n),
        ]

    def expected(arguments: Arguments) -> Expected:
        a, b = arguments[:2]
        exact = [
            np.longdouble(x) * np.longdouble(y) - np.longdouble(x * y) for x, y in zip(a, b, strict=True)
        ]
        rounded = np.floor(a) + np.ceil(b) + np.trunc(a) + np.rint(b)
        rows = [a + b, a * b, np.array(exact, np.float64), a / b, np.sqrt(b), rounded]
        rows += [
            a.astype(np.float32),
            np.rint(a * 1000),
            np.minimum(a, b) - np.maximum(a, b),
            abs(a) + np.copysign(b, a),
        ]
        return {2: np.stack(rows)}

    return Case("doubles", HERE / "doubles.cu", "doubles", 2, 64, make, expected, 1e-15)


def mathematics() -> Case:
    n = 200

    def expected(arguments: Arguments) -> Expected:
        from math import erf

        a = arguments[0].astype(np.float64)
        p = abs(a) + np.float64(np.float32(0.01))
        rows = [np.exp(a), np.exp2(a), np.log(p), np.log2(p), np.sqrt(p), 1 / np.sqrt(p), 1 / p, np.tanh(a)]
        rows += [np.sin(a), np.cos(a), np.array([erf(x) for x in a]), p**1.7, np.floor(a) + np.rint(a)]
        return {1: np.stack([*rows, a / p, np.exp(a), np.log(p), np.sin(a)])}

    make = lambda g: [g.uniform(-4, 4, n).astype(np.float32), poisoned((17, n)), np.int32(n)]  # noqa: E731
    return Case("mathematics", HERE / "mathematics.cu", "mathematics", 4, 64, make, expected, 4e-6)


def polynomial() -> Case:
    n = 100

    def expected(a: Arguments) -> Expected:
        value = np.polynomial.Polynomial([0.5, -1.0, 0.25, 2.0, -0.125])(a[0].astype(np.float64))
        return {1: value * np.array([1, 2, 4])[np.arange(n) % 3]}

    make = lambda g: [floats(g, n), poisoned(n), np.int32(n)]  # noqa: E731
    return Case("polynomial", HERE / "constants.cu", "polynomial", 2, 64, make, expected, 1e-5)


# Functions, local memory, printing


def functions() -> Case:
    n = 100

    def expected(a: Arguments) -> Expected:
        x, i = a[0].astype(np.int64), np.arange(n)
        first = np.where(x % 2 == 0, x**3, np.gcd(x, 36))
        d, count = i % 7, i % 5
        return {1: np.stack([first, (x - d) * (x + d * d), i + count * x + count * (count - 1) // 2])}

    make = lambda g: [g.integers(1, 500, n, np.int32), poisoned((3, n), np.int32), np.int32(n)]  # noqa: E731
    return Case("functions", HERE / "functions.cu", "functions", 2, 64, make, expected)


def sort_groups() -> Case:
    n = 200

    def expected(a: Arguments) -> Expected:
        return {1: np.concatenate([np.sort(a[0][first : first + 6]) for first in range(0, n, 6)])}

    make = lambda g: [g.integers(-99, 99, n, np.int32), poisoned(n, np.int32), np.int32(n)]  # noqa: E731
    return Case("sort_groups", HERE / "local_array.cu", "sort_groups", 2, 32, make, expected)


def speaking() -> Case:
    n, limit = 100, 40

    def make(g: np.random.Generator) -> Arguments:
        return [g.integers(0, 50, n, np.int32), np.zeros(1, np.int32), np.int32(limit), np.int32(n)]

    def printed(a: Arguments) -> str:
        lines = [
            f"x[{i}] = {x} is {x / limit:5.2f} times the limit {limit}\n"
            for i, x in enumerate(a[0])
            if x > limit
        ]
        return "".join(lines)

    def expected(a: Arguments) -> Expected:
        return {1: np.count_nonzero(a[0] > limit)}

    return Case("speaking", HERE / "speaking.cu", "speaking", 2, 64, make, expected, printed=printed)


# Warps


def named_barriers() -> Case:
    n, tile = 400, 64

    def expected(a: Arguments) -> Expected:
        rows = in_blocks(a[0], tile)
        right = np.pad(rows[:, 1:], ((0, 0), (0, 1)))
        return {1: (rows * rows + right).reshape(-1)[:n]}

    make = lambda g: [g.integers(-99, 99, n, np.int32), poisoned(n, np.int32), np.int32(n)]  # noqa: E731
    return Case("named_barriers", HERE / "named_barriers.cu", "named_barriers", 1, 128, make, expected)


def warp_exchange(x: Array) -> list[Array]:
    return [np.roll(x, -1, 1)]


def warp_shuffles(x: Array) -> list[Array]:
    lane = np.arange(32)
    down = np.where(lane % 16 < 13, (lane + 3) % 32, lane)
    wide = x[:, lane ^ 1].astype(np.int64) * 10000000001 >> 16
    return [
        np.broadcast_to(x[:, 3:4], x.shape), x[:, (lane + 5) % 32], x[:, lane // 8 * 8 + 1],
        x[:, np.where(lane < 2, lane, lane - 2)], x[:, down], x[:, lane ^ 17], wide.astype(np.int32),
    ]  # fmt: skip


def _bits(flags: Array) -> Array:
    """A lane mask from flags (..., 32)."""
    return (
        (flags.astype(np.uint64) << np.arange(32, dtype=np.uint64)).sum(-1).astype(np.uint32).view(np.int32)
    )


def warp_votes(x: Array) -> list[Array]:
    odd = x % 2 != 0
    whole = lambda values: np.broadcast_to(values[:, None], x.shape)  # noqa: E731
    rank = np.cumsum(odd, 1) - odd
    together = np.where(odd, odd.sum(1, keepdims=True), 0)
    return [whole(_bits(odd)), rank, whole((x > 90).any(1)), whole((x < 90).all(1)), together]


def warp_matches(x: Array) -> list[Array]:
    value = x % 5
    alike = (value // 8 == (value // 8)[:, :1]).all(1)
    same = _bits(value[:, None, :] == value[:, :, None])
    return [same, *(np.broadcast_to(v[:, None], x.shape) for v in (np.where(alike, -1, 0), alike))]


def warp_reductions(x: Array) -> list[Array]:
    whole = lambda values: np.broadcast_to(values[:, None], x.shape)  # noqa: E731
    rows = [whole(x.sum(1)), whole(x.min(1) - 50), whole(x.max(1) - 50), whole(np.bitwise_or.reduce(x, 1))]
    return [*rows, np.where(np.arange(32) < 16, x[:, :16].sum(1)[:, None], 0)]


def warp(kernel: str, rows: int, results: Callable[[Array], list[Array]]) -> Case:
    n, threads = 200, 256  # whole blocks, as every lane of a warp takes part

    def expected(a: Arguments) -> Expected:
        x = in_blocks(a[0], threads).reshape(-1, 32)
        return {1: np.stack([row.reshape(-1)[:n] for row in results(x)])}

    make = lambda g: [g.integers(0, 99, n, np.int32), poisoned((rows, n), np.int32), np.int32(n)]  # noqa: E731
    return Case(kernel, HERE / "warps.cu", kernel, 2, 128, make, expected)


MMA = ("matmul_mma.cu", "matmul_mma")
WMMA = ("matmul_wmma.cu", "matmul_wmma")
REGISTERS = ("matmul_register_tiled.cu", "matmul_register_tiled")
BFLOAT = "__nv_bfloat16"

CASES = {
    case.name: case
    for case in [
        hello(),
        who_am_i(),
        coordinates(),
        basics("vector_add", "plain.cu", "vector_add", 1000, 1000),
        basics("vector_add, half", "plain.cu", "vector_add", 333, 333, np.float16),
        basics("vector_add_strided", "strided.cu", "vector_add_strided", 1001, 1008),
        basics("vector_add_strided, half", "strided.cu", "vector_add_strided", 500, 504, np.float16),
        basics("vector_add_vectorised", "vectorised.cu", "vector_add_vectorised", 1003, 251),
        basics("vector_add_vectorised, half", "vectorised.cu", "vector_add_vectorised", 1003, 126, np.float16),
        saxpy(),
        saxpy(200_003, 3126),
        stencil(),
        transpose(0),
        transpose(1),
        turn_round(),
        volume(),
        matmul("matmul_tiled", "matmul_tiled.cu", "matmul_tiled", (33, 50, 45), (16, 16), (16, 16)),
        matmul("matmul_register_tiled", *REGISTERS, (35, 44, 20), (32, 32), 64),
        matmul("matmul_mma", *MMA, (128, 128, 128), (64, 64), 128, "__half"),
        matmul("matmul_mma, ragged", *MMA, (75, 72, 88), (64, 64), 128, "__half"),
        matmul("matmul_wmma", *WMMA, (48, 48, 64), (16, 32), 64, "__half", {"SCALAR": "__half"}),
        matmul("matmul_wmma, bfloat16", *WMMA, (32, 64, 48), (16, 32), 64, BFLOAT, {"SCALAR": BFLOAT}),
        *(reduction(f"reduce_{way}") for way in ("interleaved", "sequential", "shuffle", "atomic", "two_stages")),
        softmax(),
        histogram(),
        scan("scan_hillis_steele"),
        scan("scan_warp"),
        chained_scan(),
        atomics(),
        sum_of_groups(),
        collect_positive(),
        with_lock(),
        bitonic_sort(),
        shared_types(),
        shared_flags(),
        one_barrier(),
        flash("v1", 2, 70, False),
        flash("v1", 1, 65, True),
        flash("v2", 2, 70, False),
        flash("v2", 2, 97, True),
        flash("v2_rows", 1, 40, False, 32),
        flash("v2_rows", 1, 70, True, 64),
        flash_mma(1, 128, 64, 64, 64),
        flash_mma(1, 100, 64, 64, 64, causal=True),
        flash_mma(1, 64, 64, 64, 64, swizzle=0),
        flash_mma(1, 100, 128, 128, 32),
        *(matrices(count, stride) for count in (1, 2, 4) for stride in (16, 80, 128)),
        matrices(4, 32, True), matrices(4, 144, True), matrices(2, 64, True, 8), matrices(4, 128, False, 4),
        *(halves(f"{kind}_arithmetic") for kind in ("half", "half2", "bfloat", "bfloat2")),
        integers(),
        doubles(),
        mathematics(),
        polynomial(),
        functions(),
        sort_groups(),
        speaking(),
        named_barriers(),
        warp("warp_exchange", 1, warp_exchange),
        warp("warp_shuffles", 7, warp_shuffles),
        warp("warp_votes", 5, warp_votes),
        warp("warp_matches", 3, warp_matches),
        warp("warp_reductions", 5, warp_reductions),
    ]
}  # fmt: skip

# The launches whose time is held to (see test_programs.py).
LARGE = {
    "flash_mma": flash_mma(2, 512, 128, 64, 64, causal=True),
    "flash_v2": flash("v2", 2, 256, True),
    "flash_v2 of 64 threads": flash("v2_rows", 1, 128, True, 64),
    "matmul_mma": CASES["matmul_mma"],
    "vector_add": basics("vector_add, 1 M", "plain.cu", "vector_add", 1 << 20, 1 << 20),
}
