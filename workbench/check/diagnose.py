"""Which mistake is it? Each known one is a wrong oracle; the one whose outputs are the learner's is named."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.check.cases import Prepared, as_numbers, as_tuple
from workbench.check.compare import ROUNDOFF, Tolerance, wrong_places
from workbench.check.lesson import Case, Mistake, Race

LARGE = 200_000  # output elements: cases above are looked at only when no smaller one went wrong


@dataclass(frozen=True)
class Seen:
    """What came out of a call: the outputs (after a race those of a run that minds none), or how it ended without."""

    outputs: tuple[np.ndarray, ...] = ()
    stopped: bool = False
    bad_access: bool = False  # out of bounds, or a race
    race: str = ""  # its kind, where the lesson tells several apart
    outside: bool = False  # out of bounds
    shared: bool = False  # the bad access was in shared memory


@dataclass(frozen=True)
class Evidence:
    """One case as the implementation under suspicion did it."""

    case: Case
    prepared: Prepared
    seen: Seen
    wrong: bool


def likely_mistake(mistakes: Sequence[Mistake], evidence: Sequence[Evidence]) -> Mistake | None:
    """The first mistake that explains every case: wrong in the same way where the outputs were, right elsewhere.

    If none does, one that touches what it mustn't in just the cases in which that happened. A race whose kind is known
    is explained by that kind's mistake, and by no other; where all left their arrays, none that only races; where all
    of it was in shared memory, none that only leaves its arrays, which are global.
    """
    telling = [e for e in evidence if e.prepared.size <= LARGE and (e.seen.outputs or e.seen.bad_access)]
    if not any(e.wrong for e in telling):
        telling += [e for e in evidence if e.wrong and e.prepared.size > LARGE][:1]
    wrong = [e for e in telling if e.wrong and (e.seen.outputs or e.seen.bad_access)]
    if not wrong:
        return None
    race = next((e.seen.race for e in wrong if e.seen.race), "")
    mistakes = [mistake for mistake in mistakes if mistake.race == race]
    if race:
        return mistakes[0] if mistakes else None
    bad = [e.seen for e in wrong if e.seen.bad_access]
    if bad and all(seen.outside for seen in bad):
        mistakes = [mistake for mistake in mistakes if not _only_races(mistake, telling)]
    for mistake in mistakes:
        if all(_explains(mistake, e) for e in telling):
            return mistake
    if bad:
        if all(seen.shared for seen in bad):
            mistakes = [mistake for mistake in mistakes if _only_races(mistake, telling)]
        for mistake in mistakes:
            if all(_trespasses(mistake, e) == e.seen.bad_access for e in telling):
                return mistake
    return None


def _explains(mistake: Mistake, evidence: Evidence) -> bool:
    collides = False
    try:
        outputs = _outputs(mistake, evidence)
    except Race as race:
        outputs, collides = as_tuple(race.outputs), True
    seen, allowed = evidence.seen, evidence.prepared.allowed
    if outputs is None or not seen.outputs:
        return (outputs is None or collides) and seen.bad_access and not seen.outputs
    return all(
        mine.shape == theirs.shape
        and not wrong_places(theirs, _as_stored(mine, theirs), _tolerance(evidence.case, limit)).any()
        for mine, theirs, limit in zip(outputs, seen.outputs, allowed, strict=True)
    )


def _as_stored(mine: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """A mutant's float64 as the output's dtype holds it: what is too large for float16 is infinite there."""
    if theirs.dtype.kind != "f":
        return mine
    with np.errstate(over="ignore"):
        return mine.astype(theirs.dtype).astype(np.float64)


def _trespasses(mistake: Mistake, evidence: Evidence) -> bool:
    try:
        return _outputs(mistake, evidence) is None
    except Race:
        return True


def _only_races(mistake: Mistake, evidence: Sequence[Evidence]) -> bool:
    """True if its threads collide in some of the cases that went wrong, and leave their arrays in none."""
    collides = False
    for e in evidence:
        try:
            if e.seen.bad_access and _outputs(mistake, e) is None:
                return False
        except Race:
            collides = True
    return collides


def _outputs(mistake: Mistake, evidence: Evidence) -> tuple[np.ndarray, ...] | None:
    """What the mistake makes of a case; None if it leaves its arrays. Raises `Race` if threads collide."""
    options = dict(evidence.case.options)
    if "dtype" in inspect.signature(mistake.mutant).parameters:
        options["dtype"] = evidence.case.dtype
    try:
        with np.errstate(all="ignore"):
            return as_tuple(mistake.mutant(*map(as_numbers, evidence.prepared.tensors), **options))
    except IndexError:
        return None


def _tolerance(case: Case, allowed: Tolerance) -> Tolerance:
    """The rule's, widened: the mutant's outputs may be larger than the oracle's, and are rounded as much."""
    return Tolerance(4 * allowed.floor, 4 * allowed.slope + 8 * ROUNDOFF[case.dtype])
