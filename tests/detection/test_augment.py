import numpy as np
import pytest

pytest.importorskip("detectron2")
from detectron2.data import transforms as T

from mito_instance.detection.augment import (
    OrientationTransform,
    RandomBlur,
    RandomClahe,
    RandomGreyLevels,
    RandomIllumination,
    RandomNoise,
    RandomOrientation,
    RandomShotNoise,
    build_augmentations,
    log_uniform,
)
from mito_instance.detection.augment.grey import GreyTransform
from mito_instance.detection.config import load_config


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_an_orientation_moves_pixels_and_coordinates_alike(turns, flip):
    image = np.arange(12).reshape(3, 4)
    transform = OrientationTransform(turns, flip, (3, 4))
    moved = transform.apply_image(image)
    for y in range(3):
        for x in range(4):
            ((new_x, new_y),) = transform.apply_coords(np.array([[x + 0.5, y + 0.5]]))
            assert moved[int(new_y), int(new_x)] == image[y, x]


def test_all_eight_orientations_occur():
    rng = np.random.default_rng(0)
    image = np.arange(9, dtype=np.uint8).reshape(3, 3)
    seen = {
        RandomOrientation(rng).get_transform(image).apply_image(image).tobytes() for _ in range(200)
    }
    assert len(seen) == 8


def test_grey_levels_do_not_touch_masks_and_stay_in_range():
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (20, 20), dtype=np.uint8)
    mask = (image > 128).astype(np.uint8)
    for augmentation in (
        RandomGreyLevels(rng, (3.0, 3.0), (0.3, 0.3), (0.5, 0.5)),
        RandomNoise(rng, 200.0, 1.0),
        RandomBlur(rng, 2.0, 1.0),
        RandomShotNoise(rng, 5.0, 1.0),
        RandomIllumination(rng, 0.5, 1.0),
        RandomClahe(rng, 4.0, 1.0),
    ):
        transform = augmentation.get_transform(image)
        changed = transform.apply_image(image)
        assert changed.dtype == np.uint8
        assert changed.shape == image.shape
        assert (changed != image).any()
        np.testing.assert_array_equal(transform.apply_segmentation(mask), mask)


def test_brightness_alone_is_a_shift():
    image = np.full((4, 4), 100, dtype=np.uint8)
    augmentation = RandomGreyLevels(np.random.default_rng(0), (1, 1), (0.2, 0.2), (1, 1))
    np.testing.assert_array_equal(augmentation.get_transform(image).apply_image(image), 151)


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_grey_levels_change_as_often_as_asked(probability):
    image = np.full((4, 4), 100, dtype=np.uint8)
    augmentation = RandomGreyLevels(
        np.random.default_rng(0), (1, 1), (0.2, 0.2), (1, 1), probability
    )
    changed = [
        (augmentation.get_transform(image).apply_image(image) != image).all() for _ in range(1000)
    ]
    assert np.mean(changed) == pytest.approx(probability, abs=0.05)


def test_the_config_says_how_often_grey_levels_change(light_config):
    overrides = ["MITO.AUGMENT.GREY_PROBABILITY", "0.25"]
    steps = build_augmentations(load_config(light_config, overrides), np.random.default_rng(0))
    (grey,) = [step for step in steps.augs if isinstance(step, RandomGreyLevels)]
    assert grey.probability == 0.25


@pytest.mark.parametrize(
    "augmentation", [RandomBlur, RandomNoise, RandomShotNoise, RandomIllumination, RandomClahe]
)
def test_strength_zero_does_nothing(augmentation):
    transform = augmentation(np.random.default_rng(0), 0.0, 1.0).get_transform(np.zeros((2, 2)))
    assert isinstance(transform, T.NoOpTransform)


def test_log_uniform_is_symmetric_around_one():
    rng = np.random.default_rng(0)
    values = np.array([log_uniform(rng, (0.5, 2.0)) for _ in range(4000)])
    assert values.min() >= 0.5
    assert values.max() <= 2.0
    assert np.median(values) == pytest.approx(1.0, abs=0.05)


def test_shot_noise_has_the_variance_of_counting():
    image = np.full((300, 300), 128, dtype=np.uint8)
    transform = RandomShotNoise(np.random.default_rng(2), 50.0, 1.0).get_transform(image)
    noisy = transform.change(image.astype(np.float32))
    assert noisy.mean() == pytest.approx(128, abs=0.5)
    # variance = grey x 255 / electrons at white, of which there are 50 to 400
    assert 50 <= 128 * 255 / noisy.var() <= 410
    assert transform.change(np.zeros((9, 9), dtype=np.float32)).max() == 0


def test_illumination_changes_slowly_and_keeps_the_mean():
    image = np.full((100, 120), 128, dtype=np.uint8)
    for seed in range(10):
        augmentation = RandomIllumination(np.random.default_rng(seed), 0.2, 1.0)
        change = augmentation.get_transform(image).change(image.astype(np.float32)) - 128
        assert change.mean() == pytest.approx(0, abs=0.01)
        assert np.abs(change).max() <= 0.2 * 255 + 0.01
        assert np.abs(np.diff(change, axis=1)).max() < 4 * 0.2 * 255 / 100
    assert augmentation.get_transform(image[:1, :1]).apply_image(image[:1, :1])[0, 0] == 128


def test_clahe_raises_the_contrast_of_a_dull_part():
    rng = np.random.default_rng(0)
    image = rng.integers(120, 136, (160, 160), dtype=np.uint8)
    changed = RandomClahe(rng, 8.0, 1.0).get_transform(image).apply_image(image)
    assert changed.std() > image.std()


def test_grey_levels_are_rounded():
    image = np.array([[10, 11, 12, 13]], dtype=np.uint8)
    changed = GreyTransform(lambda grey: grey * 1.07).apply_image(image)
    assert changed.tolist() == [[11, 12, 13, 14]]
