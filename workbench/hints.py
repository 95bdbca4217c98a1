"""Hints, one at a time: each call gives the next one of a lesson's hints.md.

A hint begins with `## Title`. A comment under it says what it is for, either part or both:

    <!-- for: exercise.cu plain | mistakes: missing guard; tail forgotten -->

Hints for a mistake that the last check named come first, then those for what doesn't pass yet, in their order.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench import notes
from workbench.check.outcome import Verdict


@dataclass(frozen=True)
class Hint:
    """exercise: what the name of the exercise begins with; "": any. mistakes: the names of those that it helps with."""

    title: str
    text: str
    exercise: str = ""
    mistakes: frozenset[str] = frozenset()

    def helps(self, noted: Mapping[str, Any]) -> set[str]:
        """Those of its mistakes that the last check named. noted: the lesson's exercises, as `workbench.progress`."""
        mine = [one for name, one in noted.items() if name.startswith(self.exercise)]
        return {one["mistake"] for one in mine if one["mistake"] in self.mistakes}

    def is_late(self, noted: Mapping[str, Any]) -> bool:
        """Whether everything passes that it is for."""
        mine = [one for name, one in noted.items() if name.startswith(self.exercise)]
        return bool(mine) and all(one["verdict"] == Verdict.PASS.value for one in mine)


def hints(folder: Path) -> list[Hint]:
    """The hints of a lesson, in their order."""
    found = []
    for part in re.split(r"^## ", (folder / "hints.md").read_text(), flags=re.MULTILINE)[1:]:
        title, text = part.split("\n", 1)
        comment = re.match(r"<!--(.*?)-->\n", text, re.DOTALL)
        said = " ".join(comment[1].split()) if comment else ""
        fields = {
            key.strip(): rest.strip() for key, _, rest in (one.partition(":") for one in said.split(" | "))
        }
        mistakes = frozenset(name.strip() for name in fields.get("mistakes", "").split(";") if name.strip())
        rest = text[comment.end() :] if comment else text
        found.append(Hint(title.strip(), rest.strip(), fields.get("for", ""), mistakes))
    return found


def next_hint(folder: Path, state: Path | None = None) -> str:
    """The next hint of a lesson, remembered as given; after the last one they start again. Raises `NotKept`."""
    found = hints(folder)
    with notes.changing(state) as held:
        lesson = held.of(folder.name)
        noted = lesson["exercises"]
        named = {one["mistake"] for one in noted.values() if one["mistake"]}
        helping = {hint.title for hint in found if hint.helps(noted)}
        given = [title for title in lesson["hints"]["given"] if title in {hint.title for hint in found}]
        if named - set(lesson["hints"]["for"]):  # named anew: worth reading again
            given = [title for title in given if title not in helping]
        if len(given) == len(found):
            given = []
        ordered = sorted(found, key=lambda hint: (hint.title not in helping, hint.is_late(noted)))
        hint = next(hint for hint in ordered if hint.title not in given)
        lesson["hints"] = {"given": [*given, hint.title], "for": sorted(named)}
    why = "".join(f", for what the last check named: {name}" for name in sorted(hint.helps(noted))[:1])
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
