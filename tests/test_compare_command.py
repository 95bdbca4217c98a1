"""`python -m workbench compare`: who is right, what is kept, what is refused. The GPU is a fake; the rest is real."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from flash_attention import reference
from workbench.compare import command, judge, measure, oracle, results, run, shapes
from workbench.compare.candidates import Candidate, NoSuchCandidate, choose, users
from workbench.compare.results import BadFile, Results, Row, changes
from workbench.compare.shapes import BadShape, Shape, grid
from workbench.report import machine
from workbench.timing import stopwatch
from workbench.timing.stopwatch import Measurement

SMALL = Shape(2, 37, 4, 2, 16, "float32", causal=True)


def plain(q, k, v, *, causal):
    """Attention that has a backward pass."""
    group = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)


# What is right.


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("at_a_time", [1500, 2**25])
def test_the_oracle_is_the_checkers(monkeypatch, causal, at_a_time):
    monkeypatch.setattr(oracle, "SCORES", at_a_time)
    shape = Shape(2, 37, 4, 2, 16, "float32", causal, backward=True)
    given = oracle.inputs(shape, 3, "cpu")
    right = oracle.expected(shape, given)
    o, lse = reference.attention(*(x.numpy() for x in (given.q, given.k, given.v)), causal=causal)
    for name, whole in (("o", o), ("lse", lse)):
        np.testing.assert_allclose(right.values[name], right.part(name, torch.from_numpy(whole)), rtol=1e-12)
    leaves = [x.double().requires_grad_() for x in (given.q, given.k, given.v)]
    gradients = torch.autograd.grad(plain(*leaves, causal=causal), leaves, given.do.double())
    for name, gradient in zip(("dq", "dk", "dv"), gradients, strict=True):
        np.testing.assert_allclose(right.values[name], right.part(name, gradient), rtol=1e-9, atol=1e-12)


def test_where_the_oracle_takes_too_long_some_heads_are_judged_and_it_says_so(monkeypatch):
    shape = Shape(3, 64, 8, 4, 16, "float16")
    monkeypatch.setattr(oracle, "BUDGET", shape.operations / 2)
    right = oracle.expected(shape, oracle.inputs(shape, 0, "cpu"))
    assert right.judged == "6 of 12 heads"
    assert right.pairs[0].tolist() == [0, 0] and right.pairs[-1].tolist() == [2, 3]
    assert right.values["o"].shape == (6, 2, 64, 16)


def test_operations_and_traffic_are_those_of_the_lessons():
    from lessons import attention_cases

    for causal in (False, True):
        shape = Shape(2, 100, 8, 2, 64, "float16", causal)
        sizes = [(2, heads, 100, 64) for heads in (8, 2, 2)]
        tensors = [torch.empty(size, dtype=torch.float16) for size in sizes]
        assert shape.operations == attention_cases.operations(*tensors, causal=causal)
        assert shape.traffic == attention_cases.traffic(*tensors)


def verdict(function, shape=SMALL, language="cuda"):
    given = oracle.inputs(shape, 0, "cpu")
    right = oracle.expected(shape, given)
    candidate = Candidate("it", function, language, file=Path("its.py"))
    return judge.judge(candidate, shape, given, right, judge.call(candidate, shape, given))


def change(x):
    x[0, 0, 0, 0] += 1
    return x


def nan_at_the_end(o):
    o[-1, -1, -1, -1] = torch.nan
    return o


@pytest.mark.parametrize(
    ("function", "status", "words"),
    [
        (plain, judge.RIGHT, ""),
        (lambda q, k, v, causal: (plain(q, k, v, causal=causal),), judge.RIGHT, ""),
        (lambda q, k, v, causal: plain(q, k, v, causal=False), judge.WRONG, "elements are wrong"),
        (lambda q, k, v, causal: plain(q, k, v, causal=causal) * 1.001, judge.WRONG, "elements are wrong"),
        (lambda q, k, v, causal: nan_at_the_end(plain(q, k, v, causal=causal)), judge.WRONG, "1 of"),
        (lambda q, k, v, causal: q[:, :, :5], judge.WRONG, r"o has shape \(2, 4, 5, 16\); \(2, 4, 37, 16\)"),
        (lambda q, k, v, causal: q.double(), judge.WRONG, "o is torch.float64"),
        (lambda q, k, v, causal: 3, judge.WRONG, "o is a int"),
        (lambda q, k, v, causal: (plain(q, k, v, causal=causal), q[..., 0]), judge.WRONG, "lse"),
        (lambda q, k, v, causal: plain(change(q), k, v, causal=causal), judge.WRONG, "It changed q"),
        (lambda q, k, v, causal: (plain(q, k, v, causal=causal), change(k))[:1], judge.WRONG, "It changed k"),
        (lambda q, k, v, causal: [][1], judge.FAILED, "IndexError"),
        (lambda q, k, v, causal: torch.empty(2**60), judge.FAILED, "memory"),
    ],
)
def test_what_a_function_returns_is_judged_by_the_checkers_rule(function, status, words):
    found, note = verdict(function)
    assert found == status and re.search(words, note), (found, note)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sixteen_bits_may_be_twice_as_far_off_as_plain_pytorch(dtype):
    shape = Shape(1, 50, 2, 2, 32, dtype)
    assert verdict(plain, shape)[0] == judge.RIGHT
    assert verdict(lambda q, k, v, causal: 1.05 * plain(q, k, v, causal=causal), shape)[0] == judge.WRONG


def test_gradients_are_judged_too():
    shape = Shape(1, 40, 4, 2, 16, "float32", causal=True, backward=True)
    assert verdict(plain, shape) == (judge.RIGHT, "")
    detached = lambda q, k, v, causal: plain(q, k, v.detach(), causal=causal) + 0 * v.sum()  # noqa: E731
    assert verdict(detached, shape)[1].startswith("dv: ") or "dv[" in verdict(detached, shape)[1]
    no_gradient = lambda q, k, v, causal: plain(q, k, v, causal=causal).detach()  # noqa: E731
    assert verdict(no_gradient, shape) == (judge.UNSUPPORTED, "it has no backward pass")


def test_out_of_memory_is_told_apart():
    def full(q, k, v, causal):
        raise torch.OutOfMemoryError("CUDA out of memory")

    assert verdict(full) == (judge.OUT_OF_MEMORY, "")


# Shapes and names.


def test_the_presets_are_what_they_are_called():
    assert all(grid(name, {}) for name in shapes.PRESETS)
    paper = grid("paper", {})
    assert {(s.batch * s.seqlen, s.nheads * s.headdim) for s in paper} == {(16384, 2048)}
    assert {(s.headdim, s.causal) for s in paper} == {(64, False), (64, True), (128, False), (128, True)}
    (llama, _) = grid("llama3-8b", {})
    assert (llama.nheads, llama.nheads_kv, llama.headdim, llama.causal) == (32, 8, 128, True)
    assert [s.seqlen for s in grid("gpt2", {"seqlen": [4096]})] == [4096]


@pytest.mark.parametrize("name", shapes.PRESETS)
def test_without_a_gpu_little_is_left_of_a_preset(name):
    for shape in grid(name, {}):
        small = shape.small()
        assert small.batch * small.nheads * small.seqlen <= 400 and small.nheads % small.nheads_kv == 0
        assert (small.nheads > small.nheads_kv) == (shape.nheads > shape.nheads_kv)


KNOWN = {
    name: Candidate(name, plain, "cuda") for name in ("flash_v1/cuda", "flash_v2/cuda", "flash_v2/triton")
}


def test_names_may_have_wildcards_and_come_once():
    assert [c.name for c in choose(["flash_v2*", "flash_v2/cuda"], KNOWN)] == [
        "flash_v2/cuda",
        "flash_v2/triton",
    ]
    assert len(choose([], KNOWN)) == 3
    with pytest.raises(NoSuchCandidate, match=r"the nearest are? .*flash_v2/triton"):
        choose(["flash_v2/trton"], KNOWN)


def test_a_users_function_may_have_no_causal(tmp_path):
    (tmp_path / "mine.py").write_text("def f(q, k, v): return v\n")
    mine = users(f"{tmp_path}/mine.py:f")
    assert mine.function(1, 2, 3, causal=False) == 3
    with pytest.raises(Exception, match="no argument causal"):
        mine.function(1, 2, 3, causal=True)


# The command, without a GPU.


@pytest.fixture
def files(tmp_path):
    (tmp_path / "mine.py").write_text("def attention(q, k, v, *, causal): return q\n")
    (tmp_path / "broken.py").write_text("def attention(:\n")
    (tmp_path / "foreign.json").write_text('{"lesson": 2}')
    (tmp_path / "other.json").write_text(json.dumps({"kind": results.KIND, "rows": [{"batch": 1}]}))
    (tmp_path / "nonsense.json").write_text("nonsense")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("flash_v2/trton", "the nearest are flash_v2/triton"),
        ("pytorch --nheads 8 --nheads-kv 3", "must divide"),
        ("pytorch --batch -3", "'-3' isn't a whole number above 0"),
        ("pytorch --seqlen 0", "above 0"),
        (
            "--seqlen 64 pytorch",
            "'pytorch' isn't a whole number above 0 (names of implementations stand before",
        ),
        ("pytorch --seqlen 9999999k", "at most 2,147,483,647"),
        ("pytorch --repeats -1", "above 0"),
        ("pytorch --seconds nan", "above 0"),
        ("pytorch --dtype fp64", "float32, float16, bfloat16"),
        ("pytorch --preset gpt5", "the nearest are gpt3, gpt2"),
        ("pytorch --what", "unrecognized"),
        ("FOLDER/none.py:f", "no file"),
        ("FOLDER/mine.py:atention", "the nearest is attention"),
        ("FOLDER/broken.py:attention", "can't be imported: broken.py:1: invalid syntax"),
        ("no_such_module:f", "No module named"),
        ("pytorch --baseline FOLDER/none.json", "there is no such file"),
        ("pytorch --baseline FOLDER/foreign.json", "isn't a file that `compare --json` has written"),
        ("pytorch --baseline FOLDER/other.json", "another version"),
        ("pytorch --baseline FOLDER/nonsense.json", "isn't JSON"),
        ("pytorch --baseline FOLDER", "can't be read"),
        ("pytorch --json FOLDER/none/x.json", "There is no folder"),
        ("pytorch --csv FOLDER", "is a folder"),
        ("pytorch --fail-on-regression", "needs --baseline"),
    ],
)
def test_bad_input_is_told_in_a_sentence(files, capsys, arguments, words):
    assert command.main(arguments.replace("FOLDER", str(files)).split()) == 2
    said = capsys.readouterr()
    assert words in said.err and "Traceback" not in said.err and said.err.strip().count("\n") == 0, said.err


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(command, "has_gpu", lambda: False)


def test_without_a_gpu_it_checks_and_counts(no_gpu, tmp_path, capsys):
    answer = tmp_path / "answer.json"
    names = ["flash_v2/cuda", "flash_v2/numpy", "pytorch"]
    assert command.main([*names, "--json", str(answer), "--csv", "-"]) == 0
    rows = {row["name"]: row for row in json.loads(answer.read_text())["rows"]}
    assert {row["status"] for row in rows.values()} == {"right"}
    moved = rows["flash_v2/cuda"]["traffic"]
    assert moved["bytes_needed"] < moved["bytes_moved"] < 4 * moved["bytes_needed"]
    said = capsys.readouterr().out
    assert said.startswith("# gpu: None") and "No NVIDIA GPU" not in said
    assert command.main(names) == 0
    said = capsys.readouterr().out
    assert "times need one" in said and all(len(line) <= 80 for line in said.splitlines())


def test_a_wrong_function_is_shown_and_the_run_goes_on(no_gpu, files, capsys):
    assert command.main([f"{files}/mine.py:attention", "pytorch"]) == 1
    said = capsys.readouterr().out
    assert "wrong  " in said and "pytorch" in said and "right" in said


def test_no_space_left(no_gpu, tmp_path, capsys, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    assert command.main(["pytorch", "--json", str(tmp_path / "answer.json")]) == 2
    said = capsys.readouterr()
    assert "No space left on device" in said.err and "right" in said.out
    assert not list(tmp_path.iterdir())


# The command, with a fake GPU: tensors lie on the CPU, times are made up.


class FakeGpu:
    """ms: by name, or a function of the shape's length; sick: what a call raises while it is timed."""

    def __init__(self):
        self.ms = {}
        self.spread = 0.01
        self.order = []

    def first_call(self, call):
        call()
        return 1.0, 8.0

    def measured(self, shape, calls, seconds, repeats, longest, progress):
        self.order.append((shape.seqlen, list(calls)))
        for part in (0.5, 1.0):
            progress(part)
        found = {}
        for name in calls:
            time = self.ms.get(name, 1.0) * shape.seqlen / 64
            if time < 0:
                raise measure.Raised(name, RuntimeError("sick"))
            if np.isnan(time):
                raise KeyboardInterrupt
            found[name] = Measurement(time, 0.9 * time, self.spread * time, 20)
        rival = found["pytorch"].median
        return {
            name: {**measure.figures(shape, one, 700e12, 3e12, rival), "peak_mib": 8.0}
            for name, one in found.items()
        }


