"""A simulated GPU: runs a chunk loop without a GPU, tells when each operation would run, and finds what isn't ordered.

It has three engines, which work at the same time: one copies in, one computes, one copies out. An engine does one
operation at a time. Operations of one stream run in their order; others are ordered by events and by the host's
waiting alone. All times come from the speeds that it is given; none is measured.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from cuda_basics.streams.iterate import iterate
from cuda_basics.streams.spans import Span

HERE = Path(__file__).parent


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

    kind: which two. outputs: what the loop returns, this time.
    """

    def __init__(self, text: str, kind: str) -> None:
        super().__init__(text)
        self.kind = kind
        self.outputs: torch.Tensor | None = None


@dataclass(eq=False)
class Operation:
    """What was put into a stream. before: for each stream, how many of its operations are sure to have ended."""

    engine: str
    stream: "Stream"
    place: int  # in its stream, from 1
    chunk: int
    issued: float  # the host's clock, ms
    milliseconds: float
    after: list["Operation"]  # operations that it waits for
    before: dict[int, int]
    touched: list[
        tuple[int, int, bool]
    ]  # (first byte, byte after the last, written), host and GPU memory alike
    waited_on: list["Event"]
    line: str
    work: Callable[[], Callable[[], Any]]  # reads its source; what it returns writes the target
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
    last: Operation | None
    before: dict[int, int]


@dataclass(eq=False)
class Stream:
    """As `gpu.Stream`."""

    gpu: "SimulatedGpu"
    number: int
    last: Operation | None = None
    before: dict[int, int] = field(default_factory=dict)
    waited_on: list[Event] = field(default_factory=list)
    issued: int = 0

    def copy(self, target: torch.Tensor, source: torch.Tensor) -> None:
        """target = source, both (n,) float32, one of them in the host's memory (pinned, or the host waits)."""
        if target.shape != source.shape:
            raise ValueError(
                f"target has {tuple(target.shape)} and source {tuple(source.shape)}; make them equal"
            )
        inward, outward = self.gpu.owns(target), self.gpu.owns(source)
        if inward == outward:
            sides = "the GPU's memory" if inward else "the host's memory"
            raise ValueError(f"target and source are both in {sides}; a copy goes from one side to the other")
        speeds, host = self.gpu.speeds, source if inward else target
        rate = speeds.copy_in if inward else speeds.copy_out
        pinned = self.gpu.is_pinned(host)

        def work() -> Callable[[], Any]:
            value = source.clone()
            return partial(target.copy_, value)

        operation = self.gpu.issue(
            self,
            "copy in" if inward else "copy out",
            1e3 * source.nbytes / rate * (1 if pinned else speeds.pageable),
            [(source, False), (target, True)],
            work,
        )
        if not pinned:
            self.gpu.pageable.append(operation)
            self.gpu.wait_for(operation)

    def iterate(self, part: torch.Tensor, rounds: int) -> None:
        """Launch the kernel of iterate.cu on part (n,), in the GPU's memory."""
        if not self.gpu.owns(part):
            raise ValueError("part is in the host's memory; a kernel works in the GPU's: copy it there first")

        def work() -> Callable[[], Any]:
            value = part.clone()
            self.gpu.kernel(value, rounds)
            return partial(part.copy_, value)

        milliseconds = 1e3 * part.numel() * rounds / self.gpu.speeds.rounds
        self.gpu.issue(self, "kernel", milliseconds, [(part, True)], work)

    def record_event(self) -> Event:
        """An event that happens when all that was put into this stream so far is done."""
        return Event(self, self.last, {**self.before, self.number: self.issued})

    def wait_event(self, event: Event) -> None:
        """What is put into this stream from now on begins after the event. The host doesn't wait."""
        self.waited_on.append(event)
        _merge(self.before, event.before)

    def synchronize(self) -> None:
        """Wait until all that was put into this stream is done."""
        if self.last is not None:
            self.gpu.wait_for(self.last)


