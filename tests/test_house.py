"""The house rules: format, types, which package may import which, and that what the texts name exists."""

import ast
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SKIPPED = {".git", ".venv", "__pycache__", ".ipynb_checkpoints"}

# Who may import whom: the first name that fits a module says what of the house it may import, besides itself.
# The bare `import workbench`, which decides how Triton runs, is for the kernel packages too.
KERNEL_SIDE = ("workbench.cuda", "workbench.arguments", "workbench.gpu")
MAY_IMPORT = {
    "workbench.ptx": (),
    "workbench": (),
    "cuda_basics": KERNEL_SIDE,
    "triton_basics": KERNEL_SIDE,
    "flash_attention": ("cuda_basics", *KERNEL_SIDE),
    "lessons": ("cuda_basics", "triton_basics", "flash_attention", "workbench"),
}
HOUSE = ("workbench", "cuda_basics", "triton_basics", "flash_attention", "lessons")


@pytest.mark.parametrize(
    "arguments", [("ruff", "check"), ("ruff", "format", "--check"), ("mypy",)], ids=" ".join
)
def test_tool_finds_nothing(arguments: tuple[str, ...]) -> None:
    if importlib.util.find_spec(arguments[0]) is None:
        pytest.skip(f"{arguments[0]} isn't installed")
    ran = subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def files(*endings: str) -> list[Path]:
    """The project's files: those that git tracks or would track; without git, all that lie here."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True
    )
    if listed.returncode == 0:
        paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    else:
        paths = [path for path in ROOT.rglob("*") if not SKIPPED & set(path.relative_to(ROOT).parts)]
    return sorted(path for path in paths if path.is_file() and path.name.endswith(endings or ("",)))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# Arrows go down only.


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, module) of each import in a file, those inside functions and `import_module("...")` too."""
    package = list(path.relative_to(ROOT).with_suffix("").parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*start, *filter(None, [node.module])])
            for alias in node.names:  # `from workbench import ptx` imports workbench.ptx
                yield node.lineno, f"{module}.{alias.name}"
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield node.lineno, node.args[0].value


def test_arrows_go_down_only() -> None:
    wrong = []
    for path in files(".py"):
        if path.name.startswith("exercise"):
            continue  # the learner's own
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        rule = next((package for package in MAY_IMPORT if within(module, package)), None)
        if rule is None:
            continue  # tests may import everything
        for line, imported in imports(path):
            ours = any(within(imported, package) for package in HOUSE)
            ours = ours and not (imported == "workbench" and rule != "workbench.ptx")
            allowed = (rule, *MAY_IMPORT[rule])
            if ours and not any(within(imported, package) for package in allowed):
                wrong.append(
                    f"{name(path)}:{line} imports {imported}; {rule} may import {', '.join(allowed)}"
                )
    assert not wrong, "\n".join(wrong)


def test_functions_are_annotated_but_for_triton_kernels() -> None:
    """mypy can't ask this of Triton's modules, as the arguments of a kernel have no type that it knows."""
    wrong = []
    for path in files(".py"):
        if not name(path).startswith(("triton_basics/", "flash_attention/")):
            continue
        for node in ast.walk(ast.parse(path.read_text(), str(path))):
            if isinstance(node, ast.FunctionDef) and not any(
                ast.unparse(one).startswith(("triton.jit", "gluon.jit")) for one in node.decorator_list
            ):
                given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                if node.returns is None or any(one.annotation is None for one in given if one.arg != "self"):
                    wrong.append(f"{name(path)}:{node.lineno} {node.name}")
    assert not wrong, "without types\n" + "\n".join(wrong)


# What the texts name exists.


def texts() -> dict[str, str]:
    """The prose that learners read, by file name: README.md, hints.md, the markdown cells of notebook.py."""
    found = {name(path): path.read_text() for path in files("README.md", "hints.md")}
    for path in files("notebook.py"):
        cells = re.split(r"^# %%", path.read_text(), flags=re.MULTILINE)
        markdown = [
            cell.split("\n", 1)[1] for cell in cells if cell.startswith(" [markdown]") and "\n" in cell
        ]
        found[name(path)] = re.sub(r"^# ?", "", "\n".join(markdown), flags=re.MULTILINE)
    return {
        where: text
        for where, text in found.items()
        if where.startswith(("README", "lessons/", "benchmarks/"))
    }


