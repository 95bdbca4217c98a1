"""JupyterLab opens where the learner is; check() and hint() in a notebook show what the terminal shows."""

import sys

import pytest

from workbench import lab, lessons, notebook, notes, progress
from workbench.check import command
from workbench.check.outcome import Outcome, Verdict
from workbench.check.processes import Answer

manager = pytest.importorskip("jupyter_client.manager", reason="JupyterLab isn't installed")


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.setattr(notes, "FOLDER", tmp_path)
    return tmp_path


def test_it_opens_the_notebook_of_the_current_lesson(state):
    assert "--LabApp.default_url=/lab/tree/lessons/lesson01_hello_cuda/notebook.ipynb" in lab.arguments()
    row = Outcome("vector_add", "exercise.cu plain", Verdict.FAIL, learners=True)
    progress.record(2, [row], {}, None)
    assert "--LabApp.default_url=/lab/tree/lessons/lesson02_vector_add/notebook.ipynb" in lab.arguments()


def test_the_kernel_of_the_notebooks_is_this_python(tmp_path, monkeypatch):
    """Also where the user has registered another one under that name."""
    other = tmp_path / "kernels" / "python3"
    other.mkdir(parents=True)
    (other / "kernel.json").write_text('{"argv": ["/bin/false"], "display_name": "x", "language": "python"}')
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    command = manager.KernelManager(kernel_name="python3").format_kernel_cmd([])
    assert command[:3] == [sys.executable, "-m", "ipykernel_launcher"]


def test_check_in_a_notebook_shows_the_table_and_notes_it(state, monkeypatch, capsys):
    row = Outcome("vector_add", "exercise.cu plain", Verdict.FAIL, learners=True, what_happened="no wonder")
    monkeypatch.setattr(command, "check_lesson", lambda number, workers: Answer("Vector add", [row]))
    monkeypatch.chdir(lessons.folder(2))
    notebook.check()
    said = capsys.readouterr().out
    assert "Lesson 2  Vector add" in said and "no wonder" in said and "\x1b[" in said
    assert notes.read().lessons["lesson02_vector_add"]["exercises"]["exercise.cu plain"]["verdict"] == "FAIL"


def test_hint_in_a_notebook(state, monkeypatch, capsys):
    monkeypatch.chdir(lessons.folder(2))
    notebook.hint()
    assert "(hint 1 of 6; 5 more)" in capsys.readouterr().out


def test_elsewhere_the_lesson_must_be_named(state, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="say which lesson"):
        notebook.hint()
    with pytest.raises(lessons.NoSuchLesson, match="no lesson"):
        notebook.check(99)
