"""What a PTX text says, as values: modules, kernels, variables, instructions and their operands (PTX ISA 4 and 5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Union

SIZES = {
    "pred": 1,
    "b8": 1,
    "u8": 1,
    "s8": 1,
    "b16": 2,
    "u16": 2,
    "s16": 2,
    "f16": 2,
    "bf16": 2,
    "b32": 4,
    "u32": 4,
}
SIZES |= {
    "s32": 4,
    "f32": 4,
    "f16x2": 4,
    "bf16x2": 4,
    "tf32": 4,
    "b64": 8,
    "u64": 8,
    "s64": 8,
    "f64": 8,
    "b128": 16,
}
SIZES |= {"e4m3": 1, "e5m2": 1, "e4m3x2": 2, "e5m2x2": 2, "f32x2": 8, "u16x2": 4, "s16x2": 4}
BUILT_IN = "__nv_nvrtc_builtin_header.h"  # NVRTC has it in itself


@dataclass(frozen=True)
class Register:
    """A register of one function; `name` is unique in it, whatever scope declared it (PTX ISA 5.2)."""

    name: str
    type: str


@dataclass(frozen=True)
class Special:
    """A read-only register that the hardware sets: %tid.x, %laneid, ... (PTX ISA 10)."""

    name: str


@dataclass(frozen=True)
class Immediate:
    """A constant. A float written in hexadecimal (0f..., 0d...) keeps its value as a Python float."""

    value: int | float
    text: str


@dataclass(frozen=True)
class Symbol:
    """The name of a variable, function, label, or of nothing at all: `_`."""

    name: str


@dataclass(frozen=True)
class Address:
    """[base + offset]; `more` holds what stands behind a comma inside the brackets (tensor coordinates)."""

    base: Operand
    offset: int = 0
    more: tuple[Operand, ...] = ()


@dataclass(frozen=True)
class Vector:
    """{a, b, ...}"""

    items: tuple[Operand, ...]


@dataclass(frozen=True)
class Pair:
    """a|b: two destinations."""

    first: Operand
    second: Operand


@dataclass(frozen=True)
class Negated:
    """!p"""

    item: Operand


@dataclass(frozen=True)
class Arguments:
    """(a, b, ...) of a call."""

    items: tuple[Operand, ...]


Operand = Union[Register, Special, Immediate, Symbol, Address, Vector, Pair, Negated, Arguments]  # noqa: UP007


@dataclass(frozen=True)
class Location:
    """A .loc directive: `file` is an index; `parents` are where the function it speaks of was inlined, where that one
    was inlined, and so on (PTX ISA 11.5)."""

    file: int
    line: int
    column: int
    parents: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True)
class Instruction:
    opcode: str  # with its modifiers: "ld.global.v4.f32"
    operands: tuple[Operand, ...]
    guard: Register | None
    negated: bool
    text: str
    ptx_line: int
    file: str = ""
    line: int = 0

    @property
    def parts(self) -> list[str]:
        return self.opcode.split(".")


@dataclass(frozen=True)
class Variable:
    """A variable in memory (PTX ISA 5.4). `size` is 0 for `extern` arrays, whose size the launch decides."""

    name: str
    space: str
    type: str
    size: int
    align: int
    data: bytes = b""
    pointers: tuple[
        tuple[int, str, int], ...
    ] = ()  # (offset, symbol, addend): addresses among the initial values


@dataclass(frozen=True)
class Parameter:
    """A parameter of a kernel: `type` is "u64", "f32", ..., or "b8[128]" for a structure passed by value."""

    name: str
    type: str
    size: int
    align: int


@dataclass
class Function:
    """A device function, or, with `entry`, a kernel."""

    name: str
    parameters: tuple[Parameter, ...]
    returns: tuple[Parameter, ...]
    entry: bool
    body: list[Instruction] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    tables: dict[str, tuple[str, ...]] = field(default_factory=dict)
    variables: dict[str, Variable] = field(default_factory=dict)
    bounds: dict[str, tuple[int, ...]] = field(default_factory=dict)  # maxntid, reqntid, ...
    first_line: tuple[str, int] = ("", 0)
    decoded: Any = None  # the kernel ready to run, once it has been launched


class Kernel(Function):
    """A function that the host can launch."""


@dataclass
class Module:
    """All of one PTX text."""

    version: str = ""
    target: str = ""
    files: dict[int, str] = field(default_factory=dict)
    variables: dict[str, Variable] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    storage: Any = None  # the module's own variables in memory, once something has been launched

    @property
    def kernels(self) -> Mapping[str, Kernel]:
        return {name: it for name, it in self.functions.items() if isinstance(it, Kernel)}


def is_toolkit(file: str) -> bool:
    """Whether a file belongs to the CUDA toolkit. A fault is reported at the learner's line, not in a header."""
    *folders, name = PurePath(file).parts or ("",)
    from_cuda = any("nvidia" in folder or "cuda" in folder.lower() for folder in folders)
    return name == BUILT_IN or ("include" in folders and from_cuda)
