"""Lesson 5: schedules, hazards and clocks, which are simulated here, and what a GPU adds."""

import time
from collections.abc import Callable
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cuda_basics.streams import cuda_version as cuda
from cuda_basics.streams import numpy_version
from cuda_basics.streams.gpu import Gpu
from cuda_basics.streams.iterate import iterate
from cuda_basics.streams.launches import graphed, one_by_one
from cuda_basics.streams.simulated import Hazard, SimulatedGpu, Speeds
from cuda_basics.streams.simulated_clock import TimedGpu
from cuda_basics.streams.spans import Span, busy, lower_bound, one_at_a_time, total
from cuda_basics.streams.stopwatch import stopwatch
from lessons.lesson05_streams_and_timing.check import LESSON
from lessons.lesson05_streams_and_timing.mistakes import slipped
from workbench.check import worker
from workbench.check.outcome import Outcome, Verdict
from workbench.check.run import poisoned_memory, run_cases
from workbench.report.factors import factor_bars
from workbench.report.timeline import timeline
from workbench.timing.stopwatch import measure

LOOPS = cuda.LOOPS
TRANSFORM, LAUNCHES, _ = LESSON.tasks
EVEN = Speeds(copy_in=4e6, copy_out=4e6, rounds=1e6)  # a float travels in a microsecond, a round takes one


def schedule(loop: Callable[..., Any], n: int = 8000, rounds: int = 1, **options: Any) -> list[Span]:
    gpu = SimulatedGpu(EVEN, kernel=None)
    loop(torch.empty(n), rounds, gpu=gpu, **options)
    return gpu.spans()


# Loops.


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(("n", "chunks"), [(0, 3), (1, 1), (5, 8), (1000, 7), (1003, 4)])
@pytest.mark.parametrize("buffers", [1, 2, 3, 5])
def test_a_loop_is_right_however_it_is_cut(loop: str, n: int, chunks: int, buffers: int) -> None:
    x = torch.rand(n)
    y = LOOPS[loop](x, 3, chunks=chunks, buffers=buffers, gpu=SimulatedGpu())
    assert y.dtype == torch.float32
    np.testing.assert_allclose(y.numpy(), numpy_version.iterate(x.double().numpy(), 3), rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": [1.0]}, "x is a list"),
        ({"x": torch.rand(2, 2)}, r"x has shape \(2, 2\)"),
        ({"x": torch.rand(4).double()}, "x is torch.float64; it may be torch.float32"),
        ({"x": torch.rand(8)[::2]}, r"x is not contiguous.*x\.contiguous"),
        ({"x": torch.rand(4, device="meta")}, "x is on meta; it must be in the host's memory"),
        ({"rounds": -1}, "rounds is -1; it must be an integer of 0 or more"),
        ({"rounds": 1.5}, "rounds is 1.5"),
        ({"chunks": 0}, "chunks is 0; it must be an integer of 1 or more"),
        ({"chunks": True}, "chunks is True"),
        ({"buffers": 0}, "buffers is 0"),
        ({"rounds": 2**31}, "below 2"),
    ],
)
@pytest.mark.parametrize("loop", LOOPS)
def test_what_a_loop_cannot_take_is_refused(loop: str, change: dict[str, Any], words: str) -> None:
    arguments: dict[str, Any] = {"x": torch.rand(4), "rounds": 1, **change}
    with pytest.raises(ValueError, match=words):
        LOOPS[loop](**arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((torch.rand(4).half(), 1, 1), "x is torch.float16"),
        ((torch.rand(4), -1, 1), "rounds is -1"),
        ((torch.rand(4), 1, -2), "launches is -2"),
    ],
)
def test_what_launches_cannot_take_is_refused(arguments: tuple[Any, ...], words: str) -> None:
    for version in (one_by_one, graphed):
        with pytest.raises(ValueError, match=words):
            version(*arguments)


