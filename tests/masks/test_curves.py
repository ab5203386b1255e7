"""Bézier curves as polygons: by hand, and how far they are from the curve."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mito_instance.masks.curves import flattened


@pytest.mark.parametrize(
    ("control", "points"),
    [
        pytest.param([(0, 0), (1, 0), (2, 0)], [(2, 0)], id="straight"),
        pytest.param([(3, 3), (3, 3), (3, 3), (3, 3)], [(3, 3)], id="one-point"),
        pytest.param([(0, 0), (0.02, 0.01), (0.04, 0)], [(0.02, 0.005), (0.04, 0)], id="one-cut"),
    ],
)
def test_by_hand(control, points):
    assert flattened(control) == points


def test_a_circle_is_flat_to_a_hundredth_of_a_pixel():
    k = 400 / 3 * (math.sqrt(2) - 1)
    points = np.array([(100.0, 0.0), *flattened([(100, 0), (100, k), (k, 100), (0, 100)])])
    middles = (points[:-1] + points[1:]) / 2
    assert np.abs(np.hypot(*points.T) - 100).max() < 0.03
    assert np.hypot(*middles.T).min() > 100 - 0.01


def test_not_finite():
    with pytest.raises(ValueError, match="not a finite number"):
        flattened([(0, 0), (math.inf, 1), (2, 2)])
