"""Hints: one at a time, the one that fits what the last check named before the others."""

import pytest

from workbench import lessons, notes
from workbench.check.exercise import names
from workbench.hints import hints, next_hint

TEXT = """# Hints

## First
One
and a half.

## Second
<!-- for: exercise.cu | mistakes: missing guard;
     tail forgotten -->
Two.

## Third
```
for (...)
  x;
```
"""


@pytest.fixture
def lesson(tmp_path):
    folder = tmp_path / "lesson02_x"
    folder.mkdir()
    (folder / "hints.md").write_text(TEXT)
    return folder


def named(tmp_path, mistake, exercise="exercise.cu a", verdict="FAIL"):
    with notes.changing(tmp_path / "state") as held:
        entry = {"verdict": verdict, "file": "", "checked": "", "mistake": mistake, "times": []}
        held.of("lesson02_x")["exercises"][exercise] = entry


def titles(lesson, tmp_path, count):
    return [next_hint(lesson, tmp_path / "state").splitlines()[0] for _ in range(count)]


def test_they_come_in_order_and_begin_again(lesson, tmp_path):
    assert titles(lesson, tmp_path, 5) == ["First", "Second", "Third", "First", "Second"]


def test_the_one_that_fits_comes_first_and_is_not_shown_its_comment(lesson, tmp_path):
    named(tmp_path, "tail forgotten")
    text = next_hint(lesson, tmp_path / "state")
    assert text == "Second\nTwo.\n\n(hint 1 of 3, for what the last check named: tail forgotten; 2 more)"
    assert titles(lesson, tmp_path, 2) == ["First", "Third"]


def test_one_that_was_given_comes_again_when_its_mistake_is_named_anew(lesson, tmp_path):
    assert titles(lesson, tmp_path, 2) == ["First", "Second"]
    named(tmp_path, "missing guard")
    assert titles(lesson, tmp_path, 2) == ["Second", "Third"]


def test_a_mistake_without_a_hint_changes_nothing(lesson, tmp_path):
    named(tmp_path, "something else")
    assert titles(lesson, tmp_path, 2) == ["First", "Second"]


def test_the_mistake_of_another_exercise_is_no_reason(lesson, tmp_path):
    named(tmp_path, "missing guard", "exercise.py a")
    assert titles(lesson, tmp_path, 2) == ["First", "Second"]


def test_hints_for_what_passes_come_last(lesson, tmp_path):
    named(tmp_path, "", verdict="PASS")
    named(tmp_path, "", "exercise.py a")
    assert titles(lesson, tmp_path, 3) == ["First", "Third", "Second"]


def test_paragraphs_are_one_line_and_code_stays(lesson, tmp_path):
    assert "One and a half." in next_hint(lesson, tmp_path / "state")
    titles(lesson, tmp_path, 1)
    assert "for (...)\n  x;" in next_hint(lesson, tmp_path / "state")


@pytest.mark.parametrize("number", lessons.folders())
def test_every_hints_file_has_hints_for_mistakes_that_exist(number):
    known = {mistake.name for task in lessons.load(number).tasks for mistake in task.mistakes}
    found = hints(lessons.folder(number))
    assert len(found) >= 3 and all(hint.text for hint in found)
    assert len({hint.title for hint in found}) == len(found)
    exercises = [names(exercise) for _, exercise in lessons.load(number).exercises]
    assert all(any(name.startswith(hint.exercise) for name in exercises) for hint in found)
    unknown = set().union(*(hint.mistakes for hint in found)) - known
    assert not unknown, f"the lesson names no mistake {', '.join(unknown)}"
    assert any(hint.mistakes for hint in found), "no hint says which mistakes it fits"
