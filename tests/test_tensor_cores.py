"""Lesson 11: every primitive against plain loops, the layouts as drawn, and what the launchers refuse."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from cuda_basics.tensor_cores import cuda_version as cuda
from lessons.lesson11_tensor_cores import measure
from lessons.lesson11_tensor_cores.check import LESSON
from workbench import lessons
from workbench.check.outcome import Outcome, Verdict
from workbench.check.run import run_cases
from workbench.cuda import load, observe, resources
from workbench.ptx import AsyncNotWaited, Counters
from workbench.report.fragments import banks, fragments

HEADER = '#include "cuda_basics/tensor_cores/primitives.cuh"\nextern "C" __global__ void k('
DTYPES = (torch.float16, torch.bfloat16)


def run(folder: Path, body: str, *arguments: Any, threads: int = 32) -> Counters:
    """Launch one block of a kernel that is written here: its parameters, then its braces."""
    path = folder / "k.cu"
    path.write_text(HEADER + body)
    with observe() as launches:
        load(path, "k")(1, threads, arguments)
    counters = launches[0].counters
    assert counters is not None
    return counters


# mma


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_mma_is_the_product_by_plain_loops(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randint(-8, 9, s, generator=generator).to(dtype) for s in ((3, 16, 16), (3, 16, 8)))
    c = cuda.one_mma(a, b)
    for tile in range(3):
        for row in range(16):
            for column in range(8):
                terms = (float(a[tile, row, k]) * float(b[tile, k, column]) for k in range(16))
                assert float(c[tile, row, column]) == sum(terms)


def test_mma_adds_to_what_is_there(tmp_path: Path) -> None:
    out = torch.zeros(32, 4)
    run(
        tmp_path,
        """float *out) {
          float c[4] = {1, 2, 3, 4};
          const uint32_t a[4] = {pack<__half>(1, 1), pack<__half>(1, 1), pack<__half>(1, 1), pack<__half>(1, 1)};
          mma<__half>(c, a, a[0], a[1]);
          for (int i = 0; i < 4; ++i) out[threadIdx.x * 4 + i] = c[i];
        }""",
        out,
    )
    assert torch.equal(out, torch.tensor([17.0, 18.0, 19.0, 20.0]).repeat(32, 1))


# The layouts, as the header draws them


def test_fragments_lie_as_drawn() -> None:
    held = cuda.layouts()
    for lane in range(32):
        g, t = lane // 4, lane % 4
        for column in (2 * t, 2 * t + 1):
            assert held["A"][g, column].tolist() == [lane, 0]
            assert held["A"][g + 8, column].tolist() == [lane, 1]
            assert held["A"][g, column + 8].tolist() == [lane, 2]
            assert held["A"][g + 8, column + 8].tolist() == [lane, 3]
            assert held["B"][column, g].tolist() == [lane, 0]
            assert held["B"][column + 8, g].tolist() == [lane, 1]
        assert held["C"][g, 2 * t].tolist() == [lane, 0]
        assert held["C"][g, 2 * t + 1].tolist() == [lane, 1]
        assert held["C"][g + 8, 2 * t].tolist() == [lane, 2]
        assert held["C"][g + 8, 2 * t + 1].tolist() == [lane, 3]


def test_two_tiles_of_c_are_a_fragment_of_a() -> None:
    """As the header promises: a[0] and a[1] from the left tile, a[2] and a[3] from the right one."""
    held = cuda.layouts()
    for row in range(16):
        for column in range(16):
            lane, register = held["C"][row, column % 8]
            assert held["A"][row, column].tolist() == [lane, register // 2 + column // 8 * 2]


@pytest.mark.parametrize("transposed", [False, True])
def test_ldmatrix_by_plain_loops(tmp_path: Path, transposed: bool) -> None:
    tile, out = torch.arange(32 * 8, dtype=torch.int16), torch.zeros(32, 4, 2, dtype=torch.int16)
    run(
        tmp_path,
        """const uint16_t *tile, uint32_t *out) {
          __shared__ alignas(16) uint16_t rows[32 * 8];
          for (int i = threadIdx.x; i < 32 * 8; i += 32) rows[i] = tile[i];
          __syncwarp();
          uint32_t r[4];
          LOAD(r, shared_address(&rows[threadIdx.x * 8]));
          for (int i = 0; i < 4; ++i) out[threadIdx.x * 4 + i] = r[i];
        }""".replace("LOAD", "ldmatrix_x4_transposed" if transposed else "ldmatrix_x4"),
        tile,
        out,
    )
    matrices = tile.reshape(4, 8, 8)
    for lane in range(32):
        for matrix in range(4):
            for half in range(2):
                row, column = lane // 4, lane % 4 * 2 + half
                place = (matrix, column, row) if transposed else (matrix, row, column)
                assert out[lane, matrix, half] == matrices[place]


@pytest.mark.parametrize("direct", [True, False])
def test_b_comes_as_the_header_says(tmp_path: Path, direct: bool) -> None:
    """From (k, n) with .trans, and from its transpose (n, k) without: the fragments of two 16 x 8, by held["B"]."""
    b = torch.arange(16 * 16, dtype=torch.int16).reshape(16, 16)  # (k, n)
    out = torch.zeros(32, 4, 2, dtype=torch.int16)
    address = (
        "(lane % 16) * 16 + lane / 16 * 8" if direct else "(lane % 8 + lane / 16 * 8) * 16 + lane / 8 % 2 * 8"
    )
    run(
        tmp_path,
        """const uint16_t *tile, uint32_t *out) {
          __shared__ alignas(16) uint16_t rows[16 * 16];
          const int lane = threadIdx.x;
          for (int i = lane; i < 16 * 16; i += 32) rows[i] = tile[i];
          __syncwarp();
          uint32_t r[4];
          LOAD(r, shared_address(&rows[ADDRESS]));
          for (int i = 0; i < 4; ++i) out[lane * 4 + i] = r[i];
        }""".replace("LOAD", "ldmatrix_x4_transposed" if direct else "ldmatrix_x4").replace(
            "ADDRESS", address
        ),
        b if direct else b.T.contiguous(),
        out,
    )
    held = cuda.layouts()["B"]
    for k in range(16):
        for n in range(16):
            lane, register = held[k, n % 8]
            assert out[lane, register + n // 8 * 2, k % 2] == b[k, n]


# cp.async

COPY = """const uint4 *from, uint4 *to) {
  __shared__ uint4 tile[2][32];
  for (int i = 0; i < 2; ++i) {
    copy_async_16(shared_address(&tile[i][threadIdx.x]), from + 32 * i + threadIdx.x, threadIdx.x < 20);
    end_copy_group();
  }
  wait_copy_groups<OPEN>();
  to[threadIdx.x] = tile[READ][threadIdx.x];
}"""


@pytest.mark.parametrize(("waits", "read"), [(0, 0), (0, 1), (1, 0)])
def test_copies_come_and_zeros_outside(tmp_path: Path, waits: int, read: int) -> None:
    source = torch.arange(1, 2 * 32 * 4 + 1, dtype=torch.int32).reshape(2, 32, 4)
    out = torch.full((32, 4), -1, dtype=torch.int32)
    run(tmp_path, COPY.replace("OPEN", str(waits)).replace("READ", str(read)), source, out)
    for lane in range(32):
        for i in range(4):
            assert out[lane, i] == (source[read, lane, i] if lane < 20 else 0)


def test_what_is_outside_is_not_read(tmp_path: Path) -> None:
    """The second 12 lanes would read past the end of the array."""
    run(
        tmp_path,
        COPY.replace("OPEN", "0").replace("READ", "0"),
        torch.ones(52, 4).int(),
        torch.zeros(32, 4).int(),
    )


def test_a_wait_leaves_the_newest_groups_open(tmp_path: Path) -> None:
    with pytest.raises(AsyncNotWaited):
        run(
            tmp_path,
            COPY.replace("OPEN", "1").replace("READ", "1"),
            torch.ones(64, 4).int(),
            torch.zeros(32, 4).int(),
        )


# The swizzle


@pytest.mark.parametrize("width", [8, 16, 32])
def test_swizzle_is_a_shuffle_within_rows_without_conflicts(tmp_path: Path, width: int) -> None:
    places = torch.zeros(16, width, dtype=torch.int32)
    run(
        tmp_path,
        """int *places) {
          for (int i = threadIdx.x; i < 16 * WIDTH; i += 32) places[i] = swizzled<WIDTH>(i / WIDTH, i % WIDTH);
        }""".replace("WIDTH", str(width)),
        places,
    )
    for row in range(16):
        assert sorted(places[row].tolist()) == list(range(row * width, (row + 1) * width))
    for column in range(width):
        for first in (0, 8):
            assert len({place % 8 for place in places[first : first + 8, column].tolist()}) == 8


@pytest.mark.parametrize(
    ("step", "each"), [("mma_sync", 32), ("swizzled", 4), ("pipelined", 4), ("tuned", 4)]
)
def test_wavefronts_of_an_ldmatrix(step: str, each: int) -> None:
    with observe() as launches:
        cuda.STEPS[step](torch.ones(128, 64).half(), torch.ones(64, 128).half())
    loads = [
        counters
        for (file, _), counters in launches[0].lines.items()
        if file.endswith("primitives.cuh") and counters.shared_load_requests
    ]
    assert len(loads) == 2  # of A and of B
    for counters in loads:
        assert counters.shared_load_wavefronts == each * counters.shared_load_requests
    assert launches[0].counters.shared_store_bank_conflicts == 0


# Numbers


@pytest.mark.parametrize("dtype", DTYPES)
def test_pack_rounds_two_floats(tmp_path: Path, dtype: torch.dtype) -> None:
    values = torch.tensor([1.0, -2.0, 1 / 3, 1 + 2.0**-9, 3e-8, -0.1, 60000.0, 7.77] * 8)
    packed = torch.zeros(64, dtype=dtype)
    run(
        tmp_path,
        """const float *from, uint32_t *to) {
          to[threadIdx.x] = pack<SCALAR>(from[2 * threadIdx.x], from[2 * threadIdx.x + 1]);
        }""".replace("SCALAR", cuda.SCALARS[dtype]),
        values,
        packed,
    )
    assert torch.equal(packed, values.to(dtype))


def test_exp2_is_right_to_two_ulp(tmp_path: Path) -> None:
    x = torch.linspace(-20, 20, 31).repeat(2)[:32].contiguous()
    x[31] = -torch.inf
    y = torch.zeros(32)
    run(tmp_path, "const float *x, float *y) { y[threadIdx.x] = exp2_fast(x[threadIdx.x]); }", x, y)
    right = np.exp2(x.double().numpy())
    assert (np.abs(y.double().numpy() - right) <= 2 * right * 2.0**-23).all()


# The steps


@pytest.mark.parametrize("matmul", cuda.STEPS.values(), ids=cuda.STEPS)
@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (torch.zeros(4, 12).half(), torch.zeros(12, 4).half(), "K is 12.*multiple of 8"),
        (torch.zeros(4, 8).half(), torch.zeros(16, 4).half(), r"b has shape \(16, 4\); a has 8 columns"),
        (torch.zeros(4, 8), torch.zeros(8, 4), r"a is torch.float32; it may be torch.float16 or"),
        (torch.zeros(4, 8).half(), torch.zeros(8, 4).bfloat16(), "b has dtype torch.bfloat16 and a has"),
        (torch.zeros(8, 4).half().T, torch.zeros(8, 4).half(), r"a is not contiguous"),
        (torch.zeros(8).half(), torch.zeros(8, 4).half(), r"a has shape \(8,\)"),
        (torch.zeros(4, 8).half(), torch.zeros(8, 4, device="meta").half(), "b has device meta"),
        (torch.empty(65_535 * 128 + 1, 0).half(), torch.zeros(0, 1).half(), "rows; at most 8,388,480"),
        ([1.0], torch.zeros(8, 4).half(), "a is a list"),
    ],
)
def test_what_cannot_be_multiplied_is_refused(matmul: Any, a: Any, b: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        matmul(a, b)


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (torch.zeros(2, 16, 8).half(), torch.zeros(2, 16, 8).half(), r"it must be \(T, 16, 16\)"),
        (
            torch.zeros(2, 16, 16).half(),
            torch.zeros(3, 16, 8).half(),
            r"beside 2 tiles of a it must be \(2, 16, 8\)",
        ),
    ],
)
def test_one_mma_refuses_other_tiles(a: torch.Tensor, b: torch.Tensor, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        cuda.one_mma(a, b)


@pytest.mark.parametrize("matmul", cuda.STEPS.values(), ids=cuda.STEPS)
def test_views_that_start_anywhere(matmul: Any) -> None:
    a, b = torch.randint(-3, 4, (17 * 16 + 1,)).half(), torch.randint(-3, 4, (16 * 24 + 1,)).half()
    a, b = a[1:].view(17, 16), b[1:].view(16, 24)
    assert torch.equal(matmul(a, b), a @ b)


def test_tuned_works_with_less_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two pairs of tiles, as on a GPU that gives a block 99 KiB."""
    monkeypatch.setattr(cuda, "_shared_memory", lambda device: 99 * 1024)
    a, b = torch.randint(-3, 4, (40, 264)).bfloat16(), torch.randint(-3, 4, (264, 40)).bfloat16()
    assert torch.equal(cuda.matmul_tuned(a, b), a @ b)


