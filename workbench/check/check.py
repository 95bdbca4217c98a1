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
    folder = lessons.folder(number)
    limits = {"shipped": 600.0, "learner": seconds}

    def run(*jobs: tuple[str, str, list[str]]) -> list[Answer]:
        """Let workers do (mode, whose rows, which of them; none: all) side by side."""
        with ThreadPoolExecutor(3) as pool:
            started = [
                pool.submit(judge, number, mode, who, seconds=limits[who], rows=rows, progress=progress)
                for mode, who, rows in jobs
            ]
            try:
                return [job.result() for job in started]
            except BaseException:  # Ctrl-C, for one: without this the pool would wait for every worker's end
                stop_all()
                raise

    has_triton = "triton" in (folder / "check.py").read_text()
    shipped, learners, *compiled = run(
        ("cpu", "shipped", []),
        ("cpu", "learner", []),
        *([("compile", "shipped", [])] if has_triton else []),
    )
    answer = Answer(shipped.title, shipped.outcomes + learners.outcomes)
    triton = [o.row for o in learners.outcomes if o.language == "triton" and o.verdict is Verdict.PASS]
    if triton:
        compiled += run(("compile", "learner", triton))
    for found in compiled:
        _merge(answer, found)
    if has_gpu():
        for outcome in answer.outcomes:
            if outcome.needs_gpu:  # skipped on the CPU alone
                outcome.verdict, outcome.what_happened = Verdict.PASS, ""
        for who, outcomes in (("shipped", shipped.outcomes), ("learner", learners.outcomes)):
            rows = [o.row for o in outcomes if o.verdict is Verdict.PASS]
            if rows:  # one after the other: times are taken
                _merge(answer, *run(("cuda", who, rows)))
    return answer


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
