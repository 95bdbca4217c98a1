"""The learner's file: has its blank been filled, and what does it define?"""

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench import lessons
from workbench.check.lesson import Exercise


class NoSuchFunction(ValueError):
    """A learner's file lacks the function that is asked for."""


def is_untouched(path: Path, exercise: Exercise) -> bool:
    """True while nothing but comments stands between the marks `>>> blank` and `<<< blank`.

    A file without its marks counts as begun. Raises FileNotFoundError.
    """
    text = path.read_text(errors="replace")
    marks = rf"[^\n]*>>> {exercise.blank}\b[^\n]*\n(.*?)(?://|#)\s*<<< {exercise.blank}\b"
    between = re.search(marks, text, re.DOTALL)
    if between is None:
        return False
    code = (
        re.sub(r"//[^\n]*|/\*.*?\*/", "", between[1], flags=re.DOTALL) if path.suffix == ".cu" else between[1]
    )
    lines = (line.split("#")[0].strip() for line in code.splitlines())
    return all(line in ("", "pass", "...") for line in lines)


def names(exercise: Exercise) -> str:
    """What the exercise is called in the table: the file, and the blank if the file has several."""
    return f"{exercise.file} {exercise.blank}"


def function_from(file: Path, name: str) -> Callable[..., Any]:
    """The function `name` of the learner's Python file, which is imported. Raises `NoSuchFunction`."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not callable(getattr(module, name, None)):
        place = file.relative_to(lessons.ROOT) if file.is_relative_to(lessons.ROOT) else file
        raise NoSuchFunction(
            f"{file.name} has no function {name}: give it its name back. `git diff {place}` shows what was changed."
        )
    found: Callable[..., Any] = getattr(module, name)
    return found
