"""Barriers and threads that have returned: who is waited for (PTX ISA 9.7.13.1; 9.7.12, exit)."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ptx.conftest import snippet
from workbench import ptx

EARLY = """extern "C" __global__ void k(int *x, int n) {
  __shared__ int part[64];
  const int i = threadIdx.x;
  if (i >= n) return;
  part[i] = i;
  __syncthreads();
  x[i] = part[n - 1 - i];
}
"""


@pytest.mark.parametrize("n", [1, 32, 40, 63])
def test_threads_that_have_returned_are_not_waited_for(n: int) -> None:
    x = np.zeros(64, np.int32)
    ptx.launch(snippet(EARLY), "k", 1, 64, (x, np.int32(n)))
    assert x[:n].tolist() == list(range(n))[::-1] and not x[n:].any()


def test_what_they_should_have_written_is_missing() -> None:
    source = EARLY.replace("part[n - 1 - i]", "part[63 - i]")
    with pytest.raises(
        ptx.Uninitialised, match=r"part\[63\].*\n.* 24 of the block's threads have already returned"
    ):
        ptx.launch(snippet(source), "k", 1, 64, (np.zeros(64, np.int32), np.int32(40)))


def test_what_they_wrote_before_is_seen_behind_the_barrier() -> None:
    source = """extern "C" __global__ void k(int *x) {
  __shared__ int part[64];
  part[threadIdx.x] = threadIdx.x;
  for (int s = 32; s > 0; s /= 2) {
    if (threadIdx.x >= s) return;
    __syncthreads();
    part[threadIdx.x] += part[threadIdx.x + s];
  }
  x[0] = part[0];
}
"""
    x = np.zeros(1, np.int32)
    ptx.launch(snippet(source), "k", 1, 64, (x,))
    assert x[0] == 2016
    with pytest.raises(ptx.SharedRace):
        ptx.launch(snippet(source.replace("    __syncthreads();\n", "")), "k", 1, 64, (x,))


def test_who_goes_round_a_barrier_and_returns_later_is_named() -> None:
    source = """extern "C" __global__ void k(int *x) {
  if (threadIdx.x < 40) __syncthreads();
  x[threadIdx.x] = 1;
}"""
    with pytest.raises(ptx.BarrierDivergence) as caught:
        ptx.launch(snippet(source), "k", 3, 64, (np.zeros(64, np.int32),))
    assert caught.value.line == 2
    assert (
        "40 of the 64 threads of block (0,0,0) wait at a barrier, the first of them thread (0,0,0), but others "
        "(thread (40,0,0) for one) have gone round it" in str(caught.value)
    )


def test_a_barrier_with_a_count_counts_whole_warps() -> None:
    source = """extern "C" __global__ void k(int *x) {
  if (threadIdx.x % 32 >= 20) return;
  if (threadIdx.x < 32) asm volatile("bar.arrive 3, 64;");
  else asm volatile("bar.sync 3, 64;");
  x[threadIdx.x] = 1;
}
"""
    x = np.zeros(64, np.int32)
    ptx.launch(snippet(source), "k", 1, 64, (x,))
    assert x.sum() == 40
    with pytest.raises(
        ptx.BarrierDivergence, match="only 96 have come and no more will; 56 of the block's threads"
    ):
        ptx.launch(snippet(source.replace(", 64", ", 128")), "k", 1, 96, (np.zeros(96, np.int32),))


def test_two_barriers_that_wait_for_each_other() -> None:
    source = """extern "C" __global__ void k(int *x) {
  if (threadIdx.x < 32) asm volatile("bar.sync 1;");
  else asm volatile("bar.sync 2;");
  x[threadIdx.x] = 1;
}
"""
    with pytest.raises(
        ptx.BarrierDivergence, match="waits at barrier 1, which counts 64 threads, but only 32 have"
    ):
        ptx.launch(snippet(source), "k", 1, 64, (np.zeros(64, np.int32),))
    with pytest.raises(
        ptx.BarrierDivergence, match=r"waits at a barrier for thread \(32,0,0\), .* in line 3"
    ):
        ptx.launch(snippet(source.replace("bar.sync 1", "bar.sync 0")), "k", 1, 64, (np.zeros(64, np.int32),))


@pytest.mark.parametrize("clock", ["clock64()", "clock()", "timer()"])
def test_time_passes(clock: str) -> None:
    source = """__device__ long long timer() {
  long long now;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  return now;
}
extern "C" __global__ void k(long long *took, int *x) {
  const auto start = NOW;
  while (NOW - start < 20000) {}
  const auto between = NOW;
  x[threadIdx.x] += 1;
  took[threadIdx.x] = NOW - between;
}
""".replace("NOW", clock)
    took, x = np.zeros(32, np.int64), np.zeros(32, np.int32)
    ptx.launch(snippet(source), "k", 1, 32, (took, x))
    assert x.all() and (took > 0).all() and (took < 2000).all()


def test_a_count_that_waits_for_warps_that_have_returned() -> None:
    source = """extern "C" __global__ void k(int *x) {
  if (threadIdx.x >= 64) return;
  asm volatile("bar.sync 0, 96;");
  x[threadIdx.x] = 1;
}
"""
    with pytest.raises(
        ptx.BarrierDivergence, match="only 64 have come and no more will; 32 of the block's threads"
    ):
        ptx.launch(snippet(source), "k", 1, 96, (np.zeros(96, np.int32),))


def test_who_has_passed_a_barrier_has_not_gone_round_that_of_another_block() -> None:
    """A thread of block 0 waits for block 1, and the others at a barrier that block 1 has passed."""
    source = """extern "C" __global__ void k(volatile int *flag, int *x) {
  if (blockIdx.x == 0 && threadIdx.x == 0) while (*flag == 0) {}
  __syncthreads();
  x[blockIdx.x * 64 + threadIdx.x] = 1;
  if (threadIdx.x >= 40) return;
  __syncthreads();
  x[blockIdx.x * 64 + threadIdx.x] = 2;
  __threadfence();
  if (blockIdx.x == 1 && threadIdx.x == 0) *flag = 1;
}
"""
    flag, x = np.zeros(1, np.int32), np.zeros(128, np.int32)
    ptx.launch(snippet(source), "k", 2, 64, (flag, x))
    assert x.reshape(2, 64).sum(axis=1).tolist() == [104, 104]


@pytest.mark.parametrize("way", ["sync", "arrive"])
def test_a_block_has_sixteen_barriers(way: str) -> None:
    source = f"""extern "C" __global__ void k(int first) {{
  asm volatile("bar.{way} %0, 64;" :: "r"(first + threadIdx.x / 32));
}}
"""
    with pytest.raises(
        ptx.OutOfBounds, match=r"thread \(32,0,0\) .* comes to barrier 16, and a block has barriers 0 to 15"
    ):
        ptx.launch(snippet(source), "k", 1, 64, (np.int32(15),))
