"""Check and time everything on this GPU, and keep the figures in benchmarks/<gpu>/, with tables and plots made of them.

lessonNN.json: "rows" are the checker's, one for each shipped version; "measured" is what the lesson's measure.py found,
if it has one (see `workbench.lessons.measure`). compare.json: `workbench compare --preset paper`.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from workbench import lessons
from workbench.check.check import check_on_cpu, check_on_gpu, time_on_gpu
from workbench.check.outcome import Verdict
from workbench.check.processes import Answer, CheckerError, Workers
from workbench.gpu import has_gpu
from workbench.report import kept, machine

FOLDER = lessons.ROOT / "benchmarks"
COMPARE = "compare"


def main(what: Collection[str] = (), *, tables: bool = False) -> int:
    """what: numbers of lessons, and "compare"; default: all of them. tables: only make tables and plots anew."""
    numbers = [number for number in lessons.folders() if not what or str(number) in what]
    for asked in what:
        if asked != COMPARE:
            lessons.folder(asked)
    if tables:
        return _tables()
    if not has_gpu():
        print(
            "Times need an NVIDIA GPU, and there is none here. `make check` shows the counted memory traffic instead; "
            "`python -m workbench bench --tables` makes tables and plots of the figures that are kept.",
            file=sys.stderr,
        )
        return 2
    here = machine.describe()
    folder = FOLDER / re.sub(r"[^a-z0-9]+", "-", str(here["gpu"]).lower()).strip("-")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        failed = _lessons(numbers, folder, here)
    except CheckerError as error:
        print(f"{error}\n`make doctor` says what is missing.", file=sys.stderr)
        return 2
    if not what or COMPARE in what:
        failed |= _compared(folder / f"{COMPARE}.json")
    return max(int(failed), _tables())


def _lessons(numbers: Collection[int], folder: Path, here: dict[str, object]) -> bool:
    """Check and time these lessons; True if something failed."""
    failed = False
    if numbers:
        print("Checking, lessons side by side; then they are timed, one after the other ...", flush=True)
    longest_first = sorted(numbers, reverse=True)  # later lessons have more to compile
    workers = Workers()
    with ThreadPoolExecutor(max(1, (os.cpu_count() or 1) // 2)) as pool:
        try:
            answers = pool.map(partial(_checked, workers=workers), longest_first)
            checked = dict(zip(longest_first, answers, strict=True))
        except BaseException:  # Ctrl-C, for one: without this the pool would wait for every check's end
            workers.stop()
            raise
    for number in numbers:
        answer = checked[number]
        time_on_gpu(number, answer)
        shipped = [outcome for outcome in answer.outcomes if not outcome.learners]
        for wrong in (outcome for outcome in shipped if outcome.verdict is not Verdict.PASS):
            failed = True
            print(f"lesson {number}, {wrong.row}: {wrong.verdict.value}. {wrong.what_happened}", flush=True)
        found = {
            "lesson": number,
            "title": answer.title,
            "machine": here,
            "rows": [o.as_dict() for o in shipped],
        }
        try:
            found["measured"] = lessons.measure(number)
        except Exception as error:  # the other lessons' figures are worth having
            failed = True
            print(f"lesson {number}, measure.py: {type(error).__name__}: {error}")
        file = folder / f"lesson{number:02}.json"
        file.write_text(json.dumps(found, indent=2) + "\n")
        print(f"wrote {file.relative_to(lessons.ROOT)}", flush=True)
    return failed


def _checked(number: int, workers: Workers) -> Answer:
    """What is right of a lesson, on the CPU and on the GPU."""
    answer = check_on_cpu(number, workers)
    check_on_gpu(number, answer, workers)
    print(f"checked lesson {number}", flush=True)
    return answer


def _compared(file: Path) -> bool:
    """The comparison of the paper's shapes, in a process of its own; True if something failed."""
    arguments = ["--preset", "paper", "--seconds", "0.05", "--longest", "0.3", "--json", str(file)]
    done = subprocess.run([sys.executable, "-m", "workbench", "compare", *arguments], cwd=lessons.ROOT)
    return done.returncode != 0


def _tables() -> int:
    for path in kept.make():
        print(f"wrote {path.relative_to(kept.ROOT)}", flush=True)
    return 0
