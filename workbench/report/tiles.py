"""Tiles of a matrix product in the order of their programs: what those that run at the same time share."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from workbench.report.canvas import DARK, MIDDLE, PALE, canvas, drawn, frameless, legend, square


def strips(order: np.ndarray, programs: int) -> list[tuple[int, int]]:
    """For each wave of `programs` programs: how many rows of tiles (strips of a) and columns of tiles (strips of b).

    order: (tiles, 2), the (row, column) of each program's tile, the first wave's first.
    """
    waves = (order[start : start + programs] for start in range(0, len(order), programs))
    return [(len(set(wave[:, 0].tolist())), len(set(wave[:, 1].tolist()))) for wave in waves]


@drawn
def wave_map(orders: Mapping[str, np.ndarray], programs: int) -> Figure:
    """Which program computes which tile; a panel for each named order, of a dozen rows and columns or fewer.

    Dark: the first `programs` programs. Beside and above them: the strips of a and b that these read.
    """
    rows, columns = np.max(next(iter(orders.values())), axis=0) + 1
    figure, panels = canvas(1.3 + 3.4 * (rows + 1) / (columns + 1), len(orders))
    for axes, (name, order) in zip(np.atleast_1d(panels), orders.items(), strict=True):
        for program, (row, column) in enumerate(order.tolist()):
            first = program < programs
            square(axes, column, row, face=DARK if first else "white")
            ink = "white" if first else "0.45"
            axes.text(column + 0.5, row + 0.52, str(program), ha="center", va="center", fontsize=9, color=ink)
        wave = order[:programs]
        for row in set(wave[:, 0].tolist()):
            square(axes, -0.9, row, 0.6, face=MIDDLE)
        for column in set(wave[:, 1].tolist()):
            axes.add_patch(Rectangle((column, -0.9), 1, 0.6, facecolor=PALE, edgecolor="0.3", linewidth=0.6))
        of_a, of_b = strips(order, programs)[0]
        axes.set_title(f"{name}: {of_a} + {of_b} strips")
        axes.set(xlim=(-1, columns + 0.05), ylim=(rows + 0.05, -1), xticks=[], yticks=[], aspect="equal")
        frameless(axes)
    marks = [
        Patch(facecolor=DARK, label=f"tiles of c of the first {programs} programs"),
        Patch(facecolor=MIDDLE, edgecolor="0.3", label="strips of a that they read"),
        Patch(facecolor=PALE, edgecolor="0.3", label="strips of b"),
    ]
    legend(np.atleast_1d(panels)[0], marks)
    return figure


@drawn
def group_bars(
    counted: Mapping[int, float], measured: Mapping[int, float], source: str, label: str
) -> Figure:
    """GB by group size (bars), and, where they were measured, TFLOP/s beside them (a second panel)."""
    figure, panels = canvas(3.0, 2 if measured else 1)
    left = np.atleast_1d(panels)[0]
    names = [str(group) for group in counted]
    bars = left.bar(names, list(counted.values()), color=MIDDLE, edgecolor="0.2")
    left.bar_label(bars, [f"{value:.2f}" for value in counted.values()], padding=2, fontsize=9)
    left.set(xlabel="GROUP", ylabel="GB", title=label)
    if measured:
        right = panels[1]
        bars = right.bar(
            [str(group) for group in measured], list(measured.values()), color=PALE, edgecolor="0.2"
        )
        right.bar_label(bars, [f"{value:.0f}" for value in measured.values()], padding=2, fontsize=9)
        right.set(xlabel="GROUP", ylabel="TFLOP/s", title=source)
    for axes in np.atleast_1d(panels):
        axes.margins(y=0.12)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


@drawn
def rate_lines(rates: Mapping[str, Mapping[int, float]], ceiling: float, source: str) -> Figure:
    """GB/s by length of a row (logarithmic), a line for each named version, and the copy's as a dashed line."""
    figure, axes = canvas(3.4)
    for (name, points), style in zip(rates.items(), ("-o", "--s", ":^"), strict=False):
        axes.plot(
            list(points),
            list(points.values()),
            style,
            color=DARK,
            markersize=5,
            label=name,
            markerfacecolor="white",
        )
    axes.axhline(ceiling, color="black", linestyle="--", linewidth=1.2)
    axes.text(min(next(iter(rates.values()))), ceiling, f"a copy: {ceiling:,.0f}", va="bottom")
    axes.set_xscale("log", base=2)
    axes.set(ylim=(0, 1.15 * ceiling), xlabel="columns", ylabel="GB/s of bytes that must move", title=source)
    axes.xaxis.set_major_formatter(plt.FuncFormatter(lambda value, _: f"{int(value):,}"))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    return figure
