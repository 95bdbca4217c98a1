"""The counters of the PTX machine beside those of Nsight Compute, launch by launch.

    python -m benchmarks.ptx_machine.compare_counters FOLDER [--ncu PATH] [--only NAME ...]
    python -m benchmarks.ptx_machine.compare_counters FOLDER --csv FILE      read what ncu has written before

The second needs no GPU. GPU and date are then those of the counters.json that lies beside FILE, if there is one.

Runs the test suite's launches under ncu and in the machine. Writes FOLDER/counters.json, FOLDER/counters.md, and what
ncu said to FOLDER/ncu.csv. The exit status is 1 if a number differs that claims to be the same, unless it is known why
(see KNOWN).

Where the two may differ though the model is right: ncu sees the machine code, which ptxas has made of the PTX that the
machine executes. It joins neighbouring accesses of a thread into wider ones, moves loads out of loops, and turns short
branches into predicates. What the memory system does with a given access is the same.
"""

import argparse
import csv
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.ptx_machine import launches
from workbench.report import machine

GLOBAL = "l1tex__t_{}_pipe_lsu_mem_global_op_{}.sum"
SHARED = "l1tex__data_pipe_lsu_{}_mem_shared_op_{}.sum"
CONFLICTS = "l1tex__data_bank_conflicts_pipe_lsu_mem_shared_op_{}.sum"
THREADS = "smsp__sass_thread_inst_executed_op_{}_pred_on.sum"
TENSOR = "sm__ops_path_tensor_op_hmma_src_{}.sum"


@dataclass(frozen=True)
class Counter:
    """One thing that both count. machine: fields of `ptx.Counters`, added up; ncu: metrics, added up.

    exact: the model claims to give the same number wherever the machine code makes the same accesses. A metric that
    starts with "2 " counts twice.
    """

    name: str
    machine: tuple[str, ...]
    ncu: tuple[str, ...]
    exact: bool


COUNTERS = (
    Counter("global load requests", ("global_load_requests",), (GLOBAL.format("requests", "ld"),), True),
    Counter("global load sectors", ("global_load_sectors",), (GLOBAL.format("sectors", "ld"),), True),
    Counter("global store requests", ("global_store_requests",), (GLOBAL.format("requests", "st"),), True),
    Counter("global store sectors", ("global_store_sectors",), (GLOBAL.format("sectors", "st"),), True),
    Counter(
        "global atomic requests",
        ("global_atomic_requests",),
        (GLOBAL.format("requests", "atom"), GLOBAL.format("requests", "red")),
        True,
    ),
    Counter(
        "global atomic sectors",
        ("global_atomic_sectors",),
        (GLOBAL.format("sectors", "atom"), GLOBAL.format("sectors", "red")),
        False,
    ),
    Counter(
        "shared load wavefronts", ("shared_load_wavefronts",), (SHARED.format("wavefronts", "ld"),), True
    ),
    Counter(
        "shared store wavefronts", ("shared_store_wavefronts",), (SHARED.format("wavefronts", "st"),), True
    ),
    Counter("shared load conflicts", ("shared_load_bank_conflicts",), (CONFLICTS.format("ld"),), True),
    Counter("shared store conflicts", ("shared_store_bank_conflicts",), (CONFLICTS.format("st"),), True),
    Counter(
        "tensor core operations",
        ("tensor_core_operations",),
        (TENSOR.format("fp16"), TENSOR.format("bf16_dst_fp32")),
        True,
    ),
    Counter(
        "float32 operations",
        ("cuda_core_operations",),
        (THREADS.format("fadd"), THREADS.format("fmul"), "2 " + THREADS.format("ffma")),
        False,
    ),
    Counter(
        "divergent branches",
        ("divergent_branches",),
        ("smsp__sass_branch_targets_threads_divergent.sum",),
        False,
    ),
    Counter("warp instructions", ("warp_instructions",), ("smsp__inst_executed.sum",), False),
    Counter("thread instructions", ("thread_instructions",), ("smsp__thread_inst_executed.sum",), False),
)


PRINTF = "printf keeps its text in a buffer in global memory; the machine hands it to the host at once"
COPIES = (
    "copies by cp.async from rows that lie 256 bytes apart: the GPU counts some sectors twice, the machine never "
    "(they agree where rows are 176 or 144 bytes apart)"
)
JOINED = "ptxas joins neighbouring 4-byte loads of a thread into {}; the PTX has them apart"
APART = (
    "the two halves of a sector go to places in shared memory that aren't side by side, and the GPU counts the sector "
    "for each; the machine once"
)
DISTURBED = (
    "the GPU's counter holds some wavefronts in which an access waited for another: not the same in each run"
)
WAITING = "how often a thread that waits asks again depends on time"

