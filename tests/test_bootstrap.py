"""Set-up: what it says where it can't work, that it goes on after a stop, and what the Makefile passes on."""

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make isn't installed")
SCRIPT = ROOT / "workbench" / "bootstrap.py"


@pytest.fixture
def bootstrap() -> ModuleType:
    """The script as a module of its own, so that a test may change its constants."""
    spec = importlib.util.spec_from_file_location("bootstrap_under_test", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A tree with what set-up needs, in a folder with a space in its name."""
    folder = tmp_path / "a copy"
    (folder / "workbench").mkdir(parents=True)
    for name in ("Makefile", "requirements.txt", "workbench/bootstrap.py"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def make(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    ours = ("MAKE", "MFLAGS", "PYTHON", "ARGS")  # what this run of the tests was started with
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.run(
        ["make", *arguments], cwd=folder, env={**kept, **environment}, capture_output=True, text=True
    )


def pretend(code: str) -> list[str]:
    """A command that runs bootstrap.py after `code` has changed what Python says of itself."""
    start = f"import sys, runpy; {code}; runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    return [sys.executable, "-c", start]


def test_an_old_python_can_read_the_script() -> None:
    ast.parse(SCRIPT.read_text(), feature_version=(3, 6))
    assert "from __future__" not in SCRIPT.read_text()  # `annotations` is 3.7's


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("sys.version_info = (3, 6, 9, 'final', 0)", ["Python 3.6.9", "3.10 or newer", "make BASE_PYTHON="]),
        ("sys.platform = 'win32'", ["WSL", "wsl --install"]),
        (
            "import importlib.util as u; f = u.find_spec; u.find_spec = lambda n: n != 'ensurepip' and f(n)",
            ["venv module", "sudo apt install python3-venv"],
        ),
    ],
    ids=["old Python", "Windows", "no venv module"],
)
def test_a_machine_that_cannot_is_told_so_in_a_sentence(code: str, words: list[str]) -> None:
    ran = subprocess.run(pretend(code), capture_output=True, text=True)
    assert ran.returncode == 2
    assert all(word in ran.stderr for word in words), ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.skipif(importlib.util.find_spec("ensurepip") is None, reason="this Python has no venv module")
def test_without_network_it_says_what_was_missing_and_can_go_on(copy: Path) -> None:
    cut = {"PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": "", "PIP_NO_CACHE_DIR": "1"}
    cut |= dict.fromkeys(("PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX"), "http://127.0.0.1:9/simple")
    ran = make(copy, "check-lesson1", f"BASE_PYTHON={sys.executable}", **cut)
    assert ran.returncode == 2
    assert "No network: numpy couldn't be fetched" in ran.stderr
    assert "run make again" in ran.stderr and ".venv/install.log" in ran.stderr
    assert "Traceback" not in ran.stderr and str(copy) not in ran.stderr
    assert (copy / ".venv" / "install.log").is_file()
    assert not (copy / ".venv" / "ready").exists()


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("Collecting triton==3.7.1\nERROR: [Errno 28] No space left on device", "disk is full: triton"),
        (
            "ERROR: No matching distribution found for cupy-cuda13x==14.2.0",
            "There is no cupy-cuda13x==14.2.0",
        ),
        (
            "$ python -m uv\nConnection refused\n$ python -m pip\nERROR: what",
            r"couldn't install the packages \(what",
        ),
        ("Collecting torch==2.13.0\nReadTimeoutError: Read timed out.", "No network: torch couldn't"),
    ],
    ids=["disk", "no build", "other", "slow network"],
)
def test_the_reason_is_read_from_what_pip_said(bootstrap: ModuleType, log: str, words: str) -> None:
    assert re.search(words, bootstrap.reason(log))


def test_what_an_interrupted_pip_left_is_forgotten(bootstrap: ModuleType, tmp_path: Path) -> None:
    bootstrap.VENV = tmp_path
    packages = tmp_path / "lib" / "python3.11" / "site-packages"
    for name, files in {
        "whole-1.dist-info": ["INSTALLER", "RECORD"],
        "half-1.dist-info": ["RECORD"],
        "~orch": [],
    }.items():
        (packages / name).mkdir(parents=True)
        for file in files:
            (packages / name / file).touch()
    bootstrap.forget_half_installed()
    assert [path.name for path in packages.iterdir()] == ["whole-1.dist-info"]


@pytest.fixture
def installed(copy: Path) -> Iterator[Path]:
    """A copy whose .venv looks installed; its python writes down how it was called and ends with 3."""
    import hashlib

    (copy / ".venv" / "bin").mkdir(parents=True)
    python = copy / ".venv" / "bin" / "python"
    python.write_text('#!/bin/sh\ncase "$*" in -c*|*--version) exit 0; esac\necho "$@" >> calls\nexit 3\n')
    python.chmod(0o755)
    wanted = hashlib.sha256((copy / "requirements.txt").read_bytes()).hexdigest()
    (copy / ".venv" / "ready").write_text(wanted)
    yield copy


@pytest.mark.parametrize(
    ("target", "call"),
    [
        ("check-lesson99", "-m workbench check 99"),
        ("check-lessonx", "-m workbench check x"),
        ("check", "-m workbench check all"),
        ("hint-lesson1", "-m workbench hint 1"),
        ("doctor", "-m workbench doctor"),
        ("notebooks", "-m workbench notebooks"),
        ("notebooks ARGS=1", "-m workbench notebooks 1"),
        ("bench", "-m workbench bench"),
        ("compare", "-m workbench compare"),
        ("profile-lesson2", "-m workbench profile 2"),
        ("test", "-m pytest -n 2 --dist worksteal"),
    ],
)
def test_targets_call_the_workbench_and_pass_its_exit_on(installed: Path, target: str, call: str) -> None:
    ran = make(installed, *target.split())
    assert (installed / "calls").read_text().strip() == call
    assert ran.returncode == 2 and "Error 3" in ran.stderr  # make's own status, and the one it was given


def test_a_second_make_costs_nothing(installed: Path) -> None:
    ran = make(installed, "setup")
    assert ran.returncode == 0 and ran.stderr == ""
    os.utime(installed / "requirements.txt")  # a new date alone installs nothing
    assert make(installed, "setup", f"BASE_PYTHON={sys.executable}").stderr == ""
    assert make(installed, "-q", ".venv/ready").returncode == 0


def test_a_changed_requirements_file_installs_again(installed: Path) -> None:
    (installed / "requirements.txt").write_text("torch==0\n")
    ran = make(installed, "setup", f"BASE_PYTHON={sys.executable}")
    assert "Setting up .venv" in ran.stderr and "pip couldn't install" in ran.stderr  # the .venv is a fake
    assert "install --progress-bar off --retries 2 -r" in (installed / "calls").read_text()
    assert not (installed / ".venv" / "ready").exists()


def test_python_given_by_hand_makes_no_venv(copy: Path) -> None:
    ran = make(copy, "check-lesson1", "PYTHON=echo")
    assert ran.stdout.strip() == "-m workbench check 1"
    assert not (copy / ".venv").exists()


def test_plain_make_lists_every_target(copy: Path) -> None:
    listed = make(copy).stdout
    for target in re.findall(r"^([a-z][\w-]*%?):", (ROOT / "Makefile").read_text(), re.MULTILINE):
        if target != "help":
            assert re.search(rf"^make {target.replace('%', '1')} ", listed, re.MULTILINE), target
    assert all(len(line) <= 100 for line in listed.splitlines())
