"""What is remembered about the learner: .learner/progress.json, a file to be read, on this machine alone.

    {"version": 1,
     "lessons": {"lesson02_vector_add": {
         "exercises": {"exercise.cu plain": {"verdict": "PASS", "file": ..., "checked": ..., "times": [...]}},
         "hints": {"given": ["the title of a hint", ...], "for": ["a mistake", ...]}}}}

git ignores the folder, so that `git pull` and `git checkout` leave it alone. A file that can't be understood is kept
in .learner/kept, and what can be understood of it is used. `workbench.progress` says what is noted of an exercise.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from workbench import lessons

FOLDER = lessons.ROOT / ".learner"
VERSION = 1
KINDS = {"verdict": str, "file": str, "checked": str, "mistake": str, "times": list}
TIME = {"ms": int | float, "gpu": str, "date": str, "file": str}


class NotKept(Exception):
    """The notes can't be read or written here; the message says why."""


@dataclass
class Notes:
    """lessons: by folder name. said: a sentence, if the file wasn't as it should be."""

    lessons: dict[str, dict[str, Any]]
    said: str = ""

    def of(self, lesson: str) -> dict[str, Any]:
        """The notes on a lesson, to be changed: "exercises" by name, and "hints"."""
        return self.lessons.setdefault(lesson, {"exercises": {}, "hints": {"given": [], "for": []}})


def now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


@contextmanager
def changing(folder: Path | None = None) -> Iterator[Notes]:
    """The notes, written when the block ends without an error; another process waits for that.

    The file is replaced as a whole: a crash leaves the old one or the new one. Raises `NotKept`.
    """
    folder = folder or FOLDER
    try:
        folder.mkdir(exist_ok=True)
        lock = (folder / "lock").open("a")
        fcntl.flock(lock, fcntl.LOCK_EX)
        notes = _read(folder)
    except OSError as error:
        raise NotKept(f"Your progress can't be kept in {folder.name}: {error}.") from error
    with lock:
        before = json.dumps(notes.lessons)
        yield notes
        if notes.said or json.dumps(notes.lessons) != before:
            try:
                _write(folder, notes.lessons)
            except OSError as error:
                raise NotKept(f"Your progress can't be kept in {folder.name}: {error}.") from error


def read(folder: Path | None = None) -> Notes:
    """The notes as they are. Raises `NotKept`."""
    with changing(folder) as notes:
        return notes


def keep_aside(path: Path, under: str, folder: Path | None = None) -> Path:
    """Copy a file into .learner/kept/`under`, with the time in its name; never over another one. Returns where."""
    place = (folder or FOLDER) / "kept" / under
    place.mkdir(parents=True, exist_ok=True)
    stamp = datetime.now().strftime("%Y-%m-%d_%H.%M.%S")
    content = path.read_bytes()
    for again in ("", *(f"_{count}" for count in range(2, 1000))):
        kept = place / f"{path.stem}_{stamp}{again}{path.suffix}"
        try:
            with kept.open("xb") as file:
                file.write(content)
            return kept
        except FileExistsError:
            continue
    raise OSError(f"{place} is full of copies of {path.name}")


def _read(folder: Path) -> Notes:
    path = folder / "progress.json"
    if not path.exists():
        return Notes({})
    try:
        held = json.loads(path.read_bytes())
    except ValueError:
        return Notes({}, _kept(path, "is damaged: progress starts anew"))
    version = held.get("version") if isinstance(held, dict) else None
    if version != VERSION:
        written = f"is of version {version}, and this course reads {VERSION}"
        return Notes({}, _kept(path, f"{written}: progress starts anew"))
    found, whole = _understood(held.get("lessons"))
    return Notes(found, "" if whole else _kept(path, "has parts that make no sense: the rest is used"))


def _kept(path: Path, what: str) -> str:
    kept = keep_aside(path, "", path.parent)
    return f"{path.parent.name}/{path.name} {what}. As it was, it is kept in {path.parent.name}/kept/{kept.name}."


def _understood(held: Any) -> tuple[dict[str, dict[str, Any]], bool]:
    """(the lessons whose notes are as they should be, with the exercises that are; whether that is all of them)."""
    if not isinstance(held, dict):
        return {}, False
    found, whole = Notes({}), True
    for name, lesson in held.items():
        exercises = lesson.get("exercises") if isinstance(lesson, dict) else None
        hints = lesson.get("hints") if isinstance(lesson, dict) else None
        notes = found.of(name)
        if isinstance(exercises, dict):
            notes["exercises"] = {key: one for key, one in exercises.items() if _is_exercise(one)}
        if _is_hints(hints):
            notes["hints"] = hints
        whole = whole and notes["exercises"] == exercises and notes["hints"] == hints
    return found.lessons, whole


def _is_exercise(held: Any) -> bool:
    return (
        _has(held, KINDS)
        and held["verdict"] in ("PASS", "FAIL", "NOT STARTED")
        and all(_has(time, TIME) and time["ms"] > 0 for time in held["times"])
    )


def _is_hints(held: Any) -> bool:
    return _has(held, {"given": list, "for": list}) and all(
        isinstance(text, str) for text in held["given"] + held["for"]
    )


def _has(held: Any, kinds: dict[str, Any]) -> bool:
    return isinstance(held, dict) and all(isinstance(held.get(name), kind) for name, kind in kinds.items())


def _write(folder: Path, held: dict[str, Any]) -> None:
    new = folder / "progress.json.new"
    with new.open("w") as file:
        file.write(json.dumps({"version": VERSION, "lessons": held}, indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, folder / "progress.json")
