"""Every seeded fault is noticed, nearly all with its line, and nothing right is blamed."""

from pathlib import Path

import numpy as np
import pytest
from corpus import FAULTS, HARMLESS, Change, Seeded
from kernels import difference, launch

from workbench.ptx import BudgetSpent, Fault, GlobalRace, Limits, SharedRace

ENOUGH = Limits(instructions=150_000)  # of one thread, for every kernel here
FEW = Limits(instructions=2_000)  # for those that never end: it is soon over


def run(change: Change, folder: Path) -> tuple[Exception | None, str, Path]:
    """Launch a changed kernel: what it was stopped with, what is wrong with its results, and its source."""
    case, path = change.applied(folder)
    before, arguments = case.arguments(), case.arguments()
    endless = isinstance(change, Seeded) and BudgetSpent in change.faults
    with np.errstate(all="raise"):  # NumPy's warnings stay inside the machine
        try:
            report = launch(case, arguments, path=path, counters=False, limits=FEW if endless else ENOUGH)
        except (Fault, ValueError) as stopped:
            return stopped, "", path
    return None, difference(case, before, arguments, report.printed), path


@pytest.mark.parametrize("seeded", FAULTS, ids=str)
def test_a_fault_is_noticed(seeded: Seeded, tmp_path: Path) -> None:
    stopped, differs, path = run(seeded, tmp_path)
    if stopped is None:
        assert differs, "nobody noticed"
        assert seeded.values or not seeded.faults, f"only its results are wrong: {differs}"
        return
    assert isinstance(stopped, seeded.faults), f"{type(stopped).__name__}: {stopped}"
    if isinstance(stopped, Fault) and seeded.at:
        named = {stopped.line} | ({stopped.also[1]} if stopped.also else set())
        assert named <= seeded.lines(path.read_text()), f"another line is named: {stopped}"
        assert Path(stopped.file).name == path.name
        assert stopped.also or not isinstance(stopped, SharedRace | GlobalRace), "a race has two places"
        assert stopped.advice


@pytest.mark.parametrize("change", HARMLESS, ids=str)
def test_nothing_right_is_blamed(change: Change, tmp_path: Path) -> None:
    stopped, differs, _ = run(change, tmp_path)
    assert stopped is None, f"{type(stopped).__name__}: {stopped}"
    assert not differs


def test_nine_faults_of_memory_in_ten_must_be_located() -> None:
    """`test_a_fault_is_noticed` asks a located report of each, but of those where wrong values are an answer too."""
    about_memory = [seeded for seeded in FAULTS if seeded.faults]
    assert sum(seeded.values for seeded in about_memory) <= len(about_memory) / 10


def test_there_are_faults_of_every_kind() -> None:
    names = [str(seeded) for seeded in FAULTS]
    assert len(set(names)) == len(names) >= 60
    kinds = {kind for seeded in FAULTS for kind in seeded.faults}
    missing = {
        kind for kind in Fault.__subclasses__() if kind.__name__ not in ("UnknownInstruction", "Trapped")
    } - kinds
    assert not missing
