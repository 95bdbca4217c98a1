"""What a comparison found, as it lies in files, and what changed since an older one."""

import csv
import io
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from workbench.compare.shapes import Shape

KIND = "tile-by-tile comparison of attention, 1"
LEAST_NOISE = 0.01  # of a time: less is never called a change, clocks move by as much between two runs


class BadFile(ValueError):
    """A file that can't be read or written, or isn't what it should be; in a sentence."""


@dataclass(eq=False)
class Row:
    """One candidate on one shape. status: "right", "wrong", "out of memory", ... (see `judge`), "too slow", "stopped".

    note: in a sentence what there is to say. judged: which part of the output was. timing: see `measure.figures`,
    empty without a GPU. traffic: bytes_asked, bytes_moved and bytes_needed, as counted without a GPU.
    """

    shape: Shape
    name: str
    status: str = "stopped"
    note: str = ""
    judged: str = ""
    timing: dict[str, float] = field(default_factory=dict)
    traffic: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self.shape), **{k: v for k, v in asdict(self).items() if k != "shape"}}

    @property
    def cost(self) -> tuple[float, float, str]:
        """What is held against a baseline: (milliseconds, their noise, "ms"), or without a GPU (MB moved, 0, "MB")."""
        if self.timing:
            return self.timing["median"], self.timing["spread"], "ms"
        return self.traffic.get("bytes_moved", 0.0) / 1e6, 0.0, "MB"


@dataclass
class Results:
    """A whole comparison. partial: "", or why it ended early. machine: see `report.machine.describe`."""

    machine: dict[str, Any]
    seed: int
    rows: list[Row]
    partial: str = ""

    def as_json(self) -> str:
        rows = [row.as_dict() for row in self.rows]
        return json.dumps({"kind": KIND, **vars(self), "rows": rows}, indent=1) + "\n"

    def as_csv(self) -> str:
        """A line a row; the first lines, which start with #, say where, when and how."""
        text = io.StringIO()
        for key, value in {**self.machine, "seed": self.seed, "partial": self.partial or "no"}.items():
            text.write(f"# {key}: {value}\n")
        flat = [_flat(row.as_dict()) for row in self.rows]
        writer = csv.DictWriter(text, list(dict.fromkeys(key for row in flat for key in row)), restval="")
        writer.writeheader()
        writer.writerows(flat)
        return text.getvalue()


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in values.items() if not isinstance(v, dict)} | values["timing"] | values["traffic"]


def load(path: Path) -> Results:
    """What `--json` has written. Raises BadFile."""
    try:
        found = json.loads(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        why = "there is no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise BadFile(f"{path} can't be read: {why}.") from error
    except json.JSONDecodeError as error:
        raise BadFile(f"{path} isn't JSON (line {error.lineno}: {error.msg}).") from error
    if not isinstance(found, dict) or found.get("kind") != KIND:
        raise BadFile(f"{path} isn't a file that `compare --json` has written.")
    try:
        rows = []
        for values in found["rows"]:
            shape = Shape(**{name: values.pop(name) for name in Shape.__dataclass_fields__})
            rows.append(Row(shape, **values))
        return Results(found["machine"], found["seed"], rows, found["partial"])
    except (AttributeError, KeyError, TypeError) as error:
        raise BadFile(f"{path} was written by another version of `compare`.") from error


def writable(path: Path) -> None:
    """Say now, not after the measurement, that a file can't be written. Raises BadFile."""
    if path.is_dir():
        raise BadFile(f"{path} is a folder; name a file.")
    if not path.parent.is_dir():
        raise BadFile(f"There is no folder {path.parent}.")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise BadFile(f"{path} can't be written here: no permission.")


def write(path: Path, text: str) -> None:
    """Write it whole or not at all (but to a pipe or a device as they come). Raises BadFile."""
    beside = path if path.exists() and not path.is_file() else path.with_name(path.name + ".part")
    try:
        beside.write_text(text)
        if beside != path:
            beside.replace(path)
    except OSError as error:
        if beside != path:
            beside.unlink(missing_ok=True)
        raise BadFile(f"{path} can't be written: {error.strerror or error}.") from error


@dataclass(frozen=True)
class Change:
    """A row beside its older self. kind: "faster", "slower", "same", "broken", "mended". text: for people."""

    row: Row
    kind: str
    text: str
    percent: float = 0.0

    @property
    def regression(self) -> bool:
        return self.kind in ("slower", "broken")


def changes(now: Results, before: Results) -> list[Change]:
    """What became of each row that both have. Raises BadFile if their GPUs differ or nothing is in both."""
    if now.machine.get("gpu") != before.machine.get("gpu"):
        gpus = (one.machine.get("gpu") or "a machine without a GPU" for one in (before, now))
        raise BadFile("The baseline is of {}, and this is {}: their figures can't be compared.".format(*gpus))
    old = {(row.shape, row.name): row for row in before.rows}
    found = [_change(row, old[row.shape, row.name]) for row in now.rows if (row.shape, row.name) in old]
    if not found:
        raise BadFile("The baseline has none of these shapes and implementations.")
    return [change for change in found if change is not None]


def _change(row: Row, old: Row) -> Change | None:
    if "stopped" in (row.status, old.status):
        return None
    if row.status != old.status:
        if "right" not in (row.status, old.status):
            return None
        kind = "broken" if old.status == "right" else "mended"
        return Change(row, kind, f"{kind}: it was {old.status}, and is {row.status}")
    cost, noise, unit = row.cost
    was, its_noise, old_unit = old.cost
    if unit != old_unit or not (cost and was):
        return None
    limit = max(noise + its_noise, LEAST_NOISE * was) if unit == "ms" else 0.0
    better, worse = ("faster", "slower") if unit == "ms" else ("less traffic", "slower")
    kind = "same" if abs(cost - was) <= limit else better if cost < was else worse
    percent = 100 * (cost - was) / was
    word = "more traffic" if kind == "slower" and unit == "MB" else kind
    text = f"{word}: {was:.4g} -> {cost:.4g} {unit} ({percent:+.1f} %; noise {100 * limit / was:.1f} %)"
    return Change(row, kind, text, percent)


def stopped(rows: Sequence[Row]) -> int:
    """How many rows nothing was found out about."""
    return sum(row.status == "stopped" for row in rows)
