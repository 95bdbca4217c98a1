"""FlashAttention-2 on tensor cores: steps and head_dims against the oracle, its arithmetic at the edges, refusals."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from flash_attention import attention, reference
from flash_attention.tensor_cores import cuda_version as cuda
from lessons.attention_cases import accumulation, plain
from lessons.demands import overlaps
from lessons.lesson12_fast_flash_attention_2.check import LESSON, keeps_p_in_registers
from lessons.lesson12_fast_flash_attention_2.mistakes import on_lanes
from workbench import lessons
from workbench.check.compare import tolerance, wrong_places
from workbench.check.outcome import Outcome, Verdict
from workbench.check.run import run_cases
from workbench.cuda import observe, resources
from workbench.report.bounds import bounds
from workbench.report.curves import curves
from workbench.report.ladder import ladder

HALF, BFLOAT = torch.float16, torch.bfloat16
CPU = torch.device("cpu")
ARITHMETIC = ("plain", "registers", "tuned")  # the steps that differ in it
MASKS = ("plain", "causal", "tuned")  # and in how they mask
SHIPPED_HEAD_DIMS = (32, 64, 96, 128, 192, 256)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small products are done sooner than threads for them are waiting."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tensors(
    seqlen_q: int,
    seqlen_k: int,
    head_dim: int,
    dtype: torch.dtype = HALF,
    *,
    batch: int = 1,
    heads: tuple[int, int] = (1, 1),
    mean: float = 0.25,
) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seqlen_q * 1000 + seqlen_k)
    shapes = ((batch, heads[i > 0], (seqlen_q, seqlen_k)[i > 0], head_dim) for i in range(3))
    return [(torch.randn(shape, generator=generator) + mean).to(dtype) for shape in shapes]


def check(inputs: Sequence[torch.Tensor], step: str = "tuned", **options: Any) -> None:
    """Hold o and lse against the oracle, as the checker does."""
    arrays = [x.double().numpy() for x in inputs]
    found, right = cuda.attention(*inputs, step=step, **options), reference.attention(*arrays, **options)
    rough = plain(*inputs, **options)
    with np.errstate(invalid="ignore"):
        operations = accumulation(*arrays, **options)
    for out, expected, low in zip(found, right, rough, strict=True):
        name = str(low.dtype).removeprefix("torch.")
        allowed = tolerance(expected, low.double().numpy, name, operations)
        assert out.dtype == low.dtype and not wrong_places(out.double().numpy(), expected, allowed).any()


# Sizes


@pytest.mark.parametrize("step", cuda.STEPS[:-1])
@pytest.mark.parametrize("head_dim", cuda.STEPS_HEAD_DIMS)
def test_every_step_at_its_head_dims(step: str, head_dim: int) -> None:
    dtype = BFLOAT if head_dim == 64 else HALF
    check(tensors(70, 130, head_dim, dtype, heads=(4, 2)), step, causal=True)


@pytest.mark.parametrize(
    ("head_dim", "dtype"),
    [
        *((head_dim, HALF) for head_dim in (8, 64, 96, 128, 136, 256)),
        *((head_dim, BFLOAT) for head_dim in (40, 64, 72, 128, 192)),
    ],
)
def test_tuned_at_any_head_dim(head_dim: int, dtype: torch.dtype) -> None:
    check(tensors(150, 200, head_dim, dtype, heads=(2, 1)), causal=True)
    check(tensors(90, 50, head_dim, dtype, batch=2), causal=True)  # 40 rows see no key


@pytest.mark.parametrize("step", MASKS)
@pytest.mark.parametrize("length", [1, 17, 63, 64, 65, 130])
def test_lengths_that_divide_nothing(step: str, length: int) -> None:
    check(tensors(length, length, 64), step, causal=True)
    check(tensors(length, length + 30, 64), step)


@pytest.mark.parametrize("step", MASKS)
@pytest.mark.parametrize("causal", [False, True])
def test_no_keys_and_no_queries(step: str, causal: bool) -> None:
    check(tensors(17, 0, 64), step, causal=causal)
    check(tensors(0, 17, 64), step, causal=causal)
    o, lse = cuda.attention(*tensors(5, 5, 64, heads=(0, 0)), step=step, causal=causal)
    assert o.shape == (1, 0, 5, 64) and lse.shape == (1, 0, 5)


def test_smaller_tiles_for_smaller_memories(monkeypatch: pytest.MonkeyPatch) -> None:
    for tiles in cuda.TILES[256][1:]:
        monkeypatch.setattr(cuda, "choose", lambda *_, tiles=tiles: tiles)
        check(tensors(150, 100, 256, heads=(2, 1)), causal=True)


def test_which_tiles_fit() -> None:
    assert cuda.choose(40, CPU) == cuda.choose(64, CPU) != cuda.choose(72, CPU) == cuda.choose(128, CPU)
    for head_dim in cuda.HEAD_DIMS:
        assert cuda.shared_memory("tuned", head_dim, cuda.choose(head_dim, CPU)) <= 227 * 1024
        least = min(
            cuda.shared_memory("tuned", head_dim, t)
            for t in cuda.TILES[64 * (1, 2, 4, 4)[(head_dim - 1) // 64]]
        )
        assert least <= 99 * 1024  # the smallest of any GPU from sm_80 on


def test_heads_are_dealt_out_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven heads, three at a time: each tile of each head is worked on once."""
    monkeypatch.setattr(cuda, "_together", lambda *_: 3)
    for step in ("causal", "tuned"):
        check(tensors(140, 100, 64, heads=(7, 7)), step, causal=True)


