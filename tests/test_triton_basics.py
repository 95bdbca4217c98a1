"""Lesson 6's kernels beyond its checker's cases: bad input, special values, views, and what they compile to."""

import warnings

import pytest
import torch

from cuda_basics.softmax import cuda_version as cuda
from triton_basics import matmul as product
from triton_basics.matmul import matmul, tile_order
from triton_basics.softmax import softmax
from workbench.check.exercise import function_from
from workbench.gpu import has_gpu
from workbench.report import tiles
from workbench.triton.compiler import compiled_apart
from workbench.triton.interpreter import watched

SOFTMAXES = pytest.mark.parametrize("function", [softmax, cuda.softmax], ids=["triton", "cuda"])
INFINITY = float("inf")


@SOFTMAXES
@pytest.mark.parametrize(
    ("x", "words"),
    [
        (torch.zeros(4), r"x has shape \(4,\); it must be \(rows, columns\)"),
        (torch.zeros(2, 2).double(), "x is torch.float64; it may be torch.float32 or"),
        ([[1.0]], "x is a list"),
        (torch.empty(2**16, 2**16, device="meta"), "x has 4,294,967,296 elements; at most 2,147,418,112"),
        (torch.empty(2**16, 2**16, device="meta")[:, ::2], "x spans 4,294,967,295 elements; at most"),
    ],
)
def test_softmax_refuses_what_it_cannot_do(function, x, words):
    with pytest.raises(ValueError, match=words):
        function(x)


@SOFTMAXES
def test_softmax_of_special_values_is_pytorchs(function):
    x = torch.randn(7, 300)
    x[0] = -INFINITY
    x[1, :200] = -INFINITY
    x[2, 7] = INFINITY
    x[3, 299] = float("nan")
    x[4] = 1e30
    long = torch.randn(4, 70_000)
    long[0, :40_000] = -INFINITY
    long[1] = -INFINITY
    long[2, 69_999] = INFINITY
    long[3, 0] = float("nan")
    for each in (x, long):
        torch.testing.assert_close(function(each), torch.softmax(each, dim=1), equal_nan=True)


def test_the_interpreter_doesnt_speak_of_nan_where_it_is_watched():
    """What it said would stand under the learner's row."""
    x = torch.full((3, 5), -INFINITY)
    with watched(), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert softmax(x).isnan().all()


@SOFTMAXES
def test_softmax_takes_any_view(function):
    x = torch.randn(40, 60)
    for view in (x.T, x[:, ::2], x[3:, 1:], x[::3], x[:1].expand(5, 60)):
        torch.testing.assert_close(function(view), torch.softmax(view, dim=1))


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (torch.zeros(3, 4), torch.zeros(5, 6), "b has 5 rows and a has 4 columns"),
        (torch.zeros(3, 4), torch.zeros(4, 6).half(), "b has dtype torch.float16 and a has torch.float32"),
        (torch.zeros(3, 4), torch.zeros(4, 6, device="meta"), "b has device meta and a has cpu"),
        (torch.zeros(3), torch.zeros(4, 6), r"a has shape \(3,\); it must be \(M, K\)"),
        (torch.zeros(3, 4), torch.zeros(2, 4, 6), r"b has shape \(2, 4, 6\); it must be \(K, N\)"),
        (torch.zeros(3, 4).int(), torch.zeros(4, 6).int(), "a is torch.int32; it may be"),
        (torch.zeros(3, 4).bfloat16(), torch.zeros(4, 6).bfloat16(), "a is bfloat16 on a CPU"),
        (torch.zeros(2**16, 1), torch.zeros(1, 2**16), "a b would have 4,294,967,296 elements; at most"),
    ],
)
def test_matmul_refuses_what_it_cannot_multiply(a, b, words):
    with pytest.raises(ValueError, match=words):
        matmul(a, b)


@pytest.mark.parametrize("shape", [(0, 3, 4), (3, 0, 4), (3, 4, 0), (0, 0, 0)])
def test_matmul_of_empty_matrices_is_pytorchs(shape):
    m, n, k = shape
    a, b = torch.ones(m, k), torch.ones(k, n)
    assert torch.equal(matmul(a, b), a @ b)