def test_a_graph_needs_a_gpu() -> None:
    with pytest.raises(ValueError, match=r"x is on cpu; a CUDA graph needs a GPU"):
        graphed(torch.rand(4), 1, 1)


# Schedules.


def test_one_stream_does_one_thing_at_a_time() -> None:
    spans = schedule(cuda.sequential, chunks=2)
    found = [(s.engine, s.chunk, s.start, s.end) for s in spans]
    assert found == [
        ("copy in", 0, 0, 4),
        ("kernel", 0, 4, 8),
        ("copy out", 0, 8, 12),
        ("copy in", 1, 12, 16),
        ("kernel", 1, 16, 20),
        ("copy out", 1, 20, 24),
    ]


@pytest.mark.parametrize("loop", [cuda.overlapped, cuda.pipelined])
@pytest.mark.parametrize("chunks", [1, 2, 8, 20])
def test_three_chunks_in_flight_keep_three_engines_busy(loop: Callable[..., Any], chunks: int) -> None:
    spans = schedule(loop, chunks=chunks)
    assert total(spans) == pytest.approx(8 * (1 + 2 / chunks))
    assert busy(spans) == pytest.approx({"copy in": 8, "kernel": 8, "copy out": 8})
    assert lower_bound(spans) == pytest.approx(8)


def test_two_chunks_in_flight_are_not_enough() -> None:
    assert total(schedule(cuda.overlapped, chunks=8, buffers=2)) == pytest.approx(13)  # each third step waits


def test_the_slowest_engine_sets_the_pace() -> None:
    spans = schedule(cuda.pipelined, chunks=8, rounds=5)
    assert lower_bound(spans) == pytest.approx(40) and total(spans) == pytest.approx(42)


def test_no_engine_does_two_things_at_once_and_no_chunk_overtakes_itself() -> None:
    for loop in LOOPS.values():
        spans = schedule(loop, n=1003, chunks=7, rounds=3)
        for engine in ("copy in", "kernel", "copy out"):
            mine = sorted((s for s in spans if s.engine == engine), key=lambda s: s.start)
            assert all(a.end <= b.start + 1e-9 for a, b in pairwise(mine))
        for chunk in range(7):
            ends = {s.engine: (s.start, s.end) for s in spans if s.chunk == chunk}
            assert ends["copy in"][1] <= ends["kernel"][0] + 1e-9
            assert ends["kernel"][1] <= ends["copy out"][0] + 1e-9


def test_the_host_takes_time_to_ask() -> None:
    gpu = SimulatedGpu(Speeds(copy_in=4e6, copy_out=4e6, rounds=1e6, host=3.0), kernel=None)
    cuda.overlapped(torch.empty(300), 1, chunks=3, gpu=gpu)
    assert [s.start for s in gpu.spans() if s.engine == "copy in"] == [0, 9, 18]


def test_starts_that_events_tell_too_early_are_mended() -> None:
    measured = [Span("copy in", 0, 0, 0, 2), Span("copy in", 1, 1, 0.5, 4), Span("kernel", 0, 0, 2, 3)]
    assert {(s.engine, s.chunk): s.start for s in one_at_a_time(measured)} == {
        ("copy in", 0): 0,
        ("copy in", 1): 2,
        ("kernel", 0): 2,
    }


# Hazards.

WAITS = {
    "compute.wait_event(arrived)": "copy in, kernel",
    "outward.wait_event(computed)": "kernel, copy out",
    "inward.wait_event(free[i % buffers])": "buffer used again",
    "gpu.synchronize()": "copy out, host",
}


@pytest.mark.parametrize("wait", WAITS)
def test_every_wait_of_the_pipeline_is_needed(wait: str) -> None:
    with pytest.raises(Hazard) as hazard:
        cuda.transform(torch.rand(100), 1, loop=slipped("pipelined.py", wait, "pass"), gpu=SimulatedGpu())
    assert hazard.value.kind == WAITS[wait]
    assert str(hazard.value).startswith("SIMULATED: ") and "pipelined.py:" in str(hazard.value)


