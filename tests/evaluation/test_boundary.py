"""Outlines of foregrounds."""

import cv2
import numpy as np
import pytest

from mito_instance.evaluation import boundary
from mito_instance.evaluation.boundary import BoundaryCounts, count_boundaries
from mito_instance.masks import rle

HW = (20, 30)


def square(x, y, width=5, height=5):
    return rle.place(np.ones((height, width), dtype=bool), x, y, HW)


EMPTY = rle.union([], HW)


@pytest.mark.parametrize(
    ("truth", "pred", "expected"),
    [
        pytest.param(square(5, 5), square(5, 5), BoundaryCounts(16, 16, 16, 16), id="equal"),
        pytest.param(square(5, 5), square(7, 5), BoundaryCounts(16, 16, 16, 16), id="2-px-off"),
        # Of the shifted outline, only the left column and the nearest parts are within 2 px.
        pytest.param(square(5, 5), square(15, 5), BoundaryCounts(0, 16, 0, 16), id="far"),
        pytest.param(square(5, 5), EMPTY, BoundaryCounts(0, 0, 0, 16), id="no-prediction"),
        pytest.param(EMPTY, square(5, 5), BoundaryCounts(0, 16, 0, 0), id="no-truth"),
        pytest.param(EMPTY, EMPTY, BoundaryCounts(), id="empty"),
    ],
)
def test_counts(truth, pred, expected):
    assert count_boundaries(truth, pred) == expected


def test_the_edge_of_the_image_is_no_outline():
    # The 5 x 5 square in the corner has only its right and lower sides: 5 + 5 - 1.
    counts = count_boundaries(square(0, 0), square(0, 0))
    assert counts.n_true == 9


def test_tolerance_is_the_largest_distance_that_counts():
    truth, pred = square(5, 5, 1, 1), square(8, 9, 1, 1)  # 5 px apart
    assert count_boundaries(truth, pred, 5.0).near_true == 1
    assert count_boundaries(truth, pred, 4.9).near_true == 0


def test_holes_have_outlines():
    ring = np.ones((7, 7), dtype=bool)
    ring[3, 3] = False
    mask = rle.place(ring, 4, 4, HW)
    assert count_boundaries(mask, mask).n_true == 24 + 4


def test_only_the_outline_inside_the_region_counts():
    counts = count_boundaries(square(5, 5), square(5, 5), within=square(0, 0, 6, 20))
    assert counts.n_true == counts.n_pred == 5


@pytest.mark.parametrize("strip_px", [1, 300, 1000])
def test_strips_change_nothing(monkeypatch, strip_px):
    rng = np.random.default_rng(0)
    first, second = (
        cv2.dilate((rng.random((40, 90)) > 0.98).astype(np.uint8), np.ones((5, 7))).astype(bool)
        for _ in range(2)
    )
    args = rle.encode(first), rle.encode(second), 3.0, rle.encode(rng.random((40, 90)) > 0.3)
    whole = count_boundaries(*args)
    monkeypatch.setattr(boundary, "_STRIP_PX", strip_px)
    assert count_boundaries(*args) == whole
