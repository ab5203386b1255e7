"""Contrast of grey levels: limits, odd numbers, and memory."""

import numpy as np
import pytest

from mito_instance.io import contrast
from mito_instance.io.contrast import stretch_contrast

RAMP = np.arange(256, dtype=np.uint16).reshape(16, 16)


def test_a_ramp_is_stretched_to_all_grey_levels():
    stretched = stretch_contrast(RAMP * 200, (0, 100))
    assert (stretched == RAMP).all()


def test_strips_do_not_change_a_value(monkeypatch):
    pixels = np.random.default_rng(0).normal(1000, 300, (101, 53)).astype(np.float32)
    whole = stretch_contrast(pixels)
    monkeypatch.setattr(contrast, "MAX_STRIP_PX", 200)
    assert (stretch_contrast(pixels) == whole).all()
    monkeypatch.setattr(contrast, "MAX_STRIP_PX", 1)
    assert (stretch_contrast(pixels) == whole).all()


@pytest.mark.parametrize(
    "pixels",
    [
        pytest.param(RAMP.astype(np.uint32) + 4_000_000_000, id="uint32-far-from-0"),
        pytest.param(RAMP.astype(np.int64) + 2**50, id="int64-far-from-0"),
        pytest.param(RAMP.astype(np.float64) * 1e300, id="beyond-float32"),
        pytest.param(RAMP.astype(np.float64) * 1e-300, id="beneath-float32"),
        pytest.param(-RAMP[::-1, ::-1].astype(np.float64), id="negative"),
    ],
)
def test_grey_levels_of_any_size_keep_their_steps(pixels):
    assert (stretch_contrast(pixels, (0, 100)) == RAMP).all()


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        pytest.param([[0, 1, np.nan]], [[0, 255, 0]], id="nan"),
        pytest.param([[0, 1, np.inf, -np.inf]], [[0, 255, 255, 0]], id="infinite"),
        pytest.param([[np.nan, np.inf]], [[128, 128]], id="nothing-finite"),
        pytest.param([[7, 7]], [[128, 128]], id="constant"),
        pytest.param([[-3e38, 3e38]], [[0, 255]], id="range-beyond-float32"),
        pytest.param(np.zeros((0, 5)), np.zeros((0, 5)), id="empty"),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_odd_numbers(pixels, expected, dtype):
    assert (
        stretch_contrast(np.array(pixels, dtype), (0, 100)).tolist() == np.array(expected).tolist()
    )


def test_signalling_nan_is_nan():
    bits = np.array([[0x7FA00000, 0x3F800000, 0]], dtype=np.uint32)
    assert stretch_contrast(bits.view(np.float32), (0, 100)).tolist() == [[0, 255, 0]]