def test_a_hazard_names_both_operations_and_their_streams() -> None:
    loop = slipped("pipelined.py", "computed = compute.record_event()", "computed = inward.record_event()")
    line = (Path(numpy_version.__file__).parent / "pipelined.py").read_text().splitlines()
    kernel, copy = (
        next(i for i, text in enumerate(line, 1) if what in text) for what in ("iterate(p", "copy(y")
    )
    with pytest.raises(Hazard) as hazard:
        cuda.transform(torch.rand(100), 1, loop=loop, chunks=2, gpu=SimulatedGpu())
    assert str(hazard.value) == (
        f"SIMULATED: the copy out of chunk 0 (pipelined.py:{copy}, stream 2) may begin before the end of the kernel of "
        f"chunk 0 (pipelined.py:{kernel}, stream 1): stream 2 waits for an event of stream 0, "
        "and that runs in stream 1."
    )


def test_waiting_on_the_host_orders_as_well_as_an_event() -> None:
    loop = slipped("pipelined.py", "compute.wait_event(arrived)", "inward.synchronize()")
    x = torch.rand(100)
    y = cuda.transform(x, 2, loop=loop, gpu=SimulatedGpu())
    np.testing.assert_allclose(y.numpy(), numpy_version.iterate(x.double().numpy(), 2), rtol=1e-6)


def test_an_event_passes_on_what_its_stream_waited_for() -> None:
    """c waits for b, and b only for a: c is after a."""
    gpu = SimulatedGpu(EVEN)
    x, y, buffer = gpu.pin(torch.rand(4)), gpu.pinned(4), gpu.empty(4)
    a, b, c = gpu.stream(), gpu.stream(), gpu.stream()
    a.copy(buffer, x)
    b.wait_event(a.record_event())
    c.wait_event(b.record_event())
    c.copy(y, buffer)
    gpu.synchronize()
    assert torch.equal(gpu.finish(y), x)
    assert [(s.start, s.end) for s in gpu.spans()] == [(0, 0.004), (0.004, 0.008)]


def test_data_reach_the_host_only_when_it_has_waited() -> None:
    gpu = SimulatedGpu(EVEN)
    stream, x, y, buffer = gpu.stream(), gpu.pin(torch.rand(4)), gpu.pinned(4), gpu.empty(4)
    stream.copy(buffer, x)
    stream.copy(y, buffer)
    assert y.isnan().all()
    with pytest.raises(Hazard, match="y is returned, and the copy out"):
        gpu.finish(y)
    stream.synchronize()
    assert torch.equal(gpu.finish(y), x)


def test_copies_go_from_one_side_to_the_other() -> None:
    gpu = SimulatedGpu()
    stream, a, b = gpu.stream(), gpu.empty(4), gpu.pinned(4)
    with pytest.raises(ValueError, match="both in the GPU's memory"):
        stream.copy(a[:2], a[2:])
    with pytest.raises(ValueError, match="both in the host's memory"):
        stream.copy(b, torch.rand(4))
    with pytest.raises(ValueError, match=r"target has \(3,\) and source \(4,\)"):
        stream.copy(a[:3], b)
    with pytest.raises(ValueError, match="part is in the host's memory"):
        stream.iterate(b, 1)


# What a right answer misses.

SLOW = {
    "one stream": (
        "overlapped.py",
        "streams[i % buffers]",
        "streams[0]",
        "everything is put into one stream",
    ),
    "pageable": ("overlapped.py", "y = gpu.pinned(len(x))", "y = torch.empty(len(x))", "that isn't pinned"),
    "a wait in the loop": (
        "overlapped.py",
        "stream.copy(y[first:last], part)",
        "stream.copy(y[first:last], part)\n        gpu.synchronize()",
        "hardly overlap: SIMULATED",
    ),
}