def commands(text: str) -> Iterator[str]:
    """What the text shows as code: `...` within a line, and the lines of ``` blocks."""
    for fenced in re.findall(r"^```[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in fenced.splitlines():
            yield line.removeprefix("$ ").split("#")[0].strip()
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def lesson_numbers() -> set[str]:
    return {
        str(int(path.parent.name[6:8])) for path in files("check.py") if path.parent.name.startswith("lesson")
    }


def test_every_make_command_in_the_texts_exists() -> None:
    targets = set(re.findall(r"^([a-z][\w%-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    wrong = []
    for where, text in texts().items():
        for command in commands(text):
            words = [word for word in command.split() if "=" not in word and not word.startswith(("-", '"'))]
            for target in words[1:2] if words[:1] == ["make"] else []:
                number = re.fullmatch(r"(.*lesson)(\d+|N)", target)
                there = f"{number[1]}%" in targets if number else target in targets
                if not there or (number and number[2] != "N" and number[2] not in lesson_numbers()):
                    wrong.append(f"{where}: `{command}`")
    assert not wrong, "the Makefile can't do\n" + "\n".join(wrong)


def test_every_workbench_command_in_the_texts_exists() -> None:
    named = [
        (where, command, match[1])
        for where, text in [*texts().items(), ("Makefile", (ROOT / "Makefile").read_text())]
        for command in (text.splitlines() if where == "Makefile" else commands(text))
        if (match := re.search(r"-m workbench (\w+)", command))
    ]
    known = subprocess.run(
        [sys.executable, "-m", "workbench", "--help"], cwd=ROOT, capture_output=True, text=True
    ).stdout
    wrong = [
        f"{where}: {command.strip()}"
        for where, command, word in named
        if not re.search(rf"\b{word}\b", known)
    ]
    assert named and not wrong, "python -m workbench can't do\n" + "\n".join(wrong)


def test_every_relative_link_in_the_texts_resolves() -> None:
    wrong = []
    for where, text in texts().items():
        prose = re.sub(r"^```.*?^```|`[^`\n]*`", "", text, flags=re.MULTILINE | re.DOTALL)
        targets = re.findall(r"\]\(<?([^)>\s]+)", prose) + re.findall(r"(?:src|href)=\"([^\"]+)\"", prose)
        for target in targets:
            path, _, anchor = target.partition("#")
            if re.match(r"\w+:", target):
                continue
            there = (ROOT / where).parent / path
            line = re.fullmatch(r"L(\d+)(?:-L\d+)?", anchor)
            if path and not there.exists():
                wrong.append(f"{where}: {target}")
            elif path and line and int(line[1]) > len(there.read_text().splitlines()):
                wrong.append(f"{where}: {target} (the file is shorter)")
    assert not wrong, "these lead nowhere\n" + "\n".join(wrong)


# Written so that this file doesn't hold what it looks for.
FOREIGN = {
    "a path of one machine": r"(?<![\w.$}/*])/(?:home|root|work|Users|tmp|opt/\w+)/\w",
    "the host of a package registry": r"py[p]i\.org|python[h]osted|download\.py[t]orch|registry\.[n]pm",
    "a note to oneself": r"\b(?:TO[D]O|FIX[M]E|X[X]X)\b",
}


@pytest.mark.parametrize("what", FOREIGN)
def test_nothing_foreign_in_the_files(what: str) -> None:
    wrong = []
    for path in files():
        content = path.read_bytes()
        if b"\0" in content:
            continue  # not a text
        for number, line in enumerate(content.decode(errors="replace").splitlines(), 1):
            if len(line) < 5000 and re.search(FOREIGN[what], line):  # longer ones are images in notebooks
                wrong.append(f"{name(path)}:{number}: {line.strip()[:100]}")
    assert not wrong, f"{what}\n" + "\n".join(wrong)
