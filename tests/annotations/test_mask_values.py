"""Binary or label image, told from the values."""

from __future__ import annotations

import numpy as np
import pytest

from mito_instance.annotations.mask_values import binary_mask, inspect_mask, integer_labels
from mito_instance.errors import AnnotationError

NOISY = np.array([[0, 3, 255, 251], [0, 0, 240, 255]], np.uint8)


@pytest.mark.parametrize(
    ("mask", "is_jpeg", "kind"),
    [
        pytest.param(np.zeros((2, 3), np.uint8), False, "empty", id="empty"),
        pytest.param(np.array([[0, 9, 12]], np.uint8), True, "empty", id="jpeg-of-nothing"),
        pytest.param(np.array([[0, 1]], np.uint8), False, "components", id="0-1"),
        pytest.param(np.array([[0, 255]], np.uint8), False, "components", id="0-255"),
        pytest.param(np.array([[False, True]]), False, "components", id="bool"),
        pytest.param(np.array([[0.0, 0.25, 1.0]]), False, "components", id="fractions"),
        pytest.param(NOISY, True, "components", id="jpeg"),
        pytest.param(NOISY, False, "components", id="png-of-a-jpeg"),
        pytest.param(np.array([[0, 1, 2]], np.uint8), False, "labels", id="labels"),
        pytest.param(np.arange(256, dtype=np.uint8)[None], False, "labels", id="255-labels"),
        pytest.param(np.array([[0, 700, 2]], np.uint16), False, "labels", id="16-bit"),
        pytest.param(np.array([[0.0, 3.0, 2.0]]), False, "labels", id="float-labels"),
    ],
)
def test_inspect_mask(mask, is_jpeg, kind):
    assert inspect_mask(mask, is_jpeg=is_jpeg).kind == kind


def test_noise_is_noticed():
    assert inspect_mask(NOISY, is_jpeg=False).is_noisy


@pytest.mark.parametrize(
    ("mask", "is_jpeg", "expected"),
    [
        pytest.param([[0, 0]], False, [[0, 0]], id="empty"),
        pytest.param([[0, 1]], False, [[0, 1]], id="0-1"),
        pytest.param([[0, 127, 128, 255]], False, [[0, 0, 1, 1]], id="half-of-255"),
        pytest.param([[0, 100, 101, 200]], False, [[0, 0, 1, 1]], id="half-of-the-maximum"),
        pytest.param([[0, 127, 128, 250]], True, [[0, 0, 1, 1]], id="jpeg-at-127"),
        pytest.param([[0, 7, 16, 3]], True, [[0, 0, 0, 0]], id="jpeg-noise"),
        pytest.param([[0, 20, 90, 100]], True, [[0, 0, 1, 1]], id="dark-jpeg"),
    ],
)
def test_binary_mask(mask, is_jpeg, expected):
    result = binary_mask(np.array(mask, np.uint8), is_jpeg=is_jpeg)
    assert result.astype(int).tolist() == expected


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        pytest.param([[0.0, 0.5]], "got fractions", id="fractions"),
        pytest.param([[0.0, np.nan]], "whole numbers >= 0", id="nan"),
        pytest.param([[0.0, 1e30]], "whole numbers >= 0", id="huge"),
        pytest.param([[0, -3]], r"a\.tif: label values must be .* got -3 to 0", id="negative"),
    ],
)
def test_values_that_are_no_labels(mask, message):
    with pytest.raises(AnnotationError, match=message):
        integer_labels(np.array(mask), "a.tif")
