"""The course proves itself: blanks don't pass, solutions do, and every mistake is rejected and named."""

import inspect
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from mutants import once

from workbench import lessons
from workbench.check.cases import prepare
from workbench.check.exercise import is_untouched
from workbench.check.lesson import Case, Exercise, Implementation, Mistake, Race, Task
from workbench.check.outcome import Outcome, Verdict
from workbench.check.run import run_cases

pytestmark = pytest.mark.usefixtures("mutants_run_once")
TASKS = [(number, task) for number in lessons.folders() for task in lessons.load(number).tasks]
EXERCISES = [(number, task, exercise) for number, task in TASKS for exercise in task.exercises]
MISTAKES = [(task, mistake) for _, task in TASKS for mistake in task.mistakes]
SLIPS = [
    pytest.param(task, mistake, slip, id=f"{task.name}-{mistake.name}-{i}".replace(" ", "_"))
    for task, mistake in MISTAKES
    for i, slip in enumerate(mistake.slips)
]


def small(task: Task) -> Task:
    """The task with only its small cases, which are enough to reject a mistake."""
    kept = (i for i, case in enumerate(task.cases) if not case.gpu_only and prepare(task, i).size < 150_000)
    return replace(task, cases=tuple(task.cases[i] for i in kept))


SMALL: dict[Task, Task] = {}
FEW = 3


def judged(task: Task, implementation: Implementation) -> Outcome:
    if task not in SMALL:
        SMALL[task] = small(task)
    with np.errstate(all="ignore"):  # mistakes make NumPy warn, thousands of times
        return run_cases(
            SMALL[task], implementation, "cpu", outcome=Outcome(task.name, "submission", learners=True)
        )


def beginning(task: Task) -> Task:
    """The first case alone, and no mistake to be named: what fails there fails."""
    return replace(task, cases=task.cases[:1], mistakes=())


@cache
def few(task: Task, mistake: Mistake) -> Task:
    """Small cases: some of one dtype, from the first that this mistake spoils, and those that tell it from others."""
    submission = as_submission(mistake)

    def outcome(cases: Sequence[Case], mistakes: tuple[Mistake, ...]) -> Outcome:
        chosen = replace(task, cases=tuple(cases), mistakes=mistakes)
        with np.errstate(all="ignore"):
            return run_cases(chosen, submission, "cpu", outcome=Outcome("", ""))

    cases = (SMALL.get(task) or small(task)).cases
    spoilt = [i for i, case in enumerate(cases) if outcome([case], ()).verdict is Verdict.FAIL]
    if not spoilt:
        return task
    kept = [case for case in cases[spoilt[0] :] if case.dtype == cases[spoilt[0]].dtype][:FEW]
    taken_for = outcome(kept, task.mistakes).mistake
    for case in cases:
        now = outcome([*kept, case], task.mistakes).mistake if taken_for != mistake.name else taken_for
        if now != taken_for:
            kept, taken_for = [*kept, case], now
    return replace(task, cases=tuple(kept)) if taken_for == mistake.name else task


def solved(exercise: Exercise, folder: Path) -> Path:
    """The exercise's file with the shipped solution in its place."""
    path = folder / exercise.file
    path.write_text("\n".join(source.read_text() for source in exercise.solution))
    return path


@cache
def kernels(exercise: Exercise) -> set[str]:
    """The names of the CUDA kernels that it launches."""
    with TemporaryDirectory() as folder:
        return {name for _, name, _ in exercise.implementation(solved(exercise, Path(folder))).kernels}


@pytest.mark.parametrize(
    ("number", "task", "exercise"),
    EXERCISES,
    ids=lambda v: getattr(v, "blank", None) or getattr(v, "name", v),
)
def test_an_untouched_exercise_is_not_started_and_would_not_pass(number, task, exercise):
    path = lessons.folder(number) / exercise.file
    if not is_untouched(path, exercise):
        assert f">>> {exercise.blank}" in path.read_text(), "the shipped exercise must have its blank"
        pytest.skip(f"{path.name} has been begun")
    implementation = exercise.implementation(path)
    first = run_cases(beginning(task), implementation, "cpu", outcome=Outcome("", ""))
    assert first.verdict is Verdict.FAIL or judged(task, implementation).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("number", "task", "exercise"),
    EXERCISES,
    ids=lambda v: getattr(v, "blank", None) or getattr(v, "name", v),
)
def test_the_shipped_solution_in_its_place_passes(number, task, exercise, tmp_path):
    path = solved(exercise, tmp_path)
    assert not is_untouched(path, exercise)
    outcome = judged(task, exercise.implementation(path))
    assert outcome.verdict is Verdict.PASS, outcome.what_happened


@pytest.mark.parametrize(("task", "mistake"), MISTAKES, ids=lambda v: v.name.replace(" ", "_"))
def test_a_mistaken_oracle_is_rejected_and_named(task: Task, mistake: Mistake):
    outcome = judged(task, as_submission(mistake))
    assert outcome.verdict is Verdict.FAIL
    assert outcome.mistake == mistake.name


def as_submission(mistake: Mistake) -> Implementation:
    """The mutant, as if a learner had written it in NumPy."""
    mutant = once(mistake.mutant)
    takes_dtype = "dtype" in inspect.signature(mutant).parameters

    def submission(*arguments, **options):
        if (
            takes_dtype
        ):  # a NumPy submission sees float64; whole_packs needs to know what was rounded to float16
            options["dtype"] = (
                "float16" if all(np.array_equal(a, a.astype(np.float16)) for a in arguments) else "float32"
            )
        try:
            return mutant(*arguments, **options)
        except Race as race:
            if race.kind:
                raise
            return race.outputs  # NumPy doesn't mind

    return Implementation("mutant", submission, "numpy")


@pytest.mark.parametrize(("task", "mistake", "slip"), SLIPS)
def test_a_slip_in_the_source_is_rejected_and_named(task, mistake, slip, tmp_path):
    file, right, wrong = slip
    exercises = [e for e in task.exercises if any(source.name == file for source in e.solution)]
    kernel_of = {source.name: source.read_text() for e in exercises for source in e.solution}
    assert right in kernel_of[file], f"{file} no longer holds {right!r}"
    # Those that run a kernel of the file come first: they are the ones that fail.
    exercises.sort(key=lambda e: not any(name in kernel_of[file] for name in kernels(e)))

    def attempt(exercise: Exercise, some: Task) -> Outcome:
        path = solved(exercise, tmp_path)
        path.write_text(path.read_text().replace(kernel_of[file], kernel_of[file].replace(right, wrong)))
        return judged(some, exercise.implementation(path))

    for some, exercise in [(some, e) for some in (few(task, mistake), task) for e in exercises]:
        outcome = attempt(exercise, some)
        if outcome.verdict is Verdict.FAIL:
            break
    if outcome.mistake != mistake.name:
        outcome = attempt(exercise, task)
    assert outcome.verdict is Verdict.FAIL
    assert outcome.mistake == mistake.name, outcome.what_happened


def test_every_lesson_names_at_least_six_mistakes():
    for number in lessons.folders():
        assert sum(len(task.mistakes) for task in lessons.load(number).tasks) >= 6


def test_where_a_mistake_is_explained_exists():
    for number, task in TASKS:
        for mistake in task.mistakes:
            section = re.search(r"section (\d+: .*)", mistake.read)[1].replace(":", ".", 1)
            other = re.match(r"lesson (\d+)'s", mistake.read)
            notebook = lessons.folder(int(other[1]) if other else number) / "notebook.py"
            assert f"## {section}" in notebook.read_text(), f"{notebook.parent.name} has no section {section}"
