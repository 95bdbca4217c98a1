"""The checker as a learner meets it: each way in which a file can be wrong costs its own row, and is said in words."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest
from rich.console import Console

from workbench import lessons
from workbench.check.check import check_lesson, check_on_cpu
from workbench.check.outcome import Outcome, Verdict
from workbench.check.processes import _head_and_tail
from workbench.check.run import run_cases
from workbench.report import table

NOT_COPIED = shutil.ignore_patterns("*.ipynb", "*.pyc.*")  # the latter while modules are being compiled
CU = (lessons.folder(1) / "exercise.cu").read_text()
PY = (lessons.folder(2) / "exercise.py").read_text()
SOLVED_COORDINATES = """
  const int column = blockIdx.x * blockDim.x + threadIdx.x;
  const int row = blockIdx.y * blockDim.y + threadIdx.y;
  if (row < rows && column < columns) table[row * columns + column] = 10000 * row + column;
"""


def filled(text: str, blank: str, code: str) -> str:
    """The exercise with code in one of its blanks."""
    head, tail = text.split(f"<<< {blank}", 1)
    comment = head.rfind("\n") + 1
    return f"{head[:comment]}{code}\n{head[comment:]}<<< {blank}{tail}"


def cu(code: str) -> tuple[int, str, str]:
    return 1, "exercise.cu", filled(filled(CU, "who_am_i", code), "coordinates", SOLVED_COORDINATES)


def py(code: str) -> tuple[int, str, str]:
    return 2, "exercise.py", filled(PY, "vector_add", code)


SIGNATURE = "int *block, int *thread, int *warp, int *lane, int n"
FILES = {
    "syntax error": cu("int i = ;"),
    "undefined name": cu("block[index] = 0;"),
    "missing kernel": (1, "exercise.cu", cu("block[0] = 0;")[2].replace("void who_am_i", "void who_are_you")),
    "too few parameters": (1, "exercise.cu", cu("block[0] = 0;")[2].replace(SIGNATURE, "int *block, int n")),
    "wrong parameter": (
        1,
        "exercise.cu",
        cu("block[0] = 0;")[2].replace(SIGNATURE, SIGNATURE.replace("int n", "float n")),
    ),
    "wrong pointer": (
        1,
        "exercise.cu",
        cu("block[0] = 0;")[2].replace(SIGNATURE, SIGNATURE.replace("int *warp", "double *warp")),
    ),
    "out of bounds": cu("block[blockIdx.x * blockDim.x + threadIdx.x] = blockIdx.x;"),
    "endless loop": cu("volatile int x = 0; while (x == 0) { } block[0] = x;"),
    "prints": cu('if (threadIdx.x == 0 && blockIdx.x == 0) printf("n is %d\\n", n);'),
    "python syntax": py("    i = = 3"),
    "python name": py("    i = offsets"),
    "python ends the process": (2, "exercise.py", py("    x = 1")[2] + "\nimport os\nos._exit(0)\n"),
    "python crashes": (2, "exercise.py", py("    x = 1")[2] + "\nimport os\nos.kill(os.getpid(), 11)\n"),
    "python hangs": (2, "exercise.py", py("    x = 1")[2] + "\nimport time\nwhile True: time.sleep(1)\n"),
    "function gone": (2, "exercise.py", py("    x = 1")[2].replace("def vector_add(", "def vector_sum(")),
    "deleted": (2, "exercise.py", None),
    "binary": (1, "exercise.cu", b"\x00\xff\xfe>>> \x00"),
}

DRIVER = """
import json, sys
from workbench.check.outcome import Request
from workbench.check.processes import Workers, judge
for number in sys.stdin:
    answer = judge(Request(int(number), "cpu", "learner"), Workers(seconds=4.0))
    print(json.dumps([outcome.as_dict() for outcome in answer.outcomes]), flush=True)
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the tree, whose exercises may be written; `put` brings them back."""
    folder = tmp_path_factory.mktemp("tree")
    for part in ("workbench", "cuda_basics", "triton_basics", "lessons"):
        shutil.copytree(lessons.ROOT / part, folder / part, ignore=NOT_COPIED)
    return folder


@contextmanager
def put(tree, name):
    """Inside, one of the files stands in the tree; gives the lesson's number."""
    number, file, content = FILES[name]
    path = tree / "lessons" / lessons.folder(number).name / file
    before = path.read_bytes()
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    yield number
    path.write_bytes(before)


