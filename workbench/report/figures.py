"""Figures that a notebook shows, made from what was recorded.

Figures of accesses are drawn from a report of the PTX machine (`with observe(trace=True) as launches: ...`), figures
of time from what `make bench` keeps in benchmarks/. Each function returns its figure, which a notebook shows when it
is a cell's last line.
"""

import json
from collections.abc import Mapping
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from workbench import lessons, ptx
from workbench.gpu import has_gpu
from workbench.report.canvas import (
    DARK,
    LIGHT,
    MIDDLE,
    PALE,
    canvas,
    colours,
    drawn,
    frameless,
    idle_thread,
    legend,
    square,
)

WARP = 32
SECTOR = 32  # bytes: what a request to global memory is counted in
LINE = 128  # bytes: a cache line, four sectors
BENCHMARKS = lessons.ROOT / "benchmarks"


# Which thread touches what: from traces.


@drawn
def thread_map(report: ptx.Report, array: str, *, grid: int, block: int) -> Figure:
    """Which element of `array` each thread stores, of a launch of `grid` blocks of `block` threads: a row is a warp.

    Threads of the launch that store nothing are hatched; lanes that a block hasn't got are left out.
    """
    stored = elements(report, array, "store")
    rows = [(b, warp) for b in range(grid) for warp in range(-(-block // WARP))]
    gap = 0.35  # between blocks
    figure, axes = canvas(0.9 + 0.235 * (len(rows) + gap * grid))
    for row, (b, warp) in enumerate(rows):
        y = row + gap * b
        axes.text(-0.5, y + 0.5, f"block {b}  warp {warp}", ha="right", va="center", fontsize=9)
        for lane in range(min(WARP, block - warp * WARP)):
            element = stored.get(b * block + warp * WARP + lane)
            works = element is not None
            square(axes, lane, y, face=(LIGHT, PALE)[b % 2] if works else "white", idle=not works)
            if works:
                axes.text(
                    lane + 0.5, y + 0.52, str(element), ha="center", va="center", fontsize=7, in_layout=False
                )
    axes.set(xlim=(0, WARP), ylim=(len(rows) + gap * (grid - 1) + 0.05, -0.05))
    axes.set_xticks([lane + 0.5 for lane in range(0, WARP, 4)] + [WARP - 0.5], [*range(0, WARP, 4), WARP - 1])
    axes.xaxis.tick_top()
    axes.set_xlabel("lane")
    axes.xaxis.set_label_position("top")
    axes.set_yticks([])
    axes.tick_params(length=0, pad=0)
    frameless(axes)
    numbered = Patch(facecolor=LIGHT, edgecolor="0.3", label=f"a thread that writes {array}[i], and its i")
    legend(axes, [numbered, idle_thread()])
    return figure


@drawn
def grid_map(
    report: ptx.Report, array: str, shape: tuple[int, int], *, grid: tuple[int, int], block: tuple[int, int]
) -> Figure:
    """The blocks of a 2-D grid over a table of `shape` (rows, columns) that lies row after row in `array`.

    grid, block: (x, y), as they were launched.
    Each element is shaded by the block whose thread stored it; threads that store nothing are crosses at their own
    place in the grid. One warp is dark: the elements that its 32 threads stored.
    """
    (across, down), (width, height) = grid, block
    stored = elements(report, array, "store")
    rows, columns = shape
    high, wide = max(down * height, rows), max(across * width, columns)
    shade = np.zeros((high, wide), dtype=int)
    size = width * height
    marked = (across + 1) * size if across > 1 and down > 1 else 0  # the first thread of block (1, 1)
    marked += max(height - 3, 0) * width  # near its lower edge
    for thread, element in stored.items():
        y, x = divmod(thread // size, across)
        tint = 1 + (x + y) % 2
        shade[divmod(element, columns)] = 3 if marked <= thread < marked + WARP else tint
    idle = np.array(sorted(set(range(across * down * size)) - stored.keys()), dtype=int)
    idle_x, idle_y = _place(idle, (across, width, height))

    figure, axes = canvas(1.35 + 7.0 * high / wide)
    axes.imshow(shade, cmap=colours("white", LIGHT, PALE, DARK), vmin=0, vmax=3, extent=(0, wide, high, 0))
    axes.plot(
        idle_x + 0.5,
        idle_y + 0.5,
        linestyle="none",
        marker="x",
        markersize=2.5,
        color="0.45",
        markeredgewidth=0.6,
    )
    for b in range(across * down):
        x, y = b % across * width, b // across * height
        axes.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor="0.3", linewidth=0.8))
        name = f"block ({b % across}, {b // across})"
        paper = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
        axes.text(x + width / 2, y + 0.3 * height, name, ha="center", va="center", fontsize=9, bbox=paper)
    axes.add_patch(Rectangle((0, 0), columns, rows, fill=False, edgecolor="black", linewidth=2.2))
    axes.set_xticks(sorted({*range(0, wide + 1, width), columns}))
    axes.set_yticks(sorted({*range(0, high + 1, height), rows}))
    axes.set(xlabel="column: x", ylabel="row: y")
    cross = Line2D([], [], linestyle="none", marker="x", color="0.45", label=f"idle thread ({len(idle):,})")
    frame = Patch(facecolor="white", edgecolor="black", linewidth=2, label=f"the table, {rows} x {columns}")
    legend(axes, [frame, Patch(facecolor=DARK, label="what one warp writes"), cross])
    return figure


@drawn
def sector_map(reports: Mapping[str, ptx.Report], array: str, kind: str = "load", warp: int = 0) -> Figure:
    """The memory that one warp's first request to `array` touches, a panel for each named report.

    A row is a line of 128 bytes. Dark: bytes that a thread asked for. Light: the sectors of 32 bytes that travel.
    """
    asked = {name: _request(report, array, kind, warp) for name, report in reports.items()}
    lines = max(_lines(request) for request in asked.values())
    figure, panels = canvas(1.5 + max(0.09 * lines, 1.3), len(asked))
    for axes, (name, request) in zip(panels, asked.items(), strict=True):
        first = request.start // LINE
        for sector in request.sectors:
            line, place = divmod(sector * SECTOR, LINE)
            axes.add_patch(
                Rectangle(
                    (place, line - first),
                    SECTOR,
                    1,
                    facecolor=LIGHT,
                    edgecolor="0.35",
                    linewidth=0.6,
                    gid="sector",
                )
            )
        for offset in request.offsets:
            line, place = divmod(int(offset), LINE)
            axes.add_patch(
                Rectangle(
                    (place, line - first),
                    request.size,
                    1,
                    facecolor=DARK,
                    edgecolor="white",
                    linewidth=0.4,
                    gid="asked",
                )
            )
        used, moved = request.size * np.unique(request.offsets).size, SECTOR * len(request.sectors)
        sectors = "1 sector" if len(request.sectors) == 1 else f"{len(request.sectors)} sectors"
        axes.set_title(f"{name}: {sectors}\n{used:,} of {moved:,} bytes are used")
        axes.set(xlim=(0, LINE), ylim=(lines, 0), xlabel="byte of the line")
        axes.set_xticks(range(0, LINE + 1, SECTOR))
        shown = range(0, lines, 1 + (lines - 1) // 8)
        axes.set_yticks([line + 0.5 for line in shown], [str(line) for line in shown])
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color="0.85")
        axes.set_axisbelow(True)
    panels[0].set_ylabel(f"line of {LINE} bytes")
    figure.legend(
        handles=[
            Patch(facecolor=DARK, label="asked for"),
            Patch(facecolor=LIGHT, edgecolor="0.35", label="a sector that travels"),
        ],
        loc="outside lower center",
        ncols=2,
        frameon=False,
    )
    return figure


@drawn
def lane_map(reports: Mapping[str, ptx.Report], array: str, kind: str = "load", warp: int = 0) -> Figure:
    """Which bytes each lane of a warp takes in its first request to `array`, a panel for each named report.

    A row is a line of 128 bytes, a box what one lane takes, with the lane's number; heavy strokes part the sectors.
    """
    asked = {name: _request(report, array, kind, warp) for name, report in reports.items()}
    heights = [_lines(request) for request in asked.values()]
    figure, panels = canvas(0.55 + 0.3 * sum(heights) + 0.42 * len(asked), len(asked), heights=heights)
    for axes, lines, (name, request) in zip(panels, heights, asked.items(), strict=True):
        first = request.start // LINE
        for lane, offset in zip(request.lanes, request.offsets, strict=True):
            line, place = divmod(int(offset), LINE)
            square(axes, place, line - first, request.size, face=(LIGHT, "white")[int(lane) % 2])
            axes.text(
                place + request.size / 2, line - first + 0.52, str(lane), ha="center", va="center", fontsize=8
            )
        for edge in range(0, LINE + 1, SECTOR):
            axes.axvline(edge, color="black", linewidth=1.6)
        axes.set_title(f"{name}: {request.size} bytes a lane, {len(request.sectors)} sectors", loc="left")
        axes.set(xlim=(-0.5, LINE + 0.5), ylim=(lines + 0.04, -0.04), xticks=[])
        axes.set_yticks([line + 0.5 for line in range(lines)], [f"line {line}" for line in range(lines)])
        axes.tick_params(length=0)
        frameless(axes)
    panels[-1].set_xticks(range(0, LINE + 1, SECTOR))
    panels[-1].set_xlabel("byte of the line")
    return figure


def elements(report: ptx.Report, array: str, kind: str) -> dict[int, int]:
    """For each thread of the grid that touched `array`: the index of the first element that it touched."""
    found: dict[int, int] = {}
    for access in report.trace:
        if (access.array, access.kind) == (array, kind):
            for thread, offset in zip(access.threads.tolist(), access.offsets.tolist(), strict=True):
                found.setdefault(thread, offset // access.size)
    return found


class Request(NamedTuple):
    """One instruction's accesses by one warp: byte offsets in the array, `size` bytes each, by lane."""

    lanes: np.ndarray
    offsets: np.ndarray
    size: int

    @property
    def start(self) -> int:
        return int(self.offsets.min())

    @property
    def sectors(self) -> list[int]:
        """The numbers of the sectors of 32 bytes that it touches, counted from the array's start."""
        last = self.offsets + self.size - 1
        return sorted(
            {
                n
                for a, b in zip(self.offsets // SECTOR, last // SECTOR, strict=True)
                for n in range(int(a), int(b) + 1)
            }
        )


def _request(report: ptx.Report, array: str, kind: str, warp: int) -> Request:
    """The first access of `kind` to `array` by a warp, counted over the grid (of blocks of whole warps)."""
    for access in report.trace:
        mine = access.threads // WARP == warp
        if (access.array, access.kind) == (array, kind) and mine.any():
            return Request(access.threads[mine] % WARP, access.offsets[mine], access.size)
    raise ValueError(f"warp {warp} has no {kind} of {array} in this trace")


def _lines(request: Request) -> int:
    """How many lines of 128 bytes lie from the first byte touched to the last."""
    return (int(request.offsets.max()) + request.size - 1) // LINE - request.start // LINE + 1


def _place(threads: np.ndarray, sizes: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(x, y) in the grid of threads numbered block after block; sizes: blocks across, block's width, its height."""
    across, width, height = sizes
    block, inside = np.divmod(threads, width * height)
    return block % across * width + inside % width, block // across * height + inside // width


# How long it takes: from benchmarks.


def results(number: int) -> dict[str, Any] | None:
    """A lesson's times: measured now where there is a GPU, else the newest in benchmarks/, else None.

    As `make bench` writes them: "machine", "rows", one for each shipped version, and "measured", what the lesson's own
    measure.py found (or None).
    """
    if has_gpu():
        from workbench.check.check import check_lesson
        from workbench.report import machine

        rows = [outcome.as_dict() for outcome in check_lesson(number).outcomes if not outcome.learners]
        if any(row["timing"] for row in rows):
            found = {"lesson": number, "machine": machine.describe(), "rows": rows}
            return {**found, "measured": lessons.measure(number)}
    kept = [json.loads(path.read_text()) for path in BENCHMARKS.glob(f"*/lesson{number:02}.json")]
    return max(kept, key=lambda one: str(one["machine"]["date"]), default=None)


@drawn
def bandwidth_bars(measured: Mapping[str, Any], rival: str = "PyTorch, a + b") -> Figure:
    """Bytes that must move over the time taken, by version and for PyTorch, beside what a copy reaches.

    measured: what `results` returns; GPU and date are written on the figure. rival: what PyTorch's bar is called.
    """
    rows = _timed(measured)
    rates = {row["name"]: row["timing"]["gb_per_s"] for row in rows}
    times = [row["timing"] for row in rows]
    pytorch = median(t["gb_per_s"] * t["median"] / t["pytorch_median"] for t in times)
    copy = median(t["copy_gb_per_s"] for t in times)
    names, values = [*rates, rival], [*rates.values(), pytorch]
    figure, axes = canvas(1.3 + 0.42 * len(values))
    bars = axes.barh(names, values, height=0.62, color=[MIDDLE] * len(rates) + ["white"], edgecolor="0.2")
    bars[-1].set_hatch("///")
    right = 1.02 * max([copy, *values])
    for place, value in enumerate(values):
        axes.text(right, place, f"{value:,.0f}  ({100 * value / copy:.1f} %)", va="center")
    axes.axvline(copy, color="black", linestyle="--", linewidth=1.2)
    axes.text(copy, -0.75, f"a copy: {copy:,.0f} ", ha="right", va="center")
    axes.set(xlim=(0, 1.25 * right), ylim=(len(values) - 0.5, -1.1))
    axes.set_xlabel("GB/s of bytes that must move (and in percent of a copy)")
    axes.set_title(_where(measured), loc="left")
    frameless(axes)
    return figure


@drawn
def prediction_bars(measured: Mapping[str, Any]) -> Figure:
    """For each version, the time that `predictions` expects (hatched) and the time taken (filled), in ms."""
    found = predictions(measured)
    figure, axes = canvas(1.3 + 0.75 * len(found))
    for shift, column, style in (
        (-0.19, 1, {"color": "white", "hatch": "///"}),
        (0.19, 2, {"color": MIDDLE}),
    ):
        values = [row[column] for row in found]
        label = ("predicted: bytes counted / bandwidth of a copy", "measured")[column - 1]
        bars = axes.barh(
            np.arange(len(found)) + shift, values, height=0.36, edgecolor="0.2", label=label, **style
        )
        axes.bar_label(bars, [f"{value:.2f}" for value in values], padding=4)
    axes.set_yticks(range(len(found)), [row[0] for row in found])
    axes.set(ylim=(len(found) - 0.5, -0.5), xlim=(0, 1.12 * max(max(row[1:]) for row in found)))
    axes.set_xlabel("ms")
    axes.set_title(_where(measured), loc="left")
    legend(axes, axes.get_legend_handles_labels()[0])
    frameless(axes)
    return figure


def predictions(measured: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    """(version, predicted ms, measured ms) for each version that was timed and whose bytes were counted.

    Predicted: the bytes that must move, times (bytes moved / bytes needed) in the counted case, over the bandwidth
    that a copy reached in the same run.
    """
    found = []
    for row in _timed(measured):
        time, traffic = row["timing"], row["traffic"]
        if traffic.get("bytes_needed"):
            must_move = time["gb_per_s"] * time["median"]  # in millions of bytes
            predicted = must_move * traffic["bytes_moved"] / traffic["bytes_needed"] / time["copy_gb_per_s"]
            found.append((row["name"], predicted, time["median"]))
    return found


def _timed(measured: Mapping[str, Any]) -> list[Any]:
    rows = [row for row in measured["rows"] if row["timing"]]
    if not rows:
        raise ValueError("no row of these results was timed")
    return rows


def _where(measured: Mapping[str, Any]) -> str:
    time = _timed(measured)[0]["timing"]
    traffic = time["gb_per_s"] * time["median"] / 1e3  # GB
    machine = measured["machine"]
    return f"{machine['gpu']}, {str(machine['date'])[:10]}: {traffic:.2f} GB must move"
