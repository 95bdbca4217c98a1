"""Is an output right? The error rule, and where an output is wrong first.

float16 and bfloat16, as FlashAttention's own tests judge: |out - oracle| <= 2 max|plain PyTorch - oracle|, plus two
units in the last place of the element. float32 and float64: |out - oracle| <= (k + 1) u |oracle| for k rounded
operations an element and the unit roundoff u (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1);
where k > 1 terms may cancel, so the largest |oracle| takes the place of the element's own. Integers: equal. NaN and
infinities must sit where the oracle's do.
"""

from collections.abc import Callable

import numpy as np

ROUNDOFF = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
SMALLEST = {"float64": 5e-324, "float32": 2.0**-149, "float16": 2.0**-24, "bfloat16": 2.0**-133}


def allowed_error(
    oracle: np.ndarray, plain: Callable[[], np.ndarray], dtype: str, accumulation: int
) -> np.ndarray:
    """How far each element of an output of `dtype` may be from the float64 oracle: the module's rule.

    plain: gives what plain PyTorch makes of the same inputs in that dtype, where the rule asks for it.
    """
    size = np.abs(oracle)
    if not np.isfinite(size).all():
        size[~np.isfinite(size)] = 0.0
    if dtype in ("float16", "bfloat16"):
        distance = np.abs(plain() - oracle)
        worst = np.max(distance, where=np.isfinite(distance), initial=0.0)
        return 2 * worst + 4 * ROUNDOFF[dtype] * size + SMALLEST[dtype]
    if accumulation > 1:
        size = np.full_like(size, size.max(initial=0.0))
    return (accumulation + 1) * ROUNDOFF[dtype] * size + SMALLEST[dtype]


def wrong_places(out: np.ndarray, oracle: np.ndarray, allowed: np.ndarray | float) -> np.ndarray:
    """True where `out` is wrong."""
    if oracle.dtype.kind != "f":
        return out != oracle
    with np.errstate(invalid="ignore"):
        close = np.abs(out - oracle) <= allowed
    if np.isfinite(oracle).all():
        return ~close
    return ~(close | (out == oracle) | (np.isnan(out) & np.isnan(oracle)))


def describe(
    name: str, out: np.ndarray, oracle: np.ndarray, allowed: np.ndarray | float, wrong: np.ndarray
) -> str:
    """In words: how many elements of the output `name` are wrong, the first one, and by how much."""
    first = tuple(int(i) for i in np.unravel_index(np.argmax(wrong), wrong.shape))
    words = (
        f"{int(wrong.sum()):,} of {wrong.size:,} elements are wrong. First: {name}[{', '.join(map(str, first))}] "
        f"should be {_number(oracle[first])}, got {_number(out[first], poisoned=True)}."
    )
    if oracle.dtype.kind != "f":
        return words
    with np.errstate(invalid="ignore"):
        distance = np.where(wrong, np.abs(out - oracle), 0.0)
    largest = np.max(distance, where=np.isfinite(distance), initial=0.0)
    limit = np.broadcast_to(allowed, wrong.shape)[first]
    return (
        f"{words}\nLargest error: {largest:.3g}; at that first element {limit:.3g} is allowed."
        if largest
        else words
    )


def _number(value: np.generic, poisoned: bool = False) -> str:
    kind = np.asarray(value).dtype.kind
    never = np.isnan(value) if kind == "f" else kind == "i" and value == np.iinfo(value.dtype).max  # type: ignore[type-var]
    shown = f"{value:.7g}" if kind == "f" else str(value)
    return (
        f"{shown} (was it ever written? outputs are filled with {shown} before the call)"
        if poisoned and never
        else shown
    )
