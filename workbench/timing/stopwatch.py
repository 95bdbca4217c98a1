"""How long a function takes on a GPU, measured honestly."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Measurement:
    """Milliseconds of one call: the median of `repeats`, the fastest, and the spread (the middle half's width)."""

    median: float
    minimum: float
    spread: float
    repeats: int


def measure(function: Callable[[], Any], *, budget: float = 0.4, warmup: int = 5) -> Measurement:
    """Time `function()` on the current GPU with events, for about `budget` seconds.

    Each of these is there because leaving it out fools: warm-up calls (the first ones compile, load and allocate); a
    synchronisation before the clock is read (launches return before the work is done, so a host clock measures the
    launching); the L2 cache emptied before each call (else a second run finds its data there); random data, which is
    the caller's part (zeros switch fewer transistors, and the clock stays higher); the median and the spread, since one
    slow call in fifty moves a mean.
    """
    for _ in range(warmup):
        function()
    torch.cuda.synchronize()
    flush = _flush_buffer(torch.cuda.current_device())

    def once() -> tuple[torch.cuda.Event, torch.cuda.Event]:
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        flush.zero_()  # also keeps the GPU busy while the host prepares the launch
        start.record()
        function()
        end.record()
        return start, end

    probe = [once() for _ in range(3)]
    torch.cuda.synchronize()
    estimate = min(start.elapsed_time(end) for start, end in probe)
    repeats = int(np.clip(budget * 1e3 / max(estimate + 0.1, 1e-3), 10, 200))
    events = [once() for _ in range(repeats)]
    torch.cuda.synchronize()
    times = np.array([start.elapsed_time(end) for start, end in events])
    low, middle, high = np.percentile(times, [25, 50, 75])
    return Measurement(float(middle), float(times.min()), float(high - low), repeats)


@lru_cache
def _flush_buffer(device: int) -> torch.Tensor:
    """Twice the L2 cache, so that writing it leaves nothing else there."""
    size = torch.cuda.get_device_properties(device).L2_cache_size
    return torch.empty(2 * size, dtype=torch.uint8, device=f"cuda:{device}")
