"""Every shipped kernel under compute-sanitizer, on the small cases of its lesson: python -m benchmarks.sanitize

memcheck, racecheck and initcheck run side by side, each in processes of its own; whole logs go to the folder that is
given as argument (default: none are kept). Exit status 1 if a tool finds anything or stops early.

Hazards in what Triton itself puts around `gl.warp_specialize` are counted apart, and no reason for exit status 1:
hand_over.py tells more.
"""

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

GLUON = Path(__file__).parents[1] / "flash_attention" / "flash_v2" / "gluon_version.py"
HAND_OVER = ("def ", "gl.warp_specialize(")  # what stands in its lines to which Triton's own code belongs
LARGEST = 40_000  # output elements of a case: the tools slow a kernel down some hundred times
CASES = 4  # of each implementation
TOOLS = (
    ("memcheck", "cuda"),
    ("racecheck", "cuda"),
    ("initcheck", "cuda"),
    ("memcheck", "triton"),
    ("racecheck", "triton"),
)
SECONDS = 240


def main(folder: str = "") -> int:
    sanitizer = shutil.which("compute-sanitizer")
    if sanitizer is None:
        print("compute-sanitizer isn't here: it comes with the CUDA toolkit.")
        return 2

    def run(tool: str, language: str) -> tuple[str, bool]:
        command = [sanitizer, "--tool", tool, sys.executable, "-m", "benchmarks.sanitize", "--run", language]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
            log = done.stdout + done.stderr
        except subprocess.TimeoutExpired as late:
            log = (late.stdout or b"").decode() + "\nstopped: out of time"
        if folder:
            Path(folder, f"{tool}_{language}.txt").write_text(log)
        launches = [line for line in log.splitlines() if line.startswith("ran ")]
        found = [
            line for line in log.splitlines() if "SUMMARY" in line or line.startswith(("failed ", "stopped"))
        ]
        errors = sum(map(int, re.findall(r"SUMMARY: (\d+)", log)))
        tritons = of_triton(log)
        if tritons:
            found.append(f"{tritons} of them in Triton's own code")
        stopped = any(line.startswith(("failed ", "stopped")) for line in found)
        clean = bool(launches) and "done" in log.splitlines() and not stopped and errors == tritons
        clean &= "SUMMARY" in log
        return (
            f"{tool:10} {language:7} {len(launches):4} runs   {'; '.join(s.strip('= ') for s in found)}",
            clean,
        )

    with ThreadPoolExecutor(len(TOOLS)) as pool:
        results = list(pool.map(run, *zip(*TOOLS, strict=True)))
    print("\n".join(text for text, _ in results))
    return 0 if all(clean for _, clean in results) else 1


def of_triton(log: str) -> int:
    """How many of racecheck's reports are of what Triton itself does to hand work to specialised warps."""
    reports = re.split(r"^========= (?=Error|Warning)", log, flags=re.MULTILINE)[1:]
    found = 0
    for report in reports:
        text = re.split(r"^=========\s*$", report, maxsplit=1, flags=re.MULTILINE)[0]
        places = re.findall(r"access at .* in (\S+):(\d+)", text)
        found += bool(places) and all(
            file == GLUON.name and _lines()[int(line) - 1].strip().startswith(HAND_OVER)
            for file, line in places
        )
    return found


@cache
def _lines() -> list[str]:
    return GLUON.read_text().splitlines()


def run_all(language: str) -> None:
    """Every implementation in `language` on its smallest cases, on the GPU; a line for each."""
    import torch

    from workbench import lessons
    from workbench.check.cases import on_device, placed, prepare

    for number in lessons.folders():
        for task in lessons.load(number).tasks:
            small = [
                (case, prepare(task, i))
                for i, case in enumerate(task.cases)
                if not case.gpu_only and prepare(task, i).size <= LARGEST
            ]
            for implementation in task.implementations:
                if implementation.language != language:
                    continue
                for case, prepared in small[:: -(-len(small) // CASES)]:
                    arguments = tuple(on_device(x, "cuda", host=task.on_host) for x in prepared.tensors)
                    name = f"lesson {number}, {implementation.name}: {case.name}"
                    try:
                        implementation.function(*arguments, **case.options, **placed(arguments, "cuda"))
                        torch.cuda.synchronize()
                        print(f"ran {name}", flush=True)
                    except Exception as error:  # the others are worth a run all the same
                        print(f"failed {name}: {error}", flush=True)
    print("done", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        os.environ.setdefault("TRITON_INTERPRET", "0")
        run_all(sys.argv[2])
    else:
        sys.exit(main(*sys.argv[1:]))