@pytest.fixture
def gpu(monkeypatch):
    fake = FakeGpu()
    known = {
        "ours": Candidate("ours", plain, "cuda"),
        "numpy": Candidate("numpy", plain, "numpy"),
        "absent": Candidate("absent", plain, "pytorch", "it isn't installed"),
        "pytorch": Candidate("pytorch", plain, "pytorch"),
    }
    machine = {
        "gpu": "NVIDIA FAKE", "date": "2026-11-21 12:00 UTC", "driver": "580.1", "clocks": {"clocks.sm": "1980"},
        "python": "3.12", "packages": {"torch": "2.11", "absent": None},
    }  # fmt: skip
    monkeypatch.setattr(command, "has_gpu", lambda: True)
    monkeypatch.setattr(command, "DEVICE", "cpu")
    monkeypatch.setattr(command.lessons, "contenders", lambda: known)
    monkeypatch.setattr(command.machine, "describe", lambda: dict(machine))
    monkeypatch.setattr(command.machine, "clocks", lambda: {})
    monkeypatch.setattr(measure, "first_call", fake.first_call)
    monkeypatch.setattr(measure, "measured", fake.measured)
    monkeypatch.setattr(measure, "ceilings", lambda dtype: (700e12, 3e12))
    fake.known, fake.machine = known, machine
    return fake


