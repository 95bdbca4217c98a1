"""The tables and plots that are made from benchmarks/<gpu>/*.json.

A table stands in a README between `<!-- measured: NAME -->` and `<!-- end -->`, and is made anew from the newest JSON
of that name, whichever GPU it is of: the line above the table says which. NAME: "lesson03"; "compare 128 full" (the
headdim; "full" or "causal") for compare.json; "plot compare_speed" for a link to that plot. Plots lie beside each JSON
and say inside from which content they were made, so `stale` can tell when one was forgotten.
"""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from workbench import lessons
from workbench.report import plots
from workbench.report.ladder import ladder
from workbench.report.roofline import roofline

ROOT = lessons.ROOT
READMES = (
    "README.md",
    "benchmarks/README.md",
    "*_basics/README.md",
    "*_basics/*/README.md",
    "flash_attention/*/README.md",
)
MARKS = re.compile(r"(<!-- measured: ([^\n]*?) -->\n).*?(<!-- end -->)", re.DOTALL)
LOW = 0.05  # of the fastest: slower ones aren't in the picture of speed
NOT_YET = "Not measured yet: `make bench` on a GPU writes this table.\n"


def newest(name: str) -> tuple[Path, dict[str, Any]] | None:
    """The newest benchmarks/<gpu>/NAME.json and what is in it; None if there is none."""
    found = [
        (path, json.loads(path.read_text())) for path in sorted((ROOT / "benchmarks").glob(f"*/{name}.json"))
    ]
    return max(found, key=lambda one: str(one[1]["machine"]["date"]), default=None)


def make() -> list[Path]:
    """Make all tables and plots anew; the files that this changed."""
    written = []
    for sources, path, draw in figures():
        if _drawn_from(path) != plots.mark(sources):
            plots.keep(draw(), path, sources)
            written += [path.with_suffix(".svg"), path.with_suffix(".png")]
    for readme in readmes():
        text = readme.read_text()
        if (new := with_tables(text, readme)) != text:
            readme.write_text(new)
            written.append(readme)
    return written


def stale() -> list[str]:
    """In a sentence each, the tables and plots that aren't what the JSON files say."""
    tables = [readme for readme in readmes() if with_tables(text := readme.read_text(), readme) != text]
    forgotten = [path for sources, path, _ in figures() if _drawn_from(path) != plots.mark(sources)]
    return [f"{path.relative_to(ROOT)} isn't what the newest JSON says" for path in [*tables, *forgotten]]


def readmes() -> list[Path]:
    return [path for pattern in READMES for path in sorted(ROOT.glob(pattern))]


# Tables.


def with_tables(text: str, readme: Path) -> str:
    """A README's text with each table made anew. Raises ValueError for a mark that names nothing."""
    return MARKS.sub(lambda found: found[1] + between(found[2], readme) + found[3], text)


def between(name: str, readme: Path) -> str:
    """The Markdown between the marks of that name, with links from that README."""
    if plot := re.fullmatch(r"plot (\w+)", name):
        return _picture(plot[1], readme)
    if re.fullmatch(r"lesson\d\d", name):
        found = newest(name)
        return NOT_YET if found is None else _lesson_table(found[1])
    if wanted := re.fullmatch(r"compare (\d+) (full|causal)", name):
        found = newest("compare")
        return NOT_YET if found is None else _compare_table(found[1], int(wanted[1]), wanted[2] == "causal")
    raise ValueError(
        f"{readme.name}: {name!r} names no table; those that exist are lesson01 and so on, compare 128 full, and "
        "plot compare_speed"
    )


def _picture(name: str, readme: Path) -> str:
    """A link to the plot that was drawn from the newest JSON."""
    found = newest("lesson01" if name.startswith("lessons_") else name.split("_")[0])
    if found is None or not any(path == found[0].with_name(name) for _, path, _ in figures()):
        return "No plot yet: `make bench` on a GPU draws it.\n"
    link = os.path.relpath(found[0].with_name(f"{name}.svg"), readme.parent).replace(os.sep, "/")
    return f"![{name.replace('_', ' ')}: {_where(found[1], '')[:-1]}]({link})\n"


