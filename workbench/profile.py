"""`python -m workbench profile N`: where the kernels of a lesson spend their time, and what they wait for.

On a GPU each shipped version runs its timed case under PyTorch's profiler, which leaves a Chrome trace; under Nsight
Compute, if it is installed, for the figures of each kernel; and under Nsight Systems, if it is, for a timeline. Without
a GPU the PTX machine counts the lesson's counted case, and ptxas says what the kernels take of a multiprocessor.
"""

import argparse
import csv
import itertools
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from workbench import lessons, ptx
from workbench.check.lesson import Implementation, Task
from workbench.gpu import has_gpu

FOLDER = Path("profiles")
NSIGHT = ("ncu", "nsys")
SECONDS = 300  # that Nsight may take for one version
LAUNCHES = 20  # of a version, at most, that Nsight Compute watches: it runs each several times

# What ncu is asked: heading -> metrics, of which the first that this GPU has is taken, or all of "+" are added up.
METRICS = {
    "us": ("gpu__time_duration.sum",),
    "memory %": ("gpu__compute_memory_throughput.avg.pct_of_peak_sustained_elapsed",),
    "SM %": ("sm__throughput.avg.pct_of_peak_sustained_elapsed",),
    "tensor %": (
        "sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_active",
        "sm__inst_executed_pipe_tensor.avg.pct_of_peak_sustained_active",
    ),
    "occupancy %": ("sm__warps_active.avg.pct_of_peak_sustained_active",),
    "conflicts": (
        "+l1tex__data_bank_conflicts_pipe_lsu_mem_shared_op_ld.sum",
        "+l1tex__data_bank_conflicts_pipe_lsu_mem_shared_op_st.sum",
    ),
    "turns": (
        "+l1tex__data_pipe_lsu_wavefronts_mem_shared_op_ld.sum",
        "+l1tex__data_pipe_lsu_wavefronts_mem_shared_op_st.sum",
    ),
}
BLOCKS = "launch__grid_size"
FEW = 0.1  # of the turns: conflicts fewer than that aren't spoken of; the GPU's counter holds waits of other kinds, too
WORDS = (
    "memory %: of what the busiest part of the memory system can move. SM %: of what the multiprocessors' busiest "
    "part can do. tensor %: of the time the tensor cores work. occupancy %: warps at work, of those that fit. "
    "conflicts: extra turns, among the turns in shared memory, because lanes met in one bank; a few are other waits."
)
MISSING = (
    "Nsight {0} isn't installed; it comes with the CUDA toolkit (developer.nvidia.com/nsight-{1}), and profiles each "
    "kernel here once `{2}` is on the PATH."
)


_traces: list[Path] = []  # written by PyTorch's profiler in this process


def main(arguments: Sequence[str]) -> int:
    """Run the command. Returns its exit status: 2 wrong usage, 1 if a version can't be run, else 0."""
    status = _profile(arguments)
    if _traces:
        # After several traces PyTorch 2.11 frees memory twice, now and then, while Python tidies up. Leave without.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


def _profile(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m workbench profile", description=__doc__.split("\n\n")[0])
    parser.add_argument("lesson", help="its number")
    parser.add_argument("--only", metavar="TEXT", default="", help="only versions with this in their name")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="for traces and reports (%(default)s)")
    parser.add_argument("--launch", metavar="ROW", help=argparse.SUPPRESS)  # what Nsight watches
    try:
        options = parser.parse_args(list(arguments))
    except SystemExit as asked:
        return int(asked.code or 0)
    number = int(lessons.folder(options.lesson).name[6:8])
    rows = list(_rows(number))
    if options.launch:
        return _launch(next((task, one) for name, task, one in rows if name == options.launch))
    chosen = [row for row in rows if options.only in row[0]]
    if not chosen:
        print(
            f"No version of lesson {number} has {options.only!r} in its name: {', '.join(r[0] for r in rows)}.",
            file=sys.stderr,
        )
        return 2
    console = Console(highlight=False)
    if not has_gpu():
        return _without_gpu(console, number, chosen)
    try:
        options.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"--folder: {options.folder} can't be made: {error.strerror}.", file=sys.stderr)
        return 2
    return _on_gpu(console, number, chosen, options.folder)


