"""int8 rows: codes times a scale, never further than half a scale from what was written."""

import numpy as np
import pytest

from x2static.schemas.shard import dequantise, quantise

HALF_A_FLOAT16 = 2.0**-11  # relative rounding of what is read

HOSTILE = {
    "zeros": [0.0] * 8,
    "one huge value": [65504.0, 1.0, -1.0, 0.25, 0.0, 3.0, 257.0, 258.0],
    "one huge negative value": [-65504.0, 1.0, -1.0, 0.25, 0.0, 3.0, 257.0, 258.0],
    "subnormal in float16": [6e-8, -6e-8, 1.2e-7, 0.0, 6e-8, 3e-7, -3e-7, 1e-6],
    "subnormal in float32": [1e-45, -3e-44, 2e-43, 0.0, 1e-40, 1e-42, -1e-41, 1e-44],
    "all equal": [-0.3] * 8,
    "tiny beside ordinary": [1e-30, 1.0, -1e-30, 0.5, 1e-9, -1.0, 0.0, 2e-3],
    "negative zero": [-0.0, 0.0, -0.0, 0.0, 1.0, 0.0, 0.0, 0.0],
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_the_error_is_at_most_half_a_scale(name, dtype):
    rows = np.array([HOSTILE[name]], dtype)
    _check(rows, *quantise(rows))


def test_the_error_is_at_most_half_a_scale_over_many_rows_of_all_sizes():
    draw = np.random.default_rng(0)
    rows = (draw.normal(size=(500, 33)) * 10.0 ** draw.uniform(-6, 4, (500, 1))).astype(np.float32)
    _check(rows, *quantise(rows))


def _check(rows: np.ndarray, codes: np.ndarray, scales: np.ndarray) -> None:
    """Compare with the definition, computed in float64."""
    exact = rows.astype(np.float64)
    expected = np.abs(exact).max(axis=1) / 127
    assert (codes.dtype, scales.dtype) == (np.int8, np.float32)
    assert codes.min() >= -127
    ulp = 2.0**-149  # the smallest step of a float32
    np.testing.assert_allclose(scales, expected, rtol=1e-6, atol=ulp)
    read = dequantise(codes, scales)
    assert read.dtype == np.float16
    assert np.isfinite(read).all()
    error = np.abs(read.astype(np.float64) - exact)
    # Half a scale, the rounding of the result to float16, and float16's smallest step.
    bound = expected[:, None] / 2 * (1 + 1e-5) + np.abs(exact) * HALF_A_FLOAT16 * 1.01 + 2.0**-25
    assert (error <= bound).all()


def test_a_row_of_zeros_has_scale_zero_and_reads_as_zeros():
    codes, scales = quantise(np.zeros((2, 4), np.float32))
    assert scales.tolist() == [0, 0]
    assert not codes.any()
    assert dequantise(codes, scales).tolist() == np.zeros((2, 4)).tolist()


def test_halves_are_rounded_to_even():
    codes, scales = quantise(np.array([[127.0, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5]], np.float32))
    assert scales.tolist() == [1]
    assert codes.tolist() == [[127, 0, 2, 2, 0, -2, -2]]


def test_the_largest_magnitude_is_kept_whatever_its_sign():
    codes, _ = quantise(np.array([[-3.0, 1.0], [3.0, -1.0]], np.float32))
    assert codes.tolist() == [[-127, 42], [127, -42]]


def test_rows_of_no_columns_and_no_rows_are_quantised():
    for shape in ((0, 4), (3, 0)):
        codes, scales = quantise(np.zeros(shape, np.float32))
        assert (codes.shape, scales.shape) == (shape, shape[:1])


def test_what_is_absent_is_not_a_number():
    codes, scales = np.array([[-128, -128], [1, 2]], np.int8), np.array([1, np.nan], np.float32)
    assert np.isnan(dequantise(codes, scales)).all()
