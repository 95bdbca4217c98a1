"""A process that is ready: it has imported PyTorch and forks for each request, as importing takes seconds.

`python -m workbench.check.ready SOCKET [LESSON]`. Each request comes through the socket, as JSON, with three file
descriptors: the pipe for messages, the file for what is printed, and a socket of its own. There it is answered with
the process id of the child that does it and, in the end, its exit status, a line each. Requests are done side by side.
Of the first byte that comes back through SOCKET one learns that it is ready. It ends when the other end is closed.

It does what runs on the CPU; with LESSON, that lesson's alone, but at once: it has imported the lesson, too. Where a
GPU's driver is installed it ends at once, and each request takes a process of its own: the driver doesn't survive a
fork. Beside an H100 every CUDA row then ended with SIGSEGV, presumably where NVRTC asks the driver for its cache.
"""

import atexit
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from contextlib import suppress
from dataclasses import asdict
from functools import cache

from workbench import lessons
from workbench.check.outcome import Request

ENVIRONMENT = {
    "PYTHONUNBUFFERED": "1",
    # Large arrays come and go here; glibc would hand each back to the system, which then clears every page anew.
    "MALLOC_MMAP_THRESHOLD_": str(1 << 32),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 32),
}
ON_CPU = {
    "CUDA_VISIBLE_DEVICES": "",
    "OMP_NUM_THREADS": "1",  # cases are small: threads would wait for each other, and a pool of them survives no fork
    "OPENBLAS_NUM_THREADS": "1",
}


_STARTING = threading.Lock()


class Ready:
    """The process, being started."""

    def __init__(self, number: int | None = None) -> None:
        """number: the lesson that it is for, None for all."""
        self.number = number
        self.link, theirs = socket.socketpair()
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "workbench.check.ready",
                str(theirs.fileno()),
                *([str(number)] * bool(number)),
            ],
            cwd=lessons.ROOT,
            env={**os.environ, **ENVIRONMENT, **ON_CPU, "TRITON_INTERPRET": "1"},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()
        self.asking = threading.Lock()
        self.ready = False

    def does(self, request: Request) -> bool:
        """Whether it is the one for this request: its lesson, if it has one, was imported for Triton's interpreter."""
        if self.number is None:
            return not request.on_gpu
        return (request.number, request.mode) == (self.number, "cpu")

    def start(self, request: Request, pipe: int, log: int, stopped: threading.Event) -> "Forked | None":
        """Let a fork do what is asked. None if the process has ended, or when `stopped` is set before it is ready."""
        with self.asking, suppress(OSError, ValueError):
            if self.wait(stopped):
                mine, theirs = socket.socketpair()
                with theirs:
                    files = [pipe, log, theirs.fileno()]
                    socket.send_fds(self.link, [json.dumps(asdict(request)).encode()], files)
                return Forked(mine, int(_line(mine)))
        return None

    def wait(self, stopped: threading.Event) -> bool:
        """Until it is ready: True. False if it has ended, or when `stopped` is set."""
        while not (self.ready or stopped.is_set() or self.process.poll() is not None):
            if select.select([self.link], [], [], 0.05)[0]:
                self.ready = self.link.recv(1) != b""
        return self.ready and self.process.poll() is None

    def end(self) -> None:
        """End it and what it is doing."""
        self.link.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(0.5)  # by itself, if it is ready
        kill(self.process.pid)
        self.process.wait()


def ready() -> Ready:
    """The process for all lessons, started when it is first asked for; it ends with this one."""
    with _STARTING:
        return _ready()


@cache
def _ready() -> Ready:
    process = Ready()
    atexit.register(process.end)
    return process


class Forked:
    """A child of the ready process."""

    def __init__(self, link: socket.socket, pid: int) -> None:
        self.link, self.pid = link, pid
        self.status: int | None = None

    def poll(self) -> int | None:
        if self.status is None and select.select([self.link], [], [], 0)[0]:
            self.wait()
        return self.status

    def wait(self) -> int:
        if self.status is None:
            self.status = int(_line(self.link) or -signal.SIGKILL)
            self.link.close()
        return self.status


def kill(process: int) -> None:
    """End a process and all of its group."""
    with suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)


def main(descriptor: int, number: int | None) -> None:
    """Serve until the other end of the socket is closed."""
    if has_driver():
        return
    import torch

    from workbench.check import run, worker  # noqa: F401  run: what a worker imports late

    torch.set_num_threads(1)
    if number is not None:
        lessons.load(number)
    link = socket.socket(fileno=descriptor)
    link.sendall(b"+")
    signal.signal(signal.SIGCHLD, _wait_for_all)
    while True:
        asked, files, _, _ = socket.recv_fds(link, 1 << 16, 3)
        if not asked:
            os._exit(0)  # at once: PyTorch takes its time to go
        if os.fork() == 0:
            link.close()
            _look_after(json.loads(asked), *files)
        for file in files:
            os.close(file)


def has_driver() -> bool:
    """Whether there is a driver that a process may load, with or without a GPU for it."""
    with suppress(OSError):
        ctypes.CDLL("libcuda.so.1")
        return True
    return False


def _wait_for_all(*signal: object) -> None:
    """Take leave of those that have ended."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _look_after(asked: dict[str, object], pipe: int, log: int, descriptor: int) -> None:
    """Start the child, tell who it is and how it ended. It is ended when nobody listens any more. Doesn't return."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    link = socket.socket(fileno=descriptor)
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        link.close()
        _do(asked, pipe, log)
    with suppress(PermissionError, ProcessLookupError):  # the child was first
        os.setpgid(child, child)
    os.close(pipe)
    os.close(log)
    with suppress(OSError):
        link.sendall(b"%d\n" % child)
        status = _ended(child, link)
        link.sendall(b"%d\n" % status)
    os._exit(0)


def _ended(child: int, link: socket.socket) -> int:
    """Its exit status, as `subprocess` has it."""
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        if select.select([link], [], [], 0.01)[0]:  # nothing is sent to here: the other end is closed
            kill(child)


def _do(asked: dict[str, object], pipe: int, log: int) -> None:
    """What the child does; it doesn't return."""
    from workbench.check import worker

    status = 1
    try:
        os.dup2(log, 1)
        os.dup2(log, 2)
        request = Request.from_dict(asked)
        os.environ["TRITON_INTERPRET"] = "1" if request.mode == "cpu" else "0"  # Triton isn't imported yet
        worker.main(pipe, request)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def _line(link: socket.socket) -> bytes:
    """The next line; empty at the end."""
    line = b""
    while not line.endswith(b"\n"):
        read = link.recv(1)
        if not read:
            return b""
        line += read
    return line


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