def _lesson_table(measured: Mapping[str, Any]) -> str:
    lines = []
    tasks: dict[str, list[Mapping[str, Any]]] = {}
    for row in measured["rows"]:
        tasks.setdefault(row["task"], []).append(row)
    for task, rows in tasks.items():
        timed = [row for row in rows if row["timing"] or row["language"] != "numpy"]
        if not timed:
            continue
        lines += [f"\n{task}:\n"] if len(tasks) > 1 else [""]
        lines += [
            "| | ms | spread | reached | of the ceiling | times PyTorch | MiB |",
            "|---|---:|---:|---:|---:|---:|---:|",
        ]
        for row in timed:
            time = row["timing"]
            if not time:
                verdict = "not timed" if row["verdict"] == "PASS" else row["verdict"]
                lines.append(f"| {row['name']} | {verdict} | | | | | |")
                continue
            products = "tflop_per_s" in time
            reached = f"{time['tflop_per_s']:,.1f} TFLOP/s" if products else f"{time['gb_per_s']:,.0f} GB/s"
            percent = time["percent_of_product" if products else "percent_of_copy"]
            lines.append(
                f"| {row['name']} | {time['median']:.4g} | {time['spread']:.2g} | {reached} | {percent:.1f} % "
                f"| {time['times_pytorch']:.2f} | {time['peak_mib']:,.0f} |"
            )
    ceilings = _ceilings([row["timing"] for row in measured["rows"] if row["timing"]])
    return "\n".join([_where(measured, ceilings), *lines, ""])


def _ceilings(timings: list[Mapping[str, float]]) -> str:
    """What the percentages are of, in words."""
    words = []
    for key, what in (
        ("host_copy_gb_per_s", "of copies to and from the host"),
        ("copy_gb_per_s", "of a copy"),
    ):
        held = [t for t in timings if ("host_copy_gb_per_s" in t) == key.startswith("host")]
        words += [f"{held[0][key]:,.0f} GB/s {what}"] if held else []
    products = sorted({round(t["product_tflop_per_s"], 1) for t in timings if "product_tflop_per_s" in t})
    if products:
        words.append(f"{', '.join(f'{n:,.1f}' for n in products)} TFLOP/s of a matrix product")
    return " and ".join(words)


def _compare_table(measured: Mapping[str, Any], headdim: int, causal: bool) -> str:
    rows = [row for row in measured["rows"] if (row["headdim"], row["causal"]) == (headdim, causal)]
    if not rows:
        return NOT_YET
    lengths = sorted({row["seqlen"] for row in rows})
    lines = ["", f"| TFLOP/s at seqlen | {' | '.join(map(str, lengths))} |", f"|---|{'---:|' * len(lengths)}"]
    for name in dict.fromkeys(row["name"] for row in rows):
        mine = {row["seqlen"]: row for row in rows if row["name"] == name}
        if any(row["timing"] for row in mine.values()):
            lines.append(f"| {name} | {' | '.join(_cell(mine.get(length)) for length in lengths)} |")
    partial_run = f" Partial: {measured['partial']}." if measured["partial"] else ""
    heads = f"headdim {headdim}, {'causal' if causal else 'full'}, {rows[0]['dtype']}"
    ceilings = _ceilings([row["timing"] for row in rows if row["timing"]])
    return "\n".join([_where(measured, ceilings) + f" Forward, {heads}.{partial_run}", *lines, ""])


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "-"
    if not row["timing"]:
        return str(row["status"])
    reached = row["timing"]["tflop_per_s"]
    return f"{reached:.{0 if reached >= 100 else 1}f}"


def _where(measured: Mapping[str, Any], ceilings: str) -> str:
    machine = measured["machine"]
    held = f"; ceilings: {ceilings}" if ceilings else ""
    return f"{machine['gpu']}, {str(machine['date'])[:10]}{held}."


# Plots.


def figures() -> Iterator[tuple[tuple[Path, ...], Path, Callable[[], Figure]]]:
    """(the JSON files, the plot's path without its ending, the function that draws it) of each plot."""
    for folder in sorted(path.parent for path in (ROOT / "benchmarks").glob("*/lesson01.json")):
        yield from _of_lessons(folder)
    for source in sorted((ROOT / "benchmarks").glob("*/compare.json")):
        compared = json.loads(source.read_text())
        drawn: dict[str, Callable[..., Figure]] = {"speed": _speed, "memory": _memory, "roofline": _roofline}
        for name, draw in drawn.items():
            if any(row["timing"] for row in compared["rows"]):
                yield (source,), source.with_name(f"compare_{name}"), partial(draw, compared)


