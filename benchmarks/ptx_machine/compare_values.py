"""The same inputs through each kernel on a GPU and in the PTX machine: are the results the same?

    python -m benchmarks.ptx_machine.compare_values FOLDER [--only NAME ...]

Runs the launches of the test suite, and every CUDA implementation of every lesson on its lesson's cases. Writes
FOLDER/values.json and FOLDER/values.md. The exit status is 1 if some result differs by more than it may.

A kernel whose operations are all exact must give the same bits. Where the hardware approximates (ex2, lg2, sin, tensor
cores) or the order of additions is open (atomics on floats), results may differ by as much as the case allows.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from functools import partial
from io import StringIO
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.ptx_machine import launches
from workbench import lessons
from workbench.check.cases import as_tuple, inputs, on_device, placed, prepare
from workbench.check.compare import Tolerance
from workbench.gpu import has_gpu
from workbench.report import machine

UNORDERED = ("collect_positive",)  # the blocks come in any order, and take the next places
INEXACT = ("flash", "softmax", "mathematics", "matmul_mma", "matmul_wmma", "reduce_atomic")
LARGEST = 1 << 22  # elements of a lesson's case; larger ones are left out


@dataclass(frozen=True)
class Row:
    """One output of one launch. `different` counts elements; `ulps` is the largest distance in representable numbers.

    difference and allowed: |GPU - machine| and what it may be, of the element that comes nearest to it, or exceeds it
    most. Where nothing is allowed, the same bits are asked for.
    """

    where: str
    name: str
    output: str
    elements: int
    same_bits: bool
    different: int
    difference: float
    ulps: int
    allowed: float
    right: bool
    problem: str = ""


def compared(where: str, name: str, output: str, gpu: np.ndarray, cpu: np.ndarray, allowed: Tolerance) -> Row:
    """How far apart two arrays are. Those of uint16 are bfloat16."""
    if name in UNORDERED:
        gpu, cpu = np.sort(gpu, axis=None), np.sort(cpu, axis=None)
    different = bits(gpu) != bits(cpu)
    one, other = values(gpu), values(cpu)
    alike = (one == other) | (np.isnan(one) & np.isnan(other))
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        apart = np.nan_to_num(np.where(alike, 0.0, np.abs(one - other)), nan=np.inf)
        limit = np.nan_to_num(allowed.at(one), nan=0.0, posinf=0.0)
        share = np.where(apart > 0, apart / limit, 0.0)
    wrong = different if allowed == Tolerance() else apart > limit
    worst = int(share.argmax()) if share.size else None
    steps = np.where(alike, 0, np.abs(places(gpu) - places(cpu)))
    return Row(
        where,
        name,
        output,
        elements=gpu.size,
        same_bits=not different.any(),
        different=int(different.sum()),
        difference=float(apart[worst]) if worst is not None else 0.0,
        ulps=int(steps.max(initial=0)),
        allowed=float(limit[worst]) if worst is not None else 0.0,
        right=not wrong.any(),
    )


def bits(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1).view(f"u{array.dtype.itemsize}")


def values(array: np.ndarray) -> np.ndarray:
    flat = array.reshape(-1)
    if flat.dtype == np.uint16:
        flat = (flat.astype(np.uint32) << 16).view(np.float32)
    return flat.astype(np.float64)


def places(array: np.ndarray) -> np.ndarray:
    """Floats numbered in their order, so that neighbours are one apart; integers as they are."""
    flat = array.reshape(-1)
    if flat.dtype.kind != "f" and flat.dtype != np.uint16:
        return flat.astype(np.longdouble)
    size = flat.dtype.itemsize
    signed = flat.view(f"i{size}").astype(np.longdouble)
    return np.where(signed < 0, np.longdouble(-(2.0 ** (8 * size - 1))) - signed, signed)


def programs(names: list[str], gpu: Callable[..., list[Any]]) -> Iterator[Row]:
    """The test suite's launches, every array argument of each."""
    cases = launches.chosen(names)
    kernels = sys.modules["kernels"]
    for name, case in cases.items():
        far = 10 * case.tolerance if case.kernel.startswith(INEXACT) else 0.0
        try:
            before = case.arguments()
            with redirect_stdout(StringIO()):
                from_gpu = gpu(case, before)
            in_machine = case.arguments()
            kernels.launch(case, in_machine, counters=False)
        except Exception as error:
            yield failed("tests/ptx/kernels", name, error)
            continue
        for place, (one, other, start) in enumerate(zip(from_gpu, in_machine, before, strict=True), 1):
            written = isinstance(start, np.ndarray) and any(
                (bits(end) != bits(start)).any() for end in (one, other)
            )
            if written:
                yield compared(
                    "tests/ptx/kernels", name, f"argument {place}", one, other, Tolerance(far, far)
                )