def _rows(number: int) -> Iterator[tuple[str, Task, Implementation]]:
    """(name, task, implementation) of all that runs on a GPU."""
    tasks = lessons.load(number).tasks
    for task in tasks:
        for one in task.implementations:
            if one.language != "numpy":
                yield f"{task.name}/{one.name}" if len(tasks) > 1 else one.name, task, one


def _call(task: Task, one: Implementation, device: str) -> Callable[[], Any]:
    """The timed case on a GPU, the counted one on the CPU."""
    from workbench.check.cases import inputs, on_device, placed

    case = task.timed if device == "cuda" else task.counted
    given = tuple(on_device(value, device, host=task.on_host) for value in inputs(case))
    return partial(one.function, *given, **case.options, **placed(given, device))


# On a GPU.


def _on_gpu(
    console: Console, number: int, rows: Sequence[tuple[str, Task, Implementation]], folder: Path
) -> int:
    failed = False
    for name, task, one in rows:
        file = folder / f"lesson{number:02}_{name.replace('/', '_').replace(' ', '_')}"
        console.print(Text(f"\n{name}  {task.timed.name}", style="bold"))
        try:
            console.print(_traced(_call(task, one, "cuda"), file.with_suffix(".json")))
        except Exception as error:  # the other versions are worth a look
            failed = True
            console.print(Text(f"It can't be run: {type(error).__name__}: {error}", style="red"))
            continue
        for tool, use in (("ncu", _compute), ("nsys", _systems)):
            if path := shutil.which(tool):
                use(console, path, number, name, file)
    if shutil.which("ncu"):
        console.print(Text(f"\n{WORDS}", style="dim"))
    console.print(f"\nTraces are in {folder}: open them in chrome://tracing or ui.perfetto.dev.")
    for tool, title in (("ncu", "Compute"), ("nsys", "Systems")):
        if shutil.which(tool) is None:
            console.print(MISSING.format(title, title.lower(), tool))
    return int(failed)


def _traced(call: Callable[[], Any], file: Path) -> Table:
    """A table of the kernels of one call, from PyTorch's profiler, which writes its trace to `file`."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    for _ in range(3):
        call()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA], acc_events=True) as found:
        call()
        torch.cuda.synchronize()
    found.export_chrome_trace(str(file))
    _traces.append(file)
    return kernels(
        [
            (event.key, event.count, event.self_device_time_total)
            for event in found.key_averages()
            if event.self_device_time_total > 0 and "CUDA" in str(event.device_type)
        ]
    )


def kernels(found: Sequence[tuple[str, int, float]]) -> Table:
    """(kernel or copy, how often, microseconds in all) -> a table, the longest first."""
    total = sum(time for _, _, time in found) or 1.0
    table = _table("on the GPU", "times", "us", "share")
    for name, count, time in sorted(found, key=lambda one: -one[2]):
        table.add_row(_shortened(name), str(count), f"{time:,.1f}", f"{100 * time / total:.0f} %")
    return table


def _compute(console: Console, ncu: str, number: int, name: str, file: Path) -> None:
    """Nsight Compute's figures of each kernel."""
    known = subprocess.run([ncu, "--query-metrics"], capture_output=True, text=True).stdout
    metrics = {heading: _available(wanted, known) for heading, wanted in METRICS.items()}
    asked = ",".join(metric for some in metrics.values() for metric in some)
    command = [
        ncu,
        "--csv",
        "--page",
        "raw",
        "--print-units",
        "base",
        "--profile-from-start",
        "off",
        "--launch-count",
        str(LAUNCHES),
        "--metrics",
        f"{BLOCKS},{asked}",
    ]
    said = _watched([*command, *_ourselves(number, name)])
    file.with_suffix(".ncu.csv").write_text(said)
    launches = read_ncu(said, {"blocks": [BLOCKS], **metrics})
    if not launches:
        lines = [line for line in said.splitlines() if line.startswith("==ERROR==")]
        console.print("Nsight Compute found no kernel. " + " ".join(lines)[:400])
        return
    table = _table("Nsight Compute", *METRICS)
    found = together(launches)
    for kernel, values in found:
        cells = [values["us"] / 1e3, *(values[heading] for heading in list(METRICS)[1:])]
        shown = [f"{cell:,.1f}" for cell in cells[:-2]] + [f"{cell:,.0f}" for cell in cells[-2:]]
        times = f", {values['times']:.0f} times" if values["times"] > 1 else ""
        table.add_row(_shortened(kernel) + times, *shown)
    console.print(table)
    for line in dict.fromkeys(f"{_shortened(kernel)}: {in_words(values)}" for kernel, values in found):
        console.print(Text(line))
    if len(launches) == LAUNCHES:
        console.print(f"(The first {LAUNCHES} launches; Nsight Compute doesn't watch more here.)")