GRID = ["--batch", "1", "--seqlen", "64", "128", "--nheads", "2", "--headdim", "16"]


def test_a_whole_run_on_a_gpu(gpu, tmp_path, capsys):
    gpu.ms = {"ours": 0.5}
    paths = [tmp_path / name for name in ("a.json", "a.csv", "a.md")]
    asked = [
        word for kind, path in zip(command.FILES, paths, strict=True) for word in (f"--{kind}", str(path))
    ]
    assert command.main(["ours", "numpy", "absent", *GRID, *asked]) == 0  # and pytorch, unasked
    said = capsys.readouterr().out
    assert all(
        len(line) <= 80 for line in said.splitlines() if not line.startswith(("Wrote", "NVIDIA", "unsup"))
    )
    kept = results.load(paths[0])
    ours = [row for row in kept.rows if row.name == "ours"]
    assert [row.timing["times_pytorch"] for row in ours] == [2.0, 2.0]
    first = ours[0].timing
    assert first["tflop_per_s"] == pytest.approx(4 * 2 * 64 * 64 * 16 / 0.5e-3 / 1e12)
    assert first["gb_per_s"] == pytest.approx((4 * 2 * 64 * 16 * 2 + 4 * 2 * 64) / 0.5e-3 / 1e9)
    assert {row.name: row.status for row in kept.rows} == {
        "ours": "right", "pytorch": "right", "numpy": "unsupported", "absent": "unsupported",
    }  # fmt: skip
    assert paths[1].read_text().startswith("# gpu: NVIDIA FAKE") and paths[1].read_text().count("\nours") == 0
    assert "| ours | right |" in paths[2].read_text() and "NVIDIA FAKE" in paths[2].read_text()
    assert "Driver 580.1; clocks.sm 1980; Python 3.12, torch 2.11; seed 0." in paths[2].read_text()


