"""Says what this machine can do, by doing it: `make doctor`.

Each check runs something whose answer is known. Nothing is imported before its check, so that a
missing package costs its own line and no other.
"""

import ctypes
import importlib.metadata
import os
import platform
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.gpu import CUDA_VERSION_NEEDED, driver
from workbench.gpu import has_gpu as torch_has_gpu

ROOT = Path(__file__).resolve().parent.parent
OK, LOOK, WRONG, ABSENT = "OK", "LOOK", "WRONG", "not here"  # only WRONG keeps the course from working
STYLES = {OK: "green", LOOK: "yellow", WRONG: "bold red", ABSENT: "dim"}
LINUX_ONLY = "NVIDIA and Triton publish it for Linux only; a Linux VM or container has it"

# Only tests or `make watch-lessonN` need these, or an image may bring them in another form (the NVRTC line tells).
NOT_VITAL = ("pytest", "hypothesis", "ruff", "mypy", "watchfiles", "nvidia-")

KERNEL = """
extern "C" __global__ void twice(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = 2.0f * x[i];
}
"""
N = 1000  # elements; 8 blocks of 128 threads, the last one ragged


@dataclass(frozen=True)
class Finding:
    """One line: a verdict, what was seen, and the command that mends it where something can be mended."""

    verdict: str
    text: str
    mend: str = ""


def main() -> int:
    """Print a line for each thing the course needs. 0 if the course works on this machine, else 2."""
    compiling = _start_compiling_triton()  # in a process of its own, while the rest is checked
    checks: dict[str, Callable[[], Finding]] = {
        "Python": check_python,
        "packages": check_packages,
        "GPU": check_gpu,
        "PyTorch": check_torch,
        "NVRTC": check_nvrtc,
        "PTX machine": check_ptx_machine,
        "CuPy": check_cupy,
        "Triton": lambda: check_triton(compiling),
        "JupyterLab": check_jupyterlab,
    }
    verdicts = []
    for name, check in checks.items():
        try:
            finding = check()
        except Exception as error:  # whatever is broken here, the other lines still count
            said = (str(error).strip().splitlines() or ["no reason given"])[0]
            finding = Finding(WRONG, f"{type(error).__name__}: {said}", install_all())
        verdicts.append(finding.verdict)
        show(name, finding)
    if WRONG in verdicts:
        print("\nThe course doesn't work here yet: mend the lines marked WRONG.")
        return 2
    print("\nThe course works on this machine.")
    if sys.platform != "linux":
        print("CUDA and Triton exist for Linux only: what needs them is skipped here.")
    elif not has_gpu():
        print("Without a GPU everything is checked and nothing is timed.")
    return 0


def check_python() -> Finding:
    if sys.version_info < (3, 10):  # noqa: UP036
        return Finding(WRONG, f"{platform.python_version()}; 3.10 or newer is needed", "make clean setup")
    return Finding(OK, f"{platform.python_version()}, {this_python()}")


