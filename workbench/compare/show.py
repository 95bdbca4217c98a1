"""What a comparison found, for people: tables of 80 columns, and the same in Markdown."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from workbench.compare.judge import RIGHT
from workbench.compare.measure import RIVAL
from workbench.compare.results import Change, Results, Row

Cell = Callable[[Row], str]


def ms(value: float) -> str:
    """Three digits that matter: 0.0123, 1.23, 12.3, 123."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


GPU_COLUMNS: dict[str, Cell] = {
    "min\nms": lambda row: ms(row.timing["minimum"]),
    "median": lambda row: ms(row.timing["median"]),
    "spread": lambda row: ms(row.timing["spread"]),
    "TFLOP\n/s": lambda row: f"{row.timing['tflop_per_s']:.{0 if row.timing['tflop_per_s'] >= 100 else 1}f}",
    "% of\npeak": lambda row: f"{row.timing['percent_of_product']:.1f}",
    "GB/s": lambda row: f"{row.timing['gb_per_s']:.0f}",
    "MiB": lambda row: f"{row.timing['peak_mib']:.0f}",
    "x Py-\nTorch": lambda row: (
        f"{row.timing['times_pytorch']:.2f}" if "times_pytorch" in row.timing else "-"
    ),
}
CPU_COLUMNS: dict[str, Cell] = {
    "sectors/\nrequest": lambda row: _number(row.traffic.get("sectors_per_request"), ".1f"),
    "MB\nmoved": lambda row: _number(row.traffic.get("bytes_moved"), ".3f", 1e6),
    "MB\nneeded": lambda row: f"{row.shape.traffic / 1e6:.3f}",
    "moved/\nneeded": lambda row: _number(row.traffic.get("bytes_moved"), ".1f", row.shape.traffic),
}


def header(results: Results) -> str:
    """Where it was measured, or that times need a GPU."""
    gpu = results.machine.get("gpu")
    if gpu is None:
        return (
            "No NVIDIA GPU here: times need one. Small shapes are checked, and their memory\n"
            "traffic is counted: CUDA in the PTX machine, Triton in its interpreter."
        )
    ceilings = [
        f"{at['product_tflop_per_s']:,.0f} TFLOP/s in {dtype}"
        for dtype, at in {row.shape.dtype: row.timing for row in results.rows if row.timing}.items()
    ]
    peak = f"; peak: a matrix product, {' and '.join(ceilings)}, measured now" if ceilings else ""
    return f"{gpu}, {results.machine['date']}{peak}."


def versions(results: Results) -> str:
    """Driver, clocks before it began, packages and seed."""
    packages = {"Python": results.machine.get("python"), **results.machine.get("packages", {})}
    parts = [
        f"Driver {results.machine['driver']}" if results.machine.get("driver") else "",
        ", ".join(f"{name} {value}" for name, value in results.machine.get("clocks", {}).items()),
        ", ".join(f"{name} {version}" for name, version in packages.items() if version),
        f"seed {results.seed}",
    ]
    return "; ".join(part for part in parts if part) + "."


def table(rows: Sequence[Row], on_gpu: bool, changed: Mapping[str, Change], plain: bool) -> Table:
    """The rows of one shape. changed: by name, what became of it since the baseline, in place of the column of GB/s."""
    columns = _columns(on_gpu, bool(changed))
    found = Table(
        box=None if plain else box.SIMPLE_HEAD,
        pad_edge=False, padding=(0, 1, 0, 0), show_edge=False,
    )  # fmt: skip
    found.add_column("", no_wrap=True, overflow="fold")
    for name in ([] if on_gpu else ["verdict"]) + list(columns) + (["change"] if changed else []):
        found.add_column(
            name, justify="left" if name == "verdict" else "right", no_wrap=True, vertical="bottom"
        )
    for row in rows:
        change = changed.get(row.name)
        last = [Text(_short(change), style=_style(change))] if changed else []
        style = {RIGHT: "", "wrong": "bold red", "failed": "bold red"}.get(row.status, "dim")
        if not on_gpu:
            values = [cell(row) for cell in columns.values()] if row.status == RIGHT else ["-"] * len(columns)
            found.add_row(_short_name(row.name), Text(row.status, style=style), *values, *last)
        elif row.timing:
            found.add_row(_short_name(row.name), *(cell(row) for cell in columns.values()), *last)
        else:
            status = "not timed" if row.status == RIGHT else row.status
            found.add_row(
                _short_name(row.name),
                Text("-"),
                Text(_cell_word(status), style=style),
                *["-"] * (len(columns) - 2),
                *last,
            )
    return found


