"""What `make check-lesson5` checks."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from cuda_basics.streams import cuda_version as cuda
from cuda_basics.streams import iterate, launches, numpy_version, overlapped, pipelined, sequential
from cuda_basics.streams.gpu import Gpu
from cuda_basics.streams.simulated import Hazard, SimulatedGpu
from cuda_basics.streams.simulated_clock import TimedGpu
from cuda_basics.streams.spans import lower_bound, total
from cuda_basics.streams.stopwatch import stopwatch
from lessons.lesson05_streams_and_timing.mistakes import STOPWATCH, TRANSFORM
from workbench import ptx
from workbench.check.exercise import function_from
from workbench.check.lesson import Case, Exercise, Implementation, Lesson, Race, Task

FOLDER = Path(iterate.__file__).parent
KERNELS: tuple[tuple[Path, str, dict[str, object]], ...] = ((FOLDER / "iterate.cu", "iterate", {}),)
SOLUTION = tuple(FOLDER / name for name in ("overlapped.py", "pipelined.py", "stopwatch.py"))
ENOUGH = (
    0.7  # of the speed of the best schedule, in the counted case on the simulated GPU; its 8 chunks allow 0.8
)
BUFFERS = 3
COUNTED, CHUNKS = 40_000, 8  # elements and chunks of the counted case


class Loop:
    """A chunk loop as the checker calls it: on the GPU if x is pinned for one, else on a simulated GPU, the last one
    of which it keeps."""

    def __init__(self, loop: Callable[..., torch.Tensor]) -> None:
        self.loop = loop
        self.simulated = SimulatedGpu()

    def __call__(self, x: torch.Tensor, rounds: int, chunks: int, buffers: int = BUFFERS) -> torch.Tensor:
        run = partial(cuda.transform, x, rounds, loop=self.loop, chunks=chunks, buffers=buffers)
        if x.is_pinned():
            return run(gpu=Gpu())
        self.simulated = SimulatedGpu()
        try:
            return run(gpu=self.simulated)
        except Hazard as hazard:
            raise Race((), str(hazard), hazard.kind) from None


def chunk_loop(name: str, loop: Callable[..., torch.Tensor]) -> Implementation:
    return Implementation(f"cuda/{name}", Loop(loop), "cuda", KERNELS)


def loop_exercise(name: str) -> Exercise:
    """The learner's chunk loop; it must be right, and it must overlap."""
    made: list[Loop] = []

    def implementation(file: Path) -> Implementation:
        made.append(Loop(function_from(file, name)))
        return Implementation(f"cuda/{name}", made[-1], "cuda", KERNELS)

    def demand(reports: Sequence[ptx.Report]) -> str:
        return missing_overlap(made[-1].simulated)

    return Exercise("exercise.py", name, "cuda", implementation, SOLUTION, demand)


def missing_overlap(gpu: SimulatedGpu) -> str:
    """What keeps a right answer from being fast, as a sentence; "" if nothing does."""
    if gpu.pageable:
        return (
            f"The answer is right, but {gpu.pageable[0]} goes to or comes from memory that isn't pinned, so the host "
            "waits for it and nothing overlaps: gpu.pinned(n) makes memory that is."
        )
    if len({operation.stream for operation in gpu.operations}) == 1:
        return "The answer is right, but everything is put into one stream, so nothing overlaps: use several."
    if gpu.floats > BUFFERS * COUNTED // CHUNKS:
        return (
            f"The answer is right, but it takes {gpu.floats:,} floats of the GPU's memory, and {BUFFERS} chunks are "
            f"{BUFFERS * COUNTED // CHUNKS:,}: make the buffers once, before the loop."
        )
    spans = gpu.spans()
    taken, best = total(spans), lower_bound(spans)
    if best >= ENOUGH * taken:
        return ""
    return (
        f"The answer is right, but copies and kernels hardly overlap: SIMULATED {1e3 * taken:.1f} us, of which the "
        f"busiest engine works {1e3 * best:.1f} us. Is there a wait in the loop that needn't be?"
    )


def iterated(x: torch.Tensor, rounds: int) -> torch.Tensor:
    """In plain PyTorch."""
    b = torch.full_like(x, numpy_version.B)
    for _ in range(rounds):
        x = torch.add(b, x, alpha=numpy_version.A)
    return x.clone()


def iterated_from_host(x: torch.Tensor, rounds: int, chunks: int, buffers: int = BUFFERS) -> torch.Tensor:
    return iterated(x.cuda(), rounds).cpu() if x.is_pinned() else iterated(x, rounds)


