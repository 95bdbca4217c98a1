"""The online softmax: its merge in any order, rows of any length, bad input, and the bytes of each version."""

import itertools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from flash_attention.arguments import Sizes
from flash_attention.naive import cuda_version as naive
from flash_attention.softmax import cuda_version, numpy_version, triton_version
from flash_attention.softmax.numpy_version import Statistics, merge, nothing, statistics
from workbench.cuda import observe, resources

NAMES = ("three_pass", "online", "one_pass")
VERSIONS = [
    pytest.param(getattr(module, f"softmax_{name}"), id=f"{module.__name__.split('.')[-1]}-{name}")
    for module in (cuda_version, triton_version)
    for name in NAMES
]
Softmax = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def row(kind: str) -> np.ndarray:
    x = np.random.default_rng(3).standard_normal((5, 24))
    if kind == "far apart":
        x *= 300
    if kind == "hidden":
        x[:, 4:12] = -np.inf
        x[2] = -np.inf
    return x


def parts(x: np.ndarray, count: int) -> list[Statistics]:
    return [statistics(part) for part in np.array_split(x, count, axis=1)]


def in_a_tree(some: list[Statistics], rng: random.Random) -> Statistics:
    """Merged two at a time, any two, until one is left."""
    while len(some) > 1:
        rng.shuffle(some)
        some = (
            [merge(some[0], some[1]), *some[2:]]
            if rng.random() < 0.5
            else [*some[2:], merge(some[1], some[0])]
        )
    return some[0]


@pytest.mark.parametrize("kind", ["ordinary", "far apart", "hidden"])
def test_the_merge_is_associative_and_commutative(kind: str) -> None:
    x = row(kind)
    m, l = statistics(x)
    orders = [in_a_tree(list(order), random.Random(0)) for order in itertools.permutations(parts(x, 4))]
    trees = [in_a_tree(parts(x, count), random.Random(count)) for count in range(1, 25)]
    for merged_m, merged_l in orders + trees:
        np.testing.assert_array_equal(merged_m, m)
        np.testing.assert_allclose(merged_l, l, rtol=1e-14)


def test_nothing_changes_nothing() -> None:
    x = row("hidden")
    for merged in (merge(nothing(x), statistics(x)), merge(statistics(x), nothing(x))):
        np.testing.assert_array_equal(merged, statistics(x))
    np.testing.assert_array_equal(merge(nothing(x), nothing(x)), nothing(x))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(3, 1), (3, 200), (0, 5), (3, 0)])
def test_numpy_agrees_with_torch_in_float64(name: str, shape: tuple[int, int]) -> None:
    x = np.random.default_rng(1).standard_normal(shape) * 30
    y, lse = getattr(numpy_version, f"softmax_{name}")(x)
    np.testing.assert_allclose(y, torch.softmax(torch.from_numpy(x), 1), atol=1e-15)
    np.testing.assert_allclose(lse, torch.logsumexp(torch.from_numpy(x), 1), rtol=1e-14)


@pytest.mark.parametrize("softmax", VERSIONS)
@pytest.mark.parametrize("columns", [8192, 8193, 9000, 33_000])
def test_long_rows_are_right_where_the_share_of_a_thread_changes(softmax: Softmax, columns: int) -> None:
    x = torch.from_numpy(np.random.default_rng(2).standard_normal((1, columns), dtype=np.float32))
    y, lse = softmax(x)
    torch.testing.assert_close(y, torch.softmax(x, 1), atol=1e-8, rtol=1e-4)
    torch.testing.assert_close(lse, torch.logsumexp(x, 1))


@pytest.mark.parametrize("softmax", VERSIONS)
@pytest.mark.parametrize(
    ("x", "words"),
    [
        (torch.zeros(4), r"x has shape \(4,\); it must be \(rows, columns\)"),
        (torch.zeros(4, 4).double(), "x is torch.float64; it may be torch.float32"),
        (torch.zeros(4, 8)[:, ::2], r"x is not contiguous.*x\.contiguous"),
        ([[1.0]], "x is a list; pass a torch tensor"),
    ],
)
def test_bad_input_is_refused_in_words(softmax: Softmax, x: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        softmax(x)


@pytest.mark.parametrize(("name", "reads"), [("three_pass", 3), ("online", 2), ("one_pass", 1)])
def test_each_version_reads_the_row_as_often_as_its_name_says(name: str, reads: int) -> None:
    x = torch.ones(3, 1000)
    with observe() as launches:
        getattr(cuda_version, f"softmax_{name}")(x)
    assert launches[0].counters is not None
    assert launches[0].counters.global_load_bytes == reads * x.nbytes
    assert launches[0].counters.global_store_bytes == x.nbytes + 4 * len(x)


@pytest.mark.parametrize(
    ("sizes", "dtype"),
    [(Sizes(1, 1, 1, 64, 64, 64), torch.float32), (Sizes(2, 4, 2, 33, 70, 40), torch.float16)],
)
def test_naive_attention_moves_the_bytes_that_its_formula_says(sizes: Sizes, dtype: torch.dtype) -> None:
    q = torch.ones(sizes.batch, sizes.heads, sizes.seqlen_q, sizes.head_dim, dtype=dtype)
    k = torch.ones(sizes.batch, sizes.heads_kv, sizes.seqlen_k, sizes.head_dim, dtype=dtype)
    with observe() as launches:
        naive.attention(q, k, k)
    seen = [launch.counters for launch in launches if launch.counters is not None]
    assert len(seen) == 3
    assert sum(one.global_load_bytes + one.global_store_bytes for one in seen) == naive.bytes_asked(
        sizes, dtype.itemsize
    )


@pytest.mark.parametrize("columns", [8192, cuda_version.LONGEST])
@pytest.mark.parametrize("target", ["sm_80", "sm_90"])
def test_the_longest_rows_are_kept_in_registers(columns: int, target: str) -> None:
    macros = cuda_version.macros("float", *cuda_version.shares(columns))
    found = resources(cuda_version.HERE / "one_pass.cu", "softmax", macros, target)
    assert (found.spill_stores, found.spill_loads, found.stack) == (0, 0, 0)