def test_a_launch_repeats_bit_for_bit() -> None:
    a, b = torch.rand(130, 72).half(), torch.rand(72, 130).half()
    assert torch.equal(cuda.matmul(a, b), cuda.matmul(a, b))


@pytest.mark.parametrize("step", cuda.STEPS)
@pytest.mark.parametrize(("target", "stages"), [("sm_80", 2), ("sm_90", 3)])  # as many as its memory holds
def test_no_step_spills(step: str, target: str, stages: int) -> None:
    for aligned, scalar in enumerate(cuda.SCALARS.values()):
        defines = {"SCALAR": scalar, "ALIGNED": aligned} | ({"STAGES": stages} if step == "tuned" else {})
        found = resources(cuda.HERE / f"{step}.cu", f"matmul_{step}", defines, target)
        assert (found.spill_stores, found.spill_loads, found.stack) == (0, 0, 0), defines


# The exercises

SERIAL = """
  for (int start = 0; start < K; start += TILE_K) {
    fetch(start, 0);
    end_copy_group();
    wait_copy_groups<0>();
    __syncthreads();
    multiply(0);
    __syncthreads();
  }
"""
BY_LOOPS = """
  for (int i = lane; i < 16 * 8; i += 32) {
    float sum = 0;
    for (int k = 0; k < 16; ++k) sum += float(A[tile * 256 + i / 8 * 16 + k]) * float(B[tile * 128 + k * 8 + i % 8]);
    C[tile * 128 + i] = sum;
  }
"""


