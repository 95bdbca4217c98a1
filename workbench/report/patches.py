"""Which elements of a matrix one warp computes."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from workbench import ptx
from workbench.report.canvas import DARK, MIDDLE, colours, drawn

WARP, ACROSS = 32, 3  # lanes, panels


@drawn
def patches(reports: Mapping[str, ptx.Report], array: str, columns: int) -> Figure:
    """The elements of `array` that the first warp stores, a panel for each named report (with its trace).

    The array holds a matrix of 4-byte elements, row after row, `columns` in each. Dark: what lane 0 stores; light: the
    other lanes. Above each panel: how many rows and columns, how many elements of two factors that takes for one k, and
    how many products are made of them. Rows below the lowest one stored aren't drawn. Raises ValueError if a report has
    no store.
    """
    stores = {name: _stores(report, array, columns) for name, report in reports.items()}
    high = max(int(rows.max()) for rows, _, _ in stores.values()) + 1
    down = -(-len(stores) // ACROSS)
    size = (8, down * (0.75 + 2.4 * high / columns))
    figure, panels = plt.subplots(down, ACROSS, figsize=size, layout="constrained", sharex=True, sharey=True)
    for axes in panels.flat[len(stores) :]:
        axes.set_visible(False)
    for axes, (name, (rows, places, lanes)) in zip(panels.flat, stores.items(), strict=False):
        shade = np.zeros((high, columns), dtype=int)
        shade[rows, places] = np.where(lanes == 0, 2, 1)
        axes.imshow(
            shade,
            cmap=colours("white", MIDDLE, DARK),
            vmin=0,
            vmax=2,
            extent=(0, columns, high, 0),
            interpolation="nearest",
        )
        r, c = np.unique(rows).size, np.unique(places).size
        axes.set_title(f"{name}: {r} x {c}\n{r + c} numbers, {r * c:,} products", fontsize=9)
        axes.set_xticks([0, columns])
        axes.set_yticks([0, high])
    return figure


def _stores(report: ptx.Report, array: str, columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(row, column, lane) of each element that the first warp stores."""
    found = [
        (access.offsets[mine] // 4 + word, access.threads[mine])
        for access in report.trace
        if (access.array, access.kind) == (array, "store")
        for mine in [access.threads < WARP]
        for word in range(access.size // 4)
    ]
    if not found:
        raise ValueError(f"this trace has no store in {array}")
    elements, lanes = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return elements // columns, elements % columns, lanes
