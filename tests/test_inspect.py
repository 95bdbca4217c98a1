"""`python -m workbench inspect`: what it shows, and what it says to input that it can't use."""

import re
from pathlib import Path

import numpy as np
import pytest

from workbench.inspect_kernel import BadInput, main, read_arguments

ROOT = Path(__file__).resolve().parent.parent
PLAIN = str(ROOT / "cuda_basics/vector_add/plain.cu")
FLOAT = ["--define", "SCALAR=float"]
LAUNCH = [
    "--grid",
    "4",
    "--block",
    "256",
    "--args",
    "float32[1000] float32[1000] out:float32[1000] int32=1000",
]

SPILLING = """
extern "C" __global__ void __launch_bounds__(1024, 2) spilling(const float *x, float *out) {
  float kept[96];
  for (int k = 0; k < 96; ++k) kept[k] = x[k * 1024 + threadIdx.x];
  __syncthreads();
  float sum = 0.0f;
  for (int k = 0; k < 96; ++k) sum = sum * kept[k] + kept[95 - k];
  out[threadIdx.x] = sum;
}
"""


def shown(capsys, *arguments: str, status: int = 0) -> str:
    assert main([str(argument) for argument in arguments]) == status
    out, err = capsys.readouterr()
    assert bool(err) == (status == 2), err
    return out


def row(text: str, beginning: str) -> list[str]:
    """The cells of the last row that begins so."""
    line = [line for line in text.splitlines() if line.strip().startswith(beginning)][-1]
    return line.strip().removeprefix(beginning).split()


def test_registers_and_ptx_stand_beside_their_lines(capsys):
    text = shown(capsys, PLAIN, *FLOAT)
    assert "vector_add(const scalar *a, const scalar *b, scalar *c, int n)" in text
    for target in ("sm_80", "sm_90"):
        registers, *_ = row(text, target)
        assert 8 <= int(registers) <= 32
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if "c[i] = a[i] + b[i];" in line)
    assert re.match(r"\s*12\s", lines[start])
    assert [
        word for line in lines[start : start + 8] for word in re.findall(r"(?:ld|add|st)\.\S*f32", line)
    ] == [
        "ld.global.f32",
        "ld.global.f32",
        "add.f32",
        "st.global.f32",
    ]


def test_it_fits_80_columns_and_is_plain_when_piped(capsys):
    text = shown(capsys, PLAIN, *FLOAT, *LAUNCH)
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text


def test_spills_are_shown(capsys, tmp_path):
    path = tmp_path / "spilling.cu"
    path.write_text(SPILLING)
    text = shown(capsys, path)
    for target in ("sm_80", "sm_90"):
        numbers = [int(cell.replace(",", "")) for cell in row(text, target) if cell != "B"]
        assert numbers[0] <= 32
        assert numbers[3] > 0 and numbers[4] > 0


def test_a_launch_is_counted_by_line(capsys):
    text = shown(capsys, PLAIN, *FLOAT, *LAUNCH)
    cells = row(text, "12 c[i] = a[i] + b[i];")
    # 32 warps make two loads and one store; the last warp has 8 threads, which need one sector
    assert cells[:4] == ["256", "96", "375", "3.9"]
    assert row(text, "in all")[1:4] == ["96", "375", "3.9"]
    assert "shared" not in text.splitlines()[-8]  # a column in which nothing happened isn't shown


def test_functions_behind_pointers_are_shown(tmp_path, capsys):
    file = tmp_path / "pointers.cu"
    file.write_text("""__device__ __noinline__ int more(int a) { return a + 1; }
__device__ __noinline__ int twice(int a) { return a * 2; }
__device__ int (*table[2])(int) = {more, twice};
extern "C" __global__ void through(int *x) {
  x[threadIdx.x] = table[threadIdx.x % 2](x[threadIdx.x]);
}
""")
    text = shown(capsys, str(file), "--grid", "1", "--block", "32", "--args", "int32[32]")
    assert "return a + 1;" in text and "return a * 2;" in text
    assert row(text, "in all")


@pytest.mark.parametrize(("padding", "conflicts"), [(0, 31 * 32), (1, 0)])
def test_bank_conflicts_are_counted_by_line(capsys, padding, conflicts):
    transpose = [ROOT / "tests/ptx/kernels/transpose.cu", "--define", f"PADDING={padding}"]
    launch = [
        "--grid",
        "1",
        "--block",
        "32,8",
        "--args",
        "float32[32x32] out:float32[32x32] int32=32 int32=32",
    ]
    text = shown(capsys, *transpose, *launch)
    assert "conflicts" in text and f"{conflicts:,}" in row(text, "22 ")
    assert row(text, "in all")[-1] == f"{conflicts:,}"


def test_long_lines_are_summed_up_unless_all_is_asked_for(capsys):
    tiled = ROOT / "tests/ptx/kernels/matmul_tiled.cu"
    short, long = shown(capsys, tiled), shown(capsys, tiled, "--all")
    assert "and 36 more: 24 ld.shared.f32, 12" in short
    assert "more:" not in long
    assert len(re.findall(r"fma\.rn\.f32 %", long)) == 16


