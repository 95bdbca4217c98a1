"""Running statistics of a softmax: how they follow the row, and how those of parts merge in a tree."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from workbench.report.canvas import DARK, LIGHT, MIDDLE, canvas, drawn, frameless, legend, square

Pair = tuple[float, float]  # m, l


@drawn
def running(x: np.ndarray, m: np.ndarray, l: np.ndarray) -> Figure:
    """x: the elements of a row; m, l: the running maximum and sum after each of them. Left x and m, right l.

    Dashed lines: where the maximum moved, and the sum was brought to the new one.
    """
    figure, (left, right) = canvas(3.2, 2)
    place = np.arange(1, len(x) + 1)
    moved = place[1:][np.diff(m) > 0]
    for axes in (left, right):
        for at in moved:
            axes.axvline(at, color="0.75", linestyle="--", linewidth=0.9)
        axes.set_xlabel("elements seen")
        axes.spines[["top", "right"]].set_visible(False)
    left.plot(place, x, linestyle="none", marker="o", markersize=3.5, color=MIDDLE, label="x")
    left.step(place, m, where="post", color=DARK, label="running maximum m")
    legend(left, left.get_legend_handles_labels()[0])
    left.set_title("the row, and m")
    right.plot(place, l, color=DARK, marker="o", markersize=3.5)
    right.set_ylim(0, 1.08 * float(np.max(l)))
    right.set_title("the running sum l of exp(x - m)")
    return figure


@drawn
def merge_tree(levels: Sequence[Sequence[Pair]], names: Sequence[str]) -> Figure:
    """levels: (m, l) of the parts, then of pairs of them, and so on to one; a part may lack a partner.

    names: what the parts of the first level are.
    """
    width, gap, room = len(levels[0]), 0.75, 0.94
    figure, axes = canvas(0.6 + 0.72 * len(levels))
    centres = [np.arange(width) + 0.5]
    for level, pairs in enumerate(levels):
        y = level * (1 + gap)
        if level:
            before = centres[-1]
            centres.append(np.array([before[2 * i : 2 * i + 2].mean() for i in range(len(pairs))]))
            for i, x in enumerate(centres[-1]):
                for parent in before[2 * i : 2 * i + 2]:
                    axes.plot([parent, x], [y - gap, y], color=DARK, linewidth=0.9)
        for x, (m, l) in zip(centres[-1], pairs, strict=True):
            square(axes, x - room / 2, y, room, face=LIGHT if level else "white")
            axes.text(x, y + 0.5, f"m {m:.2f}\nl {l:.3f}", ha="center", va="center", fontsize=8)
    for x, name in zip(centres[0], names, strict=True):
        axes.text(x, -0.12, name, ha="center", va="bottom", fontsize=8)
    axes.set(xlim=(-0.05, width + 0.05), ylim=(len(levels) * (1 + gap) - gap + 0.05, -0.75), xticks=[])
    axes.set_yticks(
        [level * (1 + gap) + 0.5 for level in range(len(levels))],
        ["parts", *(f"merge {level}" for level in range(1, len(levels)))],
    )
    frameless(axes)
    return figure
