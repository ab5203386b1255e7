import numpy as np
import pytest

pytest.importorskip("detectron2")

import cv2

from mito_instance.detection.augment import (
    CentreCropTransform,
    RandomOrientation,
    RandomWarp,
    WarpTransform,
    crop_margin_px,
    resize_mask,
)
from mito_instance.detection.config import load_config
from mito_instance.io.resizing import resize_image


@pytest.fixture
def mask():
    """A bean of 120 × 150 px, away from the border."""
    drawn = np.zeros((120, 150), dtype=np.uint8)
    cv2.ellipse(drawn, (70, 60), (40, 18), 25, 0, 360, 1, -1)
    cv2.circle(drawn, (100, 70), 12, 0, -1)
    return drawn


def elastic(seed, strength=4.0, image_hw=(120, 150)):
    image = np.zeros(image_hw, dtype=np.uint8)
    rng = np.random.default_rng(seed)
    return RandomWarp(rng, 10.0, strength, 16.0, 1.0, 150).get_transform(image)


def no_displacement(image_hw):
    return np.zeros((*image_hw, 2), dtype=np.float32)


def test_no_turn_and_no_displacement_change_nothing(mask):
    image = np.random.default_rng(0).integers(0, 256, mask.shape, dtype=np.uint8)
    transform = WarpTransform(0.0, no_displacement(mask.shape), mask.shape)
    np.testing.assert_array_equal(transform.apply_image(image), image)
    np.testing.assert_array_equal(transform.apply_segmentation(mask), mask)
    corners = np.array([[0.0, 0.0], [150.0, 120.0], [33.5, 7.25]])
    np.testing.assert_allclose(transform.apply_coords(corners), corners, atol=1e-4)


def test_strength_zero_changes_nothing():
    warp = RandomWarp(np.random.default_rng(0), 0.0, 0.0, 64.0, 1.0, 5)
    image = np.arange(25, dtype=np.uint8).reshape(5, 5)
    np.testing.assert_array_equal(warp.get_transform(image).apply_image(image), image)


def test_the_result_is_the_middle_of_the_image(mask):
    whole = WarpTransform(12.0, no_displacement(mask.shape), mask.shape)
    middle = WarpTransform(12.0, no_displacement((80, 100)), mask.shape)
    image = np.random.default_rng(0).integers(0, 256, mask.shape, dtype=np.uint8)
    np.testing.assert_array_equal(
        middle.apply_image(image), whole.apply_image(image)[20:100, 25:125]
    )
    corner = np.array([[60.0, 50.0]])
    np.testing.assert_allclose(
        middle.apply_coords(corner) + np.array([25, 20]), whole.apply_coords(corner), atol=1e-6
    )


