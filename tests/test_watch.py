"""Watching a lesson, as a learner does: in a terminal, with a file being saved; and the process that is ready."""

import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from workbench import lessons
from workbench.check import ready
from workbench.check.outcome import Request, Verdict
from workbench.check.processes import Workers, judge
from workbench.check.ready import Ready
from workbench.gpu import has_gpu

MARK = "  // >>> who_am_i: your code here, about 7 lines\n"
WRONG = """  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  block[i] = blockIdx.x;
  thread[i] = threadIdx.x;
  warp[i] = threadIdx.x / 32;
  lane[i] = threadIdx.x % 32;
"""
RIGHT = WRONG.replace("  block[i]", "  if (i >= n) return;\n  block[i]")
SLOW = 30.0  # seconds, on a machine that does other things as well


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the tree, whose exercises may be written."""
    skipped = shutil.ignore_patterns("*.ipynb", "page", "*.pyc.*")  # the last while modules are compiled
    for part in ("workbench", "cuda_basics", "triton_basics", "flash_attention", "lessons"):
        shutil.copytree(lessons.ROOT / part, tmp_path / part, ignore=skipped)
    return tmp_path


class Terminal:
    """`python -m workbench watch N` in a terminal of its own."""

    def __init__(self, tree: Path, number: int = 1, columns: int = 80, rows: int = 40) -> None:
        self.exercise = tree / "lessons" / lessons.folder(number).name / "exercise.cu"
        self.original = self.exercise.read_text() if self.exercise.exists() else ""
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "workbench", "watch", str(number)],
            cwd=tree,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "TERM": "xterm", "PYTHONPATH": str(tree)},
            start_new_session=True,
        )
        os.close(slave)
        self.text = ""

    def wait_for(self, words: str, seconds: float = SLOW) -> float:
        """Until these words are drawn (again). Returns how long that took."""
        self.text, begun = "", time.monotonic()
        while words not in self.text:
            left = begun + seconds - time.monotonic()
            assert left > 0, f"{words!r} never came; what came:\n{self.text[-3000:]}"
            if select.select([self.master], [], [], min(left, 0.1))[0]:
                try:
                    self.text += re.sub(
                        r"\x1b\[[0-9;?]*[A-Za-z]", "", os.read(self.master, 1 << 16).decode(errors="replace")
                    )
                except OSError:  # the other end is closed
                    assert words in self.text, self.text[-3000:]
        return time.monotonic() - begun

    def save(self, code: str) -> None:
        self.exercise.write_text(self.original.replace(MARK, MARK + code))

    def press(self, key: str) -> None:
        os.write(self.master, key.encode())

    def end(self) -> int:
        self.process.wait(SLOW)
        os.close(self.master)
        return self.process.returncode


def noted(tree: Path) -> str:
    """The verdict on lesson 1's first exercise that is kept."""
    held = json.loads((tree / ".learner" / "progress.json").read_text())
    return held["lessons"]["lesson01_hello_cuda"]["exercises"]["exercise.cu who_am_i"]["verdict"]


def test_save_see_the_mistake_ask_for_a_hint_mend_it_see_the_difference(tree):
    watch = Terminal(tree)
    watch.wait_for("all checked")
    watch.save(WRONG)
    assert watch.wait_for("wrong on") < 10, "two seconds are asked for; tests run beside others"
    watch.wait_for("missing guard")
    watch.press("h")
    watch.wait_for("Why does it go out of bounds?")
    watch.save(RIGHT)
    watch.wait_for("right on n = 1,000")
    watch.wait_for("what the shipped version does differently")
    watch.exercise.unlink()
    watch.wait_for("exercise.cu is missing")
    watch.exercise.write_bytes(bytes(range(256)) * 9)
    watch.wait_for("is no text")
    begun = time.monotonic()
    while noted(tree) != "FAIL":  # it is shown before it is noted
        assert time.monotonic() < begun + SLOW
        time.sleep(0.05)
    watch.press("q")
    watch.wait_for("Stopped.")
    assert watch.end() == 0
    said = subprocess.run(
        [sys.executable, "-m", "workbench", "progress"], cwd=tree, capture_output=True, text=True
    )
    assert "failing, changed since" not in said.stdout and "failing" in said.stdout


def test_a_second_watch_of_a_lesson_says_so_and_a_save_stops_what_hangs(tree):
    watch = Terminal(tree, number=2, columns=60, rows=30)
    watch.wait_for("all checked")
    second = Terminal(tree, number=2)
    second.wait_for("being watched in another terminal")
    assert second.end() == 2
    path = watch.exercise.with_suffix(".py")
    right = path.read_text().replace("    pass\n", "    i = tl.arange(0, BLOCK)\n")
    path.write_text(right + "\nwhile True: pass\n")
    watch.wait_for("checking vector_add/exercise.py")
    path.write_text(right)
    watch.wait_for("wrong on")
    assert "SIGKILL" not in watch.text, "what was stopped has no verdict"
    watch.wait_for("all checked")
    watch.process.send_signal(signal.SIGINT)
    watch.wait_for("Stopped.")
    assert watch.end() == 130


def test_without_a_terminal_it_says_what_to_do():
    done = subprocess.run(
        [sys.executable, "-m", "workbench", "watch", "1"],
        cwd=lessons.ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr == "Watching needs a terminal; `make check-lesson1` checks once.\n"


# The process that is ready.


@pytest.fixture(scope="module")
def warm():
    process = Ready(2)
    yield process
    process.end()


def test_a_request_is_done_by_a_fork_and_the_next_one_too(warm):
    for _ in range(2):
        outcomes = judge(Request(2, "cpu", "learner"), Workers(warm=warm)).outcomes
        assert {outcome.verdict for outcome in outcomes} <= {Verdict.NOT_STARTED, Verdict.PASS, Verdict.FAIL}
    begun = time.monotonic()
    (one,) = judge(Request(2, "cpu", "shipped", ("vector_add/cuda/plain",), ""), Workers(warm=warm)).outcomes
    assert (one.verdict, one.cases, one.compiled != {}) == (Verdict.PASS, 1, True)
    assert time.monotonic() - begun < 10


def test_a_glance_is_at_the_case_of_that_name(warm):
    request = Request(2, "cpu", "shipped", ("vector_add/cuda/plain",), "n = 31, float16")
    (one,) = judge(request, Workers(warm=warm)).outcomes
    assert (one.cases_right, one.cases) == (1, 1)


def test_stopped_workers_leave_the_process_ready(warm):
    workers = Workers(warm=warm)
    workers.stop()
    with pytest.raises(Exception, match="stopped"):
        judge(Request(2, "cpu", "shipped"), workers)
    assert judge(Request(2, "cpu", "learner"), Workers(warm=warm)).outcomes


def test_where_the_ready_process_has_died_another_one_does_it():
    process = Ready(1)
    process.end()
    assert judge(Request(1, "cpu", "learner"), Workers(warm=process)).outcomes


def test_the_ready_process_ends_where_there_is_a_driver(monkeypatch):
    monkeypatch.setattr(ready.ctypes, "CDLL", lambda name: {"libcuda.so.1": "a library"}[name])
    monkeypatch.setitem(sys.modules, "torch", None)  # it isn't even imported
    ready.main(-1, None)
    monkeypatch.undo()
    assert ready.has_driver() or not has_gpu()
