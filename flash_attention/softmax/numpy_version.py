"""Softmax over the rows of a matrix, three times: in three passes over x, in two, and in one.

The one pass is possible because the statistics (m, l) of two parts of a row merge into those of both, in any order:
the "online normalizer" of Milakov and Gimelshein (arXiv 1805.02867, section 3.1). FlashAttention is built on it.
"""

from functools import reduce

import numpy as np

BLOCK = 64  # columns of a part in `softmax_one_pass`
Statistics = tuple[np.ndarray, np.ndarray]  # m, l: of each row, the maximum and the sum of exp(x - m)


def softmax_three_pass(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(softmax of each row of x, log-sum-exp of each row). x: (rows, columns). Returns (rows, columns) and (rows,).

    A row of -inf alone gives 0 and -inf, as attention needs it (PyTorch gives NaN); so does one of no columns. NaN or
    +inf in a row make all of it NaN, and its log-sum-exp.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        m = x.max(axis=1, initial=-np.inf, keepdims=True)  # pass 1
        p = np.exp(x - finite(m))
        l = p.sum(axis=1, keepdims=True)  # pass 2
        y = p / np.where(l == 0, 1, l)  # pass 3
        return y, (m + np.log(l))[:, 0]


def softmax_online(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As `softmax_three_pass`: maximum and sum come out of one pass, in which the sum follows the maximum."""
    with np.errstate(divide="ignore", invalid="ignore"):
        m, l = nothing(x)
        for column in x.T:  # pass 1, an element of each row at a time
            m_new = np.maximum(m, column)
            l = l * np.exp(m - finite(m_new)) + np.exp(column - finite(m_new))
            m = m_new
        return finish(x, m, l)  # pass 2


def softmax_one_pass(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As `softmax_three_pass`: parts of a row, each read once and kept, have statistics of their own, then merged."""
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [x[:, start : start + BLOCK] for start in range(0, x.shape[1], BLOCK)]
        m, l = reduce(merge, map(statistics, parts), nothing(x))
        return finish(x, m, l)


def statistics(part: np.ndarray) -> Statistics:
    """(m, l) of each row of (rows, columns)."""
    m = part.max(axis=1)
    return m, np.exp(part - finite(m)[:, None]).sum(axis=1)


def merge(a: Statistics, b: Statistics) -> Statistics:
    """The statistics of two parts together: associative, commutative, and `nothing` changes nothing."""
    m = np.maximum(a[0], b[0])
    return m, a[1] * np.exp(a[0] - finite(m)) + b[1] * np.exp(b[0] - finite(m))


def nothing(x: np.ndarray) -> Statistics:
    """The statistics of no columns."""
    return np.full(len(x), -np.inf, x.dtype), np.zeros(len(x), x.dtype)


def finish(x: np.ndarray, m: np.ndarray, l: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Softmax and log-sum-exp of each row of x, whose statistics are known."""
    return np.exp(x - finite(m)[:, None]) / np.where(l == 0, 1, l)[:, None], m + np.log(l)


def finite(m: np.ndarray) -> np.ndarray:
    """m, but 0 where it is -inf: -inf - -inf would be NaN, and exp(-inf - 0) is 0, as it should be."""
    return np.where(np.isneginf(m), 0, m)
