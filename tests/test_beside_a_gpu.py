"""What the checker and `make bench` do beside a GPU, which is pretended here."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path
from threading import Barrier, Event, Semaphore
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console

from workbench import bench, lessons
from workbench.check import check, worker
from workbench.check.outcome import Outcome, Request, Verdict
from workbench.check.processes import Answer, CheckerError, Workers
from workbench.report import table


def test_rows_are_judged_on_a_gpu_side_by_side_and_then_timed_in_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also what needs one. What is wrong isn't timed, NumPy isn't even judged there."""
    asked: list[tuple[str, str, tuple[str, ...]]] = []
    at_once = Barrier(2)

    def judge(request: Request, workers: Workers) -> Answer:
        asked.append((request.mode, request.who, request.rows))
        if request.mode == "cpu":
            graph = Outcome("t", "graph", Verdict.SKIPPED, what_happened="no GPU here", needs_gpu=True)
            rows = [Outcome("t", "plain"), graph, Outcome("t", "loop", language="numpy")]
            return Answer("", rows if request.who == "shipped" else [Outcome("t", "mine", learners=True)])
        if request.mode == "cuda" and request.who == "shipped":
            at_once.wait(timeout=20)
        outcomes = [Outcome(*row.split("/"), cases=4, cases_right=4) for row in request.rows]
        for outcome in outcomes:
            if request.mode == "cuda" and outcome.name == "mine":
                outcome.verdict, outcome.what_happened = Verdict.FAIL, "out[3] is 4"
            if request.mode == "time":
                outcome.cases = outcome.cases_right = 0
                outcome.timing = {"median": 1.0} if outcome.name == "graph" else {}
                outcome.what_happened = "" if outcome.timing else "It is right, but isn't timed: no memory"
        return Answer("", outcomes)

    monkeypatch.setattr(check, "judge", judge)
    monkeypatch.setattr(check, "_room", lambda: Semaphore(2))
    monkeypatch.setattr(check, "has_gpu", lambda: True)
    plain, graph, _loop, mine = check.check_lesson(1).outcomes
    on_gpu = [one for one in asked if one[0] in ("cuda", "time")]
    assert sorted(on_gpu[:3]) == [
        ("cuda", "learner", ("t/mine",)), ("cuda", "shipped", ("t/graph",)), ("cuda", "shipped", ("t/plain",)),
    ]  # fmt: skip
    assert on_gpu[3:] == [("time", "shipped", ("t/plain", "t/graph"))]
    assert (graph.verdict, graph.cases_right, graph.what_happened) == (Verdict.PASS, 4, "")
    assert graph.timing == {"median": 1.0} and mine.verdict is Verdict.FAIL
    assert (plain.verdict, plain.what_happened) == (Verdict.PASS, "It is right, but isn't timed: no memory")
    shown = Console(file=StringIO(), width=100)
    table.show(shown, 1, "First kernels", [plain], "Some GPU", Path("lessons"))
    assert "plain: It is right, but isn't timed: no memory" in shown.file.getvalue()


def test_however_many_rows_come_first_the_gpus_room_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def properties(device: int) -> SimpleNamespace:
        time.sleep(0.1)  # as CUDA's start takes
        return SimpleNamespace(total_memory=2 * check.GPU_MEMORY)

    monkeypatch.setattr(torch.cuda, "get_device_properties", properties)
    monkeypatch.setattr(check.os, "cpu_count", lambda: 16)
    check._counted.cache_clear()
    try:
        with ThreadPoolExecutor(8) as pool:
            (room,) = {job.result() for job in [pool.submit(check._room) for _ in range(8)]}
        assert [room.acquire(blocking=False) for _ in range(3)] == [True, True, False]
    finally:
        check._counted.cache_clear()


