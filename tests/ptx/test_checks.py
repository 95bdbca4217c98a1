"""The checks' words, and what switches them; that they notice what they should is for the corpus to show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.ptx.conftest import snippet
from workbench import ptx
from workbench.cuda import load

RACE = """extern "C" __global__ void k(const float *x, float *y) {
  __shared__ float part[64];
  part[threadIdx.x] = x[threadIdx.x];
  y[threadIdx.x] = part[63 - threadIdx.x];
}
"""


def test_a_race_names_both_lines() -> None:
    x, y = np.arange(64, dtype=np.float32), np.empty(64, np.float32)
    with pytest.raises(ptx.SharedRace) as caught:
        ptx.launch(snippet(RACE), "k", 1, 64, (x, y), names="xy")
    fault = caught.value
    assert str(fault) == (
        "snippet.cu:4: race in shared memory: thread (0,0,0) of block (0,0,0) reads part[63], which thread "
        "(63,0,0) writes in line 3, and no barrier says who is first\n"
        "Put __syncthreads() between the two lines, where all threads reach it."
    )
    assert fault.also is not None and fault.also[1] == 3 and fault.array == "part"
    ptx.launch(snippet(RACE), "k", 1, 64, (x, y), checks=False)  # the values are those of one order
    np.testing.assert_array_equal(y, x[::-1])


def test_blocks_meet_in_global_memory() -> None:
    source = 'extern "C" __global__ void k(int *x) { x[threadIdx.x] = blockIdx.x; }'
    with pytest.raises(ptx.GlobalRace, match=r"writes x\[0\], which thread \(0,0,0\) of block \(1,0,0\)"):
        ptx.launch(snippet(source), "k", 2, 64, (np.zeros(64, np.int32),), names="x")
    ptx.launch(
        snippet(source.replace("blockIdx.x;", "7;")), "k", 2, 64, (np.zeros(64, np.int32),)
    )  # the same value


def test_blocks_of_different_waves_meet() -> None:
    source = (
        'extern "C" __global__ void k(int *x) { x[(blockIdx.x * 256 + threadIdx.x) % 1000003] = blockIdx.x; }'
    )
    x = np.zeros(1_000_003, np.int32)
    ptx.launch(snippet(source), "k", 3906, 256, (x,))
    with pytest.raises(
        ptx.GlobalRace, match=r"of block \(3906,0,0\) writes x\[0\], which .* of block \(0,0,0\)"
    ):
        ptx.launch(snippet(source), "k", 3907, 256, (x,), names="x")


def test_outputs_that_hold_nothing() -> None:
    source = """extern "C" __global__ void k(const float *x, float *y, int n) {
  if (threadIdx.x < n) y[threadIdx.x] = x[threadIdx.x];
  y[threadIdx.x] += 1.0f;
}"""
    x, y = np.ones(32, np.float32), np.zeros(32, np.float32)
    module = snippet(source)
    ptx.launch(module, "k", 1, 32, (x, y, np.int32(32)), names="xyn", uninitialised=("y",))
    ptx.launch(module, "k", 1, 32, (x, y, np.int32(31)), names="xyn")
    with pytest.raises(
        ptx.Uninitialised, match=r"thread \(31,0,0\) of block \(0,0,0\) reads 4 bytes at y\[31\]"
    ):
        ptx.launch(module, "k", 1, 32, (x, y, np.int32(31)), names="xyn", uninitialised=("y",))


def test_uninitialised_names_an_array() -> None:
    source = 'extern "C" __global__ void k(int *x) { x[threadIdx.x] = 1; }'
    with pytest.raises(ptx.LaunchError, match="uninitialised names z, and no array is called that"):
        ptx.launch(snippet(source), "k", 1, 32, (np.zeros(32, np.int32),), names="x", uninitialised=("z",))


def test_a_barrier_that_some_go_round() -> None:
    source = """extern "C" __global__ void k(int *x) {
  if (threadIdx.x < 40) __syncthreads();
  x[threadIdx.x] = 1;
}"""
    with pytest.raises(ptx.BarrierDivergence) as caught:
        ptx.launch(snippet(source), "k", 1, 64, (np.zeros(64, np.int32),))
    assert caught.value.line == 2
    assert "40 of the 64 threads of block (0,0,0) wait at a barrier" in str(caught.value)


@pytest.mark.parametrize("halves", [False, True])
def test_threads_may_share_a_word(halves: bool) -> None:
    """Two threads write the halves of one 32-bit word: that is no race."""
    kind = "short" if halves else "unsigned char"
    source = f"""extern "C" __global__ void k({kind} *x) {{
  __shared__ {kind} part[64];
  part[threadIdx.x] = threadIdx.x;
  __syncthreads();
  x[threadIdx.x] = part[63 - threadIdx.x];
}}"""
    x = np.zeros(64, np.int16 if halves else np.uint8)
    ptx.launch(snippet(source), "k", 1, 64, (x,))
    np.testing.assert_array_equal(x, np.arange(64)[::-1])


def test_structures_and_module_variables() -> None:
    source = """