# Where the numbers lie


def as_view(x: torch.Tensor, kind: str) -> torch.Tensor:
    """The same numbers, lying otherwise."""
    if kind == "transposed":  # (batch, seqlen, heads, head_dim) in memory
        return x.transpose(1, 2).contiguous().transpose(1, 2)
    if kind == "columns":  # rows aren't contiguous
        return x.transpose(2, 3).contiguous().transpose(2, 3)
    if kind == "odd start":
        memory = torch.zeros(x.numel() + 1, dtype=x.dtype)
        memory[1:] = x.flatten()
        return memory[1:].view(x.shape)
    memory = torch.zeros(*x.shape[:3], x.shape[3] + 3, dtype=x.dtype)  # odd strides
    memory[..., :-3] = x
    return memory[..., :-3]


@pytest.mark.parametrize("kind", ["transposed", "columns", "odd start", "odd strides"])
@pytest.mark.parametrize("step", ["plain", "tuned"])
def test_views_give_the_same(kind: str, step: str) -> None:
    inputs = tensors(70, 130, 64, batch=2, heads=(3, 3))
    expected = cuda.attention(*inputs, causal=True, step=step)
    found = cuda.attention(*(as_view(x, kind) for x in inputs), causal=True, step=step)
    assert all(map(torch.equal, found, expected))


def test_a_transposed_tensor_is_read_where_it_lies_and_a_stride_of_0_too() -> None:
    q, k, v = tensors(20, 70, 64, batch=2, heads=(4, 1))
    view = as_view(q, "transposed")
    assert cuda._aligned(view) is view and cuda._aligned(as_view(q, "odd start")) is not q
    shared = [x.expand(-1, 4, -1, -1) for x in (k, v)]
    assert all(cuda._aligned(x) is x for x in shared)
    assert torch.equal(cuda.attention(q, *shared)[0], cuda.attention(q, k, v)[0])


def test_one_row_may_have_any_stride() -> None:
    q, k, v = tensors(1, 1, 64)
    strided = torch.as_strided(q, q.shape, (3, 5, 7, 1))
    assert cuda._aligned(strided) is strided
    assert torch.equal(cuda.attention(strided, k, v)[0], cuda.attention(q, k, v)[0])


# Numbers at the edges


