"""Lines: an instruction that came from a header's function belongs to the line that called it."""

import pytest

from workbench import ptx

TEXT = """
.version 9.0
.target sm_90
.address_size 64
.visible .entry k(.param .u64 k_param_0)
{
 .reg .b32 %r<3>;
 .reg .b64 %rd<2>;
 ld.param.u64 %rd1, [k_param_0];
 .loc 2 10 3, function_name $L__info0, inlined_at 1 3 9
 .loc 3 20 5, function_name $L__info1, inlined_at 2 10 3
 ld.global.u32 %r1, [%rd1];
 .loc 2 10 3, function_name $L__info0, inlined_at 1 4 9
 .loc 3 20 5, function_name $L__info1, inlined_at 2 10 3
 ld.global.u32 %r2, [%rd1];
 .loc 1 5 1
 ret;
}
.file 1 "/course/k.cu"
.file 2 "/usr/local/cuda/include/outer.h"
.file 3 "INNER"
"""


@pytest.mark.parametrize("inner", ["/usr/local/cuda/include/inner.h", "__nv_nvrtc_builtin_header.h"])
def test_two_calls_of_a_header_function_that_inlines_another_keep_their_lines(inner):
    body = ptx.parse(TEXT.replace("INNER", inner)).kernels["k"].body
    loads = [(i.file, i.line) for i in body if i.opcode.startswith("ld.global")]
    assert loads == [("/course/k.cu", 3), ("/course/k.cu", 4)]
