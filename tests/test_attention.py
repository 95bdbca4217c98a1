"""The oracle of attention, the front door, and the mistakes that every attention lesson's checker can name."""

import itertools
import re
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from mutants import once
from torch.nn.functional import scaled_dot_product_attention

import flash_attention
from flash_attention import arguments, reference
from lessons import attention_cases, attention_mistakes
from workbench.check.lesson import Implementation, Task
from workbench.check.outcome import Outcome, Verdict
from workbench.check.run import run_cases

# Those on tensor cores take no float32; test_tensor_core_attention.py, _triton.py and test_gluon.py have them.
NAMES = [
    name for name in flash_attention.implementations() if "tensor_cores" not in name and "gluon" not in name
]


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape)


# The oracle, against cases worked out by hand.


def test_one_key_gives_its_value_and_its_score() -> None:
    q, k, v = random(1, 1, 3, 8), random(1, 1, 1, 8), random(1, 1, 1, 8)
    o, lse = reference.attention(q, k, v)
    np.testing.assert_allclose(o, np.broadcast_to(v, o.shape))
    np.testing.assert_allclose(lse[0, 0], q[0, 0] @ k[0, 0, 0] / np.sqrt(8))


def test_equal_scores_give_the_mean_and_log_of_the_count() -> None:
    q, k, v = np.zeros((1, 1, 4, 2)), random(1, 1, 4, 2), random(1, 1, 4, 2)
    o, lse = reference.attention(q, k, v, causal=True)
    for i in range(4):
        np.testing.assert_allclose(o[0, 0, i], v[0, 0, : i + 1].mean(axis=0))
        np.testing.assert_allclose(lse[0, 0, i], np.log(i + 1))


def test_two_keys_by_hand() -> None:
    """Scores log 1 and log 3: weights 1/4 and 3/4, and the exponentials add up to 4."""
    q, k, v = np.ones((1, 1, 1, 1)), np.log([[[[1.0], [3.0]]]]), np.array([[[[8.0], [16.0]]]])
    o, lse = reference.attention(q, k, v, scale=1.0)
    np.testing.assert_allclose((o.item(), lse.item()), (14.0, np.log(4)))


@pytest.mark.parametrize(
    ("seqlen_q", "seqlen_k", "seen"),
    [(2, 4, [3, 4]), (4, 2, [0, 0, 1, 2]), (3, 3, [1, 2, 3]), (2, 0, [0, 0])],
)
def test_causal_masks_align_bottom_right(seqlen_q: int, seqlen_k: int, seen: list[int]) -> None:
    q, v = np.zeros((1, 1, seqlen_q, 1)), np.ones((1, 1, seqlen_k, 1))
    o, lse = reference.attention(q, v, v, causal=True)
    assert o[0, 0, :, 0].tolist() == [float(count > 0) for count in seen]
    np.testing.assert_allclose(np.exp(lse[0, 0]), seen)


