"""Run a comparison: shape by shape, first who is right, then how fast they are (or, without a GPU, what they move)."""

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from workbench import ptx
from workbench.check.outcome import Outcome
from workbench.check.run import watch
from workbench.compare import judge, measure, oracle
from workbench.compare.candidates import Candidate
from workbench.compare.results import Results, Row
from workbench.compare.shapes import Shape

LIMITS = ptx.Limits(instructions=200_000)  # more of a thread is taken for an endless loop
ON_THE_CPU = "NumPy computes on the CPU, and times here are the GPU's"
Call = Callable[[], Any]


@dataclass
class Settings:
    """How to compare. device: "cuda" or "cpu". timed: take times, else count traffic. seconds: for the calls of each
    candidate that are timed, unless repeats says how many. longest: seconds; a call expected to take more isn't made.
    progress: told what goes on, and how much of a candidate's part is done (2 for each in all). finished: told each
    shape's rows.
    """

    device: str
    timed: bool
    seconds: float = 0.2
    longest: float = 2.0
    repeats: int | None = None
    progress: Callable[[str, float], None] = lambda text, done: None
    finished: Callable[[Shape, list[Row]], None] = lambda shape, rows: None


def compare(
    results: Results, shapes: Sequence[Shape], candidates: Sequence[Candidate], settings: Settings
) -> None:
    """Fill in `results`, a row for each shape and candidate, whatever happens; Ctrl-C leaves what is known so far."""
    results.rows = [Row(shape, candidate.name) for shape in shapes for candidate in candidates]
    try:
        for shape in shapes:
            rows = [row for row in results.rows if row.shape == shape]
            try:
                calls = _judged(results, shape, dict(zip(rows, candidates, strict=True)), settings)
                _timed(shape, rows, calls, settings)
            finally:
                settings.finished(shape, rows)
    except KeyboardInterrupt:
        results.partial = "stopped by Ctrl-C"
    except judge.Lost as error:
        results.partial = f"the GPU can't go on after {error}"


def _judged(
    results: Results, shape: Shape, who: dict[Row, Candidate], settings: Settings
) -> dict[Row, tuple[Call, float, float]]:
    """Say of each row what it is. Returns, for those to be timed, the call, its milliseconds and its memory."""
    settings.progress("the oracle", 0)
    gc.collect()
    if settings.device == "cuda":
        torch.cuda.empty_cache()
    if settings.timed:
        measure.ceilings(shape.dtype)  # once for a dtype, and while there is memory
    try:
        given = oracle.inputs(shape, results.seed, settings.device)
        right = oracle.expected(shape, given)
    except (
        MemoryError,
        RuntimeError,
    ) as error:  # PyTorch's are RuntimeErrors, on a CPU without a name of their own
        if "memory" not in str(error) and "ALLOC_FAILED" not in str(error):
            raise
        for row in who:
            row.status, row.note = judge.OUT_OF_MEMORY, "not even the inputs and the oracle fit"
        settings.progress("", len(who))
        return {}
    calls = {}
    for row, candidate in who.items():
        settings.progress(candidate.name, 0)
        status, note = _skipped(results, row, candidate, settings)
        if not status:
            row.judged = right.judged
            call = judge.call(candidate, shape, given)
            counting = candidate.language in ("cuda", "triton") and not settings.timed
            outcome = Outcome("attention", candidate.name)
            try:
                with watch(
                    outcome if counting else None, candidate.language, settings.device, True, LIMITS, []
                ):
                    status, note = judge.judge(candidate, shape, given, right, call)
                if status == judge.RIGHT and settings.timed:
                    calls[row] = (call, *measure.first_call(call))
            except torch.OutOfMemoryError:
                status = judge.OUT_OF_MEMORY
            except judge.Lost as error:
                row.status, row.note = judge.FAILED, str(error)
                raise judge.Lost(f"{candidate.name}: {error}") from error
            if status == judge.RIGHT and outcome.traffic.get("bytes_asked"):
                row.traffic = {**outcome.traffic, "bytes_needed": shape.traffic}
        row.status, row.note = status, note
        settings.progress("", 1)
    return calls


def _timed(
    shape: Shape, rows: Sequence[Row], calls: dict[Row, tuple[Call, float, float]], settings: Settings
) -> None:
    """Time the calls in turn. One that raises now is taken out, and the others begin again."""
    done = 0.0

    def progress(part: float) -> None:
        nonlocal done
        settings.progress("timing, in turn", max(0.0, part - done) * len(rows))
        done = max(done, part)

    while calls:
        by_name = {row.name: call for row, call in calls.items()}
        try:
            found = measure.measured(
                shape, by_name, settings.seconds, settings.repeats, settings.longest, progress
            )
        except measure.Raised as failed:
            row = next(row for row in calls if row.name == failed.name)
            del calls[row]
            row.status, row.note = judge.refusal(failed.error, on_gpu=settings.device == "cuda")
            continue
        for row in calls:
            row.timing = found[row.name]
            if row.timing["repeats"] == 1 and settings.repeats is None:
                row.note = f"timed once, as --longest allows {settings.longest:g} s"
        break
    progress(1.0)


def _skipped(results: Results, row: Row, candidate: Candidate, settings: Settings) -> tuple[str, str]:
    """(status, why) of what isn't even tried; two empty strings for the others."""
    if candidate.missing:
        return judge.UNSUPPORTED, candidate.missing
    if settings.timed and candidate.language == "numpy":
        return judge.UNSUPPORTED, ON_THE_CPU
    known = [one for one in results.rows if one.name == row.name and one.timing]
    if known:
        largest = max(known, key=lambda one: one.shape.operations)
        expected = largest.timing["median"] / 1e3 * row.shape.operations / largest.shape.operations
        if expected > settings.longest:
            return (
                "too slow",
                f"a call would take about {expected:.1f} s; --longest allows {settings.longest:g}",
            )
    return "", ""
