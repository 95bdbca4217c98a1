"""Comparisons by sequence length, and how a figure is kept: as SVG and PNG that say what they were made from."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from workbench.report.canvas import drawn

# Told apart without colours: by marker, and PyTorch's by broken lines and hollow markers.
MARKERS = "os^Dv<>Ph*Xdp"
WIDTH = 110  # letters of a title in a line
SHADES = ("#1d4e79", "#0b2239", "#5b8cbd", "0.45", "#2f6f8f", "0.25")

Curve = Mapping[int, float]  # length -> value


def style(place: int, name: str) -> dict[str, Any]:
    """How the curve `name`, the `place`th of a figure, is drawn."""
    rival = name.startswith(("pytorch", "flash_attn"))
    return {
        "color": "0.35" if rival else SHADES[place % len(SHADES)],
        "linestyle": "--" if rival else "-",
        "linewidth": 1.2,
        "marker": MARKERS[place % len(MARKERS)],
        "markersize": 5.5,
        "fillstyle": "none" if rival else "full",
    }


@drawn
def by_length(
    panels: Mapping[str, Mapping[str, Curve]], quantity: str, *, title: str = "", log: bool = False
) -> Figure:
    """panels: title -> version -> sequence length -> value; `quantity` is what the values are, with their unit.

    Up to two panels side by side. A curve that ends early has no value there. Raises ValueError without a panel.
    """
    if not panels:
        raise ValueError("there is nothing to draw")
    down, across = -(-len(panels) // 2), min(2, len(panels))
    names = list(dict.fromkeys(name for series in panels.values() for name in series))
    height = 0.7 + 3.0 * down + 0.24 * -(-sum(1 + name.count("\n") for name in names) // 3)
    figure, grid = plt.subplots(
        down, across, figsize=(8, height), layout="constrained", squeeze=False, sharey=True
    )
    handles: dict[str, Any] = {}
    for axes, (panel, series) in zip(grid.flat, panels.items(), strict=False):
        for name, curve in series.items():
            points = sorted(curve.items())
            handles[name] = axes.plot(
                *zip(*points, strict=True), label=name, **style(names.index(name), name)
            )[0]
        lengths = sorted({length for curve in series.values() for length in curve})
        axes.set_xscale("log", base=2)
        axes.set_xticks(lengths, [f"{n // 1024}k" if n >= 1024 else str(n) for n in lengths])
        axes.minorticks_off()
        if log:
            axes.set_yscale("log")
        axes.grid(color="0.9")
        axes.set_title(panel, loc="left")
    if not log:
        grid[0, 0].set_ylim(bottom=0)  # of all panels, which by now know the highest of all curves
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_visible(False)
    for axes in grid[:, 0]:
        axes.set_ylabel(quantity)
    for axes in grid[-1]:
        axes.set_xlabel("sequence length")
    lines = [fill(line, WIDTH) for line in title.splitlines()]
    figure.suptitle("\n".join(lines), fontsize=10, x=0.01, ha="left")
    figure.legend(
        handles=list(handles.values()), loc="outside lower center", ncols=min(3, len(names)), frameon=False
    )
    return figure


def keep(figure: Figure, path: Path, sources: Sequence[Path]) -> None:
    """Write `path`.svg and `path`.png, with `mark(sources)` inside; the same figure gives the same file."""
    said = mark(sources)
    with mpl.rc_context({"svg.hashsalt": path.name, "svg.fonttype": "path"}):
        vectors = {"Date": None, "Creator": None, "Description": said}
        figure.savefig(path.with_suffix(".svg"), metadata=vectors)
    figure.savefig(path.with_suffix(".png"), dpi=110, metadata={"Software": None, "Description": said})


def mark(sources: Sequence[Path]) -> str:
    """Names files and what is in them."""
    contents = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    return f"made from {' '.join(source.name for source in sources)}, {contents}"


def merged(panels: Mapping[str, Mapping[str, Curve]], closer: float = 0.03) -> dict[str, dict[str, Curve]]:
    """Curves that lie on one another in every panel, drawn once, under all their names."""
    names = list(dict.fromkeys(name for series in panels.values() for name in series))

    def alike(a: str, b: str) -> bool:
        return all(
            set(series.get(a, {})) == set(series.get(b, {}))
            and all(abs(series[b][n] / value - 1) < closer for n, value in series.get(a, {}).items())
            for series in panels.values()
        )

    groups: list[list[str]] = []
    for name in names:
        group = next((group for group in groups if alike(group[0], name)), None)
        if group is None:
            groups.append([name])
        else:
            group.append(name)
    return {
        panel: {fill(", ".join(group), 34): series[group[0]] for group in groups if group[0] in series}
        for panel, series in panels.items()
    }


def curves(
    rows: Sequence[Mapping[str, Any]], value: Callable[[Mapping[str, Any]], float]
) -> dict[str, dict[str, dict[int, float]]]:
    """Rows of `compare --json` as `by_length` takes them: a panel for each headdim, full and causal."""
    found: dict[str, dict[str, dict[int, float]]] = {}
    for row in rows:
        if row["timing"]:
            panel = f"headdim {row['headdim']}, {'causal' if row['causal'] else 'full'}"
            found.setdefault(panel, {}).setdefault(row["name"], {})[row["seqlen"]] = value(row)
    return found