class SimulatedGpu:
    """As `gpu.Gpu`. kernel: what `Stream.iterate` does to its chunk; None: copies and kernels take their time, and
    no data moves."""

    def __init__(
        self, speeds: Speeds | None = None, kernel: Callable[[torch.Tensor, int], None] | None = iterate
    ) -> None:
        self.speeds = speeds or Speeds()
        self.moves, self.kernel = kernel is not None, kernel or (lambda part, rounds: None)
        self.operations: list[Operation] = []
        self.pageable: list[Operation] = []  # copies that the host waited for
        self.hazard: Hazard | None = None
        self._clock = 0.0
        self._host: dict[int, int] = {}  # for each stream, how many operations the host has waited for
        self._streams: list[Stream] = []
        self._own: list[torch.Tensor] = []
        self._pinned: list[torch.Tensor] = []
        self._waiting: list[Operation] = []  # issued, without a time
        self._effects: list[
            tuple[float, int, bool, Operation]
        ] = []  # (time, place, is it an end?), still to come
        self._scheduled = 0
        self._writes: dict[Operation, Callable[[], Any]] = {}

    def stream(self) -> Stream:
        """A new stream."""
        self._streams.append(Stream(self, len(self._streams)))
        return self._streams[-1]

    def empty(self, n: int) -> torch.Tensor:
        """(n,) float32 in the GPU's memory."""
        self._own.append(self._new(n))
        return self._own[-1]

    def pinned(self, n: int) -> torch.Tensor:
        """(n,) float32 in the host's memory, pinned."""
        self._pinned.append(self._new(n))
        return self._pinned[-1]

    def pin(self, x: torch.Tensor) -> torch.Tensor:
        """x, from now on taken as pinned."""
        self._pinned.append(x)
        return x

    def synchronize(self) -> None:
        """Wait until all that was asked for is done."""
        for stream in self._streams:
            stream.synchronize()

    def finish(self, y: torch.Tensor) -> torch.Tensor:
        """y, as the loop returned it. Raises `Hazard` if its value, or another step's, is a matter of luck."""
        for operation in self.operations:
            late = self._host.get(operation.stream.number, 0) < operation.place
            if late and any(w and _overlap(_bytes(y), (a, b)) for a, b, w in operation.touched):
                self._report(
                    f"y is returned while {operation} may not have ended: nothing waits for it.", "host"
                )
                break
        if self.hazard is not None:
            self.hazard.outputs = y.clone()
            raise self.hazard
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
        self,
        stream: Stream,
        engine: str,
        milliseconds: float,
        touched: list[tuple[torch.Tensor, bool]],
        work: Callable[[], Callable[[], Any]],
    ) -> Operation:
        """Put an operation into a stream, and look whether it is ordered after those that it depends on."""
        stream.issued += 1
        _merge(stream.before, self._host)
        operation = Operation(
            engine,
            stream,
            stream.issued,
            sum(other.engine == engine for other in self.operations),
            self._clock,
            milliseconds,
            [one for one in (stream.last, *(event.last for event in stream.waited_on)) if one is not None],
            {**stream.before, stream.number: stream.issued - 1},
            [(*_bytes(tensor), written) for tensor, written in touched],
            list(stream.waited_on),
            _line(),
            work,
        )
        for earlier in self.operations:
            if _conflict(earlier, operation) and not operation.comes_after(earlier):
                self._report(*_unordered(earlier, operation))
        self._clock += self.speeds.host
        stream.last, stream.waited_on = operation, []
        self.operations.append(operation)
        self._waiting.append(operation)
        return operation

    def wait_for(self, operation: Operation) -> None:
        """The host waits for the end of an operation."""
        self._schedule()
        self._clock = max(self._clock, operation.end)
        _merge(self._host, {**operation.before, operation.stream.number: operation.place})
        while self._effects and self._effects[0][0] <= self._clock:
            _, _, ends, due = self._effects.pop(0)
            if ends:
                self._writes.pop(due)()
            else:
                self._writes[due] = due.work()

    def _schedule(self) -> None:
        """Give a time to each operation that has none: always to the one that can begin first, in order of issue."""
        free = {one.engine: one.end for one in sorted(self.operations, key=lambda o: o.end)}
        while self._waiting:
            heads = [one for one in self._waiting if all(other.end >= 0 for other in one.after)]
            starts = [
                max([one.issued, free.get(one.engine, 0.0), *(other.end for other in one.after)])
                for one in heads
            ]
            start = min(starts)
            chosen = heads[starts.index(start)]
            chosen.start, chosen.end = start, start + chosen.milliseconds
            free[chosen.engine] = chosen.end
            self._waiting.remove(chosen)
            if self.moves:
                place = self._scheduled = self._scheduled + 1
                self._effects += [(chosen.start, place, False, chosen), (chosen.end, place, True, chosen)]
        self._effects.sort(key=lambda effect: effect[:3])

    def _report(self, text: str, kind: str) -> None:
        if self.hazard is None:
            self.hazard = Hazard(f"SIMULATED: {text}", kind)

    def _new(self, n: int) -> torch.Tensor:
        return torch.full((n,), float("nan")) if self.moves else torch.empty(n)


def _unordered(earlier: Operation, later: Operation) -> tuple[str, str]:
    """What to say of two operations on the same memory that nothing orders, and which kind of mistake that is."""
    number = later.stream.number
    if later.engine == "copy in":
        return (
            f"{later} may fill the buffer before {earlier} is done with it: stream {number} doesn't wait for that.",
            "reused",
        )
    for event in later.waited_on:
        if event.stream is not earlier.stream:
            return (
                f"{later} may begin before the end of {earlier}: stream {number} waits for an event of stream "
                f"{event.stream.number}, and the {earlier.engine} runs in stream {earlier.stream.number}.",
                "wrong stream",
            )
        return (
            f"{later} may begin before the end of {earlier}: stream {number} waits for an event of stream "
            f"{event.stream.number} that was recorded before the {earlier.engine} was put into it.",
            "too early",
        )
    return (
        f"{later} may begin before the end of {earlier}: stream {number} waits for no event of stream "
        f"{earlier.stream.number}.",
        f"{earlier.engine}, {later.engine}",
    )


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
