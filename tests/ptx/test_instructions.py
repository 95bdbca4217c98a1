"""Single instructions against exact arithmetic: Python's integers and fractions, one element at a time."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from random import Random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.ptx.conftest import assembled
from workbench import ptx

settings.register_profile("ptx", max_examples=12, deadline=None)  # of many values each
settings.load_profile("ptx")

REGISTER = {1: "b16", 2: "b16", 4: "b32", 8: "b64"}


@cache
def program(instruction: str, sizes: tuple[int, ...], out_size: int) -> ptx.Module:
    """A kernel that loads a value from each of its arrays, executes one instruction, and stores its result."""
    names = [f"in{k}" for k in range(len(sizes))]
    lines = [".reg .b64 %a<9>;", ".reg .b32 %t;", ".reg .pred %p<4>;", "mov.u32 %t, %tid.x;"]
    for k, size in enumerate(sizes):
        lines += [f".reg .{REGISTER[size]} %in{k};", f"ld.param.u64 %a{k}, [{names[k]}];"]
        lines += [f"mad.wide.u32 %a{k}, %t, {size}, %a{k};", f"ld.global.b{8 * size} %in{k}, [%a{k}];"]
    lines += [f".reg .{REGISTER[out_size]} %out;", instruction, "ld.param.u64 %a8, [out];"]
    lines += [f"mad.wide.u32 %a8, %t, {out_size}, %a8;", f"st.global.b{8 * out_size} [%a8], %out;"]
    return assembled(
        "\n".join(lines), parameters=", ".join(f".param .u64 {name}" for name in [*names, "out"])
    )


def run(instruction: str, *inputs: np.ndarray, out: type) -> np.ndarray:
    count = len(inputs[0])
    result = np.zeros(count, out)
    module = program(instruction, tuple(array.itemsize for array in inputs), result.itemsize)
    ptx.launch(
        module, "k", 1, count, (*(np.ascontiguousarray(array) for array in inputs), result), counters=False
    )
    return result


Draw = Callable[[Random], int]


def unsigned(bits: int) -> Draw:
    """Numbers of so many bits, those at the ends more often."""
    edges = [0, 1, 2, (1 << bits) - 1, 1 << (bits - 1), (1 << (bits - 1)) - 1, (1 << (bits - 1)) + 1]
    return lambda random: random.choice(edges) if random.random() < 0.5 else random.getrandbits(bits)


def rows(most: int, *draws: Draw) -> st.SearchStrategy[list[tuple[int, ...]]]:
    """Up to `most` rows, one number of each kind in a row.

    They come from a seed: hypothesis would take longer to draw each number than the machine to compute with all.
    """

    def made(count: int, seed: int) -> list[tuple[int, ...]]:
        random = Random(seed)
        return [tuple(draw(random) for draw in draws) for _ in range(count)]

    return st.builds(made, st.integers(1, most), st.integers(0, 2**64 - 1))


def several(most: int, draw: Draw) -> st.SearchStrategy[list[int]]:
    return rows(most, draw).map(lambda found: [value for (value,) in found])


def single(draw: Draw) -> st.SearchStrategy[int]:
    return several(1, draw).map(lambda found: found[0])


def pairs(bits: int) -> st.SearchStrategy[list[tuple[int, ...]]]:
    return rows(80, unsigned(bits), unsigned(bits))


def signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def toward_zero(a: int, b: int) -> int:
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


INTEGERS: dict[str, Callable[[int, int], int]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul.lo": lambda a, b: a * b,
    "mul.hi": lambda a, b: 0,  # its width is needed: see the test
    "min": min,
    "max": max,
    "div": lambda a, b: toward_zero(a, b) if b else -1,
    "rem": lambda a, b: a - b * toward_zero(a, b) if b else a,
}


@pytest.mark.parametrize("kind", ["u16", "s16", "u32", "s32", "u64", "s64"])
@pytest.mark.parametrize("name", INTEGERS)
@given(data=st.data())
def test_integer_arithmetic_wraps(name: str, kind: str, data: st.DataObject) -> None:
    bits = int(kind[1:])
    values = data.draw(pairs(bits))
    a, b = (np.array(column, f"u{bits // 8}") for column in zip(*values, strict=True))
    got = run(f"{name}.{kind} %out, %in0, %in1;", a, b, out=a.dtype.type)
    see = (lambda x: signed(x, bits)) if kind[0] == "s" else (lambda x: x)
    for (x, y), result in zip(values, got.tolist(), strict=True):
        x, y = see(x), see(y)
        wanted = (x * y) >> bits if name == "mul.hi" else INTEGERS[name](x, y)
        assert result == wanted & ((1 << bits) - 1), (x, y)


@pytest.mark.parametrize("kind", ["u16", "s16", "u32", "s32"])
@given(data=st.data())
def test_wide_products(kind: str, data: st.DataObject) -> None:
    bits = int(kind[1:])
    values = data.draw(pairs(bits))
    a, b = (np.array(column, f"u{bits // 8}") for column in zip(*values, strict=True))
    got = run(f"mul.wide.{kind} %out, %in0, %in1;", a, b, out=np.uint64 if bits == 32 else np.uint32)
    see = (lambda x: signed(x, bits)) if kind[0] == "s" else (lambda x: x)
    assert got.tolist() == [see(x) * see(y) % (1 << 2 * bits) for x, y in values]


def amount(random: Random) -> int:
    return random.randint(0, 70) if random.random() < 0.5 else unsigned(32)(random)


@pytest.mark.parametrize("kind", ["b16", "b32", "b64", "u32", "s16", "s32", "s64"])
@pytest.mark.parametrize("name", ["shl", "shr"])
@given(data=st.data())
def test_shifts_clamp_their_amount(name: str, kind: str, data: st.DataObject) -> None:
    if name == "shl":
        kind = "b" + kind[1:]
    bits = int(kind[1:])
    values = data.draw(rows(80, unsigned(bits), amount))
    a = np.array([x for x, _ in values], f"u{bits // 8}")
    b = np.array([y for _, y in values], np.uint32)
    got = run(f"{name}.{kind} %out, %in0, %in1;", a, b, out=a.dtype.type)
    for (x, y), result in zip(values, got.tolist(), strict=True):
        y = min(y, bits)
        wanted = x << y if name == "shl" else (signed(x, bits) if kind[0] == "s" else x) >> y
        assert result == wanted & ((1 << bits) - 1), (x, y)


@given(values=pairs(32), amount=st.integers(0, 80))
@pytest.mark.parametrize("mode", ["l.wrap", "l.clamp", "r.wrap", "r.clamp"])
def test_funnel_shift(mode: str, values: list[tuple[int, int]], amount: int) -> None:
    a, b = (np.array(column, np.uint32) for column in zip(*values, strict=True))
    got = run(
        f"shf.{mode}.b32 %out, %in0, %in1, %in2;", a, b, np.full(len(a), amount, np.uint32), out=np.uint32
    )
    by = amount % 32 if "wrap" in mode else min(amount, 32)
    for (x, y), result in zip(values, got.tolist(), strict=True):
        both = y << 32 | x
        assert result == ((both << by) >> 32 if mode[0] == "l" else both >> by) & 0xFFFFFFFF


@given(values=several(80, unsigned(64)))
@pytest.mark.parametrize("bits", [32, 64])
def test_counting_bits(bits: int, values: list[int]) -> None:
    values = [value % (1 << bits) for value in values]
    a = np.array(values, f"u{bits // 8}")
    texts = [f"{value:0{bits}b}" for value in values]
    assert run(f"popc.b{bits} %out, %in0;", a, out=np.uint32).tolist() == [text.count("1") for text in texts]
    zeros = [len(text) - len(text.lstrip("0")) for text in texts]
    assert run(f"clz.b{bits} %out, %in0;", a, out=np.uint32).tolist() == zeros
    assert run(f"brev.b{bits} %out, %in0;", a, out=a.dtype.type).tolist() == [
        int(text[::-1], 2) for text in texts
    ]
    found = run(f"bfind.u{bits} %out, %in0;", a, out=np.int32).tolist()
    assert found == [value.bit_length() - 1 for value in values]


@given(values=pairs(32), start=st.integers(0, 40), length=st.integers(0, 40))
def test_bit_fields(values: list[tuple[int, int]], start: int, length: int) -> None:
    a, b = (np.array(column, np.uint32) for column in zip(*values, strict=True))
    got = run(f"bfi.b32 %out, %in0, %in1, {start}, {length};", a, b, out=np.uint32).tolist()
    mask = (((1 << length) - 1) << start) & 0xFFFFFFFF
    assert got == [(y & ~mask) | ((x << start) & mask) for x, y in values]
    taken = run(f"bfe.u32 %out, %in0, {start}, {length};", a, out=np.uint32).tolist()
    assert taken == [(x >> start) & ((1 << length) - 1) for x, _ in values]
    if length:
        last = min(start + length - 1, 31)
        wanted = []
        for x, _ in values:
            field = [x >> at & 1 if at <= 31 else x >> last & 1 for at in range(start, start + length)]
            bits = [*field[:32], *[x >> last & 1] * 32][:32]
            wanted.append(sum(bit << at for at, bit in enumerate(bits)))
        assert run(f"bfe.s32 %out, %in0, {start}, {length};", a, out=np.uint32).tolist() == wanted


@settings(max_examples=25)
@given(values=pairs(32), selector=single(unsigned(16)))
def test_byte_permutation(values: list[tuple[int, int]], selector: int) -> None:
    a, b = (np.array(column, np.uint32) for column in zip(*values, strict=True))
    got = run(f"prmt.b32 %out, %in0, %in1, {selector};", a, b, out=np.uint32).tolist()
    for (x, y), result in zip(values, got, strict=True):
        data = (y << 32 | x).to_bytes(8, "little")
        wanted = []
        for at in range(4):
            nibble = selector >> 4 * at & 15
            byte = data[nibble & 7]
            wanted.append((255 if byte & 128 else 0) if nibble & 8 else byte)
        assert result == int.from_bytes(bytes(wanted), "little")


@settings(max_examples=25)
@given(values=pairs(32), third=single(unsigned(32)), table=st.integers(0, 255))
def test_logic_of_three(values: list[tuple[int, int]], third: int, table: int) -> None:
    a, b = (np.array(column, np.uint32) for column in zip(*values, strict=True))
    c = np.full(len(a), third, np.uint32)
    got = run(f"lop3.b32 %out, %in0, %in1, %in2, {table};", a, b, c, out=np.uint32).tolist()
    for (x, y), result in zip(values, got, strict=True):
        for at in range(32):
            row = (x >> at & 1) << 2 | (y >> at & 1) << 1 | third >> at & 1
            assert result >> at & 1 == table >> row & 1


@given(values=pairs(64))
def test_carries(values: list[tuple[int, int]]) -> None:
    """A 64-bit sum and difference from 32-bit halves."""
    a, b = (np.array(column, np.uint64) for column in zip(*values, strict=True))
    for name, function in (("add", int.__add__), ("sub", int.__sub__)):
        body = (
            ".reg .b32 %x<3>, %y<3>, %z<3>;\nmov.b64 {%x0, %x1}, %in0;\nmov.b64 {%y0, %y1}, %in1;\n"
            f"{name}.cc.u32 %z0, %x0, %y0;\n{name}c.u32 %z1, %x1, %y1;\nmov.b64 %out, {{%z0, %z1}};"
        ).replace("%x<3>, %y<3>, %z<3>", "%x<3>; .reg .b32 %y<3>; .reg .b32 %z<3>")
        got = run(body, a, b, out=np.uint64).tolist()
        assert got == [function(x, y) % (1 << 64) for x, y in values]


# Floats


class Format:
    """A binary floating-point format, with rounding done on fractions."""

    def __init__(self, exponent_bits: int, mantissa_bits: int) -> None:
        self.mantissa, self.bias = mantissa_bits, (1 << (exponent_bits - 1)) - 1
        self.exponent = exponent_bits
        self.size = (1 + exponent_bits + mantissa_bits) // 8

    def value(self, bits: int) -> Fraction | float:
        sign = -1 if bits >> (self.exponent + self.mantissa) else 1
        exponent = bits >> self.mantissa & ((1 << self.exponent) - 1)
        mantissa = bits & ((1 << self.mantissa) - 1)
        if exponent == (1 << self.exponent) - 1:
            return math.nan if mantissa else sign * math.inf
        if exponent == 0:
            return sign * Fraction(mantissa) * Fraction(2) ** (1 - self.bias - self.mantissa)
        return sign * (Fraction(mantissa, 1 << self.mantissa) + 1) * Fraction(2) ** (exponent - self.bias)

    def rounded(self, value: Fraction, mode: str) -> int:
        """Bits of an exact value that isn't zero, rounded once: rn, rz, rm, rp."""
        negative, size = value < 0, abs(value)
        exponent = size.numerator.bit_length() - size.denominator.bit_length()
        while Fraction(2) ** exponent > size:
            exponent -= 1
        while Fraction(2) ** (exponent + 1) <= size:
            exponent += 1
        exponent = max(exponent, 1 - self.bias)
        units = size / Fraction(2) ** (exponent - self.mantissa)
        whole, rest = divmod(units, 1)
        up = {"rn": rest > Fraction(1, 2) or (rest == Fraction(1, 2) and whole % 2), "rz": False}
        up |= {"rm": bool(negative and rest), "rp": bool(not negative and rest)}
        whole = int(whole) + bool(up[mode])
        bits = whole + ((exponent + self.bias - 1) << self.mantissa)
        largest = ((1 << self.exponent) - 1) << self.mantissa
        if bits >= largest:
            outward = mode == "rn" or ((mode == "rp") == (not negative) and mode in ("rp", "rm"))
            bits = largest if outward else largest - 1
        return bits | (negative << (self.exponent + self.mantissa))


