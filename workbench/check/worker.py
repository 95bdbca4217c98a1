"""The process in which kernels run: `python -m workbench.check.worker PIPE REQUEST`.

PIPE: the file descriptor that takes messages, one JSON object a line: "plan" lists the rows to come; "begins", "case"
(the name of the one that begins) and "ends" bring a row's outcome so far. REQUEST: a `Request`, as JSON.

A crash, a hang or a lost CUDA context ends this process and nothing else.
"""

import importlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from workbench import lessons, ptx
from workbench.check.exercise import is_untouched
from workbench.check.exercise import names as exercise_name
from workbench.check.explanation import explanation
from workbench.check.failures import in_words
from workbench.check.lesson import Exercise, Implementation, Task
from workbench.check.outcome import Outcome, Request, Verdict
from workbench.cuda import NvrtcMissing, check_nvrtc, resources

TARGETS = ("sm_80", "sm_90")
LANGUAGES = {
    "cpu": ("cuda", "triton", "numpy"),
    "compile": ("triton",),
    "cuda": ("cuda", "triton"),
    "time": ("cuda", "triton"),
}


def main(pipe: int, request: Request) -> None:
    channel = os.fdopen(pipe, "w")

    def tell(**message: Any) -> None:
        channel.write(json.dumps(message) + "\n")
        channel.flush()

    lesson, folder = lessons.load(request.number), lessons.folder(request.number)
    todo: list[tuple[Outcome, Task, Exercise | Implementation]] = []
    for task in lesson.tasks:
        for item in task.implementations if request.who == "shipped" else task.exercises:
            name = exercise_name(item) if isinstance(item, Exercise) else item.name
            outcome = Outcome(task.name, name, learners=request.who == "learner")
            if not request.rows or outcome.row in request.rows:
                todo.append((outcome, task if request.case is None else _glance(task, request.case), item))
    tell(plan=[outcome.row for outcome, _, _ in todo], title=lesson.title)
    for outcome, task, item in todo:
        tell(begins=outcome.row, outcome=outcome.as_dict())
        try:
            _row(task, item, folder, request, outcome, tell)
        except Exception as error:  # whatever it is, it is this row's
            outcome.verdict, outcome.what_happened = Verdict.FAIL, in_words(error)
            outcome.where = "on the GPU" if request.on_gpu else "on the CPU"
        tell(ends=outcome.row, outcome=outcome.as_dict())
        if request.on_gpu and outcome.verdict is Verdict.FAIL:
            return  # the context may be lost; another process goes on with the next row


def _glance(task: Task, case: str) -> Task:
    """The task with one case, and no mistakes: to tell them apart takes more."""
    found = next((one for one in task.cases if one.name == case), task.cases[0])
    return replace(task, cases=(found,), mistakes=())


def _row(
    task: Task,
    item: Exercise | Implementation,
    folder: Path,
    request: Request,
    outcome: Outcome,
    tell: Callable[..., None],
) -> None:
    if isinstance(item, Implementation):
        outcome.language = item.language
        _judge(task, lambda: item, request.mode, outcome, tell)
    elif not _untouched(folder, item, outcome):
        whole = request.case is None
        make = partial(item.implementation, folder / item.file)
        _judge(task, make, request.mode, outcome, tell, item.demand, figures=whole)
        if outcome.verdict is Verdict.PASS and whole:
            outcome.explanation = explanation(folder / item.file, item)


def _untouched(folder: Path, exercise: Exercise, outcome: Outcome) -> bool:
    outcome.language = exercise.language
    path = folder / exercise.file
    if not path.is_file():
        outcome.verdict = Verdict.FAIL
        outcome.what_happened = (
            f"{path.name} is missing. `git checkout {path.relative_to(lessons.ROOT)}` brings it back."
        )
        return True
    if b"\0" in path.read_bytes():
        outcome.verdict = Verdict.FAIL
        outcome.what_happened = (
            f"{path.name} is no text: it holds zero bytes. Save it as UTF-8, or let `make reset-lesson"
            f"{int(folder.name[6:8])}` keep it aside and bring the exercise back."
        )
        return True
    if is_untouched(path, exercise):
        outcome.verdict = Verdict.NOT_STARTED
        return True
    return False


