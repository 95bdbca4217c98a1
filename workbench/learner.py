"""The commands of the learner's loop besides `check`: watch, hint, reset, progress and lab."""

import sys
from collections.abc import Sequence

from workbench import lessons, notes
from workbench.reset import CannotReset


def main(command: str, lesson: str | None, rest: Sequence[str]) -> int:
    """Run one of them; 2 if it can't be done, said in a sentence. Raises `NoSuchLesson`."""
    number = int(lesson) if lesson and lessons.folder(lesson) else 0
    try:
        if command == "watch":
            from workbench.watch import main as watch

            return watch(number)
        if command == "hint":
            from workbench.hints import next_hint

            print(next_hint(lessons.folder(number)))
        elif command == "reset":
            from workbench.reset import reset

            print("\n".join(reset(number)))
        elif command == "progress":
            from rich.console import Console

            from workbench import progress

            progress.show(Console(highlight=False))
        else:
            from workbench import lab

            lab.main(rest)
        return 0
    except (notes.NotKept, CannotReset, OSError) as problem:
        print(problem, file=sys.stderr)
        return 2
