"""Lesson 4 beyond its cases: bad input, any alignment, the tolerance, what the exercises demand, the figures."""

from pathlib import Path

import numpy as np
import pytest
import torch

from cuda_basics.reduction import cuda_version as cuda
from cuda_basics.reduction import numpy_version
from lessons.lesson04_reduction.check import LESSON, STEPS, additions
from triton_basics import reduction as triton_version
from workbench.check.lesson import Exercise
from workbench.check.outcome import Outcome, Verdict
from workbench.check.run import run_cases
from workbench.cuda import load, observe
from workbench.report import rounding, trees

REDUCERS = [*STEPS.values(), triton_version.reduce]
OF_ROWS = [cuda.reduce_rows, triton_version.reduce_rows]
SUM = LESSON.tasks[0]


@pytest.mark.parametrize("reduce", REDUCERS)
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((torch.zeros(2, 2),), r"x has shape \(2, 2\); it must be \(n,\)"),
        ((torch.tensor(1.0),), r"x has shape \(\)"),
        ((torch.zeros(4).half(),), r"x is torch.float16; it may be torch.float32"),
        ((torch.zeros(8)[::2],), r"x is not contiguous.*x\.contiguous"),
        (([1.0],), "x is a list"),
        ((torch.zeros(4), "min"), "operation is 'min'; it may be 'sum' or 'max'"),
    ],
)
def test_a_vector_is_refused_in_words(reduce, arguments, words):
    with pytest.raises(ValueError, match=words):
        reduce(*arguments)


@pytest.mark.parametrize("reduce_rows", OF_ROWS)
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((torch.zeros(4),), r"x has shape \(4,\); it must be \(rows, columns\)"),
        ((torch.zeros(4, 4).T[:2].T,), "x is not contiguous"),
        ((torch.zeros(4, 4).double(),), "x is torch.float64"),
        ((torch.zeros(4, 4), "mean"), "operation is 'mean'"),
    ],
)
def test_a_table_is_refused_in_words(reduce_rows, arguments, words):
    with pytest.raises(ValueError, match=words):
        reduce_rows(*arguments)


@pytest.mark.parametrize("reduce", REDUCERS)
@pytest.mark.parametrize("start", [1, 2, 3])
def test_a_view_may_start_anywhere(reduce, start):
    x = torch.arange(6000, dtype=torch.float32)[start:5000]  # whole numbers below 2^24: exact sums
    assert reduce(x) == x.double().sum()
    assert reduce(x, "max") == 4999


@pytest.mark.parametrize("reduce_rows", OF_ROWS)
@pytest.mark.parametrize("columns", [40, 2000])
def test_nan_comes_out_of_its_row_alone(reduce_rows, columns):
    x = torch.ones(3, columns)
    x[1, columns // 2] = np.nan
    assert reduce_rows(x, "max").isnan().tolist() == [False, True, False]
    assert reduce_rows(x).isnan().tolist() == [False, True, False]


@pytest.mark.parametrize("n", [0, 1, 2, 31, 1000, 4097])
@pytest.mark.parametrize("operation", ["sum", "max"])
def test_the_tree_in_numpy_is_the_reduction(n, operation):
    x = np.arange(n, dtype=np.float32) - 7
    found = numpy_version.reduce_tree(x, operation)
    assert found.dtype == np.float32 and found.shape == ()
    assert found == numpy_version.reduce(x, operation)


@pytest.mark.parametrize("reduce", REDUCERS)
@pytest.mark.parametrize("n", [33, 5000, 70_000])
def test_the_error_is_within_the_longest_chain_of_additions(reduce, n):
    x = torch.rand(n, generator=torch.Generator().manual_seed(n))
    exact = x.double().sum().item()
    assert abs(reduce(x).item() - exact) <= additions(n) * 2.0**-24 * exact


def judged(blank: str, text: str, folder: Path) -> Outcome:
    """What the checker says of `text` in the place of exercise.cu."""
    exercise: Exercise = next(e for e in SUM.exercises if e.blank == blank)
    file = folder / f"{len(list(folder.iterdir()))}.cu"  # kernels are remembered by their file's name
    file.write_text(text)
    implementation = exercise.implementation(file)
    return run_cases(
        SUM, implementation, "cpu", outcome=Outcome("sum", "exercise", learners=True), demand=exercise.demand
    )


@pytest.mark.parametrize(
    ("blank", "step", "words"),
    [
        ("sequential", "strided", "wait for a bank"),
        ("warp_shuffle", "first_add", "use __shfl_down_sync"),
    ],
)
def test_a_right_sum_of_another_step_does_not_pass(blank, step, words, tmp_path):
    text = (cuda.HERE / f"{step}.cu").read_text().replace(f"reduce_{step}", f"reduce_{blank}")
    outcome = judged(blank, text, tmp_path)
    assert outcome.verdict is Verdict.FAIL and words in outcome.what_happened
    assert judged(blank, (cuda.HERE / f"{blank}.cu").read_text(), tmp_path).verdict is Verdict.PASS


def test_a_walk_in_steps_of_4_bytes_does_not_pass(tmp_path):
    text = (cuda.HERE / "grid_stride.cu").read_text()
    assert judged("grid_stride", text, tmp_path).verdict is Verdict.PASS
    narrow = text.replace("p < n / 4", "p < n / 4 * 4")
    narrow = narrow.replace("const float4 pack = packs[p];", "const float element = x[p];")
    narrow = narrow.replace("combine(combine(pack.x, pack.y), combine(pack.z, pack.w))", "element")
    outcome = judged("grid_stride", narrow, tmp_path)
    assert outcome.verdict is Verdict.FAIL and "loads 4 bytes at a time" in outcome.what_happened


def test_a_tree_is_drawn_from_what_was_touched():
    kernel = load(cuda.HERE / "sequential.cu", "reduce_sequential", {"MAXIMUM": 0, "THREADS": 8})
    with observe(trace=True) as launches:
        kernel(1, 8, (torch.rand(8), torch.empty(1), np.int32(8)))
    loaded, *tree = trees.rounds(launches[0])
    assert loaded.writes == {t: t for t in range(8)} and loaded.reads == {}
    assert [one.writes for one in tree] == [{0: 0, 1: 1, 2: 2, 3: 3}, {0: 0, 1: 1}, {0: 0}]
    assert [sorted(one.reads[0]) for one in tree] == [[0, 4], [0, 2], [0, 1]]
    (axes,) = trees.trees({"one": launches[0]}).axes
    assert sorted(text.get_text() for text in axes.texts) == sorted("0123" + "01" + "0")


def test_errors_and_their_bounds_are_drawn():
    figure = rounding.error_growth({"sums": [(16, 1e-7), (32, 0.0)]}, {"bound": [(16, 1e-6), (32, 2e-6)]})
    (axes,) = figure.axes
    assert len(axes.lines) == 2
    assert [text.get_text() for text in axes.texts] == ["bound"]