FORMATS = {"f16": Format(5, 10), "bf16": Format(8, 7), "f32": Format(8, 23), "f64": Format(11, 52)}


def floats(kind: str) -> Draw:
    """Bit patterns of finite numbers; close ones often, so that results lie between representable numbers."""
    form = FORMATS[kind]
    one = form.bias << form.mantissa
    far = 14 if form.bias < 100 else 30

    def near(random: Random) -> int:
        return one + random.randrange(4)

    def scaled(random: Random) -> int:
        sign, exponent = random.getrandbits(1), form.bias + random.randint(-far, far)
        mantissa = random.getrandbits(3) if random.random() < 0.5 else random.getrandbits(form.mantissa)
        return sign << (form.exponent + form.mantissa) | exponent << form.mantissa | mantissa

    def anything(random: Random) -> int:
        return random.getrandbits(8 * form.size)

    def finite(random: Random) -> int:
        bits = random.choice((near, scaled, anything))(random)
        return bits if isinstance(form.value(bits), Fraction) else finite(random)

    return finite


OPERATIONS: dict[str, Callable[..., Fraction]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "fma": lambda x, y, z: x * y + z,
    "div": lambda x, y: x / y,
}
CASES = [(name, kind, "rn") for name in ("add", "sub", "mul", "fma") for kind in FORMATS]
CASES += [("div", "f32", "rn"), ("div", "f64", "rn")]
CASES += [(name, "f32", mode) for name in ("add", "sub", "mul", "fma", "div") for mode in ("rz", "rm", "rp")]


