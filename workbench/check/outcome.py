"""What the checker found out about one row of its table: plain values, as they travel between processes and to JSON."""

from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any


class Verdict(str, Enum):
    """How a row ends. Only PASS is a pass."""

    PASS = "PASS"
    FAIL = "FAIL"
    NOT_STARTED = "NOT STARTED"
    SKIPPED = "SKIPPED"


@dataclass
class Outcome:
    """One row. what_happened: the words under the table; mistake: the name of the likely mistake, read: where to read.

    cases: how many were right, of how many. traffic: the PTX machine's counters of the counted case. compiled: the
    compiler's figures by target. timing: see `workbench.check.timed`. needs_gpu: nothing of it runs without one.
    """

    task: str
    name: str
    verdict: Verdict = Verdict.PASS
    language: str = ""
    learners: bool = False
    cases_right: int = 0
    cases: int = 0
    where: str = ""
    case: str = ""
    what_happened: str = ""
    mistake: str = ""
    mistake_sentence: str = ""
    read: str = ""
    traffic: dict[str, Any] = field(default_factory=dict)
    compiled: dict[str, dict[str, int]] = field(default_factory=dict)
    timing: dict[str, float] = field(default_factory=dict)
    printed: str = ""
    needs_gpu: bool = False

    @property
    def row(self) -> str:
        """The row's name among all of its lesson."""
        return f"{self.task}/{self.name}"

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "verdict": self.verdict.value}

    @staticmethod
    def from_dict(values: dict[str, Any]) -> "Outcome":
        return Outcome(**{**values, "verdict": Verdict(values["verdict"])})