@pytest.mark.parametrize("what", SLOW)
def test_a_loop_that_does_not_overlap_is_told_why(what: str, tmp_path: Path) -> None:
    file, right, wrong, words = SLOW[what]
    exercise = next(e for e in TRANSFORM.exercises if f"{e.blank}.py" == file)
    path = tmp_path / "exercise.py"
    text = "\n".join(source.read_text() for source in exercise.solution)
    assert right in text
    path.write_text(text.replace(right, wrong))
    outcome = run_cases(
        TRANSFORM,
        exercise.implementation(path),
        "cpu",
        outcome=Outcome("transform", "submission"),
        demand=exercise.demand,
    )
    assert outcome.verdict is Verdict.FAIL and words in outcome.what_happened


def test_the_shipped_loops_meet_the_demand(tmp_path: Path) -> None:
    for exercise in TRANSFORM.exercises:
        path = tmp_path / "exercise.py"
        path.write_text("\n".join(source.read_text() for source in exercise.solution))
        outcome = run_cases(
            TRANSFORM,
            exercise.implementation(path),
            "cpu",
            outcome=Outcome("transform", "submission"),
            demand=exercise.demand,
        )
        assert outcome.verdict is Verdict.PASS, outcome.what_happened


# The clock.


def test_an_event_that_has_not_happened_has_no_time() -> None:
    gpu = TimedGpu(1.0)
    start, end = gpu.event(), gpu.event()
    with pytest.raises(RuntimeError, match="never recorded"):
        start.elapsed_time(end)
    start.record()
    gpu.work()
    end.record()
    with pytest.raises(RuntimeError, match="has not happened yet"):
        start.elapsed_time(end)


def test_the_host_goes_on_while_the_simulated_gpu_works() -> None:
    gpu = TimedGpu(50.0)
    for _ in range(5):
        gpu.work()
    gpu.synchronize()
    before = gpu.clock()
    gpu.work()
    assert gpu.clock() - before < 0.01
    gpu.synchronize()
    assert gpu.clock() - before == pytest.approx(50 * 0.4, abs=0.1)  # the data were in the cache


@pytest.mark.parametrize("repeats", [1, 5, 21])
def test_the_stopwatch_is_not_fooled(repeats: int) -> None:
    gpu = TimedGpu(0.25)
    assert stopwatch(gpu, gpu.work, repeats) == pytest.approx(0.25)


# Rows that need a GPU.


def test_a_row_that_needs_a_gpu_is_skipped_without_one() -> None:
    outcome = Outcome("small_launches", "cuda/graph", language="cuda")
    graph = LAUNCHES.implementations[1]
    worker._judge(LAUNCHES, lambda: graph, "cpu", outcome, lambda **message: None)
    assert outcome.verdict is Verdict.SKIPPED and outcome.needs_gpu
    assert outcome.what_happened == "A CUDA graph is captured from a GPU's stream; there is no GPU here."


# Pictures.


def test_a_timeline_draws_each_operation_where_it_ran() -> None:
    spans = [asdict(s) for s in schedule(cuda.overlapped, chunks=4, buffers=2)]
    figure = timeline(
        {"one": [asdict(s) for s in schedule(cuda.sequential, chunks=4)], "two": spans}, "SIMULATED"
    )
    one, two = figure.axes
    assert len(one.patches) == 12
    drawn = {
        (p.get_gid(), round(p.get_x(), 6), round(p.get_width(), 6), round(p.get_y() + 0.4))
        for p in two.patches
    }
    assert drawn == {(s["engine"], s["start"], s["end"] - s["start"], s["stream"]) for s in spans}
    assert [label.get_text() for label in two.get_yticklabels()] == ["stream 0", "stream 1"]
    assert one.get_title(loc="left") == "one: 24.00 ms"
    assert one.get_xlim() == two.get_xlim()


