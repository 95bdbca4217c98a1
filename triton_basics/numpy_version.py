"""What lesson 6's matrix product and its order of tiles must be, in NumPy. (Softmax: cuda_basics/softmax.)"""

import numpy as np


def matmul(a: np.ndarray, b: np.ndarray, *, slope: float = 1.0) -> np.ndarray:
    """a b for a (M, K) and b (K, N), its elements below zero times `slope`."""
    product: np.ndarray = a @ b
    return np.where(product >= 0, product, slope * product)


def tile_order(tiles_m: int, tiles_n: int, group: int) -> np.ndarray:
    """(row, column) of each tile in the order of the programs, (tiles_m * tiles_n, 2) int32.

    Group after group of `group` rows of tiles (the last may have fewer); in a group column after column, from top to
    bottom.
    """
    order = [
        (row, column)
        for first in range(0, tiles_m, group)
        for column in range(tiles_n)
        for row in range(first, min(first + group, tiles_m))
    ]
    return np.array(order, dtype=np.int32)
