"""What `make bench` makes of the JSON files: tables and plots agree with them. And `make profile-lessonN`."""

import json
import math
import re
from types import SimpleNamespace

import pytest

from workbench import bench, lessons, profile
from workbench.compare import measure, shapes
from workbench.compare.results import Results, Row
from workbench.report import kept, plots
from workbench.report.roofline import roofline
from workbench.timing.stopwatch import Measurement

FAST = {"flash_v2/triton": 300, "naive/cuda": 4, "pytorch": 500}  # TFLOP/s, made up


def test_tables_and_plots_say_what_the_json_says():
    wrong = kept.stale()
    assert not wrong, "\n".join([*wrong, "`python -m workbench bench --tables` makes them anew."])


def test_every_mark_is_closed_and_every_lesson_has_its_table():
    named = []
    for readme in kept.readmes():
        text = readme.read_text()
        named += re.findall(r"<!-- measured: (.*?) -->", text)
        assert len(kept.MARKS.findall(text)) == text.count("<!-- measured:") == text.count("<!-- end -->"), (
            readme
        )
    assert {f"lesson{number:02}" for number in lessons.folders()} <= set(named)


def compared(folder, date="2026-01-01 10:00 UTC", partial="", factor=1.0):
    """A comparison's JSON, of made-up times."""
    rows = []
    for shape in shapes.grid("paper", {}):
        for name, speed in FAST.items():
            row = Row(shape, name, "right", judged="all heads")
            if name == "naive/cuda" and shape.seqlen > 8192:
                row.status = "out of memory"
            else:
                time = shape.operations / (factor * speed * 1e12) * 1e3
                one = Measurement(time, time, 0.0, 10)
                row.timing = {**measure.figures(shape, one, 700e12, 3e12, time), "peak_mib": 64.0}
            rows.append(row)
    folder.mkdir(parents=True)
    file = folder / "compare.json"
    file.write_text(Results({"gpu": f"NVIDIA {folder.name}", "date": date}, 0, rows, partial).as_json())
    return file


def laddered(folder, date="2026-01-01 10:00 UTC"):
    """A lesson's JSON with a ladder of three steps, and a task in GB/s."""
    timing = {
        "median": 1.0, "minimum": 0.9, "spread": 0.01, "repeats": 10, "gb_per_s": 100.0, "percent_of_copy": 3.0,
        "copy_gb_per_s": 3000.0, "pytorch_median": 0.5, "times_pytorch": 0.5, "peak_mib": 1.0,
    }  # fmt: skip
    arithmetic = {"tflop_per_s": 10.0, "product_tflop_per_s": 50.0, "percent_of_product": 20.0}
    rows = [{"task": "a matmul", "name": f"cuda/{n}", "timing": {**timing, **arithmetic}} for n in "abc"]
    rows += [{"task": "copy", "name": "cuda", "timing": timing}]
    rows += [{"task": "copy", "name": name, "timing": {}} for name in ("numpy", "broken")]
    for row in rows:
        row["verdict"] = "FAIL" if row["name"] == "broken" else "PASS"
        row["language"] = row["name"].split("/")[0]
    machine = {"gpu": "NVIDIA X", "date": date}
    file = folder / "lesson03.json"
    file.write_text(
        json.dumps({"lesson": 3, "title": "", "machine": machine, "rows": rows, "measured": None})
    )
    return file


@pytest.fixture
def house(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "ROOT", tmp_path)
    (tmp_path / "README.md").write_text(
        "# It\n<!-- measured: compare 128 full -->\n<!-- end -->\nand\n<!-- measured: lesson03 -->\nold\n<!-- end -->\n"
        "<!-- measured: plot compare_speed -->\n<!-- end -->\n<!-- measured: plot lesson03_a_matmul -->\n<!-- end -->\n"
    )
    (tmp_path / "benchmarks").mkdir()
    return tmp_path


def test_without_json_the_tables_say_so(house):
    kept.make()
    assert (house / "README.md").read_text().count("Not measured yet: `make bench`") == 2
    assert (house / "README.md").read_text().count("No plot yet") == 2
    assert kept.stale() == []