# Why numbers that claim to be the same differ: kernel, beginning of the counter's name, reason.
KNOWN = (
    ("hello", "global", PRINTF),
    ("speaking", "global", PRINTF),
    ("matmul_mma", "global load sectors", COPIES),
    ("matmul_tiled", "shared load", JOINED.format("LDS.128: 4 of them and 16 LDS instead of 32 LDS")),
    ("softmax", "shared load", JOINED.format("LDS.64: 2 of them instead of 4 LDS")),
    ("flash_v1", "shared load", JOINED.format("LDS.128: 4 of them in place of 16")),
    (
        "flash_v2_rows",
        "shared load",
        JOINED.format("LDS.128: 16 of them, mostly of K, which all lanes share"),
    ),
    ("chained_scan", "global atomic requests", WAITING),
    ("with_lock", "global atomic requests", WAITING),
    ("atomics", "global atomic requests", "how often compare-and-swap has to try again depends on time"),
    ("named_barriers", "shared store", DISTURBED),
    ("flash_mma", "shared load", DISTURBED),
    ("matrices", "global load sectors", APART),
    (
        "collect_positive",
        "global store sectors",
        "blocks take their places in the order in which they come, and a place says which sectors are touched",
    ),
)


def reason(kernel: str, counter: str) -> str:
    """Why the two differ here; nothing if that isn't known."""
    return next((why for name, start, why in KNOWN if name == kernel and counter.startswith(start)), "")


@dataclass(frozen=True)
class Row:
    """One counter of one launch."""

    launch: str
    counter: str
    exact: bool
    machine: int
    gpu: int
    why: str = ""  # they differ, if it is known

    @property
    def same(self) -> bool:
        return self.machine == self.gpu


def metrics() -> list[str]:
    return sorted({name.removeprefix("2 ") for counter in COUNTERS for name in counter.ncu})


def read(text: str) -> list[tuple[str, dict[str, float]]]:
    """ncu's CSV, either of its layouts: (kernel, {metric: value}) of each launch, in order."""
    lines = text.splitlines()
    start = next((number for number, line in enumerate(lines) if line.startswith('"ID"')), None)
    if start is None:
        said = "; ".join(line for line in lines if line.startswith("==")) or "it is empty"
        raise ValueError(f"this is no CSV of ncu ({said[:500]})")
    found: dict[str, tuple[str, dict[str, float]]] = {}
    for entry in csv.DictReader(lines[start:]):
        if not (entry["ID"] or "").isdecimal():
            continue  # the row of units, or what was printed meanwhile
        values = found.setdefault(entry["ID"], (kernel_name(entry["Kernel Name"]), {}))[1]
        if "Metric Name" in entry:
            values[entry["Metric Name"]] = number(entry["Metric Value"])
        else:
            values.update({name: number(value) for name, value in entry.items() if name and "__" in name})
    return [found[key] for key in sorted(found, key=int)]


def only_csv(text: str) -> str:
    """Without what ncu says of itself, and of the processes that it watches."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("=="))


def kernel_name(text: str) -> str:
    return re.split(r"[(<]", text)[0].split()[-1]


def number(text: str | None) -> float:
    """1,234 or 1.5; NaN for what ncu couldn't measure."""
    try:
        return float((text or "").replace(",", ""))
    except ValueError:
        return float("nan")


def ask_ncu(ncu: str, names: list[str], cases: dict[str, Any]) -> str:
    """Launch the cases under ncu; returns its CSV."""
    known = subprocess.run([ncu, "--query-metrics"], capture_output=True, text=True).stdout
    wanted = [metric for metric in metrics() if not known or metric.rsplit(".", 1)[0] in known]
    kernels = "|".join(sorted({case.kernel for case in cases.values()}))
    command = [
        *(ncu, "--csv", "--page", "raw", "--print-units", "base", "--clock-control", "none"),
        *(
            "--target-processes",
            "all",
            "--kernel-name",
            f"regex:^({kernels})$",
            "--metrics",
            ",".join(wanted),
        ),
        *(sys.executable, "-m", "benchmarks.ptx_machine.launches", *names),
    ]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=launches.ROOT)
    if ran.returncode:
        raise ValueError(f"ncu failed: {ran.stdout[-1500:]}\n{ran.stderr[-1500:]}")
    return ran.stdout


def in_machine(cases: dict[str, Any]) -> dict[str, Any]:
    """The machine's counters of each launch."""
    kernels = sys.modules["kernels"]
    return {name: kernels.launch(case, case.arguments()).counters for name, case in cases.items()}


