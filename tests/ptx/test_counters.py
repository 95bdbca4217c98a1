"""Counters against counts made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ptx.conftest import compiled, snippet
from workbench import ptx
from workbench.ptx.banks import Banks
from workbench.ptx.counters import sectors, sectors_of_warps

SHARED = """
extern "C" __global__ void k(TYPE *out, int stride) {
  __shared__ TYPE part[1024];
  for (int i = threadIdx.x; i < 1024; i += blockDim.x) part[i] = TYPE{};
  __syncthreads();
  out[threadIdx.x] = part[threadIdx.x * stride % 1024];
}
"""


@pytest.mark.parametrize(
    "kind, stride, wavefronts",
    [
        ("float", 1, 1), ("float", 0, 1), ("float", 2, 2), ("float", 32, 32), ("float", 33, 1), ("float", 8, 8),
        ("short", 1, 1), ("short", 2, 1), ("short", 4, 2),
        ("double", 1, 2), ("double", 2, 4), ("double", 16, 32), ("double", 17, 2),
        ("float4", 1, 4), ("float4", 2, 8), ("float4", 8, 32), ("float4", 9, 4),
    ],
)  # fmt: skip
def test_bank_conflicts(kind: str, stride: int, wavefronts: int) -> None:
    size = {"float": 4, "short": 2, "double": 8, "float4": 16}[kind]
    out = np.zeros(32 * size, np.uint8)
    counters = ptx.launch(snippet(SHARED.replace("TYPE", kind)), "k", 1, 32, (out, np.int32(stride))).counters
    assert counters is not None
    assert counters.shared_load_requests == 1
    assert counters.shared_load_wavefronts == wavefronts
    assert counters.shared_load_bank_conflicts == wavefronts - max(1, size // 4)
    assert (
        counters.shared_store_bank_conflicts
        == 0
        == counters.bank_conflicts - counters.shared_load_bank_conflicts
    )


def slow_wavefronts(offsets: np.ndarray, present: np.ndarray, size: int) -> int:
    """Lane by lane."""
    each = max(1, size // 4)
    parts = [range(first, first + 32 // each) for first in range(0, 32, 32 // each)]
    if (
        each > 1
    ):  # neighbouring parts are served together if all lanes agree with the one beside, or after next
        joined = []
        for first, second in zip(parts[::2], parts[1::2], strict=True):
            lanes = [lane for lane in (*first, *second) if present[lane]]
            alike = any(
                all(offsets[lane] == offsets[lane ^ beside] for lane in lanes if present[lane ^ beside])
                for beside in (1, 2)
            )
            joined += [range(first.start, second.stop)] if alike else [first, second]
        parts = joined
    found = 0
    for part in parts:
        words: dict[int, set[int]] = {}
        for lane in part:
            if present[lane]:
                for word in range(offsets[lane] // 4, offsets[lane] // 4 + each):
                    words.setdefault(word % 32, set()).add(word)
        found += max(map(len, words.values()), default=0)
    return found


def test_parts_that_are_served_together() -> None:
    """Four floats a lane, as in a matmul with tiles in registers."""
    lane = np.arange(32)
    for offsets, wavefronts in ((lane // 8 * 16, 2), (lane % 8 * 16, 4), (lane // 2 * 16, 2), (0 * lane, 2)):
        assert Banks().wavefronts(offsets[None], None, 16) == (wavefronts, wavefronts)
    assert Banks().wavefronts((lane // 2 * 8)[None], None, 8) == (1, 1)


@settings(max_examples=60, deadline=None)
@given(
    size=st.sampled_from([1, 2, 4, 8, 16]),
    places=st.lists(st.integers(0, 200), min_size=32, max_size=32),
    present=st.lists(st.booleans(), min_size=32, max_size=32),
)
def test_wavefronts_of_any_pattern(size: int, places: list[int], present: list[bool]) -> None:
    offsets = np.array(places) * size
    here = np.array(present)
    banks = Banks()
    for _ in range(2):  # the second time from memory
        got, _ = banks.wavefronts(np.where(here, offsets, 0)[None], here[None], size)
        assert got == slow_wavefronts(offsets, here, size)
    everyone = np.ones(32, np.bool_)
    assert banks.wavefronts(offsets[None], None, size)[0] == slow_wavefronts(offsets, everyone, size)


@settings(max_examples=60, deadline=None)
@given(addresses=st.lists(st.integers(0, 300), min_size=64, max_size=64), ascending=st.booleans())
def test_sectors_of_any_addresses(addresses: list[int], ascending: bool) -> None:
    at = np.array(sorted(addresses) if ascending else addresses) * 4
    wanted = sum(len(set((at[first : first + 32] // 32).tolist())) for first in (0, 32))
    assert sectors_of_warps(at) == wanted
    assert sectors(at, np.repeat([0, 1], 32)) == wanted


def test_operations_and_instructions() -> None:
    source = """