def of_lessons(names: list[str], device: str) -> Iterator[Row]:
    """Every CUDA implementation of every lesson, on its cases, judged by the checker's tolerance."""
    with ProcessPoolExecutor(max(1, (os.cpu_count() or 1) // 2), get_context("spawn")) as pool:
        for rows in pool.map(partial(of_lesson, names=names, device=device), lessons.folders()):
            yield from rows


def of_lesson(number: int, names: list[str], device: str) -> list[Row]:
    rows: list[Row] = []
    for task in lessons.load(number).tasks:
        for index, case in enumerate(task.cases):
            tensors = inputs(case)
            size = sum(value.numel() for value in tensors if isinstance(value, torch.Tensor))
            if size > LARGEST or case.gpu_only:
                continue
            for implementation in task.implementations:
                name = f"{implementation.name}: {case.name}"
                skipped = implementation.language != "cuda" or implementation.needs_gpu
                if not skipped and (not names or name in names):
                    rows += of_one(f"lesson {number}", name, task, index, implementation, device)
    return rows


def of_one(where: str, name: str, task: Any, index: int, implementation: Any, device: str) -> Iterator[Row]:
    case = task.cases[index]
    try:
        outputs = [
            as_tuple(call(implementation.function, inputs(case), case.options, place, task.on_host))
            for place in (device, "cpu")
        ]
        prepared = prepare(task, index)
    except Exception as error:
        yield failed(where, name, error)
        return
    for place, (one, other) in enumerate(zip(*outputs, strict=True)):
        allowed = prepared.allowed[place]
        yield compared(where, name, f"output {place + 1}", numpy(one), numpy(other), allowed)


def call(
    function: Callable[..., Any], tensors: tuple[Any, ...], options: Any, device: str, host: bool
) -> Any:
    moved = tuple(on_device(value, device, host=host) for value in tensors)
    return function(*moved, **options, **placed(moved, device))


def numpy(tensor: torch.Tensor) -> np.ndarray:
    """bfloat16 as uint16, which `compared` understands."""
    if tensor.dtype == torch.bfloat16:
        return tensor.cpu().view(torch.int16).numpy().view(np.uint16)
    found: np.ndarray = tensor.cpu().numpy()
    return found


def failed(where: str, name: str, error: Exception) -> Row:
    return Row(where, name, "", 0, False, 0, 0.0, 0, 0.0, False, f"{type(error).__name__}: {error}")


def as_markdown(rows: list[Row], here: dict[str, object]) -> str:
    """A line for each kernel; what each of its outputs gave is in the JSON."""
    kernels: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        name = row.name.split(":")[0] if row.where.startswith("lesson") else row.name
        kernels.setdefault((row.where, name), []).append(row)
    lines = [
        f"# Values: {here['gpu']} and the PTX machine",
        "",
        f"{here['date']}. {sum(row.same_bits for row in rows)} of {len(rows)} outputs have the same bits on both.",
        "Where they don't: |GPU - machine| and what it may be, of the element that comes nearest to its limit, and the",
        "largest distance in units in the last place. 0 is allowed where every operation is exact.",
        "",
        "| kernel | of | outputs | elements | different | apart | allowed | ulp | |",
        "|---|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    for (where, name), found in kernels.items():
        verdict = "" if all(row.right for row in found) else "**differs too much**"
        verdict = next((row.problem.splitlines()[0] for row in found if row.problem), verdict)
        worst = max(found, key=lambda row: row.difference / row.allowed if row.allowed else row.difference)
        different = sum(row.different for row in found)
        cells = [name, where, f"{len(found)}", f"{sum(row.elements for row in found):,}", f"{different:,}"]
        apart = [f"{worst.difference:.1e}", f"{worst.allowed:.1e}", f"{max(row.ulps for row in found):,}"]
        lines.append("| " + " | ".join([*cells, *(apart if different else ["", "", ""]), verdict]) + " |")
    return "\n".join([*lines, ""])


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ptx_machine.compare_values")
    parser.add_argument("folder", type=Path, help="where values.json and values.md are written")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="only these launches")
    parser.add_argument(
        "--without-gpu",
        action="store_true",
        help="compare the machine with itself: shows that this script runs",
    )
    options = parser.parse_args(arguments)
    if not options.without_gpu and not has_gpu():
        print("This compares with a GPU, and there is none here (--without-gpu runs it all the same).")
        return 2
    device = "cpu" if options.without_gpu else "cuda"
    launches.chosen([name for name in options.only if name in launches.cases()])
    ours = [name for name in options.only if name in launches.cases()]
    rows: list[Row] = []
    if ours or not options.only:
        rows += programs(ours, lambda case, given: launches.on_gpu(case, given, device))
    rows += of_lessons(options.only, device)
    here = machine.describe()
    options.folder.mkdir(parents=True, exist_ok=True)
    kept = {"machine": here, "rows": [asdict(row) for row in rows]}
    (options.folder / "values.json").write_text(json.dumps(kept, indent=1) + "\n")
    (options.folder / "values.md").write_text(as_markdown(rows, here))
    wrong = [row for row in rows if not row.right]
    for row in wrong:
        print(f"{row.where}, {row.name}, {row.output}: {row.problem or row}")
    print(
        f"{len(rows)} outputs, {sum(row.same_bits for row in rows)} with the same bits, {len(wrong)} too far apart"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