def compare(
    cases: dict[str, Any], counted: dict[str, Any], seen: list[tuple[str, dict[str, float]]]
) -> list[Row]:
    """Both counts of each launch; ncu's launches are in the order of the cases."""
    if [kernel for kernel, _ in seen] != [case.kernel for case in cases.values()]:
        raise ValueError(
            f"ncu has seen {len(seen)} launches, and {len(cases)} were made: "
            f"{', '.join(kernel for kernel, _ in seen)[:300]} instead of "
            f"{', '.join(case.kernel for case in cases.values())[:300]}"
        )
    rows = []
    for name, (kernel, values) in zip(cases, seen, strict=True):
        for counter in COUNTERS:
            found = [value_of(metric, values) for metric in counter.ncu]
            if all(value == value for value in found):  # not NaN
                ours = sum(getattr(counted[name], field) for field in counter.machine)
                theirs = round(sum(found))
                why = reason(kernel, counter.name) if ours != theirs else ""
                rows.append(Row(name, counter.name, counter.exact, ours, theirs, why))
    return rows


def value_of(metric: str, values: dict[str, float]) -> float:
    """NaN if ncu has no such metric."""
    name = metric.removeprefix("2 ")
    return values.get(name, float("nan")) * (1 if name == metric else 2)


def as_markdown(rows: list[Row], here: dict[str, object]) -> str:
    lines = [
        f"# Counters: Nsight Compute on {here['gpu'] or 'a GPU'} and the PTX machine",
        "",
        f"{here['date']}. Launches in which both give the same number, of those where either is not zero:",
        "",
        "| counter | the model claims | same | of |",
        "|---|---|---:|---:|",
    ]
    for counter in COUNTERS:
        mine = [row for row in rows if row.counter == counter.name and (row.machine or row.gpu)]
        claim = "the same number" if counter.exact else "the PTX's own"
        counts = f"{sum(row.same for row in mine)} | {len(mine)}"
        if all(row.counter != counter.name for row in rows):
            counts = "not measured | "
        lines.append(f"| {counter.name} | {claim} | {counts} |")
    lines += ["", "Where a number that claims to be the same isn't:", ""]
    lines += ["| launch | counter | machine | GPU | machine / GPU | why |", "|---|---|---:|---:|---:|---|"]
    lines += [
        f"| {row.launch} | {row.counter} | {row.machine:,} | {row.gpu:,} | {ratio(row)} | {row.why or '**?**'} |"
        for row in rows
        if row.exact and not row.same
    ]
    lines += ["", "The others, machine / GPU:", ""]
    others = [counter.name for counter in COUNTERS if not counter.exact]
    lines += [f"| launch | {' | '.join(others)} |", "|---|" + "---:|" * len(others)]
    for name in dict.fromkeys(row.launch for row in rows):
        of = {row.counter: ratio(row) for row in rows if row.launch == name}
        lines.append(f"| {name} | {' | '.join(of.get(other, '') for other in others)} |")
    return "\n".join([*lines, ""])


def ratio(row: Row) -> str:
    if row.gpu:
        return f"{row.machine / row.gpu:.2f}"
    return "" if not row.machine else f"{row.machine:,} / 0"


def kept(rows: Iterable[Row], here: dict[str, object]) -> str:
    return json.dumps({"machine": here, "rows": [asdict(row) for row in rows]}, indent=1) + "\n"


def measured(file: Path | None) -> dict[str, object]:
    """Where and when ncu ran: here and now, or, for a file that it has written, what the report beside it says."""
    if file is None:
        return machine.describe()
    report = file.with_name("counters.json")
    if not report.is_file():
        return {**machine.describe(), "gpu": None, "date": "It isn't known when the GPU was measured"}
    described: dict[str, object] = json.loads(report.read_text())["machine"]
    return described


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ptx_machine.compare_counters")
    parser.add_argument("folder", type=Path, help="where counters.json, counters.md and ncu.csv are written")
    parser.add_argument(
        "--ncu", default=shutil.which("ncu") or "/usr/local/cuda/bin/ncu", help="(%(default)s)"
    )
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="what ncu has written, instead of running it"
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="only these launches")
    options = parser.parse_args(arguments)
    cases = launches.chosen(options.only)
    try:
        if options.csv:
            text = options.csv.read_text()
        elif not Path(options.ncu).is_file():
            raise FileNotFoundError(
                f"there is no Nsight Compute at {options.ncu}: give --ncu PATH, or --csv FILE"
            )
        else:
            text = ask_ncu(options.ncu, options.only, cases)
        here = measured(options.csv)
        options.folder.mkdir(parents=True, exist_ok=True)
        (options.folder / "ncu.csv").write_text(only_csv(text))
        rows = compare(cases, in_machine(cases), read(text))
    except (ValueError, OSError) as problem:
        print(problem, file=sys.stderr)
        return 2
    (options.folder / "counters.json").write_text(kept(rows, here))
    (options.folder / "counters.md").write_text(as_markdown(rows, here))
    exact = [row for row in rows if row.exact]
    odd = sum(not row.same and not row.why for row in exact)
    same = sum(row.same for row in exact)
    print(
        f"{len(exact)} numbers claim to be the same: {same} are, {len(exact) - same - odd} differ for a known reason"
    )
    return 1 if odd else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
