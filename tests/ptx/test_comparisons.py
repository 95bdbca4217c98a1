"""The scripts that compare the PTX machine with a GPU, as far as they can be tried without one."""

import csv
import io
import json
import stat
import sys

import numpy as np
import pytest

from benchmarks.ptx_machine import compare_counters, compare_values, launches
from workbench.check.compare import Tolerance

BITS = Tolerance()  # nothing may differ

SMALL = ["vector_add", "stencil", "half_arithmetic", "bfloat_arithmetic", "reduce_two_stages"]


def test_the_machine_agrees_with_itself(tmp_path, monkeypatch, capsys):
    lesson, folders = "cuda/plain: n = 31, float16", compare_values.lessons.folders()
    monkeypatch.setattr(compare_values.lessons, "folders", lambda: {2: folders[2]})
    assert compare_values.main([str(tmp_path), "--without-gpu", "--only", *SMALL, lesson]) == 0
    rows = json.loads((tmp_path / "values.json").read_text())["rows"]
    assert {row["name"] for row in rows} == {*SMALL, lesson}
    assert sum(row["name"] == "reduce_two_stages" for row in rows) == 3
    assert all(row["same_bits"] and row["right"] and row["elements"] for row in rows)
    assert "| vector_add | tests/ptx/kernels | 1 | 1,000 | 0 |" in (tmp_path / "values.md").read_text()
    assert f"{len(rows)} outputs, {len(rows)} with the same bits, 0 too far apart" in capsys.readouterr().out


@pytest.fixture
def no_lessons(monkeypatch):
    """Without the lessons' cases, whose processes take seconds to start."""
    monkeypatch.setattr(compare_values, "of_lessons", lambda names, device: iter(()))


def test_a_difference_is_found_and_fails(tmp_path, monkeypatch, capsys, no_lessons):
    on_gpu = launches.on_gpu

    def slightly_off(case, arguments, device):
        results = on_gpu(case, arguments, "cpu")
        results[2][7] = np.nextafter(results[2][7], np.float32(9))
        return results

    monkeypatch.setattr(launches, "on_gpu", slightly_off)
    assert compare_values.main([str(tmp_path), "--without-gpu", "--only", "vector_add"]) == 1
    (row,) = json.loads((tmp_path / "values.json").read_text())["rows"]
    assert (row["different"], row["ulps"], row["right"]) == (1, 1, False)
    assert "differs too much" in (tmp_path / "values.md").read_text()


def test_a_launch_that_fails_is_a_row(tmp_path, monkeypatch, no_lessons):
    def broken(case, arguments, device):
        raise RuntimeError("an illegal memory access")

    monkeypatch.setattr(launches, "on_gpu", broken)
    assert compare_values.main([str(tmp_path), "--without-gpu", "--only", "vector_add"]) == 1
    assert "RuntimeError: an illegal memory access" in (tmp_path / "values.md").read_text()


@pytest.mark.parametrize(
    ("dtype", "one", "other", "ulps"),
    [
        (np.float32, 1.0, 1.0 + 2**-23, 1),
        (np.float32, -(2.0**-149), 2.0**-149, 2),
        (np.float16, 1.0, 1.0 - 2**-11, 1),
        (np.float64, 1.0, 1.0 + 2**-50, 4),
        (np.uint16, 0x3F80, 0x3F83, 3),
        (np.int32, 5, 9, 4),
    ],
)
def test_differences_are_counted_in_units_of_the_last_place(dtype, one, other, ulps):
    gpu, cpu = np.array([one], dtype), np.array([other], dtype)
    row = compare_values.compared("", "", "", gpu, cpu, BITS)
    assert row.ulps == ulps
    assert not row.right
    for limit in (0.5 * row.difference, 2 * row.difference):
        near = compare_values.compared("", "", "", gpu, cpu, Tolerance(limit))
        assert near.right is (limit > row.difference)


def test_nan_is_no_number():
    nan, one = np.array([np.nan], np.float32), np.ones(1, np.float32)
    assert compare_values.compared("", "", "", nan, nan, Tolerance(1e-3)).right
    assert not compare_values.compared("", "", "", nan, one, Tolerance(1e-3)).right


def test_arguments_travel_there_and_back():
    for case in launches.cases().values():
        for value in case.arguments():
            back = launches.array(launches.tensor(value, "cpu"), value)
            np.testing.assert_array_equal(back, value)
            assert back.dtype == value.dtype


