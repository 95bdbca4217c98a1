"""What can go wrong, in words a learner can act on.

`PtxError` and `LaunchError` are said before anything runs. A `Fault` is what a kernel did wrong while it ran: its text
names the CUDA line, the thread, the array, and what to do about it.
"""

from __future__ import annotations

import linecache
from pathlib import PurePath

Triple = tuple[int, int, int]


class PtxError(Exception):
    """A PTX text that can't be read: says the line of the text and what stood there."""


class LaunchError(ValueError):
    """A launch that can't be made: says which argument or size, what it got and what is allowed."""


class TooManyResources(LaunchError):
    """A launch that asks for more threads or shared memory than the target has."""


def quote(file: str, line: int) -> str:
    """The source line as an indented quotation that ends with a newline; nothing when it can't be read."""
    linecache.checkcache(file)
    text = linecache.getline(file, line).rstrip() if file and line > 0 else ""
    return f"    {line} | {text}\n" if text.strip() else ""


class Fault(Exception):
    """What a kernel did wrong, and where. `str(fault)` is the whole text, for people."""

    kind = "fault"

    def __init__(
        self,
        message: str,
        *,
        file: str = "",
        line: int = 0,
        block: Triple = (0, 0, 0),
        thread: Triple = (0, 0, 0),
        array: str | None = None,
        advice: str = "",
        also: tuple[str, int] | None = None,
    ) -> None:
        self.file, self.line, self.block, self.thread = file, line, block, thread
        self.array, self.message, self.advice, self.also = array, message, advice, also
        super().__init__(message)

    def __str__(self) -> str:
        where = f"{PurePath(self.file).name}:{self.line}: " if self.file else ""
        text = f"{where}{self.kind}: {self.message}\n{quote(self.file, self.line)}"
        if self.also and self.also != (self.file, self.line):
            text += quote(*self.also)
        return text + self.advice if self.advice else text.rstrip("\n")


class OutOfBounds(Fault):
    kind = "out of bounds"


class Misaligned(Fault):
    kind = "misaligned"


class BudgetSpent(Fault):
    """A thread executed more instructions than it may: an endless loop, or a long one."""

    kind = "instruction budget spent"


class UnknownInstruction(Fault):
    """An instruction, or a form of one, that this machine doesn't execute."""

    kind = "unknown instruction"


class AssertionFailed(Fault):
    kind = "assertion failed"


class Trapped(Fault):
    kind = "trap"


class SharedRace(Fault):
    kind = "race in shared memory"


class GlobalRace(Fault):
    kind = "race in global memory"


class Uninitialised(Fault):
    kind = "uninitialised"


class BarrierDivergence(Fault):
    kind = "barrier not reached by all threads"


class MissingLanes(Fault):
    kind = "missing lanes"


class AsyncNotWaited(Fault):
    kind = "copy not waited for"


def place(position: Triple) -> str:
    return "({},{},{})".format(*position)
