"""The notebooks' figures draw what the data says."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from workbench.check import check
from workbench.check.outcome import Outcome
from workbench.report import figures, listings


def access(array: str, kind: str, size: int, threads: Any, offsets: Any) -> SimpleNamespace:
    return SimpleNamespace(
        array=array, kind=kind, size=size, threads=np.asarray(threads), offsets=np.asarray(offsets)
    )


def report(*trace: SimpleNamespace) -> Any:
    return SimpleNamespace(trace=list(trace))


def boxes(axes: Axes, gid: str | None = None) -> list[tuple[float, ...]]:
    """(x, y, width, height) of each rectangle (of that gid)."""
    return [
        p.get_bbox().bounds for p in axes.patches if isinstance(p, Rectangle) and gid in (None, p.get_gid())
    ]


# Traces.


def test_thread_map_shows_what_each_thread_wrote() -> None:
    threads = np.arange(70)
    reversed_ = report(access("c", "store", 4, threads, 4 * (69 - threads)))
    (axes,) = figures.thread_map(reversed_, "c", grid=2, block=40).axes
    numbers = [text.get_text() for text in axes.texts if text.get_text().isdigit()]
    assert numbers == [str(69 - thread) for thread in threads]
    rows = [text.get_text() for text in axes.texts if not text.get_text().isdigit()]
    assert rows == ["block 0  warp 0", "block 0  warp 1", "block 1  warp 0", "block 1  warp 1"]
    assert len(axes.patches) == 80  # lanes without a thread aren't drawn
    assert sum(patch.get_hatch() is not None for patch in axes.patches) == 10


def test_thread_map_leaves_loads_and_other_arrays_out() -> None:
    trace = (access("c", "load", 4, [0, 1], [0, 4]), access("d", "store", 4, [2], [8]))
    (axes,) = figures.thread_map(report(*trace), "c", grid=1, block=32).axes
    assert all(patch.get_hatch() for patch in axes.patches)


def drawn_table(rows: int, columns: int, place: Any) -> Axes:
    """The figure of blocks of 32 x 8 over a table, in which the thread at (y, x) writes element place(y, x)."""
    across, down = -(-columns // 32), -(-rows // 8)
    y, x = (values.ravel() for values in np.mgrid[: 8 * down, : 32 * across])
    thread = (y // 8 * across + x // 32) * 256 + y % 8 * 32 + x % 32
    works = (y < rows) & (x < columns)
    seen = report(access("table", "store", 4, thread[works], 4 * place(y, x)[works]))
    figure = figures.grid_map(seen, "table", (rows, columns), grid=(across, down), block=(32, 8))
    return figure.axes[0]


def test_grid_map_shades_elements_by_their_writer() -> None:
    shade = np.asarray(drawn_table(20, 70, lambda y, x: y * 70 + x).images[0].get_array())
    assert shade.shape == (24, 96)
    assert (shade[:20, :70] > 0).all() and not shade[20:].any() and not shade[:, 70:].any()
    assert set(shade[:8, :32].ravel()) == {1} and set(shade[:8, 32:64].ravel()) == {2}
    assert np.argwhere(shade == 3).tolist() == [[13, x] for x in range(32, 64)]  # a row of block (1, 1)


def test_grid_map_draws_idle_threads_at_their_own_place() -> None:
    crosses = drawn_table(20, 70, lambda y, x: y * 70 + x).lines[0].get_data()
    drawn = set(zip(*(np.asarray(data, dtype=float) for data in crosses), strict=True))
    assert drawn == {(x + 0.5, y + 0.5) for y in range(24) for x in range(96) if y >= 20 or x >= 70}


def test_grid_map_shows_a_wrong_order() -> None:
    """Written column after column, a warp's elements lie 16 apart: in a table of 64 columns, 4 in each of 8 rows."""
    shade = np.asarray(drawn_table(16, 64, lambda y, x: x * 16 + y).images[0].get_array())
    rows = np.argwhere(shade == 3)[:, 0]
    assert np.unique(rows, return_counts=True)[1].tolist() == [4] * 8


