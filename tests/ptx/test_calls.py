"""Calls: through pointers, of functions that call themselves, of the system; and what the machine refuses."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tests.ptx.conftest import assembled, snippet
from workbench import ptx

TWO = """__device__ __noinline__ int more(int a) { return a + 1; }
__device__ __noinline__ int twice(int a) { return a * 2; }
__device__ __noinline__ float other(float a) { return a; }
typedef int (*Function)(int);
"""


@pytest.mark.parametrize(
    "call",
    [
        "Function f = i % 2 ? more : twice; x[i] = f(i);",
        "x[i] = table[i % 2](i);",
        "if (i < 20) x[i] = table[i % 2](i); else x[i] = i % 2 ? i + 1 : 2 * i;",
    ],
)
def test_a_call_through_a_pointer_runs_what_it_points_to(call: str) -> None:
    source = TWO + "__device__ Function table[3] = {twice, more};\n"
    source += f'extern "C" __global__ void k(int *x) {{ const int i = threadIdx.x; {call} }}'
    x = np.zeros(64, np.int32)
    ptx.launch(snippet(source), "k", 1, 64, (x,))
    i = np.arange(64)
    np.testing.assert_array_equal(x, np.where(i % 2, i + 1, 2 * i))


def test_a_pointer_to_nothing() -> None:
    source = TWO + "__device__ Function table[3] = {twice, more};\n"
    source += 'extern "C" __global__ void k(int *x) { x[threadIdx.x] = table[threadIdx.x % 3](1); }'
    with pytest.raises(
        ptx.Trapped, match=r"thread \(2,0,0\) of block \(0,0,0\) calls through the pointer 0x0, .*9\.7\.12"
    ):
        ptx.launch(snippet(source), "k", 1, 64, (np.zeros(64, np.int32),))


def test_virtual_functions() -> None:
    source = """struct Shape { __device__ virtual int area(int a) = 0; };
struct Square : Shape {
  int more;
  __device__ Square(int m) : more(m) {}
  __device__ int area(int a) { return a * a + more; }
};
struct Line : Shape { __device__ int area(int a) { return a; } };
extern "C" __global__ void k(int *x) {
  Square square(7);
  Line line;
  Shape *shape = threadIdx.x % 2 ? (Shape *)&square : (Shape *)&line;
  x[threadIdx.x] = shape->area(threadIdx.x);
}
"""
    x = np.zeros(32, np.int32)
    ptx.launch(snippet(source), "k", 1, 32, (x,))
    i = np.arange(32)
    np.testing.assert_array_equal(x, np.where(i % 2, i * i + 7, i))


def test_a_called_function_has_shared_memory_of_its_own() -> None:
    source = """__device__ __noinline__ int turned(int a) {
  __shared__ int part[32];
  part[threadIdx.x] = a;
  __syncthreads();
  return part[31 - threadIdx.x];
}
__device__ int (*table[1])(int) = {turned};
extern "C" __global__ void k(int *x, int which) { x[threadIdx.x] = table[which](threadIdx.x); }
"""
    x = np.zeros(32, np.int32)
    ptx.launch(snippet(source), "k", 1, 32, (x, np.int32(0)))
    assert x.tolist() == list(range(32))[::-1]


def test_a_guarded_call_is_made_by_those_whom_its_guard_lets() -> None:
    module = assembled(
        """
        .reg .pred %p; .reg .b32 %r<4>; .reg .b64 %rd<4>;
        mov.u32 %r1, %tid.x;
        setp.lt.u32 %p, %r1, 5;
        mov.b32 %r2, 7;
        { .param .b32 back; @%p call (back), three, (); @%p ld.param.b32 %r2, [back]; }
        ld.param.u64 %rd1, [out];
        mad.wide.u32 %rd2, %r1, 4, %rd1;
        st.global.b32 [%rd2], %r2;""",
        ".func (.param .b32 r) three() { st.param.b32 [r], 3; ret; }",
        ".param .u64 out",
    )
    x = np.zeros(32, np.int32)
    ptx.launch(module, "k", 1, 32, (x,))
    assert x.tolist() == [3] * 5 + [7] * 27


REFUSED = {
    "a[0] = fibonacci(a[0]);": r"'call.*fibonacci.*by itself \(line \d+ of the PTX\).*stack.*9\.7\.12",
    "int *p = (int *)malloc(4); *p = 3; a[0] = *p; free(p);": "malloc.*can't be allocated in a kernel here",
    "int *p = new int[a[0]]; *p = 3; a[0] = *p; delete[] p;": "can't be allocated in a kernel here",
    "cg::this_cluster().sync();": r"'barrier\.cluster.*Clusters of blocks need a GPU.*9\.7\.13\.3",
    "__shared__ cuda::barrier<cuda::thread_scope_block> b; if (!threadIdx.x) init(&b, 32); __syncthreads(); "
    "b.arrive_and_wait();": r"'mbarrier.init.*__syncthreads\(\).*9\.7\.13\.15",
    "__shared__ cuda::pipeline_shared_state<cuda::thread_scope_block, 2> s; __shared__ int part[32]; "
    "auto p = cuda::make_pipeline(cg::this_thread_block(), &s); p.producer_acquire(); "
    "cuda::memcpy_async(cg::this_thread_block(), part, a, 128, p); p.producer_commit(); p.consumer_wait(); "
    "a[threadIdx.x] += part[threadIdx.x]; p.consumer_release();": r"mbarrier.*9\.7\.13\.15",
    'asm volatile("cp.async.bulk.commit_group;");': r"'cp\.async\.bulk\.commit_group.*TMA.*9\.7\.9\.25",
    "a[0] = tex1Dfetch<int>((unsigned long long)a, 1);": r"'tex\.1d.*Textures need a GPU.*9\.7\.10",
    'asm("vabsdiff.u32.u32.u32 %0, %0.b0, %0.b1;" : "+r"(a[0]));': r"'vabsdiff.*Video instructions.*9\.7\.18",
}


@pytest.mark.parametrize("body", REFUSED, ids=lambda body: body[:30])
def test_what_is_refused_says_why_and_where(body: str) -> None:
    kernels = [
        f'extern "C" __global__ void k{i}(int *a) {{\n  {one}\n}}\n' for i, one in enumerate(REFUSED)
    ]  # compiled together: the headers take seconds
    source = f"""#include <cooperative_groups.h>