def test_matmul_takes_views_and_tiles_of_ones_own():
    a, b = torch.randn(70, 90)[:, ::2], torch.randn(50, 45).T
    config = product.tiles(32, 16, 16, group=3, warps=4, stages=2)
    for chosen in (None, config):
        torch.testing.assert_close(matmul(a, b, config=chosen), a @ b, atol=1e-4, rtol=1e-4)
        expected = torch.nn.functional.leaky_relu(a @ b, 0.2)
        torch.testing.assert_close(matmul(a, b, slope=0.2, config=chosen), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("sizes", [(0, 1, 1), (1, 2**15, 1), (1, 1, 0)])
def test_tile_order_refuses_impossible_sizes(sizes):
    with pytest.raises(
        ValueError, match=r"(tiles_m|tiles_n|group) is \d+; it may be an integer from 1 to 32,767"
    ):
        tile_order(*sizes)


def test_strips_are_counted_by_wave():
    order = tile_order(4, 4, 2).numpy()
    assert tiles.strips(order, 4) == [(2, 2)] * 4
    assert tiles.strips(tile_order(4, 4, 1).numpy(), 4) == [(1, 4)] * 4
    assert tiles.strips(order, 10) == [(4, 4), (2, 3)]


def test_pictures_show_what_they_are_given():
    figure = tiles.group_bars({1: 2.0, 8: 1.0}, {1: 600.0}, "a GPU", "counted")
    assert [[bar.get_height() for bar in axes.patches] for axes in figure.axes] == [[2.0, 1.0], [600.0]]
    assert len(tiles.group_bars({1: 2.0}, {}, "", "counted").axes) == 1
    figure = tiles.rate_lines({"Triton": {64: 10.0, 128: 20.0}, "CUDA": {64: 5.0}}, 30.0, "a GPU")
    assert [list(line.get_ydata()) for line in figure.axes[0].lines] == [[10.0, 20.0], [5.0], [30, 30]]
    orders = {str(group): tile_order(3, 2, group).numpy() for group in (1, 3)}
    numbers = [[text.get_text() for text in axes.texts] for axes in tiles.wave_map(orders, 2).axes]
    assert numbers == [["0", "1", "2", "3", "4", "5"]] * 2
    titles = [axes.get_title() for axes in tiles.wave_map(orders, 2).axes]
    assert titles == ["1: 1 + 2 strips", "3: 2 + 1 strips"]


# What the compiler made of them.


PRODUCT = """
import torch
from triton_basics.matmul import CONFIGS, matmul
a = torch.empty(512, 512, dtype=torch.{})
matmul(a, a, config={})
"""


@pytest.mark.parametrize("config", ["None", "CONFIGS[a.element_size()][0]"], ids=["DEFAULT", "first"])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_products_use_tensor_cores_in_half_precision_only(dtype, config):
    """`DEFAULT`, and the first that tuning would try."""
    made = compiled_apart(PRODUCT.format(dtype, config), ("sm_80", "sm_90"))
    old, new = (made[target]["matmul_kernel"] for target in ("sm_80", "sm_90"))
    assert (old["mma.sync"] > 0, old["wgmma"]) == (dtype == "float16", 0)
    assert (new["mma.sync"], new["wgmma"] > 0) == (0, dtype == "float16")
    for figures in (old, new):
        assert figures["local_memory"] == 0 and figures["cp.async"] > 0


def test_what_the_compiler_refuses_is_told():
    with pytest.raises(RuntimeError, match="NameError: name 'nothing' is not defined"):
        compiled_apart("nothing", ("sm_90",))


HALF = """
import triton
import triton.language as tl

@triton.jit
def half_kernel(x, y, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.store(y + i, tl.load(x + i, mask=i < BLOCK // 2))

def half(x, y):
    half_kernel[(1,)](x, y, BLOCK=8)
"""


@pytest.mark.skipif(has_gpu(), reason="on a GPU what a mask leaves out is undefined")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int32])
def test_what_a_load_without_other_leaves_out_is_poisoned(dtype, tmp_path):
    (tmp_path / "half.py").write_text(HALF)
    x, y = torch.ones(8, dtype=dtype), torch.zeros(8, dtype=dtype)
    with watched():
        function_from(tmp_path / "half.py", "half")(x, y)
    assert (y[:4] == 1).all()
    assert (y[4:] == -1).all() if dtype == torch.int32 else y[4:].isnan().all()


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (torch.eye(4).to_sparse(), "to_dense"),
        (torch.ones(4, 4)._neg_view(), "resolve_neg"),
    ],
)
def test_tensors_without_plain_memory_are_refused(x, words):
    with pytest.raises(ValueError, match=words):
        softmax(x)
    with pytest.raises(ValueError, match=words):
        matmul(x, x)
