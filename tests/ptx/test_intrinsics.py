"""CUDA's integer intrinsics, all in one kernel, against what they mean."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.ptx.conftest import assembled, snippet
from workbench import ptx
from workbench.cuda.compiler import compile_file

COUNT = 256
Lanes = Any  # int64 arrays, the fields of each word side by side


def fields(word: Any, bits: int, signed: bool) -> Lanes:
    parts = np.stack([word.astype(np.int64) >> at & ((1 << bits) - 1) for at in range(0, 32, bits)], axis=-1)
    return parts - ((parts >> (bits - 1)) << bits) if signed else parts


def word(parts: Lanes, bits: int) -> Any:
    """Fields put together again, cut off at their width."""
    whole = sum((parts[..., at] & ((1 << bits) - 1)) << (bits * at) for at in range(32 // bits))
    return np.asarray(whole).astype(np.uint32)


def clamped(parts: Lanes, bits: int, signed: bool) -> Lanes:
    return (
        np.clip(parts, -(1 << (bits - 1)), (1 << (bits - 1)) - 1)
        if signed
        else np.clip(parts, 0, (1 << bits) - 1)
    )


def each(bits: int, signed: bool, function: Callable[..., Lanes]) -> Callable[..., Any]:
    return lambda *words: word(function(*(fields(w, bits, signed) for w in words)), bits)


def simd(bits: int) -> dict[str, Callable[..., Any]]:
    """The intrinsics __v<name><2 or 4>."""
    found: dict[str, Callable[..., Any]] = {
        "add": each(bits, False, np.add),
        "sub": each(bits, False, np.subtract),
        "neg": each(bits, False, np.negative),
        "abs": each(bits, True, np.abs),
        "absss": each(bits, True, lambda x: clamped(np.abs(x), bits, True)),
        "negss": each(bits, True, lambda x: clamped(-x, bits, True)),
        "hadd" + "u": each(bits, False, lambda x, y: x + y >> 1),
        "avgu": each(bits, False, lambda x, y: x + y + 1 >> 1),
        "avgs": each(bits, True, lambda x, y: (x + y + (x + y >= 0)) >> 1),
    }
    for letter, signed in (("s", True), ("u", False)):
        found |= {
            "max" + letter: each(bits, signed, np.maximum),
            "min" + letter: each(bits, signed, np.minimum),
            "absdiff" + letter: each(bits, signed, lambda x, y: np.abs(x - y)),
            f"add{letter}s": each(bits, signed, lambda x, y, s=signed: clamped(x + y, bits, s)),
            f"sub{letter}s": each(bits, signed, lambda x, y, s=signed: clamped(x - y, bits, s)),
            "sad" + letter: lambda x, y, s=signed: np.abs(fields(x, bits, s) - fields(y, bits, s)).sum(-1),
            "cmpgt" + letter: each(bits, signed, lambda x, y: -(x > y).astype(np.int64)),
            "setle" + letter: each(bits, signed, lambda x, y: (x <= y).astype(np.int64)),
        }
    found["cmpeq"] = each(bits, False, lambda x, y: -(x == y).astype(np.int64))
    found["setne"] = each(bits, False, lambda x, y: (x != y).astype(np.int64))
    return found


def dot(x: Any, y: Any, z: Any, signed: bool, which: slice | None = None) -> Any:
    left = fields(x, 8 if which is None else 16, signed)
    return (left * fields(y, 8, signed)[..., which or slice(None)]).sum(-1) + z.astype(np.int64)


def shifted(low: Any, high: Any, by: Any, left: bool) -> Any:
    both = low.astype(np.uint64) | high.astype(np.uint64) << np.uint64(32)
    by = by.astype(np.uint64)
    return (both << by) >> np.uint64(32) if left else both >> by


def permuted(x: Any, y: Any, selector: Any) -> Any:
    octets = np.concatenate([fields(x, 8, False), fields(y, 8, False)], axis=-1)
    return word(np.take_along_axis(octets, fields(selector, 4, False)[..., :4] & 7, axis=-1), 8)


def signed(x: Any) -> Any:
    return x.astype(np.uint32).view(np.int32).astype(np.int64)


def nth(x: Any, base: Any) -> Any:
    """The third bit that is set, from base on."""
    places = [
        [at for at in range(b, 32) if v >> at & 1] for v, b in zip(x.tolist(), base.tolist(), strict=True)
    ]
    return np.array([found[2] if len(found) > 2 else -1 for found in places])


def limited(by: Any) -> Any:
    return np.minimum(by, 32)


MEANING: dict[str, Callable[[Any, Any, Any], Any]] = {
    "__brev(a)": lambda a, b, c: [int(f"{v:032b}"[::-1], 2) for v in a.tolist()],
    "__clz(a)": lambda a, b, c: [32 - v.bit_length() for v in a.tolist()],
    "__ffs(a)": lambda a, b, c: [(v & -v).bit_length() for v in a.tolist()],
    "__popc(a)": lambda a, b, c: [v.bit_count() for v in a.tolist()],
    "__fns(a, b & 31, 3)": lambda a, b, c: nth(a, b & np.uint32(31)),
    "__byte_perm(a, b, c)": lambda a, b, c: permuted(a, b, c),
    "__funnelshift_l(a, b, c)": lambda a, b, c: shifted(a, b, c & np.uint32(31), True),
    "__funnelshift_r(a, b, c)": lambda a, b, c: shifted(a, b, c & np.uint32(31), False),
    "__funnelshift_lc(a, b, c % 40)": lambda a, b, c: shifted(a, b, limited(c % 40), True),
    "__funnelshift_rc(a, b, c % 40)": lambda a, b, c: shifted(a, b, limited(c % 40), False),
    "__dp4a(a, b, c)": lambda a, b, c: dot(a, b, c, False),
    "__dp4a((int)a, (int)b, (int)c)": lambda a, b, c: dot(a, b, c, True),
    "__dp2a_lo(a, b, c)": lambda a, b, c: dot(a, b, c, False, slice(0, 2)),
    "__dp2a_hi((int)a, (int)b, (int)c)": lambda a, b, c: dot(a, b, c, True, slice(2, 4)),
    "__sad((int)a, (int)b, c)": lambda a, b, c: np.abs(signed(a) - signed(b)) + c,
    "__usad(a, b, c)": lambda a, b, c: np.abs(a.astype(np.int64) - b) + c,
    "__umul24(a, b)": lambda a, b, c: (a & np.uint32(0xFFFFFF)).astype(np.uint64) * (b & np.uint32(0xFFFFFF)),
    "__mul24((int)a, (int)b)": lambda a, b, c: (
        (signed(a << np.uint32(8)) >> 8) * (signed(b << np.uint32(8)) >> 8)
    ),
    "__umulhi(a, b)": lambda a, b, c: a.astype(np.uint64) * b >> np.uint64(32),
    "__mulhi((int)a, (int)b)": lambda a, b, c: signed(a) * signed(b) >> 32,
    "__uhadd(a, b)": lambda a, b, c: a.astype(np.int64) + b >> 1,
    "__hadd((int)a, (int)b)": lambda a, b, c: signed(a) + signed(b) >> 1,
    "__urhadd(a, b)": lambda a, b, c: a.astype(np.int64) + b + 1 >> 1,
    "__rhadd((int)a, (int)b)": lambda a, b, c: signed(a) + signed(b) + 1 >> 1,
    "__viaddmax_s32((int)a, (int)b, (int)c)": lambda a, b, c: np.maximum(signed(a + b), signed(c)),
    "__vimin3_u32(a, b, c)": lambda a, b, c: np.minimum(np.minimum(a, b), c),
    "__vimax_s32_relu((int)a, (int)b)": lambda a, b, c: np.maximum(np.maximum(signed(a), signed(b)), 0),
    "__vimax3_s16x2(a, b, c)": each(16, True, lambda x, y, z: np.maximum(np.maximum(x, y), z)),
    "__vimin_s16x2_relu(a, b)": lambda a, b, c: each(16, True, lambda x, y: np.maximum(np.minimum(x, y), 0))(
        a, b
    ),
    "__viaddmin_u16x2(a, b, c)": each(16, False, lambda x, y, z: np.minimum(x + y & 0xFFFF, z)),
}
for number, width in ((2, 16), (4, 8)):
    for name, meaning in simd(width).items():
        one = name in ("neg", "abs", "absss", "negss")
        call = f"__v{name}{number}({'a' if one else 'a, b'})"
        MEANING[call] = (lambda a, b, c, f=meaning: f(a)) if one else (lambda a, b, c, f=meaning: f(a, b))


def words() -> tuple[Any, Any, Any]:
    """Random ones, with the extremes and small numbers among them, so that fields are often equal."""
    generator = np.random.default_rng(5)
    a, b, c = generator.integers(0, 2**32, (3, COUNT), dtype=np.uint32)
    ends = np.array([0, 1, 0xFFFFFFFF, 0x80000000, 0x7FFFFFFF, 0x80808080, 0x7F7F7F7F, 0x80008000], np.uint32)
    a[:64], b[:64] = np.repeat(ends, 8), np.tile(ends, 8)
    b[64:96] ^= a[64:96] ^ (b[64:96] & np.uint32(0xFF00FF))
    return a, b, c


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    lines = "\n".join(f"  o[{at} * {COUNT} + i] = (unsigned)({call});" for at, call in enumerate(MEANING))
    source = f"""extern "C" __global__ void k(unsigned *o, const unsigned *x) {{
  const int i = threadIdx.x;
  const unsigned a = x[i], b = x[i + {COUNT}], c = x[i + 2 * {COUNT}];
{lines}
}}
"""
    given = np.concatenate(words())
    out = np.zeros((len(MEANING), COUNT), np.uint32)
    ptx.launch(snippet(source), "k", 1, COUNT, (out, given))
    return dict(zip(MEANING, out, strict=True))


@pytest.mark.parametrize("call", MEANING)
def test_an_intrinsic(results: dict[str, Any], call: str) -> None:
    wanted = np.asarray(MEANING[call](*words())).astype(np.int64).astype(np.uint32)
    np.testing.assert_array_equal(results[call], wanted)


def video(line: str) -> Any:
    """What one PTX instruction on the words makes: d from a, b and c."""
    module = assembled(
        f"""
        .reg .b32 %a, %b, %c, %d; .reg .b32 %t; .reg .b64 %rd<4>;
        mov.u32 %t, %tid.x;
        ld.param.u64 %rd1, [in];
        mad.wide.u32 %rd1, %t, 4, %rd1;
        ld.global.b32 %a, [%rd1];
        ld.global.b32 %b, [%rd1+{4 * COUNT}];
        ld.global.b32 %c, [%rd1+{8 * COUNT}];
        {line}
        ld.param.u64 %rd2, [out];
        mad.wide.u32 %rd2, %t, 4, %rd2;
        st.global.b32 [%rd2], %d;"""
    )
    out = np.zeros(COUNT, np.uint32)
    ptx.launch(module, "k", 1, COUNT, (out, np.concatenate(words())))
    return out


def test_instructions_that_have_no_intrinsic() -> None:
    a, b, c = words()
    start, length = a % 33, b % 33
    masks = [((1 << n) - 1) << s & 0xFFFFFFFF for s, n in zip(start.tolist(), length.tolist(), strict=True)]
    rem = "rem.u32 %a, %a, 33; rem.u32 %b, %b, 33;"
    np.testing.assert_array_equal(video(f"{rem} bmsk.clamp.b32 %d, %a, %b;"), np.array(masks, np.uint32))
    wrapped = [
        ((1 << (n & 31)) - 1) << (s & 31) & 0xFFFFFFFF for s, n in zip(a.tolist(), b.tolist(), strict=True)
    ]
    np.testing.assert_array_equal(video("bmsk.wrap.b32 %d, %a, %b;"), np.array(wrapped, np.uint32))
    low = [v & ((1 << n) - 1) for v, n in zip(a.tolist(), length.tolist(), strict=True)]
    rem = "rem.u32 %b, %b, 33;"
    np.testing.assert_array_equal(video(f"{rem} szext.clamp.u32 %d, %a, %b;"), np.array(low, np.uint32))
    down = [
        (v - (1 << n) if n and v >> (n - 1) else v) & 0xFFFFFFFF
        for v, n in zip(low, length.tolist(), strict=True)
    ]
    np.testing.assert_array_equal(video(f"{rem} szext.clamp.s32 %d, %a, %b;"), np.array(down, np.uint32))
    sums = np.maximum(fields(a, 8, True), fields(b, 8, True)).sum(-1) + c.astype(np.int64)
    np.testing.assert_array_equal(video("vmax4.s32.s32.s32.add %d, %a, %b, %c;"), sums.astype(np.uint32))
    clipped = word(clamped(fields(a, 16, True) + fields(b, 16, True), 16, True), 16)
    np.testing.assert_array_equal(video("vadd2.s32.s32.s32.sat %d, %a, %b, %c;"), clipped)
    equal = word((fields(a, 8, False) == fields(b, 8, False)).astype(np.int64), 8)
    np.testing.assert_array_equal(video("vset4.u32.u32.eq %d, %a, %b, %c;"), equal)


@pytest.mark.parametrize("mode", ["f4e", "b4e", "rc8", "ecl", "ecr", "rc16"])
def test_the_modes_of_prmt(mode: str) -> None:
    """The table of PTX ISA 9.7.9.8, byte 3 first."""
    a, b, c = words()
    table = {
        "f4e": ("3210", "4321", "5432", "6543"),
        "b4e": ("5670", "6701", "7012", "0123"),
        "rc8": ("0000", "1111", "2222", "3333"),
        "ecl": ("3210", "3211", "3222", "3333"),
        "ecr": ("0000", "1110", "2210", "3210"),
        "rc16": ("1010", "3232", "1010", "3232"),
    }[mode]
    both = [x | y << 32 for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    picked = [
        sum((whole >> 8 * int(byte) & 255) << 8 * (3 - at) for at, byte in enumerate(table[which & 3]))
        for whole, which in zip(both, c.tolist(), strict=True)
    ]
    np.testing.assert_array_equal(video(f"prmt.b32.{mode} %d, %a, %b, %c;"), np.array(picked, np.uint32))


def test_integers_of_128_bits(tmp_path: Path) -> None:
    """NVIDIA's division subtracts and then asks with an addition whether something was borrowed."""
    source = """using Wide = unsigned __int128;
extern "C" __global__ void k(ulonglong2 *quotient, ulonglong2 *rest, const ulonglong2 *x, const ulonglong2 *y) {
  const int i = threadIdx.x;
  const Wide a = static_cast<Wide>(x[i].y) << 64 | x[i].x, b = static_cast<Wide>(y[i].y) << 64 | y[i].x;
  quotient[i] = make_ulonglong2(a / b, a / b >> 64);
  rest[i] = make_ulonglong2(a % b, a % b >> 64);
}
"""
    path = tmp_path / "wide.cu"
    path.write_text(source)
    module = ptx.parse(compile_file(path, {}, "compute_90").ptx)
    x, y = np.random.default_rng(6).integers(1, 2**64, (2, 64, 2), dtype=np.uint64)
    x[:8], y[4:40, 1], y[:4] = 2**64 - 1, 0, 1
    quotient, rest = np.zeros_like(x), np.zeros_like(x)
    ptx.launch(module, "k", 1, 64, (quotient, rest, x, y))
    whole = lambda pairs: [low | high << 64 for low, high in pairs.tolist()]  # noqa: E731
    wanted = [divmod(a, b) for a, b in zip(whole(x), whole(y), strict=True)]
    assert list(zip(whole(quotient), whole(rest), strict=True)) == wanted


