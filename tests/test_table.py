"""The checker's table: it fits 80 columns, loses columns on the right in a narrow terminal, and nothing in a pipe."""

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from workbench import gpu, lessons
from workbench.check.compare import Tolerance, describe
from workbench.check.outcome import Outcome, Verdict
from workbench.report import table

FIGURES = {
    "median": 123.456,
    "gb_per_s": 2987.3,
    "percent_of_copy": 99.8,
    "copy_gb_per_s": 3000.0,
    "times_pytorch": 10.25,
    "tflop_per_s": 512.3,
    "product_tflop_per_s": 612.0,
    "percent_of_product": 100.1,
}
TRAFFIC = {"sectors_per_request": 32.0, "bytes_moved": 96.5e6, "bytes_needed": 12e6}


def rows_of(number: int) -> list[Outcome]:
    """A lesson's rows with the widest figures that it is likely to see, everything filled in."""
    rows = []
    for task in lessons.load(number).tasks:
        names = [(one.name, False) for one in task.implementations]
        names += [(f"{one.file} {one.blank}", True) for one in task.exercises]
        for name, learners in names:
            compiled = {"sm_80": {"registers": 255}, "sm_90": {"registers": 255}}
            rows.append(Outcome(task.name, name, Verdict.PASS, "cuda", learners, 21, 21))
            rows[-1].traffic, rows[-1].timing, rows[-1].compiled = TRAFFIC, FIGURES, compiled
        rows[-1].verdict = Verdict.NOT_STARTED
    return rows


def shown(number: int, width: int, *, terminal: bool, on: str | None) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)
    table.show(console, number, "title", rows_of(number), on, Path("lessons") / "x")
    return console.file.getvalue()


@pytest.mark.parametrize("on", [None, "NVIDIA H100"])
@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipe"])
@pytest.mark.parametrize("number", lessons.folders())
def test_every_lesson_fits_80_columns_whole(number, terminal, on):
    text = shown(number, 80, terminal=terminal, on=on)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text and "No room" not in text
    for row in rows_of(number):
        assert row.name.split()[-1] in text
    assert text.count("255/255") == sum(row.verdict is Verdict.PASS for row in rows_of(number))


@pytest.mark.parametrize("number", lessons.folders())
def test_40_columns_leave_columns_out_and_say_so(number):
    text = shown(number, 40, terminal=True, on=None)
    assert max(map(len, text.splitlines())) <= 40
    assert "…" not in text
    assert "regs 80/90" in " ".join(text.split())
    assert text.count("21/21") == sum(row.verdict is Verdict.PASS for row in rows_of(number))


def test_nothing_is_cut_in_a_narrow_pipe():
    text = shown(3, 40, terminal=False, on=None)
    assert "…" not in text
    assert text.count("255/255") == sum(row.verdict is Verdict.PASS for row in rows_of(3))


def test_a_blank_named_like_its_task_keeps_its_name():
    rows = [
        Outcome("sum", "exercise.cu sum_rows", learners=True),
        Outcome("max", "exercise.cu max", learners=True),
    ]
    console = Console(file=io.StringIO(), width=80, color_system=None)
    table.show(console, 4, "title", rows, None, Path("lessons"))
    assert "sum_rows" in console.file.getvalue()


def test_a_driver_that_is_too_old_is_said(monkeypatch):
    monkeypatch.setattr(gpu, "driver", lambda: (12040, 1))
    text = " ".join(shown(1, 80, terminal=True, on=None).split())
    assert "too old: it offers CUDA 12.4, and 13.0 is needed (driver 580 or newer)" in text
    assert "No NVIDIA GPU" not in text


def test_a_wrong_scalar_has_no_brackets():
    right, wrong = np.array(3.0), np.array(4.0)
    said = describe("output", wrong, right, Tolerance(0.5), np.array(True))
    assert said == "Wrong: output should be 3, got 4.\nThe error is 1; 0.5 is allowed."