def test_sector_map_draws_the_sectors_and_the_bytes_of_one_warp() -> None:
    lanes = np.arange(64)
    reports = {
        "plain": report(access("a", "load", 4, lanes, 4 * lanes)),
        "strided": report(
            access("b", "load", 4, lanes, 0 * lanes), access("a", "load", 4, lanes, 32 * lanes)
        ),
    }
    plain, strided = figures.sector_map(reports, "a").axes
    assert boxes(plain, "sector") == [(x, 0, 32, 1) for x in (0, 32, 64, 96)]
    assert len(boxes(plain, "asked")) == 32
    assert boxes(strided, "sector") == [(32 * (n % 4), n // 4, 32, 1) for n in range(32)]
    assert boxes(strided, "asked") == [(32 * (n % 4), n // 4, 4, 1) for n in range(32)]
    assert plain.get_title() == "plain: 4 sectors\n128 of 128 bytes are used"
    assert strided.get_title() == "strided: 32 sectors\n128 of 1,024 bytes are used"
    assert to_hex(strided.patches[0].get_facecolor()) == figures.LIGHT

    second = figures.sector_map({"plain": reports["plain"]} | {"again": reports["plain"]}, "a", warp=1).axes[
        0
    ]
    assert boxes(second, "sector") == [
        (x, 0, 32, 1) for x in (0, 32, 64, 96)
    ]  # lines are counted from its own


def test_an_access_over_a_sectors_edge_takes_both() -> None:
    request = figures.Request(np.arange(2), np.array([0, 24]), 16)
    assert request.sectors == [0, 1] and request.start == 0


def test_a_warp_without_a_request_is_an_error() -> None:
    with pytest.raises(ValueError, match="warp 1 has no store of a"):
        figures.sector_map({"x": report(access("a", "load", 4, [0], [0]))}, "a", kind="store", warp=1)


def test_lane_map_numbers_the_lanes() -> None:
    lanes = np.arange(32)
    reports = {
        "plain": report(access("a", "load", 4, lanes, 4 * lanes)),
        "vectorised": report(access("a", "load", 16, lanes, 16 * lanes)),
    }
    plain, vectorised = figures.lane_map(reports, "a").axes
    assert boxes(vectorised) == [(lane % 8 * 16, lane // 8, 16, 1) for lane in lanes]
    assert [text.get_text() for text in vectorised.texts] == [str(lane) for lane in lanes]
    assert plain.get_title(loc="left") == "plain: 4 bytes a lane, 4 sectors"
    assert vectorised.get_title(loc="left") == "vectorised: 16 bytes a lane, 16 sectors"


# Times. These numbers are made up, and stand nowhere else.


def row(name: str, milliseconds: float, moved: float) -> dict[str, Any]:
    timing = {
        "median": milliseconds,
        "gb_per_s": 1000 / milliseconds,  # 1 GB must move
        "copy_gb_per_s": 2000.0,
        "pytorch_median": 0.625,
    }
    return {"name": name, "timing": timing, "traffic": {"bytes_needed": 12, "bytes_moved": 12 * moved}}


MEASURED = {
    "machine": {"gpu": "Some GPU", "date": "2001-02-03 04:05 UTC"},
    "rows": [row("plain", 0.5, 1), row("strided", 5.0, 8), {"name": "untimed", "timing": {}, "traffic": {}}],
}


def test_bandwidth_bars_are_the_rates() -> None:
    (axes,) = figures.bandwidth_bars(MEASURED).axes
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([2000, 200, 1600])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["plain", "strided", "PyTorch, a + b"]
    assert axes.lines[0].get_xdata()[0] == 2000
    texts = [text.get_text() for text in axes.texts]
    assert texts[:3] == ["2,000  (100.0 %)", "200  (10.0 %)", "1,600  (80.0 %)"]
    assert axes.get_title(loc="left") == "Some GPU, 2001-02-03: 1.00 GB must move"


def test_predictions_are_bytes_counted_over_the_copy() -> None:
    assert figures.predictions(MEASURED) == [
        ("plain", pytest.approx(0.5), 0.5),
        ("strided", pytest.approx(4.0), 5.0),
    ]
    (axes,) = figures.prediction_bars(MEASURED).axes
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([0.5, 4.0, 0.5, 5.0])
    assert "Some GPU, 2001-02-03" in axes.get_title(loc="left")


def test_nothing_timed_is_an_error() -> None:
    with pytest.raises(ValueError, match="no row"):
        figures.bandwidth_bars({**MEASURED, "rows": MEASURED["rows"][2:]})


def test_results_are_the_newest_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "has_gpu", lambda: False)
    monkeypatch.setattr(figures, "BENCHMARKS", tmp_path)
    assert figures.results(2) is None
    for gpu, date in (("a", "2001-01-01"), ("b", "2003-01-01"), ("c", "2002-01-01")):
        (tmp_path / gpu).mkdir()
        (tmp_path / gpu / "lesson02.json").write_text(json.dumps({"machine": {"gpu": gpu, "date": date}}))
    found = figures.results(2)
    assert found is not None and found["machine"]["gpu"] == "b"
    assert figures.results(3) is None


def test_results_are_measured_where_there_is_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = [
        Outcome("add", "plain", timing={"median": 1.0}),
        Outcome("add", "exercise.cu", learners=True, timing={"median": 2.0}),
    ]
    monkeypatch.setattr(figures, "has_gpu", lambda: True)
    monkeypatch.setattr(figures, "BENCHMARKS", tmp_path)
    monkeypatch.setattr(check, "check_lesson", lambda number: SimpleNamespace(outcomes=outcomes))
    found = figures.results(2)
    assert found is not None and [row["name"] for row in found["rows"]] == ["plain"]
    outcomes[0].timing.clear()  # it failed there
    assert figures.results(2) is None


# Text.


def test_difference_leaves_the_opening_comments_out(tmp_path: Path) -> None:
    old, new = tmp_path / "old.cu", tmp_path / "new.cu"
    old.write_text("// one\n//\n\nint a;\nint b;  // kept\n")
    new.write_text("// two\n\nint a;\nint c;\n")
    assert listings.difference(old, new).data.splitlines() == [
        "`old.cu → new.cu`",
        "```diff",
        " int a;",
        "-int b;  // kept",
        "+int c;",
        "```",
    ]


def test_listing_shows_a_file_or_a_function(tmp_path: Path) -> None:
    file = tmp_path / "some.py"
    file.write_text("import os\n\n\n@mark\ndef one():\n    pass\n\n\ndef two():\n    pass\n")
    assert listings.listing(file).data == f"`some.py`\n```python\n{file.read_text()}```"
    assert listings.listing(file, part="one").data == "`some.py`\n```python\n@mark\ndef one():\n    pass\n```"


def test_table_writes_numbers_to_be_read() -> None:
    assert listings.table(("name", "n", "x"), [("a", 12345, 1.25), ("b", 1, 2.0)]).data.splitlines() == [
        "| name | n | x |",
        "| --- | ---: | ---: |",
        "| a | 12,345 | 1.2 |",
        "| b | 1 | 2.0 |",
    ]