@pytest.mark.parametrize("step", ARITHMETIC)
@pytest.mark.parametrize("scale", [0.5, 0.0, -0.2, -3])
def test_any_scale(step: str, scale: float) -> None:
    check(tensors(33, 100, 64), step, scale=scale, causal=True)


@pytest.mark.parametrize("step", ARITHMETIC)
@pytest.mark.parametrize("dtype", [HALF, BFLOAT])
def test_scores_of_ten_thousand_and_very_negative_ones(step: str, dtype: torch.dtype) -> None:
    """The maximum starts at -3e38, a finite number: every score is far above, and nothing is lost beside it."""
    q, k, v = tensors(70, 200, 64, dtype)
    large = q * 500  # scores, scaled, of about +-1e3, and up to 1e4 beside those of the next lines
    check((large, k, v), step)
    check((large, k * 10, v), step, causal=True)
    check((torch.full_like(q, 12), torch.full_like(k, -12) + k / 8, v), step)  # all near -1150
    check((torch.full_like(q, 36), torch.full_like(k, -36) + k / 8, v), step, causal=True)  # all near -10,000
    o, lse = cuda.attention(torch.full_like(q, 36), torch.full_like(k, -36), torch.ones_like(v), step=step)
    assert (o == 1).all() and torch.allclose(lse, torch.tensor(-36 * 36 * 8 + np.log(200)).float(), rtol=1e-6)


