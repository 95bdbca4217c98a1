"""`python -m workbench inspect kernel.cu`: what the compiler made of a kernel, line by line, and what its launch moves.

    python -m workbench inspect vector_add.cu --define SCALAR=float
    python -m workbench inspect vector_add.cu --define SCALAR=float --grid 4 --block 256 \\
        --args "float32[1000] float32[1000] out:float32[1000] int32=1000"
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text

from workbench import ptx
from workbench.cuda.compiler import CompileError, KernelNotFound, NvrtcMissing, compile_file
from workbench.cuda.resources import resources
from workbench.cuda.signature import Parameter, parameters
from workbench.ptx.model import Function, Instruction

TARGETS = ("sm_80", "sm_90")
SHOWN = 12  # instructions of one source line; the rest is summed up
TYPES = {
    name: np.dtype(name)
    for name in (
        *("float16", "float32", "float64", "int8", "int16", "int32", "int64"),
        *("uint8", "uint16", "uint32", "uint64"),
    )
}
TYPES["bfloat16"] = np.dtype(np.uint16)  # NumPy has none: its bits
LARGEST = 1 << 28  # bytes of one array
NOTATION = (
    "float32[1000] or int32[20x30]: an array of random numbers; out:float32[1000]: an array that the kernel writes; "
    "zeros:int32[8]: an array of zeros; int32=1000: a number; null: no array"
)


class BadInput(Exception):
    """What is wrong with the command, in a sentence."""


@dataclass(frozen=True)
class Argument:
    """`value` is an array, a scalar or None, of type `kind` ("bfloat16"); an `output` is for the kernel to write."""

    value: Any
    kind: str = ""
    output: bool = False

    def problem_with(self, parameter: Parameter) -> str:
        """Why it doesn't fit; nothing if it does."""
        value = self.value
        if isinstance(value, np.ndarray):  # an empty tensor of that type stands for the array
            unsigned = {"uint32": "int32", "uint64": "int64"}
            value = torch.empty(0, dtype=getattr(torch, unsigned.get(self.kind, self.kind)))
        return parameter.problem_with(value)


def main(arguments: list[str]) -> int:
    """Run the command. Returns its exit status: 1 if the kernel did something wrong, 2 for unusable input, else 0."""
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as asked:  # --help, or a usage error that argparse has explained
        return int(asked.code or 0)
    try:
        return _inspect(options, Console(highlight=False, soft_wrap=False))
    except (BadInput, CompileError, KernelNotFound, NvrtcMissing, ptx.PtxError, ptx.LaunchError) as problem:
        print(problem, file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m workbench inspect",
        description="What the compiler made of a kernel; given a launch, what each line of it moves.",
        epilog=f"--args: one for each parameter. {NOTATION}.",
    )
    parser.add_argument("file", help="a .cu file")
    parser.add_argument("--kernel", metavar="NAME", help="which kernel of the file, if it has several")
    parser.add_argument(
        "--define", metavar="K=V", nargs="+", action="extend", default=[], help="macros for the compiler"
    )
    parser.add_argument(
        "--all", action="store_true", help=f"all PTX of a line, not only {SHOWN} instructions"
    )
    launch = parser.add_argument_group("a launch, counted in the PTX machine")
    launch.add_argument("--grid", metavar="X[,Y[,Z]]", help="blocks")
    launch.add_argument("--block", metavar="X[,Y[,Z]]", help="threads of a block")
    launch.add_argument("--args", metavar="ARG", nargs="+", help="the arguments, see below")
    launch.add_argument(
        "--shared-memory", metavar="BYTES", default="0", help="dynamic shared memory of a block"
    )
    return parser


def _inspect(options: argparse.Namespace, console: Console) -> int:
    path = Path(options.file)
    if not path.is_file():
        raise BadInput(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}: name a .cu file.")
    defines = _defines(options.define)
    module = ptx.parse(compile_file(path, defines).ptx)
    kernel = _kernel(path, module, options.kernel)
    wanted = parameters(path, kernel, defines)
    launch = _launch(options, kernel, wanted)

    report = fault = None
    if launch is not None:
        grid, block, given, shared_memory = launch
        try:
            report = ptx.launch(
                module,
                kernel.name,
                grid,
                block,
                [argument.value for argument in given],
                shared_memory=shared_memory,
                names=[parameter.name for parameter in wanted],
                uninitialised=[p.name for p, argument in zip(wanted, given, strict=True) if argument.output],
            )
        except ptx.Fault as stopped:
            fault = stopped

    signature = ", ".join(parameter.text for parameter in wanted)
    shown: list[Any] = [
        Text(f"{kernel.name}({signature})  in {path}", style="bold"),
        _resources_table(path, kernel.name, defines),
        _ptx_table(module, kernel, None if options.all else SHOWN),
    ]
    if fault:
        shown.append(Text(str(fault)))
    if report:
        shown.append(_counters_table(report))
    if report and report.printed:
        shown.append(Text(f"It printed:\n{report.printed.rstrip()}"))
    for number, part in enumerate(shown):
        if number:
            console.print()
        console.print(part)
    return 1 if fault else 0


