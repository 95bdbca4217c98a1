"""Put a lesson's exercises back to where they began: `make reset-lessonN`. The learner's versions are kept aside."""

import subprocess
import tempfile
from pathlib import Path

from workbench import lessons, notes
from workbench.check.exercise import is_untouched
from workbench.check.lesson import Exercise

VERSIONS = 200  # so many of a file's versions are looked at, the newest first


class CannotReset(Exception):
    """An exercise's beginning can't be found; the message says why."""


def reset(number: int, state: Path | None = None) -> list[str]:
    """Restore each exercise file of a lesson that has been begun. Returns a sentence for each file.

    What was written is first copied to .learner/kept, never over another copy. Raises `CannotReset`, OSError.
    """
    folder = lessons.folder(number)
    exercises: dict[str, list[Exercise]] = {}
    for _, exercise in lessons.load(number).exercises:
        exercises.setdefault(exercise.file, []).append(exercise)
    said = []
    for name, blanks in exercises.items():
        path = folder / name
        beginning = original(path, blanks)
        if path.is_file() and path.read_bytes() == beginning:
            said.append(f"{name} is as it was in the beginning.")
            continue
        kept = ""
        if path.exists():
            copy = notes.keep_aside(path, folder.name, state)
            kept = f" Yours is kept in {copy.relative_to(copy.parents[3])}."
        path.write_bytes(beginning)
        said.append(f"{name} is as it was in the beginning again.{kept}")
    return said


def original(path: Path, blanks: list[Exercise]) -> bytes:
    """The newest version of a file in git in which all its blanks are blank. Raises `CannotReset`."""
    place = path.relative_to(lessons.ROOT).as_posix()
    versions = _git("rev-list", f"--max-count={VERSIONS}", "HEAD", "--", place).decode().split()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        for version in versions:
            try:
                copy.write_bytes(_git("show", f"{version}:{place}"))
            except CannotReset:  # this version deleted it
                continue
            if all(is_untouched(copy, blank) for blank in blanks):
                return copy.read_bytes()
    raise CannotReset(
        f"git has no version of {place} whose blanks are blank; clone the course anew to get one."
    )


def _git(*arguments: str) -> bytes:
    try:
        done = subprocess.run(["git", *arguments], cwd=lessons.ROOT, capture_output=True)
    except FileNotFoundError as error:
        raise CannotReset("git isn't installed, and it holds the exercises as they were.") from error
    if done.returncode != 0:
        raise CannotReset(f"git can't give the exercises as they were: {done.stderr.decode().strip()}")
    return done.stdout