@pytest.mark.parametrize("step", ARITHMETIC)
@pytest.mark.parametrize("growth", [0.0, 5.0, 6.0, 100.0, -100.0])
def test_a_maximum_that_grows_from_tile_to_tile(step: str, growth: float) -> None:
    """Tiles are visited from the last to the first; each holds scores higher by `growth` than the one before.

    The tuned step lets P grow to 2^8 before it rescales: below 5.5 = 8 ln 2, at 6, and above.
    """
    q, k, v = tensors(40, 320, 64)
    q[..., 0], q[..., 1:] = 8, 0  # a score is k's first number: 8 / sqrt(64)
    k[..., 0] = -growth * (torch.arange(320) // 64)
    check((q, k, v), step)
    k[..., 0] += torch.randn(320, generator=torch.Generator().manual_seed(1))
    check((q, k, v), step, causal=True)


@pytest.mark.parametrize("step", MASKS)
def test_rows_whose_first_tile_is_masked(step: str) -> None:
    """Of a block's 64 rows the first see none of the last tile's keys; its other rows see some."""
    for shift in (-65, -1, 1, 63):
        check(tensors(140, 140 + shift, 64, heads=(2, 1)), step, causal=True)
    q, k, v = tensors(64, 128, 64)
    k[..., 64:, :] = -torch.inf  # scores of -inf in the whole first tile visited (q is positive)
    check((q.abs() + 0.1, k, v), step)
    k[...] = -torch.inf
    o, lse = cuda.attention(q.abs() + 0.1, k, v, step=step)
    assert (o == 0).all() and (lse == -torch.inf).all()


@pytest.mark.parametrize("step", ARITHMETIC)
@pytest.mark.parametrize("causal", [False, True])
def test_nan_and_inf_stay_where_they_belong(step: str, causal: bool) -> None:
    q, k, v = tensors(70, 130, 64)
    q[..., 30, 5], k[..., 100, 3] = torch.nan, torch.nan
    check((q, k, v), step, causal=causal)
    q, k, v = tensors(70, 130, 64)
    k[..., 90, 3], q[..., 11, 7] = torch.inf, -torch.inf
    check((q, k, v), step, causal=causal)


def test_bfloat16_beyond_float16() -> None:
    q, k, v = tensors(20, 70, 64, BFLOAT)
    check((q * 1e15, k * 1e15, v * 1e30))


# What the steps promise


def test_bank_conflicts_and_copies_step_by_step() -> None:
    inputs = tensors(64, 256, 64, BFLOAT)
    seen = {}
    for step in cuda.STEPS:
        with observe() as launches:
            cuda.attention(*inputs, step=step)
        seen[step] = launches[0].counters
    assert seen["plain"].shared_load_wavefronts > 20 * seen["plain"].shared_load_requests
    for step in cuda.STEPS[1:]:
        assert seen[step].bank_conflicts == 0
    assert seen["plain"].tensor_core_operations_beside_copies == 0
    assert seen["prefetch"].tensor_core_operations_beside_copies > 0
    assert seen["prefetch"].shared_store_requests > 0 == seen["registers"].shared_store_requests


def test_causal_tiles_are_left_out() -> None:
    done = {}
    for step in ("registers", "causal"):
        with observe() as launches:
            cuda.attention(*tensors(256, 256, 64), causal=True, step=step)
        done[step] = launches[0].counters.tensor_core_operations
    assert done["registers"] == 4 * 256 * 256 * 64
    assert done["causal"] == done["registers"] * 10 / 16  # 4 x 4 tiles, of which 6 lie above the diagonal


def test_a_launch_repeats_bit_for_bit() -> None:
    inputs = tensors(130, 200, 64, heads=(4, 2))
    first, second = (cuda.attention(*inputs, causal=True) for _ in range(2))
    assert all(map(torch.equal, first, second))


def test_the_front_door_opens_it() -> None:
    inputs = tensors(50, 70, 40, heads=(4, 2))
    o, lse = attention(*inputs, causal=True, implementation="flash_v2_tensor_cores/cuda", return_lse=True)
    assert all(map(torch.equal, (o, lse), cuda.attention(*inputs, causal=True)))


@pytest.mark.parametrize(("target", "dtype"), [("sm_80", HALF), ("sm_90", BFLOAT)])
@pytest.mark.parametrize("head_dim", SHIPPED_HEAD_DIMS)
def test_no_spills_at_the_default_tiles(head_dim: int, dtype: torch.dtype, target: str) -> None:
    defines = cuda.macros(dtype, head_dim, cuda.choose(head_dim, CPU))
    found = resources(cuda.HERE / "tuned.cu", "flash_attention", defines, target)
    assert (found.spill_stores, found.spill_loads, found.stack) == (0, 0, 0)


def test_files_are_as_short_as_promised() -> None:
    for step in cuda.STEPS:
        assert len((cuda.HERE / f"{step}.cu").read_text().splitlines()) <= 350


# The lesson

SERIAL = """
  for (int j = tiles - 1; j >= 0; --j) {
    fetch(j, 0);
    end_copy_group();
    wait_copy_groups<0>();
    __syncthreads();
    attend(j, 0);
    __syncthreads();
  }
"""
AHEAD = """
  if (tiles > 0) fetch(tiles - 1, 0);
  end_copy_group();
  for (int j = tiles - 1, stage = 0; j >= 0; --j, stage = 1 - stage) {
    wait_copy_groups<0>();
    __syncthreads();
    if (j > 0) fetch(j - 1, 1 - stage);
    end_copy_group();
    attend(j, stage);
  }
"""


@pytest.mark.parametrize(("answer", "words"), [(SERIAL, "only 0% of the products"), (AHEAD, "")])
def test_what_the_third_exercise_demands(tmp_path: Path, answer: str, words: str) -> None:
    task, exercise = LESSON.exercises[2]
    text, path = (lessons.folder(12) / exercise.file).read_text(), tmp_path / exercise.file
    path.write_text(text.replace(f"// <<< {exercise.blank}", f"{answer}\n  // <<< {exercise.blank}"))
    outcome = run_cases(
        task, exercise.implementation(path), "cpu", outcome=Outcome(task.name, "it"), demand=exercise.demand
    )
    assert words in outcome.what_happened and bool(words) == (outcome.verdict is Verdict.FAIL)


@pytest.mark.parametrize(("step", "stored"), [("prefetch", True), ("registers", False)])
def test_p_on_its_way_through_shared_memory_is_noticed(step: str, stored: bool) -> None:
    with observe() as launches:
        cuda.attention(*tensors(64, 128, 64), step=step)
    assert ("shared memory" in keeps_p_in_registers(launches)) == stored and not overlaps(launches, advice="")


def test_the_mutants_are_attention_without_their_flaws() -> None:
    arrays = [x.double().numpy() for x in tensors(70, 130, 64, heads=(4, 2))]
    for options in ({}, {"causal": True}, {"scale": -0.3}):
        o, lse = on_lanes(*arrays, **options)
        right, right_lse = reference.attention(*arrays, **options)
        assert np.allclose(o, right, atol=2e-3) and np.allclose(lse, right_lse, atol=1e-5)


def test_bounds_marks_the_largest() -> None:
    axes = bounds({"a": {"x": 1.0, "y": 30.0}, "b": {"x": 5.0, "y": 3.0}}, "cycles").axes[0]
    assert [text.get_text() for text in axes.texts] == ["30", "5"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]


def test_ladder_shows_more_rivals() -> None:
    timing = {"tflop_per_s": 100.0, "median": 1.0, "pytorch_median": 0.5, "product_tflop_per_s": 700.0}
    measured = {"machine": {"gpu": "G", "date": "2026-01-01"}, "rows": [{"name": "a", "timing": timing}]}
    axes = ladder(measured, ["a"], pytorch="P", others={"Q": 300.0}).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "P", "Q"]
    assert [round(bar.get_width()) for bar in axes.patches] == [100, 200, 300]


