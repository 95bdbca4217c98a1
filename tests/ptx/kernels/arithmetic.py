"""Arithmetic: halves, integers, doubles and functions, to the bit where it is exact."""

from __future__ import annotations

import numpy as np

from kernels.case import HERE, Arguments, Case, Expected, floats, from_bfloat16, poisoned, to_bfloat16


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