@pytest.fixture(scope="module")
def driver(tree):
    """A process that judges the learner's rows of the lessons whose numbers it reads, in the tree."""
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER], cwd=tree, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def answer(tree, driver):
    """Judges one of the files; gives the learner's rows by name."""

    def judge(name):
        with put(tree, name) as number:
            print(number, file=driver.stdin, flush=True)
            return {row["name"]: row for row in json.loads(driver.stdout.readline())}

    return judge


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("undefined name", ['identifier "index" is undefined', "exercise.cu"]),
        ("missing kernel", ['no kernel named "who_am_i"', "who_are_you"]),
        ("too few parameters", ["has 2 parameters", "launched with 5 arguments"]),
        ("wrong parameter", ["parameter 5 (n)", "float n"]),
        ("wrong pointer", ["parameter 3 (warp)", "double *warp", "int32"]),
        ("out of bounds", ["out of bounds", "exercise.cu:", "block[1000]"]),
        ("endless loop", ["exercise.cu:"]),
    ],
)
def test_what_is_wrong_in_a_cu_file_is_said_and_costs_one_row(answer, name, words):
    rows = answer(name)
    broken, other = rows["exercise.cu who_am_i"], rows["exercise.cu coordinates"]
    assert broken["verdict"] == "FAIL"
    for word in words:
        assert word in broken["what_happened"]
    assert "Traceback" not in broken["what_happened"]
    if name not in ("undefined name",):  # what doesn't compile fails as a whole
        assert other["verdict"] == "PASS", other["what_happened"]


def test_a_missing_guard_is_named(answer):
    assert answer("out of bounds")["exercise.cu who_am_i"]["mistake"] == "missing guard"


def test_a_syntax_error_fails_every_row_of_its_file_with_the_line(answer):
    for row in answer("syntax error").values():
        assert row["verdict"] == "FAIL"
        assert "expected an expression" in row["what_happened"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("python syntax", ["exercise.py:", "invalid syntax"]),
        ("python name", ["exercise.py:", "offsets"]),
        ("python ends the process", ["exit status 0"]),
        ("python crashes", ["SIGSEGV"]),
        ("python hangs", ["4 seconds"]),
        (
            "function gone",
            ["exercise.py has no function vector_add: give", "lessons/lesson02_vector_add/exercise.py`"],
        ),
        ("deleted", ["git checkout lessons/lesson02_vector_add/exercise.py"]),
    ],
)
def test_what_is_wrong_in_a_python_file_is_said_and_costs_one_row(answer, name, words):
    rows = answer(name)
    broken = rows["exercise.py vector_add"]
    assert broken["verdict"] == "FAIL"
    for word in words:
        assert word in broken["what_happened"]
    assert "Traceback" not in broken["what_happened"] and "raise " not in broken["what_happened"]
    assert rows["exercise.cu plain"]["verdict"] == "NOT STARTED"


def test_what_a_kernel_prints_is_kept(answer):
    assert "n is 1000" in answer("prints")["exercise.cu who_am_i"]["printed"]


def test_of_much_that_is_printed_only_beginning_and_end_are_kept():
    lines = _head_and_tail("".join(f"block {i}\n" for i in range(1000)).encode()).splitlines()
    assert lines == [
        *(f"block {i}" for i in range(10)),
        "... 980 lines left out ...",
        *(f"block {i}" for i in range(990, 1000)),
    ]


def test_a_file_without_its_marks_counts_as_begun(answer):
    assert {row["verdict"] for row in answer("binary").values()} == {"FAIL"}


@pytest.mark.parametrize("asked", ["99", "x", "0", "-1", "1.5"])
def test_an_unknown_lesson_lists_those_that_exist(asked):
    done = subprocess.run(
        [sys.executable, "-m", "workbench", "check", "--", asked],
        cwd=lessons.ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "1  hello_cuda" in done.stderr
    assert "2  vector_add" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_whole_check_answers_as_json_and_in_a_plain_table(tmp_path):
    kept = tmp_path / "answer.json"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "workbench", "check", "1", "--diff", "--json", str(kept)],
        cwd=lessons.ROOT,
        capture_output=True,
        text=True,
    )
    assert "workbench.check.command" in done.stderr
    assert not re.search(r"\| +torch$", done.stderr, re.MULTILINE), "importing it takes this process seconds"
    answer = json.loads(kept.read_text())
    rows = {row["name"]: row for row in answer["lessons"][0]["rows"]}
    assert rows["cuda/who_am_i"]["verdict"] == "PASS"
    assert rows["cuda/who_am_i"]["traffic"]["sectors_per_request"] == pytest.approx(4, abs=0.01)
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "\x1b" not in done.stdout
    assert "cuda/who_am_i" in done.stdout