@pytest.mark.parametrize("fault", [False, True])
def test_what_faults_while_it_is_timed_is_wrong(monkeypatch: pytest.MonkeyPatch, fault: bool) -> None:
    """Too little memory is no fault, and the process goes on with the next row."""
    said, error = StringIO(), "an illegal memory access was encountered" if fault else "CUDA out of memory"

    def raises(*arguments: Any) -> None:
        raise RuntimeError(error)

    monkeypatch.setattr(worker, "_time", raises)
    monkeypatch.setattr(worker, "_synchronise", raises if fault else lambda: None)
    monkeypatch.setattr(worker, "_missing", lambda language: "")
    monkeypatch.setattr(worker.os, "fdopen", lambda *_: said)
    worker.main(0, Request(2, "time", "shipped", ("vector_add/cuda/plain", "vector_add/triton")))
    messages = map(json.loads, said.getvalue().splitlines())
    ends = [Outcome.from_dict(one["outcome"]) for one in messages if "ends" in one]
    if fault:
        (lost,) = ends
        assert (lost.verdict, lost.where, lost.case) == (Verdict.FAIL, "on the GPU", "timing")
        assert lost.what_happened == f"RuntimeError: {error}"
    else:
        assert [one.verdict for one in ends] == [Verdict.PASS] * 2
        assert ends[0].what_happened == f"It is right, but isn't timed: RuntimeError: {error}"


# What a lesson measures by itself.


def test_bench_keeps_what_a_lesson_measures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done: list[str] = []

    def measured(number: int) -> dict[str, Any]:
        done.append(f"measured {number}")
        if number == 2:
            raise RuntimeError("out of memory")
        return {"of": number}

    monkeypatch.setattr(bench, "has_gpu", lambda: True)
    monkeypatch.setattr(bench, "FOLDER", tmp_path)
    monkeypatch.setattr(lessons, "ROOT", tmp_path)
    monkeypatch.setattr(bench.machine, "describe", lambda: {"gpu": "Some GPU"})
    wrong = Outcome("copy", "cuda", Verdict.FAIL, what_happened="out[3] is 4; it should be 3.")
    monkeypatch.setattr(bench, "check_on_cpu", lambda number, _: Answer("", [wrong] if number == 5 else []))
    monkeypatch.setattr(bench, "check_on_gpu", lambda number, answer, _: done.append(f"right {number}"))
    monkeypatch.setattr(bench, "time_on_gpu", lambda number, answer: done.append(f"timed {number}"))
    monkeypatch.setattr(lessons, "folders", lambda: {2: tmp_path, 5: tmp_path})
    monkeypatch.setattr(lessons, "measure", measured)
    monkeypatch.setattr(bench, "_tables", lambda: 0)
    assert bench.main(["2", "5"]) == 1
    said = capsys.readouterr().out
    assert "lesson 2, measure.py: RuntimeError: out of memory" in said
    assert "lesson 5, copy/cuda: FAIL. out[3] is 4; it should be 3." in said
    assert sorted(done[:2]) == ["right 2", "right 5"]  # no time is taken before all is checked
    assert done[2:] == ["timed 2", "measured 2", "timed 5", "measured 5"]
    kept = [json.loads((tmp_path / "some-gpu" / f"lesson0{n}.json").read_text()) for n in (2, 5)]
    assert kept[1]["measured"] == {"of": 5} and "measured" not in kept[0]


def test_a_bench_whose_checker_breaks_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def check_on_cpu(number: int, workers: Workers) -> Answer:
        raise CheckerError("The cpu process of the checker broke before its first row.")

    monkeypatch.setattr(bench, "has_gpu", lambda: True)
    monkeypatch.setattr(bench, "FOLDER", tmp_path)
    monkeypatch.setattr(bench.machine, "describe", lambda: {"gpu": "Some GPU"})
    monkeypatch.setattr(bench, "check_on_cpu", check_on_cpu)
    assert bench.main(["2"]) == 2
    assert "broke before its first row" in (said := capsys.readouterr().err) and "make doctor" in said


def test_ctrl_c_ends_all_checks_of_a_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checking, ended = Event(), []

    def check_on_cpu(number: int, workers: Workers) -> Answer:
        if number == 2:  # while another lesson is being checked
            assert checking.wait(timeout=20)
            raise KeyboardInterrupt
        checking.set()
        ended.append(workers.stopped.wait(timeout=20))
        raise CheckerError("The checker was stopped.")

    monkeypatch.setattr(bench, "check_on_cpu", check_on_cpu)
    monkeypatch.setattr(bench.os, "cpu_count", lambda: 4)
    with pytest.raises(KeyboardInterrupt):
        bench._lessons([1, 2], tmp_path, {})
    assert ended == [True]


def test_a_lesson_without_a_measure_file_measures_nothing() -> None:
    assert lessons.measure(1) is None
