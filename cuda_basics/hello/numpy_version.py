"""What the kernels of lesson 1 must compute, in NumPy."""

import numpy as np

WARP = 32


def who_am_i(n: int, threads_per_block: int = 128) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """For each thread i of a 1-D grid: its block, its thread in the block, its warp in the block, its lane in the warp.

    Returns four int32 arrays (n,).
    """
    block, thread = np.divmod(np.arange(n, dtype=np.int32), np.int32(threads_per_block))
    return block, thread, thread // WARP, thread % WARP


def coordinates(rows: int, columns: int) -> np.ndarray:
    """(rows, columns) int32 with 10000 * row + column in each place."""
    row, column = np.mgrid[:rows, :columns].astype(np.int32)
    return 10000 * row + column
