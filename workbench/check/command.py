"""`python -m workbench check`: check lessons, show their tables, note how far the learner has come."""

import json
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from workbench import lessons, progress
from workbench.check.check import check_lesson
from workbench.check.outcome import Verdict
from workbench.check.processes import Answer, CheckerError, Workers
from workbench.report import machine, table


def main(numbers: list[int], json_file: str | None, seconds: float, differences: bool) -> int:
    """Check these lessons; 1 if a row failed, 2 for what can't be done, else 0.

    json_file: also write everything there (-: to the terminal, and nothing else). seconds: the time limit of a case.
    differences: show what the shipped versions do differently for all that passes, not only for what passes anew.
    """
    if not 0 < seconds < float("inf"):
        print("--seconds takes a number above 0.", file=sys.stderr)
        return 2
    if json_file not in (None, "-") and not Path(json_file or "").parent.is_dir():
        print(f"--json: there is no folder {Path(json_file or '').parent}.", file=sys.stderr)
        return 2
    console = Console(quiet=json_file == "-", highlight=False)
    here = machine.describe()
    answers, failed = [], False
    for number in numbers:
        with console.status(f"Lesson {number}: starting") as status:
            try:
                report = check_and_show(
                    console, number, here["gpu"], Workers(seconds, status.update), differences=differences
                )
            except CheckerError as error:
                print(f"{error}\n`make doctor` says what is missing.", file=sys.stderr)
                return 2
        failed |= any(outcome.verdict is Verdict.FAIL for outcome in report.outcomes)
        rows = [outcome.as_dict() for outcome in report.outcomes]
        answers.append({"lesson": number, "title": report.title, "rows": rows})
    if json_file:
        text = json.dumps({"machine": here, "lessons": answers}, indent=2)
        if json_file == "-":
            print(text)
        else:
            Path(json_file).write_text(text + "\n")
    return 1 if failed else 0


def check_and_show(
    console: Console,
    number: int,
    gpu: object,
    workers: Workers | None = None,
    *,
    differences: bool = False,
) -> Answer:
    """Check a lesson, note what came out, and print it. Raises `CheckerError`."""
    name = str(gpu) if gpu else None
    files = progress.fingerprints(number)
    report = check_lesson(number, workers)
    new, said = progress.record(number, report.outcomes, files, name)
    passed = {o.row: o.explanation for o in report.outcomes if o.learners and o.verdict is Verdict.PASS}
    shown = {row: text for row, text in passed.items() if differences or row in new}
    folder = lessons.folder(number).relative_to(lessons.ROOT)
    table.show(console, number, report.title, report.outcomes, name, folder, shown)
    if said:
        console.print(Text(f"\n{said}"))
    return report
