"""A process that looks at rows of a lesson: `python -m workbench.report.page.evidence LESSON WHO FILE ROWS`.

ROWS: JSON, [row, the name of the case in which it is wrong or ""] of each. WHO: "shipped" or "learner". It writes to
FILE, as JSON, by row: "pictures", the access pictures of a CUDA row; "fault", what it was stopped for, with both
source lines; "maps", where its outputs are wrong. It runs the learner's code: what that does to the process is this
process's alone.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch

from workbench import lessons, ptx
from workbench.check import exercise, run
from workbench.check.cases import Prepared, as_array, on_device, prepare
from workbench.check.failures import root
from workbench.check.lesson import Exercise, Implementation, Task
from workbench.cuda import observe
from workbench.report.page.accesses import pictures
from workbench.report.page.wrong import error_map

LARGEST = 16_384  # elements that go in and come out of the case of which an access picture is made
TRIED = 4  # cases, if the kernel is stopped in some
AROUND = 2  # lines shown above and below one that is told


def main(number: str, who: str, file: str, rows: str) -> None:
    lesson, folder, wanted = lessons.load(int(number)), lessons.folder(number), dict(json.loads(rows))
    found: dict[str, Any] = {}
    for task in lesson.tasks:
        for item in task.implementations if who == "shipped" else task.exercises:
            name = exercise.names(item) if isinstance(item, Exercise) else item.name
            row = f"{task.name}/{name}"
            if row in wanted:
                made = item.implementation(folder / item.file) if isinstance(item, Exercise) else item
                found[row] = look(task, made, wanted[row])
                Path(file).write_text(json.dumps(found))


def look(task: Task, implementation: Implementation, case: str) -> dict[str, Any]:
    """What the process writes of a row. case: the one in which it is wrong, or \"\"."""
    found: dict[str, Any] = {}
    if implementation.language == "cuda" and not implementation.needs_gpu:
        found.update(_accesses(task, implementation))
    index = next((number for number, one in enumerate(task.cases) if one.name == case), None)
    if index is not None:
        found.update(_what_is_wrong(task, implementation, index))
    return found


def _accesses(task: Task, implementation: Implementation) -> dict[str, Any]:
    """The pictures of the largest of the small cases; of one before it if the kernel is stopped there."""
    sizes = [
        (_elements(prepare(task, number)), number)
        for number, case in enumerate(task.cases)
        if not case.gpu_only
    ]
    small = [pair for pair in sizes if 0 < pair[0] <= LARGEST] or sizes
    for _, number in sorted(small, key=lambda pair: (-pair[0], pair[1]))[:TRIED]:
        case, prepared = task.cases[number], prepare(task, number)
        arguments = tuple(on_device(value, "cpu") for value in prepared.tensors)
        limits = ptx.Limits(instructions=task.instructions)
        try:
            with observe(trace=True, checks=False, limits=limits) as reports, run.poisoned_memory():
                run.call(implementation, arguments, case.options, "cpu", prepared)
        except Exception:  # the checker's table tells what
            continue
        return {"pictures": pictures(reports, lessons.ROOT), "pictured": case.name}
    return {}


def _elements(prepared: Prepared) -> int:
    arrays = (value for value in prepared.tensors if isinstance(value, torch.Tensor))
    return prepared.size + sum(array.numel() for array in arrays)


def _what_is_wrong(task: Task, implementation: Implementation, index: int) -> dict[str, Any]:
    """What the row is stopped for in a case, or where its outputs are wrong."""
    case, prepared = task.cases[index], prepare(task, index)
    arguments = tuple(on_device(value, "cpu") for value in prepared.tensors)
    limits = ptx.Limits(instructions=task.instructions)
    found: dict[str, Any] = {}
    thorough = prepared.size <= run.THOROUGH
    try:
        with run.watch(None, implementation.language, "cpu", thorough, limits, []), run.poisoned_memory():
            outputs = run.call(implementation, arguments, case.options, "cpu", prepared)
        arrays = tuple(map(as_array, outputs))
    except Exception as error:
        found["fault"] = _told(root(error))
        arrays = run.after_a_race(implementation, case, prepared, error, limits)
    if len(arrays) == len(prepared.expected):
        names = task.outputs or ("output",) * len(arrays)
        maps = [
            error_map(name, out, right, allowed)
            for name, out, right, allowed in zip(
                names, arrays, prepared.expected, prepared.allowed, strict=False
            )
            if out.shape == right.shape
        ]
        found["maps"] = [one for one in maps if one]
    return found


def _told(error: BaseException) -> dict[str, Any]:
    """An error with the source lines that it speaks of."""
    lines = []
    file, line = getattr(error, "file", ""), getattr(error, "line", 0)
    also = getattr(error, "also", None)
    for where in dict.fromkeys(((file, line), also or (file, line))):
        if where[0] and where[1]:
            lines.append(_excerpt(*where))
    return {
        "kind": getattr(error, "kind", "") if isinstance(error, ptx.Fault) else "",
        "message": getattr(error, "message", "") or str(error),
        "advice": getattr(error, "advice", ""),
        "lines": lines,
    }


def _excerpt(file: str, line: int) -> dict[str, Any]:
    """A line of a source file with those around it."""
    try:
        text = Path(file).read_text(errors="replace").splitlines()
    except OSError:
        text = []
    first = max(1, line - AROUND)
    return {"file": Path(file).name, "line": line, "first": first, "text": text[first - 1 : line + AROUND]}


if __name__ == "__main__":
    main(*sys.argv[1:])