#include <cuda/barrier>
#include <cuda/pipeline>
namespace cg = cooperative_groups;
__device__ __noinline__ int fibonacci(int n) {{ return n < 2 ? 1 : fibonacci(n - 1) + fibonacci(n - 2); }}
{"".join(kernels)}"""
    kernel = f"k{list(REFUSED).index(body)}"
    with pytest.raises(ptx.UnknownInstruction) as caught:
        ptx.launch(snippet(source), kernel, 1, 32, (np.ones(32, np.int32),))
    assert re.search(REFUSED[body], str(caught.value), re.S), caught.value
    assert Path(caught.value.file).name == "snippet.cu" and caught.value.line


def test_a_barrier_of_the_grid_speaks_of_cooperative_launches() -> None:
    source = """#include <cooperative_groups.h>
extern "C" __global__ void never(int *x) {
  x[threadIdx.x] = cooperative_groups::this_grid().thread_rank();
  if (x[threadIdx.x] < 0) cooperative_groups::this_grid().sync();
}
extern "C" __global__ void ever(int *x) {
  if (x[threadIdx.x] >= 0) cooperative_groups::this_grid().sync();
}
"""
    x = np.zeros(32, np.int32)
    ptx.launch(snippet(source), "never", 1, 32, (x,))
    assert x[31] == 31
    with pytest.raises(ptx.Trapped, match="needs a cooperative launch") as caught:
        ptx.launch(snippet(source), "ever", 1, 32, (x,))
    assert caught.value.line == 7 and "two kernels" in caught.value.advice


def test_a_null_pointer_that_the_compiler_saw_is_no_purpose_of_the_kernel() -> None:
    source = 'extern "C" __global__ void null() { int *p = nullptr; *p = 3; }\n'
    with pytest.raises(ptx.Trapped, match="executes trap") as caught:
        ptx.launch(snippet(source), "null", 1, 32, ())
    assert caught.value.line == 1 and "a null pointer" in caught.value.advice


@pytest.mark.parametrize("how", ["cuda::make_pipeline()", "cooperative groups"])
def test_copies_without_barriers_in_memory_run(how: str) -> None:
    header = "cuda/pipeline"
    copy = """auto p = cuda::make_pipeline();
  p.producer_acquire();
  cuda::memcpy_async(part + threadIdx.x, x + threadIdx.x, 4, p);
  p.producer_commit();
  p.consumer_wait();
  __syncthreads();"""
    if how == "cooperative groups":
        header = "cooperative_groups/memcpy_async.h"
        copy = """auto block = cooperative_groups::this_thread_block();
  cooperative_groups::memcpy_async(block, part, x, 256);
  cooperative_groups::wait(block);"""
    source = f"""#include <cooperative_groups.h>
#include <{header}>
extern "C" __global__ void k(int *x) {{
  __shared__ int part[64];
  {copy}
  x[threadIdx.x] = part[63 - threadIdx.x];
}}
"""
    x = np.arange(64, dtype=np.int32)
    ptx.launch(snippet(source), "k", 1, 64, (x,))
    assert x.tolist() == list(range(64))[::-1]


def test_an_instruction_with_operands_that_it_cannot_have() -> None:
    module = assembled(
        """
        .reg .f32 %f<3>; .reg .b64 %rd<2>;
        ld.param.u64 %rd1, [out];
        ld.global.f32 %f1, [%rd1];
        and.f32 %f2, %f1, %f1;
        st.global.f32 [%rd1], %f2;""",
        parameters=".param .u64 out",
    )
    with pytest.raises(ptx.UnknownInstruction, match=r"lines \d+ to \d+ of the PTX.*bitwise_and"):
        ptx.launch(module, "k", 1, 32, (np.zeros(32, np.float32),))
