"""What every version of lesson 4 must compute, in NumPy."""

import numpy as np

COMBINE = {"sum": (np.add, 0.0), "max": (np.maximum, -np.inf)}  # two values to one, and what changes nothing


def reduce(x: np.ndarray, operation: str = "sum") -> np.ndarray:
    """The sum or the maximum ("sum", "max") of x: (n,) of floats, n >= 0. Returns one value, shape ().

    Of nothing it is the operation's identity: 0 or -inf. A NaN in x comes out as NaN.
    """
    combine, identity = COMBINE[operation]
    return np.asarray(combine.reduce(x, initial=identity))


def reduce_rows(x: np.ndarray, operation: str = "sum") -> np.ndarray:
    """The same for each row of x: (rows, columns). Returns (rows,)."""
    combine, identity = COMBINE[operation]
    return np.asarray(combine.reduce(x, axis=1, initial=identity))


def reduce_tree(x: np.ndarray, operation: str = "sum") -> np.ndarray:
    """`reduce` as the CUDA versions do it: halve the array, combine the halves, until one value is left.

    log2(n) rounds, each rounded in x's dtype.
    """
    combine, identity = COMBINE[operation]
    while x.size > 1:
        if x.size % 2:
            x = np.append(x, x.dtype.type(identity))
        first, second = np.split(x, 2)
        x = combine(first, second)
    return x.reshape(()) if x.size else np.asarray(identity, x.dtype)