MODES = {"rd": "down", "ru": "up", "rz": "to zero"}


@pytest.mark.parametrize("mode", MODES)
def test_doubles_rounded_in_a_direction(mode: str) -> None:
    operations = (
        "__dadd_M(x, y)",
        "__dsub_M(x, y)",
        "__dmul_M(x, y)",
        "__ddiv_M(x, y)",
        "__fma_M(x, y, z)",
        "__dsqrt_M(z)",
    )
    lines = "".join(
        f"  o[i + {64 * at}] = {call.replace('_M', '_' + mode)};\n" for at, call in enumerate(operations)
    )
    source = f"""extern "C" __global__ void k(double *o, const double *in) {{
  const int i = threadIdx.x;
  const double x = in[i], y = in[i + 64], z = in[i + 128];
{lines}}}
"""
    generator = np.random.default_rng(6)
    x, y, z = generator.standard_normal((3, 64)) * np.exp2(generator.integers(-30, 30, (3, 64)))
    z = np.abs(z)
    x[0], y[0], z[0] = 1.7e308, -1.7e308, 4.0
    x[1], y[1] = 3.0, 2.0
    out = np.zeros((6, 64))
    ptx.launch(snippet(source), "k", 1, 64, (out, np.concatenate([x, y, z])))
    for at in range(64):
        a, b, c = Fraction(x[at]), Fraction(y[at]), Fraction(z[at])
        for true, got in zip((a + b, a - b, a * b, a / b, a * b + c), out[:5, at].tolist(), strict=True):
            assert got == rounded(true, mode), (x[at], y[at], z[at])
        root = out[5, at]
        down, up = np.nextafter(root, 0), np.nextafter(root, np.inf)
        if mode == "ru":
            assert Fraction(root) ** 2 >= c > Fraction(down) ** 2
        else:
            assert Fraction(root) ** 2 <= c < Fraction(up) ** 2


def rounded(true: Fraction, mode: str) -> float:
    """A true value as the float64 in a direction."""
    largest = Fraction(float(np.finfo(np.float64).max))
    if abs(true) > largest:
        towards_zero = mode == "rz" or (mode == "rd") == (true > 0)
        return (
            float(largest if true > 0 else -largest)
            if towards_zero
            else float(np.copysign(np.inf, float(true > 0) - 0.5))
        )
    near = float(true)
    if mode == "rd" or (mode == "rz" and true > 0):
        return near if Fraction(near) <= true else float(np.nextafter(near, -np.inf))
    return near if Fraction(near) >= true else float(np.nextafter(near, np.inf))
