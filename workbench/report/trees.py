"""The tree by which a block reduces values in shared memory, drawn from a trace of its accesses."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from workbench import ptx
from workbench.report.canvas import DARK, LIGHT, canvas, drawn, frameless, legend, square

WORD = 4  # bytes of a value
GAP = 1.0  # between the rounds: room for the lines, in heights of a row


class Round(NamedTuple):
    """One round: the place that each thread writes, and the places that it reads."""

    writes: dict[int, int]
    reads: dict[int, list[int]]


def rounds(report: ptx.Report) -> list[Round]:
    """The loads and stores of shared memory, a round for each store; in the first one nothing has been read."""
    found, reads = [], dict[int, list[int]]()
    for access in report.trace:
        if access.space != "shared":
            continue
        pairs = zip(access.threads.tolist(), (access.offsets // WORD).tolist(), strict=True)
        if access.kind == "load":
            for thread, place in pairs:
                reads.setdefault(thread, []).append(place)
        else:
            found.append(Round(dict(pairs), reads))
            reads = {}
    return found


@drawn
def trees(reports: Mapping[str, ptx.Report]) -> Figure:
    """A panel for each named report (of one block): a row is a round, a box a value, its number the thread that writes.

    Lines lead from the values that a thread read to the one that it wrote.
    """
    found = {name: rounds(report) for name, report in reports.items()}
    height = max(len(one) for one in found.values())
    figure, panels = canvas(1.1 + 0.36 * height, len(found))
    for axes, (name, tree) in zip(np.atleast_1d(panels), found.items(), strict=True):
        width = len(tree[0].writes)
        for number, (writes, reads) in enumerate(tree):
            y = number * (1 + GAP)
            for place in range(width):
                square(axes, place, y, face="white")
            for thread, place in writes.items():
                square(axes, place, y, face=LIGHT if number else "white")
                if number:
                    axes.text(place + 0.5, y + 0.53, str(thread), ha="center", va="center", fontsize=6.5)
                for read in reads.get(thread, []):
                    axes.plot([read + 0.5, place + 0.5], [y - GAP, y], color=DARK, linewidth=0.7)
        axes.set(xlim=(-0.3, width + 0.3), ylim=(height * (1 + GAP) - GAP + 0.1, -0.1), xticks=[])
        middles = [number * (1 + GAP) + 0.5 for number in range(len(tree))]
        axes.set_yticks(middles, ["loaded", *(f"round {number}" for number in range(1, len(tree)))])
        axes.set_title(name)
        frameless(axes)
        if axes is not figure.axes[0]:
            axes.set_yticks([])
    legend(
        figure.axes[0],
        [
            Patch(
                facecolor=LIGHT,
                edgecolor="0.3",
                label="written in this round, by the thread with this number",
            )
        ],
    )
    return figure
