"""Operands of instructions, and the scopes that say what a name means (PTX ISA 4.4, 4.5, 6)."""

from __future__ import annotations

import re
import struct
from dataclasses import replace

from workbench.ptx.model import (
    Address,
    Arguments,
    Immediate,
    Instruction,
    Negated,
    Operand,
    Pair,
    Register,
    Special,
    Symbol,
    Vector,
)

_INTEGER = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|0[bB][01]+|\d+)U?$")
_HEX_FLOAT = re.compile(r"(-?)0([fFdD])([0-9a-fA-F]+)$")
_FLOAT = re.compile(r"[-+]?(\d+\.\d*|\.\d+|\d+)([eE][-+]?\d+)?$")
_NAME = re.compile(r"[A-Za-z_$%][\w$%]*(\.[xyzw])?$")
_PART = re.compile(r"[\w$%]+\.[bh]\d+$")  # bytes or halves of a register, in video instructions
_RANGE = re.compile(r"(.*?)<(\d+)>$")
_NUMBERED = re.compile(r"(.*?)(\d+)$")
_SPECIAL = re.compile(
    r"%(n?(tid|ctaid)|laneid|n?warpid|n?smid|gridid|is_explicit_cluster|n?clusterid|(cluster_n?ctaid|cluster_n?ctarank)"
    r"|lanemask_(eq|le|lt|ge|gt)|clock(_hi|64)?|globaltimer(_lo|_hi)?|(dynamic|total)_smem_size|reserved_smem_\w+"
    r"|pm\d+|envreg\d+|aggr_smem_size)(\.[xyzw])?$"
)


class Scope:
    """The names declared between two braces, and the scope around them."""

    _count = 0

    def __init__(self, outer: Scope | None) -> None:
        self.outer = outer
        self.types: dict[str, str] = {}
        self.ranges: dict[str, str] = {}
        self.labels: dict[str, str] = {}
        self.variables: dict[str, str] = {}
        self.known: dict[str, Register | None] = {}
        Scope._count += 1
        self.suffix = "" if outer is None else f"#{Scope._count}"

    def declare(self, name: str, kind: str) -> None:
        numbered = _RANGE.match(name)
        if numbered:
            self.ranges[numbered.group(1)] = kind
        else:
            self.types[name] = kind
        self.known.clear()

    def declare_label(self, name: str) -> str:
        self.labels[name] = name + self.suffix
        return self.labels[name]

    def declare_variable(self, name: str) -> str:
        self.variables[name] = name + self.suffix
        return self.variables[name]

    def register(self, name: str) -> Register | None:
        if name in self.known:
            return self.known[name]
        kind = self.types.get(name)
        if kind is None and self.ranges:
            numbered = _NUMBERED.match(name)
            kind = self.ranges.get(numbered.group(1)) if numbered else None
        if kind is not None:
            found: Register | None = Register(name + self.suffix, kind)
        else:
            found = self.outer.register(name) if self.outer else None
        self.known[name] = found
        return found

    def label(self, name: str) -> str:
        if name in self.labels:
            return self.labels[name]
        return self.outer.label(name) if self.outer else name

    def variable(self, name: str) -> str:
        if name in self.variables:
            return self.variables[name]
        return self.outer.variable(name) if self.outer else name


def renamed(instruction: Instruction, scope: Scope) -> Instruction:
    """A branch with its labels' unique names."""
    items = tuple(
        Symbol(scope.label(item.name)) if isinstance(item, Symbol) else item for item in instruction.operands
    )
    return replace(instruction, operands=items)


def operands(scope: Scope, text: str) -> tuple[Operand, ...]:
    """Read the comma-separated operands of an instruction. Raises `ValueError` that says what it can't read."""
    return tuple(_operand(scope, item) for item in _split(text))


def _split(text: str) -> list[str]:
    if not any(bracket in text for bracket in "[{("):
        return [item.strip() for item in text.split(",")] if text.strip() else []
    items: list[str] = []
    depth, start = 0, 0
    for at, character in enumerate(text):
        if character in "[{(":
            depth += 1
        elif character in "]})":
            depth -= 1
        elif character == "," and depth == 0:
            items.append(text[start:at].strip())
            start = at + 1
    last = text[start:].strip()
    return [*items, last] if last else items


def _operand(scope: Scope, text: str) -> Operand:
    if text == "WARP_SZ":  # the one predefined constant (PTX ISA 4.5.7)
        return Immediate(32, text)
    first = text[:1]
    if first == "%" or (first.isalpha() and "|" not in text) or first in "_$":
        if "|" in text:
            left, right = text.split("|")
            return Pair(_operand(scope, left.strip()), _operand(scope, right.strip()))
        return _named(scope, text)
    if first == "[" and text.endswith("]"):
        return _address(scope, text[1:-1])
    if first == "{" and text.endswith("}"):
        return Vector(operands(scope, text[1:-1]))
    if first == "(" and text.endswith(")"):
        return Arguments(operands(scope, text[1:-1]))
    if first == "!":
        return Negated(_operand(scope, text[1:].strip()))
    if "|" in text:
        left, right = text.split("|")
        return Pair(_operand(scope, left.strip()), _operand(scope, right.strip()))
    return immediate(text)


def immediate(text: str) -> Immediate:
    if _INTEGER.match(text):
        digits = text.rstrip("U")
        octal = re.fullmatch(r"[-+]?0[0-7]+", digits)
        return Immediate(int(digits, 8) if octal else int(digits, 0), text)
    hexadecimal = _HEX_FLOAT.match(text)
    if hexadecimal:
        sign, kind, digits = hexadecimal.groups()
        code = ("<I", "<f", 8) if kind in "fF" else ("<Q", "<d", 16)
        if len(digits) == code[2]:
            value: float = struct.unpack(code[1], struct.pack(code[0], int(digits, 16)))[0]
            return Immediate(-value if sign else value, text)
    if _FLOAT.match(text):
        return Immediate(float(text), text)
    raise ValueError(f"can't read the operand {text!r}")


def _named(scope: Scope, text: str) -> Operand:
    register = scope.register(text)
    if register is not None:
        return register
    if _SPECIAL.match(text):
        return Special(text)
    offset = re.fullmatch(r"([\w$]+)\s*\+\s*(\d+)", text)
    if offset:
        return Address(Symbol(scope.variable(offset.group(1))), int(offset.group(2)))
    if _PART.match(text):
        return Symbol(text)
    if text.startswith("%") or not _NAME.match(text):
        raise ValueError(f"can't read the operand {text!r}")
    return Symbol(scope.variable(text))


def _address(scope: Scope, text: str) -> Address:
    parts = _split(text)
    found = re.fullmatch(r"([\w$%.]+)\s*(?:\+\s*)?([-+]?\s*\w+)?", parts[0])
    if not found:
        raise ValueError(f"can't read the address [{text}]")
    base, offset = found.groups()
    more = tuple(_operand(scope, part) for part in parts[1:])
    if base[:1].isdigit():
        return Address(immediate(base), int(offset.replace(" ", ""), 0) if offset else 0, more)
    return Address(_named(scope, base), int(offset.replace(" ", ""), 0) if offset else 0, more)
