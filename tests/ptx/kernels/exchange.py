"""Exchange in a block: types in shared memory, barriers with names, and the lanes of a warp."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kernels.case import HERE, Arguments, Array, Case, Expected, floats, in_blocks, poisoned


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