@pytest.mark.parametrize("name, kind, mode", CASES)
@given(data=st.data())
def test_floats_round_once(name: str, kind: str, mode: str, data: st.DataObject) -> None:
    form = FORMATS[kind]
    arity = 3 if name == "fma" else 2
    values = data.draw(rows(60, *[floats(kind)] * arity))
    columns = [np.array(column, f"u{form.size}") for column in zip(*values, strict=True)]
    suffix = "" if kind in ("f16", "bf16") and name != "fma" else f".{mode}"
    operands = ", ".join(f"%in{k}" for k in range(arity))
    got = run(f"{name}{suffix}.{kind} %out, {operands};", *columns, out=columns[0].dtype.type)
    for row, result in zip(values, got.tolist(), strict=True):
        numbers = [form.value(bits) for bits in row]
        if name == "div" and numbers[1] == 0:
            continue
        exact = OPERATIONS[name](*numbers)
        if exact == 0:
            assert result & ~(1 << (8 * form.size - 1)) == 0, row
        else:
            assert result == form.rounded(exact, mode), (row, [float(number) for number in numbers])


@pytest.mark.parametrize("kind, step", [("f32", 12), ("bf16", 4)])
@pytest.mark.parametrize("sign", [1, -1])
def test_fma_next_to_the_middle(kind: str, step: int, sign: int) -> None:
    """The product lies between two numbers of the format, and the third operand, tiny, says which is nearer."""
    form = FORMATS[kind]
    factor = 1 + Fraction(1, 1 << step)
    tiny = sign * Fraction(1, 1 << 100)
    bits = [form.rounded(value, "rn") for value in (factor, factor, tiny)]
    columns = [np.array([value], f"u{form.size}") for value in bits]
    got = run(f"fma.rn.{kind} %out, %in0, %in1, %in2;", *columns, out=columns[0].dtype.type)
    exact = [form.value(value) for value in bits]
    assert int(got[0]) == form.rounded(exact[0] * exact[1] + exact[2], "rn")