BLOCK_POINTERS = """
    p = tl.program_id(0) * BLOCK
    x = tl.load(tl.make_block_ptr(a, (n,), (1,), (p,), (BLOCK,), (0,)), boundary_check=(0,))
    y = tl.load(tl.make_block_ptr(b, (n,), (1,), (p,), (BLOCK,), (0,)), boundary_check=(0,))
    tl.store(tl.make_block_ptr(c, (n,), (1,), (p,), (BLOCK,), (0,)), x + y, boundary_check=(0,))
"""


def test_block_pointers_are_watched_and_pass(tmp_path):
    path = tmp_path / "exercise.py"
    path.write_text(filled(PY, "vector_add", BLOCK_POINTERS))
    task = lessons.load(2).tasks[0]
    task = replace(task, cases=task.cases[:6])
    for text, verdict in (
        (path.read_text(), Verdict.PASS),
        (path.read_text().replace(", boundary_check=(0,)", ""), Verdict.FAIL),
    ):
        path.write_text(text)
        outcome = run_cases(task, task.exercises[2].implementation(path), "cpu", outcome=Outcome("t", "e"))
        assert outcome.verdict is verdict, outcome.what_happened
    assert "out of bounds" in outcome.what_happened


def test_ctrl_c_stops_at_once(tree):
    with put(tree, "python hangs") as number:
        process = subprocess.Popen(
            [sys.executable, "-m", "workbench", "check", str(number)],
            cwd=tree,
            stderr=subprocess.PIPE,
            text=True,
        )
        time.sleep(4)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=6)
    assert process.returncode == 130
    assert said.strip() == "Stopped."


@pytest.mark.parametrize("options", [["--json", "nowhere/x.json"], ["--seconds", "0"], ["--seconds", "nan"]])
def test_impossible_options_are_refused_in_a_sentence(options):
    done = subprocess.run(
        [sys.executable, "-m", "workbench", "check", "1", *options],
        cwd=lessons.ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert options[0] in done.stderr
    assert "Traceback" not in done.stderr


def test_words_under_the_table_are_shown_as_they_are():
    said = "exercise.cu:18: block[i] = [bold]\n    18 |   block[i] = 1;"
    for terminal in (True, False):
        console = Console(file=io.StringIO(), width=80, force_terminal=terminal, color_system=None)
        row = Outcome(
            "t", "exercise.cu t", Verdict.FAIL, learners=True, what_happened=said, printed="[red] x[0]"
        )
        table.show(console, 1, "title", [row], None, lessons.folder(1))
        shown = console.file.getvalue()
        for line in [*said.splitlines(), "[red] x[0]"]:
            assert line.strip() in shown


def test_without_nvrtc_and_triton_rows_are_skipped_with_the_reason(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nfor name in ('cuda', 'cuda.bindings', 'triton', 'cupy'):\n    sys.modules[name] = None\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "workbench", "check", "2", "--json", "-"],
        cwd=lessons.ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)["lessons"][0]["rows"]}
    assert rows["cuda/plain"]["verdict"] == rows["triton"]["verdict"] == "SKIPPED"
    assert "NVRTC" in rows["cuda/plain"]["what_happened"]
    assert "Linux" in rows["triton"]["what_happened"]


@pytest.mark.gpu
def test_with_a_gpu_a_row_is_judged_on_the_cpu_then_on_the_gpu_and_timed():
    on_cpu = {o.row: o.cases for o in check_on_cpu(2).outcomes if not o.learners}
    found = [o for o in check_lesson(2).outcomes if not o.learners]
    assert [(o.row, o.verdict) for o in found] == [(row, Verdict.PASS) for row in on_cpu]
    assert all(o.cases > on_cpu[o.row] and o.timing["median"] > 0 for o in found)
