"""How long a function takes on a GPU, measured honestly."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch

AHEAD = 4  # rounds that are launched before one is waited for
FLUSHES = 50  # at most before a call: some 2 ms


@dataclass(frozen=True)
class Measurement:
    """Milliseconds of one call: the median of `repeats`, the fastest, and the spread (the middle half's width)."""

    median: float
    minimum: float
    spread: float
    repeats: int


def measure(function: Callable[[], Any], *, budget: float = 0.4, warmup: int = 5) -> Measurement:
    """Time `function()` on the current GPU with events, for about `budget` seconds.

    Each of these is there because leaving it out fools (lesson 5 measures by how much):

    - Warm-up calls: the first ones compile, load and allocate.
    - Events on the GPU, read after a synchronisation: launches return before the work is done, so the host's clock
      measures the launching.
    - The GPU is kept busy until the host has launched everything: else the time holds the GPU's waiting for the host,
      which for a short kernel is the longer part. Where the host was slower than that, the call is made again behind
      more work, some 2 ms of it at most. The time of a function that launches for longer, or waits for the GPU itself,
      holds the host's part.
    - The L2 cache emptied before each call: else a second run finds its data there.
    - The median, beside the fastest call and the spread: one slow call in fifty moves a mean, and the fastest is luck.
    - Random data, which is the caller's part: zeros switch fewer transistors, and the clock stays higher.
    """
    return measure_in_turn([function], budget=budget, warmup=warmup)[0]


def measure_in_turn(
    functions: Sequence[Callable[[], Any]],
    *,
    budget: float = 0.4,
    warmup: int = 5,
    least: int = 10,
    most: int = 200,
    progress: Callable[[float], None] = lambda part: None,
) -> list[Measurement]:
    """Time several functions as `measure` does, for `budget` seconds each and at least `least` times, in turn.

    One call of each, then the next of each: a clock that drifts hits all alike. The host stays some rounds ahead of
    the GPU and never waits for the last one: the first call after a wait would hold the host's waking up. progress:
    told how large a part of the calls is done.
    """
    flush = _flush_buffer(torch.cuda.current_device())
    plans = [_plan(function, flush, budget, warmup, least, most) for function in functions]
    events: list[list[tuple[torch.cuda.Event, torch.cuda.Event]]] = [[] for _ in functions]
    rounds = max(repeats for _, repeats in plans)
    ends: list[torch.cuda.Event] = []  # of each round
    for turn in range(rounds):
        for place, (function, mine) in enumerate(zip(functions, events, strict=True)):
            flushes, repeats = plans[place]
            # The slow ones aren't in each round.
            if (turn + 1) * repeats // rounds > turn * repeats // rounds:
                start, end, ahead = _once(function, flush, flushes)
                while not ahead and flushes < FLUSHES:
                    flushes = min(2 * flushes, FLUSHES)
                    start, end, ahead = _once(function, flush, flushes)
                plans[place] = flushes, repeats
                mine.append((start, end))
        if len(functions) > 1:
            ends.append(end)
            if turn >= AHEAD:
                ends[turn - AHEAD].synchronize()
        progress((turn + 1) / rounds)
    torch.cuda.synchronize()
    return [summary([start.elapsed_time(end) for start, end in mine]) for mine in events]


def summary(times: Sequence[float]) -> Measurement:
    """What is kept of the times of single calls, in milliseconds."""
    low, middle, high = np.percentile(np.array(times), [25, 50, 75])
    return Measurement(float(middle), float(min(times)), float(high - low), len(times))


def _plan(
    function: Callable[[], Any], flush: torch.Tensor, budget: float, warmup: int, least: int, most: int
) -> tuple[int, int]:
    """(flushes before each call, number of calls) of a function, which is warm afterwards."""
    for _ in range(warmup):
        function()
    torch.cuda.synchronize()
    flushes = _flushes(function, flush)
    probe = [_once(function, flush, flushes) for _ in range(3)]
    torch.cuda.synchronize()
    estimate = min(start.elapsed_time(end) for start, end, _ in probe)
    return flushes, int(np.clip(budget * 1e3 / max(estimate + 0.1 * flushes, 1e-3), least, most))


def _once(
    function: Callable[[], Any], flush: torch.Tensor, flushes: int
) -> tuple[torch.cuda.Event, torch.cuda.Event, bool]:
    """Events at the call's start and end; and whether the host had launched everything before the start came."""
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    for _ in range(flushes):
        flush.zero_()
    start.record()
    function()
    ahead = not start.query()
    end.record()
    return start, end, ahead


def _flushes(function: Callable[[], Any], flush: torch.Tensor) -> int:
    """How many flushes keep the GPU busy until the host has launched `function`.

    A function that waits for the GPU itself seems to launch for as long as it runs; it gets the most.
    """
    launching = []
    for _ in range(3):
        began = time.perf_counter()
        function()
        launching.append(1e3 * (time.perf_counter() - began))
        torch.cuda.synchronize()
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    flush.zero_()
    start.record()
    for _ in range(10):
        flush.zero_()
    end.record()
    torch.cuda.synchronize()
    once = start.elapsed_time(end) / 10
    return int(np.clip(np.ceil(2 * min(launching) / once), 1, FLUSHES))


@lru_cache
def _flush_buffer(device: int) -> torch.Tensor:
    """Twice the L2 cache, so that writing it leaves nothing else there."""
    size = torch.cuda.get_device_properties(device).L2_cache_size
    return torch.empty(2 * size, dtype=torch.uint8, device=f"cuda:{device}")


def first_call(call: Callable[[], Any]) -> tuple[float, float]:
    """Milliseconds and peak memory (MiB, beside what was allocated before) of one call that is compiled already."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    call()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end), (torch.cuda.max_memory_allocated() - before) / 2**20