@pytest.mark.parametrize("kind", ["f32", "f64"])
@pytest.mark.parametrize(
    "instruction, values, wanted",
    [
        ("fma.rn", (-0.0, 0.0, -0.0), -0.0),
        ("fma.rn", (-2.5, 0.0, -0.0), -0.0),
        ("fma.rn", (2.5, 0.0, -0.0), 0.0),
        ("fma.rn", (2.0, 3.0, -6.0), 0.0),
        ("fma.rn", ("large", "large", "-inf"), "-inf"),
        ("fma.rn", ("large", 2.0, "-large"), "large"),
        ("fma.rn", ("large", "-large", "large"), "-inf"),
        ("add.rn", (1.0, -1.0), 0.0),
        ("add.rm", (1.0, -1.0), -0.0),
        ("add.rm", (0.0, 0.0), 0.0),
        ("add.rm", (0.0, -0.0), -0.0),
        ("sub.rm", (1.0, 1.0), -0.0),
        ("sub.rp", (1.0, 1.0), 0.0),
    ],
)
def test_zeros_keep_their_signs_and_large_products_their_value(
    instruction: str, values: tuple[float | str, ...], wanted: float | str, kind: str
) -> None:
    """IEEE 754, 6.3: what is exactly zero has the sign of its terms, or that of the direction."""
    dtype = np.dtype(f"f{int(kind[1:]) // 8}")
    largest = float(np.finfo(dtype).max)
    named = {"large": largest, "-large": -largest, "-inf": -np.inf}
    columns = [np.array([named.get(value, value)], dtype) for value in values]
    operands = ", ".join(f"%in{k}" for k in range(len(values)))
    got = float(run(f"{instruction}.{kind} %out, {operands};", *columns, out=dtype.type)[0])
    wanted = named.get(wanted, wanted)
    assert got == wanted and np.signbit(got) == np.signbit(wanted)


