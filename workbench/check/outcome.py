"""What a worker is asked, and what it found out about a row: plain values, as they travel between processes."""

from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any


class Verdict(str, Enum):
    """How a row ends. Only PASS is a pass. CHECKING is never an end: only a watch shows it, in the meantime."""

    PASS = "PASS"
    FAIL = "FAIL"
    NOT_STARTED = "NOT STARTED"
    SKIPPED = "SKIPPED"
    CHECKING = "CHECKING"


@dataclass(frozen=True)
class Request:
    """What a worker is to do for lesson `number`.

    mode: "cpu" (PTX machine, Triton's interpreter), "compile" (Triton's compiler, nothing runs), "cuda" (the
    cases on the GPU) or "time" (how fast it is there; nothing else may run meanwhile).
    who: "shipped" or "learner". rows: only these. case: a glance at the case of this name, or a task's first if it has
    none such: no other case, no compiler's figures, no mistake named.
    """

    number: int
    mode: str
    who: str
    rows: tuple[str, ...] = ()
    case: str | None = None

    @property
    def on_gpu(self) -> bool:
        return self.mode in ("cuda", "time")

    @staticmethod
    def from_dict(values: dict[str, Any]) -> "Request":
        return Request(**{**values, "rows": tuple(values["rows"])})


@dataclass
class Outcome:
    """One row. what_happened: the words under the table; mistake: the name of the likely mistake, read: where to read.

    cases: how many were right, of how many. traffic: the PTX machine's counters of the counted case. compiled: the
    compiler's figures by target. timing: see `workbench.check.timed`. needs_gpu: nothing of it runs without one.
    explanation: of the learner's rows that pass, what the shipped version does differently.
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
    explanation: str = ""

    @property
    def row(self) -> str:
        """The row's name among all of its lesson."""
        return f"{self.task}/{self.name}"

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "verdict": self.verdict.value}

    @staticmethod
    def from_dict(values: dict[str, Any]) -> "Outcome":
        return Outcome(**{**values, "verdict": Verdict(values["verdict"])})
