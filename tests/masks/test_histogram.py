"""Counting is sorting, only faster."""

import numpy as np
import pytest

from mito_instance.masks import histogram
from mito_instance.masks.histogram import value_counts


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, bool])
@pytest.mark.parametrize("shape", [(0, 5), (1, 1), (37, 41)], ids=str)
def test_values_and_counts_are_those_of_unique(dtype, shape):
    image = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    values, counts = value_counts(image)
    expected_values, expected_counts = np.unique(image, return_counts=True)
    assert np.array_equal(values, expected_values)
    assert np.array_equal(counts, expected_counts)


@pytest.mark.parametrize("view", [np.s_[:, ::2], np.s_[::-1], np.s_[3:9, 4:]], ids=str)
def test_views_are_counted_as_they_are(view):
    image = np.random.default_rng(0).integers(0, 255, (20, 30), dtype=np.uint8)[view]
    assert value_counts(image)[1].sum() == image.size


def test_large_images_are_counted_exactly_in_parts(monkeypatch):
    monkeypatch.setattr(histogram, "_COUNTED_AT_ONCE", 7)
    image = np.arange(100, dtype=np.uint8).reshape(10, 10) // 3
    values, counts = value_counts(image)
    assert (values.tolist(), counts.tolist()) == (list(range(34)), [3] * 33 + [1])
