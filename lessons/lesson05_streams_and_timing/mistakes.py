"""The mistakes that lesson 5's checker can name. Each mutant is a shipped loop, with the mistake made in its source."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cuda_basics.streams import cuda_version as cuda
from cuda_basics.streams import iterate, numpy_version
from cuda_basics.streams.simulated import Hazard, SimulatedGpu
from cuda_basics.streams.simulated_clock import TimedGpu
from workbench.check.lesson import Mistake, Race

FOLDER = Path(iterate.__file__).parent
STREAMS = "the notebook, section 3: Chunks take turns"
EVENTS = "the notebook, section 4: A stream for each job"
FOOLED = "the notebook, section 6: Six ways to be fooled"
Slip = tuple[str, str, str]


def slipped(file: str, right: str, wrong: str) -> Callable[..., Any]:
    """The function of a shipped file, which has the file's name, with one text replaced."""
    text = (FOLDER / file).read_text()
    assert right in text, f"{file} no longer holds {right!r}"
    names: dict[str, Any] = {}
    exec(compile(text.replace(right, wrong), file, "exec"), names)
    function: Callable[..., Any] = names[file.removesuffix(".py")]
    return function


def in_numpy(part: torch.Tensor, rounds: int) -> None:
    part.copy_(torch.from_numpy(numpy_version.iterate(part.double().numpy(), rounds)))


def loop_with(*slips: Slip) -> dict[str, Any]:
    """mutant and slips of a mistake in a chunk loop. The first slip makes the mutant."""

    def mutant(x: np.ndarray, rounds: int, chunks: int, buffers: int = 3) -> np.ndarray:
        gpu, loop = SimulatedGpu(kernel=in_numpy), slipped(*slips[0])
        try:
            y = cuda.transform(
                torch.from_numpy(x).float(), rounds, loop=loop, chunks=chunks, buffers=buffers, gpu=gpu
            )
        except Hazard as hazard:
            raise Race((), str(hazard), hazard.kind) from None
        return y.double().numpy()

    return {"mutant": mutant, "slips": slips}


def stopwatch_with(right: str, wrong: str) -> dict[str, Any]:
    """mutant and slips of a mistake in the stopwatch."""
    slip = ("stopwatch.py", right, wrong)

    def mutant(times: np.ndarray, repeats: int) -> np.ndarray:
        watch = slipped(*slip)
        gpus = [TimedGpu(float(time)) for time in times]
        return np.array([watch(gpu, gpu.work, repeats) for gpu in gpus], dtype=float)

    return {"mutant": mutant, "slips": (slip,)}


TRANSFORM = (
    Mistake(
        "returned too early",
        "y is returned while copies out are still to come: everything above has only been asked for. Wait for the GPU.",
        STREAMS,
        race="copy out, host",
        **loop_with(
            ("overlapped.py", "gpu.synchronize()", "pass"), ("pipelined.py", "gpu.synchronize()", "pass")
        ),
    ),
    Mistake(
        "kernel before its data",
        "The kernel may begin before its chunk has arrived: its stream must wait for an event recorded after the copy.",
        EVENTS,
        race="copy in, kernel",
        **loop_with(
            ("pipelined.py", "compute.wait_event(arrived)", "pass"),
            ("overlapped.py", "stream.iterate(part", "streams[i % buffers - 1].iterate(part"),
        ),
    ),
    Mistake(
        "copied out before computed",
        "A chunk may leave before it is computed: the stream of the copy out must wait for an event recorded after the "
        "kernel.",
        EVENTS,
        race="kernel, copy out",
        **loop_with(
            ("pipelined.py", "outward.wait_event(computed)", "pass"),
            ("overlapped.py", "stream.copy(y[first:last]", "streams[i % buffers - 1].copy(y[first:last]"),
        ),
    ),
    Mistake(
        "buffer used again too early",
        "A chunk arrives in a buffer that another one hasn't left: wait for the copy out of chunk i - buffers.",
        EVENTS,
        race="buffer used again",
        **loop_with(
            ("pipelined.py", "inward.wait_event(free[i % buffers])", "pass"),
            ("pipelined.py", "free[i % buffers] = outward", "free[i % buffers] = inward"),
            ("overlapped.py", "buffer[i % buffers]", "buffer[0]"),
        ),
    ),
    Mistake(
        "event of the wrong stream",
        "The event that is waited for was recorded in a stream that doesn't do the work: an event stands for what its "
        "own stream was given before.",
        EVENTS,
        race="wrong stream",
        **loop_with(
            ("pipelined.py", "computed = compute.record_event()", "computed = inward.record_event()"),
            ("pipelined.py", "arrived = inward.record_event()", "arrived = outward.record_event()"),
        ),
    ),
    Mistake(
        "event recorded too early",
        "The event was recorded before the work was put into its stream, so it doesn't stand for that work.",
        EVENTS,
        race="recorded too early",
        **loop_with(
            (
                "pipelined.py",
                "compute.iterate(part, rounds)\n        computed = compute.record_event()",
                "computed = compute.record_event()\n        compute.iterate(part, rounds)",
            ),
        ),
    ),
    Mistake(
        "last chunk dropped",
        "Only whole chunks are handled: the last, smaller one is never copied back.",
        STREAMS,
        **loop_with(
            ("overlapped.py", "range(0, len(x), chunk)", "range(0, len(x) - chunk + 1, chunk)"),
            ("pipelined.py", "range(0, len(x), chunk)", "range(0, len(x) - chunk + 1, chunk)"),
        ),
    ),
    Mistake(
        "always the first chunk",
        "Every chunk gets the first chunk's numbers: the copy in must start at x[first].",
        STREAMS,
        **loop_with(
            ("overlapped.py", "x[first:last]", "x[: last - first]"),
            ("pipelined.py", "x[first:last]", "x[: last - first]"),
        ),
    ),
    Mistake(
        "kernel forgotten",
        "The numbers come back as they went: no kernel ran on them.",
        STREAMS,
        **loop_with(
            ("overlapped.py", "stream.iterate(part, rounds)", "pass"),
            ("pipelined.py", "compute.iterate(part, rounds)", "pass"),
        ),
    ),
)

