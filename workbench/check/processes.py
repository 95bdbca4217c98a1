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
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from workbench import lessons
from workbench.check.outcome import Outcome, Request, Verdict
from workbench.check.ready import ENVIRONMENT, ON_CPU, Ready, kill, ready

STARTING_UP = 120.0  # seconds until the first word: importing torch on a cold disk takes long
SECONDS = 30.0  # the learner's file may be silent for so long
SHIPPED = 600.0  # and what is shipped for so long
KEPT = 10  # lines of what a row printed first, and as many of the last


class Worker(Protocol):
    """A process, as `subprocess.Popen` has it."""

    pid: int

    def poll(self) -> int | None: ...

    def wait(self) -> int: ...


class Workers:
    """Starts the processes of a check, and ends those that run when it is stopped."""

    def __init__(
        self,
        seconds: float = SECONDS,
        progress: Callable[[str], None] = lambda text: None,
        warm: Ready | None = None,
    ) -> None:
        """seconds: how long the learner's file may be silent. progress: told what is going on. warm: a lesson's own."""
        self.seconds, self.progress, self.warm = seconds, progress, warm
        self.running: set[int] = set()
        self.stopped = threading.Event()

    def start(self, request: Request, pipe: int, log: int) -> Worker:
        """Start a process that does what is asked: messages go to `pipe`, what it prints to `log`."""
        forked = None
        if self.warm and self.warm.does(request):
            forked = self.warm.start(request, pipe, log, self.stopped)
        elif not request.on_gpu:
            forked = ready().start(request, pipe, log, self.stopped)
        if self.stopped.is_set() and not forked:
            raise CheckerError("The checker was stopped.")
        return forked or _started(request, pipe, log)

    def stop(self) -> None:
        """End every process that is still running, and start no more."""
        self.stopped.set()
        for process in list(self.running):
            kill(process)


@dataclass
class Answer:
    """A lesson's title, and an outcome for each row."""

    title: str
    outcomes: list[Outcome]


class CheckerError(RuntimeError):
    """The checker's own process broke, before it came to any row: an environment problem, not the learner's."""


def _started(request: Request, pipe: int, log: int) -> Worker:
    """A process for one request alone."""
    environment = {**os.environ, **ENVIRONMENT, "TRITON_INTERPRET": "1" if request.mode == "cpu" else "0"}
    return subprocess.Popen(
        [sys.executable, "-m", "workbench.check.worker", str(pipe), json.dumps(asdict(request))],
        cwd=lessons.ROOT,
        env=environment if request.on_gpu else {**environment, **ON_CPU},
        pass_fds=[pipe],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def judge(request: Request, workers: Workers) -> "Answer":
    """Let workers do what is asked, and return an outcome for each row.

    A row whose process crashes, ends or is silent for too long fails; a new process goes on with the next one.
    Raises `CheckerError`.
    """
    outcomes: dict[str, Outcome] = {}
    title, rest = "", request
    while True:
        if workers.stopped.is_set():
            raise CheckerError("The checker was stopped.")
        title, plan, last = _one_process(rest, workers, outcomes)
        if plan and not last:
            raise CheckerError(f"The {request.mode} process of the checker ended before its first row.")
        remaining = plan[plan.index(last) + 1 :] if last else []
        if not remaining:
            return Answer(title, list(outcomes.values()))
        rest = replace(request, rows=tuple(remaining))


def _one_process(
    request: Request, workers: Workers, outcomes: dict[str, Outcome]
) -> tuple[str, list[str], str]:
    """Run one process to its end. Returns (the lesson's title, the rows it meant to do, the last it came to)."""
    reader, writer = os.pipe()
    seconds = workers.seconds if request.who == "learner" else SHIPPED
    with tempfile.NamedTemporaryFile() as log, open(log.name, "ab") as sink, open(log.name, "rb") as printed:
        try:
            process = workers.start(request, writer, sink.fileno())
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        workers.running.add(process.pid)
        if workers.stopped.is_set():  # in the meantime
            kill(process.pid)
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
                    workers.progress(f"{row}  {case}")
        except TimeoutError:
            silent_too_long = True
            kill(process.pid)
        finally:
            os.close(reader)
            status = process.wait() if silent_too_long else _wait(process)
            kill(process.pid)  # what the learner's code may have started
            workers.running.discard(process.pid)
        said = _head_and_tail(printed.read())
    if plan is None:
        raise CheckerError(
            f"The {request.mode} process of the checker broke before its first row:\n{said.strip()}"
        )
    if row:
        lost = outcomes[row]
        lost.verdict, lost.case, lost.printed = Verdict.FAIL, case, said
        lost.where = "on the GPU" if request.on_gpu else "on the CPU"
        lost.what_happened = _how_it_ended(status, silent_too_long, seconds)
    return title, plan, last


def _head_and_tail(printed: bytes) -> str:
    lines = printed.decode(errors="replace").splitlines()
    if len(lines) > 2 * KEPT:
        lines = [*lines[:KEPT], f"... {len(lines) - 2 * KEPT:,} lines left out ...", *lines[-KEPT:]]
    return "\n".join(line[:300] for line in lines).replace(f"{lessons.ROOT}/", "")


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


def _wait(process: Worker) -> int:
    """The exit status; what still runs after closing its end of the pipe is ended."""
    deadline = time.monotonic() + 10
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    if process.poll() is None:
        kill(process.pid)
    return process.wait()


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