extern "C" __global__ void k(float *x, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] = x[i] * 3.0f + 1.0f;
}
"""
    x = np.ones(100, np.float32)
    report = ptx.launch(snippet(source), "k", 2, 64, (x, np.int32(100)))
    counters = report.counters
    assert counters is not None
    assert counters.cuda_core_operations == 200
    assert counters.instructions["fma"] == 100 and counters.instructions["st"] == 100
    assert counters.divergent_branches == 1 and counters.tensor_core_operations == 0
    assert sum(line.thread_instructions for line in report.lines.values()) == counters.thread_instructions
    assert sum(counters.instructions.values()) == counters.thread_instructions


def test_atomics_are_counted_by_themselves() -> None:
    source = 'extern "C" __global__ void k(int *x) { atomicAdd(x + threadIdx.x % 8, 1); }'
    counters = ptx.launch(snippet(source), "k", 1, 64, (np.zeros(8, np.int32),)).counters
    assert counters is not None
    assert (counters.global_atomic_requests, counters.global_atomic_sectors) == (2, 2)
    assert counters.global_requests == 0


def test_what_is_neither_load_nor_store() -> None:
    source = """
#include <cuda_pipeline.h>
__constant__ int table[4] = {1, 2, 3, 4};
extern "C" __global__ void k(const int *x, int *out, int n) {
  __shared__ int part[64];
  __pipeline_memcpy_async(part + threadIdx.x, x + threadIdx.x, 4);
  __pipeline_commit();
  __pipeline_wait_prior(0);
  __syncthreads();
  atomicAdd(part + threadIdx.x % 8, table[n]);
  __syncthreads();
  out[threadIdx.x] = part[threadIdx.x];
}
"""
    arrays = (np.zeros(64, np.int32), np.zeros(64, np.int32))
    counters = ptx.launch(snippet(source), "k", 1, 64, (*arrays, np.int32(2))).counters
    assert counters is not None
    assert arrays[1].tolist() == [24] * 8 + [0] * 56
    assert (counters.shared_store_requests, counters.shared_store_wavefronts) == (0, 0)
    assert (counters.shared_copy_requests, counters.shared_atomic_requests) == (2, 2)
    assert (counters.shared_load_requests, counters.shared_requests) == (2, 6)
    assert (counters.global_load_requests, counters.global_load_sectors) == (
        2,
        8,
    )  # the copies, not the table


def test_without_counters_there_are_none() -> None:
    a = np.zeros(32, np.float32)
    report = ptx.launch(
        compiled("vector_add.cu"), "unguarded", 1, 32, (a, a.copy(), a.copy()), counters=False
    )
    assert report.counters is None and report.lines == {} and report.trace == []


OVERLAP = """
#include <cuda_fp16.h>
extern "C" __global__ void k(const uint4 *from, float *out) {
  __shared__ uint4 tile[2][32];
  auto copy = [&](int i) {
    unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(&tile[i][threadIdx.x]));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" :: "r"(to), "l"(from + 32 * i + threadIdx.x) : "memory");
    asm volatile("cp.async.commit_group;" ::: "memory");
  };
  float c[4] = {};
  auto multiply = [&](int i) {
    uint4 a = tile[i][threadIdx.x];
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%4, %5}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w));
  };
  copy(0);
  if (AHEAD) copy(1);
  asm volatile("cp.async.wait_group %0;" :: "n"(LEFT) : "memory");
  __syncwarp();
  multiply(0);
  if (!AHEAD) copy(1);
  asm volatile("cp.async.wait_group 0;" ::: "memory");
  __syncwarp();
  multiply(1);
  for (int i = 0; i < 4; ++i) out[4 * threadIdx.x + i] = c[i];
}
"""


@pytest.mark.parametrize("ahead, left, beside", [(1, 1, 1), (1, 0, 0), (0, 0, 0)])
def test_products_beside_copies(ahead: int, left: int, beside: int) -> None:
    """One of two products has a copy under way, if the second copy is started before it and not waited for."""
    source = OVERLAP.replace("AHEAD", str(ahead)).replace("LEFT", str(left))
    arguments = (np.ones(512, np.float16).view(np.uint8), np.zeros(128, np.float32))
    counters = ptx.launch(snippet(source), "k", 1, 32, arguments).counters
    assert counters is not None
    assert counters.tensor_core_operations == 2 * 4096
    assert counters.tensor_core_operations_beside_copies == beside * 4096
