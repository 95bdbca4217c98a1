"""From PTX text to a `Module` (PTX ISA 4, syntax; 5, variables; 11, directives)."""

from __future__ import annotations

import re
import struct
from bisect import bisect_right
from itertools import accumulate

from workbench.ptx.faults import PtxError
from workbench.ptx.model import (
    SIZES,
    Function,
    Instruction,
    Kernel,
    Location,
    Module,
    Parameter,
    Register,
    Variable,
    is_toolkit,
)
from workbench.ptx.operands import Scope, operands, renamed

Parents = dict[tuple[int, int, int], tuple[tuple[int, int, int], ...]]
DEEPEST = 64  # functions inlined into one another

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.S)
_SPACE = re.compile(r"\s+")
_LABEL = re.compile(r"([A-Za-z_$%][\w$]*)\s*:(?!:)")
_FILE = re.compile(r'^\s*\.file\s+(\d+)\s+"([^"]*)"', re.M)
_LINE_DIRECTIVE = re.compile(r"\.(loc|file|version|target|address_size)\b([^\n]*)")
_GUARD = re.compile(r"@(!?)\s*([\w$%]+)\s*")
_OPCODE = re.compile(r"[a-z_][\w.:]*")
_INLINED = re.compile(r"inlined_at\s+(\d+)\s+(\d+)\s+(\d+)")
_PARAMETER = re.compile(
    r"\.param\s+(?:\.align\s+(\d+)\s+)?\.(\w+)\s+(?:\.ptr\s*(?:\.\w+\s*)*?(?:\.align\s+\d+\s*)?)?"
    r"([\w$%]+)\s*(?:\[(\d*)\])?"
)
_VARIABLE = re.compile(
    r"^(?:\.(?:visible|extern|weak|common)\s+)*\.(global|const|shared|local|param)\s+(.*?)\.(\w+)\s+"
    r"([\w$%]+)\s*((?:\[\w*\]\s*)*)(?:=\s*(.*))?$",
    re.S,
)
_FUNCTION = re.compile(r"(?:\.(?:visible|extern|weak)\s+)*\.(func|entry)\b")
_NAME = re.compile(r"\s*([\w$]+)\s*(\()?")
_BOUND = re.compile(r"\.(maxntid|reqntid|minnctapersm|maxnreg)\s+([\d,\s]+)")
_REGISTERS = re.compile(r"^\.reg\s*(?:\.v[24]\s*)?\.(\w+)\s+(.*)$", re.S)


def parse(text: str) -> Module:
    """Read a PTX text. Raises `PtxError`, which names the line and what couldn't be read there."""
    if not isinstance(text, str):
        raise PtxError(f"PTX is text, not {type(text).__name__}")
    return _Parser(text).module()


