"""What lesson 5 measures on a GPU besides the times of its versions. `make bench` keeps what `measure()` returns.

Times are in milliseconds.
"""

from dataclasses import asdict
from statistics import median
from typing import Any

import torch

from cuda_basics.streams import cuda_version as cuda
from cuda_basics.streams.gpu import Gpu
from cuda_basics.streams.iterate import iterate
from cuda_basics.streams.launches import graphed, one_by_one
from cuda_basics.streams.spans import Span, busy
from lessons.lesson05_streams_and_timing import fooled
from workbench.timing.stopwatch import measure as timed

N = 2**26  # floats: 256 MiB in, as many out
CHUNKS = 32
LOOPS = {"sequential": cuda.sequential, "overlapped": cuda.overlapped, "pipelined": cuda.pipelined}


def measure() -> dict[str, Any]:
    """Everything, in about half a minute. Needs a GPU."""
    x = torch.rand(N).pin_memory()
    found = speeds(x)
    balanced = round(found["rounds_per_s"] * 4 / found["copy_in"])  # rounds that last as long as the copy in
    return {
        "n": N,
        "speeds": found,
        "overlap": [overlap(x, rounds) for rounds in (balanced // 4, balanced, 2 * balanced)],
        "timelines": timelines(x, balanced),
        "small_launches": [small_launches(n) for n in (2**10, 2**16, 2**20, 2**24)],
        "fooled": fooled.measure(),
    }


def speeds(x: torch.Tensor) -> dict[str, float]:
    """What each engine reaches alone, and both copies at once: bytes, or rounds of one element, a second."""
    here, back = torch.empty_like(x, device="cuda"), torch.empty_like(x).pin_memory()
    other, side = torch.empty_like(here), torch.cuda.Stream()
    rounds = 1000

    def both_ways() -> None:
        side.wait_stream(torch.cuda.current_stream())
        here.copy_(x, non_blocking=True)
        with torch.cuda.stream(side):
            back.copy_(other, non_blocking=True)
        torch.cuda.current_stream().wait_stream(side)

    def per_second(amount: float, milliseconds: float) -> float:
        return amount / (milliseconds * 1e-3)

    return {
        "copy_in": per_second(x.nbytes, timed(lambda: here.copy_(x, non_blocking=True)).median),
        "copy_out": per_second(x.nbytes, timed(lambda: back.copy_(here, non_blocking=True)).median),
        "both_ways": per_second(2 * x.nbytes, timed(both_ways).median),
        "rounds_per_s": per_second(x.numel() * rounds, timed(lambda: iterate(here, rounds)).median),
    }


def overlap(x: torch.Tensor, rounds: int) -> dict[str, Any]:
    """How long each loop takes, and the efficiency of it: the lower bound over that time.

    lower_bound: the milliseconds of the engine with the most to do, each engine's the sum over the chunks of a
    sequential run, in which nothing disturbs it (median of several runs). No schedule of these chunks is faster.
    """
    alone = [busy(_watched("sequential", x, rounds)) for _ in range(5)]
    engines = {name: median(run[name] for run in alone) for name in alone[0]}
    bound = max(engines.values())
    times = {
        name: timed(lambda loop=loop: loop(x, rounds, chunks=CHUNKS)).median  # type: ignore[misc]
        for name, loop in LOOPS.items()
    }
    return {
        "rounds": rounds,
        "chunks": CHUNKS,
        "engines": engines,
        "lower_bound": bound,
        "times": times,
        "efficiency": {name: bound / time for name, time in times.items()},
    }


def timelines(x: torch.Tensor, rounds: int, chunks: int = 12) -> dict[str, list[dict[str, Any]]]:
    """When each operation of each loop ran, in fewer chunks, so that a figure can show them."""
    return {name: [asdict(span) for span in _watched(name, x, rounds, chunks)] for name in LOOPS}


def small_launches(n: int, launches: int = 500) -> dict[str, float]:
    """Many launches of a short kernel on n elements: microseconds a launch, one by one and as a graph."""
    x = torch.rand(n, device="cuda")
    one, all_at_once = (
        timed(lambda version=version: version(x, 1, launches)).median  # type: ignore[misc]
        for version in (one_by_one, graphed)
    )
    return {
        "n": n,
        "launches": launches,
        "one_by_one": 1e3 * one / launches,
        "graphed": 1e3 * all_at_once / launches,
    }


def _watched(name: str, x: torch.Tensor, rounds: int, chunks: int = CHUNKS) -> list[Span]:
    """The spans of a second run: the first one allocates."""
    for _ in range(2):
        gpu = Gpu(watch=True)
        LOOPS[name](x, rounds, chunks=chunks, gpu=gpu)
    return gpu.spans()
