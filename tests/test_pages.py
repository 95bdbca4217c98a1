"""The pages: what they show is what ran, and in a browser they load, answer, print and can be read."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from browser import chromium, executable

from flash_attention import reference
from flash_attention.arguments import Sizes
from flash_attention.naive import cuda_version as naive_cuda
from flash_attention.naive import in_tiles
from flash_attention.trace import Memory
from lessons import tile_explorer
from workbench import explore, html_report, lessons, ptx
from workbench.check.cases import prepare
from workbench.check.compare import Tolerance
from workbench.check.outcome import Outcome, Verdict
from workbench.check.processes import Answer
from workbench.check.run import call, poisoned_memory, run_cases
from workbench.cuda import observe
from workbench.report.page import CannotWrite, accesses, page, write
from workbench.report.page.evidence import look
from workbench.report.page.lesson import Shown, lesson_page
from workbench.report.page.wrong import error_map

VERSIONS = pytest.mark.parametrize("version", tile_explorer.VERSIONS)
LARGEST = 5_000_000  # bytes of a page
NOT_COPIED = shutil.ignore_patterns("*.ipynb", "*.pyc.*")  # the latter while modules are being compiled


# The tile explorer's numbers


def arrays(seqlen_q, seqlen_k, head_dim=8, heads=2, heads_kv=1):
    generator = np.random.default_rng(1)
    shapes = ((heads, seqlen_q), (heads_kv, seqlen_k), (heads_kv, seqlen_k))
    return [generator.standard_normal((1, *shape, head_dim)) + 0.3 for shape in shapes]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("Br", "Bc"), [(1, 1), (7, 16), (64, 3)])
@pytest.mark.parametrize("lengths", [(37, 23), (23, 37)])
def test_naive_in_tiles_of_any_size_gives_the_same(lengths, Br, Bc, causal):
    q, k, v = arrays(*lengths)
    o, lse = in_tiles.attention(q, k, v, causal=causal, Br=Br, Bc=Bc)
    right, right_lse = reference.attention(q, k, v, causal=causal)
    np.testing.assert_allclose(o, right, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(lse, right_lse, rtol=1e-12)


def test_naive_in_tiles_moves_what_the_cuda_version_asks_for():
    q, k, v = arrays(70, 45)
    memory, tile = Memory(), naive_cuda.TILE
    in_tiles.attention(q, k, v, Br=tile, Bc=tile, memory=memory)
    assert memory.moved(4, 4) == naive_cuda.bytes_asked(Sizes(1, 2, 1, 70, 45, 8), 4)


@VERSIONS
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("lengths", tile_explorer.LENGTHS)
def test_the_explorers_numbers_are_the_answer(version, lengths, causal):
    qkv = tile_explorer.inputs(*lengths)
    right, lse = reference.attention(*(x.astype(np.float64) for x in qkv), causal=causal)
    Br, Bc = 4, 2
    steps = tile_explorer.record(version, qkv, causal, Br, Bc)
    for i in range(-(-lengths[0] // Br)):
        rows = slice(i * Br, (i + 1) * Br)
        last = [step for step in steps if step["i"] == i and "O" in step][-1]
        np.testing.assert_allclose(np.array(last["O"], float), right[0, 0, rows], atol=2e-3)
        told = [step for step in steps if step["i"] == i and "m" in step]
        if told:
            m, l = (np.array(told[-1][name], float) for name in "ml")
            with np.errstate(divide="ignore"):
                np.testing.assert_allclose(m + np.log(l), lse[0, 0, rows], atol=2e-3)
        else:  # rows that see no key
            assert np.isneginf(lse[0, 0, rows]).all()


@VERSIONS
def test_the_explorers_rescale_is_what_the_maximum_says(version):
    qkv = tile_explorer.inputs(16, 16)
    steps = [s for s in tile_explorer.record(version, qkv, True, 4, 2) if "rescale" in s]
    assert steps and any(s["m"] != s["m_before"] for s in steps)
    for step in steps:
        m, before, rescale = (np.array(step[name], float) for name in ("m", "m_before", "rescale"))
        expected = np.where(np.isneginf(m), np.exp(before), np.exp(before - np.where(np.isneginf(m), 0, m)))
        np.testing.assert_allclose(rescale, expected, atol=2e-3)


@VERSIONS
def test_the_explorer_counts_what_memory_counts(version):
    qkv = tile_explorer.inputs(13, 13)
    memory = Memory()
    tile_explorer.VERSIONS[version].attention(*qkv, causal=False, Br=4, Bc=2, memory=memory)
    steps = tile_explorer.record(version, qkv, False, 4, 2)
    elements = sum(size for step in steps for _, size in step["in"].values())
    elements += sum(size for step in steps for size in step["out"].values())
    assert elements * tile_explorer.BYTES == memory.moved(4, 4)


@pytest.mark.parametrize("name", tile_explorer.SHARED)
def test_the_explorer_says_what_the_kernels_keep_in_shared_memory(name, root):
    files = {
        "softmax": "softmax/online.cu",
        "scores": "naive/scores.cu",
        "weighted_sum": "naive/weighted_sum.cu",
    }
    source = (root / "flash_attention" / files.get(name, f"{name}/{name}.cu")).read_text()
    found = re.findall(r"^\s*__shared__ float (\w+)\[", source, re.MULTILINE)
    if name.startswith("flash"):
        pointers = re.search(r"extern __shared__.*?\n((?:\s*float \*.*\n)+)", source)
        found = re.findall(r"\*(\w+) = ", pointers[1])
    assert {one.removesuffix("_i") for one in found} == set(tile_explorer.SHARED[name])


# What is found out about a row


def task_of(number, name=None):
    return next(task for task in lessons.load(number).tasks if name in (None, task.name))


def broken(number, row, old, new, folder):
    """(task, the shipped CUDA version `row` with a slip in its source, what the checker says of it)."""
    task = task_of(number)
    shipped = next(one for one in task.implementations if one.name == row)
    source = shipped.kernels[0][0]
    text = source.read_text()
    assert old in text
    slipped = folder / source.name
    slipped.write_text(text.replace(old, new, 1))
    made = replace(
        shipped,
        function=partial(shipped.function, source=slipped),
        kernels=tuple((slipped, kernel, defines) for _, kernel, defines in shipped.kernels),
    )
    kept = (i for i, case in enumerate(task.cases) if not case.gpu_only and prepare(task, i).size < 50_000)
    small = replace(task, cases=tuple(task.cases[i] for i in kept))
    outcome = Outcome(task.name, f"{source.stem}.cu {row.split('/')[-1]}", language="cuda", learners=True)
    return small, made, run_cases(small, made, "cpu", outcome=outcome)


def found_in(number, row, old, new, folder):
    task, made, outcome = broken(number, row, old, new, folder)
    return outcome, look(task, made, outcome.case)


def test_a_fault_is_told_with_its_source_line(tmp_path):
    outcome, found = found_in(2, "cuda/plain", "if (i < n)", "if (true)", tmp_path)
    assert outcome.verdict is Verdict.FAIL
    assert found["fault"]["kind"] == "out of bounds"
    line = found["fault"]["lines"][0]
    assert "c[i] = a[i] + b[i]" in line["text"][line["line"] - line["first"]]
    assert found["pictures"], "it runs to its end where n is a multiple of the block"


def test_a_race_is_told_with_both_lines_and_a_map(tmp_path):
    slip = ("__syncthreads();  // everybody", "// everybody")
    _, found = found_in(3, "cuda/shared_tile", *slip, tmp_path)
    lines = found["fault"]["lines"]
    assert found["fault"]["kind"] == "race in shared memory" and len(lines) == 2
    assert lines[0]["line"] != lines[1]["line"]


def test_the_error_map_has_every_wrong_element(tmp_path):
    slip = ("blockIdx.x * blockDim.x + threadIdx.x", "(blockIdx.x & ~1) * blockDim.x + threadIdx.x")
    outcome, found = found_in(2, "cuda/plain", *slip, tmp_path)
    assert outcome.verdict is Verdict.FAIL and found["maps"]


def test_the_error_map_of_many_matrices_keeps_the_worst():
    oracle = np.zeros((4, 10, 200, 100))
    out = oracle.copy()
    out[2, 3, 150:, 7] = 1
    out[1, 0, 0, 0] = np.nan
    found = error_map("o", out, oracle, Tolerance())
    assert found["wrong"] == 51 and found["matrices"] == 40
    assert [one["index"] for one in found["maps"]] == [[1, 0], [2, 3]]
    assert sum(cell[2] for one in found["maps"] for cell in one["cells"]) == 51
    assert found["maps"][0]["cells"] == [[0, 0, 1, [1, 0, 0, 0], "0", "nan"]]
    assert error_map("o", oracle, oracle, Tolerance()) is None


@pytest.mark.parametrize("shape", [(), (1,), (33,), (5000,), (3, 0), (2, 1), (1, 70_000)])
def test_the_error_map_of_any_shape(shape):
    oracle = np.zeros(shape)
    found = error_map("o", oracle + 1, oracle, Tolerance())
    if oracle.size == 0:
        assert found is None
    else:
        assert sum(cell[2] for cell in found["maps"][0]["cells"]) == oracle.size
        json.dumps(found, allow_nan=False)


def test_the_access_picture_counts_what_the_machine_counts():
    task = task_of(3)
    naive, tile = (
        look(task, next(one for one in task.implementations if one.name == name), "")["pictures"][0]
        for name in ("cuda/naive", "cuda/shared_tile")
    )
    for picture in (naive, tile):
        assert picture["files"][0]["counted"] and picture["sites"]
        for site in picture["sites"]:
            for warp, _, pattern in site["requests"]:
                assert 0 <= warp < len(picture["warps"]) and 0 <= pattern < len(site["patterns"])

    def sectors(picture, array):
        site = next(one for one in picture["sites"] if one["array"] == array)
        _, _, pattern = site["requests"][0]
        return len({offset // 32 for offset in site["patterns"][pattern]["at"] if offset is not None})

    # Neighbouring threads of naive.cu take neighbouring rows of A: a sector each. The tile's load is coalesced.
    assert sectors(naive, "A") == 32 and sectors(tile, "A") == 4
    shared = [site for site in tile["sites"] if site["space"] == "shared"]
    assert {site["array"].split("::")[-1] for site in shared} and all(
        pattern["wavefronts"] >= pattern["least"] for site in shared for pattern in site["patterns"]
    )


@pytest.mark.parametrize(
    ("number", "task", "row", "case"),
    [
        (1, "coordinates", "cuda/coordinates", 0),
        (2, "vector_add", "cuda/strided", 0),
        (2, "vector_add", "cuda/vectorised", 1),
        (4, "sum", "cuda/interleaved", 0),
        (4, "rows", "cuda/rows", 0),
        (11, "one_mma", "cuda/one_mma", 0),
    ],
)
def test_the_requests_of_a_picture_add_up_to_the_counters(number, task, row, case, monkeypatch):
    monkeypatch.setattr(accesses, "FIRST_WARPS", 1 << 20)
    monkeypatch.setattr(accesses, "ROUNDS", 1 << 20)
    task = task_of(number, task)
    implementation = next(one for one in task.implementations if one.name == row)
    prepared = prepare(task, case)
    with observe(trace=True, checks=False) as reports, poisoned_memory():
        call(implementation, prepared.tensors, task.cases[case].options, "cpu", prepared)
    (picture,) = accesses.pictures(reports[:1], lessons.ROOT)
    assert picture["files"] and not picture["left_out"]
    for file in picture["files"]:
        for line, (requests, sectors, shared, conflicts) in file["counted"].items():
            sites = [s for s in picture["sites"] if (s["file"], s["line"]) == (file["name"], line)]
            every = [(s, s["patterns"][pattern]) for s in sites for _, _, pattern in s["requests"]]
            in_global = [one for one in every if one[0]["space"] == "global"]
            in_shared = [pattern for site, pattern in every if site["space"] == "shared"]
            assert (len(in_global), len(in_shared)) == (requests, shared)
            assert sum(sectors_of(*one) for one in in_global) == sectors
            assert sum(pattern["wavefronts"] - pattern["least"] for pattern in in_shared) == conflicts


def sectors_of(site, pattern):
    """Distinct sectors of 32 bytes; the array begins with one."""
    return len({offset // 32 for offset in pattern["at"] if offset is not None})


def test_banks_and_sectors_go_by_the_address_not_by_the_place_in_the_array():
    report = ptx.Report(
        trace=[
            ptx.Access("k.cu", 1, "load", "global", "a", 4, np.arange(32), 4 * np.arange(32), start=1024 + 16)
        ],
        lines={("k.cu", 1): ptx.Counters(global_load_requests=1, global_load_sectors=5)},
        kernel="k", grid=(1, 1, 1), block=(32, 1, 1),
    )  # fmt: skip
    (picture,) = accesses.pictures([report], lessons.ROOT)
    (site,) = picture["sites"]
    assert site["requests"] == [[0, -16, 0]] and site["patterns"][0]["at"] == list(range(16, 144, 4))


def test_a_process_looks_at_a_shipped_row_and_finds_nothing_of_one_that_is_not_there():
    outcomes = [
        Outcome(*row, language="cuda") for row in (("vector_add", "cuda/plain"), ("no task", "no row"))
    ]
    found = html_report.look(2, outcomes)
    assert list(found) == [outcomes[0].row]
    assert found[outcomes[0].row]["pictures"][0]["kernel"] == "vector_add"


def test_of_a_process_that_ends_early_there_is_nothing(monkeypatch):
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    assert html_report.look(2, [Outcome("vector_add", "cuda/plain", language="cuda")]) == {}


# Bad input


def run(*arguments, cwd=lessons.ROOT):
    return subprocess.run(
        [sys.executable, "-m", "workbench", *arguments], cwd=cwd, capture_output=True, text=True, timeout=300
    )


@pytest.mark.parametrize("lesson", ["0", "99", "two", ""])
def test_a_lesson_that_does_not_exist(lesson):
    ran = run("report", lesson)
    assert ran.returncode == 2 and "There is no lesson" in ran.stderr and "Traceback" not in ran.stderr


def test_a_folder_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert explore.main(tmp_path / "file" / "explorer.html") == 2
    assert html_report.main(2, tmp_path / "file") == 2
    said = capsys.readouterr().err
    assert said.count("can't be written") == 2 and said.count("\n") == 2


def test_a_page_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "page.html"
    write(path, "first")
    with pytest.raises(UnicodeEncodeError):
        write(path, "\ud800")
    assert path.read_text() == "first" and list(path.parent.iterdir()) == [path]
    with pytest.raises(CannotWrite):
        write(tmp_path, "a folder")


def test_data_cannot_end_its_script():
    text = page("t", "", {"x": "</script><b>"}, "common.js")
    assert "</script><b>" not in text


def test_an_exercise_deleted_and_one_full_of_binary(tmp_path):
    for part in ("workbench", "cuda_basics", "triton_basics", "flash_attention", "lessons", "benchmarks"):
        shutil.copytree(lessons.ROOT / part, tmp_path / part, ignore=NOT_COPIED)
    folder = tmp_path / "lessons" / lessons.folder(2).name
    check = (folder / "check.py").read_text()
    (folder / "check.py").write_text(check.replace("case(2**24", "case(2**10"))  # it is not of large cases
    (folder / "exercise.py").unlink()
    (folder / "exercise.cu").write_bytes(b"\x00\xff\xfe>>> \x00")
    ran = run("report", "2", cwd=tmp_path)
    assert ran.returncode == 1 and "Traceback" not in ran.stdout + ran.stderr
    text = (tmp_path / ".learner" / "report-lesson02.html").read_text()
    assert text.count('<section class="panel told">') == 3 and "exercise.py is missing" in text


def test_the_report_says_why_a_right_row_has_no_time():
    why = "It is right, but isn't timed: CUDA out of memory"
    rows = [Outcome("matmul", "cuda/naive", what_happened=why), Outcome("matmul", "cuda/tuned")]
    text = lesson_page(Shown(3, Answer("Matrix product", rows), {"gpu": "a GPU", "date": "2026-01-04"}, {}))
    assert text.count('class="panel told"') == 1 and "isn&#x27;t timed: CUDA out of memory" in text


# In a browser


def made_page(folder):
    """A report with a fault, a race, a wrong output, access pictures, a roofline and a history."""
    slips = (
        ("cuda/coalesced", "row * N + column", "column * M + row"),
        ("cuda/shared_tile", "__syncthreads();  // everybody", "// everybody"),
        ("cuda/naive", "row < M && column < N", "row < M"),
    )
    outcomes, found = [], {}
    for row, old, new in slips:
        outcome, seen = found_in(3, row, old, new, folder)
        outcomes.append(outcome)
        found[outcome.row] = seen
    timing = {"gb_per_s": 200.0, "copy_gb_per_s": 3000.0, "product_tflop_per_s": 50.0, "median": 1.0}
    for name, reached in (("cuda/naive", 1.5), ("cuda/tuned", 40.0)):
        outcomes.append(Outcome("matmul", name, language="cuda", timing={**timing, "tflop_per_s": reached}))
    kept = {
        "machine": {"gpu": "a GPU", "date": "2026-01-02 03:04 UTC"},
        "rows": [outcome.as_dict() for outcome in outcomes if outcome.timing],
    }
    for outcome in outcomes:
        outcome.timing = {}
    times = [
        {
            "ms": ms,
            "gpu": "a GPU",
            "date": f"2026-01-0{day} 10:00:00 UTC",
            "file": "f",
            "reached": "1.0 TFLOP/s",
        }
        for day, ms in ((1, 9.0), (2, 4.0), (3, 5.0))
    ]
    return lesson_page(
        Shown(
            3,
            Answer("Matrix product", outcomes),
            {"gpu": None, "date": "2026-01-04 05:06 UTC"},
            found,
            kept,
            {outcomes[0].name: times},
        )
    )


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    assert explore.main(folder / "explorer.html") == 0
    write(folder / "report.html", made_page(folder))
    return folder


@pytest.fixture(scope="module")
def browser():
    if executable() is None:
        pytest.skip("no Chromium or Chrome is installed")
    pytest.importorskip("websocket", reason="websocket-client isn't installed")
    with chromium() as running:
        yield running


PAGES = pytest.mark.parametrize("name", ["explorer.html", "report.html"])


@PAGES
def test_a_page_holds_all_it_needs(pages, name):
    text = (pages / name).read_text()
    assert len(text) < LARGEST
    outside = re.findall(r"""(?:src|href)=["']?(?!data:,)[^"'> ]+|@import|url\(""", text.split("<main>")[0])
    assert not outside and "https:" not in re.sub(r'"[^"]*"', "", text)


@PAGES
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_a_page_loads_and_can_be_read(browser, pages, name, width, dark):
    tab = browser.open(pages / name, width=width, dark=dark)
    assert tab.problems() == []
    assert tab.overflow() == []
    assert tab.nameless() == []
    assert contrast(tab) >= 4.5
    light = tab.run("getComputedStyle(document.documentElement).backgroundColor") == "rgb(255, 255, 255)"
    assert light != dark


def contrast(tab):
    """The least contrast of a text with what it stands on (WCAG 2.2, 1.4.3), over all texts of the page."""
    return tab.run(
        """(() => {
          const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
          const linear = (x) => x <= .04045 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4;
          const light = ([r, g, b]) => [r, g, b].map((x) => linear(x / 255))
            .reduce((sum, x, k) => sum + x * [.2126, .7152, .0722][k], 0);
          const under = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor);
            if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
          let least = 99;
          for (const e of document.querySelectorAll("main *")) {
            const text = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
            if (!text || !e.offsetParent || e.closest("svg, :disabled")) continue;
            const [a, b] = [light(rgb(getComputedStyle(e).color)), light(under(e))].sort((x, y) => y - x);
            least = Math.min(least, (a + .05) / (b + .05));
          }
          return least;
        })()"""
    )


@PAGES
def test_a_page_prints(browser, pages, name):
    tab = browser.open(pages / name)
    pdf = tab.pdf()
    assert pdf.startswith(b"%PDF") and len(pdf) > 20_000
    tab.look(720, media="print")  # A4 between its margins
    assert tab.overflow() == []
    assert not tab.run(
        "[...document.querySelectorAll('button')].some((e) => e.offsetParent && !e.closest('.source'))"
    )
    assert tab.problems() == []


def test_the_explorer_steps(browser, pages):
    tab = browser.open(pages / "explorer.html")
    assert "Step 1 of 16" in tab.text("#now")
    tab.click("#next")
    assert "Step 2 of 16" in tab.text("#now")
    before = int(tab.text("#sofar"))
    tab.click("#last")
    assert "Step 16 of 16" in tab.text("#now") and int(tab.text("#sofar").replace(",", "")) > before
    assert tab.run("find('next').disabled")
    tab.click("#first")
    tab.click("h1")
    tab.press("ArrowRight")
    assert "Step 2 of 16" in tab.text("#now")
    tab.press("End")
    assert "Step 16 of 16" in tab.text("#now")
    tab.run("find('slider').focus()")
    tab.press("ArrowLeft")
    assert "Step 15 of 16" in tab.text("#now")
    tab.click("#play")
    assert tab.text("#play") == "Stop"
    tab.click("#play")
    assert tab.problems() == []


def test_the_explorer_lets_choose(browser, pages):
    tab = browser.open(pages / "explorer.html")
    tab.choose("#Br", "8")
    assert "of 8" in tab.text("#now")
    tab.choose("#size", "8x16")
    assert "of 4" in tab.text("#now")
    tab.click("#causal")
    tab.click('input[value="naive"] + span')
    assert "kernel 1" in tab.text("#now") and "S, in memory" in tab.text("#picture")
    data = tile_explorer.record("naive", tile_explorer.inputs(8, 16), True, 8, 4)
    assert f"of {len(data)}." in tab.text("#now")
    tab.click('input[value="flash_v1"] + span')
    tab.click("#last")
    assert "add" in tab.text("#statistics")
    assert tab.problems() == []


def test_every_choice_of_the_explorer_draws(browser, pages):
    tab = browser.open(pages / "explorer.html")
    wrong = tab.run(
        """(() => {
          const wrong = [];
          for (const version of Object.keys(DATA.versions)) for (const [q, k] of DATA.lengths)
            for (const Br of DATA.tiles) for (const Bc of [2, 8]) for (const causal of [false, true]) {
              Object.assign(chosen, { version, size: `${q}x${k}`, Br, Bc, causal });
              for (const at of [0, steps().length - 1]) {
                go(at);
                if (/NaN|undefined|null/.test(document.querySelector("main").textContent))
                  wrong.push(`${key(version)} ${at}`);
              }
            }
          return wrong;
        })()"""
    )
    assert wrong == [] and tab.problems() == []


def test_the_explorer_shows_the_codes_own_numbers(browser, pages):
    tab = browser.open(pages / "explorer.html")
    tab.run("go(5)")
    step = tile_explorer.record("flash_v2", tile_explorer.inputs(16, 16), False, 4, 4)[5]
    shown = tab.run("[...document.querySelectorAll('#statistics tbody tr')].map((r) => r.cells[3].innerText)")
    assert [float(x) for x in shown] == step["rescale"]
    tab.click("#code summary")
    lines = tab.run(
        "[...document.querySelectorAll('.listing .here .number')].map((e) => Number(e.innerText))"
    )
    assert lines == step["lines"]


def test_the_report_tells_and_shows(browser, pages):
    tab = browser.open(pages / "report.html")
    told = tab.text("main")
    assert "race in shared memory" in told and "Likely mistake" in told
    assert tab.run("document.querySelectorAll('.told .line.bad').length") >= 3
    tab.hover("#map rect")
    assert "should be" in tab.text("#cell") and "and is" in tab.text("#cell")
    tab.run("find('map').focus()")
    tab.press("ArrowRight")
    first = tab.text("#cell")
    tab.press("ArrowDown")
    assert tab.text("#cell") != first and tab.run("document.activeElement.id") == "map"
    tab.choose("#map-tile", "8")
    assert tab.problems() == []


def test_the_report_shows_which_warp_touches_what(browser, pages):
    tab = browser.open(pages / "report.html")
    names = tab.run("[...find('kernel').options].map((o) => o.text)")
    place = next(n for n, name in enumerate(names) if "shared_tile" in name)
    tab.choose("#kernel", str(place))
    assert "request 1 of" in tab.text("#nth")
    shared = tab.run("pictures[look.picture].sites.findIndex((s) => s.space === 'shared')")
    line = tab.run(f"pictures[look.picture].sites[{shared}].line")
    tab.run(f"document.querySelector('button.line[data-line=\"{line}\"]').focus()")
    tab.press("Enter")
    assert f"Line {line} " in tab.text("#request h3")
    tab.choose("#site", str(shared)) if tab.run("!!find('site')") else None
    assert (
        "bank conflict" in tab.text("#told")
        and tab.run("document.querySelectorAll('#banks .asked').length") > 0
    )
    tab.click("#request-next")
    assert "request 2 of" in tab.text("#nth")
    tab.choose("#warp", tab.run("find('warp').options[1].value"))
    assert tab.problems() == []


def test_the_report_shows_the_roofline_and_the_history(browser, pages):
    tab = browser.open(pages / "report.html")
    roofline = tab.run("document.querySelector('#speed svg').getAttribute('aria-label')")
    assert "cuda/tuned: 40.0 TFLOP/s" in roofline and "coalesced" in roofline
    assert "Best: 4.000 ms" in tab.text("#history")
    tab.click("#history summary")
    assert "2026-01-03" in tab.text("#history")
    assert tab.problems() == []
