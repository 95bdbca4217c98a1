"""Sums, scans, histograms and sorting: threads that work together, in a block and across the grid."""

from __future__ import annotations

import numpy as np

from kernels.case import HERE, Arguments, Case, Expected, floats, in_blocks, poisoned


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
