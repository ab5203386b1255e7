"""Outlines along pixel edges: corners by hand, and the way back to the mask."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mito_instance.masks import rle
from mito_instance.masks.contours import outlines, rle_outlines
from mito_instance.masks.polygons import fill

MASKS = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=14))


def mask_of(*rows):
    return np.array([[char == "#" for char in row] for row in rows])


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param(["."], [], id="empty"),
        pytest.param(["#"], [([[0, 0], [1, 0], [1, 1], [0, 1]], False)], id="one-pixel"),
        pytest.param(["###"], [([[0, 0], [3, 0], [3, 1], [0, 1]], False)], id="corners-only"),
        pytest.param(
            ["###", "#.#", "###"],
            [
                ([[0, 0], [3, 0], [3, 3], [0, 3]], False),
                ([[2, 1], [1, 1], [1, 2], [2, 2]], True),
            ],
            id="hole",
        ),
    ],
)
def test_outlines(rows, expected):
    found = outlines(mask_of(*rows))
    assert [(item.corners_xy.tolist(), item.is_hole) for item in found] == expected


@pytest.mark.parametrize(
    ("connectivity", "n_outer", "n_holes"),
    [pytest.param(8, 1, 1, id="8-connected"), pytest.param(4, 6, 0, id="4-connected")],
)
def test_pixels_that_touch_at_corners(connectivity, n_outer, n_holes):
    found = outlines(mask_of(".#.", "#.#", ".#.", "#.#"), (0, 0), connectivity)
    holes = [item.is_hole for item in found]
    assert (holes.count(False), holes.count(True)) == (n_outer, n_holes)


def test_outlines_are_in_the_coordinates_of_the_image():
    mask = rle.place(np.ones((2, 3)), 5, 7, (20, 30))
    (found,) = rle_outlines(mask)
    assert found.corners_xy.tolist() == [[5, 7], [8, 7], [8, 9], [5, 9]]
    assert rle_outlines(rle.encode(np.zeros((4, 4)))) == []


@settings(deadline=None, max_examples=300)
@given(MASKS, st.sampled_from([4, 8]), st.integers(-5, 5), st.integers(-5, 5))
def test_filling_the_outlines_gives_the_mask_back(mask, connectivity, x, y):
    found = outlines(mask, (x, y), connectivity)
    rings = [item.corners_xy.astype(np.float64) for item in found]
    height, width = mask.shape
    assert (fill(rings, (x, y, width, height)) == mask).all()
    assert fill(rings, (x - 3, y - 3, width + 6, height + 6)).sum() == mask.sum()


@settings(deadline=None, max_examples=100)
@given(MASKS, st.sampled_from([4, 8]))
def test_outlines_count_parts_and_holes(mask, connectivity):
    import cv2

    padded = np.pad(mask, 1).astype(np.uint8)
    n_parts = cv2.connectedComponents(padded, connectivity=connectivity)[0] - 1
    n_holes = cv2.connectedComponents(1 - padded, connectivity=12 - connectivity)[0] - 2
    holes = [item.is_hole for item in outlines(mask, (0, 0), connectivity)]
    assert (holes.count(False), holes.count(True)) == (n_parts, max(n_holes, 0))
