"""How rounding errors grow with the number of additions."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from workbench.report.canvas import DARK, MIDDLE, canvas, drawn

Points = Sequence[tuple[float, float]]
SHAPES = (("o", DARK), ("s", MIDDLE), ("^", "white"))


@drawn
def error_growth(errors: Mapping[str, Points], bounds: Mapping[str, Points]) -> Figure:
    """Relative errors by n, both axes logarithmic: points for what was computed, dashed lines for bounds.

    Errors of 0 can't be shown there, and lie on the lower edge.
    """
    figure, axes = canvas(3.6)
    floor = 2.0**-30
    for (name, points), (marker, face) in zip(errors.items(), SHAPES, strict=False):
        x, y = zip(*points, strict=True)
        axes.plot(
            x,
            [max(value, floor) for value in y],
            linestyle="none",
            marker=marker,
            markersize=4.5,
            markerfacecolor=face,
            markeredgecolor="0.2",
            markeredgewidth=0.6,
            label=name,
        )
    for name, points in bounds.items():
        x, y = zip(*points, strict=True)
        axes.plot(x, y, color="0.35", linestyle="--", linewidth=1)
        axes.text(x[-1] * 1.25, y[-1], name, va="center", fontsize=9)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=10)
    axes.set_xlim(right=x[-1] * 10)
    axes.set_ylim(bottom=floor / 1.6)
    axes.set(xlabel="n", ylabel="relative error")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper left")
    return figure
