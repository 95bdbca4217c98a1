"""The roofline: how many operations a second a kernel may reach, given how many it has for each byte that must move."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from workbench.report.canvas import canvas, drawn
from workbench.report.plots import style

Point = tuple[float, float]  # operations a byte, TFLOP/s


@drawn
def roofline(
    points: Mapping[str, Sequence[Point]],
    *,
    copy_gb_per_s: float,
    product_tflop_per_s: float,
    title: str = "",
) -> Figure:
    """points: by version, one for each shape. The roof: a copy's bandwidth times the intensity, up to a matrix product.

    Source: Williams, Waterman and Patterson, Roofline: an insightful visual performance model, CACM 52 (2009).
    Raises ValueError if there is no point.
    """
    every = [point for some in points.values() for point in some]
    if not every:
        raise ValueError("there is no point to draw")
    ridge = product_tflop_per_s * 1e3 / copy_gb_per_s
    left, right = 0.5 * min(ridge / 4, *(x for x, _ in every)), 2 * max(ridge * 4, *(x for x, _ in every))
    x = np.geomspace(left, right, 200)
    figure, axes = canvas(4.2 + 0.22 * -(-len(points) // 3))
    axes.plot(x, np.minimum(x * copy_gb_per_s / 1e3, product_tflop_per_s), color="black", linewidth=1.8)
    axes.axvline(ridge, color="0.6", linestyle=":", linewidth=1)
    axes.text(
        right,
        product_tflop_per_s * 1.06,
        f"a matrix product: {product_tflop_per_s:,.0f} TFLOP/s ",
        ha="right",
    )
    axes.text(
        ridge * 0.9, product_tflop_per_s * 1.06, f"a copy: {copy_gb_per_s:,.0f} GB/s", ha="right", fontsize=10
    )
    for place, (name, some) in enumerate(points.items()):
        xs, ys = zip(*sorted(some), strict=True)
        axes.plot(xs, ys, label=name, **style(place, name))
    axes.set_xscale("log")
    axes.set_yscale("log")
    lowest = min(y for _, y in every)
    axes.set(xlim=(left, right), ylim=(0.5 * lowest, 2 * product_tflop_per_s))
    axes.set(xlabel="operations for each byte that must move", ylabel="TFLOP/s")
    axes.grid(color="0.9")
    axes.set_title(title, loc="left")
    figure.legend(
        handles=axes.get_legend_handles_labels()[0], loc="outside lower center", ncols=3, frameon=False
    )
    return figure
