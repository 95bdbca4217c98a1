"""The error rule: what passes, and what a learner reads about the first wrong element."""

import numpy as np
import pytest

from workbench.check.compare import CHUNK, Tolerance, describe, tolerance, wrong_places


def wrong(out, oracle, plain=None, dtype="float32", accumulation=1):
    oracle = np.asarray(oracle, np.float64)
    allowed = tolerance(oracle, lambda: oracle if plain is None else plain, dtype, accumulation)
    return wrong_places(np.asarray(out, np.float64), oracle, allowed)


def test_a_float32_sum_may_be_one_rounding_off_and_no_more():
    right = np.array([1.0, -3.0, 1e-20, 0.0])
    assert not wrong(np.float32(right), right).any()
    assert not wrong(np.nextafter(np.float32(right), np.float32(10)), right).any()
    assert wrong(right * (1 + 3e-7), right)[:2].all()
    assert wrong(right + 1e-6, right)[3]


def test_a_longer_accumulation_is_held_against_the_largest_output():
    right = np.array([100.0, 1e-6])
    assert not wrong(right + 1e-5, right, accumulation=64).any()
    assert wrong(right + 1e-3, right, accumulation=64).all()


def test_float16_may_be_twice_as_far_off_as_plain_pytorch():
    right = np.linspace(-2, 2, 1001)
    plain = right.astype(np.float16).astype(np.float64)
    assert not wrong(plain, right, plain, "float16").any()
    assert wrong(right + 0.01, right, plain, "float16").all()


def test_nan_and_infinity_must_sit_where_the_oracle_has_them():
    right = np.array([np.nan, np.inf, -np.inf, 1.0])
    assert not wrong(right, right).any()
    assert wrong([0.0, 1.0, np.inf, np.nan], right).all()


def test_an_all_zero_or_unwritten_output_is_wrong():
    right = np.array([0.5, -1.0])
    assert wrong([0, 0], right).all()
    assert wrong([np.nan, np.nan], right).all()


def test_integers_must_be_equal():
    assert list(wrong_places(np.array([1, 2]), np.array([1, 3]), Tolerance())) == [False, True]


@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_the_first_wrong_element_is_described(dtype):
    right, out = np.array([[1, 2], [3, 4]], dtype), np.array([[1, 2], [30, 40]], dtype)
    words = describe("output", out, right, Tolerance(), out != right)
    assert "2 of 4 elements are wrong" in words
    assert "output[1, 0] should be 3, got 30" in words


def test_what_was_never_written_is_said():
    right, out = np.zeros(3), np.array([0.0, np.nan, 0.0])
    assert "ever written" in describe("output", out, right, Tolerance(), np.isnan(out))
    right, out = np.zeros(3, np.int32), np.array([0, 2**31 - 1, 0], np.int32)
    assert "ever written" in describe("output", out, right, Tolerance(), out != right)


def test_large_arrays_are_compared_in_parts_and_wholly():
    right = np.zeros(2 * CHUNK + 5)
    out = right.astype(np.float32)
    out[[3, CHUNK, -1]] = 1
    assert list(np.flatnonzero(wrong_places(out, right, Tolerance(0.5)))) == [3, CHUNK, 2 * CHUNK + 4]