def test_a_baseline_marks_what_is_beyond_the_noise(gpu, tmp_path, capsys):
    old, asked = tmp_path / "old.json", ["ours", *GRID]
    gpu.ms = {"ours": 1.0}
    assert command.main([*asked, "--json", str(old)]) == 0
    for time, word, status in ((1.015, "the same", 0), (1.05, "slower: ", 1), (0.9, "faster: ", 0)):
        gpu.ms = {"ours": time}
        capsys.readouterr()
        assert command.main([*asked, "--baseline", str(old), "--fail-on-regression"]) == status
        assert command.main([*asked, "--baseline", str(old)]) == 0  # a change alone is no failure
        assert word in capsys.readouterr().out, word
    gpu.spread = 0.03  # now 5 % is noise
    gpu.ms = {"ours": 1.03}
    assert command.main([*asked, "--baseline", str(old), "--fail-on-regression"]) == 0
    gpu.known["ours"] = Candidate("ours", lambda q, k, v, causal: v, "cuda")
    assert command.main([*asked, "--baseline", str(old), "--fail-on-regression"]) == 1
    assert "broken: it was right, and is wrong" in capsys.readouterr().out


def test_a_baseline_of_another_gpu_is_refused(gpu, tmp_path, capsys):
    old = tmp_path / "old.json"
    command.main(["ours", *GRID, "--json", str(old)])
    gpu.machine["gpu"] = "NVIDIA OTHER"
    assert command.main(["ours", *GRID, "--baseline", str(old)]) == 2
    assert "of NVIDIA FAKE, and this is NVIDIA OTHER" in capsys.readouterr().err


