"""Draw the README's picture of the checker, from a real run: `python -m workbench.report.picture`.

The run happens in a copy of the tree in which lesson 1's exercise is the shipped solution without its first guard.
"""

import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from workbench import lessons
from workbench.check.outcome import Outcome
from workbench.report import table

PICTURE = Path(__file__).with_name("checker.svg")
# Fonts that are there, instead of one from the web.
FORMAT = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}</defs>
<rect fill="#16181d" width="{width}" height="{height}" rx="8"/>
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g></g></svg>
"""


def main() -> None:
    lesson = lessons.load(1)
    exercise = lesson.tasks[0].exercises[0]
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        for part in ("workbench", "cuda_basics", "triton_basics", "lessons"):
            shutil.copytree(lessons.ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
        text = "\n".join(source.read_text() for source in exercise.solution)
        place = tree / "lessons" / lessons.folder(1).name / exercise.file
        place.write_text(re.sub(r"if \(i < n\) \{[^\n]*", "{", text))
        command = [sys.executable, "-m", "workbench", "check", "1", "--json", "-"]
        answer = json.loads(subprocess.run(command, cwd=tree, capture_output=True, text=True).stdout)
    outcomes = [Outcome.from_dict(row) for row in answer["lessons"][0]["rows"]]
    console = Console(record=True, width=84, force_terminal=True, file=io.StringIO())
    console.print("$ make check-lesson1")
    table.show(
        console, 1, lesson.title, outcomes, answer["machine"]["gpu"], Path("lessons") / lessons.folder(1).name
    )
    PICTURE.write_text(console.export_svg(title="", code_format=FORMAT, unique_id="checker"))
    print(f"wrote {PICTURE.relative_to(lessons.ROOT)}")


if __name__ == "__main__":
    main()