def test_tables_and_plots_are_made_from_json_and_go_stale_with_it(house):
    file = compared(house / "benchmarks" / "old")
    laddered(file.parent)
    (file.parent / "lesson01.json").write_text(
        (file.parent / "lesson03.json").read_text().replace("tflop", "t")
    )
    written = {path.name for path in kept.make()}
    drawn = ("compare_speed", "compare_memory", "compare_roofline", "lesson03_a_matmul", "lessons_roofline")
    assert written == {"README.md", *(f"{name}.{kind}" for name in drawn for kind in ("svg", "png"))}
    text = (house / "README.md").read_text()
    assert "NVIDIA old, 2026-01-01; ceilings: 3,000 GB/s of a copy and 700.0 TFLOP/s" in text
    assert re.search(r"\| naive/cuda \| 4.0 .*\| out of memory \|", text) and "| pytorch | 500 |" in text
    assert "| cuda/a | 1 | 0.01 | 10.0 TFLOP/s | 20.0 % | 0.50 | 1 |" in text
    assert (
        "| cuda | 1 | 0.01 | 100 GB/s | 3.0 % | 0.50 | 1 |" in text
        and "numpy" not in text
        and "\nold\n" not in text
    )
    assert "| broken | FAIL |" in text
    assert "](benchmarks/old/compare_speed.svg)" in text and "](benchmarks/old/lesson03_a_matmul.svg)" in text
    assert kept.stale() == [] and kept.make() == []
    first = {path: path.read_text() for path in file.parent.glob("compare_*.svg")}
    before = plots.mark([file])
    file.write_text(file.read_text().replace("out of memory", "too slow"))
    assert len(kept.stale()) == 4  # the table and three plots
    kept.make()
    for path, text in first.items():  # the same figure gives the same file
        assert path.read_text() == text.replace(before, plots.mark([file])) != text
    (house / "README.md").write_text((house / "README.md").read_text().replace("| 500 |", "| 501 |"))
    assert kept.stale() == ["README.md isn't what the newest JSON says"]
    (file.parent / "compare_memory.png").unlink()
    assert len(kept.stale()) == 2


def test_the_newest_gpu_fills_the_tables(house):
    compared(house / "benchmarks" / "a_new", "2026-03-01 10:00 UTC", factor=0.5)
    compared(house / "benchmarks" / "z_old", "2026-02-01 10:00 UTC", partial="stopped by Ctrl-C")
    assert "NVIDIA a_new, 2026-03-01" in kept.between("compare 128 full", house / "README.md")
    (house / "benchmarks" / "a_new" / "compare.json").unlink()
    assert "Partial: stopped by Ctrl-C." in kept.between("compare 128 full", house / "README.md")


def test_a_mark_that_names_nothing_is_refused(house):
    with pytest.raises(ValueError, match="'lesson3' names no table"):
        kept.between("lesson3", house / "README.md")


def test_curves_that_lie_on_one_another_are_one():
    panels = {"x": {"a": {1: 10.0, 2: 20.0}, "b": {1: 10.1, 2: 20.0}, "c": {1: 10.0}}}
    assert plots.merged(panels) == {"x": {"a, b": {1: 10.0, 2: 20.0}, "c": {1: 10.0}}}


def test_panels_have_one_axis_that_reaches_from_zero_beyond_the_highest():
    figure = plots.by_length(
        {"x": {"a": {512: 1.0}}, "y": {"a": {512: 9.0}}, "z": {"a": {512: 3.0}}}, "speed"
    )
    assert {axes.get_ylim() for axes in figure.axes} == {(0.0, figure.axes[1].get_ylim()[1])}
    assert figure.axes[1].get_ylim()[1] > 9


def test_the_roof_is_where_the_ceilings_meet():
    figure = roofline({"a": [(10.0, 1.0)]}, copy_gb_per_s=1000, product_tflop_per_s=100)
    roof = figure.axes[0].lines[0]
    at = dict(zip(roof.get_xdata(), roof.get_ydata(), strict=True))
    assert max(at.values()) == 100 and all(y == pytest.approx(min(x, 100)) for x, y in at.items())
    with pytest.raises(ValueError, match="no point"):
        roofline({}, copy_gb_per_s=1, product_tflop_per_s=1)


# The command.


def test_bench_needs_a_gpu_and_tables_do_not(house, monkeypatch, capsys):
    monkeypatch.setattr(bench, "has_gpu", lambda: False)
    assert bench.main() == 2
    assert "Times need an NVIDIA GPU" in capsys.readouterr().err
    assert bench.main(tables=True) == 0
    with pytest.raises(lessons.NoSuchLesson):
        bench.main(["99"])


def test_bench_measures_what_is_asked(house, monkeypatch):
    done = []
    monkeypatch.setattr(bench, "has_gpu", lambda: True)
    monkeypatch.setattr(bench, "FOLDER", house / "benchmarks")
    monkeypatch.setattr(bench.machine, "describe", lambda: {"gpu": "NVIDIA H100 80GB HBM3", "date": "2026"})
    monkeypatch.setattr(bench, "_lessons", lambda numbers, *rest: bool(done.extend(numbers)))
    monkeypatch.setattr(bench, "_compared", lambda file: bool(done.append(str(file.relative_to(house)))))
    assert bench.main(["3", "compare"]) == 0
    assert done == [3, "benchmarks/nvidia-h100-80gb-hbm3/compare.json"]
    done.clear()
    assert bench.main() == 0 and done[:-1] == list(lessons.folders())


# Profiles.

NCU = """==PROF== Connected to process 1
what the kernel printed
"ID","Process ID","Kernel Name","gpu__time_duration.sum","a.pct","b.pct","ld.sum","st.sum"
"","","","ns","%","%","",""
"0","1","matmul_naive(float*, int)","1,234,000","91.5","20","10","n/a"
"""


