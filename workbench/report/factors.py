"""By what factor one figure misses another: a bar for each pair, on a logarithmic axis."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from workbench.report.canvas import MIDDLE, canvas, drawn, frameless


@drawn
def factor_bars(factors: Mapping[str, float], label: str, source: str) -> Figure:
    """A bar from 1 to each factor (above 0), which is written beside it. label: of the axis. source: the title."""
    figure, axes = canvas(1.3 + 0.42 * len(factors))
    for row, factor in enumerate(factors.values()):
        axes.barh(row, factor - 1, 0.62, 1, color=MIDDLE, edgecolor="0.2")
        side = "left" if factor >= 1 else "right"
        text = f"  {factor:.3g}  "
        axes.text(factor, row, text, ha=side, va="center")
    axes.axvline(1, color="black", linewidth=1.2)
    axes.set_xscale("log")
    low, high = min([*factors.values(), 1]), max([*factors.values(), 1])
    axes.set(xlim=(low / 4, high * 4), ylim=(len(factors) - 0.5, -0.5), xlabel=label)
    axes.set_yticks(range(len(factors)), list(factors))
    axes.set_title(source, loc="left")
    frameless(axes)
    return figure