def _available(wanted: Sequence[str], known: str) -> list[str]:
    added = [metric[1:] for metric in wanted if metric.startswith("+")]
    return added or [next((m for m in wanted if not known or m.split(".")[0] in known), wanted[0])]


def read_ncu(said: str, metrics: Mapping[str, Sequence[str]]) -> list[tuple[str, dict[str, float]]]:
    """(kernel, heading -> value) of each launch, of what `ncu --csv --page raw` printed."""
    lines = said.splitlines()
    start = next((place for place, line in enumerate(lines) if line.startswith('"ID"')), len(lines))
    found = []
    for entry in csv.DictReader(lines[start:]):
        if (entry["ID"] or "").isdecimal():  # not the line of units
            values = {
                heading: sum(_number(entry.get(metric)) for metric in some)
                for heading, some in metrics.items()
            }
            found.append((entry["Kernel Name"], values))
    return found


def together(launches: Sequence[tuple[str, dict[str, float]]]) -> list[tuple[str, dict[str, float]]]:
    """Launches of one kernel with as many blocks, once: their medians, and "times", how many they are."""
    alike: dict[tuple[str, str], list[dict[str, float]]] = {}
    for kernel, values in launches:
        alike.setdefault((kernel, str(values["blocks"])), []).append(values)
    return [
        (kernel, {key: median(one[key] for one in some) for key in some[0]} | {"times": len(some)})
        for (kernel, _), some in alike.items()
    ]


def in_words(values: Mapping[str, float]) -> str:
    """What the figures of one kernel say, in a sentence."""
    percents = (values[heading] for heading in ("memory %", "SM %", "tensor %"))
    memory, arithmetic, tensor = (0.0 if math.isnan(value) else value for value in percents)
    if max(memory, arithmetic, tensor) < 60:
        words = "neither memory nor the multiprocessors are busy: it waits (too few warps, barriers, or a short launch)"
    elif memory >= max(arithmetic, tensor):
        words = f"memory is the limit, {memory:.0f} % of it is in use"
    elif arithmetic >= tensor:
        words = f"the multiprocessors are the limit, {arithmetic:.0f} % of them are in use"
    else:
        words = "the tensor cores are the limit"
    if tensor > 1:
        words += f"; the tensor cores work {tensor:.0f} % of the time"
    if values["conflicts"] > FEW * values["turns"]:
        words += f"; {values['conflicts']:,.0f} bank conflicts in {values['turns']:,.0f} turns"
    return words + "."


def _systems(console: Console, nsys: str, number: int, name: str, file: Path) -> None:
    """Nsight Systems' timeline, as a file for its own viewer."""
    out = file.with_suffix(".nsys-rep")
    command = [
        nsys,
        "profile",
        "--force-overwrite",
        "true",
        "--capture-range",
        "cudaProfilerApi",
        "--output",
        str(out.resolve()),
    ]
    said = _watched([*command, *_ourselves(number, name)])
    console.print(
        f"Nsight Systems: {out}" if out.is_file() else f"Nsight Systems left no report: {said[-300:].strip()}"
    )


def _ourselves(number: int, name: str) -> list[str]:
    return [sys.executable, "-m", "workbench", "profile", str(number), "--launch", name]


def _watched(command: Sequence[str]) -> str:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=lessons.ROOT, env=environment, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        return f"==ERROR== stopped after {SECONDS} s"
    return done.stdout + done.stderr


