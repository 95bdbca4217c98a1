"""Is an output right? The error rule, and where an output is wrong first.

float16 and bfloat16, as FlashAttention's own tests judge: |out - oracle| <= 2 max|plain PyTorch - oracle|, plus two
units in the last place of the element. float32 and float64: |out - oracle| <= (k + 1) u |oracle| for k rounded
operations an element and the unit roundoff u (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1);
where k > 1 terms may cancel, so the largest |oracle| takes the place of the element's own. Integers: equal. NaN and
infinities must sit where the oracle's do.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

ROUNDOFF = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
SMALLEST = {"float64": 5e-324, "float32": 2.0**-149, "float16": 2.0**-24, "bfloat16": 2.0**-133}


CHUNK = 1 << 20  # elements compared at a time, so that what comes in between stays in the cache


@dataclass(frozen=True)
class Tolerance:
    """How far an element of an output may be from the oracle's: `floor` + `slope` * |oracle|."""

    floor: float = 0.0
    slope: float = 0.0

    def at(self, oracle: np.ndarray) -> np.ndarray:
        return self.floor + self.slope * np.abs(oracle)


def tolerance(
    oracle: np.ndarray, plain: Callable[[], np.ndarray], dtype: str, accumulation: int
) -> Tolerance:
    """The module's rule for an output of `dtype` ("float32", "float16", ...; others are compared exactly).

    plain: gives what plain PyTorch makes of the same inputs in that dtype, where the rule asks for it.
    accumulation: rounded operations an element.
    """
    if dtype not in ROUNDOFF:
        return Tolerance()
    if dtype in ("float16", "bfloat16"):
        with np.errstate(invalid="ignore"):
            distance = np.abs(plain() - oracle)
        worst = np.max(distance, where=np.isfinite(distance), initial=0.0)
        return Tolerance(2 * float(worst) + SMALLEST[dtype], 4 * ROUNDOFF[dtype])
    slope = (accumulation + 1) * ROUNDOFF[dtype]
    if accumulation == 1:
        return Tolerance(SMALLEST[dtype], slope)
    largest = np.max(np.abs(oracle), where=np.isfinite(oracle), initial=0.0)
    return Tolerance(slope * float(largest) + SMALLEST[dtype])


def wrong_places(out: np.ndarray, oracle: np.ndarray, allowed: Tolerance) -> np.ndarray:
    """True where `out` is wrong. Arrays of one shape; `out` in its own dtype or float64."""
    if oracle.dtype.kind != "f":
        return out != oracle
    wrong = np.empty(oracle.shape, bool)
    places, ours, right = wrong.reshape(-1), out.reshape(-1), oracle.reshape(-1)
    for start in range(0, right.size, CHUNK):
        part = slice(start, start + CHUNK)
        places[part] = _wrong(ours[part].astype(np.float64), right[part], allowed)
    return wrong


def _wrong(out: np.ndarray, oracle: np.ndarray, allowed: Tolerance) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        close = np.abs(out - oracle) <= allowed.at(oracle)
    return ~(close & np.isfinite(oracle) | (out == oracle) | np.isnan(out) & np.isnan(oracle))


def describe(name: str, out: np.ndarray, oracle: np.ndarray, allowed: Tolerance, wrong: np.ndarray) -> str:
    """In words: how many elements of the output `name` are wrong, the first one, and by how much."""
    first = tuple(int(i) for i in np.unravel_index(np.argmax(wrong), wrong.shape))
    place = f"{name}[{', '.join(map(str, first))}]" if first else name
    count = f"{int(wrong.sum()):,} of {wrong.size:,} elements are wrong. First: " if first else "Wrong: "
    words = f"{count}{place} should be {_number(oracle[first])}, got {_number(out[first], poisoned=True)}."
    if oracle.dtype.kind != "f":
        return words
    with np.errstate(invalid="ignore"):
        distance = np.where(wrong, np.abs(out - oracle), 0.0)
    largest = np.max(distance, where=np.isfinite(distance), initial=0.0)
    limit = float(allowed.at(oracle[first]))
    if not largest:
        return words
    if not first:
        return f"{words}\nThe error is {largest:.3g}; {limit:.3g} is allowed."
    return f"{words}\nLargest error: {largest:.3g}; at that first element {limit:.3g} is allowed."


def _number(value: np.generic, poisoned: bool = False) -> str:
    kind = np.asarray(value).dtype.kind
    never = np.isnan(value) if kind == "f" else kind == "i" and value == np.iinfo(value.dtype).max  # type: ignore[type-var]
    shown = f"{value:.7g}" if kind == "f" else str(value)
    return (
        f"{shown} (was it ever written? outputs are filled with {shown} before the call)"
        if poisoned and never
        else shown
    )