struct Shape { int rows; float scale; double offset; };
__device__ int launches = 5;
__constant__ float table[3] = {1.0f, 2.0f, 4.0f};
extern "C" __global__ void k(float *x, Shape s) {
  x[threadIdx.x] = table[threadIdx.x % 3] * s.scale + s.offset;
  if (threadIdx.x == 0) {
    launches += s.rows;
    x[0] += launches;
  }
}"""
    shape = np.zeros((), np.dtype([("rows", np.int32), ("scale", np.float32), ("offset", np.float64)]))
    shape["rows"], shape["scale"], shape["offset"] = 2, 10, 0.5
    x = np.zeros(32, np.float32)
    module = snippet(source)
    for launched in (1, 2):  # a module's variables keep their values
        ptx.launch(module, "k", 1, 32, (x, shape[()]))
        wanted = np.array([1, 2, 4], np.float32)[np.arange(32) % 3] * 10 + 0.5
        wanted[0] += 5 + 2 * launched
        np.testing.assert_array_equal(x, wanted)


def caught(source: str, kind: type[ptx.Fault], block: int = 64, size: int = 64, grid: int = 1) -> str:
    with pytest.raises(kind) as found:
        ptx.launch(snippet(source), "k", grid, block, (np.zeros(size, np.int32),), names="x")
    return str(found.value)


def test_an_element_is_read_by_one_block_and_then_written_by_another() -> None:
    source = """extern "C" __global__ void k(int *x) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  const int next = x[(i + 1) % 128];
  x[i] = next;
}"""
    said = caught(source, ptx.GlobalRace, size=128, grid=2)
    assert "writes x[0], which thread (63,0,0) of block (1,0,0) reads in line 3" in said


def test_a_local_element_without_a_value() -> None:
    source = """extern "C" __global__ void k(int *x) {
  int part[8];
  for (int k = 0; k < 8; k += 2) part[(k + x[0]) % 8] = k;
  x[threadIdx.x] = part[(threadIdx.x * 2 + 1) % 8];
}"""
    assert "the local variables in local memory, which nobody has written" in caught(
        source, ptx.Uninitialised, 4
    )


def test_a_local_array_that_is_too_short() -> None:
    source = """extern "C" __global__ void k(int *x) {
  int part[8];
  for (int k = 0; k < 8; k++) part[k] = k * x[0];
  x[threadIdx.x] = part[threadIdx.x];
}"""
    said = caught(source, ptx.OutOfBounds)
    assert "at byte 32 of the local variables in local memory, but the local variables has 32 bytes" in said


@pytest.mark.parametrize("kind", ["__device__ double", "__constant__ double", "__device__ float4"])
def test_a_variable_of_the_module_that_is_too_short(kind: str) -> None:
    size = 16 if "4" in kind else 8
    access = "x[threadIdx.x] = part[threadIdx.x].x;" if size == 16 else "x[threadIdx.x] = part[threadIdx.x];"
    source = f"""{kind} part[3] = {{}};
