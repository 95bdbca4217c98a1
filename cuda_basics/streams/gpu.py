"""A GPU as the chunk loops see it: streams, events, and memory on either side. `simulated.py` has the same face."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import torch

from cuda_basics.streams.iterate import iterate
from cuda_basics.streams.spans import ENGINES, Span, one_at_a_time


class Gpu:
    """The current GPU. watch=True brackets each operation with events, so that `spans` can tell when it ran."""

    def __init__(self, watch: bool = False) -> None:
        self.watched: list[tuple[str, int, torch.cuda.Event, torch.cuda.Event]] | None = [] if watch else None
        self._began = torch.cuda.Event(enable_timing=True)
        self._began.record()
        self._numbers = count()
        self._flush: torch.Tensor | None = None
        self._streams: list[Stream] = []

    def stream(self) -> "Stream":
        """A new stream. What torch's current stream has been given comes first."""
        self._streams.append(Stream(self, next(self._numbers)))
        return self._streams[-1]

    def empty(self, n: int) -> torch.Tensor:
        """(n,) float32 in the GPU's memory, for any stream.

        torch may hand out memory that its current stream still works on, as it orders only that stream's work. So the
        others wait for it, those made later too. The host doesn't.
        """
        made = torch.empty(n, device="cuda")
        for stream in self._streams:
            stream.wait_for_torch()
        return made

    def pinned(self, n: int) -> torch.Tensor:
        """(n,) float32 in the host's memory, pinned: the operating system leaves it where it is."""
        return torch.empty(n, pin_memory=True)

    def event(self) -> torch.cuda.Event:
        """A new event that knows when it happened."""
        return torch.cuda.Event(enable_timing=True)

    def flush_l2(self) -> None:
        """Empty the L2 cache: overwrite twice as much memory as it holds, ten times.

        Once would do for the cache; ten times keep the GPU busy while the host launches what is to be timed.
        """
        if self._flush is None:
            size = torch.cuda.get_device_properties().L2_cache_size
            self._flush = torch.empty(2 * size, dtype=torch.uint8, device="cuda")
        for _ in range(10):
            self._flush.zero_()

    def synchronize(self) -> None:
        """Wait until all that was asked for is done."""
        torch.cuda.synchronize()

    def finish(self, y: torch.Tensor) -> torch.Tensor:
        """y, as the loop returned it. (The simulated GPU looks here whether it is complete.)"""
        return y

    def spans(self) -> list[Span]:
        """When each operation ran, in the order of their ends; milliseconds since this object was made."""
        torch.cuda.synchronize()
        chunks = {engine: count() for engine in ENGINES}
        found = [
            Span(engine, next(chunks[engine]), stream, *(self._began.elapsed_time(e) for e in (start, end)))
            for engine, stream, start, end in self.watched or ()
        ]
        return one_at_a_time(found)


class Stream:
    """What is put into one stream runs in that order. Every method returns at once."""

    def __init__(self, gpu: Gpu, number: int) -> None:
        self._gpu, self._number = gpu, number
        self._stream = torch.cuda.Stream()
        self.wait_for_torch()

    def wait_for_torch(self) -> None:
        """What is put into this stream from now on begins after what torch's current stream has been given so far."""
        self._stream.wait_stream(torch.cuda.current_stream())

    def copy(self, target: torch.Tensor, source: torch.Tensor) -> None:
        """target = source, both (n,) float32, one of them in the host's memory (pinned, or the host waits)."""
        with self._running("copy in" if target.is_cuda else "copy out"):
            target.copy_(source, non_blocking=True)

    def iterate(self, part: torch.Tensor, rounds: int) -> None:
        """Launch the kernel of iterate.cu on part (n,), in the GPU's memory."""
        with self._running("kernel"):
            iterate(part, rounds)

    def record_event(self) -> torch.cuda.Event:
        """An event that happens when all that was put into this stream so far is done."""
        return self._stream.record_event()

    def wait_event(self, event: torch.cuda.Event) -> None:
        """What is put into this stream from now on begins after the event. The host doesn't wait."""
        self._stream.wait_event(event)

    def synchronize(self) -> None:
        """Wait until all that was put into this stream is done."""
        self._stream.synchronize()

    @contextmanager
    def _running(self, engine: str) -> Iterator[None]:
        """Make this torch's current stream, and bracket what is put into it with events if the GPU is watched."""
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        with torch.cuda.stream(self._stream):
            if self._gpu.watched is not None:
                start.record()
            yield
            if self._gpu.watched is not None:
                end.record()
                self._gpu.watched.append((engine, self._number, start, end))
