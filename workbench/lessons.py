"""Finds lessons by number: the one place that knows where they lie."""

import importlib
import re
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
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
    return _module(number, "check").LESSON


def measure(number: int) -> dict[str, Any] | None:
    """What the lesson's own measure.py finds out on this GPU, ready for JSON; None if the lesson has no such file.

    A lesson that measures more than the time of its versions (the checker does that) has a measure.py beside its
    check.py, with a function `measure()` that takes nothing and returns a dict of plain values. It runs in a process
    of its own, which has a CUDA context of its own. What it raises is raised here.
    """
    if not (folder(number) / "measure.py").is_file():
        return None
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_measure, number).result()


def _measure(number: int) -> dict[str, Any]:
    found: dict[str, Any] = _module(number, "measure").measure()
    return found


def explorer() -> dict[str, Any]:
    """What the tile explorer's page shows: the traces of lessons/tile_explorer.py, ready for JSON."""
    found: dict[str, Any] = _import("tile_explorer").traces()
    return found


def contenders() -> dict[str, Any]:
    """Who takes part in `python -m workbench compare`, as `workbench.compare.candidates.Candidate`s by name."""
    found: dict[str, Any] = _import("contenders").contenders()
    return found


def _module(number: int, name: str) -> Any:
    return _import(f"{folder(number).name}.{name}")


def _import(name: str) -> Any:
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    return importlib.import_module(f"lessons.{name}")
