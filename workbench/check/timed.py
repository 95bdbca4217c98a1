"""Time one row on a GPU, beside PyTorch's own and the ceiling that the copy engine sets."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch

from workbench.timing.ceilings import copy_bandwidth, host_copy_bandwidth, matrix_product
from workbench.timing.stopwatch import Measurement, measure


def times(
    ours: Callable[[], Any],
    pytorchs: Callable[[], Any],
    traffic: int,
    operations: int | None,
    dtype: str,
    on_host: bool = False,
) -> dict[str, float]:
    """What `Outcome.timing` holds.

    median, minimum, spread (ms) and repeats of `ours`; gb_per_s for `traffic` bytes; copy_gb_per_s, what a copy reaches
    on this GPU in this run, and percent_of_copy; on_host, host_copy_gb_per_s, what copies to and from the host reach
    together, of which percent_of_copy then speaks; for `operations`, tflop_per_s, product_tflop_per_s, what a matrix
    product of `dtype` reaches, and percent_of_product; pytorch_median (ms) and times_pytorch (above 1: faster than
    PyTorch); peak_mib, the memory that one call takes.
    """
    copy = copy_bandwidth()
    ceiling = host_copy_bandwidth() if on_host else copy
    rival = measure(pytorchs)
    own = measure(ours)
    return {
        **asdict(own),
        "gb_per_s": _rate(own, traffic),
        "percent_of_copy": 100 * _rate(own, traffic) * 1e9 / ceiling,
        "copy_gb_per_s": copy / 1e9,
        **({"host_copy_gb_per_s": ceiling / 1e9} if on_host else {}),
        **(_arithmetic(own, operations, dtype) if operations else {}),
        "pytorch_median": rival.median,
        "times_pytorch": rival.median / own.median,
        "peak_mib": _peak(ours),
    }


def _rate(measurement: Measurement, traffic: int) -> float:
    return traffic / (measurement.median * 1e-3) / 1e9


def _arithmetic(measurement: Measurement, operations: int, dtype: str) -> dict[str, float]:
    reached, ceiling = operations / (measurement.median * 1e-3), matrix_product(dtype)
    return {
        "tflop_per_s": reached / 1e12,
        "product_tflop_per_s": ceiling / 1e12,
        "percent_of_product": 100 * reached / ceiling,
    }


def _peak(function: Callable[[], Any]) -> float:
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    function()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**20
