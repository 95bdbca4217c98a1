"""`python -m workbench report N`: check a lesson, and write what there is to look at as one page for a browser."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console

from workbench import lessons, notes
from workbench.check.command import check_and_show
from workbench.check.outcome import Outcome, Verdict
from workbench.check.processes import CheckerError, Workers
from workbench.check.ready import ENVIRONMENT
from workbench.report import machine
from workbench.report.page import CannotWrite, check_writable, write
from workbench.report.page.lesson import Shown, lesson_page

BENCHMARKS = lessons.ROOT / "benchmarks"
PATIENCE = 60  # seconds for one of the learner's rows, or all shipped ones, the start of the process with it


def main(number: int, folder: Path | None = None) -> int:
    """Check a lesson, write its page and say where. Returns 1 if a row failed, 2 if no page can be written, else 0.

    folder: where to write it, `.learner` by default.
    """
    path = (folder or notes.FOLDER) / f"report-lesson{number:02}.html"
    console = Console(highlight=False)
    try:
        check_writable(path)  # said now, not after a minute's work
        here = machine.describe()
        with console.status(f"Lesson {number}: starting") as status:
            answer = check_and_show(console, number, here["gpu"], Workers(progress=status.update))
            status.update(f"Lesson {number}: looking at every access")
            found = look(number, answer.outcomes)
            shown = Shown(number, answer, here, found, kept(number), history(number))
            write(path, lesson_page(shown))
    except (CannotWrite, CheckerError) as problem:
        print(problem, file=sys.stderr)
        return 2
    console.print(f"\nOpen {path} in a browser. It needs no network.", soft_wrap=True)
    return 1 if any(outcome.verdict is Verdict.FAIL for outcome in answer.outcomes) else 0


def look(number: int, outcomes: list[Outcome]) -> dict[str, dict[str, Any]]:
    """By row, what `workbench.report.page.evidence` finds out: of each CUDA row, and of each that failed in a case.

    Each of the learner's rows has a process of its own. One that crashes or hangs finds nothing; the checker's table
    says what happened.
    """
    rows = [
        outcome
        for outcome in outcomes
        if (outcome.verdict is Verdict.FAIL and outcome.case)
        or (outcome.verdict is Verdict.PASS and outcome.language == "cuda")
    ]
    jobs = [("learner", [outcome]) for outcome in rows if outcome.learners]
    jobs.append(("shipped", [outcome for outcome in rows if not outcome.learners]))
    found: dict[str, dict[str, Any]] = {}
    running: list[subprocess.Popen[bytes]] = []
    with ThreadPoolExecutor(2) as pool:
        try:
            for answer in pool.map(lambda job: _look(number, job[0], job[1], running), jobs):
                found.update(answer)
        except BaseException:  # Ctrl-C, for one: without this the pool would wait for every process's end
            pool.shutdown(wait=False, cancel_futures=True)
            for process in running:
                _end(process)
            raise
    return found


def _look(
    number: int, who: str, outcomes: list[Outcome], running: list[subprocess.Popen[bytes]]
) -> dict[str, dict[str, Any]]:
    """What one process finds out. It is put among those that are `running`."""
    if not outcomes:
        return {}
    environment = {**os.environ, **ENVIRONMENT, "TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""}
    rows = json.dumps([[outcome.row, outcome.case] for outcome in outcomes])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "found.json"
        process = subprocess.Popen(
            [sys.executable, "-m", "workbench.report.page.evidence", str(number), who, str(file), rows],
            cwd=lessons.ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        running.append(process)
        try:
            with suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
            found: dict[str, dict[str, Any]] = json.loads(file.read_text())
        except (OSError, ValueError):
            return {}
        finally:
            _end(process)
        return found


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process, and what the learner's code may have started in it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def kept(number: int) -> dict[str, Any] | None:
    """The newest times of a lesson in benchmarks/, as `make bench` wrote them."""
    found = [json.loads(path.read_text()) for path in BENCHMARKS.glob(f"*/lesson{number:02}.json")]
    return max(found, key=lambda one: str(one["machine"]["date"]), default=None)


def history(number: int, read: Callable[[], notes.Notes] = notes.read) -> dict[str, list[dict[str, Any]]]:
    """The times of the learner's exercises so far, oldest first, by exercise."""
    try:
        exercises = read().lessons.get(lessons.folder(number).name, {}).get("exercises", {})
    except notes.NotKept:
        return {}
    return {name: one["times"] for name, one in exercises.items() if one["times"]}