def notes(rows: Sequence[Row]) -> list[Text]:
    """Under the table: what is wrong, or why not; alike ones together."""
    alike: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row.note:
            alike.setdefault((row.status, row.note), []).append(row.name)
    style = {"wrong": "bold red", "failed": "bold red"}
    found = []
    for (status, note), names in alike.items():
        found.append(Text.assemble((status, style.get(status, "")), f"  {', '.join(names)}: {note}"))
    partly = {row.judged for row in rows if row.judged not in ("", "all heads")}
    return found + [
        Text(f"Judged on {part}, with all their queries and keys.", style="dim") for part in partly
    ]


def markdown(results: Results, changed: Sequence[Change]) -> str:
    """All tables, under a line that says where and when."""
    on_gpu = results.machine.get("gpu") is not None
    columns = _columns(on_gpu, False)
    by_row = {id(change.row): change for change in changed}
    names = ["", "verdict", *(name.replace("-\n", "").replace("\n", " ") for name in columns)]
    names += ["change"] if changed else []
    lines = [header(results).replace("\n", " "), "", versions(results), ""]
    if results.partial:
        lines += [f"Partial: {results.partial}.", ""]
    for shape in dict.fromkeys(row.shape for row in results.rows):
        lines += [
            f"**{shape.name}**",
            "",
            f"| {' | '.join(names)} |",
            f"|---|---|{'---:|' * (len(names) - 2)}",
        ]
        for row in (row for row in results.rows if row.shape == shape):
            shown = row.timing if on_gpu else row.status == RIGHT
            values = [cell(row) if shown else "-" for cell in columns.values()]
            change = by_row.get(id(row))
            last = [_short(change)] if changed else []
            lines.append(f"| {' | '.join([row.name, row.status, *values, *last])} |")
        lines.append("")
    return "\n".join(lines)


def summary(console: Console, changed: Sequence[Change]) -> None:
    """What changed since the baseline, in words."""
    moved = [change for change in changed if change.kind != "same"]
    console.print(
        Text(
            f"Beside the baseline: {len(changed)} compared, {len(changed) - len(moved)} the same within the noise.",
            style="bold",
        )
    )
    rivals = [change.percent for change in changed if change.row.name == RIVAL and change.row.timing]
    if rivals and abs(median(rivals)) > 1:
        words = f"PyTorch's own moved by {median(rivals):+.1f} % between the two runs: that much may be the clock's."
        console.print(Text(words, style="yellow"))
    for change in moved:
        console.print(Text(f"{change.row.name}, {change.row.shape.name}", style=_style(change)))
        console.print(Text(f"  {change.text}"))


def _columns(on_gpu: bool, compared: bool) -> dict[str, Cell]:
    columns = GPU_COLUMNS if on_gpu else CPU_COLUMNS
    return {name: cell for name, cell in columns.items() if not (compared and name == "GB/s")}


def _short_name(name: str) -> str:
    """A path of the user's from its end, so that the figures beside it have room."""
    return name if len(name) <= 28 else "..." + name[-25:]


def _cell_word(status: str) -> str:
    """What fits into a column of 6 characters; the whole word stands in the notes."""
    words = {
        "out of memory": "OOM",
        "unsupported": "no",
        "too slow": "slow",
        "not timed": "-",
        "stopped": "-",
    }
    return words.get(status, status)


def _short(change: Change | None) -> str:
    if change is None:
        return "-"
    marks = {"faster": "+", "less traffic": "+", "slower": "!", "broken": "!", "mended": "+", "same": "="}
    return f"{change.percent:+.1f}%{marks[change.kind]}" if change.percent else marks[change.kind]


def _style(change: Change | None) -> str:
    if change is None or change.kind == "same":
        return "dim"
    return "bold red" if change.regression else "green"


def _number(value: float | None, form: str, unit: float = 1.0) -> str:
    return "-" if value is None else f"{value / unit:{form}}"
