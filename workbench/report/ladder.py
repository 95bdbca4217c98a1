"""A ladder of steps: how many operations a second each of them reaches, beside PyTorch and the ceiling."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from matplotlib.figure import Figure

from workbench.report.canvas import DARK, MIDDLE, canvas, drawn, frameless


@drawn
def ladder(
    measured: Mapping[str, Any],
    steps: Sequence[str],
    *,
    pytorch: str = "PyTorch",
    peak: float | None = None,
    others: Mapping[str, float] | None = None,
) -> Figure:
    """TFLOP/s by step, from the first at the top to the last, and in percent of PyTorch's.

    measured: what `figures.results` returns. steps: names of its rows, in order; those that weren't timed are left out.
    pytorch: what to call its bar. peak: TFLOP/s to draw as a second limit, such as a data sheet's, beside the dashed
    line of the matrix product that was measured in the same run. others: TFLOP/s of more rivals, drawn after PyTorch's.
    Raises ValueError if no step was timed.
    """
    rows = {row["name"]: row["timing"] for row in measured["rows"] if "tflop_per_s" in (row["timing"] or {})}
    reached = {name: rows[name]["tflop_per_s"] for name in steps if name in rows}
    if not reached:
        raise ValueError(f"none of {', '.join(steps)} was timed in TFLOP/s")
    rival = median(rows[n]["tflop_per_s"] * rows[n]["median"] / rows[n]["pytorch_median"] for n in reached)
    ceiling = median(rows[name]["product_tflop_per_s"] for name in reached)
    rivals = {pytorch: rival, **(others or {})}
    names, values = [*reached, *rivals], [*reached.values(), *rivals.values()]
    figure, axes = canvas(1.3 + 0.4 * len(values))
    best = max(reached, key=lambda name: reached[name])
    shades = [DARK if name == best else MIDDLE for name in reached]
    bars = axes.barh(
        range(len(values)), values, height=0.66, color=[*shades, *["white"] * len(rivals)], edgecolor="0.2"
    )
    for bar in bars[len(reached) :]:
        bar.set_hatch("///")
    axes.set_yticks(range(len(values)), names)
    right = max([*values, ceiling, peak or 0])
    for place, value in enumerate(values):
        label = f"{value:,.{1 if value >= 10 else 2}f}  ({100 * value / rival:.0f} %)"
        axes.text(
            value + 0.01 * right,
            place,
            label,
            va="center",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )
    lines = [(ceiling, "--", "a matrix product, measured")] + ([(peak, ":", "data sheet")] if peak else [])
    for at, style, what in lines:
        axes.axvline(at, color="black", linestyle=style, linewidth=1.2, zorder=0)
        axes.text(at, -0.85, f"{what}: {at:,.0f} ", ha="right", va="center", fontsize=9)
    axes.set(xlim=(0, 1.2 * right), ylim=(len(values) - 0.4, -1.2))
    axes.set_xlabel(f"TFLOP/s (and in percent of {pytorch})")
    machine = measured["machine"]
    axes.set_title(f"{machine['gpu']}, {str(machine['date'])[:10]}", loc="left")
    frameless(axes)
    return figure
