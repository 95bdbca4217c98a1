"""Processes of `workbench.check.worker`: start one, listen, and go on after it is lost."""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from workbench import lessons
from workbench.check.outcome import Outcome, Verdict

STARTING_UP = 120.0  # seconds until the first word: importing torch on a cold disk takes long
KEPT = 10  # lines of what a row printed first, and as many of the last
ENVIRONMENT = {
    "PYTHONUNBUFFERED": "1",
    # Large arrays come and go here; glibc would hand each back to the system, which then clears every page anew.
    "MALLOC_MMAP_THRESHOLD_": str(1 << 32),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 32),
}
_running: set[int] = set()
_stopping = threading.Event()


@dataclass
class Answer:
    """A lesson's title, and an outcome for each row."""

    title: str
    outcomes: list[Outcome]


class CheckerError(RuntimeError):
    """The checker's own process broke, before it came to any row: an environment problem, not the learner's."""


def judge(
    number: int,
    mode: str,
    who: str,
    *,
    seconds: float,
    rows: Sequence[str] = (),
    progress: Callable[[str], None],
) -> "Answer":
    """Let a worker judge `rows` (default: all that `who` has) and return an outcome for each.

    A row whose process crashes, ends or is silent for `seconds` fails; a new process goes on with the next one.
    """
    outcomes: dict[str, Outcome] = {}
    title = ""
    remaining: list[str] | None = list(rows) or None
    while remaining is None or remaining:
        if _stopping.is_set():
            raise CheckerError("The checker was stopped.")
        title, plan, last = _one_process(number, mode, who, remaining, seconds, outcomes, progress)
        if plan and not last:
            raise CheckerError(f"The {mode} process of the checker ended before its first row.")
        remaining = plan[plan.index(last) + 1 :] if last else []
    return Answer(title, list(outcomes.values()))


def stop_all() -> None:
    """End every worker that is still running, and start no more."""
    _stopping.set()
    for process in list(_running):
        _kill(process)


def _one_process(
    number: int,
    mode: str,
    who: str,
    rows: Sequence[str] | None,
    seconds: float,
    outcomes: dict[str, Outcome],
    progress: Callable[[str], None],
) -> tuple[str, list[str], str]:
    """Run one process to its end. Returns (the lesson's title, the rows it meant to do, the last it came to)."""
    reader, writer = os.pipe()
    environment = {**os.environ, **ENVIRONMENT, "TRITON_INTERPRET": "1" if mode == "cpu" else "0"}
    if mode != "cuda":
        environment["CUDA_VISIBLE_DEVICES"] = ""
    with tempfile.NamedTemporaryFile() as log, open(log.name, "ab") as sink, open(log.name, "rb") as printed:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "workbench.check.worker",
                str(number),
                mode,
                who,
                str(writer),
                *(rows or ()),
            ],
            cwd=lessons.ROOT,
            env=environment,
            pass_fds=[writer],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        os.close(writer)
        _running.add(process.pid)
        plan: list[str] | None = None
        title = row = case = last = ""
        silent_too_long = False
        try:
            for message in _messages(reader, seconds):
                plan, title = message.get("plan", plan), message.get("title", title)
                case = message.get("case", case)
                if "begins" in message:
                    row, case = message["begins"], ""
                    last = row
                if "outcome" in message:
                    outcomes[row] = Outcome.from_dict(message["outcome"])
                if "ends" in message:
                    outcomes[row].printed = _head_and_tail(printed.read())
                    row = ""
                if row:
                    progress(f"{row}  {case}")
        except TimeoutError:
            silent_too_long = True
            _kill(process.pid)
        finally:
            os.close(reader)
            status = process.wait() if silent_too_long else _wait(process)
            _kill(process.pid)  # what the learner's code may have started
            _running.discard(process.pid)
        said = _head_and_tail(printed.read())
    if plan is None:
        raise CheckerError(f"The {mode} process of the checker broke before its first row:\n{said.strip()}")
    if row:
        lost = outcomes[row]
        lost.verdict, lost.case, lost.printed = Verdict.FAIL, case, said
        lost.where = "on the GPU" if mode == "cuda" else "on the CPU"
        lost.what_happened = _how_it_ended(status, silent_too_long, seconds)
    return title, plan, last


def _head_and_tail(printed: bytes) -> str:
    lines = printed.decode(errors="replace").splitlines()
    if len(lines) > 2 * KEPT:
        lines = [*lines[:KEPT], f"... {len(lines) - 2 * KEPT:,} lines left out ...", *lines]
    return "\n".join(line[:300] for line in lines)


def _messages(reader: int, seconds: float) -> Any:
    """Each message as it comes; raises TimeoutError after `seconds` of silence. Ends when the pipe closes."""
    unread, patience = b"", STARTING_UP
    while True:
        if not select.select([reader], [], [], patience)[0]:
            raise TimeoutError
        chunk = os.read(reader, 1 << 16)
        if not chunk:
            return
        patience = seconds
        *lines, unread = (unread + chunk).split(b"\n")
        yield from map(json.loads, lines)


def _wait(process: subprocess.Popen[bytes]) -> int:
    """The exit status; what still runs after closing its end of the pipe is ended."""
    deadline = time.monotonic() + 10
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    if process.poll() is None:
        _kill(process.pid)
    return process.wait()


def _kill(process: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)


def _how_it_ended(status: int, silent_too_long: bool, seconds: float) -> str:
    if silent_too_long:
        return (
            f"It was stopped: this case took more than {seconds:g} seconds. "
            "Is there a loop that never ends, or very much printing?"
        )
    if status < 0:
        name = signal.Signals(-status).name
        return (
            f"It ended the process with {name}: a crash, not a wrong number. The other rows ran without it."
        )
    return f"It ended the process (exit status {status}). Does the file call exit()? The other rows ran without it."
