"""What all tests share: the project's root on sys.path, and the `gpu` marker."""

import gc
import os
import signal
import sys
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads would only wait for each other over small arrays
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
    """Garbage is looked for among what a module's tests make, not among all modules and thousands of tests, too."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def root() -> Path:
    """The project's folder."""
    return ROOT