def test_a_timeline_begins_at_its_first_operation() -> None:
    span = {"engine": "kernel", "stream": 7, "chunk": 0, "start": 100.0, "end": 103.0}
    (axes,) = timeline({"late": [span]}, "Some GPU").axes
    assert (axes.patches[0].get_x(), axes.patches[0].get_width()) == (0, 3)


def test_factor_bars_reach_from_one_to_the_factor() -> None:
    (axes,) = factor_bars({"long": 20.0, "short": 0.1}, "label", "Some GPU").axes
    ends = [sorted((bar.get_x(), bar.get_x() + bar.get_width())) for bar in axes.patches]
    assert ends == [[1, 20], [pytest.approx(0.1), 1]]
    assert [text.get_text().strip() for text in axes.texts] == ["20", "0.1"]


# On a GPU.


@pytest.mark.gpu
@pytest.mark.parametrize("loop", LOOPS)
def test_chunks_change_no_bit_on_a_gpu(loop: str) -> None:
    x = torch.rand(2**22 + 3).pin_memory()
    whole = cuda.sequential(x, 500, chunks=1)
    for chunks, buffers in ((16, 3), (37, 2), (5, 6)):
        y = LOOPS[loop](x, 500, chunks=chunks, buffers=buffers)
        assert torch.equal(y, whole) and y.is_pinned()


def test_all_streams_wait_for_what_torchs_own_does_with_new_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []

    class Stream:
        def wait_stream(self, other: str) -> None:
            happened.append(f"wait for {other}")

    class Event:
        def __init__(self, enable_timing: bool) -> None: ...

        def record(self) -> None: ...

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: "torch's")
    monkeypatch.setattr(torch, "empty", lambda n, device: happened.append(f"{n} on {device}"))
    gpu = Gpu()
    gpu.stream(), gpu.stream()
    gpu.empty(8)
    assert happened == ["wait for torch's"] * 2 + ["8 on cuda"] + ["wait for torch's"] * 2


@pytest.mark.gpu
@pytest.mark.parametrize("loop", LOOPS)
def test_buffers_are_free_for_every_stream_however_busy_torchs_own_is(loop: str) -> None:
    """torch fills new memory here, in its own stream, after a product that ends while the chunks are under way."""

    class Busy(Gpu):
        def empty(self, n: int) -> torch.Tensor:
            long @ long
            return super().empty(n)

    long = torch.rand(8192, 8192, device="cuda")
    x = torch.rand(2**25).pin_memory()
    right = LOOPS[loop](x, 20_000)
    with poisoned_memory():
        y = LOOPS[loop](x, 20_000, gpu=Busy())
    assert torch.equal(y, right)


@pytest.mark.gpu
def test_a_watched_run_tells_when_each_operation_ran() -> None:
    gpu = Gpu(watch=True)
    cuda.pipelined(torch.rand(2**22).pin_memory(), 100, chunks=4, gpu=gpu)
    spans = gpu.spans()
    assert len(spans) == 12 and all(span.start <= span.end for span in spans)


@pytest.mark.gpu
def test_a_graph_computes_what_its_launches_do() -> None:
    x = torch.rand(1000, device="cuda")
    assert torch.equal(graphed(x, 3, 20), one_by_one(x, 3, 20))
    assert torch.equal(graphed(x + 1, 3, 20), one_by_one(x + 1, 3, 20))  # the same graph, other data


@pytest.mark.gpu
def test_both_stopwatches_agree() -> None:
    x = torch.rand(2**24, device="cuda")
    ours, theirs = stopwatch(Gpu(), lambda: iterate(x, 2000)), measure(lambda: iterate(x, 2000)).median
    assert ours == pytest.approx(theirs, rel=0.1)


@pytest.mark.gpu
def test_the_time_of_a_kernel_does_not_hold_its_launch() -> None:
    x = torch.rand(1000, device="cuda")

    def slow_to_launch() -> None:
        time.sleep(0.0005)
        x.add_(1)

    assert measure(slow_to_launch).median < 0.1