def test_ctrl_c_keeps_what_is_measured(gpu, tmp_path, capsys, monkeypatch):
    kept = tmp_path / "kept.json"
    times = iter([1.0, np.nan])
    real = gpu.measured

    def measured(*arguments):
        gpu.ms = {"ours": next(times)}
        return real(*arguments)

    monkeypatch.setattr(measure, "measured", measured)
    assert command.main(["ours", *GRID, "--json", str(kept)]) == 130
    found = results.load(kept)
    assert found.partial == "stopped by Ctrl-C"
    assert [bool(row.timing) for row in found.rows] == [True, True, False, False]
    assert "Partial: stopped by Ctrl-C" in capsys.readouterr().out


def test_what_raises_while_it_is_timed_costs_only_itself(gpu, capsys):
    gpu.ms = {"ours": -1.0}
    assert command.main(["ours", "--seqlen", "64", "--batch", "1"]) == 1
    said = capsys.readouterr().out
    assert "failed  ours: RuntimeError: sick" in said
    assert gpu.order == [(64, ["ours", "pytorch"]), (64, ["pytorch"])]


def test_a_call_that_would_take_too_long_is_not_made(gpu, capsys):
    gpu.ms = {"ours": 900.0}
    assert command.main(["ours", "--batch", "1", "--seqlen", "64", "128", "--longest", "2"]) == 0
    assert "too slow  ours: a call would take about 3.6 s; --longest allows 2" in capsys.readouterr().out
    assert gpu.order[1] == (128, ["pytorch"])


