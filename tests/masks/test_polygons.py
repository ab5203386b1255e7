"""Polygons to pixels: ImageJ's rule, even-odd, clipping, and a brute-force oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mito_instance.errors import AnnotationError
from mito_instance.masks import rle
from mito_instance.masks.polygons import (
    ellipse_outline,
    fill,
    rasterise,
    rectangle_outline,
    rounded_rectangle_outline,
)


def ring(*points):
    return np.array(points, dtype=np.float64)


def rows(mask):
    return ["".join("#" if pixel else "." for pixel in row) for row in mask]


@pytest.mark.parametrize(
    ("rings", "expected"),
    [
        pytest.param([rectangle_outline(1, 0, 2, 3)], [".##.", ".##.", ".##."], id="rectangle"),
        pytest.param(
            [ring((0, 0), (3, 0), (3, 3))], [".##.", "..#.", "...."], id="left-edge-is-outside"
        ),
        pytest.param(
            [ring((0, 0), (0, 3), (3, 3))], ["#...", "##..", "###."], id="right-edge-is-inside"
        ),
        pytest.param(
            [ring((0.5, 0.5), (2.5, 0.5), (2.5, 2.5), (0.5, 2.5))],
            ["....", ".##.", ".##."],
            id="upper-and-left-centres-out-lower-and-right-in",
        ),
        pytest.param(
            [rectangle_outline(0, 0, 4, 3), rectangle_outline(1, 1, 1, 1)],
            ["####", "#.##", "####"],
            id="ring-in-ring-is-a-hole",
        ),
        pytest.param(
            [rectangle_outline(0, 0, 1, 1), rectangle_outline(3, 2, 1, 1)],
            ["#...", "....", "...#"],
            id="two-parts",
        ),
        pytest.param(
            [ring((0, 0), (4, 0), (4, 1), (0, 1), (0, 0), (4, 0), (4, 1), (0, 1))],
            ["....", "....", "...."],
            id="twice-around-cancels-even-odd",
        ),
        pytest.param([], ["....", "....", "...."], id="no-ring"),
    ],
)
def test_fill(rings, expected):
    assert rows(fill(rings, (0, 0, 4, 3))) == expected


def test_fill_does_not_depend_on_where_the_box_lies():
    triangle = ring((10.25, 20.5), (19.5, 23.75), (12.0, 29.0))
    whole = fill([triangle], (0, 0, 32, 32))
    assert (fill([triangle], (9, 19, 12, 12)) == whole[19:31, 9:21]).all()
    assert (fill([triangle], (14, 22, 3, 4)) == whole[22:26, 14:17]).all()


def test_many_crossings_are_done_in_parts(monkeypatch):
    zigzag = ring(*((x, 0 if x % 2 else 40) for x in range(30)), (29, 41), (0, 41))
    whole = fill([zigzag], (0, 0, 30, 42))
    monkeypatch.setattr("mito_instance.masks.polygons._CROSSINGS_AT_ONCE", 50)
    assert (fill([zigzag], (0, 0, 30, 42)) == whole).all()


def inside_even_odd(x, y, points):
    """Even-odd rule in exact integers: is the centre (x + 1/2, y + 1/2) inside, and on no edge."""
    crossings = 0
    on_edge = False
    for (x1, y1), (x2, y2) in zip(points, points[1:] + points[:1], strict=True):
        ax, ay, bx, by = 2 * x1, 2 * y1, 2 * x2, 2 * y2
        px, py = 2 * x + 1, 2 * y + 1
        if (ay > py) == (by > py):
            continue
        cross = (px - ax) * (by - ay) - (bx - ax) * (py - ay)
        on_edge |= cross == 0
        if (cross > 0) == (by > ay):
            crossings += 1
    return crossings % 2 == 1, on_edge


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 12), st.integers(-3, 12)), min_size=3, max_size=9))
def test_integer_polygons_equal_a_brute_force_oracle(points):
    mask = fill([ring(*points)], (0, 0, 9, 9))
    for y in range(9):
        for x in range(9):
            expected, on_edge = inside_even_odd(x, y, points)
            assert on_edge or mask[y, x] == expected


@settings(deadline=None)
@given(st.integers(-5, 12), st.integers(-5, 12), st.integers(1, 12), st.integers(1, 12))
def test_rectangles_are_cut_at_the_border(x, y, width, height):
    image_hw = (8, 10)
    expected = np.zeros(image_hw, dtype=bool)
    expected[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)] = True
    if not expected.any():
        with pytest.raises(AnnotationError, match="lies outside its image"):
            rasterise([rectangle_outline(x, y, width, height)], image_hw, "a.roi")
        return
    raster = rasterise([rectangle_outline(x, y, width, height)], image_hw, "a.roi")
    assert (rle.decode(raster.rle) == expected).all()
    assert raster.is_clipped == (expected.sum() < width * height)


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 60))
def test_ellipse_outline_holds_the_centres_in_the_ellipse(width, height):
    y, x = np.mgrid[:height, :width]
    half_width, half_height = width / 2, height / 2
    across = (x - (half_width - 0.5)) ** 2 / half_width**2
    down = (y - (half_height - 0.5)) ** 2 / half_height**2
    expected = across + down <= 1.0
    outline = ellipse_outline(5, 7, width, height)
    assert (fill([outline], (5, 7, width, height)) == expected).all()


def test_rounded_rectangle_loses_only_its_corners():
    mask = fill([rounded_rectangle_outline(0, 0, 12, 8, 6)], (0, 0, 12, 8))
    assert rows(mask)[0] == ".##########."
    assert mask[3].all()
    square = fill([rounded_rectangle_outline(0, 0, 12, 8, 0)], (0, 0, 12, 8))
    assert square.all()


@pytest.mark.parametrize(
    ("rings", "message"),
    [
        pytest.param([], "at least 3 vertices, got 0", id="no-ring"),
        pytest.param([ring((0, 0), (5, 5))], "at least 3 vertices, got 2", id="two-vertices"),
        pytest.param([ring((0, 0), (np.nan, 1), (2, 2))], "not a finite number", id="nan"),
        pytest.param([ring((0, 0), (np.inf, 1), (2, 2))], "not a finite number", id="infinite"),
        pytest.param([ring((1, 1), (5, 1), (3, 1))], "covers no pixel centre", id="zero-area"),
        pytest.param(
            [rectangle_outline(20, 3, 4, 4)],
            r"^a\.zip: b\.roi: lies outside its image \(x 20 to 24, y 3 to 7 px, but the image is "
            r"10 x 8 px\); check that this outline belongs to this image$",
            id="outside",
        ),
        pytest.param([rectangle_outline(-9, 3, 9, 4)], "lies outside", id="left-of-the-image"),
        pytest.param([rectangle_outline(1e30, 0, 1e30, 4)], "lies outside", id="huge"),
    ],
)
def test_what_cannot_be_filled_is_refused(rings, message):
    with pytest.raises(AnnotationError, match=message):
        rasterise(rings, (8, 10), "a.zip: b.roi")


def test_huge_coordinates_around_the_image_cost_nothing():
    raster = rasterise([rectangle_outline(-1e30, -1e30, 2e30, 2e30)], (8, 10), "a.roi")
    assert rle.area_px(raster.rle) == 80
    assert raster.is_clipped


def test_an_outline_of_endless_zigzag_is_refused():
    y = np.tile([0.0, 4000.0], 10_000)
    ring = np.stack([np.linspace(0, 4000, len(y)), y], axis=1)
    with pytest.raises(AnnotationError, match=r"crosses 8.* rows of pixels, at most 20,000,000"):
        rasterise([ring], (4000, 4000), "a.roi")