def test_what_nsight_compute_says_is_read():
    metrics = {"us": ["gpu__time_duration.sum"], "memory %": ["a.pct"], "conflicts": ["ld.sum"]}
    assert profile.read_ncu(NCU, metrics) == [
        ("matmul_naive(float*, int)", {"us": 1234000.0, "memory %": 91.5, "conflicts": 10.0})
    ]
    assert profile.read_ncu("==ERROR== no permission", metrics) == []


def test_launches_of_one_kernel_with_as_many_blocks_are_one_line():
    launches = [
        ("sum", {"blocks": blocks, "us": us}) for blocks, us in ((8, 3.0), (1, 1.0), (8, 5.0), (8, 4.0))
    ]
    assert profile.together(launches) == [
        ("sum", {"blocks": 8, "us": 4.0, "times": 3}),
        ("sum", {"blocks": 1, "us": 1.0, "times": 1}),
    ]
    unknown = [("sum", {"blocks": math.nan, "us": 2.0})] * 2
    assert [values["times"] for _, values in profile.together(unknown)] == [2]


@pytest.mark.parametrize(
    ("memory", "arithmetic", "words"),
    [(91, 20, "memory is the limit"), (30, 80, "the multiprocessors are the limit"), (10, 10, "it waits")],
)
def test_the_figures_are_put_into_words(memory, arithmetic, words):
    values = {"memory %": memory, "SM %": arithmetic, "tensor %": 40, "conflicts": 5, "turns": 40}
    assert words in profile.in_words(values)
    said = profile.in_words(values)
    assert "tensor cores work 40 %" in said and "5 bank conflicts in 40 turns" in said
    assert "conflicts" not in profile.in_words({**values, "turns": 1000})
    assert "the tensor cores are the limit" in profile.in_words({**values, "tensor %": 95})
    unknown = profile.in_words({**values, "tensor %": float("nan"), "turns": float("nan")})
    assert words in unknown and "tensor" not in unknown and "conflicts" not in unknown


def test_a_metric_that_this_gpu_lacks_is_replaced():
    wanted = profile.METRICS["tensor %"]
    assert profile._available(wanted, "sm__inst_executed_pipe_tensor  a text") == [wanted[1]]
    assert profile._available(wanted, "") == [wanted[0]]
    assert len(profile._available(profile.METRICS["conflicts"], "")) == 2


def test_without_a_gpu_the_machine_counts(monkeypatch, capsys):
    monkeypatch.setattr(profile, "has_gpu", lambda: False)
    assert profile.main(["2"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"cuda/strided +32\.0", said) and re.search(r"cuda/plain +4\.0", said)
    assert "registers" in said and all(len(line) <= 80 for line in said.splitlines())
    assert profile.main(["2", "--only", "nothing"]) == 2
    assert "cuda/plain" in capsys.readouterr().err
    with pytest.raises(lessons.NoSuchLesson):
        profile.main(["99"])


def test_on_a_gpu_each_version_is_traced_and_nsight_asked_if_it_is_there(monkeypatch, tmp_path, capsys):
    asked = []
    monkeypatch.setattr(profile, "has_gpu", lambda: True)
    monkeypatch.setattr(profile, "_call", lambda *arguments: None)
    monkeypatch.setattr(profile, "_traced", lambda call, file: profile.kernels([("void f(int)", 1, 3.0)]))
    monkeypatch.setattr(profile.shutil, "which", lambda tool: "/bin/ncu" if tool == "ncu" else None)

    def ran(command, **options):
        asked.append(command)
        return SimpleNamespace(stdout="" if "--query-metrics" in command else NCU, stderr="")

    monkeypatch.setattr(profile.subprocess, "run", ran)
    assert profile.main(["2", "--only", "plain", "--folder", str(tmp_path / "here")]) == 0
    said = capsys.readouterr().out
    assert "100 %" in said and "matmul_naive" in said and "Nsight Systems isn't installed" in said
    assert asked[1][-2:] == ["--launch", "cuda/plain"]
    assert asked[1][asked[1].index("--launch-count") + 1] == str(profile.LAUNCHES) and "first 20" not in said
    assert (tmp_path / "here" / "lesson02_cuda_plain.ncu.csv").is_file()

    launch = NCU.splitlines()[-1]
    many = NCU + "".join(launch.replace('"0"', f'"{n}"', 1) + "\n" for n in range(1, profile.LAUNCHES))
    monkeypatch.setattr(
        profile.subprocess, "run", lambda *_, **options: SimpleNamespace(stdout=many, stderr="")
    )
    assert profile.main(["2", "--only", "plain", "--folder", str(tmp_path / "here")]) == 0
    said = capsys.readouterr().out
    assert said.count("1,234.0") == 1 and "20 times" in " ".join(said.split())
    assert "The first 20 launches" in said
