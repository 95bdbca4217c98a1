"""Check a lesson, and collect one outcome a row.

Without a GPU every row is judged on the CPU. With one, every row is first judged on the CPU in the same way (there the
PTX machine sees what a GPU hides), then on the GPU, and what is right on both is timed.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from workbench import lessons
from workbench.check.outcome import Verdict
from workbench.check.processes import Answer, judge, stop_all
from workbench.gpu import has_gpu

WHAT_WENT_WRONG = (
    "verdict", "where", "case", "what_happened", "mistake", "mistake_sentence", "read", "printed",
)  # fmt: skip
SECONDS = 30.0  # the learner's file may be silent for so long


def check_lesson(
    number: int, *, progress: Callable[[str], None] = lambda text: None, seconds: float = SECONDS
) -> Answer:
    """Check everything that lesson `number` ships, and the learner's own files. Shipped rows come first.

    progress: told what is going on. seconds: the time limit for a case of the learner's file.
    Raises `NoSuchLesson`, `CheckerError`.
    """
    answer = check_on_cpu(number, progress=progress, seconds=seconds)
    if has_gpu():
        check_on_gpu(number, answer, progress=progress, seconds=seconds)
    return answer


def check_on_cpu(
    number: int, *, progress: Callable[[str], None] = lambda text: None, seconds: float = SECONDS
) -> Answer:
    """The first half of `check_lesson`: what the PTX machine, Triton's interpreter and the compilers say."""
    has_triton = "triton" in (lessons.folder(number) / "check.py").read_text()
    shipped, learners, *compiled = _run(
        number,
        ("cpu", "shipped", []),
        ("cpu", "learner", []),
        *([("compile", "shipped", []), ("compile", "learner", [])] if has_triton else []),
        seconds=seconds,
        progress=progress,
    )
    answer = Answer(shipped.title, shipped.outcomes + learners.outcomes)
    for found in compiled:
        _merge(answer, found)
    return answer


def check_on_gpu(
    number: int,
    answer: Answer,
    *,
    progress: Callable[[str], None] = lambda text: None,
    seconds: float = SECONDS,
) -> None:
    """The second half of `check_lesson`: run on the GPU what passed on the CPU, time it, and add that to `answer`."""
    for outcome in answer.outcomes:
        if outcome.needs_gpu:  # skipped on the CPU alone
            outcome.verdict, outcome.what_happened = Verdict.PASS, ""
    for who in ("shipped", "learner"):
        mine = [o for o in answer.outcomes if o.learners == (who == "learner")]
        rows = [o.row for o in mine if o.verdict is Verdict.PASS]
        if rows:  # one after the other: times are taken
            _merge(answer, *_run(number, ("cuda", who, rows), seconds=seconds, progress=progress))


def _run(
    number: int, *jobs: tuple[str, str, list[str]], seconds: float, progress: Callable[[str], None]
) -> list[Answer]:
    """Let workers do (mode, whose rows, which of them; none: all) side by side."""
    limits = {"shipped": 600.0, "learner": seconds}
    with ThreadPoolExecutor(4) as pool:
        started = [
            pool.submit(judge, number, mode, who, seconds=limits[who], rows=rows, progress=progress)
            for mode, who, rows in jobs
        ]
        try:
            return [job.result() for job in started]
        except BaseException:  # Ctrl-C, for one: without this the pool would wait for every worker's end
            stop_all()
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