extern "C" __global__ void k(int *x) {{
  {access}
}}"""
    said = caught(source, ptx.OutOfBounds)
    assert f"at part[3], but part has 3 elements of {size} bytes" in said


def test_the_padding_of_a_structure_in_shared_memory() -> None:
    source = """struct Pair { char c; int i; short h; double d; };
extern "C" __global__ void k(Pair *out) {
  __shared__ Pair pairs[64];
  const int t = threadIdx.x;
  pairs[t].c = t; LINE
  pairs[t].h = 3 * t; pairs[t].d = 0.5 * t;
  __syncthreads();
  out[t] = pairs[63 - t];
}
"""
    kind = np.dtype([("c", "i1"), ("i", "i4"), ("h", "i2"), ("d", "f8")], align=True)
    out = np.zeros(64, kind)
    ptx.launch(snippet(source.replace("LINE", "pairs[t].i = 2 * t;")), "k", 1, 64, (out,))
    down = np.arange(64)[::-1]
    assert all(
        (out[name] == factor * down).all() for name, factor in (("c", 1), ("i", 2), ("h", 3), ("d", 0.5))
    )
    source = (
        source.replace("LINE", "").replace("pairs[t].h = 3 * t; ", "").replace("short h;", "int h, more;")
    )
    with pytest.raises(ptx.Uninitialised, match="pairs"):
        ptx.launch(snippet(source), "k", 1, 64, (out,))


def test_a_shuffle_from_a_lane_that_its_mask_leaves_out() -> None:
    source = """extern "C" __global__ void k(int *x) {
  int value = threadIdx.x;
  if (threadIdx.x < 16) value = __shfl_xor_sync(0xffff, value, 17);
  x[threadIdx.x] = value;
}"""
    said = caught(source, ptx.MissingLanes, 32)
    assert "reads lane 17 of its warp, which doesn't take part in the shuffle (its mask is 0xffff)" in said


def test_lanes_that_never_come_are_named_with_the_mask() -> None:
    source = """extern "C" __global__ void k(int *x) {
  if (threadIdx.x % 32 < 20) __syncwarp();
  else asm volatile("bar.sync 1, 64;");
}"""
    said = caught(source, ptx.MissingLanes)
    assert "waits in bar with the mask 0xffffffff for lanes 20-31 of its warp, which the mask names" in said


@pytest.mark.parametrize(("block", "lanes"), [(64, "3-31"), (40, "8-31")])
def test_a_matrix_instruction_needs_the_lanes_that_have_returned(block: int, lanes: str) -> None:
    source = """extern "C" __global__ void k(int *x) {
  if (threadIdx.x >= 35) return;
  int turned;
  asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(turned) : "r"(threadIdx.x));
  x[threadIdx.x] = turned;
}"""
    source = source if block == 64 else source.replace("35", "40")
    said = caught(source, ptx.MissingLanes, block)
    assert (
        f"thread (32,0,0) of block (0,0,0) executes movmatrix, but lanes {lanes} of its warp have returned"
        in said
    )


def test_a_mask_without_the_lane_that_brings_it() -> None:
    source = (
        'extern "C" __global__ void k(int *x) { x[threadIdx.x] = __shfl_sync(0xfffffffe, threadIdx.x, 1); }'
    )
    assert "with the mask 0xfffffffe, which doesn't name its own lane 0" in caught(
        source, ptx.MissingLanes, 32
    )


def test_threads_write_one_element_in_one_instruction() -> None:
    source = """extern "C" __global__ void k(int *x) {
  __shared__ int part[4];
  part[threadIdx.x % 4] = VALUE;
  __syncthreads();
  x[threadIdx.x] = part[threadIdx.x % 4];
}"""
    said = caught(source.replace("VALUE", "threadIdx.x"), ptx.SharedRace)
    assert "in the same line" in said and "No barrier helps where threads write one element at once" in said
    ptx.launch(snippet(source.replace("VALUE", "threadIdx.x % 4")), "k", 1, 64, (np.zeros(64, np.int32),))


def test_a_barrier_in_a_loop_that_some_go_round() -> None:
    source = """extern "C" __global__ void k(int *x) {
  __shared__ int part[64];
  #pragma unroll 1
  for (int k = 0; k < 3; ++k) {
    part[(threadIdx.x + k) % 64] = k;
    if (threadIdx.x % 2) __syncthreads();
  }
  x[threadIdx.x] = part[threadIdx.x];
}"""
    said = caught(source, ptx.BarrierDivergence)
    assert said.startswith("snippet.cu:6: ") and "has gone round it" in said


def test_an_access_that_is_misaligned_later() -> None:
    source = """struct alignas(8) Two { int a, b; };
