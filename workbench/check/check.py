"""Check a lesson, and collect one outcome a row.

Without a GPU every row is judged on the CPU. With one, every row is first judged on the CPU in the same way (there the
PTX machine sees what a GPU hides), then on the GPU, and what is right on both is timed.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from workbench import lessons
from workbench.check.outcome import Outcome, Verdict
from workbench.check.processes import Answer, judge, stop_all
from workbench.gpu import has_gpu

SECONDS = 60.0  # the learner's file may be silent for so long


def check_lesson(
    number: int, *, progress: Callable[[str], None] = lambda text: None, seconds: float = SECONDS
) -> Answer:
    """Check everything that lesson `number` ships, and the learner's own files. Shipped rows come first.

    progress: told what is going on. seconds: the time limit for a case of the learner's file.
    Raises `NoSuchLesson`, `CheckerError`.
    """
    lessons.folder(number)

    def phase(mode: str, rows: dict[str, list[str]]) -> Answer:
        """What one kind of process finds out, the shipped rows' beside the learner's where no times are taken."""
        limits = {"shipped": 600.0, "learner": seconds}
        with ThreadPoolExecutor(1 if mode == "cuda" else 2) as pool:
            jobs = [
                pool.submit(judge, number, mode, who, seconds=limits[who], rows=rows[who], progress=progress)
                for who in rows
            ]
            answers = [job.result() for job in jobs]
        title = answers[0].title if answers else ""
        return Answer(title, [outcome for answer in answers for outcome in answer.outcomes])

    try:
        answer = phase("cpu", {"shipped": [], "learner": []})
        passed = [o for o in answer.outcomes if o.verdict is Verdict.PASS]
        _merge(passed, phase("compile", _by_owner([o for o in passed if o.language == "triton"])))
        if has_gpu():
            _merge(passed, phase("cuda", _by_owner([o for o in passed if o.verdict is Verdict.PASS])))
    except BaseException:
        stop_all()
        raise
    return answer


def _by_owner(outcomes: list[Outcome]) -> dict[str, list[str]]:
    rows: dict[str, list[str]] = {}
    for outcome in outcomes:
        rows.setdefault("learner" if outcome.learners else "shipped", []).append(outcome.row)
    return rows


def _merge(outcomes: list[Outcome], later: Answer) -> None:
    """Add to each row what a later process found out about it."""
    found = {outcome.row: outcome for outcome in later.outcomes}
    for outcome in outcomes:
        new = found.get(outcome.row)
        if new is None:
            continue
        outcome.cases += new.cases
        outcome.cases_right += new.cases_right
        outcome.compiled.update(new.compiled)
        outcome.timing.update(new.timing)
        if new.verdict is not Verdict.PASS:
            for name in (
                "verdict",
                "where",
                "case",
                "what_happened",
                "mistake",
                "mistake_sentence",
                "read",
                "printed",
            ):
                setattr(outcome, name, getattr(new, name))
