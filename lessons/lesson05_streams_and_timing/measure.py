"""What lesson 5 measures on a GPU besides the times of its versions. `make bench` keeps what `measure()` returns.

Times are in milliseconds.
"""

from collections.abc import Callable
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
from lessons.lesson05_streams_and_timing.mistakes import slipped
from workbench.timing.ceilings import host_copy_bandwidth
from workbench.timing.stopwatch import measure as timed

N = 2**27  # floats: 512 MiB in, as many out
CHUNKS = 32


def measure() -> dict[str, Any]:
    """Everything, in about 20 seconds. Needs a GPU."""
    x = torch.rand(N).pin_memory()
    found = speeds(x)
    balanced = round(found["rounds_per_s"] * 4 / found["copy_in"])  # rounds that last as long as the copy in
    return {
        "n": N,
        "speeds": found,
        "overlap": [
            overlap(x, rounds, 2e3 * x.nbytes / found["both_ways"])
            for rounds in (balanced // 4, balanced, 2 * balanced)
        ],
        "timelines": timelines(x, balanced),
        "luck": [luck(x, balanced, chunks) for chunks in (8, 32, 128)],
        "small_launches": [small_launches(n) for n in (2**10, 2**16, 2**20, 2**24)],
        "fooled": fooled.measure(),
    }


def speeds(x: torch.Tensor) -> dict[str, float]:
    """What each engine reaches alone, and both copies at once: bytes, or rounds of one element, a second."""
    here, back = torch.empty_like(x, device="cuda"), torch.empty_like(x).pin_memory()
    rounds = 1000

    def per_second(amount: float, milliseconds: float) -> float:
        return amount / (milliseconds * 1e-3)

    return {
        "copy_in": per_second(x.nbytes, timed(lambda: here.copy_(x, non_blocking=True)).median),
        "copy_out": per_second(x.nbytes, timed(lambda: back.copy_(here, non_blocking=True)).median),
        "both_ways": host_copy_bandwidth(),
        "rounds_per_s": per_second(x.numel() * rounds, timed(lambda: iterate(here, rounds)).median),
    }


def overlap(x: torch.Tensor, rounds: int, both_ways: float) -> dict[str, Any]:
    """How long each loop takes, and its efficiency: what the slower of copy and compute allows, over that time.

    engines: for each, the sum over the chunks of a sequential run, in which nothing disturbs it (the median of several
    runs). both_ways: milliseconds of all copies in and out at the same time without a kernel, which is more than
    either alone where they share the way. lower_bound: the largest of these four. No schedule of the chunks is faster.
    """
    alone = [busy(_watched("sequential", x, rounds)) for _ in range(5)]
    engines = {name: median(run[name] for run in alone) for name in alone[0]}
    bound = max(*engines.values(), both_ways)
    times = {
        name: timed(lambda loop=loop: loop(x, rounds, chunks=CHUNKS), budget=0.3)  # type: ignore[misc]
        for name, loop in cuda.LOOPS.items()
    }
    return {
        "rounds": rounds,
        "chunks": CHUNKS,
        "engines": engines,
        "both_ways": both_ways,
        "lower_bound": bound,
        "times": {name: asdict(time) for name, time in times.items()},
        "efficiency": {name: bound / time.median for name, time in times.items()},
    }


def timelines(x: torch.Tensor, rounds: int, chunks: int = 12) -> dict[str, list[dict[str, Any]]]:
    """When each operation of each loop ran, in fewer chunks, so that a figure can show them."""
    return {name: [asdict(span) for span in _watched(name, x, rounds, chunks)] for name in cuda.LOOPS}


def luck(x: torch.Tensor, rounds: int, chunks: int) -> dict[str, Any]:
    """What part of the answer is wrong (0 to 1) if `pipelined` leaves out one wait, by the wait's name."""
    right = cuda.pipelined(x, rounds, chunks=chunks)
    wrong = {}
    for wait in (
        "compute.wait_event(arrived)",
        "outward.wait_event(computed)",
        "inward.wait_event(free[i % buffers])",
    ):
        y = cuda.transform(x, rounds, loop=slipped("pipelined.py", wait, "pass"), chunks=chunks)
        wrong[wait] = (y != right).float().mean().item()
    return {"chunks": chunks, "wrong": wrong}


def small_launches(n: int, launches: int = 500) -> dict[str, float]:
    """Many launches of a short kernel on n elements: microseconds a launch, one by one and as a graph.

    pytorch: as many of PyTorch's own kernels, one by one. On the host's clock, from the first launch to the end of the
    last kernel: here the launching is what is asked for, and the stopwatch would hide it.
    """
    x = torch.rand(n, device="cuda")

    def pytorch() -> None:
        for _ in range(launches):
            x.mul_(1.0)

    def each(call: Callable[[], Any]) -> float:
        return 1e3 * median(fooled.on_the_hosts_clock(call) for _ in range(11)) / launches

    return {
        "n": n,
        "launches": launches,
        "one_by_one": each(lambda: one_by_one(x, 1, launches)),
        "graphed": each(lambda: graphed(x, 1, launches)),
        "pytorch": each(pytorch),
    }


def _watched(name: str, x: torch.Tensor, rounds: int, chunks: int = CHUNKS) -> list[Span]:
    """The spans of a second run: the first one allocates."""
    for _ in range(2):
        gpu = Gpu(watch=True)
        cuda.LOOPS[name](x, rounds, chunks=chunks, gpu=gpu)
    return gpu.spans()