def test_functions_that_are_not_inlined_are_shown_too(capsys):
    text = shown(capsys, ROOT / "tests/ptx/kernels/functions.cu")
    assert "const int rest = a % b;" in text and "rem.s32" in text


def test_a_fault_is_shown_and_is_status_1(capsys):
    short = [
        "--grid",
        "4",
        "--block",
        "256",
        "--args",
        "float32[999] float32[1000] out:float32[1000] int32=1000",
    ]
    text = shown(capsys, PLAIN, *FLOAT, *short, status=1)
    assert "out of bounds" in text and "a[999]" in text


def test_reading_an_output_that_holds_nothing_is_a_fault(capsys):
    wrong_way = [
        "--grid",
        "1",
        "--block",
        "32",
        "--args",
        "float32[32] out:float32[32] out:float32[32] int32=32",
    ]
    text = shown(capsys, PLAIN, *FLOAT, *wrong_way, status=1)
    assert "uninitialised" in text and "b[0]" in text


def test_what_a_kernel_prints_is_shown(capsys):
    text = shown(capsys, ROOT / "cuda_basics/hello/hello.cu", "--grid", "1", "--block", "2")
    assert "It printed:\nhello from thread 0 of block 0\nhello from thread 1 of block 0" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.cu"], "nowhere.cu does not exist"),
        ([str(ROOT)], "is a folder"),
        ([], "required"),
        ([str(ROOT / "cuda_basics/tensor_cores/primitives.cuh")], "primitives.cuh holds no kernel"),
        ([PLAIN], 'identifier "SCALAR" is undefined'),
        ([PLAIN, "--define", "1=2"], "write NAME=VALUE"),
        ([PLAIN, *FLOAT, "--kernel", "add"], "its kernels are: vector_add"),
        (
            [str(ROOT / "tests/ptx/kernels/scan.cu")],
            "choose one with --kernel: scan_hillis_steele, scan_warp",
        ),
        ([PLAIN, *FLOAT, "--grid", "4"], "both --grid and --block"),
        ([PLAIN, *FLOAT, "--grid", "0", "--block", "4"], "--grid 0"),
        ([PLAIN, *FLOAT, "--grid", "1,1,1,1", "--block", "4"], "one to three sizes"),
        ([PLAIN, *FLOAT, *LAUNCH, "--shared-memory", "-4"], "--shared-memory"),
        ([PLAIN, *FLOAT, *LAUNCH, "--shared-memory", "4k"], "--shared-memory 4k"),
        ([PLAIN, *FLOAT, *LAUNCH, "--shared-memory", "300000"], "shared memory"),
        ([PLAIN, *FLOAT, *LAUNCH[:4]], "takes 4 arguments (const scalar *a"),
        ([PLAIN, *FLOAT, *LAUNCH[:4], "--args", "float32[9] int32=9 float32[9] int32=9"], "argument 2 (b)"),
        ([PLAIN, *FLOAT, *LAUNCH[:4], "--args", "float32[9] null float32[9] float32=9"], "int n"),
        ([PLAIN, *FLOAT, "--grid", "1", "--block", "2048", *LAUNCH[4:]], "2,048"),
    ],
)
def test_bad_input_is_a_sentence_and_status_2(capsys, arguments, words):
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert words in err
    assert not out
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("float[9]", "no type that is known"),
        ("float32", "isn't understood"),
        ("float32[-1]", "isn't understood"),
        ("in:float32[3]", "isn't understood"),
        ("__import__('os')", "isn't understood"),
        ("float64[99999x99999]", "larger than"),
        ("int32=1.5", "fits int32"),
        ("uint8=256", "fits uint8"),
        ("float32=three", "fits float32"),
    ],
)
def test_arguments_that_are_not_understood(text, words):
    with pytest.raises(BadInput, match=re.escape(words)):
        read_arguments(text)


def test_arguments_are_made_as_written():
    x, out, zeros, n, scale, nothing, bits = read_arguments(
        "int32[20x30] out:float16[5] zeros:float64[3] int32=0x10 float32=-0.5 null bfloat16[4]"
    )
    assert (
        x.value.shape == (20, 30) and x.value.dtype == np.int32 and 0 <= x.value.min() < x.value.max() < 100
    )
    assert out.output and out.value.dtype == np.float16 and np.isnan(out.value).all()
    assert not zeros.value.any() and zeros.value.dtype == np.float64
    assert n.value == 16 and n.value.dtype == np.int32
    assert scale.value == np.float32(-0.5) and scale.value.dtype == np.float32
    assert nothing.value is None
    assert bits.kind == "bfloat16" and bits.value.itemsize == 2 and len(set(bits.value.tolist())) > 1


def test_the_same_command_makes_the_same_numbers():
    one, other = (read_arguments("float32[9]")[0].value for _ in range(2))
    np.testing.assert_array_equal(one, other)
