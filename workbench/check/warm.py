"""A process that is ready: it has imported everything and forks for each request, so that an answer comes at once.

It serves one lesson, on the CPU: `python -m workbench.check.warm LESSON SOCKET`. A request comes through the socket as
a line of JSON, with two file descriptors: the pipe for messages and the file for what is printed. It says "ready" when
it is, and answers with the process id of the child that does it and, in the end, its exit status, a line each.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import asdict

from workbench import lessons
from workbench.check.outcome import Request
from workbench.check.processes import ENVIRONMENT, CheckerError, Worker, Workers, kill


class Warm:
    """The ready process of a lesson."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.link, theirs = socket.socketpair()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "workbench.check.warm", str(number), str(theirs.fileno())],
            cwd=lessons.ROOT,
            env={**os.environ, **ENVIRONMENT, "TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()
        self.ready = False

    def wait(self, stopped: threading.Event) -> bool:
        """Until it is ready: True. False if it has ended, or when `stopped` is set."""
        while not (self.ready or stopped.is_set() or self.process.poll() is not None):
            if select.select([self.link], [], [], 0.05)[0]:
                self.ready = _line(self.link) != b""
        return self.ready and self.process.poll() is None

    def end(self) -> None:
        kill(self.process.pid)
        self.process.wait()
        self.link.close()


class WarmWorkers(Workers):
    """Workers whose requests on the CPU are done by forks of a process that is ready, as long as it lives."""

    def __init__(self, warm: Warm) -> None:
        super().__init__()
        self.warm = warm

    def start(self, request: Request, pipe: int, log: int) -> Worker:
        if (request.number, request.mode) == (self.warm.number, "cpu") and self.warm.wait(self.stopped):
            with suppress(OSError, ValueError):
                asked = json.dumps(asdict(request)).encode() + b"\n"
                socket.send_fds(self.warm.link, [asked], [pipe, log])
                return Forked(self.warm.link, int(_line(self.warm.link)))
        if self.stopped.is_set():
            raise CheckerError("The checker was stopped.")
        return super().start(request, pipe, log)


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
        return self.status


def main(number: int, descriptor: int) -> None:
    """Serve until the other end of the socket is closed."""
    import torch

    from workbench.check import run, worker  # noqa: F401  run: what a worker imports late

    torch.set_num_threads(1)  # a pool of threads wouldn't live on in a fork
    lessons.load(number)
    link = socket.socket(fileno=descriptor)
    link.sendall(b"ready\n")
    while True:
        asked, files, _, _ = socket.recv_fds(link, 1 << 16, 2)
        if not asked:
            return
        child = os.fork()
        if child == 0:
            link.close()
            _do(json.loads(asked), *files)
        for file in files:
            os.close(file)
        link.sendall(b"%d\n" % child)
        link.sendall(b"%d\n" % _ended(child, link))


def _do(asked: dict[str, object], pipe: int, log: int) -> None:
    """What the child does; it doesn't return."""
    from workbench.check import worker

    status = 1
    try:
        os.setsid()
        os.dup2(log, 1)
        os.dup2(log, 2)
        worker.main(pipe, Request.from_dict(asked))
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        os._exit(status)


def _ended(child: int, link: socket.socket) -> int:
    """Its exit status, as `subprocess` has it. If the other end of the socket is gone, the child is ended."""
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        if select.select([link], [], [], 0.01)[0]:  # nothing is asked while a child runs: this is the end
            kill(child)
            os.waitpid(child, 0)
            sys.exit()


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
    main(int(sys.argv[1]), int(sys.argv[2]))
