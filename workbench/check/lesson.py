"""What a lesson is to the checker: values that each lesson's check.py fills in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from workbench import ptx

Outputs = np.ndarray | tuple[np.ndarray, ...]


@dataclass(frozen=True, eq=False)
class Case:
    """One call that every implementation must get right.

    make: takes a seeded `numpy.random.Generator` and returns the positional arguments: float arrays (rounded to `dtype`
    before use), integer arrays, or plain values. options: the keyword arguments. If no argument is an array,
    implementations and `Task.pytorch` also get `device=`, as PyTorch's own factory functions do. gpu_only: it takes too
    long on a CPU, where smaller cases show the same.
    """

    name: str
    make: Callable[[np.random.Generator], tuple[Any, ...]]
    dtype: str = "float32"
    options: Mapping[str, Any] = field(default_factory=dict)
    gpu_only: bool = False


@dataclass(frozen=True)
class Implementation:
    """One way to compute a task. language: "cuda", "triton" or "numpy" (which takes and returns NumPy arrays).

    kernels: (file, kernel, macros) of each CUDA kernel that it launches, for the compiler's figures. needs_gpu: why it
    can't run without one, as a sentence; without a GPU its row is SKIPPED.
    """

    name: str
    function: Callable[..., Any]
    language: str
    kernels: tuple[tuple[Path, str, Mapping[str, object]], ...] = ()
    needs_gpu: str = ""


@dataclass(frozen=True)
class Exercise:
    """A blank in a file of the learner's own.

    file: in the lesson's folder. blank: the name between the marks `>>> blank` and `<<< blank`. language: as
    `Implementation`'s. implementation: takes the file's path and returns the `Implementation` that runs it; what it
    raises is the learner's error. solution: the shipped files that, one after the other, fill the exercise. demand:
    what a right answer must do besides, told from the reports (with counters) of the task's counted case in the PTX
    machine: it returns "", or a sentence that says what is missing.
    """

    file: str
    blank: str
    language: str
    implementation: Callable[[Path], Implementation]
    solution: tuple[Path, ...]
    demand: Callable[[Sequence[ptx.Report]], str] | None = None


@dataclass(frozen=True)
class Mistake:
    """A mistake that the checker can name.

    sentence: what is wrong, in the learner's terms. read: where the lesson speaks of it. mutant: the oracle with this
    mistake, called like the oracle (and with `dtype=` the case's, if it takes that); it leaves what is never written
    as `unwritten` made it, raises IndexError where the kernel would leave its arrays, and `Race` where several threads
    would write one element. slips: the same mistake in source code, as (file name of a solution, text, replacement):
    proof that the checker names the real thing. race: the kind of `Race` that it is, if the lesson tells several apart.
    """

    name: str
    sentence: str
    read: str
    mutant: Callable[..., Outputs]
    slips: tuple[tuple[str, str, str], ...] = ()
    race: str = ""


@dataclass(frozen=True, eq=False)
class Task:
    """One thing to compute, and everything that computes it.

    oracle: NumPy; float arrays come in float64. pytorch: the same in plain PyTorch, in the case's dtype: it says which
    dtypes come out, is the measure of what rounding costs, and the rival in time. cases: from small to large.
    counted: the one whose memory traffic the table shows. timed: what is timed on a GPU. traffic: the bytes that must
    move for given arguments, each input read and each output written once. operations: the floating-point operations
    that they take, for a task that is judged by these and not by its bytes. accumulation: how many rounded operations
    one output element takes. instructions: how many a thread may execute in the PTX machine before it is taken to be in
    an endless loop. outputs: what messages call them, if there are several. on_host: inputs and outputs stay in the
    host's memory, pinned, also where there is a GPU.
    """

    name: str
    oracle: Callable[..., Outputs]
    pytorch: Callable[..., Any]
    cases: tuple[Case, ...]
    implementations: tuple[Implementation, ...]
    exercises: tuple[Exercise, ...]
    mistakes: tuple[Mistake, ...]
    counted: Case
    timed: Case
    traffic: Callable[..., int]
    operations: Callable[..., int] | None = None
    accumulation: Callable[..., int] = lambda *arguments, **options: 1
    instructions: int = 20_000
    outputs: tuple[str, ...] = ()
    on_host: bool = False


@dataclass(frozen=True)
class Lesson:
    """A lesson: its number, short name (as in its folder), title and tasks."""

    number: int
    name: str
    title: str
    tasks: tuple[Task, ...]

    @property
    def exercises(self) -> list[tuple[Task, Exercise]]:
        return [(task, exercise) for task in self.tasks for exercise in task.exercises]


class Race(Exception):
    """Several threads (or streams) touch one element in no certain order. outputs: what comes out if nobody minds.

    kind: which race it is, in a lesson that tells several apart; a `Mistake` with that kind in its `race` explains it.
    """

    def __init__(
        self, outputs: Outputs, text: str = "several threads write one element", kind: str = ""
    ) -> None:
        super().__init__(text)
        self.outputs, self.kind = outputs, kind


def unwritten(shape: int | tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array as the checker poisons outputs: NaN, or the largest integer."""
    kind = np.dtype(dtype)
    return np.full(shape, np.nan if kind.kind == "f" else np.iinfo(kind).max, dtype=kind)
