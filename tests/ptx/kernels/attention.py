"""Attention, in the forms of FlashAttention 1 and 2 and on tensor cores."""

from __future__ import annotations

import numpy as np

from kernels.case import HERE, Arguments, Array, Case, Expected, floats, from_bfloat16, poisoned, to_bfloat16


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
