"""Hints, one at a time: each call gives the next one of a lesson's hints.md."""

import json
import re
from pathlib import Path

from workbench import lessons

STATE = lessons.ROOT / ".learner" / "hints.json"


def hints(folder: Path) -> list[str]:
    """The hints of a lesson: in hints.md each begins with a line `## Title`."""
    text = (folder / "hints.md").read_text()
    return [part.strip() for part in re.split(r"^(?=## )", text, flags=re.MULTILINE)[1:]]


def next_hint(folder: Path, state: Path = STATE) -> str:
    """The next hint of a lesson; after the last one they start again. `state` remembers how far it got."""
    given = _given(state)
    found = hints(folder)
    place = given.get(folder.name, 0) % len(found)
    state.parent.mkdir(exist_ok=True)
    state.write_text(json.dumps({**given, folder.name: place + 1}, indent=2))
    more = "the next call gives the next one" if place + 1 < len(found) else "that was the last one"
    return f"{found[place].removeprefix('## ')}\n\n(hint {place + 1} of {len(found)}; {more})"


def _given(state: Path) -> dict[str, int]:
    try:
        given = json.loads(state.read_text())
    except (OSError, ValueError):
        return {}
    return {k: v for k, v in given.items() if isinstance(v, int)} if isinstance(given, dict) else {}
