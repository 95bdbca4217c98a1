"""The matrix P of attention, as shades: which query takes how much of which key."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from workbench.report.canvas import canvas, drawn, legend


@drawn
def weights(panels: Mapping[str, np.ndarray]) -> Figure:
    """A panel for each named P, (seqlen_q, seqlen_k); NaN: a key that the query doesn't see."""
    figure, across = canvas(3.6, len(panels))
    largest = max(float(np.nanmax(p)) for p in panels.values())
    for axes, (name, p) in zip(across, panels.items(), strict=True):
        rows, columns = p.shape
        axes.set_facecolor("white")
        axes.imshow(p, cmap="Blues", vmin=0, vmax=largest, extent=(0, columns, rows, 0))
        for i, j in np.argwhere(np.isnan(p)):
            axes.plot([j, j + 1], [i + 1, i], color="0.78", linewidth=0.6)
        axes.set_xticks([0.5, columns - 0.5], ["0", str(columns - 1)])
        axes.set_yticks([0.5, rows - 0.5], ["0", str(rows - 1)])
        axes.tick_params(length=0)
        axes.set(xlabel="key j", title=name)
    across[0].set_ylabel("query i")
    legend(
        across[0],
        [
            Patch(facecolor="#1d4e79", label="much weight"),
            Patch(facecolor="#dce9f5", edgecolor="0.6", label="little"),
            Patch(facecolor="white", edgecolor="0.7", hatch="////", label="not seen"),
        ],
    )
    return figure
