"""Lesson 3: what the steps refuse, that they take any size and any view, and what its pictures draw."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from cuda_basics.matmul import cuda_version as cuda
from lessons.lesson03_matmul.check import LESSON, coalesces, in_cuda, reuses
from workbench.check.outcome import Outcome, Verdict
from workbench.check.run import run_cases
from workbench.cuda import observe
from workbench.report.ladder import ladder
from workbench.report.patches import patches

STEPS = [pytest.param(step, id=name) for name, step in cuda.STEPS.items()]
ROWS = cuda.MOST_ROWS


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (
            torch.zeros(2, 3),
            torch.zeros(4, 5),
            r"b has shape \(4, 5\); a has 3 columns, so b must have 3 rows",
        ),
        (torch.zeros(3), torch.zeros(3, 2), r"a has shape \(3,\); it must be \(M, K\)"),
        (torch.zeros(2, 3), torch.zeros(2, 3, 4), r"b has shape .*; it must be \(K, N\)"),
        (torch.zeros(2, 3).half(), torch.zeros(3, 2), r"a is torch.float16; it may be torch.float32"),
        (torch.zeros(2, 3), torch.zeros(3, 2).double(), r"b is torch.float64"),
        (torch.zeros(3, 2).T, torch.zeros(3, 2), r"a is not contiguous .*a\.contiguous"),
        (torch.zeros(2, 3), torch.zeros(3, 2, device="meta"), "b has device meta and a has cpu"),
        ([[1.0]], torch.zeros(1, 1), "a is a list"),
        (torch.zeros(ROWS + 1, 0), torch.zeros(0, 1), f"a has {ROWS + 1:,} rows; at most {ROWS:,}"),
        (torch.zeros(65_536, 0), torch.zeros(0, 65_536), "a and b make 4,294,967,296 elements; at most"),
        (torch.empty(1, 1).expand(1, 2**31), torch.zeros(3, 2), "a (is not contiguous|has 2,147,483,648)"),
    ],
)
def test_bad_input_is_refused_in_words(step: Any, a: Any, b: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        step(a, b)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    "shape", [(0, 3, 4), (4, 3, 0), (0, 0, 0), (5, 0, 3), (1, 1, 1), (2, 4, 4), (3, 5, 257)]
)
def test_any_size(step: Any, shape: tuple[int, int, int]) -> None:
    m, k, n = shape
    a, b = torch.rand(m, k) + 0.5, torch.rand(k, n) + 0.5
    torch.testing.assert_close(step(a, b), a @ b)


@pytest.mark.parametrize("step", STEPS)
def test_views_that_start_anywhere(step: Any) -> None:
    a, b = (
        torch.rand(5, 4)[1:],
        torch.rand(1 + 4 * 8)[1:].view(4, 8),
    )  # b starts 4 bytes past a multiple of 16
    torch.testing.assert_close(step(a, b), a @ b)


def test_the_demands_tell_the_steps_apart() -> None:
    seen = {}
    for name in ("naive", "coalesced", "shared_tile"):
        with observe() as seen[name]:
            cuda.STEPS[name](torch.rand(64, 64), torch.rand(64, 64))
    assert "sectors" in coalesces(seen["naive"])
    assert not coalesces(seen["coalesced"])
    assert "2.00 elements" in reuses(seen["coalesced"])
    assert not reuses(seen["shared_tile"])


def test_a_kernel_that_only_leaves_its_arrays_is_not_told_of_barriers(tmp_path: Path) -> None:
    source = tmp_path / "coalesced.cu"
    source.write_text((cuda.HERE / "coalesced.cu").read_text().replace("row * K + k", "row * K + k + M * K"))
    (task,) = LESSON.tasks
    outcome = run_cases(task, in_cuda("coalesced", source), "cpu", outcome=Outcome(task.name, "submission"))
    assert outcome.verdict is Verdict.FAIL and "out of bounds" in outcome.what_happened
    assert outcome.mistake == ""


# The pictures.


def measured(**rates: float) -> dict[str, Any]:
    """Results in which steps reach so many TFLOP/s, and PyTorch 50."""
    rows = [
        {"tflop_per_s": rate, "median": 100 / rate, "pytorch_median": 2.0, "product_tflop_per_s": 51.0}
        for rate in rates.values()
    ]
    named = [{"name": name, "timing": row} for name, row in zip(rates, rows, strict=True)]
    machine = {"gpu": "A GPU", "date": "2026-01-02 03:04 UTC"}
    return {"machine": machine, "rows": [*named, {"name": "untimed", "timing": None}]}


def test_ladder_shows_each_step_beside_pytorch_and_the_ceiling() -> None:
    (axes,) = ladder(
        measured(fast=40.0, slow=5.0), ["slow", "fast", "untimed"], pytorch="rival", peak=67
    ).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["slow", "fast", "rival"]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([5, 40, 50])
    words = [text.get_text().strip() for text in axes.texts]
    assert words[:3] == ["5.00  (10 %)", "40.0  (80 %)", "50.0  (100 %)"]
    assert "51" in words[3] and "67" in words[4]
    assert axes.get_title(loc="left") == "A GPU, 2026-01-02"


def test_ladder_without_a_timed_step_says_so() -> None:
    with pytest.raises(ValueError, match="none of untimed was timed"):
        ladder(measured(fast=40.0), ["untimed"])


def test_patches_shade_what_the_first_warp_stores() -> None:
    threads = np.arange(64)
    store = SimpleNamespace(array="C", kind="store", size=8, threads=threads, offsets=8 * threads)
    figure = patches({"two a lane": SimpleNamespace(trace=[store])}, "C", columns=16)
    shade = np.asarray(figure.axes[0].images[0].get_array())
    assert shade.shape == (4, 16)  # 32 lanes of 2 elements; the second warp's aren't drawn
    assert np.argwhere(shade == 2).tolist() == [[0, 0], [0, 1]] and (shade > 0).all()
    assert figure.axes[0].get_title() == "two a lane: 4 x 16\n20 numbers, 64 products"
    assert not figure.axes[1].get_visible()


def test_patches_without_a_store_say_so() -> None:
    with pytest.raises(ValueError, match="no store in C"):
        patches({"nothing": SimpleNamespace(trace=[])}, "C", columns=16)
