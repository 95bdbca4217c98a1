"""What lesson 7 measures on a GPU besides the times of its versions. `make bench` keeps what `measure()` returns."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from flash_attention.softmax import cuda_version, triton_version
from workbench.timing.ceilings import copy_bandwidth
from workbench.timing.stopwatch import measure as timed

NAMES = ("three_pass", "online", "one_pass")
SHAPES = (  # rows of 16 kB, which caches keep between passes, and rows of 4 MB, which they don't
    (8192, 4096, torch.float32),
    (8192, 4096, torch.float16),
    (4096, 32_768, torch.float32),
    (256, 2**20, torch.float32),
    (1823, 781, torch.float32),
)


def measure() -> dict[str, Any]:
    """Milliseconds of every version over shapes, in about ten seconds. Needs a GPU."""
    return {
        "copy_gb_per_s": copy_bandwidth() / 1e9,
        "softmax": [one for shape in SHAPES for one in times(*shape)],
    }


def times(rows: int, columns: int, dtype: torch.dtype) -> list[dict[str, Any]]:
    x = torch.randn(rows, columns, device="cuda", dtype=torch.float32).to(dtype)
    versions: dict[str, Callable[[], Any]] = {"pytorch": partial(torch.softmax, x, 1)}
    for language, module in (("cuda", cuda_version), ("triton", triton_version)):
        for name in NAMES:
            versions[f"{language}/{name}"] = partial(getattr(module, f"softmax_{name}"), x)
    shape = {"rows": rows, "columns": columns, "dtype": str(dtype).removeprefix("torch."), "bytes": x.nbytes}
    return [
        {**shape, "version": version, "ms": timed(call, budget=0.1).median}
        for version, call in versions.items()
    ]
