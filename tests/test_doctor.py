"""The doctor: right on this machine, and one clear line for each thing that can be wrong."""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

from workbench import doctor

ROOT = Path(__file__).resolve().parent.parent
LINES = ["Python", "packages", "GPU", "PyTorch", "NVRTC", "PTX machine", "CuPy", "Triton", "JupyterLab"]


def test_it_finds_that_the_course_works_here() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "workbench", "doctor"], cwd=ROOT, capture_output=True, text=True
    )
    for name in LINES:
        assert re.search(rf"^(OK|LOOK|not here) +{name} +\S", ran.stdout, re.MULTILINE), (
            ran.stdout + ran.stderr
        )
    assert ran.returncode == 0 and ran.stderr == ""
    assert "The course works on this machine." in ran.stdout
    assert "\x1b" not in ran.stdout  # plain when piped
    assert all(len(line) <= 80 for line in ran.stdout.splitlines() if "mend:" not in line)


@pytest.mark.parametrize(
    ("missing", "lines"),
    [
        (["torch"], ["PyTorch", "PTX machine", "Triton"]),
        (["cupy", "cuda.bindings", "packaging.requirements"], ["CuPy", "NVRTC", "packages"]),
    ],
    ids=["torch", "others"],
)
def test_a_missing_module_costs_its_lines(missing: list[str], lines: list[str]) -> None:
    hide = f"import sys; sys.modules.update(dict.fromkeys({missing}))"  # importing them raises ImportError
    code = f"{hide}; from workbench import doctor; sys.exit(doctor.main())"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 2 and ran.stderr == "", ran.stderr
    for name in LINES:
        assert re.search(rf"^\S.{{7}}  {name} ", ran.stdout, re.MULTILINE), ran.stdout
    for name in lines:
        line = re.search(rf"^WRONG +{name} .*(\n .*)*", ran.stdout, re.MULTILINE)
        assert line and re.search("mend:  .*(pip install|make clean setup)", line[0]), ran.stdout
    assert "Traceback" not in ran.stdout and "doesn't work here yet" in ran.stdout


def test_without_rich_it_prints_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    finding = doctor.Finding(doctor.WRONG, "a text that is long enough " * 5, "make " * 30)
    doctor.show("NVRTC", finding)
    with_rich = capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "rich.console", None)
    doctor.show("NVRTC", finding)
    assert capsys.readouterr().out == with_rich


def versions(monkeypatch: pytest.MonkeyPatch, **there: str) -> None:
    """Pretend that these packages have these versions; "" for one that is missing."""
    real = importlib.metadata.version

    def version(package: str) -> str:
        if there.get(package) == "":
            raise importlib.metadata.PackageNotFoundError(package)
        return there.get(package) or real(package)

    monkeypatch.setattr(importlib.metadata, "version", version)


def test_versions_are_held_against_requirements(monkeypatch: pytest.MonkeyPatch) -> None:
    versions(monkeypatch, torch="2.11.0+cu130")
    finding = doctor.check_packages()
    assert finding.verdict == doctor.LOOK  # it may work: the other lines try
    assert "torch 2.11.0+cu130 (the course is tested with ==2.13.0)" in finding.text and finding.mend

    versions(monkeypatch, rich="")
    finding = doctor.check_packages()
    assert finding.verdict == doctor.WRONG and "missing: rich" in finding.text
    assert "rich" in finding.mend or "make clean setup" in finding.mend

    versions(monkeypatch, rich="15.0.0", mypy="")  # only the tests need it
    assert doctor.check_packages().verdict == doctor.LOOK


def test_an_old_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "driver", lambda: (12040, 1))
    finding = doctor.check_gpu()
    assert finding.verdict == doctor.LOOK
    assert "CUDA 12.4" in finding.text and "13.0 is needed" in finding.text and "driver 580" in finding.mend


def test_wrong_numbers_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "KERNEL", doctor.KERNEL.replace("i < n", "i < n - 1"))
    finding = doctor.check_ptx_machine()
    assert finding.verdict == doctor.WRONG and "999 of 1000" in finding.text


@pytest.mark.gpu
def test_the_gpu_is_named_and_used() -> None:
    for check in (doctor.check_gpu, doctor.check_torch, doctor.check_cupy):
        assert check().verdict == doctor.OK
