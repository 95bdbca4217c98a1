"""Progress: what is noted of each check, shown by state, and never lost."""

import io
import json
import multiprocessing
from pathlib import Path

import pytest
from rich.console import Console

from workbench import lessons, notes, progress
from workbench.check.outcome import Outcome, Verdict
from workbench.reset import original

CU = "exercise.cu plain"
LESSON = lessons.folder(2).name
TIMES = {"median": 0.5, "gb_per_s": 2900.0}


def checked(verdict: Verdict, *, timing: dict | None = None, mistake: str = "", name: str = CU) -> Outcome:
    return Outcome("vector_add", name, verdict, "cuda", True, mistake=mistake, timing=timing or {})


def record(
    folder: Path, *outcomes: Outcome, gpu: str | None = None, file: str = "abc"
) -> tuple[list[str], str]:
    return progress.record(2, outcomes, {outcome.name: file for outcome in outcomes}, gpu, folder)


def noted(folder: Path) -> dict:
    return notes.read(folder).lessons[LESSON]["exercises"]


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """An exercise.cu whose blank `plain` holds something."""
    path = tmp_path / "exercise.cu"
    path.write_text(
        "// >>> plain: here\n  int i;\n// <<< plain\n// >>> vectorised: here\n// <<< vectorised\n"
    )
    return path


def state(path: Path, noted: dict) -> str:
    exercise = next(e for _, e in lessons.load(2).exercises if e.blank == "plain")
    return progress.state(path, exercise, noted)


def test_every_state_and_never_one_for_the_other(tmp_path, begun):
    assert state(lessons.folder(2) / "exercise.cu", {}) == progress.NOT_STARTED
    assert state(begun, {}) == progress.BEGUN
    record(tmp_path, checked(Verdict.FAIL))
    assert state(begun, noted(tmp_path)[CU]) == progress.FAILING
    record(tmp_path, checked(Verdict.PASS))
    assert state(begun, noted(tmp_path)[CU]) == progress.ON_CPU
    record(tmp_path, checked(Verdict.PASS, timing=TIMES), gpu="H100")
    assert state(begun, noted(tmp_path)[CU]) == progress.TIMED
    record(tmp_path, checked(Verdict.PASS))  # the same file, on a machine without a GPU
    assert state(begun, noted(tmp_path)[CU]) == progress.TIMED
    record(tmp_path, checked(Verdict.PASS), file="other")  # this one was never timed
    assert state(begun, noted(tmp_path)[CU]) == progress.ON_CPU
    record(tmp_path, checked(Verdict.FAIL, timing=TIMES), gpu="H100")
    assert state(begun, noted(tmp_path)[CU]) == progress.FAILING
    assert len(noted(tmp_path)[CU]["times"]) == 1, "only what passes is timed"


def test_what_passes_anew_is_told_once(tmp_path):
    assert record(tmp_path, checked(Verdict.FAIL)) == ([], "")
    assert record(tmp_path, checked(Verdict.PASS)) == (["vector_add/exercise.cu plain"], "")
    assert record(tmp_path, checked(Verdict.PASS)) == ([], "")


def test_a_skipped_row_and_a_shipped_one_leave_no_note(tmp_path):
    shipped = Outcome("vector_add", "cuda/plain")
    record(tmp_path, checked(Verdict.SKIPPED), shipped)
    assert notes.read(tmp_path).lessons[LESSON]["exercises"] == {}


def test_the_best_time_and_the_history_are_shown_by_gpu(tmp_path):
    for gpu, ms in (("H100", 0.9), ("H100", 0.5), ("H100", 0.6), ("A100", 0.8)):
        record(tmp_path, checked(Verdict.PASS, timing={**TIMES, "median": ms}), gpu=gpu)
    console = Console(file=io.StringIO(), width=120)
    progress.show(console, tmp_path)
    text = console.file.getvalue()
    assert "best 0.500 ms" in text
    assert "H100: 0.900 → 0.500 → 0.600 ms; best 0.500 ms on 20" in text
    assert "A100: 0.800 ms; best 0.800 ms" in text


def test_a_fingerprint_minds_only_its_own_blank():
    text = "a\n// >>> one: x\n1\n// <<< one\nb\n// >>> two: x\n2\n// <<< two\n"
    before = progress.fingerprint(text, "one")
    assert progress.fingerprint(text.replace("2", "3"), "one") == before
    assert progress.fingerprint(text.replace("1", "3"), "one") != before
    assert progress.fingerprint(text.replace("b", "c"), "one") != before


