"""Check a lesson, and collect one outcome a row.

Without a GPU every row is judged on the CPU. With one, every row is first judged on the CPU in the same way (there the
PTX machine sees what a GPU hides), then on the GPU, and what is right on both is timed.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import cache
from threading import Lock, Semaphore

from workbench import lessons
from workbench.check.outcome import Request, Verdict
from workbench.check.processes import Answer, Workers, judge
from workbench.gpu import has_gpu

GPU_MEMORY = 4 << 30  # bytes that a process may take there: CUDA's own, and its largest case
WHAT_WENT_WRONG = (
    "verdict", "where", "case", "what_happened", "mistake", "mistake_sentence", "read", "printed",
)  # fmt: skip


def check_lesson(number: int, workers: Workers | None = None, *, shipped: bool = True) -> Answer:
    """Check everything that lesson `number` ships, and the learner's own files. Shipped rows come first.

    shipped: without them only the learner's. Raises `NoSuchLesson`, `CheckerError`.
    """
    answer = check_on_cpu(number, workers, shipped=shipped)
    if has_gpu():
        check_on_gpu(number, answer, workers)
        time_on_gpu(number, answer, workers)
    return answer


def check_on_cpu(number: int, workers: Workers | None = None, *, shipped: bool = True) -> Answer:
    """The first part of `check_lesson`: what the PTX machine, Triton's interpreter and the compilers say."""
    has_triton = "triton" in (lessons.folder(number) / "check.py").read_text()
    modes = ("cpu", "compile") if has_triton else ("cpu",)
    whose = ("shipped", "learner") if shipped else ("learner",)
    answers = _run([Request(number, mode, who) for mode in modes for who in whose], workers)
    answer = Answer(answers[0].title, [one for found in answers[: len(whose)] for one in found.outcomes])
    for found in answers[len(whose) :]:
        _merge(answer, found)
    return answer


def check_on_gpu(number: int, answer: Answer, workers: Workers | None = None) -> None:
    """The second part: run on the GPU what passed on the CPU, a process a row, and add what came out to `answer`."""
    for outcome in answer.outcomes:
        if outcome.needs_gpu:  # skipped on the CPU alone
            outcome.verdict, outcome.what_happened = Verdict.PASS, ""
    requests = [Request(number, "cuda", who, (row,)) for who, rows in _passed(answer) for row in rows]
    for found in _run(requests, workers):
        _merge(answer, found)


def time_on_gpu(number: int, answer: Answer, workers: Workers | None = None) -> None:
    """The last part: time what is right, one row after the other. Nothing else may run on the GPU meanwhile."""
    for who, rows in _passed(answer):
        if rows:
            _merge(answer, *_run([Request(number, "time", who, rows)], workers))


def _passed(answer: Answer) -> list[tuple[str, tuple[str, ...]]]:
    """Whose rows, and which of them can go on to a GPU."""
    can = [o for o in answer.outcomes if o.verdict is Verdict.PASS and o.language != "numpy"]
    whose = {"shipped": False, "learner": True}
    return [(who, tuple(o.row for o in can if o.learners == learners)) for who, learners in whose.items()]


def _run(requests: Sequence[Request], workers: Workers | None) -> list[Answer]:
    """Let workers do these side by side."""
    workers = workers or Workers()
    with ThreadPoolExecutor(max(1, len(requests))) as pool:
        try:
            started = [pool.submit(_judged, request, workers) for request in requests]
            return [job.result() for job in started]
        except BaseException:  # Ctrl-C, for one: without this the pool would wait for every worker's end
            workers.stop()
            raise


def _judged(request: Request, workers: Workers) -> Answer:
    with _room() if request.mode == "cuda" else nullcontext():
        return judge(request, workers)


_COUNTING = Lock()


def _room() -> Semaphore:
    """On the GPU, for as many processes as it has memory for. They mostly wait for compilers, which run on the CPU."""
    with _COUNTING:  # else threads that come before it is there would have one each
        return _counted()


@cache
def _counted() -> Semaphore:
    import torch

    memory = torch.cuda.get_device_properties(0).total_memory
    return Semaphore(max(1, min(os.cpu_count() or 1, memory // GPU_MEMORY)))


def _merge(answer: Answer, later: Answer) -> None:
    """Add to the rows that passed so far what a later process found out about them."""
    found = {outcome.row: outcome for outcome in later.outcomes}
    for outcome in answer.outcomes:
        new = found.get(outcome.row)
        if new is None or outcome.verdict is not Verdict.PASS:
            continue
        outcome.cases += new.cases
        outcome.cases_right += new.cases_right
        outcome.compiled.update(new.compiled)
        outcome.timing.update(new.timing)
        if new.verdict is not Verdict.PASS:
            for name in WHAT_WENT_WRONG:
                setattr(outcome, name, getattr(new, name))
        elif new.what_happened:  # why there is no time, say
            outcome.what_happened = new.what_happened
