"""How long a call takes on a GPU, without being fooled."""

from collections.abc import Callable
from statistics import median
from typing import Any


def stopwatch(gpu: Any, work: Callable[[], Any], repeats: int = 21) -> float:
    """Milliseconds that `work()` keeps the GPU busy, its data in memory and not in a cache: the median of `repeats`."""
    for _ in range(5):
        work()  # the first calls compile, load and allocate
    times = []
    for _ in range(repeats):
        gpu.flush_l2()  # the call before left its data there
        start, end = gpu.event(), gpu.event()
        start.record()
        work()
        end.record()
        gpu.synchronize()  # the calls above have returned; the GPU may not have begun
        times.append(start.elapsed_time(end))
    return median(times)  # a slow call in ten moves a mean
