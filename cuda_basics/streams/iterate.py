"""Launch iterate.cu."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from workbench.cuda import Kernel, load

HERE = Path(__file__).parent
THREADS = 256


def iterate(x: torch.Tensor, rounds: int) -> None:
    """x = A * x + B, `rounds` times over, in place. x: (n,) float32. On a GPU it goes to torch's current stream."""
    if x.numel() > 0:
        blocks = -(-x.numel() // THREADS)
        _kernel()(blocks, THREADS, (x, np.int32(x.numel()), np.int32(rounds)))


@lru_cache
def _kernel() -> Kernel:
    return load(HERE / "iterate.cu", "iterate")
