"""Hints, one at a time: each call gives the next one of a lesson's hints.md.

A hint begins with `## Title`. A line `<!-- mistakes: missing guard, tail forgotten -->` under it says which of the
lesson's mistakes it helps with: when the last check named one of them, that hint comes first.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from workbench import notes


@dataclass(frozen=True)
class Hint:
    """mistakes: the names of those that it fits."""

    title: str
    text: str
    mistakes: frozenset[str] = frozenset()


def hints(folder: Path) -> list[Hint]:
    """The hints of a lesson, in their order."""
    found = []
    for part in re.split(r"^## ", (folder / "hints.md").read_text(), flags=re.MULTILINE)[1:]:
        title, text = part.split("\n", 1)
        fits = re.search(r"<!-- mistakes: (.*?) -->\n", text, re.DOTALL)
        mistakes = frozenset(name.strip() for name in fits[1].split(",")) if fits else frozenset()
        found.append(
            Hint(title.strip(), re.sub(r"<!--.*?-->\n", "", text, flags=re.DOTALL).strip(), mistakes)
        )
    return found


def next_hint(folder: Path, state: Path | None = None) -> str:
    """The next hint of a lesson, remembered as given; after the last one they start again. Raises `NotKept`."""
    found = hints(folder)
    with notes.changing(state) as held:
        lesson = held.of(folder.name)
        named = {one["mistake"] for one in lesson["exercises"].values() if one["mistake"]}
        given = [title for title in lesson["hints"]["given"] if title in {hint.title for hint in found}]
        fitting = [hint for hint in found if hint.mistakes & named]
        if named - set(lesson["hints"]["for"]):  # named anew: worth reading again
            given = [title for title in given if title not in {hint.title for hint in fitting}]
        if len(given) == len(found):
            given = []
        hint = next(hint for hint in [*fitting, *found] if hint.title not in given)
        lesson["hints"] = {"given": [*given, hint.title], "for": sorted(named)}
    fits = sorted(hint.mistakes & named)
    why = f", for what the last check named: {fits[0]}" if fits else ""
    left = len(found) - len(given) - 1
    more = f"{left} more" if left else "that was the last one"
    said = f"{held.said}\n\n" if held.said else ""
    return (
        f"{said}{hint.title}\n{_unwrapped(hint.text)}\n\n(hint {len(given) + 1} of {len(found)}{why}; {more})"
    )


def _unwrapped(text: str) -> str:
    """Each paragraph as one line, for a terminal of any width; code, which stands between ```, as it is."""
    parts = re.split(r"(^```.*?^```)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(
        part if part.startswith("```") else re.sub(r"(?<=\S)\n(?=\S)", " ", part) for part in parts
    )
