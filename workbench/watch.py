"""`make watch-lessonN`: the learner's files are checked again whenever one is saved.

What was saved comes first, each blank on the case that it failed last (a process that is ready answers in a fraction
of a second), then everything of the learner's. The screen is drawn anew in place; what it showed before comes back.
"""

import fcntl
import importlib
import io
import os
import select
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from workbench import lessons, notes, progress
from workbench.check.check import check_lesson
from workbench.check.outcome import Outcome, Request, Verdict
from workbench.check.processes import CheckerError, Workers, judge
from workbench.check.ready import Ready, kill
from workbench.hints import next_hint
from workbench.report import machine, table

KEYS = {"\x1b[A": "k", "\x1b[B": "j", "\x1b[5~": "K", "\x1b[6~": "J", " ": "J"}  # arrows and pages scroll
SCROLL = {"j": 1, "k": -1, "J": 15, "K": -15}
TICK = 0.2  # seconds between looks at the size of the terminal


def main(number: int) -> int:
    """Watch a lesson until q or Ctrl-C. 2 where that can't be done, said in a sentence. Raises KeyboardInterrupt."""
    console = Console(highlight=False)
    if not (console.is_terminal and sys.stdin.isatty()) or console.is_dumb_terminal:
        print(f"Watching needs a terminal; `make check-lesson{number}` checks once.", file=sys.stderr)
        return 2
    importlib.import_module("watchfiles")  # said now if it is missing
    while number:
        with ExitStack() as stack:
            taken = stack.enter_context(alone(number))
            if taken:
                print(taken, file=sys.stderr)
                return 2
            watch = Watch(number, console)
            stack.callback(watch.close)
            stack.enter_context(keys(watch.events))
            number = watch.run()
    print("Stopped. What you have done is kept; `make progress` shows it.")
    return 0


@contextmanager
def alone(number: int) -> Iterator[str]:
    """Inside, no other watch may begin on this lesson; gives a sentence instead if one is there."""
    notes.FOLDER.mkdir(exist_ok=True)
    with (notes.FOLDER / f"watch-lesson{number}").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            yield f"Lesson {number} is being watched in another terminal (process {file.read().strip()}): use that one."
            return
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield ""


@contextmanager
def keys(events: "SimpleQueue[tuple[str, Any]]") -> Iterator[None]:
    """Inside, each key that is pressed is an event, and isn't shown."""
    descriptor, before, done = sys.stdin.fileno(), termios.tcgetattr(sys.stdin), threading.Event()

    def listen() -> None:
        while not done.is_set():
            if select.select([descriptor], [], [], TICK)[0]:
                pressed = os.read(descriptor, 32).decode(errors="replace")
                if not pressed:
                    events.put(("key", "q"))  # the terminal is gone
                    return
                for key in [pressed] if pressed in KEYS else pressed:
                    events.put(("key", KEYS.get(key, key)))

    listener = threading.Thread(target=listen, daemon=True)
    tty.setcbreak(descriptor)
    listener.start()
    try:
        yield
    finally:
        done.set()
        listener.join()
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


