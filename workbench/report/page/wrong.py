"""The error map: where an output is wrong, as a grid of cells for each matrix of it."""

from typing import Any

import numpy as np

from workbench.check.compare import Tolerance, wrong_places

CELLS = 12_000  # of all maps of one output
SIDE = 96  # cells along a side, at most
MATRICES = 12  # shown; those with wrong elements first


def error_map(name: str, out: np.ndarray, oracle: np.ndarray, allowed: Tolerance) -> dict[str, Any] | None:
    """Ready for JSON; None if nothing is wrong.

    A matrix is what the last two indices span; a vector is laid into rows of `fold` elements. A cell that holds wrong
    elements is [row, column, how many, index of the first, what it should be, what it is].
    """
    wrong = wrong_places(out, oracle, allowed)
    if not wrong.any():
        return None
    shape, fold = oracle.shape, 0
    if oracle.ndim < 2 or min(oracle.shape[-2:]) < 1:
        fold = 1 << max(5, int(np.ceil(np.log2(max(1, oracle.size)) / 2)))
        rows, columns = -(-oracle.size // fold), min(fold, oracle.size)
    else:
        rows, columns = oracle.shape[-2:]
    a_matrix = oracle.size if fold else rows * columns
    total = wrong.reshape(-1, a_matrix).sum(axis=1)
    chosen = sorted(np.argsort(-total, kind="stable")[:MATRICES].tolist())
    chosen = [one for one in chosen if total[one]] or chosen[:1]
    side = min(SIDE, int(np.sqrt(CELLS / len(chosen))))
    high, wide = _power_of_two(rows / side), _power_of_two(columns / side)  # elements of a cell
    maps = []
    for matrix in chosen:
        cells: dict[tuple[int, int], list[Any]] = {}
        flat = wrong.reshape(-1, a_matrix)[matrix]
        for place in np.flatnonzero(flat).tolist():
            row, column = divmod(place, fold or columns)
            cell = cells.setdefault((row // high, column // wide), [0, matrix * a_matrix + place])
            cell[0] += 1
        maps.append(
            {
                "index": [int(i) for i in np.unravel_index(matrix, shape[:-2])] if not fold else [],
                "wrong": int(total[matrix]),
                "cells": [
                    [row, column, many, *_element(first, out, oracle)]
                    for (row, column), (many, first) in cells.items()
                ],
            }
        )
    return {
        "output": name,
        "shape": list(shape),
        "rows": rows,
        "columns": columns,
        "fold": fold,
        "cell": [high, wide],
        "wrong": int(wrong.sum()),
        "size": int(wrong.size),
        "matrices": len(total),
        "maps": maps,
    }


def _power_of_two(least: float) -> int:
    """So that the cells lie within tiles."""
    return 1 << max(0, int(np.ceil(np.log2(least)))) if least > 0 else 1


def _element(flat: int, out: np.ndarray, oracle: np.ndarray) -> list[Any]:
    index = np.unravel_index(flat, oracle.shape)
    return [[int(i) for i in index], _number(oracle[index]), _number(out[index])]


def _number(value: np.generic) -> str:
    return f"{value:.5g}" if np.asarray(value).dtype.kind == "f" else str(value)
