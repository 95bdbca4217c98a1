"""`launch`: arguments in, the kernel run, a report out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from workbench.ptx.builder import Builder, layout_parameters
from workbench.ptx.counters import Counters, Counting, total
from workbench.ptx.faults import LaunchError, TooManyResources, Triple
from workbench.ptx.kinds import DTYPES
from workbench.ptx.machine import Limits, Machine
from workbench.ptx.memory import (
    FIRST_VARIABLE,
    PARAMETERS,
    Allocation,
    GlobalMemory,
    allocate,
    function_address,
)
from workbench.ptx.model import Kernel, Module, Parameter, Variable
from workbench.ptx.program import Program
from workbench.ptx.watch import Access, Watch

FIRST_ARGUMENT = 1 << 12  # the region of the first array; below are the module's variables


@dataclass(frozen=True)
class Report:
    """What a launch of `kernel` did besides changing its arrays. `counters` is None if they were switched off.

    grid, block: (x, y, z), as launched.
    """

    printed: str = ""
    counters: Counters | None = None
    lines: dict[tuple[str, int], Counters] = field(default_factory=dict)
    trace: list[Access] = field(default_factory=list)
    kernel: str = ""
    grid: Triple = (0, 0, 0)
    block: Triple = (0, 0, 0)


def launch(
    module: Module,
    name: str,
    grid: int | Sequence[int],
    block: int | Sequence[int],
    arguments: Sequence[Any],
    *,
    shared_memory: int = 0,
    names: Sequence[str] | None = None,
    counters: bool = True,
    trace: bool = False,
    limits: Limits | None = None,
    checks: bool = True,
    uninitialised: Collection[str] = (),
) -> Report:
    """Run a kernel on `grid` blocks of `block` threads (numbers, or up to three of them) and wait for its end.

    An argument is a NumPy array, which the kernel gets a pointer to and changes in place; a NumPy scalar, passed by
    value (`np.void` for a structure); or None, a null pointer. `shared_memory` is the dynamic part, in bytes. `names`
    are the arguments' names for messages; those of arrays that hold nothing yet can be listed as `uninitialised`: then
    reading an element before it is written is a fault. Without `counters` a launch is faster; all checks stay on.
    Without `checks` bounds and alignment are still checked, but no races, barriers' data or uninitialised memory.

    Raises `LaunchError` if this can't be launched, and a `Fault` at the first thing that the kernel does wrong; arrays
    stay as they are at that moment.
    """
    limits = limits or Limits()
    kernel = _kernel(module, name)
    grid_size, block_size = _dimensions("grid", grid, limits.grid), _dimensions("block", block, limits.block)
    _check_block(kernel, block_size, limits)
    arrays, values = _arguments(kernel, arguments, names)
    unknown = set(uninitialised) - {array.name for array in arrays}
    if unknown:
        raise LaunchError(f"uninitialised names {', '.join(sorted(unknown))}, and no array is called that")
    program = _program(module, kernel)
    _check_shared(kernel, program, shared_memory, limits)
    if 0 in grid_size:  # nothing to do
        return Report("", Counters() if counters else None, kernel=name, grid=grid_size, block=block_size)
    variables = _variables(module)
    parameters = allocate(PARAMETERS, "the parameters", values, writable=False, space="param")
    counting = Counting(program) if counters else None
    accesses: list[Access] = []
    watch = None
    if counters or trace or checks:
        written, read = _by_name(kernel, program.written, names), _by_name(kernel, program.read, names)
        watch = Watch(
            program, counting, accesses if trace else None, written, read, frozenset(uninitialised), checks
        )
    memory = GlobalMemory([*arrays, *variables.values(), parameters])
    with np.errstate(all="ignore"):
        machine = Machine(
            program, memory, variables, grid_size, block_size, shared_memory, limits, watch, counting
        )
        machine.run()
    printed = "".join(machine.printed)
    lines = counting.lines() if counting else {}
    counted = total(lines.values()) if counting else None
    return Report(printed, counted, lines, accesses, name, grid_size, block_size)


def _kernel(module: Module, name: str) -> Kernel:
    kernel = module.kernels.get(name)
    if kernel is None:
        known = ", ".join(module.kernels) or "none"
        raise LaunchError(f"there is no kernel named {name}; the module has {known}")
    return kernel


def _program(module: Module, kernel: Kernel) -> Program:
    if kernel.decoded is None:
        kernel.decoded = Builder(module, kernel).build()
    program: Program = kernel.decoded
    return program


def _dimensions(what: str, given: int | Sequence[int], largest: Triple) -> Triple:
    sizes = tuple(given) if isinstance(given, (tuple, list)) else (given,)
    if not 1 <= len(sizes) <= 3 or not all(isinstance(size, (int, np.integer)) for size in sizes):
        raise LaunchError(f"{what} is a whole number or up to three of them, not {given!r}")
    x, y, z = (int(size) for size in (*sizes, 1, 1, 1)[:3])
    smallest = 0 if what == "grid" else 1
    for axis, size, most in zip("xyz", (x, y, z), largest, strict=True):
        if not smallest <= size <= most:
            raise LaunchError(f"{what} {axis} is {size:,}; allowed are {smallest} to {most:,}")
    return x, y, z


def _check_block(kernel: Kernel, block: Triple, limits: Limits) -> None:
    threads = block[0] * block[1] * block[2]
    if threads > limits.threads:
        raise LaunchError(
            f"a block of {block} has {threads:,} threads; at most {limits.threads:,} are allowed"
        )
    required = kernel.bounds.get("reqntid")
    if required and (*required, 1, 1, 1)[:3] != block:
        raise LaunchError(f"{kernel.name} is compiled for blocks of {required}, and is launched with {block}")
    most = kernel.bounds.get("maxntid")
    if most and threads > int(np.prod(most)):
        raise LaunchError(
            f"{kernel.name} is compiled for at most {int(np.prod(most))} threads a block (__launch_bounds__), "
            f"and is launched with {threads}"
        )


def _check_shared(kernel: Kernel, program: Program, dynamic: int, limits: Limits) -> None:
    if isinstance(dynamic, bool) or not isinstance(dynamic, (int, np.integer)) or dynamic < 0:
        raise LaunchError(f"shared_memory is a number of bytes, 0 or more, not {dynamic!r}")
    if program.shared_used > limits.static_shared_memory:
        raise TooManyResources(
            f"{kernel.name} declares {program.shared_used:,} bytes of shared memory; at most "
            f"{limits.static_shared_memory:,} can be declared (pass the rest as dynamic shared memory)"
        )
    if program.shared_used + dynamic > limits.shared_memory:
        raise TooManyResources(
            f"{kernel.name} needs {program.shared_used + dynamic:,} bytes of shared memory ({program.shared_used:,} "
            f"declared, {dynamic:,} dynamic); a block has at most {limits.shared_memory:,}"
        )


def _arguments(
    kernel: Kernel, arguments: Sequence[Any], names: Sequence[str] | None
) -> tuple[list[Allocation], Any]:
    """The arrays as allocations, and the bytes of the parameter space."""
    wanted = kernel.parameters
    names = tuple(names) if names is not None else tuple(parameter.name for parameter in wanted)
    if len(arguments) != len(wanted):
        raise LaunchError(
            f"{kernel.name} takes {len(wanted)} arguments, and is launched with {len(arguments)}"
        )
    if len(names) != len(wanted):
        raise LaunchError(f"{kernel.name} takes {len(wanted)} arguments, and names has {len(names)}")
    places, size = layout_parameters(kernel)
    buffer = np.zeros(size, np.uint8)
    arrays = []
    for number, (parameter, argument, name) in enumerate(zip(wanted, arguments, names, strict=True)):
        if isinstance(argument, np.ndarray) and argument.ndim == 0 and argument.dtype.kind == "V":
            argument = argument[()]
        problem = _problem(parameter, argument)
        if problem:
            raise LaunchError(f"{kernel.name}, argument {number + 1} ({name}): {problem}")
        start = places[parameter.name][0]
        if isinstance(argument, np.ndarray):
            array = allocate(FIRST_ARGUMENT + number, name, argument, writable=argument.flags.writeable)
            arrays.append(array)
            argument = np.int64(array.base)
        elif argument is None:
            argument = np.int64(0)
        value = np.frombuffer(argument.tobytes(), np.uint8)
        buffer[start : start + len(value)] = value
    return arrays, buffer


def _problem(parameter: Parameter, argument: Any) -> str:
    kind = parameter.type
    if isinstance(argument, np.ndarray) or argument is None:
        if kind not in ("u64", "b64", "s64"):
            given = "None" if argument is None else f"an array of {argument.dtype}"
            return (
                f"it is a value of type {kind}, and can't be {given}; pass a NumPy scalar such as np.int32(3)"
            )
        if argument is not None and not argument.flags.c_contiguous:
            return "the array isn't contiguous; pass np.ascontiguousarray(array), or a copy"
        if argument is not None and argument.dtype.hasobject:
            return f"an array of {argument.dtype} has no bytes to point to"
        return ""
    if not isinstance(argument, np.generic):
        return (
            f"pass a NumPy array, a NumPy scalar (such as np.int32(3)) or None, not {type(argument).__name__}"
        )
    if argument.dtype.itemsize != parameter.size:
        return (
            f"it has {parameter.size} bytes (type {kind}), and {argument.dtype} has {argument.dtype.itemsize}"
        )
    is_float = argument.dtype.kind == "f"
    if kind in DTYPES and kind[0] in "us" and is_float:
        return f"it is a whole number ({kind}), and is given {argument.dtype}"
    if kind in ("f32", "f64") and not is_float:
        return f"it is a floating-point number ({kind}), and is given {argument.dtype}"
    return ""


def _by_name(kernel: Kernel, parameters: set[str] | None, names: Sequence[str] | None) -> set[str] | None:
    """Names of parameters as the caller's names of arguments."""
    if parameters is None or names is None:
        return parameters
    given = {parameter.name: name for parameter, name in zip(kernel.parameters, names, strict=True)}
    return {given.get(name, name) for name in parameters}