class Watch:
    """One lesson being watched. Threads put events in the queue; only `run`, which takes them out, draws."""

    def __init__(self, number: int, console: Console) -> None:
        self.number, self.console = number, console
        self.folder = lessons.folder(number)
        self.gpu = machine.describe()["gpu"]
        self.events: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        self.warm = Ready(number)
        self.closing = threading.Event()
        self.workers = Workers(warm=self.warm)
        self.checking: threading.Thread | None = None
        self.title, self.doing, self.hint = "", "Python and PyTorch are being loaded", ""
        self.scrolled: int | None = None  # to this line, if the learner did
        self.top = 0  # the line that is shown first
        self.first = ""  # what is known of the file saved last
        self.outcomes: dict[str, Outcome] = {}
        self.differences: dict[str, str] = {}

    def run(self) -> int:
        """Until the learner leaves. Returns the lesson to go on with, 0 for none."""
        threading.Thread(target=self._notice, daemon=True).start()
        self._begin(self._check, False)
        with Live(console=self.console, screen=True, auto_refresh=False) as live:
            drawn_for = None
            while True:
                try:
                    what, value = self.events.get(timeout=TICK)
                except Empty:
                    if drawn_for != self.console.size:
                        live.update(self.view(), refresh=True)
                        drawn_for = self.console.size
                    continue
                if (what, value) == ("key", "q"):
                    return 0
                if (what, value) == ("key", "n"):
                    later = [number for number in lessons.folders() if number > self.number]
                    if later:
                        return later[0]
                    self.doing = "this is the last lesson"
                else:
                    self.take(what, value)
                live.update(self.view(), refresh=True)
                drawn_for = self.console.size

    def close(self) -> None:
        """End everything that was started."""
        self.closing.set()
        self.workers.stop()
        kill(self.warm.process.pid)  # a check may be waiting for it
        if self.checking:
            self.checking.join()
        self.warm.end()

    def take(self, what: str, value: Any) -> None:
        """What an event changes."""
        if what == "saved":
            self.first, self.doing = f"{' and '.join(value)} saved", "checking"
            self._begin(self._glance_and_check, value, time.monotonic())
        elif what == "doing":
            self.doing = value
        elif what == "glanced":
            self.outcomes[value.row], self.scrolled = value, None
            self.differences.pop(value.row, None)
        elif what == "first":
            self.first = value
        elif what == "checked":
            answer, self.differences = value
            self.title = answer.title
            kept = [one for one in self.outcomes.values() if not one.learners]
            both = {one.row: one for one in [*kept, *answer.outcomes]}
            self.outcomes = both
        elif value == "h":
            try:
                self.hint, self.scrolled = next_hint(self.folder), 0
            except (notes.NotKept, OSError) as problem:
                self.hint = str(problem)
        elif value == "f":
            self._begin(self._check, True)
        elif value in SCROLL:
            self.scrolled = self.top + SCROLL[value]

    # What is shown.

    def view(self) -> Text:
        """The whole screen: as much of the lesson's answer as there is room for, and a line or two below it."""
        width, height = self.console.size
        text = io.StringIO()
        console = Console(file=text, width=width, force_terminal=True, highlight=False)
        if self.hint:
            console.print(Text(f"\nHint: {self.hint}"), style="cyan")
        rows = list(self.outcomes.values())
        folder = self.folder.relative_to(lessons.ROOT)
        gpu = str(self.gpu) if self.gpu else None
        if rows:
            table.show(console, self.number, self.title, rows, gpu, folder, self.differences, watching=True)
        lines = list(Text.from_ansi(text.getvalue()).split(allow_blank=True))
        below = self._below(width)
        room = max(1, height - len(below))
        if self.scrolled is None:  # what went wrong is read first
            wanted = next((place for place, line in enumerate(lines) if line.plain.startswith("FAIL  ")), 0)
        else:
            wanted = self.scrolled
        self.top = max(0, min(wanted, len(lines) - room))
        shown = lines[self.top : self.top + room]
        shown += [Text()] * (room - len(shown))
        return Text("\n").join([*shown, *below][:height])

    def _below(self, width: int) -> list[Text]:
        said = [
            Text(line, style="bold") for line in (self.first, f"lesson {self.number}: {self.doing}") if line
        ]
        for line in said:
            line.truncate(width, overflow="ellipsis")
        offered = Text("h hint  n next lesson  f full run  q quit  ↑↓ scroll", style="reverse")
        return [*said, *offered.wrap(self.console, width)]

    # What goes on beside it.

    def _notice(self) -> None:
        """Tell of each save. The folder is watched, not its files, as editors put a new file in the old one's place."""
        from watchfiles import watch

        try:
            for found in watch(
                self.folder, step=50, debounce=400, rust_timeout=500, recursive=False, stop_event=self.closing
            ):
                names = sorted({Path(path).name for _, path in found})
                if names := [name for name in names if name.startswith("exercise") and name[-1] != "~"]:
                    self.events.put(("saved", names))
        except Exception as error:  # the folder is gone, or the system has no more watches
            self.events.put(("doing", f"saves aren't noticed any more ({error}); q, then start again"))

    def _begin(self, what: Callable[..., None], *arguments: Any) -> None:
        """Stop the check that is under way, if any, and begin another."""
        self.workers.stop()
        if self.checking:
            self.checking.join()
        self.workers = Workers(warm=self.warm)
        self.workers.progress = lambda text: self.events.put(("doing", f"checking {text}"))
        self.checking = threading.Thread(target=self._guarded, args=(what, *arguments), daemon=True)
        self.checking.start()

    def _guarded(self, what: Callable[..., None], *arguments: Any) -> None:
        workers = self.workers
        try:
            what(*arguments)
        except CheckerError as error:
            if not workers.stopped.is_set():
                self.events.put(("doing", str(error).replace("\n", " ")))
        except Exception as error:  # said, and the watch goes on
            self.events.put(("doing", f"this check failed: {type(error).__name__}: {error}"))

    def _glance_and_check(self, names: Sequence[str], saved: float) -> None:
        """First the blanks in the files of these names, those that failed before the others; then everything."""
        workers, files = self.workers, tuple(names)
        known = [one for one in self.outcomes.values() if one.learners and one.name.split()[0] in files]
        known.sort(key=lambda one: one.verdict is not Verdict.FAIL)
        asked: list[tuple[tuple[str, ...], str]] = [((one.row,), one.case) for one in known]
        first = ""
        for rows, failed in asked or [((), "")]:  # before the first check nothing is known
            for found in judge(Request(self.number, "cpu", "learner", rows, failed), workers).outcomes:
                if workers.stopped.is_set():
                    return
                right = found.verdict is Verdict.PASS
                if right or found.verdict is Verdict.FAIL:
                    after = f"{time.monotonic() - saved:.1f} s after saving"
                    how = "right on" if right else "wrong on" if found.case else "stopped before"
                    first = first or f"{found.name}: {how} {failed or 'the first case'}, {after}"
                    self.events.put(("first", first))
                found.verdict = Verdict.CHECKING if right else found.verdict
                self.events.put(("glanced", found))
        self._check(False)

    def _check(self, shipped: bool) -> None:
        """Check all that is the learner's (and what is shipped), note it and show it."""
        workers, files = self.workers, progress.fingerprints(self.number)
        begun = time.monotonic()
        answer = check_lesson(self.number, workers, shipped=shipped)
        if workers.stopped.is_set():
            return
        gpu = str(self.gpu) if self.gpu else None
        new, amiss = progress.record(self.number, answer.outcomes, files, gpu)
        kept = [row for row in self.differences if row not in new]
        passed = {one.row: one.explanation for one in answer.outcomes if one.verdict is Verdict.PASS}
        shown = {row: passed[row] for row in [*kept, *new] if row in passed}
        self.events.put(("checked", (answer, shown)))
        done = f"all checked in {time.monotonic() - begun:.1f} s"
        self.events.put(("doing", amiss or done))