# A file that isn't as it should be.


def broken(folder: Path, content: bytes) -> str:
    """The sentence about it; what was there must be kept, and said only once."""
    (folder / "progress.json").write_bytes(content)
    said = notes.read(folder).said
    (kept,) = (folder / "kept").iterdir()
    assert kept.read_bytes() == content and kept.name in said
    assert notes.read(folder).said == ""
    return said


@pytest.mark.parametrize("content", [b"", b'{"version": 1, "les', b"\x00\xff\x80", b"[1, 2]", b"null", b"3"])
def test_a_truncated_file_is_kept_aside(tmp_path, content):
    assert "progress starts anew" in broken(tmp_path, content)


def test_a_file_of_another_version_is_kept_aside(tmp_path):
    assert "version 7" in broken(tmp_path, b'{"version": 7, "lessons": {}}')


@pytest.mark.parametrize(
    "entry",
    [
        3,
        {"verdict": "PERFECT", "file": "", "checked": "", "mistake": "", "times": []},
        {"verdict": "PASS", "file": "", "checked": "", "mistake": "", "times": [{"ms": "fast"}]},
        {"verdict": "PASS"},
    ],
)
def test_what_was_edited_badly_costs_only_itself(tmp_path, entry):
    record(tmp_path, checked(Verdict.PASS), checked(Verdict.PASS, name="exercise.py vector_add"))
    held = json.loads((tmp_path / "progress.json").read_text())
    held["lessons"][LESSON]["exercises"][CU] = entry
    assert "the rest is used" in broken(tmp_path, json.dumps(held).encode())
    assert list(noted(tmp_path)) == ["exercise.py vector_add"]


@pytest.mark.parametrize(
    "lessons_part", [[], {LESSON: 3}, {LESSON: {"exercises": []}}, {LESSON: {"hints": {}}}]
)
def test_lessons_that_make_no_sense_are_left_out(tmp_path, lessons_part):
    assert "the rest is used" in broken(
        tmp_path, json.dumps({"version": 1, "lessons": lessons_part}).encode()
    )


def test_a_crash_in_the_middle_of_writing_leaves_the_old_file(tmp_path, monkeypatch):
    record(tmp_path, checked(Verdict.PASS))
    before = (tmp_path / "progress.json").read_bytes()
    monkeypatch.setattr("os.replace", lambda *paths: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        record(tmp_path, checked(Verdict.FAIL))
    assert (tmp_path / "progress.json").read_bytes() == before


def many(folder: Path, name: str) -> None:
    for _ in range(20):
        record(folder, checked(Verdict.PASS, timing=TIMES, name=name), gpu="H100")


def test_two_checks_at_once_lose_nothing(tmp_path):
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=many, args=(tmp_path, name)) for name in (CU, "exercise.py vector_add")]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert {len(one["times"]) for one in noted(tmp_path).values()} == {20}


def test_a_folder_that_cannot_be_written_is_said_and_the_check_goes_on(tmp_path):
    (tmp_path / "learner").write_text("a file where the folder should be")
    _, said = record(tmp_path / "learner", checked(Verdict.PASS))
    assert said.startswith("Your progress can't be kept in learner")


# Keeping aside, and going back.


def test_nothing_kept_is_ever_written_over(tmp_path):
    path = tmp_path / "exercise.cu"
    for content in ("one", "two", "three"):
        path.write_text(content)
        notes.keep_aside(path, "lesson", tmp_path)
    assert {kept.read_text() for kept in (tmp_path / "kept" / "lesson").iterdir()} == {"one", "two", "three"}


def test_the_beginning_of_an_exercise_is_found_in_git(tmp_path):
    blanks = [e for _, e in lessons.load(2).exercises if e.file == "exercise.cu"]
    text = original(lessons.folder(2) / "exercise.cu", blanks).decode()
    assert ">>> plain" in text and ">>> vectorised" in text


def test_the_current_lesson_is_the_last_one_checked(tmp_path):
    assert progress.current_lesson(tmp_path) == min(lessons.folders())
    record(tmp_path, checked(Verdict.FAIL))
    assert progress.current_lesson(tmp_path) == 2
