"""How far the learner has come: what each check says of the exercises is noted, and `make progress` shows it.

The notes on an exercise: "verdict", the last check's; "file", a fingerprint of what it judged; "checked",
when; "mistake", the one that it named; "times", those that passed on a GPU: "ms", "reached", "gpu", "date", "file".
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from workbench import lessons, notes
from workbench.check.exercise import is_untouched, names
from workbench.check.lesson import Exercise
from workbench.check.outcome import Outcome, Verdict

MARK = r">>> (\w+)"  # where a blank begins
NOT_STARTED, BEGUN, FAILING = "not started", "begun, not checked", "failing"
ON_CPU, TIMED = "passed on the CPU", "passed and timed on a GPU"
COLOURS = {NOT_STARTED: "dim", BEGUN: "yellow", FAILING: "red", ON_CPU: "green", TIMED: "bold green"}


def fingerprints(number: int) -> dict[str, str]:
    """Of each exercise of a lesson as it is now, by its name: what a check that begins now will judge."""
    found: dict[str, str] = {}
    for path in lessons.folder(number).glob("exercise*.*"):
        if path.is_file():
            text = path.read_bytes().decode(errors="replace")
            found |= {f"{path.name} {blank}": fingerprint(text, blank) for blank in re.findall(MARK, text)}
    return found


def fingerprint(text: str, blank: str) -> str:
    """Of an exercise's file without what stands in the other blanks."""
    others = rf">>> (?!{blank}\b)(\w+)[^\n]*\n.*?<<< \1\b"
    return hashlib.sha256(re.sub(others, "", text, flags=re.DOTALL).encode()).hexdigest()[:12]


def record(
    number: int,
    outcomes: Sequence[Outcome],
    files: Mapping[str, str],
    gpu: str | None,
    folder: Path | None = None,
) -> tuple[list[str], str]:
    """Note what a check said. files: `fingerprints` from before it. gpu: its name, if times were taken.

    Returns (the rows that pass now and didn't in the check before; a sentence to show if something is amiss).
    """
    new = []
    try:
        with notes.changing(folder) as held:
            exercises = held.of(lessons.folder(number).name)["exercises"]
            for outcome in outcomes:
                if not outcome.learners or outcome.verdict is Verdict.SKIPPED:
                    continue
                file = files.get(outcome.name, "")
                before = exercises.get(outcome.name, {})
                if outcome.verdict is Verdict.PASS and before.get("verdict") != Verdict.PASS.value:
                    new.append(outcome.row)
                exercises[outcome.name] = {
                    **before,
                    "verdict": outcome.verdict.value,
                    "file": file,
                    "checked": notes.now(),
                    "mistake": outcome.mistake,
                    "times": [*before.get("times", []), *_timed(outcome, gpu, file)],
                }
        return new, held.said
    except notes.NotKept as problem:
        return new, str(problem)


def _timed(outcome: Outcome, gpu: str | None, file: str) -> list[dict[str, Any]]:
    time = outcome.timing
    if not gpu or outcome.verdict is not Verdict.PASS or not time:
        return []
    arithmetic = "tflop_per_s" in time
    reached = f"{time['tflop_per_s']:.1f} TFLOP/s" if arithmetic else f"{time['gb_per_s']:.0f} GB/s"
    return [{"ms": time["median"], "reached": reached, "gpu": gpu, "date": notes.now(), "file": file}]


def state(path: Path, exercise: Exercise, noted: Mapping[str, Any]) -> str:
    """How far an exercise has come. path: its file. noted: the notes on it, {} if there are none.

    What was timed counts as timed as long as the file is the one that was.
    """
    if not path.is_file():
        return FAILING
    if is_untouched(path, exercise):
        return NOT_STARTED
    if not noted or noted["verdict"] == Verdict.NOT_STARTED.value:
        return BEGUN
    if noted["verdict"] != Verdict.PASS.value:
        return FAILING
    return TIMED if any(time["file"] == noted["file"] for time in noted["times"]) else ON_CPU


def current_lesson(folder: Path | None = None) -> int:
    """The lesson that was checked last; if all of it passes, the next one that doesn't. Raises `NotKept`."""
    held = notes.read(folder)
    checked = {
        number: max((one["checked"] for one in held.lessons[path.name]["exercises"].values()), default="")
        for number, path in lessons.folders().items()
        if path.name in held.lessons
    }
    last = (
        max(checked, key=lambda number: checked[number]) if any(checked.values()) else min(lessons.folders())
    )
    later = [number for number in lessons.folders() if number >= last]
    return next((number for number in later if not _passes(number, held)), last)


def _passes(number: int, held: notes.Notes) -> bool:
    return all(now in (ON_CPU, TIMED) for _, now, _ in states(number, held))


def states(number: int, held: notes.Notes) -> list[tuple[str, str, Mapping[str, Any]]]:
    """(name, state, notes) of each exercise of a lesson."""
    folder = lessons.folder(number)
    noted = held.lessons.get(folder.name, {}).get("exercises", {})
    return [
        (names(e), state(folder / e.file, e, noted.get(names(e), {})), noted.get(names(e), {}))
        for _, e in lessons.load(number).exercises
    ]


def show(console: Console, folder: Path | None = None) -> None:
    """Print how far every exercise of every lesson has come. Raises `NotKept`."""
    held = notes.read(folder)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    table.add_column(overflow="fold", justify="right")
    found, histories = [], []
    for number, path in lessons.folders().items():
        files = fingerprints(number)
        table.add_row(Text(f"{number:2}  {path.name.split('_', 1)[1]}", style="bold"))
        for name, now, noted in states(number, held):
            found.append(now)
            changed = noted and noted["file"] != files.get(name, "")
            words = Text(now, style=COLOURS[now])
            if changed and now not in (NOT_STARTED, BEGUN):
                words.append(", changed since", style="dim")
            table.add_row(Text(f"    {name}"), words, _best(noted))
            histories += [f"Lesson {number}, {name}, {line}" for line in _histories(noted)]
    if held.said:
        console.print(Text(f"{held.said}\n"))
    console.print(table)
    for line in histories:
        console.print(Text(line), style="dim")
    passed, timed = sum(now in (ON_CPU, TIMED) for now in found), found.count(TIMED)
    console.print(f"\n{passed} of {len(found)} exercises pass, {timed} of them timed on a GPU.")
    here = current_lesson(folder)
    console.print(f"Next: `make watch-lesson{here}`.")


def _best(noted: Mapping[str, Any]) -> str:
    times = noted.get("times", ())
    return f"best {min(time['ms'] for time in times):.3f} ms" if times else ""


def _histories(noted: Mapping[str, Any]) -> list[str]:
    """One line for each GPU: times on different ones aren't compared."""
    lines = []
    for gpu in dict.fromkeys(time["gpu"] for time in noted.get("times", ())):
        times = [time for time in noted["times"] if time["gpu"] == gpu]
        best = min(times, key=lambda time: time["ms"])
        shown = " → ".join(f"{time['ms']:.3f}" for time in times[-6:])
        more = f"{len(times) - 6} more, then " if len(times) > 6 else ""
        lines.append(f"{gpu}: {more}{shown} ms; best {best['ms']:.3f} ms on {best['date'][:10]}")
    return lines