def test_a_lost_gpu_ends_the_run_and_keeps_the_rest(gpu, tmp_path, monkeypatch, capsys):
    def lost(candidate, *arguments):
        raise judge.Lost("CUDA error: an illegal memory access was encountered")

    kept = tmp_path / "kept.json"
    monkeypatch.setattr(judge, "judge", lost)
    assert command.main(["ours", *GRID, "--json", str(kept)]) == 1
    assert "the GPU can't go on after ours: CUDA error" in capsys.readouterr().out
    assert [row.status for row in results.load(kept).rows] == ["failed", *["stopped"] * 3]


def test_out_of_memory_in_the_oracle_costs_one_shape(gpu, monkeypatch, capsys):
    real = oracle.inputs

    def inputs(shape, *arguments):
        if shape.seqlen == 64:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(shape, *arguments)

    monkeypatch.setattr(run.oracle, "inputs", inputs)
    assert command.main(["ours", *GRID]) == 0
    said = capsys.readouterr().out
    assert "out of memory  ours, pytorch: not even the inputs" in said and gpu.order == [
        (128, ["ours", "pytorch"])
    ]


# The stopwatch.


def test_calls_are_made_in_turn_and_the_slow_ones_less_often(monkeypatch):
    made = []

    waited = []

    class Event:
        def elapsed_time(self, end):
            return 1.0

        def synchronize(self):
            waited.append(len(made))

    def once(function, flush, flushes):
        function()
        return Event(), Event(), True

    cuda = SimpleNamespace(current_device=lambda: 0, synchronize=lambda: None, Event=Event)
    monkeypatch.setattr(stopwatch, "torch", SimpleNamespace(cuda=cuda))
    monkeypatch.setattr(stopwatch, "_flush_buffer", lambda device: None)
    monkeypatch.setattr(stopwatch, "_once", once)
    plans = {"a": (1, 6), "b": (1, 3)}
    functions = {name: (lambda name=name: made.append(name)) for name in plans}
    names = {function: name for name, function in functions.items()}
    monkeypatch.setattr(stopwatch, "_plan", lambda function, *rest: plans[names[function]])
    found = stopwatch.measure_in_turn(list(functions.values()))
    assert "".join(made) == "aab" * 3
    assert [one.repeats for one in found] == [6, 3] and found[0].median == 1.0
    assert waited == [7, 9]  # in the last two rounds, and never for what was launched last


def test_a_call_whose_launch_the_gpu_waited_for_is_made_again_behind_more_work(monkeypatch):
    launched, late = [], {1, 2}

    class Event:
        def elapsed_time(self, end):
            return 9.0 if self.number in late else 1.0

    def once(function, flush, flushes):
        start = Event()
        start.number = len(launched)
        launched.append(flushes)
        return start, Event(), start.number not in late

    cuda = SimpleNamespace(current_device=lambda: 0, synchronize=lambda: None, Event=Event)
    monkeypatch.setattr(stopwatch, "torch", SimpleNamespace(cuda=cuda))
    monkeypatch.setattr(stopwatch, "_flush_buffer", lambda device: None)
    monkeypatch.setattr(stopwatch, "_once", once)
    monkeypatch.setattr(stopwatch, "_plan", lambda *arguments: (8, 3))
    (found,) = stopwatch.measure_in_turn([lambda: None])
    assert launched == [8, 8, 16, 32, 32]
    assert found == Measurement(1.0, 1.0, 0.0, 3)

    late.update(range(100))  # it waits for the GPU itself: more work before it wouldn't help
    launched.clear()
    (found,) = stopwatch.measure_in_turn([lambda: None])
    assert launched == [8, 16, 32, 50, 50, 50] and found.repeats == 3