def _judge(
    task: Task,
    make: Callable[[], Implementation],
    mode: str,
    outcome: Outcome,
    tell: Callable[..., None],
    demand: Callable[[Sequence[ptx.Report]], str] | None = None,
    figures: bool = True,
) -> None:
    if outcome.language not in LANGUAGES[mode]:
        return
    missing = _missing(outcome.language)
    if missing:
        outcome.verdict, outcome.what_happened = Verdict.SKIPPED, missing
        return
    try:
        implementation = make()
        if mode == "cpu" and figures:
            for path, kernel, defines in implementation.kernels:
                for target in TARGETS:
                    outcome.compiled[target] = vars(resources(path, kernel, defines, target))
    except Exception as error:  # a learner's file may raise anything, and is told so in words
        outcome.verdict, outcome.what_happened = Verdict.FAIL, in_words(error)
        return
    if mode == "compile":
        if not implementation.needs_gpu:  # the CPU's tensors reach its kernels
            _compile(task, implementation, outcome)
        return
    if mode == "cpu" and implementation.needs_gpu:
        outcome.verdict, outcome.what_happened = Verdict.SKIPPED, implementation.needs_gpu
        outcome.needs_gpu = True
        return
    if mode == "time":
        outcome.case = "timing"
        tell(case=outcome.case, outcome=outcome.as_dict())
        try:
            _time(task, implementation, outcome)
        except RuntimeError as error:  # too little memory on this GPU, for one
            _synchronise()  # raises after a fault: then it isn't right, and this process can't go on
            outcome.what_happened = f"It is right, but isn't timed: {in_words(error)}"
        return
    from workbench.check.run import run_cases

    run_cases(
        task,
        implementation,
        mode,
        outcome=outcome,
        announce=lambda case: tell(case=case, outcome=outcome.as_dict()),
        demand=demand,
    )


def _missing(language: str) -> str:
    """Why a language can't run here; empty if it can."""
    try:
        if language == "cuda":
            check_nvrtc()
        elif language == "triton":
            importlib.import_module("triton")
    except NvrtcMissing as error:
        return str(error)
    except ImportError:
        return "Triton isn't installed (it exists for Linux alone); `make doctor` says what is missing."
    return ""


def _compile(task: Task, implementation: Implementation, outcome: Outcome) -> None:
    from workbench.check.cases import inputs
    from workbench.triton.compiler import compiled

    call = partial(implementation.function, *inputs(task.counted), **task.counted.options)
    for target in TARGETS:
        try:
            for figures in compiled(call, target).values():
                outcome.compiled[target] = figures
        except Exception as error:  # Triton's compiler, or the learner's file: said in words
            outcome.verdict, outcome.case = Verdict.FAIL, task.counted.name
            outcome.what_happened = f"It doesn't compile for {target}.\n{in_words(error)}"
            return


def _synchronise() -> None:
    import torch

    torch.cuda.synchronize()


def _time(task: Task, implementation: Implementation, outcome: Outcome) -> None:
    from workbench.check.cases import inputs, on_device, placed
    from workbench.check.timed import times

    made = inputs(task.timed)
    arguments = tuple(on_device(value, "cuda", host=task.on_host) for value in made)
    options = {**task.timed.options, **placed(arguments, "cuda")}
    outcome.timing = times(
        lambda: implementation.function(*arguments, **options),
        lambda: task.pytorch(*arguments, **options),
        task.traffic(*made, **task.timed.options),
        task.operations and task.operations(*made, **task.timed.options),
        task.timed.dtype,
        task.on_host,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), Request.from_dict(json.loads(sys.argv[2])))
