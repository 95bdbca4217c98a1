"""Which tiles are on chip: a strip of pictures, one for each of some steps of a tiled attention."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from workbench.report.canvas import DARK, LIGHT, MIDDLE, drawn, frameless, legend, square

ARRAYS = ("Q", "K", "V", "O", "l", "m", "LSE")


class Step(Protocol):
    """One computed tile (i, j) of S: which tile of each array is on chip, and the elements that moved for it."""

    @property
    def i(self) -> int: ...
    @property
    def j(self) -> int: ...
    @property
    def tiles(self) -> Mapping[str, int]: ...
    @property
    def loaded(self) -> Mapping[str, int]: ...
    @property
    def stored(self) -> Mapping[str, int]: ...


@drawn
def tile_strip(traces: Mapping[str, Sequence[Step]], shape: tuple[int, int], shown: Sequence[int]) -> Figure:
    """A row of pictures for each named trace, one for each step in `shown` (counted from 1).

    shape: (rows, columns) of tiles of S. In a picture: the tiles of Q and O at the left, those of K and V above, S
    between them. Below: what moved for this step, into the chip and out of it.
    """
    rows, columns = shape
    figure, panels = plt.subplots(
        len(traces), len(shown), figsize=(8, 2.35 * len(traces) + 0.3), layout="constrained", squeeze=False
    )
    for row, (name, steps) in zip(panels, traces.items(), strict=True):
        for axes, number in zip(row, shown, strict=True):
            if number <= len(steps):
                _picture(axes, steps[:number], rows, columns)
                axes.set_title(f"step {number} of {len(steps)}", fontsize=9)
            else:
                axes.set_axis_off()
        row[0].set_ylabel(name)
    legend(
        panels[0, 0],
        [
            Patch(facecolor=DARK, label="S: computed now"),
            Patch(facecolor=MIDDLE, label="on chip"),
            Patch(facecolor=LIGHT, label="S: done"),
        ],
    )
    return figure


def _picture(axes: Axes, steps: Sequence[Step], rows: int, columns: int) -> None:
    now, done = steps[-1], {(step.i, step.j) for step in steps}
    for i in range(rows):
        for j in range(columns):
            here = DARK if (i, j) == (now.i, now.j) else LIGHT if (i, j) in done else "white"
            square(axes, j, i, face=here)
        for place, array in ((-2.7, "Q"), (-1.6, "O")):
            square(axes, place, i, face=MIDDLE if now.tiles.get(array) == i else "white")
    for j in range(columns):
        for place, array in ((-2.7, "K"), (-1.6, "V")):
            square(axes, j, place, face=MIDDLE if now.tiles.get(array) == j else "white")
    words: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8}
    for place, left, above in ((-2.2, "Q", "K"), (-1.1, "O", "V")):
        axes.text(place, rows + 0.5, left, **words)
        axes.text(columns + 0.5, place, above, **words)
    axes.set(xlim=(-2.9, columns + 1.1), ylim=(rows + 1.1, -2.9), aspect="equal", xticks=[], yticks=[])
    axes.set_xlabel(f"in: {_names(now.loaded)}\nout: {_names(now.stored)}", fontsize=8)
    frameless(axes)


def _names(moved: Mapping[str, int]) -> str:
    return " ".join(name for name in ARRAYS if moved.get(name)) or "nothing"
