"""Makes each lesson's notebook.ipynb from its notebook.py: converted, run from top to bottom, outputs kept.

notebook.py (jupytext's percent format) is the source that people edit; notebook.ipynb is for reading,
on the web and in JupyterLab. Equal outputs give an equal file, byte for byte.
"""

import os
import re
import sys
import time
from pathlib import Path
from typing import Any

from workbench.lessons import FOLDER, ROOT

TIME_LIMIT = 120.0  # seconds, a notebook
LARGEST_IMAGE = 150_000  # bytes, a figure; a sharper one doesn't read better, and git keeps each version
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
}


class NotebookProblem(Exception):
    """A notebook can't be made, or differs from its source; the message says which cell and why."""


def main(numbers: list[int], check: bool) -> int:
    """Make the notebooks of these lessons (none: of all), or only compare their cells with notebook.py.

    Returns 0; 1 if a cell failed or differs; 2 if there is no such notebook.
    """
    found = sources()
    missing = ", ".join(str(number) for number in numbers if number not in found)
    if missing:
        there = ", ".join(map(str, found)) or "none"
        print(f"There is no notebook for lesson {missing}. Lessons with a notebook: {there}.")
        return 2
    status = 0
    for number in numbers or found:
        source = found[number]
        try:
            if check:
                compare(source, source.with_suffix(".ipynb"))
                print(f"{_shown(source)}: its notebook.ipynb has the same cells.")
            else:
                start = time.monotonic()
                notebook = execute(source)
                _write(notebook, source.with_suffix(".ipynb"))
                print(f"{_shown(source)}: ran in {time.monotonic() - start:.0f} s, notebook.ipynb written.")
        except NotebookProblem as problem:
            print(problem)
            status = 1
    return status


def sources() -> dict[int, Path]:
    """Every lesson's notebook.py, by lesson number."""
    paths = sorted(FOLDER.glob("lesson[0-9]*_*/notebook.py"))
    return {int(path.parent.name.removeprefix("lesson").split("_")[0]): path for path in paths}


def read_source(path: Path) -> Any:
    """notebook.py as a notebook without outputs, with ids and metadata that never change by themselves."""
    import jupytext
    import nbformat

    try:
        notebook = jupytext.reads(path.read_text(), fmt="py:percent")
    except Exception as error:
        raise NotebookProblem(
            f"{_shown(path)} isn't in percent format: {str(error).splitlines()[0]}"
        ) from error
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for place, cell in enumerate(notebook.cells, 1):
        cell["id"] = f"cell-{place}"
    return notebook


def execute(path: Path, seconds: float = TIME_LIMIT) -> Any:
    """Run notebook.py's cells in its folder, with this interpreter; the notebook with their outputs.

    Raises `NotebookProblem` if a cell fails, the time is up or a figure is too large.
    """
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    notebook = read_source(path)
    end = time.monotonic() + seconds
    running = 0  # the place of the cell under way

    def note(cell: Any, cell_index: int) -> None:
        nonlocal running
        running = cell_index

    this_python = AsyncKernelManager(
        kernel_name="python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[])
    )
    client = NotebookClient(
        notebook,
        km=this_python,
        on_cell_start=note,
        timeout_func=lambda cell: max(1, round(end - time.monotonic())),
        resources={"metadata": {"path": str(path.parent)}},
        record_timing=False,
        coalesce_streams=True,
        extra_arguments=["--log-level=CRITICAL"],
    )
    places = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    try:
        client.execute(env={**os.environ, "PYTHONPATH": places}, cleanup_kc=True)
    except CellExecutionError as error:
        raise NotebookProblem(f"{_where(path, notebook, running)}: {error.ename}: {error.evalue}") from None
    except CellTimeoutError:
        raise NotebookProblem(
            f"{_where(path, notebook, running)}: the notebook took over {seconds:.0f} s."
        ) from None
    except DeadKernelError:
        raise NotebookProblem(f"{_where(path, notebook, running)}: its Python process died.") from None
    _clean(notebook)
    for place, cell in enumerate(notebook.cells, 1):
        for image in images(cell):
            if len(image) * 3 // 4 > LARGEST_IMAGE:
                raise NotebookProblem(
                    f"{_shown(path)}, cell {place}: a figure takes {len(image) * 3 // 4 // 1000} kB; "
                    f"at most {LARGEST_IMAGE // 1000} kB (a smaller figure, a lower dpi, fewer points)."
                )
    return notebook


def images(cell: Any) -> list[str]:
    """The PNG images, as base64 text, that a cell put out."""
    data = [output.get("data", {}) for output in cell.get("outputs", ())]
    return ["".join(bundle["image/png"]) for bundle in data if "image/png" in bundle]


def compare(source: Path, written: Path) -> None:
    """Raise `NotebookProblem` unless notebook.ipynb holds the cells of notebook.py. Nothing is run."""
    import nbformat

    mend = "run  make notebooks  ."
    if not written.is_file():
        raise NotebookProblem(f"{_shown(written)} is missing: {mend}")
    wanted, there = read_source(source).cells, nbformat.read(str(written), as_version=4).cells
    for place, (mine, other) in enumerate(zip(wanted, there, strict=False), 1):
        if (mine.cell_type, mine.source) != (other.cell_type, other.source):
            where = _where(written, read_source(source), place - 1)
            raise NotebookProblem(f"{where} differs from notebook.py: {mend}")
    if len(wanted) != len(there):
        raise NotebookProblem(
            f"{_shown(written)} has {len(there)} cells and notebook.py has {len(wanted)}: {mend}"
        )


def _where(path: Path, notebook: Any, index: int) -> str:
    opening = (notebook.cells[index].source.strip().splitlines() or [""])[0][:60]
    return f'{_shown(path)}, cell {index + 1} ("{opening}")'


def _clean(notebook: Any) -> None:
    """Take out of the notebook what belongs to this machine or this run."""
    import nbformat

    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", ()):
            if "text" in output:
                output["text"] = _anonymous(output["text"])
            for kind, content in output.get("data", {}).items():
                if kind.startswith("text/") and isinstance(content, str):
                    output["data"][kind] = _anonymous(content)
            if "traceback" in output:
                output["traceback"] = [_anonymous(line) for line in output["traceback"]]


def _anonymous(text: str) -> str:
    replacements = (
        (re.escape(str(ROOT)) + "/", ""),
        (re.escape(str(ROOT)), "."),
        (re.escape(sys.prefix), ".venv"),
        (r"\S*/ipykernel_\d+/\d+\.py", "<cell>"),
        (r"\S*/site-packages/", ""),
        (r" at 0x[0-9a-f]+", ""),
    )
    for pattern, replacement in replacements:
        text = re.sub(pattern, replacement, text)
    return text


def _write(notebook: Any, path: Path) -> None:
    import nbformat

    nbformat.validate(notebook)
    path.write_text(nbformat.writes(notebook).rstrip("\n") + "\n")


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
