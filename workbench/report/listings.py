"""What a notebook shows as text: files of the repository, how two of them differ, and tables."""

import ast
import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path

from workbench import lessons


@dataclass(frozen=True, repr=False)
class Markdown:
    """Text that a notebook renders, and a terminal shows as it is."""

    data: str

    def _repr_markdown_(self) -> str:
        return self.data

    def __repr__(self) -> str:
        return self.data


def listing(path: Path, part: str = "") -> Markdown:
    """A file of the repository, as it stands, under its path; part: only this function of a Python file."""
    text = path.read_text()
    if part:
        functions = (node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef))
        found = next(function for function in functions if function.name == part)
        first = min([found.lineno, *(decorator.lineno for decorator in found.decorator_list)])
        text = "\n".join(text.splitlines()[first - 1 : found.end_lineno])
    return _fenced(_shown(path), "cpp" if path.suffix == ".cu" else "python", text)


def difference(old: Path, new: Path) -> Markdown:
    """What changes from one file to the next, all lines shown, the comment at the top of each left out."""
    before, after = _code(old), _code(new)
    lines = difflib.unified_diff(before, after, n=len(before) + len(after), lineterm="")
    return _fenced(f"{_shown(old)} → {new.name}", "diff", "\n".join(list(lines)[3:]))


def table(header: Sequence[str], rows: Sequence[Sequence[object]], digits: int = 1) -> Markdown:
    """A table: numbers to the right, with commas in integers and `digits` decimals in floats."""

    def cell(value: object) -> str:
        if isinstance(value, str):
            return value
        return f"{value:,.{digits}f}" if isinstance(value, float) else f"{value:,}"

    left = [isinstance(value, str) for value in rows[0]]
    lines = [header, ["---" if is_left else "---:" for is_left in left], *(map(cell, row) for row in rows)]
    return Markdown("\n".join(f"| {' | '.join(line)} |" for line in lines))


def _code(path: Path) -> list[str]:
    return list(dropwhile(lambda line: line.startswith("//") or not line, path.read_text().splitlines()))


def _fenced(title: str, language: str, text: str) -> Markdown:
    return Markdown(f"`{title}`\n```{language}\n{text.rstrip()}\n```")


def _shown(path: Path) -> str:
    path = path.resolve()
    return path.relative_to(lessons.ROOT).as_posix() if path.is_relative_to(lessons.ROOT) else path.name
