"""What the shipped version does differently: the learner's function beside the solution's of the same name.

Comments and docstrings are left out.
"""

import ast
import difflib
import io
import re
import tokenize
from pathlib import Path

from workbench import lessons
from workbench.check.exercise import names
from workbench.check.lesson import Exercise

COMMENT_OR_STRING = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.DOTALL)
BODY = re.compile(r"^\S[^;{}]*?\b(\w+)\([^;{}]*\{\n(.*?)^\}", re.DOTALL | re.MULTILINE)  # of a C++ function
AROUND = 3  # lines shown above and below a change


def explanation(path: Path, exercise: Exercise) -> str:
    """How the shipped version differs from the learner's file, under a line that says so."""
    name = names(exercise)
    try:
        text = difference(path, exercise)
    except (OSError, ValueError, SyntaxError, tokenize.TokenError):
        shipped = " and ".join(path.relative_to(lessons.ROOT).as_posix() for path in exercise.solution)
        return f"{name}: compare yours with {shipped}."
    if not text:
        return f"{name}: the shipped version says the same."
    return f"{name}: what the shipped version does differently (comments left out)\n{text}"


def difference(path: Path, exercise: Exercise) -> str:
    """A diff from the learner's function to the shipped one; empty if they say the same.

    Raises ValueError if there is no such function in both.
    """
    name, mine = function_around(path.read_text("utf-8-sig"), path.suffix, exercise.blank)
    for source in exercise.solution:
        theirs = functions(source.read_text(), path.suffix).get(name)
        if theirs is not None:
            lines = difflib.unified_diff(mine, theirs, "yours", source.name, n=AROUND, lineterm="")
            return "\n".join("..." if line.startswith("@@") else line for line in lines)
    raise ValueError(f"the solution has no function {name}")


def function_around(text: str, suffix: str, blank: str) -> tuple[str, list[str]]:
    """(name, lines of code in the body) of the function that has this blank. Raises ValueError without one."""
    inside = re.search(rf">>> {blank}\b.*?<<< {blank}\b", text, re.DOTALL)
    for name, top, first, last in _places(text, suffix):
        if inside and top <= text.count("\n", 0, inside.start()) <= last:
            return name, [line for number, line in _code(text, suffix) if first <= number <= last]
    raise ValueError(f"the blank {blank} isn't inside a function")


def functions(text: str, suffix: str) -> dict[str, list[str]]:
    """The lines of code in the body of each function of a .cu or .py file, by its name."""
    numbered = _code(text, suffix)
    return {
        name: [line for number, line in numbered if first <= number <= last]
        for name, _, first, last in _places(text, suffix)
    }


def _places(text: str, suffix: str) -> list[tuple[str, int, int, int]]:
    """(name, first line, first and last line of the body) of each function, lines counted from 0."""
    if suffix == ".py":
        found = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
        return [
            (node.name, node.lineno - 1, node.body[0].lineno - 1, (node.end_lineno or node.lineno) - 1)
            for node in found
        ]
    bare = COMMENT_OR_STRING.sub(_blanked, text)
    return [
        (
            match[1],
            bare.count("\n", 0, match.start()),
            bare.count("\n", 0, match.start(2)),
            bare.count("\n", 0, match.end(2)) - 1,
        )
        for match in BODY.finditer(bare)
    ]


def code_lines(text: str, suffix: str) -> list[str]:
    """The lines of a .cu or .py file without comments, docstrings and empty lines."""
    return [line for _, line in _code(text, suffix)]


def _code(text: str, suffix: str) -> list[tuple[int, str]]:
    """(line number from 0, line) of the code."""
    bare = _without_python_comments(text) if suffix == ".py" else COMMENT_OR_STRING.sub(_blanked, text)
    return [(number, line.rstrip()) for number, line in enumerate(bare.split("\n")) if line.strip()]


def _blanked(match: re.Match[str]) -> str:
    """Nothing in a comment's place but its line breaks; a string as it is."""
    return match[0] if match[0].startswith('"') else "\n" * match[0].count("\n")


def _without_python_comments(text: str) -> str:
    lines = text.split("\n")
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            for row in range(node.lineno - 1, node.end_lineno or node.lineno):
                lines[row] = ""
    return "\n".join(lines)
