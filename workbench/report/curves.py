"""Curves over the sequence length: one panel for each quantity, one curve for each version."""

from collections.abc import Collection, Mapping
from typing import Any

from matplotlib.figure import Figure

from workbench.report.canvas import canvas, drawn, legend

Curve = Mapping[int, float]  # length -> value
STYLES = (
    *(("-", "o"), ("--", "s"), ("-.", "^"), (":", "D"), ((0, (6, 2)), "v"), ((0, (1, 1)), "x")),
    *(((0, (4, 1, 1, 1)), "P"), ((0, (8, 3)), "*")),
)
SHADES = ("#1d4e79", "0.15", "#5b8cbd", "0.45", "#2f6f8f", "0.3", "#8fb4d9", "0.6")


@drawn
def curves(
    panels: Mapping[str, Mapping[str, Curve]],
    title: str = "",
    *,
    points: Collection[str] = (),
    linear: bool = False,
) -> Figure:
    """panels: what is on the y axis -> version -> length -> value. Both axes are logarithmic.

    points: versions that are shown as rings, without a line. linear: the y axis is, from 0 on.
    """
    figure, axes = canvas(3.9, len(panels))
    across = axes if len(panels) > 1 else [axes]
    names = list(dict.fromkeys(name for series in panels.values() for name in series))
    for one, (quantity, series) in zip(across, panels.items(), strict=True):
        for name, curve in series.items():
            place = names.index(name)
            line, marker = STYLES[place % len(STYLES)]
            style: Any = (
                {"linestyle": "none", "markersize": 11, "fillstyle": "none"}
                if name in points
                else {"linestyle": line, "markersize": 4.5}
            )
            shade = SHADES[place % len(SHADES)]
            one.plot(list(curve), list(curve.values()), marker=marker, color=shade, label=name, **style)
        lengths = sorted({length for curve in series.values() for length in curve})
        one.set_xscale("log", base=2)
        if linear:
            one.set_ylim(bottom=0)
        else:
            one.set_yscale("log")
        one.set_xticks(lengths, [f"{n // 1024}k" if n >= 1024 else str(n) for n in lengths])
        one.set(xlabel="sequence length", title=quantity)
        one.minorticks_off()
        one.grid(color="0.88")
    if title:
        figure.suptitle(title, fontsize=10)
    legend(across[0], across[0].get_legend_handles_labels()[0], rows=1 if len(names) <= 5 else 2)
    return figure