@pytest.mark.parametrize(
    ("blank", "answer", "words"),
    [
        ("fragments", BY_LOOPS, "no mma was executed"),
        (
            "swizzle",
            "found = row * width + chunk;",
            "bank conflicts: an ldmatrix takes 32.0 and could take 4",
        ),
        ("swizzle", "found = row * width + (chunk ^ (row / 2 % 8));", "an ldmatrix takes 8.0"),
        ("swizzle", "found = row * width + chunk / 8 * 8 + (chunk + row) % 8;", ""),
        ("overlap", SERIAL, "only 0% of the products"),
    ],
)
def test_what_exercises_demand(tmp_path: Path, blank: str, answer: str, words: str) -> None:
    """An answer that is right is not enough, until it has the point of the exercise."""
    task, exercise = next(pair for pair in LESSON.exercises if pair[1].blank == blank)
    text = (lessons.folder(11) / exercise.file).read_text()
    path = tmp_path / exercise.file
    path.write_text(text.replace(f"// <<< {blank}", f"{answer}\n  // <<< {blank}"))
    outcome = run_cases(
        task, exercise.implementation(path), "cpu", outcome=Outcome(task.name, blank), demand=exercise.demand
    )
    assert words in outcome.what_happened and bool(words) == (outcome.verdict is Verdict.FAIL)


