"""In a notebook: `from workbench.notebook import check, hint`. They show what the terminal shows."""

import io
from pathlib import Path

from rich.console import Console

from workbench import lessons, notes
from workbench.check.command import check_and_show
from workbench.check.processes import CheckerError
from workbench.hints import next_hint
from workbench.report import machine

WIDTH = 100  # columns


def check(lesson: int | None = None) -> None:
    """Check a lesson (the one in whose folder the notebook lies) and show its table, as `make check-lessonN` does."""
    number = _number(lesson)
    text = io.StringIO()
    console = Console(file=text, width=WIDTH, force_terminal=True, highlight=False, force_jupyter=False)
    try:
        check_and_show(console, number, machine.describe()["gpu"])
    except CheckerError as error:
        print(f"{error}\n`make doctor` says what is missing.")
    else:
        print(text.getvalue())


def hint(lesson: int | None = None) -> None:
    """Show the next hint for a lesson (the one in whose folder the notebook lies), as `make hint-lessonN` does."""
    try:
        print(next_hint(lessons.folder(_number(lesson))))
    except notes.NotKept as problem:
        print(problem)


def _number(lesson: int | None) -> int:
    """Raises `NoSuchLesson` for a number without a lesson, ValueError outside a lesson's folder without a number."""
    if lesson is not None:
        lessons.folder(lesson)
        return int(lesson)
    for number, folder in lessons.folders().items():
        if Path.cwd() == folder:
            return number
    raise ValueError(f"lesson: {Path.cwd().name} is no lesson's folder; say which lesson, as in check(2)")