def check_packages() -> Finding:
    try:
        from packaging.requirements import Requirement
    except ImportError:
        return Finding(WRONG, "requirements.txt isn't installed", install_all())
    lines = [line.split("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    wanted = [requirement for requirement in map(Requirement, filter(None, lines))]
    wanted = [
        requirement for requirement in wanted if not requirement.marker or requirement.marker.evaluate()
    ]
    missing, other = [], []
    for requirement in wanted:
        there = version(requirement.name)
        if not there:
            missing.append(requirement)
        elif not requirement.specifier.contains(there, prereleases=True):
            other.append(f"{requirement.name} {there} (the course is tested with {requirement.specifier})")
    if missing:
        vital = [requirement for requirement in missing if not requirement.name.startswith(NOT_VITAL)]
        names = ", ".join(requirement.name for requirement in missing)
        mend = install_all() if len(missing) > 1 else install(f"{missing[0].name}{missing[0].specifier}")
        return Finding(WRONG if vital else LOOK, f"missing: {names}", mend)
    if other:
        return Finding(LOOK, "another version: " + ", ".join(other), install_all())
    return Finding(OK, f"all {len(wanted)} are as requirements.txt asks")


def check_gpu() -> Finding:
    cuda, count = driver()
    if count == 0:
        return _no_gpu()
    offered = f"{cuda // 1000}.{cuda % 1000 // 10}"
    if cuda < CUDA_VERSION_NEEDED:
        return Finding(
            LOOK,
            f"{count} here, unused: the driver is too old. It offers CUDA {offered}, and 13.0 is needed",
            "install NVIDIA's driver 580 or newer (on WSL: in Windows), then  make clean setup",
        )
    import torch

    if not torch.cuda.is_available():
        return Finding(LOOK, f"{count} here (CUDA {offered}), but PyTorch doesn't see it", _mend_torch())
    here = torch.cuda.get_device_properties(0)
    memory, more = f"{here.total_memory / 2**30:.0f} GiB", f", and {count - 1} more" if count > 1 else ""
    gpu = f"{here.name}, {memory}, sm_{here.major}{here.minor}{more}"
    return Finding(OK, f"{gpu}; driver{_driver_name()} for CUDA {offered}")


def _no_gpu() -> Finding:
    try:
        status = ctypes.CDLL("libcuda.so.1").cuInit(0)
    except OSError:
        return Finding(ABSENT, "no NVIDIA driver: CUDA runs in the PTX machine, Triton in its interpreter")
    if status in (0, 100):  # 100: no device
        return Finding(ABSENT, "a driver but no GPU that it shows (CUDA_VISIBLE_DEVICES may hide it)")
    return Finding(
        LOOK,
        f"NVIDIA's driver doesn't start: cuInit answers {status}",
        "restart; if that fails, reinstall the driver",
    )


def _driver_name() -> str:
    path = Path("/sys/module/nvidia/version")
    return f" {path.read_text().strip()}" if path.is_file() else ""


def check_torch() -> Finding:
    import torch

    built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU build"
    device = "cuda" if has_gpu() else "cpu"
    total = torch.arange(N, dtype=torch.float32, device=device).sum().item()
    if total != N * (N - 1) / 2:
        return Finding(WRONG, f"{torch.__version__} sums 0 to {N - 1} to {total} on {device}", _mend_torch())
    return Finding(
        OK, f"{torch.__version__} ({built}), right on {'the GPU' if device == 'cuda' else 'the CPU'}"
    )


def check_nvrtc() -> Finding:
    if sys.platform != "linux":
        return Finding(ABSENT, LINUX_ONLY)
    from workbench.cuda import resources

    with kernel_file() as path:
        found = resources(path, "twice", target="sm_90")  # PTX and machine code, in one compilation
    if found.registers == 0:
        return Finding(WRONG, "it compiles, but ptxas names no registers", install_all())
    return Finding(OK, f"{nvrtc_version()}, compiles to PTX and to sm_90 ({found.registers} registers)")


def check_ptx_machine() -> Finding:
    if sys.platform != "linux":
        return Finding(ABSENT, "it runs what NVRTC compiles, and NVRTC is for Linux only")
    right = twice("cpu")
    if right < N:
        return Finding(WRONG, f"{right} of {N} numbers are right", install_all())
    return Finding(OK, f"ran CUDA C++ on the CPU: {right} of {N} numbers are right")


def check_cupy() -> Finding:
    if sys.platform != "linux":
        return Finding(ABSENT, LINUX_ONLY)
    import cupy

    if not has_gpu():
        return Finding(ABSENT, f"{cupy.__version__} is installed; it needs a GPU to launch")
    import numpy as np
    import torch

    x, y = torch.arange(N, dtype=torch.float32, device="cuda"), torch.zeros(N, device="cuda")
    kernel = cupy.RawKernel(KERNEL, "twice", backend="nvrtc")
    kernel((8,), (128,), (np.uint64(x.data_ptr()), np.uint64(y.data_ptr()), np.int32(N)))
    right, loaded = int((y == 2 * x).sum()), twice("cuda")
    if right < N or loaded < N:
        return Finding(
            WRONG,
            f"{right} of {N} numbers are right, {loaded} of {N} through workbench.cuda",
            install_all(),
        )
    return Finding(OK, f"{cupy.__version__}, launched CUDA C++ on the GPU: {right} of {N} numbers are right")


def check_triton(compiling: "subprocess.Popen[str] | None") -> Finding:
    if compiling is None:
        return Finding(ABSENT, LINUX_ONLY)
    import torch
    import triton

    device, how = ("cuda", "compiled for this GPU") if has_gpu() else ("cpu", "interpreted on the CPU")
    x, y = torch.arange(N, dtype=torch.float32, device=device), torch.zeros(N, device=device)
    triton_kernel()[(triton.cdiv(N, 128),)](x, y, N, BLOCK=128)
    right = int((y == 2 * x).sum())
    said, errors = compiling.communicate(timeout=60)
    if right < N:
        return Finding(WRONG, f"{triton.__version__}, {how}: {right} of {N} numbers are right", install_all())
    if compiling.returncode != 0 or "sm_90" not in said:
        reason = (errors.strip().splitlines() or ["no reason given"])[-1]
        return Finding(WRONG, f"{triton.__version__} doesn't compile for sm_90: {reason}", install_all())
    return Finding(OK, f"{triton.__version__}, {how}: {right} of {N} numbers are right; compiles for sm_90")


def check_jupyterlab() -> Finding:
    there = version("jupyterlab")
    if not there or not version("ipykernel"):
        return Finding(WRONG, "missing: the notebooks need it", install("jupyterlab ipykernel"))
    return Finding(OK, f"{there}; open the notebooks with  make lab")


# Known answers.


def has_gpu() -> bool:
    try:
        return torch_has_gpu()
    except ImportError:  # a GPU, but no torch
        return False


@contextmanager
def kernel_file() -> Iterator[Path]:
    """The CUDA kernel in a temporary .cu file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "twice.cu"
        path.write_text(KERNEL)
        yield path


def twice(device: str) -> int:
    """Run the CUDA kernel through `workbench.cuda` on this device; how many of N numbers are right."""
    import numpy as np
    import torch

    from workbench.cuda import load

    x, y = torch.arange(N, dtype=torch.float32, device=device), torch.zeros(N, device=device)
    with kernel_file() as path:
        load(path, "twice")(8, 128, (x, y, np.int32(N)))
    return int((y == 2 * x).sum())


def triton_kernel() -> Any:
    """The same in Triton; a function's own, as Triton may be missing when this file is read."""
    import triton
    import triton.language as tl

    @triton.jit
    def twice(x, y, n, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
        i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        tl.store(y + i, 2.0 * tl.load(x + i, mask=i < n), mask=i < n)

    return twice


def _start_compiling_triton() -> "subprocess.Popen[str] | None":
    """Compile the Triton kernel for sm_90, in a process where Triton compiles instead of interpreting."""
    if sys.platform != "linux":
        return None
    return subprocess.Popen(
        [sys.executable, "-c", "from workbench.doctor import compile_triton; compile_triton()"],
        cwd=ROOT,
        env={**os.environ, "TRITON_INTERPRET": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def compile_triton() -> None:
    """What that process does."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    signature = {"x": "*fp32", "y": "*fp32", "n": "i32", "BLOCK": "constexpr"}
    source = ASTSource(fn=triton_kernel(), signature=signature, constexprs={"BLOCK": 128})
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32))
    print("sm_90" if compiled.asm["cubin"] else "nothing")


# What mends it, and how it is shown.


def version(package: str) -> str:
    """The installed version of a package, "" if there is none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def nvrtc_version() -> str:
    from cuda.bindings import nvrtc

    _, major, minor = nvrtc.nvrtcVersion()
    return f"{major}.{minor}"


def this_python() -> str:
    path = Path(sys.executable)
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def install(packages: str) -> str:
    return f"{this_python()} -m pip install {packages}"


def install_all() -> str:
    return install("-r requirements.txt") if Path(sys.prefix) != ROOT / ".venv" else "make clean setup"


def _mend_torch() -> str:
    return (
        "make clean setup"
        if Path(sys.prefix) == ROOT / ".venv"
        else install("--force-reinstall torch==2.13.0")
    )


def show(name: str, finding: Finding) -> None:
    """One finding as a line; a long text goes on below itself, a command stays whole."""
    body = textwrap.wrap(finding.text, 56)
    rest = "".join(f"\n{'':24}{line}" for line in body[1:])
    if finding.mend:
        rest += f"\n{'':24}mend:  {finding.mend}"
    verdict, line = f"{finding.verdict:8}", f"  {name:12}  {body[0]}{rest}"
    try:
        from rich.console import Console
        from rich.text import Text
    except ImportError:
        print(verdict + line, flush=True)
    else:
        Console().print(Text.assemble((verdict, STYLES[finding.verdict]), line), soft_wrap=True)
