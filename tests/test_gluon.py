"""FlashAttention-2 in Gluon: what it refuses, what it compiles to without a GPU, and its results on a Hopper GPU."""

import math

import pytest
import torch

from flash_attention import attention
from flash_attention.flash_v2 import gluon_version as gluon
from lessons.attention_cases import plain
from workbench.gpu import has_gpu
from workbench.triton.compiler import SHARED_MEMORY, compiled_apart

HALF, BFLOAT = torch.float16, torch.bfloat16
HOPPER = has_gpu() and torch.cuda.get_device_capability() == (9, 0)


def test_it_names_the_gpu_that_it_needs() -> None:
    x = torch.zeros(1, 1, 4, 64, dtype=HALF)
    with pytest.raises(
        ValueError, match=r"q is on cpu; it must be on a GPU of compute capability 9.0 \(H100, H200\)"
    ):
        attention(x, x, x, implementation="flash_v2/gluon")


@pytest.mark.parametrize("head_dim", [4, 20, 136])
def test_head_dims_that_it_has_no_tiles_for_are_refused(head_dim: int) -> None:
    x = torch.zeros(1, 1, 4, head_dim, dtype=HALF)
    with pytest.raises(ValueError, match=rf"head_dim {head_dim}; it must be one of 8, 16, ... 128"):
        gluon.attention(x, x, x)
    with pytest.raises(ValueError, match=r"q is torch.float32; it may be torch.float16 or torch.bfloat16"):
        gluon.attention(*[torch.zeros(1, 1, 4, 64)] * 3)


@pytest.mark.parametrize(
    ("head_dim", "dtype", "causal"),
    [(64, "float16", True), (72, "bfloat16", False), (128, "float16", False), (128, "bfloat16", True)],
)
def test_it_compiles_without_a_gpu(head_dim: int, dtype: str, causal: bool) -> None:
    program = f"""
import torch
from flash_attention.flash_v2.gluon_version import launch
q, k, v, o = (torch.zeros(2, heads, 300, {head_dim}, dtype=torch.{dtype}) for heads in (4, 2, 2, 4))
launch(q, k, v, o, torch.zeros(2, 4, 300), 1.0, {causal}, multiprocessors=132)
"""
    (figures,) = compiled_apart(program, ("sm_90",))["sm_90"].values()
    assert figures["local_memory"] == 0 and figures["shared_memory"] <= SHARED_MEMORY["sm_90"]
    assert figures["wgmma"] > 0 and figures["tma"] > 0 and figures["mma.sync"] == figures["cp.async"] == 0


@pytest.mark.gpu
@pytest.mark.skipif(not HOPPER, reason="needs a Hopper GPU")
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("head_dim", [8, 64, 104, 128])
@pytest.mark.parametrize("lengths", [(1, 1), (113, 203), (300, 50), (64, 2048), (1500, 777), (0, 5), (5, 0)])
def test_it_is_right_on_a_gpu(lengths: tuple[int, int], head_dim: int, causal: bool) -> None:
    seqlen_q, seqlen_k = lengths
    dtype = BFLOAT if head_dim % 16 else HALF
    shapes = ((3, 12, seqlen_q, head_dim), *[(3, 4, seqlen_k, head_dim)] * 2)
    q, k, v = ((torch.randn(shape, device="cuda") + 0.25).to(dtype) for shape in shapes)
    found = gluon.attention(q, k, v, causal=causal)
    if q.numel() and k.numel():
        exact = plain(q.double(), k.double(), v.double(), causal=causal)
        atol = 4 * torch.finfo(dtype).eps
        torch.testing.assert_close(found[0].double(), exact[0], rtol=atol, atol=atol)
        torch.testing.assert_close(found[1].double(), exact[1].double(), rtol=1e-4, atol=1e-4)
    else:
        assert found[0].shape == q.shape and not found[0].any() and (found[1] == -math.inf).all()
