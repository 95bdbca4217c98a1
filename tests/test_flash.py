"""FlashAttention-1 and -2: any tiles give the same answer, and what moves is what the formulas say."""

import numpy as np
import pytest
import torch

from flash_attention import reference, tiles
from flash_attention.flash_v1 import cuda_version as cuda_v1
from flash_attention.flash_v1 import numpy_version as numpy_v1
from flash_attention.flash_v2 import cuda_version as cuda_v2
from flash_attention.flash_v2 import numpy_version as numpy_v2
from flash_attention.trace import Memory
from workbench.cuda import observe, resources
from workbench.report.curves import curves
from workbench.report.on_chip import tile_strip

NUMPY = pytest.mark.parametrize("numpy_version", [numpy_v1, numpy_v2], ids=["v1", "v2"])
CUDA = pytest.mark.parametrize("cuda_version", [cuda_v1, cuda_v2], ids=["v1", "v2"])


def arrays(heads: int, heads_kv: int, seqlen_q: int, seqlen_k: int, head_dim: int) -> list[np.ndarray]:
    generator = np.random.default_rng(1)
    shapes = ((heads, seqlen_q), (heads_kv, seqlen_k), (heads_kv, seqlen_k))
    return [generator.standard_normal((1, *shape, head_dim)) + 0.3 for shape in shapes]