extern "C" __global__ void k(int *x) {
  for (int k = 0; k < 2; ++k) {
    const int at = 4 * threadIdx.x + k * x[0];
    *reinterpret_cast<Two *>(x + at) = Two{1, 1};
  }
}"""
    assert "writes 8 bytes at x[1], whose address isn't a multiple of 8" in caught(source, ptx.Misaligned, 1)


def test_dynamic_shared_memory_that_was_not_passed() -> None:
    source = """extern __shared__ float part[];
extern "C" __global__ void k(float *x) {
  PLUS
  part[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  x[threadIdx.x] = part[31 - threadIdx.x];
}
"""
    own = "__shared__ float own[32]; own[i] = x[i]; __syncthreads(); x[i] = own[31 - i];"
    for plus in ("", f"const int i = threadIdx.x; {own}"):
        with pytest.raises(ptx.OutOfBounds) as caught:
            ptx.launch(snippet(source.replace("PLUS", plus)), "k", 1, 32, (np.zeros(32, np.float32),))
        fault = caught.value
        assert fault.array == "part" and "the launch passes 0 bytes for it" in str(fault)
        assert "writes 4 bytes at part[0] in shared memory" in str(fault)
    with pytest.raises(ptx.OutOfBounds, match=r"at part\[16\] .*the launch passes 64 bytes for it"):
        ptx.launch(
            snippet(source.replace("PLUS", "")), "k", 1, 32, (np.zeros(32, np.float32),), shared_memory=64
        )


def test_a_race_within_a_warp_advises_a_barrier_of_the_block_first() -> None:
    with pytest.raises(ptx.SharedRace) as caught:
        ptx.launch(snippet(RACE.replace("63 -", "31 ^")), "k", 1, 64, (np.zeros(64, np.float32),) * 2)
    assert caught.value.advice == (
        "Put __syncthreads() between the two lines, where all threads reach it. __syncwarp() is enough if only lanes "
        "of one warp share the data."
    )


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("part[threadIdx.x] += part[(threadIdx.x + k) % 64];", "keep what is read in a variable"),
        ("part[(threadIdx.x + k) % 64] = threadIdx.x;", "put __syncthreads() into the loop"),
    ],
)
def test_where_the_barrier_belongs_in_a_loop_of_one_line(line: str, advice: str) -> None:
    source = f"""extern "C" __global__ void k(int *x) {{
  __shared__ int part[64];
  part[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  #pragma unroll 1
  for (int k = 1; k < 9; ++k) {{
    {line}
  }}
  __syncthreads();
  x[threadIdx.x] = part[threadIdx.x];
}}"""
    said = caught(source, ptx.SharedRace)
    assert "in the same line" in said and advice in said


def test_a_named_barrier_that_counts_too_many() -> None:
    source = """extern "C" __global__ void k() {
  if (threadIdx.x < 32) asm volatile("bar.arrive 3, 96;");
  else asm volatile("bar.sync 3, 96;");
}
"""
    with pytest.raises(
        ptx.BarrierDivergence, match="barrier 3, which counts 96 threads, but only 64 have come"
    ):
        ptx.launch(snippet(source), "k", 1, 64, ())


def test_wide_accesses_are_shown_by_element() -> None:
    source = """extern "C" __global__ void k(float4 *x) {
  __shared__ float4 part[32];
  if (threadIdx.x != 9) part[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  x[threadIdx.x] = part[31 - threadIdx.x];
}
"""
    with pytest.raises(ptx.Uninitialised, match=r"reads 16 bytes at part\[36\] in shared memory"):
        ptx.launch(snippet(source), "k", 1, 32, (np.zeros(128, np.float32),))


def test_a_table_of_functions_disturbs_no_other_kernel() -> None:
    source = """__device__ int more(int x) { return x + 1; }
__device__ int (*table[1])(int) = {more};
extern "C" __global__ void other(int *x) { x[threadIdx.x] = 7; }
"""
    x = np.zeros(32, np.int32)
    ptx.launch(snippet(source), "other", 1, 32, (x,))
    assert x.tolist() == [7] * 32


@pytest.mark.parametrize("where", ["sum + 2", "part", "part + 1"])
def test_a_read_that_compare_and_swap_checks_is_no_race(where: str) -> None:
    source = """extern "C" __global__ void k(unsigned long long *sum, const double *x) {
  __shared__ unsigned long long part[2];
  if (threadIdx.x < 2) part[threadIdx.x] = 0;
  __syncthreads();
  unsigned long long *p = WHERE, old = *p, assumed;
  do {
    assumed = old;
    const double more = x[threadIdx.x] + __longlong_as_double(assumed);
    old = atomicCAS(p, assumed, __double_as_longlong(more));
  } while (assumed != old);
  __syncthreads();
  if (p != sum + 2 && threadIdx.x == 0) sum[blockIdx.x] = *p;
}
""".replace("WHERE", where)
    total, x = np.zeros(3), np.arange(64.0)
    ptx.launch(snippet(source), "k", 3, 64, (total, x))
    assert total.tolist() == ([0, 0, 6048] if where == "sum + 2" else [2016] * 3)
    racing = source.replace("atomicCAS(p, assumed, ", "atomicExch(p, ").replace("(assumed != old)", "(false)")
    with pytest.raises((ptx.GlobalRace, ptx.SharedRace)):
        ptx.launch(snippet(racing), "k", 3, 64, (total, x))


@pytest.mark.parametrize("through", ["the machine", "workbench.cuda"])
def test_a_pointer_in_a_structure_is_explained(through: str, tmp_path: Path) -> None:
    source = """struct Input { const float *x; int n; };
extern "C" __global__ void k(float *y, Input in) {
  if (threadIdx.x < in.n) y[threadIdx.x] = in.x[threadIdx.x];
}
"""
    x, y = torch.ones(32), torch.zeros(32)
    given = np.zeros((), np.dtype([("x", np.uint64), ("n", np.int32), ("", np.int32)]))
    given["x"], given["n"] = x.data_ptr(), 32
    path = tmp_path / "structure.cu"
    path.write_text(source)
    with pytest.raises(
        ptx.OutOfBounds, match=r"(?s)where nothing lies.*pointer in a structure.*pass each array by itself"
    ):
        if through == "workbench.cuda":
            load(path, "k")(1, 32, (y, given[()]))
        else:
            ptx.launch(snippet(source), "k", 1, 32, (y.numpy(), given[()]))


@pytest.mark.parametrize("given", [17, -1])
def test_a_copy_that_reads_more_than_it_copies(given: int) -> None:
    source = """extern "C" __global__ void k(int *x, int bytes) {
  __shared__ __align__(16) int part[128];
  const unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(part + 4 * threadIdx.x));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" :: "r"(to), "l"(x + 4 * threadIdx.x), "r"(bytes));
  asm volatile("cp.async.wait_all;" ::: "memory");
}
"""
    x = np.zeros(128, np.int32)
    ptx.launch(snippet(source), "k", 1, 32, (x, np.int32(16)))
    with pytest.raises(
        ptx.OutOfBounds, match=r"(?s)copies 16 bytes, and asks for .*between 0 and 16"
    ) as caught:
        ptx.launch(snippet(source), "k", 1, 32, (x, np.int32(given)))
    assert caught.value.line == 4
