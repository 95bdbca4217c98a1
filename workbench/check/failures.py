"""What an implementation raised, in words for the person who wrote it: no traceback, but its line."""

import traceback
from pathlib import Path

from workbench import ptx
from workbench.check.exercise import NoSuchFunction
from workbench.check.lesson import Race
from workbench.cuda import CompileError, KernelNotFound, LaunchError, NvrtcMissing

SPEAKS_FOR_ITSELF = (
    ptx.Fault,
    ptx.PtxError,
    CompileError,
    KernelNotFound,
    LaunchError,
    NoSuchFunction,
    NvrtcMissing,
    Race,
)


def is_bad_access(error: BaseException) -> bool:
    """True if the kernel left its arrays (in CUDA, Triton or NumPy), threads wrote over one another, or one read what
    a copy may still write."""
    cause = root(error)
    return isinstance(cause, IndexError | Race) or type(cause).__name__ in (
        "OutOfBounds",
        "GlobalRace",
        "SharedRace",
        "AsyncNotWaited",
    )


def left_arrays(error: BaseException) -> bool:
    """True if it is a bad access out of bounds, which no order of the threads would mend."""
    cause = root(error)
    return isinstance(cause, IndexError) or type(cause).__name__ == "OutOfBounds"


def in_shared_memory(error: BaseException) -> bool:
    """True if it is a race in shared memory, or an access past the end of an array there."""
    cause = root(error)
    return isinstance(cause, ptx.Fault) and "in shared memory" in str(cause).partition("\n")[0]


def in_words(error: BaseException, file: Path | None = None) -> str:
    """The error's own words where it has good ones; otherwise its type, words and line (in `file`, if it is there)."""
    cause = root(error)
    if isinstance(cause, SPEAKS_FOR_ITSELF):
        return str(cause)
    if type(cause).__module__.startswith("workbench.triton"):  # not imported here: that would import Triton
        line = getattr(cause, "line", 0)
        return f"{_at(getattr(cause, 'file', ''), line)}{cause}" if line else str(cause)
    if isinstance(cause, SyntaxError):
        marked = f"\n    {(cause.text or '').rstrip()}" if cause.text else ""
        return f"{_at(cause.filename or '', cause.lineno or 0)}{cause.msg}{marked}"
    if type(cause).__name__ == "CompilationError":
        return _in_tritons_words(cause)
    frames = [
        frame for frame in traceback.extract_tb(cause.__traceback__) if _is_lessons(frame.filename, file)
    ]
    place = _at(frames[-1].filename, frames[-1].lineno or 0, frames[-1].line or "") if frames else ""
    return f"{place}{type(cause).__name__}: {cause}"


def root(error: BaseException) -> BaseException:
    """Triton's interpreter wraps what a kernel raised; this is what it wrapped."""
    while type(error).__name__ == "InterpreterError" and error.__cause__ is not None:
        error = error.__cause__
    return error


def _in_tritons_words(error: BaseException) -> str:
    """Triton's compiler counts lines from the kernel's first; here they are those of the file that it stands in."""
    source, node = str(getattr(error, "src", "") or ""), getattr(error, "node", None)
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if source and node is not None and _is_lessons(frame.filename, None):
            text = Path(frame.filename).read_text(errors="replace")
            above = text.partition(source.rstrip())[0] if source.rstrip() in text else None
            if above is not None:
                line = above.count("\n") + node.lineno
                quoted = text.splitlines()[line - 1]
                words = getattr(error, "error_message", "") or error.__cause__ or str(error).splitlines()[-1]
                return f"{_at(frame.filename, line, quoted.strip())}{words}"
    return str(error)


def _is_lessons(filename: str, file: Path | None) -> bool:
    return Path(filename) == file if file else Path(filename).name.startswith("exercise")


def _at(filename: str, line: int, text: str = "") -> str:
    quoted = f"\n    {line} |   {text}\n" if text else " "
    return f"{Path(filename).name}:{line}:{quoted}"
