"""Check a lesson, and collect one outcome a row.

Without a GPU every row is judged on the CPU. With one, every row is first judged on the CPU in the same way (there the
PTX machine sees what a GPU hides), then on the GPU, and what is right on both is timed.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from workbench import lessons
from workbench.check.outcome import Request, Verdict
from workbench.check.processes import Answer, Workers, judge
from workbench.gpu import has_gpu

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
    return answer


def check_on_cpu(number: int, workers: Workers | None = None, *, shipped: bool = True) -> Answer:
    """The first half of `check_lesson`: what the PTX machine, Triton's interpreter and the compilers say."""
    has_triton = "triton" in (lessons.folder(number) / "check.py").read_text()
    modes = ("cpu", "compile") if has_triton else ("cpu",)
    whose = ("shipped", "learner") if shipped else ("learner",)
    answers = _run([Request(number, mode, who) for mode in modes for who in whose], workers)
    answer = Answer(answers[0].title, [one for found in answers[: len(whose)] for one in found.outcomes])
    for found in answers[len(whose) :]:
        _merge(answer, found)
    return answer


def check_on_gpu(number: int, answer: Answer, workers: Workers | None = None) -> None:
    """The second half of `check_lesson`: run on the GPU what passed on the CPU, time it, and add that to `answer`."""
    for outcome in answer.outcomes:
        if outcome.needs_gpu:  # skipped on the CPU alone
            outcome.verdict, outcome.what_happened = Verdict.PASS, ""
    for who in ("shipped", "learner"):
        mine = [o for o in answer.outcomes if o.learners == (who == "learner")]
        rows = tuple(o.row for o in mine if o.verdict is Verdict.PASS)
        if rows:  # one after the other: times are taken
            _merge(answer, *_run([Request(number, "cuda", who, rows)], workers))


def _run(requests: Sequence[Request], workers: Workers | None) -> list[Answer]:
    """Let workers do these side by side."""
    workers = workers or Workers()
    with ThreadPoolExecutor(len(requests)) as pool:
        try:
            started = [pool.submit(judge, request, workers) for request in requests]
            return [job.result() for job in started]
        except BaseException:  # Ctrl-C, for one: without this the pool would wait for every worker's end
            workers.stop()
            raise


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
