"""A simulated GPU to practise timing on: the true answer is known, and all that fools a stopwatch is there."""

from itertools import cycle

COLD = (80.0, 3.0, 3.0)  # ms that the host takes in the first calls: to compile, load and allocate
LAUNCH = 0.005  # ms that the host takes for each thing that it asks of the GPU
FLUSH = 0.1  # ms
IN_CACHE = 0.4  # of the time, if the data are still in the L2 cache
LUCK = (1.0, 0.98, 1.0, 8.0, 1.03)  # of the time, call after call: every fifth call is interrupted


class TimedGpu:
    """A simulated GPU on which `work()` takes `milliseconds` when it is warm and its data are not in a cache.

    As on a real one, `work`, `flush_l2` and `Event.record` return before what they ask for is done.
    """

    def __init__(self, milliseconds: float) -> None:
        self._milliseconds = milliseconds
        self._host = self._free = 0.0  # the host's clock; when the GPU has done all that it was asked
        self.calls = 0  # of work
        self._cold, self._luck = list(COLD), cycle(LUCK)
        self._in_cache = False

    def work(self) -> None:
        """Launch the kernel that is to be timed."""
        self.calls += 1
        if self._cold:
            self._host += self._cold.pop(0)
        self._ask(self._milliseconds * next(self._luck) * (IN_CACHE if self._in_cache else 1))
        self._in_cache = True

    def flush_l2(self) -> None:
        """Empty the L2 cache: overwrite as much memory as it holds."""
        self._ask(FLUSH)
        self._in_cache = False

    def event(self) -> "Event":
        """A new event."""
        return Event(self)

    def synchronize(self) -> None:
        """Wait until all that was asked for is done."""
        self._host = max(self._host, self._free) + LAUNCH

    def clock(self) -> float:
        """The host's clock, in milliseconds."""
        return self._host

    def _ask(self, milliseconds: float) -> float:
        """Returns when it will be done."""
        self._host += LAUNCH
        self._free = max(self._free, self._host) + milliseconds
        return self._free


class Event:
    """A point in the GPU's work: it happens when all that was asked for before `record` is done."""

    def __init__(self, gpu: TimedGpu) -> None:
        self._gpu = gpu
        self._happens: float | None = None

    def record(self) -> None:
        """Put the event behind all that was asked for so far."""
        self._happens = self._gpu._ask(0.0)

    def elapsed_time(self, end: "Event") -> float:
        """Milliseconds from this event to `end`. Raises RuntimeError if one hasn't happened, as PyTorch does."""
        for event in (self, end):
            if event._happens is None:
                raise RuntimeError("an event was never recorded")
            if event._happens > self._gpu.clock():
                raise RuntimeError(
                    "an event has not happened yet: the host must wait before it reads the time"
                )
        assert self._happens is not None and end._happens is not None
        return end._happens - self._happens
