"""When each operation ran: a panel for each run, a row for each stream, a bar for each operation."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from workbench.report.canvas import DARK, LIGHT, canvas, drawn, frameless, legend

Spans = Sequence[Mapping[str, Any]]
STYLES: dict[str, dict[str, Any]] = {
    "copy in": {"facecolor": LIGHT},
    "kernel": {"facecolor": DARK},
    "copy out": {"facecolor": "white", "hatch": "////"},
}


@drawn
def timeline(runs: Mapping[str, Spans], source: str) -> Figure:
    """Bars from start to end, with the chunk's number in those that have room for it; one axis of time for all.

    runs: for each named run, its operations: "engine" ("copy in", "kernel" or "copy out"), "stream" and "chunk"
    (counted from 0), "start" and "end" in ms. Each run begins at 0. source: where the times come from, for the title.
    """
    rows = [len({span["stream"] for span in spans}) for spans in runs.values()]
    longest = max(_length(spans) for spans in runs.values())
    figure, panels = canvas(1.1 + 0.42 * len(runs) + 0.3 * sum(rows), len(runs), heights=rows)
    for axes, (name, spans) in zip(np.atleast_1d(panels), runs.items(), strict=True):
        _panel(axes, spans, longest / 45)
        axes.set_title(f"{name}: {_length(spans):.2f} ms", loc="left")
        axes.set_xlim(0, 1.01 * longest)
        if axes is not np.atleast_1d(panels)[-1]:
            axes.tick_params(axis="x", length=0, labelbottom=False)
    axes.set_xlabel("ms")
    figure.suptitle(source, x=0.01, ha="left", fontsize=11)
    legend(axes, [Patch(edgecolor="0.2", label=engine, **style) for engine, style in STYLES.items()])
    return figure


def _panel(axes: Axes, spans: Spans, room: float) -> None:
    streams = sorted({span["stream"] for span in spans})
    first = min(span["start"] for span in spans)
    for span in spans:
        engine, row = span["engine"], streams.index(span["stream"])
        start, length = span["start"] - first, span["end"] - span["start"]
        axes.barh(row, length, 0.8, start, edgecolor="0.2", linewidth=0.6, gid=engine, **STYLES[engine])
        if length > room:
            colour, paper = ("white", "none") if engine == "kernel" else ("black", "white")
            box = {"facecolor": paper, "edgecolor": "none", "pad": 0.8}
            place = (start + length / 2, row)
            axes.text(
                *place, str(span["chunk"]), ha="center", va="center", fontsize=8, color=colour, bbox=box
            )
    axes.set_yticks(range(len(streams)), [f"stream {stream}" for stream in streams])
    axes.set_ylim(len(streams) - 0.4, -0.6)
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    frameless(axes)


def _length(spans: Spans) -> float:
    return max(span["end"] for span in spans) - min(span["start"] for span in spans)
