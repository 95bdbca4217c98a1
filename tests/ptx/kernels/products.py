"""Matrix products, and the matrices that tensor cores are fed with."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kernels.case import HERE, Arguments, Case, Expected, floats, from_bfloat16, poisoned, to_bfloat16


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


def matrices(count: int, stride: int, transposed: bool = False, copy: int = 16) -> Case:
    """ldmatrix of so many matrices whose rows lie `stride` bytes apart, copied there by `copy` bytes at a time."""
    warps = 4

    def make(g: np.random.Generator) -> Arguments:
        return [floats(g, warps, 4, 8, 8).astype(np.float16), np.zeros((warps, 4, 32), np.int32)]

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