def test_with_the_margin_a_turn_shows_nothing_from_beyond_the_image(light_config):
    cfg = load_config(
        light_config, ["MODEL.DEVICE", "cpu", "MITO.AUGMENT.ROTATION_DEG", "20.0",
                       "MITO.AUGMENT.ELASTIC_PX", "6.0", "MITO.AUGMENT.CROP_PX", "64"]
    )  # fmt: skip
    edge = 64 + 2 * crop_margin_px(cfg)
    white = np.full((edge, edge), 255, dtype=np.uint8)
    for seed in range(20):
        warp = RandomWarp(np.random.default_rng(seed), 20.0, 6.0, 64.0, 1.0, 64)
        warped = warp.get_transform(white).apply_segmentation(white // 255)
        assert warped.shape == (64, 64)
        assert warped.all()


def test_a_shift_by_whole_pixels_is_exact(mask):
    displacement = no_displacement(mask.shape)
    displacement[..., 0], displacement[..., 1] = 5, -3
    warped = WarpTransform(0.0, displacement, mask.shape).apply_segmentation(mask)
    np.testing.assert_array_equal(warped[3:, :-5], mask[:-3, 5:])


def test_a_turn_is_counter_clockwise():
    image = np.zeros((41, 41), dtype=np.uint8)
    image[18:23, 30:35] = 1
    turned = WarpTransform(45.0, no_displacement(image.shape), image.shape).apply_segmentation(
        image
    )
    rows, columns = np.nonzero(turned)
    # 12 px to the right of the centre become 12/√2 px to the right and up.
    assert columns.mean() - 20 == pytest.approx(12 / np.sqrt(2), abs=0.3)
    assert 20 - rows.mean() == pytest.approx(12 / np.sqrt(2), abs=0.3)


@pytest.mark.parametrize("seed", range(6))
def test_a_warped_mask_is_the_warped_image_of_it_cut_at_half(mask, seed):
    transform = elastic(seed)
    image = mask * np.uint8(255)
    everywhere = (slice(None), slice(None))
    linear = transform._sample(mask * np.uint8(254), everywhere, cv2.INTER_LINEAR, 0.0)
    warped = transform.apply_segmentation(mask)
    np.testing.assert_array_equal(warped, linear >= 128)
    # The network's image is sampled with a sharper kernel; both agree but for pixels near half.
    sharp = transform.apply_image(image).astype(int)
    clear = np.abs(sharp - 127.5) > 30
    assert clear[warped > 0].mean() > 0.9
    np.testing.assert_array_equal(warped[clear], sharp[clear] >= 128)


@pytest.mark.parametrize("seed", range(6))
def test_warping_neither_gains_nor_loses_area(mask, seed):
    transform = elastic(seed)
    inside = transform.apply_segmentation(np.ones_like(mask))
    both = transform.apply_segmentation(mask) + transform.apply_segmentation(1 - mask)
    assert both.max() == 1
    # All but pixels that are shared by exact halves, and those on the border, are in one.
    assert both.sum() >= inside.sum() - 5


def test_a_turn_keeps_the_area(mask):
    areas = [
        int(
            WarpTransform(angle, no_displacement(mask.shape), mask.shape)
            .apply_segmentation(mask)
            .sum()
        )
        for angle in np.linspace(-15, 15, 21)
    ]
    assert np.mean(areas) == pytest.approx(mask.sum(), rel=0.002)


@pytest.mark.parametrize("seed", range(4))
def test_disjoint_masks_stay_disjoint(seed):
    transform = elastic(seed)
    left = np.zeros((120, 150), dtype=np.uint8)
    left[30:90, 20:75] = 1
    right = np.zeros_like(left)
    right[30:90, 75:130] = 1
    both = transform.apply_segmentation(left) + transform.apply_segmentation(right)
    assert both.max() == 1


@pytest.mark.parametrize("seed", range(4))
def test_coordinates_follow_the_pixels(seed):
    transform = elastic(seed)
    corners = np.array([[40.5, 40.5], [75.5, 60.5], [110.5, 85.5]])
    for (x, y), (new_x, new_y) in zip(corners, transform.apply_coords(corners), strict=True):
        dot = np.zeros((120, 150), dtype=np.uint8)
        dot[int(y) - 4 : int(y) + 5, int(x) - 4 : int(x) + 5] = 1
        rows, columns = np.nonzero(transform.apply_segmentation(dot))
        assert columns.mean() + 0.5 == pytest.approx(new_x, abs=0.5)
        assert rows.mean() + 0.5 == pytest.approx(new_y, abs=0.5)


def test_the_deformation_stays_within_its_strength_and_folds_nowhere():
    for seed in range(20):
        transform = elastic(seed, strength=4.0)
        moved = transform.displacement_xy
        assert np.abs(moved).max() <= 4.0
        x = np.gradient(moved, axis=1)
        y = np.gradient(moved, axis=0)
        determinant = (1 + x[..., 0]) * (1 + y[..., 1]) - x[..., 1] * y[..., 0]
        assert determinant.min() > 0


def test_a_warp_of_an_empty_mask_is_empty(mask):
    assert not elastic(1).apply_segmentation(np.zeros_like(mask)).any()


def test_the_centre_crop_cuts_image_and_coordinates_alike():
    image = np.arange(100, dtype=np.uint8).reshape(10, 10)
    transform = CentreCropTransform(4, (10, 10))
    np.testing.assert_array_equal(transform.apply_image(image), image[3:7, 3:7])
    np.testing.assert_array_equal(transform.apply_coords(np.array([[3.0, 3.0]])), [[0.0, 0.0]])
    assert CentreCropTransform(20, (10, 10)).apply_image(image).shape == (10, 10)


def test_without_quarter_turns_the_axes_stay():
    rng = np.random.default_rng(0)
    image = np.arange(6, dtype=np.uint8).reshape(2, 3)
    seen = {
        RandomOrientation(rng, quarter_turns=False)
        .get_transform(image)
        .apply_image(image)
        .tobytes()
        for _ in range(100)
    }
    assert seen == {
        np.ascontiguousarray(image[::y, ::x]).tobytes() for y in (1, -1) for x in (1, -1)
    }


@pytest.mark.parametrize("size", [(75, 60), (150, 120), (300, 240), (77, 61)])
def test_a_resized_mask_is_the_resized_image_of_it_cut_at_half(mask, size):
    resized = resize_mask(mask, size)
    np.testing.assert_array_equal(resized, resize_image(mask * np.uint8(254), size) >= 128)
    scale = size[0] * size[1] / mask.size
    # Pixels that are covered by exactly a half, frequent at half the size, belong to no mask.
    assert resized.sum() == pytest.approx(mask.sum() * scale, rel=0.035)


@pytest.mark.parametrize("zoom", [0.5, 0.75, 1.5, 2.5])
def test_disjoint_masks_stay_disjoint_when_they_are_resized(zoom):
    left = np.random.default_rng(0).integers(0, 2, (80, 120), dtype=np.uint8)
    left = cv2.medianBlur(left, 7)
    size = (round(120 * zoom), round(80 * zoom))
    both = resize_mask(left, size) + resize_mask(1 - left, size)
    assert both.max() == 1
