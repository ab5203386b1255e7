"""Shapes: checked by hand, against ImageJ, and by what must not change."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.measure import regionprops

from mito_instance.masks import rle
from mito_instance.measure.morphology import ObjectShape, measure_object
from mito_instance.measure.outline import CORNER_PX, traced_perimeter

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "imagej_shapes.json").read_text())
MASKS = hnp.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))).filter(np.any)


def disc(radius: float, size: int) -> np.ndarray:
    y, x = np.mgrid[:size, :size] + 0.5 - size / 2
    return x**2 + y**2 <= radius**2


def in_image(mask: np.ndarray, x: int, y: int, image_hw: tuple[int, int]) -> rle.RLE:
    return rle.place(mask, x, y, image_hw)


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_every_value_is_that_of_imagej(name):
    shape = measure_object(GOLDEN[name]["rle"])
    for column, expected in GOLDEN[name]["imagej"].items():
        assert getattr(shape, column) == pytest.approx(expected, rel=2e-5, abs=1e-6), column


def test_rectangle_by_hand():
    shape = measure_object(in_image(np.ones((10, 20), bool), 30, 40, (100, 200)))
    assert (shape.bbox_x_px, shape.bbox_y_px, shape.bbox_w_px, shape.bbox_h_px) == (30, 40, 20, 10)
    assert shape.area_px == 200
    assert (shape.centroid_x_px, shape.centroid_y_px) == (40.0, 45.0)
    assert shape.perimeter_px == pytest.approx(60 - 4 * CORNER_PX)
    assert shape.form_factor == pytest.approx(shape.perimeter_px**2 / (4 * math.pi * 200))
    assert shape.circularity == pytest.approx(1 / shape.form_factor)
    assert shape.aspect_ratio == pytest.approx(2)
    assert shape.roundness == pytest.approx(0.5)
    assert shape.solidity == pytest.approx(1)
    assert shape.feret_max_px == pytest.approx(math.hypot(10, 20))
    assert shape.feret_min_px == pytest.approx(10)
    assert math.pi / 4 * shape.major_axis_px * shape.minor_axis_px == pytest.approx(200)
    assert shape.orientation_deg == 0
    assert not shape.touches_border


def test_one_pixel_by_hand():
    shape = measure_object(in_image(np.ones((1, 1), bool), 4, 7, (9, 9)))
    assert shape.area_px == 1
    assert (shape.centroid_x_px, shape.centroid_y_px) == (4.5, 7.5)
    assert shape.perimeter_px == pytest.approx(2 * math.sqrt(2))
    assert shape.circularity == 1  # 4 pi / 8 would be more: capped, as in ImageJ
    assert shape.feret_max_px == pytest.approx(math.sqrt(2))
    assert shape.major_axis_px == pytest.approx(shape.minor_axis_px)


def test_large_disc_comes_near_the_formulas():
    shape = measure_object(rle.encode(disc(100, 210)))
    assert shape.area_px == pytest.approx(math.pi * 100**2, rel=1e-3)
    assert shape.perimeter_px == pytest.approx(2 * math.pi * 100, rel=0.06)  # ImageJ: 5.5 % long
    assert shape.feret_max_px == pytest.approx(200, rel=0.01)
    assert shape.feret_min_px == pytest.approx(200, rel=0.01)
    assert shape.major_axis_px == pytest.approx(200, rel=1e-3)
    assert shape.aspect_ratio == pytest.approx(1, abs=1e-6)
    assert shape.solidity == pytest.approx(1, abs=0.01)


def test_l_shape_by_hand():
    mask = np.zeros((4, 3), dtype=bool)
    mask[:, 0] = mask[3, :] = True
    shape = measure_object(rle.encode(mask))
    assert shape.area_px == 6
    # Outline 14 px; of its 6 corners the one at the end of each unit step after a counted one
    # is left out.
    assert shape.perimeter_px == pytest.approx(14 - 4 * CORNER_PX)
    assert shape.solidity == pytest.approx(6 / 9)  # hull: 4 x 3 less a triangle of 3 x 2 / 2
    assert shape.feret_max_px == pytest.approx(5)


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        pytest.param(np.zeros((3, 3)), 0, id="empty"),
        pytest.param(np.ones((2, 2)), 8 - 4 * CORNER_PX, id="2x2"),
        pytest.param(np.ones((1, 9)), 20 - 3 * CORNER_PX, id="line-of-9"),
        pytest.param(np.eye(2), 8 - 4 * CORNER_PX, id="diagonal-is-one-part"),
        pytest.param(np.eye(2)[::-1], 8 - 4 * CORNER_PX, id="other-diagonal"),
        pytest.param(np.pad(np.zeros((1, 1)), 2, constant_values=1), 20 - 4 * CORNER_PX, id="hole"),
        pytest.param(
            np.array([[1, 1, 0, 1, 1], [1, 1, 0, 1, 1]]), 16 - 8 * CORNER_PX, id="two-parts"
        ),
        pytest.param(
            np.pad(np.pad(np.ones((1, 1)), 1), 1, constant_values=1),
            20 - 4 * CORNER_PX + 4 - 2 * CORNER_PX,
            id="island-in-a-hole",
        ),
    ],
)
def test_perimeter_by_hand(mask, expected):
    assert traced_perimeter(mask.astype(bool)) == pytest.approx(expected)


def test_hole_counts_neither_in_area_nor_in_perimeter():
    mask = disc(20, 50)
    holed = mask.copy()
    holed[20:26, 20:26] = False
    shape, full = measure_object(rle.encode(holed)), measure_object(rle.encode(mask))
    assert full.area_px - shape.area_px == 36
    assert shape.perimeter_px == full.perimeter_px
    assert shape.feret_max_px == full.feret_max_px


@pytest.mark.parametrize(
    ("x", "y", "touches"),
    [
        pytest.param(0, 3, True, id="left"),
        pytest.param(3, 0, True, id="top"),
        pytest.param(8, 3, True, id="right"),
        pytest.param(3, 8, True, id="bottom"),
        pytest.param(1, 1, False, id="one-pixel-away-top-left"),
        pytest.param(7, 7, False, id="one-pixel-away-bottom-right"),
    ],
)
def test_touching_the_border(x, y, touches):
    assert measure_object(in_image(np.ones((2, 2), bool), x, y, (10, 10))).touches_border == touches


@pytest.mark.parametrize(
    ("mask", "angle"),
    [
        pytest.param(np.ones((2, 20)), 0, id="lying"),
        pytest.param(np.ones((20, 2)), 90, id="standing"),
        pytest.param(np.eye(20), 135, id="falling-to-the-right"),
        pytest.param(np.eye(20)[::-1], 45, id="rising-to-the-right"),
        pytest.param(np.ones((5, 5)), 0, id="square-has-none"),
    ],
)
def test_orientation(mask, angle):
    assert measure_object(rle.encode(mask)).orientation_deg == pytest.approx(angle)


def test_intensity_is_that_of_the_own_pixels():
    grey = np.arange(16, dtype=np.uint16).reshape(4, 4) * 1000
    mask = np.zeros((4, 4), bool)
    mask[1, 1:3] = True
    shape = measure_object(rle.encode(mask), grey)
    assert shape.intensity_mean == 5500
    assert shape.intensity_std == pytest.approx(1000 / math.sqrt(2))


def test_intensity_leaves_out_what_is_not_finite():
    grey = np.array([[1.0, np.nan, 3.0, np.inf]], dtype=np.float32)
    shape = measure_object(rle.encode(np.ones((1, 4), bool)), grey)
    assert (shape.intensity_mean, shape.intensity_std) == (2, pytest.approx(math.sqrt(2)))
    blind = measure_object(rle.encode(np.ones((1, 4), bool)), np.full((1, 4), np.nan))
    assert math.isnan(blind.intensity_mean)


def test_intensity_of_one_pixel_has_no_spread():
    shape = measure_object(rle.encode(np.ones((1, 1), bool)), np.array([[7]], np.int16))
    assert (shape.intensity_mean, shape.intensity_std) == (7, 0)


def test_image_of_another_size_is_an_error():
    with pytest.raises(ValueError, match=r"grey image must be \(4, 4\).*got \(4, 5\)"):
        measure_object(rle.encode(np.ones((4, 4), bool)), np.zeros((4, 5)))


def test_empty_mask():
    shape = measure_object(rle.encode(np.zeros((4, 4), bool)), np.zeros((4, 4)))
    assert (shape.area_px, shape.perimeter_px, shape.touches_border) == (0, 0, False)
    assert math.isnan(shape.circularity)
    assert math.isnan(shape.intensity_mean)
    assert isinstance(shape, ObjectShape)


@given(mask=MASKS, x=st.integers(0, 20), y=st.integers(0, 20))
def test_position_changes_position_alone(mask, x, y):
    here = measure_object(in_image(mask, 0, 0, (40, 40)))
    there = measure_object(in_image(mask, x, y, (40, 40)))
    assert there.centroid_x_px - here.centroid_x_px == pytest.approx(x)
    assert there.centroid_y_px - here.centroid_y_px == pytest.approx(y)
    for name in ("area_px", "perimeter_px", "solidity", "feret_min_px", "major_axis_px"):
        assert getattr(there, name) == pytest.approx(getattr(here, name))


@given(mask=MASKS)
def test_values_stay_in_their_range(mask):
    shape = measure_object(rle.encode(mask))
    assert 0 < shape.circularity <= 1
    assert 0 < shape.solidity <= 1 + 1e-9
    assert 0 < shape.roundness <= 1 + 1e-9
    assert shape.aspect_ratio >= 1
    assert 0 < shape.feret_min_px <= shape.feret_max_px + 1e-9
    assert 0 <= shape.orientation_deg < 180
    assert shape.roundness == pytest.approx(1 / shape.aspect_ratio)


@given(mask=MASKS)
def test_moments_are_those_of_regionprops(mask):
    shape = measure_object(rle.encode(mask))
    (region,) = regionprops(mask.astype(np.uint8))
    assert shape.centroid_y_px == pytest.approx(region.centroid[0] + 0.5)
    assert shape.centroid_x_px == pytest.approx(region.centroid[1] + 0.5)
    # regionprops takes pixels for points; a square pixel adds its own second moment.
    major, minor = ((axis / 4) ** 2 + 1 / 12 for axis in region_axes(region))
    assert shape.aspect_ratio == pytest.approx(math.sqrt(major / minor), rel=1e-6)


def region_axes(region) -> tuple[float, float]:
    return region.axis_major_length, region.axis_minor_length


@pytest.mark.parametrize("seed", range(20))
def test_orientations_are_below_180_degrees(seed):
    """Objects with the x axis as their axis of symmetry: rounding must not turn 0 into 180."""
    rng = np.random.default_rng(seed)
    half, width = int(rng.integers(1, 12)), int(rng.integers(13, 60))
    mask = np.zeros((2 * half + 1, width), bool)
    mask[half] = True
    for row, length in enumerate(np.sort(rng.integers(1, width, half))[::-1], start=1):
        mask[[half - row, half + row], :length] = True
    angle = measure_object(rle.place(mask, 3, 3, (100, 100))).orientation_deg
    assert angle < 180
    assert min(angle, 180 - angle) < 1e-3
    assert format(angle, ".6g") != "180"
