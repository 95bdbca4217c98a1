"""The drawing board: the house style of every figure, and what several kinds of figure draw alike.

Shades and hatches, not hues, carry the meaning, so that a print in grey reads the same.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec

import matplotlib.pyplot as plt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

STYLE: Any = {
    "font.size": 10,
    "axes.titlesize": 11,
    "hatch.linewidth": 0.6,
    "hatch.color": "0.55",
    "figure.dpi": 110,
    "savefig.dpi": 110,
}
DARK, MIDDLE, LIGHT, PALE = "#1d4e79", "#8fb4d9", "#bdd4eb", "#f6f0e3"


Arguments = ParamSpec("Arguments")


def drawn(function: Callable[Arguments, Figure]) -> Callable[Arguments, Figure]:
    """In the house style, and taken from pyplot's list, so that a notebook shows the figure once."""

    @wraps(function)
    def draw(*arguments: Arguments.args, **options: Arguments.kwargs) -> Figure:
        with plt.rc_context(STYLE):
            figure = function(*arguments, **options)
        plt.close(figure)
        return figure

    return draw


def canvas(height: float, across: int = 1, heights: Sequence[int] = ()) -> Any:
    """A figure 8 in wide and its axes; several across, or, with their `heights`, one above the other."""
    rows, columns = (across, 1) if heights else (1, across)
    ratios = list(heights) or None
    return plt.subplots(rows, columns, figsize=(8, height), layout="constrained", height_ratios=ratios)


def square(axes: Axes, x: float, y: float, width: float = 1, *, face: str, idle: bool = False) -> None:
    edge, hatch = ("0.6", "////") if idle else ("0.3", None)
    within(axes, Rectangle((x, y), width, 1, facecolor=face, edgecolor=edge, hatch=hatch, linewidth=0.6))


def within(axes: Axes, artist: Artist) -> None:
    """Add what lies inside the axes, whose limits are set. Nothing measures it, which takes long for hundreds."""
    artist.set_in_layout(False)
    axes.add_artist(artist)


def idle_thread() -> Patch:
    return Patch(facecolor="white", edgecolor="0.6", hatch="////", label="an idle thread")


def legend(axes: Axes, handles: Sequence[Any], rows: int = 1) -> None:
    columns = -(-len(handles) // rows)
    axes.figure.legend(handles=list(handles), loc="outside lower center", ncols=columns, frameon=False)


def frameless(axes: Axes) -> None:
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
    axes.tick_params(axis="y", length=0)


def colours(*names: str) -> Any:
    from matplotlib.colors import ListedColormap

    return ListedColormap(names)
