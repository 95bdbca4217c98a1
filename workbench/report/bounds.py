"""What each part of a multiprocessor has to do for the same work, step by step: the busiest part is the limit."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from workbench.report.canvas import DARK, canvas, drawn, legend

MARKERS = ("o", "s", "^", "D", "v")


@drawn
def bounds(cycles: Mapping[str, Mapping[str, float]], what: str) -> Figure:
    """A line for each step, from the first at the top, with a mark for each part; the largest is filled.

    cycles: step -> part -> how long the part is busy, if it never waits. what: the x axis, which is logarithmic.
    """
    figure, axes = canvas(1.2 + 0.36 * len(cycles))
    parts = list(dict.fromkeys(part for one in cycles.values() for part in one))
    for place, one in enumerate(cycles.values()):
        axes.axhline(place, color="0.88", zorder=0)
        limit = max(one, key=lambda part: one[part])
        for part, value in one.items():
            face = DARK if part == limit else "white"
            marker = MARKERS[parts.index(part) % len(MARKERS)]
            axes.plot(value, place, marker, markersize=9, markerfacecolor=face, markeredgecolor=DARK)
        axes.annotate(
            f"{one[limit]:,.0f}", (one[limit], place), (9, 0), textcoords="offset points", va="center"
        )
    axes.set_xscale("log")
    values = [value for one in cycles.values() for value in one.values()]
    ticks = [tick for ten in (1, 10, 100, 1_000, 10_000, 100_000) for tick in (ten, 2 * ten, 5 * ten)]
    low, high = 0.8 * min(values), 1.6 * max(values)
    shown = [tick for tick in ticks if low <= tick <= high]
    axes.set_xticks(shown, [f"{tick:,}" for tick in shown])
    axes.minorticks_off()
    axes.set(xlim=(low, high), ylim=(len(cycles) - 0.5, -0.5), xlabel=what)
    axes.set_yticks(range(len(cycles)), list(cycles))
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    marks = [
        axes.plot([], [], marker, markersize=8, markerfacecolor="white", markeredgecolor=DARK, label=part)[0]
        for part, marker in zip(parts, MARKERS, strict=False)
    ]
    full = axes.plot([], [], "o", markersize=8, color=DARK, label="filled: the limit")[0]
    legend(axes, [*marks, full])
    return figure
