"""A simulated GPU: runs a chunk loop without a GPU, tells when each operation would run, and finds what isn't ordered.

It has three engines, which work at the same time: one copies in, one computes, one copies out. An engine does one
operation at a time. Operations of one stream run in their order; others are ordered by events and by the host's
waiting alone. All times come from the speeds that it is given; none is measured.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from cuda_basics.streams.iterate import iterate
from cuda_basics.streams.spans import ENGINES, Span


@dataclass(frozen=True)
class Speeds:
    """What a simulated GPU is said to reach: copies in bytes a second, the kernel in rounds (of one element) a second.

    host: milliseconds that the host takes to put one operation into a stream. pageable: how many times as long a copy
    takes from or to host memory that isn't pinned.
    """

    copy_in: float = 1e9
    copy_out: float = 1e9
    rounds: float = 4e9
    host: float = 0.0
    pageable: float = 2.0


class Hazard(RuntimeError):
    """Two operations touch the same memory and nothing orders them: the answer is a matter of luck.

    kind: which two: "copy in, kernel", "kernel, copy out", "buffer used again", "copy out, host"; or "wrong stream" or
    "recorded too early", for an event that is waited for in vain.
    """

    def __init__(self, text: str, kind: str) -> None:
        super().__init__(f"SIMULATED: {text}")
        self.kind = kind


@dataclass(eq=False)
class Operation:
    """What was put into a stream.

    before: for each stream, how many of its operations are sure to have ended. touched: (first byte, byte after the
    last, written), in the host's memory and the GPU's alike.
    """

    engine: str
    chunk: int
    stream: "Stream"
    place: int  # in its stream, from 1
    line: str
    milliseconds: float
    issued: float  # the host's clock, ms
    after: list["Operation"]  # what it waits for
    before: dict[int, int]
    touched: list[tuple[int, int, bool]]
    start: float = -1.0
    end: float = -1.0

    def comes_after(self, other: "Operation") -> bool:
        return self.before.get(other.stream.number, 0) >= other.place

    def __str__(self) -> str:
        return f"the {self.engine} of chunk {self.chunk} ({self.line}, stream {self.stream.number})"


@dataclass(eq=False)
class Event:
    """Happens when what its stream had been given is done."""

    stream: "Stream"
    after: list[Operation]
    before: dict[int, int]


@dataclass(eq=False)
class Stream:
    """As `gpu.Stream`."""

    gpu: "SimulatedGpu"
    number: int
    issued: int = 0
    after: list[Operation] = field(default_factory=list)  # what its next operation waits for
    before: dict[int, int] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)  # those among it

    def copy(self, target: torch.Tensor, source: torch.Tensor) -> None:
        """target = source, both (n,) float32, one of them in the host's memory (pinned, or the host waits)."""
        if target.shape != source.shape:
            raise ValueError(
                f"target has {tuple(target.shape)} and source {tuple(source.shape)}; make them equal"
            )
        inward, outward = self.gpu.owns(target), self.gpu.owns(source)
        if inward == outward:
            side = "GPU" if inward else "host"
            raise ValueError(
                f"target and source are both in the {side}'s memory; a copy goes from one side to the other"
            )
        pinned = self.gpu.is_pinned(source if inward else target)
        rate = self.gpu.speeds.copy_in if inward else self.gpu.speeds.copy_out
        operation = self.gpu.issue(
            self,
            "copy in" if inward else "copy out",
            1e3 * source.nbytes / rate * (1 if pinned else self.gpu.speeds.pageable),
            [(source, False), (target, True)],
        )
        if self.gpu.kernel is not None:
            if inward:
                target.copy_(source)
            else:
                self.gpu.arrivals.append((operation, target, source.clone()))
        if not pinned:
            self.gpu.pageable.append(operation)
            self.gpu.wait_for(operation)

    def iterate(self, part: torch.Tensor, rounds: int) -> None:
        """Launch the kernel of iterate.cu on part (n,), in the GPU's memory."""
        if not self.gpu.owns(part):
            raise ValueError("part is in the host's memory; a kernel works in the GPU's: copy it there first")
        milliseconds = 1e3 * part.numel() * rounds / self.gpu.speeds.rounds
        self.gpu.issue(self, "kernel", milliseconds, [(part, True)])
        if self.gpu.kernel is not None:
            self.gpu.kernel(part, rounds)

    def record_event(self) -> Event:
        """An event that happens when all that was put into this stream so far is done."""
        return Event(self, list(self.after), {**self.before, self.number: self.issued})

    def wait_event(self, event: Event) -> None:
        """What is put into this stream from now on begins after the event. The host doesn't wait."""
        self.events.append(event)
        self.after += event.after
        _merge(self.before, event.before)

    def synchronize(self) -> None:
        """Wait until all that was put into this stream is done."""
        for operation in self.after:
            self.gpu.wait_for(operation)


