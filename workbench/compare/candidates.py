"""Who takes part: implementations by name, with wildcards, and functions of the user's own."""

import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from types import ModuleType
from typing import Any

from workbench.check.failures import in_words
from workbench.compare.shapes import nearest


class NoSuchCandidate(ValueError):
    """A name that stands for nothing, or a function that can't be had; in a sentence."""


class Unsupported(Exception):
    """An implementation doesn't take this call; in a sentence."""


@dataclass(frozen=True)
class Candidate:
    """One implementation of attention.

    function: (q, k, v, *, causal) -> o, or (o, lse), on torch tensors of the shapes that `shapes.Shape` describes.
    language: "cuda", "triton" (whose traffic is counted without a GPU), "gluon", "numpy" or "pytorch". missing: why it
    can't run here, as a sentence. file: where a user's own function stands.
    """

    name: str
    function: Callable[..., Any]
    language: str
    missing: str = ""
    file: Path | None = None


def choose(asked: Sequence[str], known: Mapping[str, Candidate]) -> list[Candidate]:
    """The candidates that the names, wildcards ("flash_v2*") and "module:function" mean, each once.

    Nothing asked: all that can run here. Raises NoSuchCandidate.
    """
    if not asked:
        return [candidate for candidate in known.values() if not candidate.missing]
    found: dict[str, Candidate] = {}
    for text in asked:
        if ":" in text:
            found[text] = users(text)
            continue
        names = [name for name in known if fnmatchcase(name, text)]
        if not names:
            raise NoSuchCandidate(f"No implementation is called {text}; {nearest(text, known)}.")
        found.update((name, known[name]) for name in names)
    return list(found.values())


def users(text: str) -> Candidate:
    """The user's own: "module:function", or "folder/file.py:function". Raises NoSuchCandidate."""
    where, _, name = text.rpartition(":")
    if where.endswith(".py") and not Path(where).is_file():
        raise NoSuchCandidate(f"There is no file {where}.")
    try:
        module = _file(Path(where)) if where.endswith(".py") else _module(where)
    except Exception as error:  # whatever the user's file raises while it is imported
        words = " ".join(in_words(error, Path(where)).split())
        raise NoSuchCandidate(f"{where} can't be imported: {words}") from error
    function = getattr(module, name, None)
    if function is None:
        names = [key for key, value in vars(module).items() if inspect.isfunction(value)]
        raise NoSuchCandidate(f"{where} has no function {name}; {nearest(name, names)}.")
    if not callable(function):
        raise NoSuchCandidate(f"{text} is a {type(function).__name__}, not a function.")
    source = inspect.getsourcefile(function) if inspect.isfunction(function) else None
    return Candidate(text, _with_causal(function), "cuda", file=Path(source or where))


def _file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _module(name: str) -> ModuleType:
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    return importlib.import_module(name)


def _with_causal(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function itself, or, if it has no `causal`, one that takes it and refuses what it can't do."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # of a built-in
        return function
    if any(one.name == "causal" or one.kind is one.VAR_KEYWORD for one in parameters):
        return function

    def without(q: Any, k: Any, v: Any, *, causal: bool) -> Any:
        if causal:
            raise Unsupported("it has no argument causal")
        return function(q, k, v)

    return without
