"""Finds lessons by number: the one place that knows where they lie."""

import importlib
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "lessons"


class NoSuchLesson(ValueError):
    """The lesson asked for doesn't exist; the message lists those that do."""


def folders() -> dict[int, Path]:
    """The lessons that exist: number -> folder."""
    found = {}
    for path in sorted(FOLDER.glob("lesson*/check.py")):
        match = re.fullmatch(r"lesson(\d+)_(\w+)", path.parent.name)
        if match:
            found[int(match[1])] = path.parent
    return found


def folder(asked: str | int) -> Path:
    """The folder of one lesson. Raises `NoSuchLesson`."""
    found = folders()
    if str(asked).isdecimal() and int(asked) in found:
        return found[int(asked)]
    names = "\n".join(f"  {number}  {path.name.split('_', 1)[1]}" for number, path in found.items())
    raise NoSuchLesson(f'There is no lesson "{asked}". The lessons that exist:\n{names}')


def load(number: int) -> Any:
    """The `LESSON` (a `workbench.check.lesson.Lesson`) of a lesson's check.py."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    return importlib.import_module(f"lessons.{folder(number).name}.check").LESSON