class SimulatedGpu:
    """As `gpu.Gpu`. kernel: what `Stream.iterate` does to its chunk; None: copies and kernels take their time, and
    no data moves.

    Whatever is put into a stream is looked at for a `Hazard`. Since there is none so far, the order in which the host
    asks is as good as any: data move at once, but reach the host's memory only when the host has waited for them.
    """

    def __init__(
        self, speeds: Speeds | None = None, kernel: Callable[[torch.Tensor, int], None] | None = iterate
    ) -> None:
        self.speeds, self.kernel = speeds or Speeds(), kernel
        self.operations: list[Operation] = []
        self.pageable: list[Operation] = []  # copies that the host waited for
        self.arrivals: list[
            tuple[Operation, torch.Tensor, torch.Tensor]
        ] = []  # (copy out, its target, value)
        self._clock = 0.0
        self._host: dict[int, int] = {}  # for each stream, how many operations the host has waited for
        self._streams: list[Stream] = []
        self._own: list[torch.Tensor] = []
        self._pinned: list[torch.Tensor] = []

    def stream(self) -> Stream:
        """A new stream."""
        self._streams.append(Stream(self, len(self._streams)))
        return self._streams[-1]

    def empty(self, n: int) -> torch.Tensor:
        """(n,) float32 in the GPU's memory."""
        self._own.append(self._unwritten(n))
        return self._own[-1]

    @property
    def floats(self) -> int:
        """How many float32 it was asked to hold in its memory, in all."""
        return sum(len(mine) for mine in self._own)

    def pinned(self, n: int) -> torch.Tensor:
        """(n,) float32 in the host's memory, pinned."""
        return self.pin(self._unwritten(n))

    def pin(self, x: torch.Tensor) -> torch.Tensor:
        """x, from now on taken as pinned."""
        self._pinned.append(x)
        return x

    def synchronize(self) -> None:
        """Wait until all that was asked for is done."""
        for stream in self._streams:
            stream.synchronize()

    def finish(self, y: torch.Tensor) -> torch.Tensor:
        """y, as the loop returned it. Raises `Hazard` if some of it may not have arrived."""
        for operation, target, _ in self.arrivals:
            if isinstance(y, torch.Tensor) and _overlap(_bytes(y), _bytes(target)):
                raise Hazard(
                    f"y is returned, and {operation} may not have ended: nothing waits for it.",
                    "copy out, host",
                )
        return y

    def spans(self) -> list[Span]:
        """When each operation runs, in the order of their ends; milliseconds since the start."""
        self._schedule()
        done = sorted(self.operations, key=lambda o: o.end)
        return [Span(o.engine, o.chunk, o.stream.number, o.start, o.end) for o in done]

    # What streams do with it.

    def owns(self, tensor: torch.Tensor) -> bool:
        return any(_inside(tensor, mine) for mine in self._own)

    def is_pinned(self, tensor: torch.Tensor) -> bool:
        return any(_inside(tensor, pinned) for pinned in self._pinned)

    def issue(
        self, stream: Stream, engine: str, milliseconds: float, touched: list[tuple[torch.Tensor, bool]]
    ) -> Operation:
        """Put an operation into a stream. Raises `Hazard` if it isn't ordered after all that it depends on."""
        stream.issued += 1
        _merge(stream.before, self._host)
        operation = Operation(
            engine,
            sum(other.engine == engine for other in self.operations),
            stream,
            stream.issued,
            _line(),
            milliseconds,
            self._clock,
            stream.after,
            {**stream.before, stream.number: stream.issued - 1},
            [(*_bytes(tensor), written) for tensor, written in touched],
        )
        for earlier in reversed(self.operations):
            if not operation.comes_after(earlier) and _conflict(earlier, operation):
                raise _unordered(earlier, operation, stream.events)
        self._clock += self.speeds.host
        stream.after, stream.events = [operation], []
        self.operations.append(operation)
        return operation

    def wait_for(self, operation: Operation) -> None:
        """The host waits for the end of an operation."""
        self._schedule()
        self._clock = max(self._clock, operation.end)
        _merge(self._host, {**operation.before, operation.stream.number: operation.place})
        for arrival in list(self.arrivals):
            copy, target, value = arrival
            if self._host.get(copy.stream.number, 0) >= copy.place:
                target.copy_(value)
                self.arrivals.remove(arrival)

    def _unwritten(self, n: int) -> torch.Tensor:
        return torch.empty(n) if self.kernel is None else torch.full((n,), float("nan"))

    def _schedule(self) -> None:
        """Give a time to each operation that has none: always to the one that can begin first, in order of issue."""
        waiting = [one for one in self.operations if one.end < 0]
        free = {name: max([0.0, *(o.end for o in self.operations if o.engine == name)]) for name in ENGINES}

        def earliest(one: Operation) -> float:
            return max([one.issued, free[one.engine], *(other.end for other in one.after)])

        while waiting:
            chosen = min((one for one in waiting if all(other.end >= 0 for other in one.after)), key=earliest)
            chosen.start = earliest(chosen)
            chosen.end = free[chosen.engine] = chosen.start + chosen.milliseconds
            waiting.remove(chosen)