@pytest.mark.parametrize(("task", "exercise"), LESSON.exercises, ids=lambda v: getattr(v, "blank", ""))
def test_solutions_meet_the_demands(task: Any, exercise: Any) -> None:
    (solution,) = exercise.solution
    outcome = run_cases(
        task,
        exercise.implementation(solution),
        "cpu",
        outcome=Outcome(task.name, exercise.blank),
        demand=exercise.demand,
    )
    assert outcome.verdict is Verdict.PASS, outcome.what_happened


# Figures


def test_fragments_are_drawn_from_the_holders() -> None:
    held = cuda.layouts()
    figure = fragments(held, lane=9)
    for axes, (_, expected) in zip(figure.axes, held.items(), strict=True):
        numbers = [int(text.get_text()) for text in axes.texts]
        assert numbers == expected[..., 0].ravel().tolist()
        framed = [patch for patch in axes.patches if not patch.get_fill()]
        assert len(framed) == (expected[..., 0] == 9).sum()


def test_banks_are_drawn_from_the_trace() -> None:
    traced = {}
    for step in ("mma_sync", "swizzled"):
        with observe(trace=True) as launches:
            cuda.STEPS[step](torch.ones(128, 64).half(), torch.ones(64, 128).half())
        traced[step] = launches[0]
    figure = banks(traced, "A_tile")
    for axes, words in zip(figure.axes, ("8 wavefronts", "1 wavefront\n"), strict=True):
        assert words in axes.get_title(loc="left")
        assert [text.get_text() for text in axes.texts] == [str(lane) for lane in range(32)]
    with pytest.raises(ValueError, match="no matrices from nothing"):
        banks(traced, "nothing")


def test_measure_reads_what_nsight_compute_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = [metric for some in measure.METRICS.values() for metric in some]
    lines = (["ID", "Kernel Name", *metrics], ["", "", *["unit"] * 7], ["0", "matmul_wmma", *"1234567"])
    said = "==PROF== Connected\n" + "\n".join(",".join(f'"{cell}"' for cell in line) for line in lines)
    monkeypatch.setattr(measure.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(measure.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=said))
    wmma = {"wavefronts": 3.0, "conflicts": 7.0, "registers": 5.0, "shared_memory": 13.0}
    assert measure.measure() == {"steps": {"wmma": wmma}, "said": ""}
    said = "==ERROR== no permission"
    assert measure.measure() == {"steps": {}, "said": said}
    monkeypatch.setattr(measure.shutil, "which", lambda name: None)
    assert measure.measure()["said"] == "Nsight Compute isn't installed"
