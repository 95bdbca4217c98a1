"""Six ways to be fooled by a stopwatch, each measured beside the honest figure. Times are in milliseconds."""

import time
from collections.abc import Callable
from statistics import fmean, median
from threading import Event, Thread
from typing import Any

import numpy as np
import torch

from cuda_basics.streams.iterate import HERE, iterate
from workbench.cuda import load
from workbench.timing.stopwatch import measure as honest


def measure() -> dict[str, Any]:
    """All six. Needs a GPU."""
    return {
        "cold_start": cold_start(),
        "asynchronous_launch": asynchronous_launch(),
        "warm_l2": warm_l2(),
        "starved": starved(),
        "skewed_sample": skewed_sample(),
        "zeros": zeros(),
    }


def cold_start(n: int = 2**24) -> dict[str, Any]:
    """The first ten calls of a kernel that has never run: the first one compiles it, and loads it."""
    x = torch.rand(n, device="cuda")
    never_run = load(HERE / "iterate.cu", "iterate", {"FIRST_SEEN_AT": time.time_ns()})
    arguments = (x, np.int32(n), np.int32(100))

    def call() -> None:
        never_run(n // 256, 256, arguments)

    calls = [on_the_hosts_clock(call) for _ in range(10)]
    return {"calls": calls, "mean_of_ten": fmean(calls), "honest": honest(call).median}


def asynchronous_launch(n: int = 2**24) -> dict[str, float]:
    """The same call on the host's clock, without and with waiting for its end, and between two events."""
    x = torch.rand(n, device="cuda")

    def call() -> None:
        iterate(x, 20_000)

    call()
    torch.cuda.synchronize()
    launched = []
    for _ in range(11):
        began = time.perf_counter()
        call()
        launched.append(1e3 * (time.perf_counter() - began))
        torch.cuda.synchronize()
    return {
        "host_without_waiting": median(launched),
        "host_with_waiting": median(on_the_hosts_clock(call) for _ in range(11)),
        "honest": honest(call).median,
    }


def warm_l2(n: int = 2**22) -> dict[str, float]:
    """16 MiB, read and written: call after call, which finds them in the L2 cache, and with the cache emptied."""
    x = torch.rand(n, device="cuda")
    warm = median(_between_events(lambda: iterate(x, 1), 50))
    cold = honest(lambda: iterate(x, 1)).median
    traffic = 2 * x.nbytes / 1e9
    large = torch.rand(2**28, device="cuda")
    large_time = honest(lambda: iterate(large, 1)).median
    return {
        "warm": warm,
        "honest": cold,
        "warm_gb_per_s": traffic / (warm * 1e-3),
        "honest_gb_per_s": traffic / (cold * 1e-3),
        "gib_gb_per_s": 2 * large.nbytes / 1e9 / (large_time * 1e-3),
    }


def starved(n: int = 2**20) -> dict[str, float]:
    """A kernel shorter than its launch, between two events on an idle GPU, which waits for the host in between."""
    x = torch.rand(n, device="cuda")
    times = []
    for _ in range(50):
        torch.cuda.synchronize()
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        iterate(x, 1)
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return {"between_events": median(times[5:]), "honest": honest(lambda: iterate(x, 1)).median}


def skewed_sample(n: int = 2**20, repeats: int = 2000) -> dict[str, float]:
    """A short kernel timed many times on the host's clock, while another Python thread has 5 ms of work in every 20."""
    x = torch.rand(n, device="cuda")
    for _ in range(10):
        iterate(x, 300)
    done = Event()

    def other() -> None:
        while not done.wait(0.015):
            until = time.perf_counter() + 0.005
            while time.perf_counter() < until:
                pass

    thread = Thread(target=other)
    thread.start()
    try:
        sample = [on_the_hosts_clock(lambda: iterate(x, 300)) for _ in range(repeats)]
    finally:
        done.set()
        thread.join()
    return {
        "mean": fmean(sample),
        "median": median(sample),
        "largest": max(sample),
        "honest": honest(lambda: iterate(x, 300)).median,
    }


def zeros(size: int = 8192) -> dict[str, float]:
    """A matrix product in bfloat16, of zeros and of random numbers: TFLOP/s. (Time each for a second: clocks take
    a while to fall.)"""
    found = {}
    for name, a in {
        "zeros": torch.zeros(size, size, device="cuda", dtype=torch.bfloat16),
        "honest": torch.randn(size, size, device="cuda", dtype=torch.bfloat16),
    }.items():
        honest(lambda a=a: a @ a, budget=0.5)  # type: ignore[misc]
        found[name] = 2 * size**3 / (honest(lambda a=a: a @ a, budget=0.5).median * 1e-3) / 1e12  # type: ignore[misc]
    return found


def on_the_hosts_clock(call: Callable[[], Any]) -> float:
    """Milliseconds from the call to the end of what it launched, launching and waiting included."""
    torch.cuda.synchronize()
    began = time.perf_counter()
    call()
    torch.cuda.synchronize()
    return 1e3 * (time.perf_counter() - began)


def _between_events(call: Callable[[], Any], repeats: int) -> list[float]:
    """Milliseconds between events before and after each call, calls in a row, which the GPU finds all launched."""
    pairs = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(repeats)]
    iterate(torch.rand(1, device="cuda"), 10_000_000)  # some 20 ms of one thread
    for start, end in pairs:
        start.record()
        call()
        end.record()
    torch.cuda.synchronize()
    return [start.elapsed_time(end) for start, end in pairs[5:]]
