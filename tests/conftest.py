"""What all tests share: the project's root on sys.path, and the `gpu` marker."""

import gc
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads would only wait for each other over small arrays
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # programs that tests start read the same modules
# jsonschema does without the grammars of IRIs, which take 3 seconds to import.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell's background, and programs inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests marked `gpu` where there is no GPU, and say why."""
    from workbench.gpu import has_gpu

    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked and not has_gpu():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs an NVIDIA GPU that CUDA 13 can use"))


@pytest.fixture(scope="module", autouse=True)
def _fewer_to_look_at() -> None:
    """Garbage is looked for among what a module's tests make, not among all modules and thousands of tests, too.

    And seldom: what is made in between is mostly kept, as a program's steps are.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)


@pytest.fixture(scope="module")
def mutants_run_once() -> Iterator[None]:
    """What a mistake makes of a case is always the same: remembered, where hundreds of tests ask for it."""
    from mutants import RESULTS, Remembered, once, what

    from workbench.check import diagnose

    outputs, known = diagnose._outputs, Remembered()

    def remembered(mistake: Any, evidence: Any) -> Any:
        key = what(mistake.mutant), evidence.case
        return known.get(key, lambda: outputs(replace(mistake, mutant=once(mistake.mutant)), evidence))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diagnose, "_outputs", remembered)
        yield
    RESULTS.clear()


@pytest.fixture
def root() -> Path:
    """The project's folder."""
    return ROOT