def test_changes_needs_something_in_common():
    machine = {"gpu": None}
    now, before = (Results(machine, 0, [Row(SMALL, name, judge.RIGHT)]) for name in ("a", "b"))
    with pytest.raises(BadFile, match="none of these"):
        changes(now, before)


def test_an_impossible_shape_is_refused():
    with pytest.raises(BadShape, match="--nheads-kv is 3"):
        grid("", {"nheads_kv": [3]})


def test_quick_calls_are_timed_in_turn_and_slow_ones_by_themselves(monkeypatch):
    asked = []

    def in_turn(functions, *, budget, least, most, progress):
        asked.append((len(functions), budget, least, most))
        for function in functions:
            function()
        return [Measurement(2.0, 1.9, 0.1, 30) for _ in functions]

    monkeypatch.setattr(measure, "measure_in_turn", in_turn)
    monkeypatch.setattr(measure, "matrix_product", lambda dtype: 100e12)
    monkeypatch.setattr(measure, "copy_bandwidth", lambda: 1e12)
    monkeypatch.setattr(measure, "first_call", lambda call: (call() or 80.0, 1.0))
    called = []
    calls = {
        "slow": (lambda: called.append("slow"), 80.0, 7.0),
        "ours": (lambda: called.append("ours"), 1.0, 5.0),
        "pytorch": (lambda: called.append("pytorch"), 1.0, 6.0),
    }
    found = measure.measured(SMALL, calls, 0.2, None, 2.0, lambda part: None)
    assert called == ["slow"] * 3 + ["ours", "pytorch"] and asked == [(2, 0.2, 10, 200)]
    assert (
        found["slow"]["median"] == 80.0 and found["slow"]["peak_mib"] == 7.0 and found["slow"]["repeats"] == 3
    )
    assert found["ours"]["times_pytorch"] == 1.0 and found["slow"]["times_pytorch"] == 2 / 80
    assert found["ours"]["percent_of_product"] == pytest.approx(SMALL.operations / 2e-3 / 1e12)
    called.clear()
    measure.measured(SMALL, calls, 0.2, 4, 2.0, lambda part: None)
    assert called.count("slow") == 4 and asked[1] == (2, 0.2, 4, 4)
    called.clear()
    found = measure.measured(SMALL, calls, 0.2, None, 0.07, lambda part: None)
    assert "slow" not in called and found["slow"]["median"] == 80.0 and found["slow"]["repeats"] == 1

    def sick():
        raise RuntimeError("sick")

    with pytest.raises(measure.Raised, match="ours: sick"):
        measure.measured(SMALL, {**calls, "ours": (sick, 1.0, 5.0)}, 0.2, None, 2.0, lambda part: None)


def test_the_clocks_are_what_nvidia_smi_says(monkeypatch):
    asked = []

    def smi(command, **options):
        asked.append(command)
        return SimpleNamespace(returncode=0, stdout="1980, 2619, 1980, 512.1, 700.00, 45\n")

    properties = SimpleNamespace(uuid="abc")
    cuda = SimpleNamespace(get_device_properties=lambda n: properties, current_device=lambda: 0)
    monkeypatch.setattr(machine, "has_gpu", lambda: True)
    monkeypatch.setattr(torch, "cuda", cuda)
    monkeypatch.setattr(machine.subprocess, "run", smi)
    assert machine.clocks()["clocks.sm"] == "1980" and machine.clocks()["temperature.gpu"] == "45"
    assert asked[0][-2:] == ["-i", "GPU-abc"]
    monkeypatch.setattr(machine.subprocess, "run", lambda *a, **o: SimpleNamespace(returncode=9, stdout=""))
    assert machine.clocks() == {}
    monkeypatch.setattr(machine, "has_gpu", lambda: False)
    assert machine.clocks() == {}