def test_curves_may_start_at_0() -> None:
    axes = curves({"TFLOP/s": {"a": {512: 150.0, 1024: 300.0}}}, linear=True).axes[0]
    assert axes.get_ylim()[0] == 0 and axes.get_yscale() == "linear"


# What is refused


def zeros(*shape: int, dtype: torch.dtype = HALF) -> torch.Tensor:
    return torch.zeros(shape, dtype=dtype)


@pytest.mark.parametrize(
    ("inputs", "options", "words"),
    [
        ([zeros(1, 1, 4, 64, dtype=torch.float32)] * 3, {}, "q is torch.float32; it may be torch.float16 or"),
        ([zeros(1, 1, 4, 12)] * 3, {}, "head_dim 12; it must be one of 8, 16, ... 256"),
        ([zeros(1, 1, 4, 264)] * 3, {}, "head_dim 264; it must be one of 8, 16, ... 256"),
        ([zeros(1, 1, 4, 0)] * 3, {}, "head_dim 0"),
        ([zeros(1, 1, 4, 40)] * 3, {"step": "causal"}, "head_dim 40; it must be one of 16, 32, 64, 128"),
        (
            [zeros(1, 1, 4, 64)] * 3,
            {"step": "fastest"},
            "step is 'fastest'; it must be one of plain, swizzled",
        ),
        ([zeros(1, 3, 4, 64), *[zeros(1, 2, 4, 64)] * 2], {}, "k has 2 heads and q has 3"),
        ([zeros(1, 1, 4, 64), zeros(1, 1, 5, 64), zeros(1, 1, 4, 64)], {}, "v has shape"),
        ([zeros(1, 1, 4, 64), *[zeros(1, 1, 4, 64, dtype=BFLOAT)] * 2], {}, "k has dtype torch.bfloat16"),
        ([zeros(4, 64)] * 3, {}, r"q has shape \(4, 64\)"),
        ([zeros(1, 1, 4, 64)] * 3, {"scale": "1"}, "scale is '1'; it must be a number"),
        ([zeros(1, 65_536, 1, 16)] * 3, {"step": "plain"}, "65,536 heads in its batch; plain takes at most"),
    ],
)
def test_what_does_not_fit_is_refused(inputs: Any, options: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        cuda.attention(*inputs, **options)


@pytest.mark.parametrize("scale", [float("nan"), float("inf")])
def test_a_scale_that_is_no_number_gives_nan(scale: float) -> None:
    o, _ = cuda.attention(*tensors(5, 5, 64), scale=scale)
    assert o.isnan().all()