def _element(variable: Variable) -> np.dtype[Any]:
    """The type of a variable's elements. Of one that is declared as bytes only their size: what it is aligned to."""
    if variable.type == "b8" and variable.size % variable.align == 0 and variable.align > 1:
        return np.dtype(f"V{variable.align}")
    return DTYPES.get(variable.type, np.dtype(np.uint8))


def _variables(module: Module) -> dict[str, Allocation]:
    """The module's own variables, which keep their values from launch to launch."""
    if module.storage is None:
        found: dict[str, Allocation] = {}
        for variable in module.variables.values():
            if variable.space not in ("global", "const"):
                continue
            dtype = _element(variable)
            count = -(-variable.size // 16) * 16 + 256
            buffer = np.zeros(count, np.uint8)
            start = -buffer.__array_interface__["data"][0] % 256
            data = buffer[start : start + variable.size]
            data[: len(variable.data)] = np.frombuffer(variable.data, np.uint8)
            found[variable.name] = allocate(
                FIRST_VARIABLE + len(found),
                variable.name,
                data.view(dtype),
                writable=variable.space == "global",
            )
        for variable in module.variables.values():
            for offset, symbol, addend in variable.pointers:
                if symbol in found:
                    base = found[symbol].base
                else:
                    base = function_address(module, symbol)
                address = np.array([base + addend], np.int64)
                found[variable.name].data[offset : offset + 8] = address.view(np.uint8)
        module.storage = found
    storage: dict[str, Allocation] = module.storage
    return storage
