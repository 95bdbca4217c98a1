"""Every lesson's notebook runs, matches its source and keeps its measure; and the tool that makes them."""

import base64
import json
from pathlib import Path
from typing import Any

import forked_kernel
import pytest

from workbench import notebooks
from workbench.check.ready import has_driver
from workbench.notebooks import NotebookProblem

for module in ("jupytext", "nbclient"):
    pytest.importorskip(module, reason="Jupyter isn't installed")
SOURCES = notebooks.sources()
every_lesson = pytest.mark.parametrize("number", SOURCES, ids="lesson{}".format)


@every_lesson
def test_notebook_matches_its_source(number: int) -> None:
    notebooks.compare(SOURCES[number], SOURCES[number].with_suffix(".ipynb"))


@every_lesson
def test_notebook_runs_to_its_end(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The outputs go nowhere."""
    from jupyter_client.provisioning.local_provisioner import LocalProvisioner

    if not has_driver():
        monkeypatch.setattr(LocalProvisioner, "launch_kernel", forked_kernel.launch_kernel)
    notebooks.execute(SOURCES[number])


@every_lesson
def test_notebook_keeps_its_measure(number: int) -> None:
    cells = json.loads(SOURCES[number].with_suffix(".ipynb").read_text())["cells"]
    words = sum(len("".join(cell["source"]).split()) for cell in cells if cell["cell_type"] == "markdown")
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    figures = [image for cell in code for image in notebooks.images(cell)]
    long = [cell["id"] for cell in code if len("".join(cell["source"]).splitlines()) > 15]
    errors = [cell["id"] for cell in code for output in cell["outputs"] if output["output_type"] == "error"]
    assert words <= 1200, f"{words} words of markdown"
    assert not long, f"more than 15 lines of code in {', '.join(long)}"
    assert 2 <= len(figures) <= 4, f"{len(figures)} figures"
    assert not errors, f"an error is shown in {', '.join(errors)}"
    sizes = [len(base64.b64decode(image)) for image in figures]
    assert max(sizes) <= notebooks.LARGEST_IMAGE, f"figures of {sizes} bytes"


# The tool.

TEXT = """# %% [markdown]
# # A lesson

# %%
from workbench.lessons import ROOT
print(ROOT / "x")

# %%
{code}
"""


@pytest.fixture
def lesson(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The notebook.py of a lesson 7 in a folder of its own."""
    monkeypatch.setattr(notebooks, "FOLDER", tmp_path)
    source = tmp_path / "lesson07_small" / "notebook.py"
    source.parent.mkdir()
    source.write_text(TEXT.format(code="sum(range(10))"))
    return source


def test_a_notebook_is_written_the_same_each_time(lesson: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = lesson.with_suffix(".ipynb")
    assert notebooks.main([7], check=True) == 1 and "is missing" in capsys.readouterr().out
    assert notebooks.main([], check=False) == 0
    first = written.read_bytes()
    assert notebooks.main([7], check=False) == 0
    assert written.read_bytes() == first
    cells: list[Any] = json.loads(first)["cells"]
    assert [cell["id"] for cell in cells] == ["cell-1", "cell-2", "cell-3"]
    assert cells[1]["outputs"][0]["text"] == ["x\n"]  # no path of this machine
    assert cells[2]["outputs"][0]["data"]["text/plain"] == ["45"]
    assert str(notebooks.ROOT) not in first.decode()

    assert notebooks.main([7], check=True) == 0
    lesson.write_text(lesson.read_text().replace("range(10)", "range(11)"))
    capsys.readouterr()
    assert notebooks.main([7], check=True) == 1
    said = capsys.readouterr().out
    assert 'cell 3 ("sum(range(11))") differs' in said and "make notebooks" in said


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("1 / 0", 'cell 3 ("1 / 0"): ZeroDivisionError: division by zero'),
        ("import time; time.sleep(60)", "took over 4 s"),
        ("import os; os._exit(1)", "its Python process died"),
    ],
    ids=["error", "too slow", "dead"],
)
def test_a_cell_that_fails_is_named(lesson: Path, code: str, words: str) -> None:
    lesson.write_text(TEXT.format(code=code))
    with pytest.raises(NotebookProblem) as problem:
        notebooks.execute(lesson, seconds=4)
    assert words in str(problem.value)


def test_a_failing_notebook_keeps_the_old_one(lesson: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lesson.write_text(TEXT.format(code="nothing"))
    lesson.with_suffix(".ipynb").write_text("old")
    assert notebooks.main([7], check=False) == 1
    assert "NameError: name 'nothing' is not defined" in capsys.readouterr().out
    assert lesson.with_suffix(".ipynb").read_text() == "old"


def test_a_lesson_without_a_notebook_is_a_usage_error(
    lesson: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert notebooks.main([3], check=False) == 2
    assert capsys.readouterr().out == "There is no notebook for lesson 3. Lessons with a notebook: 7.\n"