def test_query_heads_share_their_neighbours_keys() -> None:
    q, k, v = random(1, 6, 5, 4), random(1, 2, 7, 4), random(1, 2, 7, 4)
    o, lse = reference.attention(q, k, v)
    for head in range(6):
        one = slice(head, head + 1), slice(head // 3, head // 3 + 1)
        alone, lse_alone = reference.attention(q[:, one[0]], k[:, one[1]], v[:, one[1]])
        np.testing.assert_array_equal(o[:, one[0]], alone)
        np.testing.assert_array_equal(lse[:, one[0]], lse_alone)


@pytest.mark.parametrize(
    ("causal", "sizes"), [*itertools.product((False, True), ((33, 47), (47, 33), (1, 9)))]
)
def test_oracle_agrees_with_torch_in_float64(causal: bool, sizes: tuple[int, int]) -> None:
    seqlen_q, seqlen_k = sizes
    q, k, v = random(2, 4, seqlen_q, 16), random(2, 2, seqlen_k, 16), random(2, 2, seqlen_k, 16)
    o, lse = reference.attention(q, k, v, causal=causal, scale=0.3)
    seen = torch.ones(sizes, dtype=torch.bool)
    seen = seen.tril(seqlen_k - seqlen_q) if causal else seen
    tq, tk, tv = (torch.from_numpy(x) for x in (q, k, v))
    expected = scaled_dot_product_attention(
        tq, tk, tv, attn_mask=seen, scale=0.3, enable_gqa=True
    ).nan_to_num(0.0)
    scores = (tq @ tk.repeat_interleave(2, 1).transpose(2, 3) * 0.3).masked_fill(~seen, -torch.inf)
    np.testing.assert_allclose(o, expected, atol=1e-14)
    np.testing.assert_allclose(lse, torch.logsumexp(scores, 3), atol=1e-13)


def test_nan_and_inf_go_where_the_oracle_says() -> None:
    q, k, v = random(1, 1, 4, 2), random(1, 1, 4, 2), random(1, 1, 4, 2)
    k[0, 0, 2], v[0, 0, 3] = np.nan, np.nan
    o, lse = reference.attention(q, k, v, causal=True)
    assert np.isnan(o[0, 0]).all(axis=1).tolist() == [False, False, True, True]
    assert np.isnan(lse[0, 0]).tolist() == [False, False, True, True]
    k[0, 0, 2] = -np.inf * np.sign(q[0, 0, 2])  # query 2's score of key 2 is -inf: as good as not seen
    without, _ = reference.attention(q[:, :, :2], k[:, :, :2], v[:, :, :2], causal=True)
    o, lse = reference.attention(q, k, v, causal=True)
    np.testing.assert_array_equal(o[:, :, :2], without)
    assert np.isfinite(o[0, 0, 2]).all()
    nothing, lse = reference.attention(q, np.full_like(k, -np.inf) * np.sign(q[:, :, :1]), v[:, :, :4] * 0)
    assert not nothing[0, 0, 0].any() and np.isneginf(lse[0, 0, 0])


# The front door.

Q, K = torch.zeros(2, 4, 5, 16), torch.zeros(2, 2, 7, 16)
BAD = {
    "lengths": ((Q, K, K[:, :, :6]), r"v has shape \(2, 2, 6, 16\) and k has \(2, 2, 7, 16\)"),
    "heads": ((Q, K[:, [0, 1, 1]], K[:, [0, 1, 1]]), r"k has 3 heads and q has 4.*divide"),
    "no heads": ((Q, K[:, :0], K[:, :0]), r"k has 0 heads and q has 4"),
    "head_dim": ((Q, K[..., :8], K[..., :8]), r"k has head_dim 8 and q has 16"),
    "no head_dim": ((Q[..., :0], K[..., :0], K[..., :0]), r"q has head_dim 0; it must be "),
    "batch": ((Q, K[:1], K[:1]), r"k has batch 1 and q has 2"),
    "dtypes": ((Q, K.half(), K.half()), r"k has dtype torch.float16 and q has torch.float32"),
    "v's dtype": ((Q, K, K.half()), r"v has dtype torch.float16"),
    "devices": ((Q, K, K.to("meta")), r"v has device meta and q has cpu"),
    "no memory": (tuple(x.to("meta") for x in (Q, K, K)), r"q has device meta; it must be the CPU or"),
    "3-D": ((Q[0], K, K), r"q has shape \(4, 5, 16\); it must be \(batch, heads, seqlen_q, head_dim\)"),
    "integers": ((Q.long(), K.long(), K.long()), r"q is torch.int64; it may be torch.float32"),
    "float64": ((Q.double(), K.double(), K.double()), r"q is torch.float64"),
    "a list": (([1.0], K, K), r"q is a list; pass a torch tensor"),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_refused_in_words(name: str, what: str) -> None:
    given, words = BAD[what]
    with pytest.raises(ValueError, match=words):
        flash_attention.attention(*given, implementation=name)
    with pytest.raises(ValueError, match=words):
        flash_attention.implementations()[name](*given)


@pytest.mark.parametrize("scale", ["0.5", True, torch.tensor(0.5)])
def test_a_scale_that_is_no_number_is_refused(scale: object) -> None:
    with pytest.raises(ValueError, match=r"scale is .*; it must be a number"):
        flash_attention.attention(Q, K, K, scale=scale)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("causal", ["no", None, 1])
def test_a_mask_that_is_neither_true_nor_false_is_refused(name: str, causal: object) -> None:
    with pytest.raises(ValueError, match=r"causal is .*; it must be True or False"):
        flash_attention.attention(Q, K, K, causal=causal, implementation=name)  # type: ignore[arg-type]


def test_an_unsupported_head_dim_is_told_what_is_supported() -> None:
    for supported, words in ((range(16, 257, 8), r"one of 16, 24, ... 256"), ((64, 128), "one of 64, 128")):
        with pytest.raises(ValueError, match=f"q has head_dim 7; it must be {words}"):
            arguments.check(Q[..., :7], K[..., :7], K[..., :7], None, head_dims=supported)


@pytest.mark.parametrize(
    ("asked", "nearest"),
    [
        ("flash_v2/tritn", "flash_v2/triton"),
        ("naive", "naive/cuda"),
        ("x", "flash_v1/cuda"),
        (["x"], "naive/cuda"),
    ],
)
def test_an_unknown_name_is_told_the_nearest(asked: object, nearest: str) -> None:
    with pytest.raises(ValueError, match=f"implementation is {re.escape(repr(asked))}.*{nearest}"):
        flash_attention.attention(Q, K, K, implementation=asked)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_front_door_gives_output_and_lse(name: str, dtype: torch.dtype) -> None:
    q, k, v = (
        torch.from_numpy(random(*shape)).to(dtype).transpose(1, 2)  # strides of any kind are taken
        for shape in ((2, 9, 4, 16), (2, 12, 2, 16), (2, 12, 2, 16))
    )
    expected, expected_lse = reference.attention(*(x.double().numpy() for x in (q, k, v)), causal=True)
    o, lse = flash_attention.attention(q, k, v, causal=True, implementation=name, return_lse=True)
    assert (o.shape, o.dtype, lse.dtype) == (q.shape, dtype, torch.float32)
    tolerance = 1e-5 if dtype is torch.float32 else 2e-2
    np.testing.assert_allclose(o.double(), expected, atol=tolerance)
    np.testing.assert_allclose(lse, expected_lse, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sizes", [(0, 3), (3, 0), (0, 0)])
def test_lengths_of_zero_have_defined_results(name: str, sizes: tuple[int, int]) -> None:
    q, k = torch.zeros(2, 4, sizes[0], 16), torch.zeros(2, 2, sizes[1], 16)
    for causal in (False, True):
        o, lse = flash_attention.attention(q, k, k, causal=causal, implementation=name, return_lse=True)
        assert o.shape == q.shape and not o.any()
        assert lse.shape == q.shape[:3] and torch.isneginf(lse).all()
    o = flash_attention.attention(q[:0], k[:0], k[:0], implementation=name)
    assert o.shape == (0, 4, sizes[0], 16)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("seqlen_q", "seqlen_k"), [(40, 40), (60, 40), (33, 80)])
@pytest.mark.parametrize("far", [False, True])
def test_nan_and_inf_in_v_reach_those_who_see_them(
    name: str, seqlen_q: int, seqlen_k: int, far: bool
) -> None:
    """far: with weights that are 0 in float32, and not in the oracle."""
    q, k, v = (torch.from_numpy(random(1, 2, n, 16)).float() for n in (seqlen_q, seqlen_k, seqlen_k))
    if far:
        q[0, 0], k[0, 0], k[0, 0, 20:31] = 3.0, 1.0, -9.0
    v[0, 0, 20, 3], v[0, 0, 25, 4], v[0, 0, 30, 5] = torch.nan, torch.inf, -torch.inf
    v[0, 0, 22, 6], v[0, 0, 28, 6] = torch.inf, -torch.inf
    for causal in (False, True):
        right, _ = reference.attention(*(x.double().numpy() for x in (q, k, v)), causal=causal)
        o, lse = flash_attention.attention(q, k, v, causal=causal, implementation=name, return_lse=True)
        if far:  # 0 * inf, or inf, or NaN later: either way not finite
            assert (torch.isfinite(o).numpy() == np.isfinite(right)).all()
        else:
            np.testing.assert_allclose(o, right, atol=1e-5)
        assert not lse.isnan().any()


def test_without_a_name_the_fastest_is_taken() -> None:
    o = flash_attention.attention(Q, K, K + 1)
    assert o.shape == Q.shape and (o == 1).all()


# The mistakes.

EVERYWHERE = dict.fromkeys(attention_mistakes.KNOWN, "the notebook, section 1: Any")
TASKS = {
    normalised: Task(
        name="attention",
        oracle=reference.attention,
        pytorch=attention_cases.plain,
        cases=tuple(c for c in attention_cases.CASES if not c.gpu_only),
        implementations=(),
        exercises=(),
        mistakes=attention_mistakes.mistakes(EVERYWHERE, normalised=normalised),
        counted=attention_cases.CASES[0],
        timed=attention_cases.CASES[0],
        traffic=attention_cases.traffic,
        accumulation=attention_cases.accumulation,
        outputs=("o", "lse"),
    )
    for normalised in (False, True)
}
SUBMISSIONS = [
    pytest.param(normalised, name, flaw, block, id=f"v{2 - normalised}-{flaw}-{block[0]}".replace(" ", "_"))
    for normalised in TASKS
    for name, (_, flaws, tile_matters) in attention_mistakes.KNOWN.items()
    for flaw in flaws
    for block in (attention_mistakes.BLOCKS if tile_matters else attention_mistakes.BLOCKS[:1])
]


def judged(normalised: bool, flaw: str, block: attention_mistakes.Block) -> Outcome:
    mutant = once(partial(attention_mistakes.tiled, block=block, flaw=flaw, normalised=normalised))

    def submission(*given: np.ndarray, **options: object) -> tuple[np.ndarray, np.ndarray]:
        with np.errstate(all="ignore"):
            return mutant(*given, **options)

    outcome = Outcome("attention", "submission", learners=True)
    return run_cases(TASKS[normalised], Implementation("mutant", submission, "numpy"), "cpu", outcome=outcome)


@pytest.mark.usefixtures("mutants_run_once")
@pytest.mark.parametrize(("normalised", "name", "flaw", "block"), SUBMISSIONS)
def test_each_mistake_is_rejected_and_named_at_each_tile_size(normalised, name, flaw, block) -> None:
    outcome = judged(normalised, flaw, block)
    assert outcome.verdict is Verdict.FAIL
    assert outcome.mistake == name, outcome.what_happened


@pytest.mark.parametrize("normalised", TASKS)
@pytest.mark.parametrize("block", attention_mistakes.BLOCKS)
def test_without_a_flaw_the_tiled_attention_passes(normalised: bool, block: attention_mistakes.Block) -> None:
    outcome = judged(normalised, "", block)
    assert outcome.verdict is Verdict.PASS, outcome.what_happened


def test_plain_pytorch_is_right_where_it_is_the_measure() -> None:
    """In float32 it must pass the rule itself, so that the rule asks for nothing impossible."""
    task = replace(TASKS[False], cases=tuple(c for c in TASKS[False].cases if c.dtype == "float32"))

    def submission(*given: np.ndarray, **options: bool) -> tuple[np.ndarray, ...]:
        tensors = (torch.from_numpy(x).float() for x in given)
        return tuple(x.numpy() for x in attention_cases.plain(*tensors, **options))

    outcome = Outcome("attention", "plain", learners=True)
    run_cases(task, Implementation("plain", submission, "numpy"), "cpu", outcome=outcome)
    assert outcome.verdict is Verdict.PASS, outcome.what_happened
