"""Device functions that are called, local arrays, and kernels that print."""

from __future__ import annotations

import numpy as np

from kernels.case import HERE, Arguments, Case, Expected, poisoned


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