BETWEEN_EVENTS = """        start, end = gpu.event(), gpu.event()
        start.record()
        work()
        end.record()
        gpu.synchronize()  # the calls above have returned; the GPU may not have begun
        times.append(start.elapsed_time(end))
"""
LAUNCH_TIMED = """        began = gpu.clock()
        work()
        times.append(gpu.clock() - began)
"""
HOST_TIMED = """        gpu.synchronize()
        began = gpu.clock()
        work()
        gpu.synchronize()
        times.append(gpu.clock() - began)
"""
HOST_TIMED_EARLY = """        began = gpu.clock()
        work()
        gpu.synchronize()
        times.append(gpu.clock() - began)
"""
FLUSH_TIMED = """        start.record()
        gpu.flush_l2()
        work()
"""

STOPWATCH = (
    Mistake(
        "no warm-up",
        "The first calls are in the sample: they compile, load and allocate. Call work() a few times before.",
        FOOLED,
        **stopwatch_with("        work()  # the first calls compile, load and allocate", "        pass"),
    ),
    Mistake(
        "too few warm-up calls",
        "The second and third call are slow too: they load and allocate. Call work() a few times before.",
        FOOLED,
        **stopwatch_with("range(5)", "range(1)"),
    ),
    Mistake(
        "the launch timed, not the work",
        "The host's clock is read before the GPU is done: work() returns as soon as it is asked for.",
        FOOLED,
        **stopwatch_with(BETWEEN_EVENTS, LAUNCH_TIMED),
    ),
    Mistake(
        "launching timed too",
        "The time holds what the host takes to launch and to wait: record an event before and after the work instead.",
        FOOLED,
        **stopwatch_with(BETWEEN_EVENTS, HOST_TIMED),
    ),
    Mistake(
        "host's clock started too early",
        "The host's clock starts before the cache is flushed: record an event before and after the work instead.",
        FOOLED,
        **stopwatch_with(BETWEEN_EVENTS, HOST_TIMED_EARLY),
    ),
    Mistake(
        "an idle GPU between the events",
        "The host waits before the first event, so the GPU has nothing to do and the time holds the launch.",
        FOOLED,
        **stopwatch_with("        start.record()\n", "        gpu.synchronize()\n        start.record()\n"),
    ),
    Mistake(
        "data left in the cache",
        "The call before left the data in the L2 cache: flush it before each call.",
        FOOLED,
        **stopwatch_with("gpu.flush_l2()", "pass"),
    ),
    Mistake(
        "flushed only once",
        "The first call fills the L2 cache again: flush it before each call.",
        FOOLED,
        **stopwatch_with(
            "    times = []\n    for _ in range(repeats):\n        gpu.flush_l2()",
            "    times = []\n    gpu.flush_l2()\n    for _ in range(repeats):\n        pass",
        ),
    ),
    Mistake(
        "the flush timed too",
        "The cache is flushed between the events, and its time counted: flush before the first event.",
        FOOLED,
        **stopwatch_with("        start.record()\n        work()\n", FLUSH_TIMED),
    ),
    Mistake(
        "mean for median",
        "The mean of the sample is moved by the few slow calls: take the median.",
        FOOLED,
        **stopwatch_with("return median(times)", "return sum(times) / len(times)"),
    ),
    Mistake(
        "best for median",
        "The fastest call is luck as well: take the median.",
        FOOLED,
        **stopwatch_with("return median(times)", "return min(times)"),
    ),
    Mistake(
        "one call for many",
        "The last call alone is returned: take the median of all.",
        FOOLED,
        **stopwatch_with("return median(times)", "return times[-1]"),
    ),
)