# What was asked


def _defines(given: Iterable[str]) -> dict[str, object]:
    found: dict[str, object] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not re.fullmatch(r"[A-Za-z_]\w*", name):
            raise BadInput(f"--define {text}: write NAME=VALUE, such as --define TILE=16.")
        found[name] = value if equals else "1"
    return found


def _kernel(path: Path, module: ptx.Module, name: str | None) -> ptx.Kernel:
    kernels = module.kernels
    if name is None and len(kernels) > 1:
        raise BadInput(f"{path} has several kernels; choose one with --kernel: {', '.join(sorted(kernels))}.")
    if not kernels:
        raise BadInput(f"{path} holds no kernel, which would be a function with __global__ in front of it.")
    if name is None:
        name = next(iter(kernels))
    if name not in kernels:
        raise KernelNotFound(path, name, sorted(kernels))
    return kernels[name]


def _launch(
    options: argparse.Namespace, kernel: ptx.Kernel, wanted: Sequence[Parameter]
) -> tuple[tuple[int, ...], tuple[int, ...], list[Argument], int] | None:
    """Grid, block, arguments and dynamic shared memory, if a launch was asked for."""
    if options.grid is None and options.block is None and options.args is None:
        return None
    if options.grid is None or options.block is None:
        raise BadInput("A launch needs both --grid and --block.")
    grid, block = _sizes("--grid", options.grid), _sizes("--block", options.block)
    if not options.shared_memory.isdecimal():
        raise BadInput(f"--shared-memory {options.shared_memory}: give a number of bytes.")
    given = read_arguments(" ".join(options.args or ()))
    if len(given) != len(wanted):
        written = ", ".join(parameter.text for parameter in wanted) or "nothing"
        raise BadInput(
            f"{kernel.name} takes {len(wanted)} arguments ({written}), and --args has {len(given)}. Write {NOTATION}."
        )
    for place, (argument, parameter) in enumerate(zip(given, wanted, strict=True), 1):
        problem = argument.problem_with(parameter)
        if problem:
            raise BadInput(f"--args, argument {place} ({parameter.name}): {problem}.")
    return grid, block, given, int(options.shared_memory)


def _sizes(option: str, text: str) -> tuple[int, ...]:
    parts = re.split(r"[x,]", text)
    if not 1 <= len(parts) <= 3 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise BadInput(f"{option} {text}: give one to three sizes of 1 or more, such as 4 or 4,2.")
    return tuple(int(part) for part in parts)


def read_arguments(text: str, seed: int = 0) -> list[Argument]:
    """Arguments in the notation of `--args`, separated by spaces. Raises `BadInput`."""
    generator = np.random.default_rng(seed)
    return [_argument(word, generator) for word in text.split()]


def _argument(word: str, generator: np.random.Generator) -> Argument:
    if word == "null":
        return Argument(None)
    array = re.fullmatch(r"(?:(out|zeros):)?(\w+)\[(\d+(?:x\d+)*)\]", word)
    scalar = re.fullmatch(r"(\w+)=(\S+)", word)
    kind = array[2] if array else scalar[1] if scalar else ""
    if not array and not scalar:
        raise BadInput(f"--args: {word!r} isn't understood. Write {NOTATION}.")
    if kind not in TYPES:
        raise BadInput(
            f"--args: {word!r} has no type that is known; the types are {', '.join(sorted(TYPES))}."
        )
    if scalar:
        return _number(word, kind, scalar[2])
    assert array is not None
    shape = tuple(int(size) for size in array[3].split("x"))
    if np.prod(shape, dtype=object) * TYPES[kind].itemsize > LARGEST:
        raise BadInput(f"--args: {word!r} is larger than {LARGEST >> 20} MiB.")
    return Argument(_filled(array[1], kind, shape, generator), kind, array[1] == "out")


def _number(word: str, kind: str, text: str) -> Argument:
    dtype = TYPES[kind]
    try:
        if dtype.kind == "f" or kind == "bfloat16":
            value = _stored(np.asarray(float(text)), kind)[()]
        else:
            value = dtype.type(int(text, 0))
    except (ValueError, OverflowError) as error:
        raise BadInput(f"--args: {word!r} is no number that fits {kind}.") from error
    return Argument(value, kind)


