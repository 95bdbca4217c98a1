"""Check and time every lesson on this GPU, and keep the figures: benchmarks/<gpu>/lessonNN.json.

"rows" are the checker's, one for each shipped version. "measured" is what the lesson's measure.py found, if it has one:
see `workbench.lessons.measure`.
"""

import json
import os
import re
from concurrent.futures import ThreadPoolExecutor

from workbench import lessons
from workbench.check.check import check_on_cpu, check_on_gpu
from workbench.check.outcome import Verdict
from workbench.gpu import has_gpu
from workbench.report import machine

FOLDER = lessons.ROOT / "benchmarks"


def main() -> int:
    if not has_gpu():
        print(
            "Times need an NVIDIA GPU, and there is none here. `make check` shows the counted memory traffic instead."
        )
        return 2
    here = machine.describe()
    folder = FOLDER / re.sub(r"[^a-z0-9]+", "-", str(here["gpu"]).lower()).strip("-")
    folder.mkdir(parents=True, exist_ok=True)
    failed = False
    print("Checking all lessons on the CPU, side by side ...", flush=True)
    with ThreadPoolExecutor(max(1, (os.cpu_count() or 1) // 2)) as pool:
        checked = dict(zip(lessons.folders(), pool.map(check_on_cpu, lessons.folders()), strict=True))
    for number, answer in checked.items():
        check_on_gpu(number, answer)
        shipped = [outcome for outcome in answer.outcomes if not outcome.learners]
        failed |= any(outcome.verdict is not Verdict.PASS for outcome in shipped)
        kept = {
            "lesson": number,
            "title": answer.title,
            "machine": here,
            "rows": [o.as_dict() for o in shipped],
        }
        try:
            kept["measured"] = lessons.measure(number)
        except Exception as error:  # the other lessons' figures are worth having
            failed = True
            print(f"lesson {number}, measure.py: {type(error).__name__}: {error}")
        file = folder / f"lesson{number:02}.json"
        file.write_text(json.dumps(kept, indent=2) + "\n")
        print(f"wrote {file.relative_to(lessons.ROOT)}", flush=True)
    return 1 if failed else 0
