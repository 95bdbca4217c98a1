"""Is there a GPU that this course can use? Asked without importing torch where the answer is no."""

import ctypes
from functools import lru_cache

CUDA_VERSION_NEEDED = 13000  # the driver interface that the CUDA 13 wheels are built for


@lru_cache(maxsize=1)
def driver() -> tuple[int, int]:
    """(CUDA version the driver offers, number of GPUs it shows); (0, 0) without a driver.

    Versions are the driver's own numbers: 13000 is CUDA 13.0. `CUDA_VISIBLE_DEVICES` is respected.
    """
    version, count = ctypes.c_int(0), ctypes.c_int(0)
    try:
        library = ctypes.CDLL("libcuda.so.1")
        if library.cuInit(0) == 0:
            library.cuDriverGetVersion(ctypes.byref(version))
            library.cuDeviceGetCount(ctypes.byref(count))
    except OSError:
        pass
    return version.value, count.value


def too_old() -> str:
    """Where GPUs stay unused because of their driver: a sentence that says so. Otherwise empty."""
    version, count = driver()
    if count == 0 or version >= CUDA_VERSION_NEEDED:
        return ""
    return (
        f"The driver of the NVIDIA GPU here is too old: it offers CUDA {version // 1000}.{version % 1000 // 10}, and "
        f"{CUDA_VERSION_NEEDED // 1000}.0 is needed (driver 580 or newer)."
    )


@lru_cache(maxsize=1)
def has_gpu() -> bool:
    """True if torch can run on an NVIDIA GPU here. `CUDA_VISIBLE_DEVICES=` (empty) makes it False."""
    version, count = driver()
    if count == 0 or version < CUDA_VERSION_NEEDED:
        return False
    try:
        import torch
    except ImportError:  # `make doctor` says so
        return False
    return torch.cuda.is_available()
