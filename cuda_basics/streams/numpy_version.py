"""What every version of lesson 5 must compute, in NumPy."""

import numpy as np

A = 1 - 1 / 4096
B = 1 / 2048


def iterate(x: np.ndarray, rounds: int) -> np.ndarray:
    """x = A * x + B, `rounds` times over, for an array (n,)."""
    for _ in range(rounds):
        x = A * x + B
    return x.copy()
