"""FlashAttention-2 through tensor descriptors: what they can't describe is copied, what doesn't fit is refused."""

import math

import pytest
import torch

import flash_attention
from flash_attention import attention, reference
from flash_attention.tensor_cores import triton_version as triton
from flash_attention.tiles import for_descriptor
from workbench.triton.interpreter import OutOfBounds, watched

HALF, BFLOAT = torch.float16, torch.bfloat16


def tensors(*shapes: tuple[int, ...], dtype: torch.dtype = HALF) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [(torch.randn(shape, generator=generator) + 0.25).to(dtype) for shape in shapes]


def right(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, causal: bool) -> None:
    o, lse = attention(q, k, v, causal=causal, implementation="flash_v2_tensor_cores/triton", return_lse=True)
    expected = reference.attention(*(x.double().numpy() for x in (q, k, v)), causal=causal)
    o_expected, lse_expected = map(torch.from_numpy, expected)
    assert (o.shape, o.dtype, lse.dtype) == (q.shape, q.dtype, torch.float32)
    torch.testing.assert_close(o.double(), o_expected, rtol=0, atol=2e-3 if q.dtype == HALF else 2e-2)
    torch.testing.assert_close(lse.double(), lse_expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("dtype", [HALF, BFLOAT])
@pytest.mark.parametrize("lengths", [(1, 1), (33, 70), (90, 50), (64, 64), (0, 5), (5, 0)])
def test_any_lengths_and_heads(lengths: tuple[int, int], dtype: torch.dtype, causal: bool) -> None:
    seqlen_q, seqlen_k = lengths
    q, k, v = tensors((2, 4, seqlen_q, 40), *[(2, 2, seqlen_k, 40)] * 2, dtype=dtype)
    with watched():
        right(q, k, v, causal=causal)


VIEWS = {
    "heads behind rows": (lambda x: x.transpose(1, 2).contiguous().transpose(1, 2), True),
    "part of a larger one": (lambda x: torch.cat([x, x], dim=3)[..., : x.shape[3]], True),
    "columns first": (lambda x: x.transpose(2, 3).contiguous().transpose(2, 3), False),
    "rows of 18 bytes": (lambda x: torch.cat([x, x[..., :1]], dim=3)[..., : x.shape[3]], False),
    "a start between": (
        lambda x: torch.cat([x[..., :1], x, x[..., :7]], dim=3)[..., 1 : x.shape[3] + 1],
        False,
    ),
    "one head for all": (lambda x: x[:, :1].expand_as(x), False),
}


@pytest.mark.parametrize("kind", VIEWS)
def test_views_are_read_where_they_lie_or_copied(kind: str) -> None:
    view, as_it_is = VIEWS[kind]
    q, k, v = map(view, tensors(*[(2, 2, 20, 8)] * 3))
    assert (for_descriptor(q).data_ptr() == q.data_ptr()) == as_it_is
    with watched():
        right(q, k, v, causal=True)


@pytest.mark.parametrize("head_dim", [4, 20, 264])
def test_head_dims_without_rows_of_16_bytes_are_refused(head_dim: int) -> None:
    x = torch.zeros(1, 1, 4, head_dim, dtype=HALF)
    with pytest.raises(ValueError, match=rf"head_dim {head_dim}; it must be one of 8, 16, ... 256"):
        triton.attention(x, x, x)
    with pytest.raises(ValueError, match=r"q is torch.float32; it may be torch.float16 or torch.bfloat16"):
        triton.attention(*[torch.zeros(1, 1, 4, 16)] * 3)


def test_smaller_tiles_for_smaller_memories(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton, "SMALL", triton.FAST[256])
    found = []
    for memory in (227, 163, 99):  # KiB: of an H100, of an A100, of a GeForce
        monkeypatch.setattr(triton, "limit", lambda device, memory=memory: memory * 1024)
        chosen = triton.configuration(256, torch.device("cpu"))
        found.append((chosen["BR"], chosen["BC"]))
    assert found == [(128, 64), (64, 64), (64, 32)]


def test_scales_of_any_sign() -> None:
    q, k, v = tensors(*[(1, 1, 20, 16)] * 3)
    for scale in (-0.5, 0.0):
        o, lse = triton.attention(q, k, v, scale=scale)
        expected = torch.softmax(q.double() @ k.double().mT * scale, 3) @ v.double()
        torch.testing.assert_close(o.double(), expected, rtol=0, atol=2e-3)
    assert (lse == torch.tensor(math.log(20))).all()


def test_a_descriptor_larger_than_its_tensor_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from_tensor = triton.TensorDescriptor.from_tensor

    def longer(x: torch.Tensor, block: list[int]) -> object:
        found = from_tensor(x, block)
        found.shape = [*x.shape[:2], x.shape[2] + 1, x.shape[3]]
        return found

    monkeypatch.setattr(triton.TensorDescriptor, "from_tensor", longer)
    with watched(), pytest.raises(Exception) as error:
        triton.attention(*tensors(*[(1, 1, 20, 16)] * 3))
    assert isinstance(error.value.__cause__ or error.value, OutOfBounds)
    assert "reads q[320], and 15 more such, but q has 320 elements" in str(error.value)


class OnGpu(torch.Tensor):
    """A tensor that says it lies on a GPU."""

    is_cuda = True


@pytest.mark.parametrize(
    ("head_dim", "dtype", "capability", "name"),
    [
        (128, HALF, (9, 0), "flash_v2/gluon"),
        (64, HALF, (9, 0), "flash_v2_tensor_cores/triton"),
        (120, HALF, (9, 0), "flash_v2_tensor_cores/triton"),
        (136, HALF, (9, 0), "flash_v2_tensor_cores/triton"),
        (128, HALF, (10, 0), "flash_v2_tensor_cores/triton"),
        (40, BFLOAT, (10, 0), "flash_v2_tensor_cores/triton"),
        (20, HALF, (9, 0), "flash_v2/triton"),
        (64, torch.float32, (9, 0), "flash_v2/triton"),
        (64, HALF, (8, 9), "flash_v2/triton"),
        (264, HALF, (9, 0), "naive/triton"),
    ],
)
def test_without_a_name_it_is_taken_where_it_is_fastest(
    head_dim: int, dtype: torch.dtype, capability: tuple[int, int], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    q = torch.Tensor._make_subclass(OnGpu, torch.zeros(1, 1, 2, head_dim, dtype=dtype))
    assert flash_attention._fastest(q) == name
