"""What the first lessons need: vector add in its versions, printf, bounds, alignment, budget, counters, trace."""

from __future__ import annotations

import time
import warnings

import numpy as np
import pytest

from tests.ptx.conftest import SLACK, compiled, line_of, snippet
from workbench import ptx

FILE = "vector_add.cu"


def operands(n: int, dtype: type) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(n)
    a, b = (random.standard_normal(n).astype(dtype) for _ in range(2))
    return a, b, np.full(n, np.nan, dtype)


@pytest.mark.parametrize(
    "scalar, dtype", [("float", np.float32), ("__half", np.float16), ("double", np.float64)]
)
@pytest.mark.parametrize("n", [0, 1, 31, 1000, 100_003])
@pytest.mark.parametrize("kernel", ["plain", "vectorised"])
def test_vector_add(kernel: str, scalar: str, dtype: type, n: int) -> None:
    a, b, c = operands(n, dtype)
    ptx.launch(compiled(FILE, f"-DSCALAR={scalar}"), kernel, -(-n // 256), 256, (a, b, c, np.int32(n)))
    np.testing.assert_array_equal(c, a + b)


def test_out_of_bounds_reads_like_the_contract() -> None:
    n = 1000
    a, b, c = operands(n, np.float32)
    with pytest.raises(ptx.OutOfBounds) as caught:
        ptx.launch(compiled(FILE), "unguarded", 4, 256, (np.append(a, b), np.append(a, b), c), names="abc")
    fault = caught.value
    line = line_of(FILE, "void unguarded") + 2
    assert str(fault) == (
        f"vector_add.cu:{line}: out of bounds: thread (232,0,0) of block (3,0,0) writes 4 bytes at c[1000], "
        "but c has 1000 elements of float32\n"
        f"    {line} |   c[i] = a[i] + b[i];\n"
        "Guard the access: only threads with an index below the length may touch the array."
    )
    assert (fault.line, fault.block, fault.thread, fault.array) == (line, (3, 0, 0), (232, 0, 0), "c")
    assert fault.kind == "out of bounds" and fault.advice.startswith("Guard")
    np.testing.assert_array_equal(c, np.full(n, np.nan, np.float32))  # nothing of the faulty access was done


def test_negative_index() -> None:
    a, _, c = operands(32, np.float32)
    with pytest.raises(ptx.OutOfBounds, match=r"reads 4 bytes at a\[-1\], but a has 32 elements"):
        ptx.launch(compiled(FILE), "before", 1, 32, (a, c), names="ac")


def test_null_pointer() -> None:
    a, _, c = operands(32, np.float32)
    with pytest.raises(ptx.OutOfBounds, match="null pointer"):
        ptx.launch(compiled(FILE), "unguarded", 1, 32, (None, a, c), names="abc")


@pytest.mark.parametrize("kernel, shift", [("plain", 1), ("vectorised", 4)])
def test_a_view_is_as_misaligned_as_on_a_gpu(kernel: str, shift: int) -> None:
    a, b, _ = operands(64, np.float32)
    raw = np.zeros(4 * 64 + 16, np.int8)
    shifted = raw[shift : shift + 4 * 64].view(np.float32)
    with pytest.raises(ptx.Misaligned, match=r"writes (4|16) bytes at c\[0\]"):
        ptx.launch(compiled(FILE), kernel, 1, 64, (a, b, shifted, np.int32(64)), names="abcn")


def test_a_view_at_a_multiple_of_16_bytes_is_aligned() -> None:
    a, b, c = operands(64, np.float32)
    ptx.launch(compiled(FILE), "vectorised", 1, 64, (a[4:], b[4:], c[4:], np.int32(60)), names="abcn")
    np.testing.assert_array_equal(c[4:], (a + b)[4:])


def test_endless_loop() -> None:
    with pytest.raises(ptx.BudgetSpent, match="50,000 instructions") as caught:
        ptx.launch(
            compiled(FILE),
            "endless",
            1,
            32,
            (np.zeros(4, np.int32), np.int32(1)),
            limits=ptx.Limits(instructions=50_000),
        )
    assert caught.value.line == line_of(FILE, "i += 2")


def test_printf() -> None:
    who = np.frombuffer(b"you\0", np.int8)
    report = ptx.launch(compiled(FILE), "hello", 2, 4, (who, np.float64(0.1)))
    assert report.printed == "".join(
        f"{-t:5d}|{b:<4d}|ff|{1 << 40}|0.1|1.000e-01|z|you|100%\n" for b in (0, 1) for t in (1, 3)
    )


def test_printf_of_hexadecimal_floats() -> None:
    source = (
        """extern "C" __global__ void k(double x) { printf("%a %A %a|%9a|", x, -1.5 * x, 0 * x, x / 64); }"""
    )
    assert (
        ptx.launch(snippet(source), "k", 1, 1, (np.float64(1),)).printed
        == "0x1p+0 -0X1.8P+0 0x0p+0|   0x1p-6|"
    )


def test_counters_of_a_coalesced_and_a_strided_copy() -> None:
    n = 1 << 14
    a, b, c = operands(n, np.float32)
    report = ptx.launch(compiled(FILE), "plain", n // 256, 256, (a, b, c, np.int32(n)))
    counters = report.counters
    assert counters is not None
    assert (counters.global_load_requests, counters.global_store_requests) == (2 * n // 32, n // 32)
    assert (counters.global_load_sectors, counters.global_store_sectors) == (2 * n // 8, n // 8)
    assert (counters.global_load_bytes, counters.global_store_bytes) == (8 * n, 4 * n)
    assert counters.sectors_per_request == 4.0 and counters.bytes_moved == 12 * n
    line = line_of(FILE, "void plain") + 2
    (key,) = [key for key in report.lines if key[1] == line and report.lines[key].global_requests]
    assert report.lines[key].global_sectors == counters.global_sectors
    strided = ptx.launch(
        compiled(FILE), "strided", n // 256, 256, (a, b, c, np.int32(n), np.int32(8))
    ).counters
    assert strided is not None and strided.sectors_per_request == 32.0
    np.testing.assert_array_equal(c, a + b)


def test_counters_of_ragged_ends_and_wide_accesses() -> None:
    n = 1000
    a, b, c = operands(n, np.float32)
    counters = ptx.launch(compiled(FILE), "plain", 4, 256, (a, b, c, np.int32(n))).counters
    assert counters is not None
    assert counters.global_requests == 3 * 32 and counters.global_sectors == 3 * 125
    assert counters.divergent_branches == 1
    counters = ptx.launch(compiled(FILE), "vectorised", 1, 256, (a, b, c, np.int32(n))).counters
    assert counters is not None
    assert counters.global_requests == 3 * 8 and counters.global_sectors == 3 * 125


def test_trace() -> None:
    a, b, c = operands(40, np.float32)
    report = ptx.launch(compiled(FILE), "plain", 2, 32, (a, b, c, np.int32(40)), names="abcn", trace=True)
    assert {(access.kind, access.array) for access in report.trace} == {
        ("load", "a"),
        ("load", "b"),
        ("store", "c"),
    }
    for access in report.trace:
        assert access.space == "global" and access.size == 4
        np.testing.assert_array_equal(access.threads, np.arange(40))
        np.testing.assert_array_equal(access.offsets, 4 * np.arange(40))


@pytest.mark.parametrize(
    "grid, block, arguments, words",
    [
        (1, 32, (), "takes 4 arguments, and is launched with 0"),
        (1, 32, ([1], None, None, np.int32(1)), r"argument 1 \(a\): pass a NumPy array"),
        (1, 32, (None, None, None, 3), r"argument 4 \(n\): pass a NumPy array, a NumPy scalar"),
        (1, 32, (None, None, None, np.int64(3)), r"it has 4 bytes \(type u32\), and int64 has 8"),
        (1, 32, (None, None, None, np.float32(3)), "it is a whole number"),
        (1, 32, (None, None, None, np.zeros(3)), "can't be an array of float64"),
        (1, 32, (np.zeros((4, 4))[:, 1], None, None, np.int32(3)), "isn't contiguous"),
        (1, 1025, (None, None, None, np.int32(3)), "allowed are 1 to 1,024"),
        (1, (32, 64), (None, None, None, np.int32(3)), "has 2,048 threads; at most 1,024"),
        ((1, 70_000), 32, (None, None, None, np.int32(3)), "grid y is 70,000; allowed are 0 to 65,535"),
        (1, 0, (None, None, None, np.int32(3)), "block x is 0"),
        (1.5, 32, (None, None, None, np.int32(3)), "grid is a whole number"),
    ],
)
def test_launches_that_cant_be_made(grid: object, block: object, arguments: tuple, words: str) -> None:
    with pytest.raises(ptx.LaunchError, match=words):
        ptx.launch(compiled(FILE), "plain", grid, block, arguments, names="abcn")  # type: ignore[arg-type]


def test_other_launch_errors() -> None:
    good = (None, None, None, np.int32(0))
    with pytest.raises(ptx.LaunchError, match="no kernel named nothing; the module has plain"):
        ptx.launch(compiled(FILE), "nothing", 1, 32, good)
    with pytest.raises(ptx.LaunchError, match="at most 232,448"):
        ptx.launch(compiled(FILE), "plain", 1, 32, good, shared_memory=300_000)
    ptx.launch(compiled(FILE), "plain", 1, 32, good)  # null pointers that nobody follows are fine


def test_numpy_warnings_dont_leak() -> None:
    a, b, c = operands(64, np.float32)
    a[:] = np.inf
    b[:] = -np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ptx.launch(compiled(FILE), "plain", 1, 64, (a, b, c, np.int32(64)))
    assert np.isnan(c).all()


def test_read_only_arrays() -> None:
    a, b, c = operands(32, np.float32)
    c.flags.writeable = False
    with pytest.raises(ptx.OutOfBounds, match="c is read-only"):
        ptx.launch(compiled(FILE), "unguarded", 1, 32, (a, b, c), names="abc")


def test_unknown_instruction_names_itself() -> None:
    text = (
        ".version 9.0\n.target sm_90\n.address_size 64\n.visible .entry k()\n{\n.reg .b32 %r<3>;\n.loc 1 7 3\n"
        'frobnicate.b32 %r1, %r2;\nret;\n}\n.file 1 "k.cu"\n'
    )
    with pytest.raises(ptx.UnknownInstruction, match=r"frobnicate\.b32 %r1, %r2") as caught:
        ptx.launch(ptx.parse(text), "k", 1, 1, ())
    assert (caught.value.file, caught.value.line) == ("k.cu", 7) and "PTX ISA" in str(caught.value)


@pytest.mark.parametrize(
    "text, words",
    [
        ("hello", "line 1 of the PTX"),
        ("", "no .version"),
        (".version 9.0\n.visible .entry k()\n{\n  add.s32 %r1, ?;\n}\n", "line 4"),
        (".version 9.0\n.visible .entry k()\n{\n  ret;\n", "has no end"),
        (".version 9.0\n.global .frob x;\n", "line 2 .*unknown type"),
        (
            ".version 9.0\n.visible .entry k(.param .u72 n)\n{\n  ret;\n}\n",
            "no type .u72, of the parameter n",
        ),
        (".version 9.0\n.visible .entry k()\n{\n  add.s32 ,r1, 2;\n}\n", "line 4.*can't read the operand"),
    ],
)
def test_ptx_that_cant_be_read(text: str, words: str) -> None:
    with pytest.raises(ptx.PtxError, match=words):
        ptx.parse(text)


def test_speed() -> None:
    """The limits are seconds of a processor; SLACK is allowed, as one that others use, too, is slower."""
    n = 1 << 20
    a, b, c = operands(n, np.float32)
    for counters, limit in ((False, 0.4), (True, 0.8)):
        seconds = []
        for _ in range(4):
            start = time.process_time()
            ptx.launch(compiled(FILE), "plain", n // 256, 256, (a, b, c, np.int32(n)), counters=counters)
            seconds.append(time.process_time() - start)
        assert min(seconds) < limit * SLACK
    start = time.process_time()
    for _ in range(10):
        ptx.launch(compiled(FILE), "plain", 1, 32, (a, b, c, np.int32(n)), counters=False)
    assert (time.process_time() - start) / 10 < 0.02 * SLACK