def _unordered(earlier: Operation, later: Operation, events: list[Event]) -> Hazard:
    """What to say of two operations on the same memory that nothing orders. events: those that the later one awaits."""
    mine, others = f"stream {later.stream.number}", f"stream {earlier.stream.number}"
    if later.engine == "copy in":
        text = f"{later} may overwrite the buffer before the end of {earlier}: {mine} doesn't wait for that."
        return Hazard(text, "buffer used again")
    text, kind = f"{mine} waits for no event of {others}.", f"{earlier.engine}, {later.engine}"
    for event in events:
        if event.stream is earlier.stream:
            text, kind = f"the event that {mine} waits for was recorded before that.", "recorded too early"
        else:
            text = f"{mine} waits for an event of stream {event.stream.number}, and that runs in {others}."
            kind = "wrong stream"
    return Hazard(f"{later} may begin before the end of {earlier}: {text}", kind)


def _conflict(one: Operation, other: Operation) -> bool:
    return any(
        (written or writes) and _overlap((a, b), (c, d))
        for a, b, written in one.touched
        for c, d, writes in other.touched
    )


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return max(one[0], other[0]) < min(one[1], other[1])


def _bytes(tensor: torch.Tensor) -> tuple[int, int]:
    return tensor.data_ptr(), tensor.data_ptr() + tensor.nbytes


def _inside(tensor: torch.Tensor, whole: torch.Tensor) -> bool:
    (first, last), (start, end) = _bytes(tensor), _bytes(whole)
    return start <= first and last <= end


def _merge(known: dict[int, int], more: dict[int, int]) -> None:
    for stream, place in more.items():
        known[stream] = max(known.get(stream, 0), place)


def _line() -> str:
    """The file and line of the loop that asks."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