@given(values=rows(40, floats("f16"), floats("f16")))
def test_pairs_of_halves(values: list[tuple[int, int]]) -> None:
    low, high = (np.array(column, np.uint16) for column in zip(*values, strict=True))
    packed = np.stack([low, high], axis=1).view(np.uint32)[:, 0]
    got = run("add.f16x2 %out, %in0, %in0;", packed, out=np.uint32).view(np.float16).reshape(-1, 2)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(got[:, 0], low.view(np.float16) * np.float16(2))
        np.testing.assert_array_equal(got[:, 1], high.view(np.float16) * np.float16(2))


@pytest.mark.parametrize("made", ["f16", "bf16", "f32"])
@pytest.mark.parametrize("kind", ["f32", "f64"])
@pytest.mark.parametrize("mode", ["rn", "rz", "rm", "rp"])
@given(data=st.data())
def test_narrower_floats(made: str, kind: str, mode: str, data: st.DataObject) -> None:
    if made == kind:
        return
    source, form = FORMATS[kind], FORMATS[made]
    values = data.draw(several(60, floats(kind)))
    got = run(
        f"cvt.{mode}.{made}.{kind} %out, %in0;", np.array(values, f"u{source.size}"), out=f"u{form.size}"
    )
    for bits, result in zip(values, got.tolist(), strict=True):
        exact = source.value(bits)
        if exact == 0:
            assert result & ~(1 << (8 * form.size - 1)) == 0
        else:
            assert result == form.rounded(exact, mode), float(exact)


WHOLE: dict[str, Callable[[Fraction], int]] = {
    "rni": round,
    "rzi": math.trunc,
    "rmi": math.floor,
    "rpi": math.ceil,
}


