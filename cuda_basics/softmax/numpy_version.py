"""What every version of the row softmax must compute, in NumPy."""

import numpy as np


def softmax(x: np.ndarray) -> np.ndarray:
    """exp(x) over its sum along each row of x, (rows, columns). The row's maximum is taken off first: exp overflows."""
    if x.shape[1] == 0:
        return np.empty_like(x)
    with np.errstate(invalid="ignore"):  # inf - inf: such a row is NaN
        numerator = np.exp(x - x.max(axis=1, keepdims=True))
        return numerator / numerator.sum(axis=1, keepdims=True)
