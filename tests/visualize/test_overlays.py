"""Overlays: outlines on the border and nowhere else, numbers, scale bar."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mito_instance.calibration import PixelSize
from mito_instance.errors import ImageError
from mito_instance.instances import ImageInstances
from mito_instance.masks import rle
from mito_instance.visualize.overlays import draw_overlay, is_overlay, scale_bar_nm, write_overlay

IMAGE_HW = (120, 160)


def block(top: int, left: int, height: int, width: int) -> np.ndarray:
    mask = np.zeros(IMAGE_HW, dtype=bool)
    mask[top : top + height, left : left + width] = True
    return mask


def instances_of(*masks: np.ndarray, nm: float | None = None) -> ImageInstances:
    return ImageInstances(
        "a.png",
        IMAGE_HW,
        tuple(rle.encode(mask) for mask in masks),
        pixel_size=None if nm is None else PixelSize(nm, "user"),
    )


def coloured(picture: np.ndarray) -> np.ndarray:
    return picture.max(axis=2) != picture.min(axis=2)


@pytest.fixture
def grey() -> np.ndarray:
    return np.full(IMAGE_HW, 130, dtype=np.uint8)


def test_no_instances_give_the_plain_picture(grey):
    picture = draw_overlay(grey, instances_of())
    np.testing.assert_array_equal(picture, np.repeat(grey[:, :, None], 3, axis=2))


@pytest.mark.parametrize(
    "mask",
    [
        pytest.param(block(20, 30, 40, 50), id="inside"),
        pytest.param(block(0, 0, 30, 40), id="corner"),
        pytest.param(block(0, 0, *IMAGE_HW), id="whole-image"),
        pytest.param(block(10, 10, 1, 1), id="one-pixel"),
        pytest.param(block(20, 30, 40, 50) & ~block(30, 40, 10, 10), id="hole"),
    ],
)
def test_colour_lies_exactly_on_the_inner_border(grey, mask):
    picture = draw_overlay(grey, instances_of(mask), show_ids=False)
    kernel = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    core = cv2.erode(np.pad(mask.astype(np.uint8), 1), kernel)[1:-1, 1:-1] > 0
    np.testing.assert_array_equal(coloured(picture), mask & ~core)
    assert (picture[core] == 130).all()


def test_halo_is_one_pixel_wide_and_dark(grey):
    mask = block(20, 30, 40, 50)
    picture = draw_overlay(grey, instances_of(mask), show_ids=False)
    changed = (picture != 130).any(axis=2)
    around = cv2.dilate(mask.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)))
    np.testing.assert_array_equal(changed & ~mask, (around > 0) & ~mask)
    assert picture[(around > 0) & ~mask].max() < 70


def test_touching_neighbours_keep_both_outlines_in_different_colours(grey):
    first, second = block(20, 30, 40, 50), block(20, 80, 40, 50)
    picture = draw_overlay(grey, instances_of(first, second), show_ids=False)
    assert coloured(picture)[30, 79]
    assert coloured(picture)[30, 80]
    assert (picture[30, 79] != picture[30, 80]).any()


def test_many_neighbours_of_one_object_differ_from_it(grey):
    masks = [block(10 + 20 * (k // 7), 5 + 20 * (k % 7), 15, 15) for k in range(28)]
    picture = draw_overlay(grey, instances_of(*masks), show_ids=False)
    for k in range(27):
        if k % 7 != 6:
            y, x = 10 + 20 * (k // 7), 5 + 20 * (k % 7)
            assert (picture[y, x] != picture[y, x + 20]).any()


def test_numbers_are_written_inside_large_and_beside_small_objects(grey):
    large, small = block(20, 20, 60, 60), block(60, 120, 4, 4)
    plain = draw_overlay(grey, instances_of(large, small), show_ids=False)
    picture = draw_overlay(grey, instances_of(large, small))
    text = (picture != plain).any(axis=2)
    assert text[large].any()
    assert not text[small].any()
    assert text[40:60, 110:135].any()


def test_an_empty_mask_keeps_its_number_without_a_mark(grey):
    empty = np.zeros(IMAGE_HW, dtype=bool)
    picture = draw_overlay(grey, instances_of(empty))
    assert (picture == 130).all()


def test_scale_bar_only_when_the_pixel_size_is_known(grey):
    assert (draw_overlay(grey, instances_of()) == 130).all()
    picture = draw_overlay(grey, instances_of(nm=10.0))
    bar = (picture == 255).all(axis=2)
    assert bar.sum(axis=1).max() == 20  # 200 nm of 10 nm pixels
    assert not bar[:80].any()


def test_scale_bar_moves_to_the_emptier_corner(grey):
    picture = draw_overlay(grey, instances_of(block(100, 120, 10, 20), nm=10.0), show_ids=False)
    bar = (picture == 255).all(axis=2)
    assert bar[:, :80].any()
    assert not bar[:, 80:].any()


@pytest.mark.parametrize(
    ("width_px", "nm", "expected_nm"),
    [
        pytest.param(1024, 5.0, 1000.0, id="um"),
        pytest.param(160, 10.0, 200.0, id="nm"),
        pytest.param(500, 10.0, 1000.0, id="exactly-a-fifth"),
        pytest.param(4864, 2.0, 1000.0, id="large"),
        pytest.param(3000, 0.001, 0.5, id="below-one-nm"),
    ],
)
def test_scale_bar_length_is_round(width_px, nm, expected_nm):
    assert scale_bar_nm(width_px, PixelSize(nm, "user")) == pytest.approx(expected_nm)


@pytest.mark.parametrize("image_hw", [(1, 1), (3, 200), (40, 12)])
def test_tiny_pictures_keep_their_size(image_hw):
    mask = np.ones(image_hw, dtype=bool)
    made = ImageInstances("a", image_hw, (rle.encode(mask),), pixel_size=PixelSize(5.0, "user"))
    assert draw_overlay(np.zeros(image_hw, dtype=np.uint8), made).shape == (*image_hw, 3)


def test_other_sizes_and_types_are_refused(grey):
    with pytest.raises(ImageError, match=r"image is \(119, 160\).*for \(120, 160\)"):
        draw_overlay(grey[1:], instances_of())
    with pytest.raises(ImageError, match="grey uint8"):
        draw_overlay(grey.astype(np.uint16), instances_of())


def test_the_image_is_not_changed(grey):
    before = grey.copy()
    draw_overlay(grey, instances_of(block(20, 30, 40, 50), nm=5.0))
    np.testing.assert_array_equal(grey, before)


def test_written_png_is_the_overlay_in_rgb(tmp_path, grey):
    made = instances_of(block(20, 30, 40, 50))
    write_overlay(tmp_path / "deep" / "a.png", grey, made)
    written = cv2.imread(str(tmp_path / "deep" / "a.png"), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(written[:, :, ::-1], draw_overlay(grey, made))
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.png"]


def test_a_scale_bar_for_every_width(grey):
    for width_px in range(64, 3000):
        for field_nm in (5_000, 50_000):
            length = scale_bar_nm(width_px, PixelSize(field_nm / width_px, "user"))
            assert length in (1_000, 10_000)


def test_an_overlay_is_known_as_one(tmp_path, grey):
    write_overlay(tmp_path / "a.png", grey, instances_of())
    assert is_overlay(tmp_path / "a.png")
    cv2.imwrite(str(tmp_path / "b.png"), grey)
    assert not is_overlay(tmp_path / "b.png")
    assert not is_overlay(tmp_path / "absent.png")
