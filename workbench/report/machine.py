"""Where and when something was measured."""

import platform
import subprocess
from datetime import datetime, timezone
from importlib import metadata

from workbench.gpu import driver, has_gpu

PACKAGES = ("torch", "triton", "numpy", "cupy-cuda13x", "cuda-bindings", "nvidia-cuda-nvrtc")


def describe() -> dict[str, object]:
    """GPU (or None), driver and its CUDA version, clocks, Python and package versions, and the date (UTC)."""
    gpu = None
    if has_gpu():
        import torch

        gpu = torch.cuda.get_device_name()
    version, _ = driver()
    return {
        "gpu": gpu,
        "driver": _ask("driver_version").get("driver_version") if gpu else None,
        "driver_cuda": f"{version // 1000}.{version % 1000 // 10}" if version else None,
        "clocks": clocks(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    }


def clocks() -> dict[str, str]:
    """The GPU's clocks (MHz), power (W) and temperature (Celsius) now, by nvidia-smi's names; {} without a GPU."""
    return _ask("clocks.sm", "clocks.mem", "clocks.max.sm", "power.draw", "power.limit", "temperature.gpu")


def _ask(*what: str) -> dict[str, str]:
    """What nvidia-smi says of the GPU that PyTorch uses; {} if it can't be asked."""
    if not has_gpu():
        return {}
    import torch

    uuid = getattr(torch.cuda.get_device_properties(torch.cuda.current_device()), "uuid", None)
    which = ["-i", f"GPU-{uuid}"] if uuid else []
    command = ["nvidia-smi", f"--query-gpu={','.join(what)}", "--format=csv,noheader,nounits", *which]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    values = said.stdout.strip().splitlines()[:1]
    if said.returncode != 0 or not values:
        return {}
    return dict(zip(what, (value.strip() for value in values[0].split(",")), strict=False))


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
