"""A thread writes and raises a flag, another waits for it and reads: no race, if a fence stands before the flag."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ptx.conftest import snippet
from workbench import ptx

RAISE = "__threadfence_block(); ready = 1;"
IN_A_BLOCK = """extern "C" __global__ void k(int *out) {
  WHERE int data[32];
  __shared__ volatile int ready;
  if (threadIdx.x == 0) ready = 0;
  __syncthreads();
  if (threadIdx.x < 32) {
    data[threadIdx.x] = threadIdx.x;
    __syncwarp();
    if (threadIdx.x == 0) { RAISE }
  } else if (threadIdx.x < 64) {
    while (ready == 0) {}
    __threadfence_block();
    out[threadIdx.x - 32] = data[63 - threadIdx.x];
  }
}
"""


def in_a_block(raised: str, where: str = "__shared__") -> np.ndarray:
    out = np.zeros(32, np.int32)
    source = IN_A_BLOCK.replace("RAISE", raised)
    if where == "global":
        source = "__device__ int data[32];\n" + source.replace("  WHERE int data[32];\n", "")
    ptx.launch(snippet(source.replace("WHERE", where)), "k", 1, 96, (out,))
    return out


@pytest.mark.parametrize("where", ["__shared__", "global"])
def test_warps_hand_on_by_a_flag(where: str) -> None:
    assert in_a_block(RAISE, where).tolist() == list(range(32))[::-1]


@pytest.mark.parametrize("where", ["__shared__", "global"])
@pytest.mark.parametrize("raised", ["ready = 1;", "ready = 1; __threadfence_block();"])
def test_without_a_fence_before_it_a_flag_hands_on_nothing(raised: str, where: str) -> None:
    with pytest.raises((ptx.SharedRace, ptx.GlobalRace)) as caught:
        in_a_block(raised, where)
    assert "data" in str(caught.value) and caught.value.line in (12, 13)


BETWEEN_BLOCKS = """extern "C" __global__ void k(int *data, int *flag, int *out) {
  if (threadIdx.x) return;
  if (blockIdx.x == 0) {
    data[0] = 42;
    asm volatile("STORE [%0], 1;" :: "l"(flag) : "memory");
  } else {
    int there;
    do asm volatile("ld.acquire.gpu.global.s32 %0, [%1];" : "=r"(there) : "l"(flag) : "memory"); while (!there);
    out[0] = data[0];
  }
}
"""


def between_blocks(store: str) -> int:
    data, flag, out = (np.zeros(1, np.int32) for _ in range(3))
    ptx.launch(snippet(BETWEEN_BLOCKS.replace("STORE", store)), "k", 2, 32, (data, flag, out))
    return int(out[0])


@pytest.mark.parametrize("store", ["st.release.gpu.global.s32", "red.release.gpu.global.add.s32"])
def test_blocks_hand_on_by_a_release(store: str) -> None:
    assert between_blocks(store) == 42


@pytest.mark.parametrize("store", ["st.relaxed.gpu.global.s32", "red.release.cta.global.add.s32"])
def test_a_write_that_releases_nothing_to_other_blocks(store: str) -> None:
    with pytest.raises(ptx.GlobalRace, match=r"reads data\[0\]|data"):
        between_blocks(store)