def _filled(how: str | None, kind: str, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """An output holds NaN, or a number that stands out; an input random values: normal, or 0 to 99."""
    dtype = TYPES[kind]
    floating = dtype.kind == "f" or kind == "bfloat16"
    if how == "zeros":
        return np.zeros(shape, dtype)
    if how == "out":
        return _stored(np.full(shape, np.nan), kind) if floating else np.full(shape, 0x5A, dtype)
    if floating:
        return _stored(generator.standard_normal(shape), kind)
    return generator.integers(0, 100, shape).astype(dtype)


def _stored(values: np.ndarray, kind: str) -> np.ndarray:
    if kind != "bfloat16":
        return values.astype(TYPES[kind])
    bits: np.ndarray = torch.from_numpy(np.atleast_1d(values)).to(torch.bfloat16).view(torch.int16).numpy()
    return bits.view(np.uint16).reshape(values.shape)


# What is shown


def _sectors_of_each(counters: ptx.Counters) -> float:
    requests = counters.global_requests + counters.global_atomic_requests
    return (counters.global_sectors + counters.global_atomic_sectors) / requests if requests else 0.0


def _conflicts(counters: ptx.Counters) -> str:
    """Where shared memory is used, none is worth saying."""
    return f"{counters.bank_conflicts:,}" if counters.shared_requests else ""


# Headings and values of the counters' columns.
COLUMNS: tuple[tuple[str, Callable[[ptx.Counters], float | str]], ...] = (
    ("warp\ninstr.", lambda counters: counters.warp_instructions),
    ("global\nrequests", lambda counters: counters.global_requests + counters.global_atomic_requests),
    ("\nsectors", lambda counters: counters.global_sectors + counters.global_atomic_sectors),
    ("each\nneeds", _sectors_of_each),
    ("shared\nrequests", lambda counters: counters.shared_requests),
    ("bank\nconflicts", _conflicts),
    ("divergent\nbranches", lambda counters: counters.divergent_branches),
)


def _table(*columns: tuple[str, str]) -> Table:
    """A table without frames; each column is its heading and "left", "right" or "fold"."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading, way in columns:
        table.add_column(
            heading,
            justify="right" if way == "right" else "left",
            overflow="fold" if way == "fold" else "ellipsis",
            no_wrap=way != "fold",
        )
    return table


def _resources_table(path: Path, name: str, defines: dict[str, object]) -> Table:
    heads = ("registers a thread", "shared memory", "stack", "spilled: stored", "loaded")
    table = _table(("", "left"), *((head, "right") for head in heads))
    for target in TARGETS:
        found = resources(path, name, defines, target)
        table.add_row(
            target,
            str(found.registers),
            *(
                f"{number:,} B"
                for number in (found.shared_memory, found.stack, found.spill_stores, found.spill_loads)
            ),
            style="red" if found.spill_stores or found.spill_loads else "",
        )
    return table


def _ptx_table(module: ptx.Module, kernel: ptx.Kernel, shown: int | None) -> Table:
    """The source lines that have instructions, each beside its own."""
    by_line: dict[tuple[str, int], list[Instruction]] = {}
    for function in _reached(module, kernel):
        for instruction in function.body:
            by_line.setdefault((instruction.file, instruction.line), []).append(instruction)
    table = _table(("line", "right"), ("source", "fold"), ("PTX", "fold"))
    table.columns[1].ratio, table.columns[2].ratio = 4, 5
    table.expand = True
    for (file, line), instructions in sorted(by_line.items()):
        listed = instructions if shown is None or len(instructions) <= shown + 1 else instructions[:shown]
        text = "\n".join(instruction.text for instruction in listed)
        if len(listed) < len(instructions):
            rest = Counter(instruction.opcode for instruction in instructions[len(listed) :])
            parts = ", ".join(f"{number} {opcode}" for opcode, number in rest.most_common())
            text += f"\nand {rest.total()} more: {parts}"
        table.add_row(str(line) if line else "", Text(_source(file, line)), Text(text, style="cyan"))
    return table


def _reached(module: ptx.Module, kernel: ptx.Kernel) -> list[Function]:
    """The kernel and the functions that it calls or points to, which the compiler didn't inline."""
    found: list[Function] = [kernel]
    for function in found:  # grows meanwhile
        for instruction in function.body:
            named = set(re.findall(r"[\w$]+", instruction.text))
            tables = [module.variables[name] for name in sorted(named & module.variables.keys())]
            named |= {symbol for table in tables for _, symbol, _ in table.pointers}
            others = [module.functions[name] for name in sorted(named & module.functions.keys())]
            found += [other for other in others if other not in found]
    return found


def _source(file: str, line: int) -> str:
    try:
        return Path(file).read_text(errors="replace").splitlines()[line - 1].strip() if line else ""
    except (OSError, IndexError):
        return ""


def _counters_table(report: ptx.Report) -> Table:
    """What each line of the launch did. Columns in which nothing happened are left out."""
    assert report.counters is not None
    columns = [column for column in COLUMNS if column[1](report.counters)]
    table = _table(("line", "right"), ("source", "left"), *((heading, "right") for heading, _ in columns))
    table.columns[1].ratio = 1
    table.expand, table.padding = True, (0, 1, 0, 0)
    for (file, line), counters in sorted(report.lines.items()):
        cells = (_cell(value(counters)) for _, value in columns)
        table.add_row(str(line) if line else "", Text(_source(file, line)), *cells)
    table.add_section()
    table.add_row("", "in all", *(_cell(value(report.counters)) for _, value in columns), style="bold")
    return table


def _cell(value: float | str) -> str:
    if isinstance(value, str):
        return value
    if not value:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"