def _of_lessons(folder: Path) -> Iterator[tuple[tuple[Path, ...], Path, Callable[[], Figure]]]:
    """A ladder for each task with several steps, and one roofline for all that is fast enough for it."""
    sources = sorted(folder.glob("lesson[0-9][0-9].json"))
    found = {source: json.loads(source.read_text()) for source in sources}
    for source, measured in found.items():
        for task, rows in _ladders(measured).items():
            name = re.sub(r"\W+", "_", f"{source.stem}_{task}")
            steps = [row["name"] for row in rows]
            yield (source,), source.with_name(name), partial(ladder, {**measured, "rows": rows}, steps)
    timed = tuple(
        source for source, one in found.items() if any("tflop_per_s" in row["timing"] for row in one["rows"])
    )
    if timed:
        yield timed, folder / "lessons_roofline", partial(_lessons_roofline, [found[one] for one in timed])


def _ladders(measured: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
    """By task, the rows that were timed in TFLOP/s, of the tasks that have a few of these."""
    tasks: dict[str, list[Mapping[str, Any]]] = {}
    for row in measured["rows"]:
        if "tflop_per_s" in row["timing"]:
            tasks.setdefault(row["task"], []).append(row)
    return {task: rows for task, rows in tasks.items() if len(rows) >= 3}


def _speed(measured: Mapping[str, Any]) -> Figure:
    """Those that come to something beside the fastest: the others would be one line at the bottom."""
    reached: dict[str, float] = {}
    for row in measured["rows"]:
        if row["timing"]:
            reached[row["name"]] = max(reached.get(row["name"], 0.0), row["timing"]["tflop_per_s"])
    low = [name for name, most in reached.items() if most < LOW * max(reached.values())]
    rows = [row for row in measured["rows"] if row["name"] not in low]
    panels = plots.curves(rows, lambda row: row["timing"]["tflop_per_s"])
    left_out = f"\nnowhere above {100 * LOW:.0f} % of the fastest: {', '.join(low)}" if low else ""
    return plots.by_length(panels, "TFLOP/s", title=_title(measured) + left_out)


def _memory(measured: Mapping[str, Any]) -> Figure:
    panels = plots.curves(measured["rows"], lambda row: max(row["timing"]["peak_mib"], 1.0))
    full = {name: series for name, series in panels.items() if name.endswith("full")} or panels
    return plots.by_length(plots.merged(full), "MiB beside the inputs", title=_title(measured), log=True)


def _roofline(measured: Mapping[str, Any]) -> Figure:
    rows = [row for row in measured["rows"] if row["timing"]]
    shown = max(row["headdim"] for row in rows), min(row["causal"] for row in rows)
    points: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if (row["headdim"], row["causal"]) == shown:
            time = row["timing"]
            intensity = 1e3 * time["tflop_per_s"] / time["gb_per_s"]
            points.setdefault(row["name"], []).append((intensity, time["tflop_per_s"]))
    time = rows[0]["timing"]
    return roofline(
        points,
        copy_gb_per_s=time["copy_gb_per_s"],
        product_tflop_per_s=time["product_tflop_per_s"],
        title=f"{_title(measured)}, headdim {shown[0]}, {'causal' if shown[1] else 'full'}",
    )


def _lessons_roofline(lessons_: Sequence[Mapping[str, Any]]) -> Figure:
    """The versions of each task, one above the other, under the roof of the tensor cores (float32 has a lower one)."""
    highest = max(row["timing"].get("product_tflop_per_s", 0.0) for one in lessons_ for row in one["rows"])
    points: dict[str, list[tuple[float, float]]] = {}
    copy = 0.0
    for one in lessons_:
        for row in one["rows"]:
            time = row["timing"]
            if time.get("product_tflop_per_s", 0.0) > highest / 2:
                name = f"lesson {one['lesson']}: {row['task']}"
                copy = time["copy_gb_per_s"]
                intensity = 1e3 * time["tflop_per_s"] / time["gb_per_s"]
                points.setdefault(name, []).append((intensity, time["tflop_per_s"]))
    machine = lessons_[0]["machine"]
    return roofline(
        points,
        copy_gb_per_s=copy,
        product_tflop_per_s=highest,
        title=f"{machine['gpu']}, {str(machine['date'])[:10]}: every version in 16 bits, a line a task",
    )


def _title(measured: Mapping[str, Any]) -> str:
    machine = measured["machine"]
    dtype = measured["rows"][0]["dtype"]
    return f"{machine['gpu']}, {str(machine['date'])[:10]}: attention forward, {dtype}"


def _drawn_from(path: Path) -> str:
    """What `plots.mark` said of the JSON that this plot was drawn from."""
    svg = path.with_suffix(".svg")
    if not (svg.is_file() and path.with_suffix(".png").is_file()):
        return ""
    found = re.search(r"made from [^,]+, \w{16}", svg.read_text())
    return found[0] if found else ""
