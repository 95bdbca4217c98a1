"""Tiles in registers and in shared memory: which lane holds what, and which banks an ldmatrix reads."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from workbench import ptx
from workbench.report.canvas import DARK, LIGHT, MIDDLE, PALE, canvas, drawn, frameless, legend, within

SHADES = (LIGHT, PALE, MIDDLE, "0.85")
CHUNK = 16  # bytes: a row of a matrix that ldmatrix loads
ACROSS = 8  # chunks that the 32 banks hold side by side


@drawn
def fragments(holders: Mapping[str, np.ndarray], lane: int = 5) -> Figure:
    """Which lane holds each element of some tiles, a panel for each; `lane`'s own are framed.

    holders: for each tile's name (rows, columns, 2), the lane and the number of its register. A shade is a register.
    """
    figure, panels = canvas(3.9, len(holders))
    widths = [held.shape[1] for held in holders.values()]
    for axes, (name, held) in zip(panels, holders.items(), strict=True):
        rows, columns = held.shape[:2]
        for row, column in np.ndindex(rows, columns):
            holder, register = held[row, column]
            box = Rectangle((column, row), 1, 1, facecolor=SHADES[register], edgecolor="white", linewidth=0.6)
            within(axes, box)
            bold = {"weight": "bold"} if holder == lane else {}
            style: Any = {"ha": "center", "va": "center", "fontsize": 6.5, "in_layout": False, **bold}
            axes.text(column + 0.5, row + 0.54, str(holder), **style)
            if holder == lane:
                frame = Rectangle(
                    (column + 0.05, row + 0.05), 0.9, 0.9, fill=False, edgecolor=DARK, linewidth=1.6
                )
                axes.add_patch(frame)
        axes.set_title(f"{name}: {rows} x {columns}", loc="left")
        axes.set(xlim=(-0.05, columns + 0.05), ylim=(rows + 0.05, -0.05), aspect="equal")
        axes.set_xticks(np.arange(0, columns, 4) + 0.5, range(0, columns, 4))
        axes.set_yticks(np.arange(0, rows, 4) + 0.5, range(0, rows, 4))
        axes.tick_params(length=0)
        axes.set_xlabel("column")
        frameless(axes)
    panels[0].get_gridspec().set_width_ratios(widths)
    panels[0].set_ylabel("row")
    names = [Patch(facecolor=shade, label=f"register {i}") for i, shade in enumerate(SHADES)]
    mine = Patch(facecolor="white", edgecolor=DARK, linewidth=1.6, label=f"what lane {lane} holds")
    legend(panels[0], [*names, mine])
    return figure


@drawn
def banks(reports: Mapping[str, ptx.Report], array: str) -> Figure:
    """The chunks of 16 bytes that the first ldmatrix of warp 0 reads in a tile, a panel for each named report.

    A row is 128 bytes of shared memory, all 32 banks once. The 8 chunks that are read at a time are dark, with the lane
    that gives their address; the chunks of the other three matrices are light. reports: with a trace. array: declared
    in the kernel.
    """
    figure, panels = canvas(4.1, len(reports))
    for axes, (name, report) in zip(panels, reports.items(), strict=True):
        offsets = _first_matrices(report, array)
        rows = int(offsets.max()) // (CHUNK * ACROSS) + 1
        for row, column in np.ndindex(rows, ACROSS):
            box = Rectangle((column, row), 1, 1, facecolor="white", edgecolor="0.75", linewidth=0.6)
            within(axes, box)
        for lane, offset in enumerate(offsets.tolist()):
            row, column = divmod(offset // CHUNK, ACROSS)
            first = lane < ACROSS
            box = Rectangle(
                (column, row), 1, 1, facecolor=DARK if first else LIGHT, edgecolor="white", gid="read"
            )
            within(axes, box)
            colour = "white" if first else "black"
            axes.text(
                column + 0.5, row + 0.54, str(lane), ha="center", va="center", fontsize=7.5, color=colour
            )
        worst = int(np.bincount(offsets[:ACROSS] // CHUNK % ACROSS).max())
        axes.set_title(f"{name}: {worst} wavefront{'s' if worst > 1 else ''}\nfor each 8 chunks", loc="left")
        axes.set(xlim=(0, ACROSS), ylim=(rows, 0), xlabel="banks")
        axes.set_xticks(np.arange(0, ACROSS, 2) + 0.5, [f"{4 * i}–{4 * i + 3}" for i in range(0, ACROSS, 2)])
        axes.set_yticks(np.arange(0, rows, 4) + 0.5, range(0, rows, 4))
        axes.tick_params(length=0)
        frameless(axes)
    panels[0].set_ylabel("128 bytes of shared memory")
    together = Patch(facecolor=DARK, label="read at a time, by the lane that gives the address")
    legend(panels[0], [together, Patch(facecolor=LIGHT, label="read next")])
    return figure


def _first_matrices(report: ptx.Report, array: str) -> np.ndarray:
    """Byte offsets of the 32 chunks that the first ldmatrix.x4 of warp 0 reads from `array`, by lane."""
    for access in report.trace:
        mine = access.threads < 32
        mangled = access.array.endswith(
            f"{len(array)}{array}"
        )  # as the compiler names what a kernel declares
        if mangled and (access.kind, access.size) == ("load", CHUNK) and mine.sum() == 32:
            found: np.ndarray = access.offsets[mine][np.argsort(access.threads[mine])]
            return found
    raise ValueError(f"warp 0 loads no matrices from {array} in this trace")
