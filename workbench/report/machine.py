"""Where and when something was measured."""

import platform
from datetime import datetime, timezone
from importlib import metadata

from workbench.gpu import driver, has_gpu

PACKAGES = ("torch", "triton", "numpy", "cupy-cuda13x", "cuda-bindings", "nvidia-cuda-nvrtc")


def describe() -> dict[str, object]:
    """GPU (or None), its driver's CUDA version, Python and package versions, and the date (UTC)."""
    gpu = None
    if has_gpu():
        import torch

        gpu = torch.cuda.get_device_name()
    version, _ = driver()
    return {
        "gpu": gpu,
        "driver_cuda": f"{version // 1000}.{version % 1000 // 10}" if version else None,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
