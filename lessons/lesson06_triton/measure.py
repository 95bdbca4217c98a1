"""What lesson 6 measures on a GPU besides the times of its versions. `make bench` keeps what `measure()` returns."""

from functools import partial
from time import perf_counter
from typing import Any

import torch

from cuda_basics.softmax import cuda_version as cuda
from triton_basics.matmul import matmul, tiles, tuned
from triton_basics.softmax import softmax
from workbench.timing.ceilings import copy_bandwidth
from workbench.timing.stopwatch import measure as timed

COLUMNS = (256, 1024, 4096, 16_384, 32_768, 65_536, 262_144)
ELEMENTS = 2**25  # of each of these matrices: 128 MiB
VERSIONS = {"Triton": softmax, "CUDA": cuda.softmax, "torch.softmax": lambda x: torch.softmax(x, dim=1)}
GROUPS = (1, 2, 4, 8, 16, 32)
N = 8192


def measure() -> dict[str, Any]:
    """Softmax of float32 rows of several lengths, in GB/s; the bfloat16 product of N x N matrices. Needs a GPU."""
    return {
        "copy_gb_per_s": copy_bandwidth() / 1e9,
        "softmax": [softmax_rates(ELEMENTS // columns, columns) for columns in COLUMNS],
        "ragged": softmax_rates(1823, 781),
        **products(),
    }


def softmax_rates(rows: int, columns: int) -> dict[str, Any]:
    """GB/s of each version, counting x read and y written once."""
    x = torch.randn(rows, columns, device="cuda")
    must_move = 2 * x.nbytes
    rates = {name: must_move / timed(partial(f, x), budget=0.15).median / 1e6 for name, f in VERSIONS.items()}
    return {"rows": rows, "columns": columns, **rates}


def products() -> dict[str, Any]:
    """TFLOP/s by size of a group, for one tile size; what tuning chose, in how many seconds, and cuBLAS beside it."""
    a, b = (torch.randn(N, N, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    matmul(a, b)  # compiles what isn't compiled yet
    tuner = tuned[a.element_size()]
    tuner.cache_results = False  # forget what was tuned, also on disk, and do it again
    tuner.cache.clear()
    start = perf_counter()
    matmul(a, b)
    torch.cuda.synchronize()
    tuning = perf_counter() - start

    def rate(group: int) -> float:
        config = tiles(128, 256, 64, group=group, warps=8, stages=3)
        return 2e-9 * N**3 / timed(lambda: matmul(a, b, config=config)).median

    return {
        "n": N,
        "tuning_seconds": tuning,
        "configurations": len(tuner.configs),
        "best": tuner.best_config.all_kwargs(),
        "groups": [{"group": group, "tflop_per_s": rate(group)} for group in GROUPS],
        "cublas_tflop_per_s": 2e-9 * N**3 / timed(lambda: a @ b).median,
    }