def tensors(*sizes: int, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    return [torch.from_numpy(x).to(dtype) for x in arrays(*sizes)]


@NUMPY
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("Br", "Bc"), [(1, 1), (7, 16), (64, 3), (100, 100)])
def test_numpy_tiles_of_any_size_give_the_same(numpy_version, causal, Br, Bc):
    q, k, v = arrays(4, 2, 37, 23, 8)
    o, lse = numpy_version.attention(q, k, v, causal=causal, Br=Br, Bc=Bc)
    right, right_lse = reference.attention(q, k, v, causal=causal)
    np.testing.assert_allclose(o, right, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(lse, right_lse, rtol=1e-12)


@CUDA
@pytest.mark.parametrize("size", [(16, 16), (32, 16), (64, 32), (16, 64)])
def test_cuda_tiles_of_any_size_give_the_same(cuda_version, size):
    q, k, v = tensors(2, 1, 70, 45, 24)
    o, lse = cuda_version.attention(q, k, v, causal=True, tiles=size)
    right, right_lse = reference.attention(*(x.double().numpy() for x in (q, k, v)), causal=True)
    np.testing.assert_allclose(o.numpy(), right, atol=2e-6)
    np.testing.assert_allclose(lse.numpy(), right_lse, atol=2e-6)


@CUDA
def test_cuda_reads_views_where_they_lie(cuda_version):
    q, k, v = (x.transpose(1, 2).contiguous().transpose(1, 2) for x in tensors(3, 3, 20, 20, 16))
    assert not q.is_contiguous()
    expected, _ = cuda_version.attention(q.contiguous(), k.contiguous(), v.contiguous())
    columns = (
        x.transpose(2, 3).contiguous().transpose(2, 3) for x in (q, k, v)
    )  # rows not contiguous: copied
    shared = k[:, :1].expand(-1, 3, -1, -1)  # a stride of 0
    assert torch.equal(cuda_version.attention(q, k, v)[0], expected)
    assert torch.equal(cuda_version.attention(*columns)[0], expected)
    assert torch.equal(
        cuda_version.attention(q, shared, shared)[0], cuda_version.attention(q, k[:, :1], k[:, :1])[0]
    )


@CUDA
@pytest.mark.parametrize("head_dim", [4, 20, 264])
def test_cuda_names_the_head_dims_that_it_has(cuda_version, head_dim):
    x = torch.zeros(1, 1, 4, head_dim)
    with pytest.raises(ValueError, match=rf"head_dim {head_dim}; it must be one of 8, 16, ... 256"):
        cuda_version.attention(x, x, x)


@CUDA
@pytest.mark.parametrize("shape", [(70_000, 1, 1, 8), (1, 70_000, 1, 8)])
def test_cuda_refuses_more_than_a_grid_has_room_for(cuda_version, shape):
    x = torch.zeros(shape)
    with pytest.raises(ValueError, match="70,000; at most 65,535"):
        cuda_version.attention(x, x, x)


@CUDA
@pytest.mark.parametrize("asked", [(20, 32), (16, 8), (512, 32), (0, 16), (32,)])
def test_cuda_refuses_tiles_that_the_threads_cant_share(cuda_version, asked):
    with pytest.raises(ValueError, match=r"it must be .*, multiples of 16 up to 256"):
        cuda_version.attention(*tensors(1, 1, 5, 5, 8), tiles=asked)


def bytes_of_v1(n: int, d: int, b: int, tile: int) -> int:
    return 2 * n * d * b + n // tile * (n * d * b + 8 * n * d + 16 * n)


def bytes_of_v2(n: int, d: int, b: int, tile: int) -> int:
    return 2 * n * d * b + 4 * n + n // tile * 2 * n * d * b


@pytest.mark.parametrize(
    ("numpy_version", "cuda_version", "formula", "o_itemsize"),
    [(numpy_v1, cuda_v1, bytes_of_v1, 4), (numpy_v2, cuda_v2, bytes_of_v2, 2)],
    ids=["v1", "v2"],
)
def test_trace_counters_and_formula_agree_on_the_bytes(numpy_version, cuda_version, formula, o_itemsize):
    n, d, tile = 96, 32, 32
    memory = Memory()
    numpy_version.attention(*arrays(1, 1, n, n, d), Br=tile, Bc=tile, memory=memory)
    with observe() as launches:
        cuda_version.attention(*tensors(1, 1, n, n, d, dtype=torch.float16), tiles=(tile, tile))
    counters = launches[0].counters
    assert memory.moved(2, o_itemsize) == formula(n, d, 2, tile)
    assert counters.global_load_bytes + counters.global_store_bytes == formula(n, d, 2, tile)
    assert counters.bytes_moved <= 1.05 * formula(n, d, 2, tile)  # whole sectors
    assert counters.bank_conflicts < 0.1 * counters.shared_wavefronts


def test_version_2_visits_no_tile_above_the_diagonal():
    q, k, v = arrays(1, 1, 64, 80, 8)
    first, second = Memory(), Memory()
    numpy_v1.attention(q, k, v, causal=True, Br=16, Bc=16, memory=first)
    numpy_v2.attention(q, k, v, causal=True, Br=16, Bc=16, memory=second)
    assert {(step.i, step.j) for step in first.steps} == {(i, j) for i in range(4) for j in range(5)}
    assert {(step.i, step.j) for step in second.steps} == {(i, j) for i in range(4) for j in range(i + 2)}
    assert sum(step.stored["O"] for step in first.steps) == 5 * q.size
    assert sum(step.stored["O"] for step in second.steps) == q.size
    figure = tile_strip({"1": first.steps, "2": second.steps}, (4, 5), shown=(1, 7, 20))
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["step 1 of 20", "step 7 of 20", "step 20 of 20", "step 1 of 14", "step 7 of 14", ""]
    assert figure.axes[0].get_xlabel() == "in: Q K V O l m\nout: O l m"


def test_curves_draw_a_line_or_rings_for_each_version():
    figure = curves(
        {"ms": {"a": {1024: 1.0, 2048: 4.0}, "b": {1024: 2.0}}, "MiB": {"a": {1024: 1.0}}}, points=("b",)
    )
    left, right = figure.axes
    assert [line.get_linestyle() for line in left.lines] == ["-", "None"]
    assert [label.get_text() for label in left.get_xticklabels()] == ["1k", "2k"]
    assert len(right.lines) == 1


@pytest.mark.parametrize("name", ["flash_v1", "flash_v2"])
@pytest.mark.parametrize("target", ["sm_80", "sm_90"])
@pytest.mark.parametrize("head_dim", [8, 136, 256])
def test_no_spills_at_any_head_dim(name, target, head_dim):
    """At the tiles taken there; the smaller ones, for less shared memory, where a row is longest."""
    source = {"flash_v1": cuda_v1, "flash_v2": cuda_v2}[name].HERE / f"{name}.cu"
    for size in tiles.SIZES if (head_dim, target) == (256, "sm_80") else tiles.SIZES[:1]:
        found = resources(source, name, tiles.macros(torch.float32, head_dim, size), target)
        assert (found.spill_stores, found.spill_loads, found.stack) == (0, 0, 0)
        assert tiles.shared_memory(size, head_dim) <= {"sm_80": 163 * 1024, "sm_90": 227 * 1024}[target]