def _launch(row: tuple[Task, Implementation]) -> int:
    """What Nsight watches: one call, after others that compile and load."""
    import torch

    call = _call(*row, "cuda")
    for _ in range(2):
        call()
    torch.cuda.synchronize()
    torch.cuda.cudart().cudaProfilerStart()
    call()
    torch.cuda.synchronize()
    torch.cuda.cudart().cudaProfilerStop()
    return 0


# Without one.


def _without_gpu(console: Console, number: int, rows: Sequence[tuple[str, Task, Implementation]]) -> int:
    from workbench.check.failures import in_words as told
    from workbench.cuda import observe
    from workbench.cuda.resources import resources

    console.print(
        "No NVIDIA GPU here: no times. What the PTX machine counts and what ptxas says:", style="dim"
    )
    counted = _table(
        "launches",
        "sectors/\nrequest",
        "MB\nmoved",
        "bank\nconflicts",
        "shared\nturns",
        "tensor\nMop",
        "other\nMop",
    )
    compiled = _table("kernels", "registers\nsm_80/90", "shared\nbytes", "spilled\nbytes")
    failed = skipped = False
    for name, task, one in rows:
        if one.language != "cuda" or one.needs_gpu:
            skipped = True
            continue
        try:
            with observe() as reports:
                _call(task, one, "cpu")()
            launches = [_counts(report.counters) for report in reports if report.counters is not None]
            for cells, places in _alike(launches):
                turn = "" if len(launches) == 1 else f" ({places})"
                counted.add_row(name + turn, *cells)
            for path, kernel, macros in one.kernels:
                a, b = (resources(path, kernel, macros, target) for target in ("sm_80", "sm_90"))
                named = f"{name}: {kernel}" + _difference(macros)
                compiled.add_row(
                    named,
                    f"{a.registers}/{b.registers}",
                    f"{b.shared_memory:,}",
                    f"{b.spill_stores + b.spill_loads:,}",
                )
        except Exception as error:  # the others are worth a look
            failed = True
            console.print(Text(f"{name}: {told(error)}", style="red"))
    for table in (counted, compiled):
        if table.row_count:
            console.print()
            console.print(table)
    console.print(
        "\nsectors/request: 4 where a warp's 4-byte accesses lie side by side, 32 where each lane is alone. bank "
        "conflicts: extra turns among the turns in shared memory. Mop: millions of floating-point operations. shared "
        "bytes: what the kernel itself declares, without what its launch adds.",
        style="dim",
    )
    if skipped:
        console.print(
            f"Left out: Triton's kernels (`make check-lesson{number}` counts their traffic), and what needs a GPU.",
            style="dim",
        )
    return int(failed)


def _counts(c: ptx.Counters) -> tuple[str, ...]:
    """A launch's cells of the table."""
    return (
        f"{c.sectors_per_request:.1f}",
        f"{c.bytes_moved / 1e6:.3f}",
        f"{c.bank_conflicts:,}",
        f"{c.shared_wavefronts:,}",
        f"{c.tensor_core_operations / 1e6:.2f}",
        f"{c.cuda_core_operations / 1e6:.2f}",
    )


def _alike(launches: Sequence[tuple[str, ...]]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Launches that follow one another and count the same, once: their cells, and which they are ("3" or "3-8")."""
    first = 1
    for cells, group in itertools.groupby(launches):
        last = first + len(list(group)) - 1
        yield cells, f"{first}" if first == last else f"{first}-{last}"
        first = last + 1


def _difference(macros: Mapping[str, object]) -> str:
    shown = [str(macros[key]) for key in ("SCALAR", "HEAD_DIM") if key in macros]
    return f" ({', '.join(shown)})" if shown else ""


def _table(first: str, *headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column(first, overflow="fold", vertical="bottom")
    for heading in headings:
        table.add_column(heading.replace(" ", "\n"), justify="right", no_wrap=True, vertical="bottom")
    return table


def _shortened(name: str) -> str:
    """A kernel's name without its arguments, and at most 40 characters."""
    name = name.split("(")[0].removeprefix("void ")
    return name if len(name) <= 40 else name[:37] + "..."


def _number(text: str | None) -> float:
    try:
        return float((text or "").replace(",", ""))
    except ValueError:
        return float("nan")
