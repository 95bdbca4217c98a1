"""`make lab`: JupyterLab, opened at the notebook of the lesson where the learner is."""

import os
import sys
from collections.abc import Sequence

from workbench import lessons, notes, progress


def main(more: Sequence[str]) -> None:
    """Become JupyterLab. more: options for it.

    Its notebooks run in this Python: jupyter_client takes the kernel "python3" to be that of the Python it runs in.
    """
    environment = {**os.environ, "PYTHONPATH": str(lessons.ROOT)}
    os.chdir(lessons.ROOT)
    sys.stdout.flush()
    os.execve(sys.executable, [*arguments(), *more], environment)


def arguments() -> list[str]:
    """The command that opens JupyterLab at the current lesson."""
    try:
        number = progress.current_lesson()
    except notes.NotKept:
        number = min(lessons.folders())
    notebook = (lessons.folder(number) / "notebook.ipynb").relative_to(lessons.ROOT)
    root = ["--allow-root"] if os.getuid() == 0 else []
    return [
        sys.executable,
        "-m",
        "jupyterlab",
        f"--LabApp.default_url=/lab/tree/{notebook.as_posix()}",
        *root,
    ]
