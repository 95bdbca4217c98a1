"""What lessons 11 and 12 demand of an answer beside being right, as sentences about its counters."""

from collections.abc import Sequence

from workbench import ptx


def counted(reports: Sequence[ptx.Report]) -> ptx.Counters:
    """The first launch's counters."""
    counters = reports[0].counters
    assert counters is not None
    return counters


def overlaps(reports: Sequence[ptx.Report], advice: str) -> str:
    """What is missing while nothing is under way during the products, and what to do: `advice`."""
    counters = counted(reports)
    beside = counters.tensor_core_operations_beside_copies / max(counters.tensor_core_operations, 1)
    if beside >= 0.5:
        return ""
    return (
        f"It is right, but only {beside:.0%} of the products are done while a copy is under way; at least half of them "
        f"should be. {advice}"
    )
