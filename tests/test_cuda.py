"""`workbench.cuda`: load, launch, and what it says when something doesn't fit."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from workbench import ptx
from workbench.cuda import CompileError, KernelNotFound, LaunchError, compiler, kept, load, observe, resources

SCALE = """
extern "C" __global__ void scale(const float *x, float *y, float factor, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = factor * x[i];
}
"""


@pytest.fixture
def scale(tmp_path):
    path = tmp_path / "scale.cu"
    path.write_text(SCALE)
    return path


def launch(kernel, x, y, grid=None, block=64, factor=None, n=None):
    grid = grid or -(-x.numel() // 64)
    kernel(grid, block, (x, y, factor or np.float32(3), np.int32(x.numel()) if n is None else n))


def test_a_kernel_runs_where_its_tensors_are(scale):
    x, y = torch.randn(100), torch.empty(100)
    launch(load(scale, "scale"), x, y)
    assert torch.equal(y, 3 * x)


def test_a_view_into_a_tensor_is_passed_without_a_copy(scale):
    memory = torch.zeros(200)
    launch(load(scale, "scale"), torch.ones(50), memory[100:150])
    assert memory.sum() == 150
    assert memory[100:150].eq(3).all()


def test_memory_beside_a_view_is_out_of_bounds(scale):
    memory = torch.zeros(200)
    with pytest.raises(ptx.OutOfBounds, match=r"y\[50\]"):
        launch(load(scale, "scale"), torch.ones(64), memory[100:150])


def test_reports_are_collected(scale):
    x, y = torch.randn(128), torch.empty(128)
    with observe(trace=True) as launches:
        launch(load(scale, "scale"), x, y)
        launch(load(scale, "scale"), x, y)
    assert len(launches) == 2
    assert launches[0].counters.global_requests == 8
    assert launches[0].counters.sectors_per_request == 4
    assert {access.array for access in launches[0].trace} == {"x", "y"}


def test_printed_text_goes_to_stdout(tmp_path, capsys):
    path = tmp_path / "p.cu"
    path.write_text('extern "C" __global__ void p() { printf("thread %d\\n", threadIdx.x); }')
    load(path, "p")(1, 2, ())
    assert capsys.readouterr().out == "thread 0\nthread 1\n"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"block": 2048}, "1024 threads"),
        ({"grid": (0, 1)}, "grid"),
        ({"grid": (1, 1, 1, 1)}, "grid"),
        ({"factor": 3.0}, r"np\.int32|NumPy scalar"),
        ({"factor": np.int32(3)}, "float factor"),
        ({"factor": np.float64(3)}, "float64"),
        ({"n": np.int64(3)}, "int n"),
        ({"x": torch.zeros(8, dtype=torch.float64)}, "float64"),
        ({"x": np.int32(3)}, "const float"),
    ],
)
def test_what_does_not_fit_is_named(scale, change, words):
    arguments = {
        "x": torch.zeros(8),
        "factor": np.float32(1),
        "n": np.int32(8),
        "grid": 1,
        "block": 8,
        **change,
    }
    with pytest.raises(LaunchError, match=words):
        load(scale, "scale")(
            arguments["grid"],
            arguments["block"],
            (arguments["x"], torch.zeros(8), arguments["factor"], arguments["n"]),
        )


def test_a_launch_error_is_a_value_error():
    assert issubclass(LaunchError, ValueError)


def test_too_many_arguments_are_counted(scale):
    with pytest.raises(LaunchError, match=r"4 parameters.*launched with 1 arguments"):
        load(scale, "scale")(1, 1, (torch.zeros(1),))


def test_a_missing_kernel_lists_those_there(scale):
    with pytest.raises(KernelNotFound, match="its kernels are: scale"):
        load(scale, "scail")(1, 1, ())


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load(tmp_path / "nowhere.cu", "k")(1, 1, ())


def test_a_compile_error_has_its_line(tmp_path):
    path = tmp_path / "broken.cu"
    path.write_text('extern "C" __global__ void k(int *a) {\n  a[0] = b;\n}\n')
    with pytest.raises(CompileError) as caught:
        load(path, "k")(1, 1, (torch.zeros(1, dtype=torch.int32),))
    assert caught.value.line == 2
    assert 'identifier "b" is undefined' in str(caught.value)


def test_a_byte_order_mark_is_no_error(tmp_path):
    path = tmp_path / "marked.cu"
    path.write_text('extern "C" __global__ void k(int *a) {\r\n\ta[0] = 1;\r\n}\r\n', "utf-8-sig", newline="")
    a = torch.zeros(1, dtype=torch.int32)
    load(path, "k")(1, 1, (a,))
    assert a.item() == 1


HEADERS = (
    "cstdint",
    "cmath",
    "cfloat",
    "climits",
    "cstdio",
    "cstdlib",
    "cstring",
    "cassert",
    "cuda_fp16.h",
    "mma.h",
)


def test_headers_that_kernels_of_others_name_are_there(tmp_path):
    path = tmp_path / "headers.cu"
    names = [
        *HEADERS,
        *(f"{name[1:]}.h" for name in HEADERS if "." not in name),
        "cuda_runtime.h",
        "cooperative_groups.h",
    ]
    path.write_text(
        "".join(f"#include <{name}>\n" for name in names)
        + 'extern "C" __global__ void k(float *x, int32_t n) {\n'
        + "  assert(n < INT_MAX);\n  x[0] = -INFINITY;\n  x[1] = FLT_MAX;\n  x[2] = sizeof(uint64_t) + sqrtf(n);\n}\n"
    )
    x = torch.empty(3)
    load(path, "k")(1, 1, (x, np.int32(4)))
    assert x.tolist() == [float("-inf"), torch.finfo(torch.float32).max, 10]


def test_infinity_needs_no_header(tmp_path):
    path = tmp_path / "infinity.cu"
    path.write_text('extern "C" __global__ void k(float *x) { x[0] = -INFINITY; }')
    x = torch.empty(1)
    load(path, "k")(1, 1, (x,))
    assert x.item() == float("-inf")


def test_a_changed_file_is_read_again(scale):
    x, y = torch.ones(4), torch.empty(4)
    launch(load(scale, "scale"), x, y)
    scale.write_text(SCALE.replace("factor * x[i]", "factor + x[i]"))
    launch(load(scale, "scale"), x, y)
    assert y.eq(4).all()


def test_more_registers_than_there_are_is_a_launch_error(tmp_path):
    path = tmp_path / "greedy.cu"
    sums = "\n".join(f"  float v{i} = x[i0 + {i}];" for i in range(120))
    uses = " + ".join(f"v{i} * v{(i * 7 + 3) % 120}" for i in range(120))
    path.write_text(
        f'extern "C" __global__ void greedy(const float *x, float *y) {{\n'
        f"  const int i0 = threadIdx.x;\n{sums}\n  __syncthreads();\n  y[i0] = {uses};\n}}\n"
    )
    x, y = torch.ones(1200), torch.empty(1024)
    load(path, "greedy")(1, 256, (x, y))
    assert y[0] == 120
    with pytest.raises(LaunchError, match="registers a thread"):
        load(path, "greedy")(1, 1024, (x, y))


def test_resources_come_from_ptxas_for_both_targets(scale):
    for target in ("sm_80", "sm_90"):
        found = resources(scale, "scale", target=target)
        assert 0 < found.registers < 32
        assert found.spill_stores == 0


@pytest.mark.gpu
def test_the_same_kernel_runs_on_the_gpu_on_torchs_stream(scale):
    x = torch.randn(1000, device="cuda")
    y = torch.empty_like(x)
    with torch.cuda.stream(torch.cuda.Stream()):
        launch(load(scale, "scale"), x, y)
        torch.cuda.current_stream().synchronize()
    assert torch.equal(y, 3 * x)


@pytest.mark.gpu
def test_tensors_on_two_devices_are_refused(scale):
    with pytest.raises(LaunchError, match="cpu and cuda"):
        launch(load(scale, "scale"), torch.zeros(8), torch.zeros(8, device="cuda"))


def test_what_was_compiled_is_kept_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "FOLDER", tmp_path / "kept")
    source = tmp_path / "one.cu"
    source.write_text('#include "one.cuh"\nextern "C" __global__ void one(int *x) { *x = ONE; }')
    (tmp_path / "one.cuh").write_text("#define ONE 1")

    def compiled() -> str:
        compiler._compile.cache_clear()
        return compiler.compile_file(source, {}).ptx

    first = compiled()
    (file,) = kept.FOLDER.iterdir()
    began = file.stat().st_mtime_ns
    assert compiled() == first and file.stat().st_mtime_ns == began, "it was compiled again"
    monkeypatch.chdir(tmp_path)  # as a notebook runs in its lesson's folder
    assert compiled() == first and len(list(kept.FOLDER.iterdir())) == 1, "it is kept by working directory"
    file.write_bytes(file.read_bytes()[:100])  # as a full disk leaves it
    assert compiled() == first
    (tmp_path / "one.cuh").write_text("#define ONE 2")
    assert compiled() != first
    monkeypatch.setattr(kept, "FOLDER", tmp_path / "one.cu" / "kept")  # nothing can be written there
    (tmp_path / "one.cuh").write_text("#define ONE 1")
    assert compiled() == first


def test_ptx_alone_is_that_of_the_whole_program(scale, tmp_path, monkeypatch):
    made, targets = compiler._made, []

    def noted(nvrtc, path, source, flags, **options):
        targets.append(flags[0].split("=")[1])
        return made(nvrtc, path, source, flags, **options)

    monkeypatch.setattr(compiler, "_made", noted)
    for order in (["sm_90", "compute_90"], ["compute_90", "sm_90"]):
        monkeypatch.setattr(kept, "FOLDER", tmp_path / order[0])
        compiler._compile.cache_clear()
        assert len({compiler.compile_file(scale, {}, target).ptx for target in order}) == 1
    assert targets == ["sm_90", "compute_90", "sm_90"]


def test_a_block_that_always_fits_needs_no_machine_code(scale, tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "FOLDER", tmp_path / "kept")
    x = torch.ones(1000)
    for threads, whole in ((256, False), (257, True)):
        kernel = load(scale, "scale", {"AGAIN": threads})
        launch(kernel, x, torch.empty_like(x), block=threads)
        assert any(kept.read(file.stem)["cubin"] for file in kept.FOLDER.iterdir()) == whole


def test_old_programs_make_room(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "FOLDER", tmp_path)
    monkeypatch.setattr(kept, "MOST", 4)
    for i in range(9):
        kept.keep(str(i), {"ptx": b"x"})
        assert kept.read(str(i)) == {"ptx": b"x"}
    assert len(list(tmp_path.iterdir())) <= 4


def test_ptx_that_came_without_its_kernels_is_made_again_and_never_kept(scale, tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "FOLDER", tmp_path / "kept")
    made, answers = compiler._made, []

    def half(*arguments, **options):
        program = made(*arguments, **options)
        answers.append(program)
        return replace(program, ptx=".version 9.0\n.target sm_90\n") if len(answers) < 3 else program

    monkeypatch.setattr(compiler, "_made", half)
    assert ".entry scale" in compiler.compile_file(scale, {"AGAIN": 1}).ptx
    (file,) = kept.FOLDER.iterdir()
    assert ".entry scale" in kept.read(file.stem)["ptx"].decode()
    assert len(answers) == 3

    answers.clear()
    monkeypatch.setattr(compiler, "TRIES", 2)
    assert ".entry" not in compiler.compile_file(scale, {"AGAIN": 2}).ptx
    assert len(list(kept.FOLDER.iterdir())) == 1
