"""wmma: every layout and shape gives the product, and loads and stores make the hardware's requests."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ptx.conftest import snippet
from workbench import ptx

SOURCE = """
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <mma.h>
using namespace nvcuda;
extern "C" __global__ void k(const TYPE *A, const TYPE *B, SUM *C) {
  wmma::fragment<wmma::matrix_a, M, N, K, KIND, wmma::LAYOUT_A> a;
  wmma::fragment<wmma::matrix_b, M, N, K, KIND, wmma::LAYOUT_B> b;
  wmma::fragment<wmma::accumulator, M, N, K, SUM> c;
  wmma::load_matrix_sync(a, A, A_IN_ROWS ? K : M);
  wmma::load_matrix_sync(b, B, B_IN_ROWS ? N : K);
  wmma::load_matrix_sync(c, C, C_IN_ROWS ? N : M, wmma::LAYOUT_C);
  wmma::mma_sync(c, a, b, c);
  wmma::store_matrix_sync(C, c, C_IN_ROWS ? N : M, wmma::LAYOUT_C);
}
"""
TYPES = {  # of A and B, as fragment, and of C
    "half": ("__half", "__half", "float"),
    "half, summed in half": ("__half", "__half", "__half"),
    "bfloat16": ("__nv_bfloat16", "__nv_bfloat16", "float"),
    "tf32": ("float", "wmma::precision::tf32", "float"),
    "bytes": ("signed char", "signed char", "int"),
    "double": ("double", "double", "double"),
}
DTYPES = {
    "__half": np.float16,
    "float": np.float32,
    "signed char": np.int8,
    "int": np.int32,
    "double": np.float64,
}
SHAPES = [
    (kind, shape)
    for kind in (*list(TYPES)[:3], "bytes")
    for shape in ((16, 16, 16), (32, 8, 16), (8, 32, 16))
]


@pytest.mark.parametrize(
    "by_rows", [(True, True, True), (False, True, False), (True, False, True), (False,) * 3]
)
@pytest.mark.parametrize("kind, shape", [*SHAPES, ("tf32", (16, 16, 8)), ("double", (8, 8, 4))])
def test_product(kind: str, shape: tuple[int, int, int], by_rows: tuple[bool, bool, bool]) -> None:
    given, fragment, summed = TYPES[kind]
    m, n, k = shape
    source = SOURCE.replace("TYPE", given).replace("KIND", fragment).replace("SUM", summed)
    for name, value in zip("MNK", shape, strict=True):
        source = source.replace(f" {name},", f" {value},").replace(f"? {name} ", f"? {value} ")
        source = source.replace(f": {name})", f": {value})").replace(f": {name},", f": {value},")
    for name, rows in zip("ABC", by_rows, strict=True):
        layout = (
            ("row_major" if rows else "col_major") if name != "C" else f"mem_{'row' if rows else 'col'}_major"
        )
        source = source.replace(f"LAYOUT_{name}", layout).replace(f"{name}_IN_ROWS", str(rows).lower())
    rng = np.random.default_rng(1)
    matrices = [rng.integers(-4, 5, size) for size in ((m, k), (k, n), (m, n))]
    wanted = matrices[0] @ matrices[1] + matrices[2]
    passed = []
    for matrix, rows, scalar in zip(matrices, by_rows, (given, given, summed), strict=True):
        laid = np.ascontiguousarray(matrix if rows else matrix.T)
        if scalar == "__nv_bfloat16":
            passed.append((laid.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16))
        else:
            passed.append(laid.astype(DTYPES[scalar]))
    ptx.launch(snippet(source), "k", 1, 32, tuple(passed))
    np.testing.assert_array_equal(passed[2] if by_rows[2] else passed[2].T, wanted)


def test_requests() -> None:
    """As the hardware counts them: a tile of 16 x 16 is four loads of 4 bytes a lane, and four stores of 8."""
    source = SOURCE.replace("TYPE", "__half").replace("KIND", "__half").replace("SUM", "float")
    for name in "MNK":
        source = source.replace(f" {name},", " 16,").replace(f"? {name} ", "? 16 ")
        source = source.replace(f": {name})", ": 16)").replace(f": {name},", ": 16,")
    for name in "ABC":
        source = source.replace(f"LAYOUT_{name}", "mem_row_major" if name == "C" else "row_major")
        source = source.replace(f"{name}_IN_ROWS", "true")
    matrices = (np.ones((16, 16), np.float16), np.ones((16, 16), np.float16), np.zeros((16, 16), np.float32))
    counters = ptx.launch(snippet(source), "k", 1, 32, matrices).counters
    assert counters is not None
    assert (counters.global_load_requests, counters.global_store_requests) == (12, 4)
    assert (counters.global_load_sectors, counters.global_store_sectors) == (3 * 32, 32)


def test_a_fragment_that_is_the_same_in_all_lanes_serves_groups_of_any_size() -> None:
    source = """extern "C" __global__ void k(float *out) {
  const unsigned one = 0x3c003c00;  // two halves
  float c[4] = {};
#define MULTIPLY asm volatile( \\
    "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%4,%4,%4}, {%4,%4}, {%0,%1,%2,%3};" \\
    : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(one))
  MULTIPLY;
  if (threadIdx.x >= 64) MULTIPLY;
  out[threadIdx.x] = c[0] + c[1] + c[2] + c[3];
}
"""
    out = np.zeros(128, np.float32)
    ptx.launch(snippet(source), "k", 1, 128, (out,))
    assert out.tolist() == [64.0] * 64 + [128.0] * 64
