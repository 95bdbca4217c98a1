"""`python -m workbench explore`: write the tile explorer, a page to open in a browser."""

import sys
from pathlib import Path

from workbench import lessons
from workbench.report.page import HERE, CannotWrite, page, write

PAGE = lessons.ROOT / ".learner" / "explorer.html"


def main(path: Path = PAGE) -> int:
    """Write the page and say where. Returns the exit status: 2 if it can't be written."""
    body = (HERE / "explorer.html").read_text(encoding="utf-8")
    text = page("The tile explorer", body, lessons.explorer(), "explorer.js")
    try:
        write(path, text)
    except CannotWrite as problem:
        print(problem, file=sys.stderr)
        return 2
    print(f"Open {path} in a browser. It needs no network.")
    return 0