def written_by_ncu(names, wide, changed=None):
    """What ncu would write if it saw what the machine counts; `changed`: (launch, metric, value)."""
    cases = launches.chosen(names)
    rows = []
    for number, (name, counted) in enumerate(compare_counters.in_machine(cases).items()):
        values = {}
        for counter in compare_counters.COUNTERS:
            whole = sum(getattr(counted, field) for field in counter.machine)
            shares = [whole, *[0] * (len(counter.ncu) - 1)]
            values.update(zip((metric.removeprefix("2 ") for metric in counter.ncu), shares, strict=True))
        if changed and changed[0] == name:
            values[changed[1]] = changed[2]
        head = {"ID": number, "Process ID": 7, "Kernel Name": cases[name].kernel + "(const float *, int)"}
        shown = {metric: f"{value:,}" for metric, value in values.items()}
        if wide:
            rows.append({**head, **shown})
        else:
            rows += [
                {**head, "Metric Name": metric, "Metric Unit": "", "Metric Value": v}
                for metric, v in shown.items()
            ]
    out = io.StringIO()
    out.write("==PROF== Connected to process 7\nlaunching vector_add\n")
    writer = csv.DictWriter(out, rows[0], quoting=csv.QUOTE_ALL)
    writer.writeheader()
    if wide:
        writer.writerow({key: "" for key in rows[0]})  # the units
    writer.writerows(rows)
    return out.getvalue()


@pytest.mark.parametrize("wide", [True, False], ids=["a column a metric", "a line a metric"])
def test_equal_counters_are_equal(tmp_path, wide):
    path = tmp_path / "given.csv"
    path.write_text(written_by_ncu(SMALL, wide))
    assert compare_counters.main([str(tmp_path / "out"), "--csv", str(path), "--only", *SMALL]) == 0
    rows = json.loads((tmp_path / "out" / "counters.json").read_text())["rows"]
    assert len(rows) == len(SMALL) * len(compare_counters.COUNTERS)
    assert all(row["machine"] == row["gpu"] for row in rows)
    requests = [
        row for row in rows if (row["launch"], row["counter"]) == ("vector_add", "global load requests")
    ]
    assert [row["gpu"] for row in requests] == [64]


def test_a_counter_that_differs_is_told(tmp_path, capsys):
    path = tmp_path / "given.csv"
    path.write_text(
        written_by_ncu(SMALL, True, ("stencil", compare_counters.GLOBAL.format("sectors", "st"), 77))
    )
    assert compare_counters.main([str(tmp_path), "--csv", str(path), "--only", *SMALL]) == 1
    assert (
        "| stencil | global store sectors | 42 | 77 | 0.55 | **?** |"
        in (tmp_path / "counters.md").read_text()
    )


def test_a_difference_whose_reason_is_known_is_no_failure(tmp_path):
    path = tmp_path / "given.csv"
    path.write_text(
        written_by_ncu(["hello"], True, ("hello", compare_counters.GLOBAL.format("sectors", "st"), 7))
    )
    assert compare_counters.main([str(tmp_path), "--csv", str(path), "--only", "hello"]) == 0
    assert "| hello | global store sectors | 0 | 7 | 0.00 | printf" in (tmp_path / "counters.md").read_text()


FAKE = """#!{python}
import sys
if "--query-metrics" in sys.argv:
    print("l1tex__t_requests_pipe_lsu_mem_global_op_ld  requests")
    sys.exit()
asked = sys.argv[sys.argv.index("--metrics") + 1]
assert asked == "l1tex__t_requests_pipe_lsu_mem_global_op_ld.sum", asked
assert sys.argv[-1] == "vector_add" and sys.argv[sys.argv.index("--kernel-name") + 1] == "regex:^(vector_add)$"
print('"ID","Kernel Name","' + asked + '"')
print('"","",""')
print('"0","vector_add","64"')
"""


def test_ncu_is_asked_for_the_metrics_that_it_knows(tmp_path):
    ncu = tmp_path / "ncu"
    ncu.write_text(FAKE.format(python=sys.executable))
    ncu.chmod(ncu.stat().st_mode | stat.S_IXUSR)
    assert compare_counters.main([str(tmp_path), "--ncu", str(ncu), "--only", "vector_add"]) == 0
    (row,) = json.loads((tmp_path / "counters.json").read_text())["rows"]
    assert (row["counter"], row["machine"], row["gpu"]) == ("global load requests", 64, 64)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "no CSV of ncu"),
        ("==ERROR== permission\n", "permission"),
        (
            '"ID","Kernel Name","Metric Name","Metric Value"\n"0","saxpy","a","1"\n',
            "saxpy instead of vector_add",
        ),
    ],
)
def test_a_csv_that_cannot_be_used_is_a_sentence(tmp_path, capsys, content, words):
    path = tmp_path / "given.csv"
    path.write_text(content)
    assert compare_counters.main([str(tmp_path), "--csv", str(path), "--only", "vector_add"]) == 2
    assert words in capsys.readouterr().err


def test_missing_tools_are_named(tmp_path, capsys):
    assert compare_counters.main([str(tmp_path), "--ncu", "nowhere/ncu", "--only", "vector_add"]) == 2
    assert "nowhere/ncu" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="no launch named 'vector'"):
        compare_counters.main([str(tmp_path), "--only", "vector"])