class _Parser:
    def __init__(self, text: str) -> None:
        blank = lambda match: re.sub(r"[^\n]", " ", match.group())  # noqa: E731
        self.text = _COMMENT.sub(blank, text.rstrip("\0"))
        self.at = 0
        self.starts = [0, *accumulate(len(line) + 1 for line in self.text.split("\n"))]
        # The files stand at the end, and instructions before it speak of them.
        self.result = Module(files={int(number): name for number, name in _FILE.findall(self.text)})

    # Reading

    def line(self, at: int) -> int:
        return bisect_right(self.starts, at)

    def error(self, what: str, at: int | None = None) -> PtxError:
        at = self.at if at is None else at
        found = self.text[at : at + 60].strip().split("\n")[0]
        return PtxError(f"line {self.line(at)} of the PTX: {what}" + (f": {found}" if found else ""))

    def skip(self) -> bool:
        """Skip white space; say whether anything is left."""
        found = _SPACE.match(self.text, self.at)
        if found:
            self.at = found.end()
        return self.at < len(self.text)

    def until(self, stop: str) -> str:
        end = self.text.find(stop, self.at)
        if end < 0:
            raise self.error(f"no {stop!r} ends this")
        found = self.text[self.at : end]
        self.at = end + 1
        return found

    # The module

    def module(self) -> Module:
        while self.skip():
            directive = _LINE_DIRECTIVE.match(self.text, self.at)
            if directive:
                self.at = directive.end()
                self.directive(directive.group(1), directive.group(2).strip())
            elif _FUNCTION.match(self.text, self.at):
                self.function()
            elif self.text.startswith(".section", self.at):
                self.until("{")
                self.until("}")
            elif self.text.startswith(".pragma", self.at) or self.text.startswith(".alias", self.at):
                self.until(";")
            elif self.text[self.at] == ".":
                start = self.at
                variable = self.variable(self.until(";"), start)
                self.result.variables[variable.name] = variable
            else:
                raise self.error("can't read this")
        if not self.result.version:
            raise PtxError("this isn't PTX: it has no .version")
        return self.result

    def directive(self, name: str, rest: str) -> None:
        if name == "version":
            self.result.version = rest
        elif name == "target":
            self.result.target = rest.split(",")[0].strip()
        elif name == "file":
            number, _, file = rest.partition(" ")
            quoted = re.search(r'"([^"]*)"', file)
            if not number.isdigit() or not quoted:
                raise self.error("can't read this .file")
            self.result.files[int(number)] = quoted.group(1)

    def variable(self, text: str, at: int) -> Variable:
        found = _VARIABLE.match(text.strip())
        if not found:
            raise self.error("can't read this declaration", at)
        space, attributes, kind, name, dimensions, initial = found.groups()
        vector = re.search(r"\.v([24])", attributes)
        size = SIZES.get(kind)
        if size is None:
            raise self.error(f"unknown type .{kind}", at)
        size *= int(vector.group(1)) if vector else 1
        align = re.search(r"\.align\s+(\d+)", attributes)
        lengths = re.findall(r"\[(\w*)\]", dimensions)
        total = size
        for length in lengths:
            total *= int(length, 0) if length else 0
        data, pointers = self.initial(initial or "", kind, at)
        align_to = int(align.group(1)) if align else size
        return Variable(name, space, kind, max(total, len(data)), align_to, data, pointers)

    def initial(self, text: str, kind: str, at: int) -> tuple[bytes, tuple[tuple[int, str, int], ...]]:
        """The bytes of an initialiser, and where addresses of other variables stand in it (PTX ISA 5.4.4)."""
        data = bytearray()
        pointers: list[tuple[int, str, int]] = []
        size = SIZES[kind]
        for item in text.replace("{", " ").replace("}", " ").split(","):
            item = item.strip()
            if not item:
                continue
            try:
                if item[:2] in ("0f", "0F", "0d", "0D"):
                    data += int(item[2:], 16).to_bytes(size, "little")
                elif kind in ("f32", "f64"):
                    data += struct.pack("<f" if kind == "f32" else "<d", float(item))
                else:
                    number = int(item.rstrip("U"), 0)
                    data += (number & ((1 << 8 * size) - 1)).to_bytes(size, "little")
            except ValueError:
                symbol = re.fullmatch(r"(?:generic\()?\s*([\w$]+)\s*\)?\s*(?:\+\s*(\d+))?", item)
                if not symbol:
                    raise self.error(f"can't read the initial value {item}", at) from None
                pointers.append((len(data), symbol.group(1), int(symbol.group(2) or 0)))
                data += bytes(size)
        return bytes(data), tuple(pointers)

    # Functions

    def function(self) -> None:
        found = _FUNCTION.match(self.text, self.at)
        assert found
        entry = found.group(1) == "entry"
        self.at = found.end()
        self.skip()
        returns: tuple[Parameter, ...] = ()
        while self.text.startswith(".", self.at):  # .noreturn
            self.at = re.compile(r"\.\w+\s*").match(self.text, self.at).end()  # type: ignore[union-attr]
        if self.text[self.at] == "(":
            self.at += 1
            returns = self.parameters(self.until(")"))
        name = _NAME.match(self.text, self.at)
        if not name:
            raise self.error("a function needs a name")
        self.at = name.end()
        parameters = self.parameters(self.until(")")) if name.group(2) else ()
        function = (Kernel if entry else Function)(name.group(1), parameters, returns, entry)
        self.skip()
        brace, semicolon = self.text.find("{", self.at), self.text.find(";", self.at)
        if 0 <= semicolon < brace or brace < 0:
            self.until(";")  # a prototype
            self.result.functions.setdefault(function.name, function)
            return
        for bound, values in _BOUND.findall(self.until("{")):
            function.bounds[bound] = tuple(int(value) for value in values.replace(",", " ").split())
        self.result.functions[function.name] = function
        self.body(function)

    def parameters(self, text: str) -> tuple[Parameter, ...]:
        result = []
        for align, kind, name, count in _PARAMETER.findall(text):
            if kind not in SIZES:
                raise self.error(f"there is no type .{kind}, of the parameter {name}")
            size = SIZES[kind] * (int(count) if count else 1)
            spelled = f"{kind}[{count}]" if count else kind
            result.append(Parameter(name, spelled, size, int(align) if align else SIZES[kind]))
        return tuple(result)

    def body(self, function: Function) -> None:
        scope = Scope(None)
        where, place = Location(0, 0, 0), ("", 0)
        parents: Parents = {}
        branches: list[tuple[int, Scope]] = []
        labels: list[tuple[Scope, str, str]] = []
        table: str | None = None
        while self.skip():
            start = self.at
            character = self.text[start]
            if character == "{":
                scope = Scope(scope)
                self.at += 1
                continue
            if character == "}":
                self.at += 1
                if scope.outer is None:
                    self.finish(function, branches)
                    return
                scope = scope.outer
                continue
            directive = _LINE_DIRECTIVE.match(self.text, start)
            if directive:
                self.at = directive.end()
                if directive.group(1) == "loc":
                    where = self.location(directive.group(2), where, parents)
                    place = self.source(where)
                else:
                    self.directive(directive.group(1), directive.group(2).strip())
                continue
            label = _LABEL.match(self.text, start)
            if label:
                self.at = label.end()
                table = scope.declare_label(label.group(1))
                labels.append((scope, label.group(1), table))
                function.labels[table] = len(function.body)
                continue
            statement = self.until(";").strip()
            if statement.startswith("."):
                self.declaration(function, scope, statement, start, table)
            elif statement:
                function.body.append(self.instruction(scope, statement, start, place))
                branches.append((len(function.body) - 1, scope))
                if not function.first_line[1]:
                    function.first_line = place
        raise self.error(f"function {function.name} has no end")

    def location(self, text: str, before: Location, parents: Parents) -> Location:
        numbers = text.split(",")[0].split()
        try:
            file, line, column = int(numbers[0]), int(numbers[1]), int(numbers[2])
        except (ValueError, IndexError):
            raise self.error("can't read this .loc") from None
        inlined = _INLINED.search(text)
        chain: tuple[tuple[int, int, int], ...] = ()
        if inlined:  # a later call of the same function may be inlined elsewhere: what is known now counts
            parent = (int(inlined[1]), int(inlined[2]), int(inlined[3]))
            chain = (parent, *parents.get(parent, ()))[:DEEPEST]
        parents[file, line, column] = chain
        if line == 0:  # "no line in particular": stay where we were
            return before
        return Location(file, line, column, chain)

    def declaration(self, function: Function, scope: Scope, text: str, at: int, table: str | None) -> None:
        registers = _REGISTERS.match(text)
        if registers:
            for name in registers.group(2).split(","):
                scope.declare(name.strip(), registers.group(1))
        elif text.startswith((".branchtargets", ".calltargets")):
            if table is None:
                raise self.error("a list of targets needs a label", at)
            names = tuple(item.strip() for item in text.split(None, 1)[1].split(","))
            function.tables[table] = names
        elif not text.startswith((".pragma", ".callprototype")):
            variable = self.variable(text, at)
            unique = scope.declare_variable(variable.name)
            function.variables[unique] = Variable(
                unique, variable.space, variable.type, variable.size, variable.align, variable.data
            )

    def instruction(self, scope: Scope, text: str, at: int, place: tuple[str, int]) -> Instruction:
        """place: where it comes from, a source file and a line."""
        guard: Register | None = None
        negated = False
        rest = text
        found = _GUARD.match(rest)
        if found:
            negated = found.group(1) == "!"
            guard = scope.register(found.group(2))
            if guard is None:
                raise self.error(f"{found.group(2)} isn't a register", at)
            rest = rest[found.end() :]
        opcode = _OPCODE.match(rest)
        if not opcode:
            raise self.error("can't read this instruction", at)
        try:
            read = operands(scope, rest[opcode.end() :])
        except ValueError as problem:
            raise self.error(f"{problem} in", at) from None
        return Instruction(opcode.group(), read, guard, negated, _SPACE.sub(" ", text), self.line(at), *place)

    def finish(self, function: Function, branches: list[tuple[int, Scope]]) -> None:
        """Once all labels are known, give branches their unique names."""
        for index, scope in branches:
            instruction = function.body[index]
            if instruction.opcode.split(".")[0] in ("bra", "brx"):
                function.body[index] = renamed(instruction, scope)

    def source(self, where: Location) -> tuple[str, int]:
        """File and line: the innermost place that is the learner's own, not a toolkit header."""
        innermost = (self.result.files.get(where.file, ""), where.line)
        file, line = innermost
        for above in where.parents:
            if not is_toolkit(file):
                break
            file, line = self.result.files.get(above[0], ""), above[1]
        return innermost if is_toolkit(file) else (file, line)
