"""Times and peak memory of the candidates that are right, on a GPU, one call of each in turn."""

from collections.abc import Callable, Mapping
from typing import Any

from workbench.compare.shapes import Shape
from workbench.timing.ceilings import copy_bandwidth, matrix_product
from workbench.timing.stopwatch import Measurement, first_call, measure_in_turn, summary

SLOW = 50.0  # ms: longer calls are timed by themselves, SLOW_REPEATS of them: there is nothing to warm up or to flush
SLOW_REPEATS = 3
RIVAL = "pytorch"


class Raised(Exception):
    """A call that worked before raised `error` while it was timed."""

    def __init__(self, name: str, error: Exception) -> None:
        super().__init__(f"{name}: {error}")
        self.name, self.error = name, error


def measured(
    shape: Shape,
    calls: Mapping[str, tuple[Callable[[], Any], float, float]],
    seconds: float,
    repeats: int | None,
    longest: float,
    progress: Callable[[float], None],
) -> dict[str, dict[str, float]]:
    """For each name: what `figures` says of its call, and "peak_mib".

    calls: the call, and what `first_call` found of it. seconds: for each, unless repeats says how many. longest: a
    call that takes more seconds isn't made again: its first time counts. Raises Raised.
    """
    found: dict[str, Measurement] = {}
    named = {name: _named(name, call) for name, (call, _, _) in calls.items()}
    slow = [name for name, (_, milliseconds, _) in calls.items() if milliseconds > SLOW]
    for name in slow:
        first = calls[name][1]
        again = repeats or (0 if first > 1e3 * longest else SLOW_REPEATS)
        found[name] = summary([first_call(named[name])[0] for _ in range(again)] or [first])
    quick = [name for name in calls if name not in slow]
    if quick:
        least, most = (repeats, repeats) if repeats else (10, 200)
        together = [named[name] for name in quick]
        each = measure_in_turn(together, budget=seconds, least=least, most=most, progress=progress)
        found.update(zip(quick, each, strict=True))
    rival = found[RIVAL].median if RIVAL in found else None
    return {
        name: {**figures(shape, found[name], *ceilings(shape.dtype), rival), "peak_mib": peak}
        for name, (_, _, peak) in calls.items()
    }


def ceilings(dtype: str) -> tuple[float, float]:
    """Operations a second of a matrix product, and bytes a second of a copy; measured at the first call."""
    return matrix_product(dtype), copy_bandwidth()


def _named(name: str, call: Callable[[], Any]) -> Callable[[], Any]:
    def run() -> Any:
        try:
            return call()
        except Exception as error:
            raise Raised(name, error) from error

    return run


def figures(
    shape: Shape, one: Measurement, product: float, copy: float, rival: float | None
) -> dict[str, float]:
    """median, minimum, spread (ms) and repeats; what they mean in TFLOP/s and GB/s of `Shape`'s operations and traffic.

    product, copy: the ceilings, in operations and bytes a second. times_pytorch: above 1, faster than PyTorch.
    """
    operations, traffic = (what / (one.median * 1e-3) for what in (shape.operations, shape.traffic))
    return {
        **vars(one),
        "tflop_per_s": operations / 1e12,
        "product_tflop_per_s": product / 1e12,
        "percent_of_product": 100 * operations / product,
        "gb_per_s": traffic / 1e9,
        "copy_gb_per_s": copy / 1e9,
        "percent_of_copy": 100 * traffic / copy,
        **({"times_pytorch": rival / one.median} if rival else {}),
    }