@pytest.mark.parametrize("made", ["s8", "u8", "s16", "u16", "s32", "u32", "s64", "u64"])
@pytest.mark.parametrize("mode", WHOLE)
@given(values=several(60, floats("f32")))
@example(
    values=[0x4F000000, 0xCF000000, 0x5F000000, 0xDF000000, 0x4F7FFFFF, 0x3F000000, 0xBF000000, 0x40200000]
)
def test_floats_to_integers_saturate(mode: str, made: str, values: list[int]) -> None:
    bits = int(made[1:])
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if made[0] == "s" else (0, (1 << bits) - 1)
    out = max(2, bits // 8)
    got = run(f"cvt.{mode}.{made}.f32 %out, %in0;", np.array(values, np.uint32), out=f"u{out}")
    for pattern, result in zip(values, got.tolist(), strict=True):
        number = FORMATS["f32"].value(pattern)
        assert isinstance(number, Fraction)
        wanted = min(max(WHOLE[mode](number), low), high)
        assert result == wanted % (1 << 8 * out), float(number)


def test_nan_to_integers() -> None:
    nan = np.array([np.nan], np.float32).view(np.uint32)
    assert run("cvt.rzi.s32.f32 %out, %in0;", nan, out=np.int32).tolist() == [0]
    assert run("cvt.rzi.u32.f32 %out, %in0;", nan, out=np.uint32).tolist() == [0]
    assert run("cvt.rzi.s64.f32 %out, %in0;", nan, out=np.int64).tolist() == [-(1 << 63)]


@pytest.mark.parametrize("mode", ["rn", "rz", "rm", "rp"])
@pytest.mark.parametrize("kind", ["s32", "u32", "s64", "u64"])
@given(data=st.data())
def test_integers_to_floats(mode: str, kind: str, data: st.DataObject) -> None:
    bits = int(kind[1:])
    values = data.draw(several(60, unsigned(bits)))
    got = run(f"cvt.{mode}.f32.{kind} %out, %in0;", np.array(values, f"u{bits // 8}"), out=np.uint32)
    for value, result in zip(values, got.tolist(), strict=True):
        number = signed(value, bits) if kind[0] == "s" else value
        assert result == (FORMATS["f32"].rounded(Fraction(number), mode) if number else 0), number


@given(values=several(60, unsigned(64)))
@pytest.mark.parametrize("made", ["s8", "u8", "s16", "u16", "s32", "u32"])
@pytest.mark.parametrize("kind", ["s64", "u64"])
def test_integers_saturate(kind: str, made: str, values: list[int]) -> None:
    bits = int(made[1:])
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if made[0] == "s" else (0, (1 << bits) - 1)
    out = max(2, bits // 8)
    got = run(f"cvt.sat.{made}.{kind} %out, %in0;", np.array(values, np.uint64), out=f"u{out}").tolist()
    see = (lambda x: signed(x, 64)) if kind[0] == "s" else (lambda x: x)
    assert got == [min(max(see(value), low), high) % (1 << 8 * out) for value in values]


def test_minimum_and_maximum_of_special_numbers() -> None:
    a = np.array([np.nan, 1, -0.0, 0.0, np.nan], np.float32)
    b = np.array([1, np.nan, 0.0, -0.0, np.nan], np.float32)
    bits = [array.view(np.uint32) for array in (a, b)]
    smaller = run("min.f32 %out, %in0, %in1;", *bits, out=np.float32)
    larger = run("max.f32 %out, %in0, %in1;", *bits, out=np.float32)
    assert smaller[:2].tolist() == [1, 1] and larger[:2].tolist() == [1, 1]
    assert np.signbit(smaller[2:4]).all() and not np.signbit(larger[2:4]).any()
    assert np.isnan(smaller[4]) and np.isnan(larger[4])
    assert np.isnan(run("min.NaN.f32 %out, %in0, %in1;", *bits, out=np.float32)[:2]).all()


def test_flush_and_saturation() -> None:
    tiny = np.array([1e-40, -1e-40, 2.0, -1.0, np.nan], np.float32).view(np.uint32)
    zeros = np.zeros(5, np.uint32)
    got = run("add.ftz.f32 %out, %in0, %in1;", tiny, zeros, out=np.float32)
    assert got[:2].tolist() == [0, 0] and got[2:4].tolist() == [2, -1]
    got = run("add.sat.f32 %out, %in0, %in1;", tiny, zeros, out=np.float32)
    assert got[2:].tolist() == [1, 0, 0] and got[0] == np.float32(1e-40)


@pytest.mark.parametrize(
    "name, function",
    [
        ("ex2.approx.f32", np.exp2), ("lg2.approx.f32", np.log2), ("sqrt.rn.f32", np.sqrt),
        ("rcp.rn.f32", lambda x: 1 / x),
        ("rsqrt.approx.f32", lambda x: 1 / np.sqrt(x)), ("sin.approx.f32", np.sin), ("tanh.approx.f32", np.tanh),
    ],
)  # fmt: skip
def test_functions(name: str, function: Callable[[np.ndarray], np.ndarray]) -> None:
    x = np.linspace(0.01, 20, 200, dtype=np.float32)
    got = run(f"{name} %out, %in0;", x.view(np.uint32), out=np.float32)
    np.testing.assert_allclose(got, function(x.astype(np.float64)), rtol=1e-7)


# Warps, atomics, matrices


@pytest.mark.parametrize("mode", ["up", "down", "bfly", "idx"])
@given(by=st.integers(0, 31), width=st.sampled_from([1, 2, 4, 8, 16, 32]))
def test_shuffles(mode: str, by: int, width: int) -> None:
    values = np.arange(64, dtype=np.uint32) * 7
    limit = (32 - width) << 8 | (0 if mode == "up" else 31)
    got = run(f"shfl.sync.{mode}.b32 %out|%p1, %in0, {by}, {limit}, -1;", values, out=np.uint32)
    for thread in range(64):
        lane = thread % 32
        first = lane // width * width
        source = {"up": lane - by, "down": lane + by, "bfly": lane ^ by, "idx": first + by % width}[mode]
        if not first <= source < first + width and not (mode == "bfly" and source < first):
            source = lane
        assert got[thread] == 7 * (thread - lane + source), (thread, source)


@given(
    values=rows(200, lambda random: random.randrange(4), unsigned(32)),
    operation=st.sampled_from(
        ["add.u32", "min.s32", "max.u32", "and.b32", "xor.b32", "exch.b32", "inc.u32", "dec.u32"]
    ),
)
def test_atomics_come_one_after_the_other(values: list[tuple[int, int]], operation: str) -> None:
    body = """.reg .b64 %m; .reg .b64 %u<4>;
    ld.param.u64 %m, [in2]; mad.wide.u32 %m, %in0, 4, %m; sub.u64 %m, %m, 0;
    atom.global.OP %out, [%m], %in1;""".replace("OP", operation)
    at, given_values = (np.array(column, np.uint32) for column in zip(*values, strict=True))
    memory = np.array([5, 0, 1 << 31, 77], np.uint32)
    result = np.zeros(len(at), np.uint32)
    lines = body.replace("[in2]", "[memory]")
    module = _atomic_program(lines)
    ptx.launch(module, "k", 1, len(at), (at, given_values, memory, result), counters=False)
    cells, old = [5, 0, 1 << 31, 77], []
    for place, value in values:
        before = cells[place]
        old.append(before)
        cells[place] = {
            "add.u32": (before + value) % (1 << 32),
            "min.s32": min(signed(before, 32), signed(value, 32)) % (1 << 32),
            "max.u32": max(before, value), "and.b32": before & value, "xor.b32": before ^ value, "exch.b32": value,
            "inc.u32": 0 if before >= value else before + 1,
            "dec.u32": value if before == 0 or before > value else before - 1,
        }[operation]  # fmt: skip
    assert memory.tolist() == cells and result.tolist() == old


@cache
def _atomic_program(body: str) -> ptx.Module:
    return assembled(
        f""".reg .b64 %a<4>; .reg .b32 %t; .reg .b32 %in<2>; .reg .b32 %out;
        mov.u32 %t, %tid.x;
        ld.param.u64 %a0, [at]; mad.wide.u32 %a0, %t, 4, %a0; ld.global.b32 %in0, [%a0];
        ld.param.u64 %a1, [values]; mad.wide.u32 %a1, %t, 4, %a1; ld.global.b32 %in1, [%a1];
        {body}
        ld.param.u64 %a2, [out]; mad.wide.u32 %a2, %t, 4, %a2; st.global.b32 [%a2], %out;""",
        parameters=", ".join(f".param .u64 {name}" for name in ("at", "values", "memory", "out")),
    )


@pytest.mark.parametrize("atomic", ["atom.global.add.v4.f32 {%o0, %o1, %o2, %o3},", "red.global.add.v4.f32"])
def test_the_elements_of_a_vector_are_updated_each(atomic: str) -> None:
    """PTX ISA 9.7.13.5: of sm_90 on."""
    module = assembled(
        f""".reg .b64 %a<3>; .reg .b32 %t; .reg .b32 %at; .reg .f32 %f<5>; .reg .f32 %o<4>;
        mov.u32 %t, %tid.x; cvt.rn.f32.u32 %f0, %t; add.f32 %f1, %f0, 1.0; neg.f32 %f2, %f0; mov.f32 %f3, 0.5;
        mov.f32 %o0, %f0; mov.f32 %o1, %f0; mov.f32 %o2, %f0; mov.f32 %o3, %f0;
        and.b32 %at, %t, 1; ld.param.u64 %a0, [out]; mad.wide.u32 %a0, %at, 16, %a0;
        {atomic} [%a0], {{%f0, %f1, %f2, %f3}};
        ld.param.u64 %a1, [in]; mad.wide.u32 %a1, %t, 16, %a1;
        st.global.v4.f32 [%a1], {{%o0, %o1, %o2, %o3}};"""
    )
    total, old = np.zeros((2, 4), np.float32), np.zeros((32, 4), np.float32)
    ptx.launch(module, "k", 1, 32, (total, old))
    x = np.arange(32.0).reshape(16, 2).T[..., None]
    added = np.concatenate([x, x + 1, -x, np.full_like(x, 0.5)], axis=2)
    np.testing.assert_array_equal(total, added.sum(1))
    if "atom" in atomic:
        np.testing.assert_array_equal(old.reshape(16, 2, 4).swapaxes(0, 1), added.cumsum(1) - added)
    with pytest.raises(ptx.Misaligned):
        ptx.launch(module, "k", 1, 32, (np.zeros(16, np.float32)[1:9], old))


@pytest.mark.parametrize("kind", ["f16", "bf16", "f16x2"])
def test_vectors_of_halves_are_added_each(kind: str) -> None:
    one = {"f16": 0x3C00, "bf16": 0x3F80, "f16x2": 0x40003C00}[kind]
    bits = 32 if kind == "f16x2" else 16
    module = assembled(
        f""".reg .b64 %a; .reg .b{bits} %h; mov.b{bits} %h, {one}; ld.param.u64 %a, [out];
        red.global.add.noftz.v2.{kind} [%a], {{%h, %h}};"""
    )
    total = np.zeros(2, f"u{bits // 8}")
    ptx.launch(module, "k", 1, 32, (total, np.zeros(1)))
    assert total.tolist() == [{"f16": 0x5000, "bf16": 0x4200, "f16x2": 0x54005000}[kind]] * 2


def test_hexadecimal_constants_keep_their_bits() -> None:
    got = run("mov.b32 %out, 0f3FC00000;", np.zeros(1, np.uint32), out=np.uint32)
    assert struct.unpack("<f", struct.pack("<I", int(got[0])))[0] == 1.5


@given(values=pairs(64))
def test_products_of_halves_with_carries(values: list[tuple[int, int]]) -> None:
    """The upper 64 bits of a 128-bit product, from 32-bit ones, as the compiler's own division routine does it."""
    a, b = (np.array(column, np.uint64) for column in zip(*values, strict=True))
    body = (
        ".reg .b32 %x<2>; .reg .b32 %y<2>; .reg .b32 %z<4>;\nmov.b64 {%x0, %x1}, %in0;\nmov.b64 {%y0, %y1}, %in1;\n"
        "mul.hi.u32 %z0, %x0, %y0;\nmov.b32 %z1, 0;\nmov.b32 %z2, 0;\nmov.b32 %z3, 0;\n"
        "mad.lo.cc.u32 %z0, %x1, %y0, %z0;\nmadc.hi.cc.u32 %z1, %x1, %y0, 0;\naddc.u32 %z2, 0, 0;\n"
        "mad.lo.cc.u32 %z0, %x0, %y1, %z0;\nmadc.hi.cc.u32 %z1, %x0, %y1, %z1;\naddc.u32 %z2, %z2, 0;\n"
        "mad.lo.cc.u32 %z1, %x1, %y1, %z1;\nmadc.hi.u32 %z2, %x1, %y1, %z2;\nmov.b64 %out, {%z1, %z2};"
    )
    assert run(body, a, b, out=np.uint64).tolist() == [x * y >> 64 for x, y in values]


def test_pairs_with_a_constant() -> None:
    """A register that is the same in all threads meets one that isn't."""
    low = np.arange(6, dtype=np.float16)
    packed = np.stack([low, -low], axis=1).view(np.uint32)[:, 0]
    constant = ".reg .b32 %u; mov.b32 %u, 0x40004000;"  # 2, 2
    got = (
        run(f"{constant} fma.rn.f16x2 %out, %in0, %u, %u;", packed, out=np.uint32)
        .view(np.float16)
        .reshape(-1, 2)
    )
    np.testing.assert_array_equal(got, np.stack([low * 2 + 2, low * -2 + 2], axis=1))
    greater = run(f"{constant} set.gt.f16x2.f16x2 %out, %in0, %u;", packed, out=np.uint32)
    np.testing.assert_array_equal(
        greater.view(np.float16).reshape(-1, 2), np.stack([low > 2, -low > 2], axis=1)
    )


def test_a_matrix_transposed_in_registers() -> None:
    matrices = np.arange(128, dtype=np.int16).reshape(2, 8, 8)
    got = run(
        "movmatrix.sync.aligned.m8n8.trans.b16 %out, %in0;", matrices.view(np.int32).reshape(-1), out=np.int32
    )
    np.testing.assert_array_equal(got.view(np.int16).reshape(2, 8, 8), matrices.swapaxes(1, 2))