def timed_by_stopwatch(watch: Callable[..., float]) -> Callable[..., np.ndarray]:
    """What a stopwatch says of simulated GPUs on which the work takes `times` milliseconds."""

    def said(times: np.ndarray, repeats: int) -> np.ndarray:
        found = []
        for time in times:
            gpu = TimedGpu(float(time))
            found.append(watch(gpu, gpu.work, repeats))
            if gpu.calls < repeats:
                raise ValueError(
                    f"work() was called {gpu.calls} times; a median of {repeats} takes as many calls"
                )
        return np.array(found, dtype=float)

    return said


def vector(n: int) -> Callable[[np.random.Generator], np.ndarray]:
    """Numbers from 0 to 1: the kernel moves them towards 2."""
    return lambda generator: generator.random(n, dtype=np.float32)


def chunked(n: int, rounds: int, chunks: int, buffers: int = BUFFERS, gpu_only: bool = False) -> Case:
    return Case(
        f"n = {n:,}, {rounds} rounds, {chunks} chunks"
        + ("" if buffers == BUFFERS else f", {buffers} buffers"),
        lambda generator: (vector(n)(generator), rounds, chunks),
        options={} if buffers == BUFFERS else {"buffers": buffers},
        gpu_only=gpu_only,
    )


def launched(n: int, rounds: int, times: int) -> Case:
    return Case(f"n = {n:,}, {times} launches", lambda generator: (vector(n)(generator), rounds, times))


def durations(repeats: int) -> Case:
    return Case(
        f"{repeats} repeats",
        lambda generator: (generator.uniform(0.02, 5.0, 6).astype(np.float32), repeats),
    )


CHUNKED = (
    chunked(1000, 4, 8),
    chunked(1003, 16, 7),
    chunked(1003, 5, 7, buffers=2),
    chunked(1000, 5, 9, buffers=4),
    chunked(1000, 1, 1),
    chunked(600, 0, 3),
    chunked(5, 3, 8),
    chunked(1, 2, 4),
    chunked(0, 2, 4),
    chunked(COUNTED, 16, CHUNKS),
    chunked(2**22 + 1, 20, 16, gpu_only=True),
)
LAUNCHED = (
    launched(1000, 2, 3),
    launched(1, 1, 4),
    launched(0, 1, 2),
    launched(300, 1, 0),
    launched(5000, 1, 20),
)
DURATIONS = (durations(5), durations(10), durations(21))

LESSON = Lesson(
    number=5,
    name="streams_and_timing",
    title="Streams and timing: three engines and an honest clock",
    tasks=(
        Task(
            name="transform",
            oracle=lambda x, rounds, chunks, buffers=BUFFERS: numpy_version.iterate(x, rounds),
            pytorch=iterated_from_host,
            cases=CHUNKED,
            implementations=(
                chunk_loop("sequential", sequential.sequential),
                chunk_loop("overlapped", overlapped.overlapped),
                chunk_loop("pipelined", pipelined.pipelined),
            ),
            exercises=(loop_exercise("overlapped"), loop_exercise("pipelined")),
            mistakes=TRANSFORM,
            counted=CHUNKED[-2],
            timed=chunked(2**24, 2000, 16),
            traffic=lambda x, rounds, chunks, buffers=BUFFERS: 2 * x.numel() * x.element_size(),
            accumulation=lambda x, rounds, chunks, buffers=BUFFERS: rounds + 1,
            on_host=True,
        ),
        Task(
            name="small_launches",
            oracle=lambda x, rounds, launches: numpy_version.iterate(x, rounds * launches),
            pytorch=lambda x, rounds, launches: iterated(x, rounds * launches),
            cases=LAUNCHED,
            implementations=(
                Implementation("cuda/one by one", launches.one_by_one, "cuda", KERNELS),
                Implementation(
                    "cuda/graph",
                    launches.graphed,
                    "cuda",
                    KERNELS,
                    needs_gpu="A CUDA graph is captured from a GPU's stream; there is no GPU here.",
                ),
            ),
            exercises=(),
            mistakes=(),
            counted=LAUNCHED[-1],
            timed=launched(2**16, 1, 500),
            traffic=lambda x, rounds, launches: 2 * x.numel() * x.element_size() * launches,
            accumulation=lambda x, rounds, launches: rounds * launches + 1,
        ),
        Task(
            name="stopwatch",
            oracle=lambda times, repeats: times.copy(),
            pytorch=lambda times, repeats: times.clone(),
            cases=DURATIONS,
            implementations=(Implementation("numpy/stopwatch", timed_by_stopwatch(stopwatch), "numpy"),),
            exercises=(
                Exercise(
                    "exercise.py",
                    "stopwatch",
                    "numpy",
                    lambda file: Implementation(
                        "numpy/stopwatch", timed_by_stopwatch(function_from(file, "stopwatch")), "numpy"
                    ),
                    SOLUTION,
                ),
            ),
            mistakes=STOPWATCH,
            counted=DURATIONS[-1],
            timed=DURATIONS[-1],
            traffic=lambda times, repeats: 0,
            outputs=("milliseconds",),
        ),
    ),
)
