"""Synthetic micrographs: exact, seeded truth."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import tifffile

from mito_instance.errors import ConfigError
from mito_instance.io.coco import read_coco
from mito_instance.masks import rle
from mito_instance.synthetic import Micrograph, make_micrograph, write_dataset

SMALL_HW = (192, 256)


def micrograph(seed: int = 0, **options) -> Micrograph:
    options = {"image_hw": SMALL_HW, "pixel_size_nm": 10.0, **options}
    return make_micrograph(np.random.default_rng(seed), **options)


def decoded(made: Micrograph) -> list[np.ndarray]:
    height, width = made.instances.image_hw
    return [rle.crop(mask, (0, 0, width, height)) for mask in made.instances.masks]


def shared_border_px(first: np.ndarray, second: np.ndarray) -> int:
    grown = cv2.dilate(first.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return int((grown & second).sum())


@pytest.fixture(scope="module")
def several() -> list[Micrograph]:
    return [micrograph(seed, touching_fraction=0.4) for seed in range(4)]


def test_one_seed_gives_one_picture_and_one_truth():
    first, again, other = micrograph(3), micrograph(3), micrograph(4)
    np.testing.assert_array_equal(first.image, again.image)
    assert first.instances.masks == again.instances.masks
    assert (first.image != other.image).any()


def test_image_and_instances_have_the_wished_form():
    made = micrograph(image_hw=(100, 180), pixel_size_nm=12.0, name="a.tif")
    assert made.image.shape == (100, 180)
    assert made.image.dtype == np.uint8
    assert made.instances.image == "a.tif"
    assert made.instances.image_hw == (100, 180)
    assert made.instances.scores is None
    assert made.instances.pixel_size is not None
    assert made.instances.pixel_size.nm == 12.0
    assert made.instances.pixel_size.source == "synthetic"


def test_masks_do_not_overlap(several):
    for made in several:
        assert sum(mask.astype(int) for mask in decoded(made)).max() == 1


def test_each_mask_is_one_component_of_at_least_25_px(several):
    for made in several:
        for mask, encoded in zip(decoded(made), made.instances.masks, strict=True):
            assert cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)[0] == 2
            assert mask.sum() == rle.area_px(encoded) >= 25


def test_mitochondria_are_darker_than_the_rest(several):
    for made in several:
        inside = sum(mask.astype(int) for mask in decoded(made)) > 0
        assert made.image[inside].mean() < made.image[~inside].mean() - 25


def test_some_pairs_touch(several):
    touching = [
        shared_border_px(masks[i], masks[j])
        for masks in map(decoded, several)
        for i in range(len(masks))
        for j in range(i)
    ]
    assert max(touching) >= 6


def test_some_masks_are_cut_by_the_border(several):
    masks = [mask for made in several for mask in decoded(made)]
    cut = [m[0].any() or m[-1].any() or m[:, 0].any() or m[:, -1].any() for m in masks]
    assert any(cut)
    assert not all(cut)


def test_count_0_gives_no_instance():
    made = micrograph(count=0)
    assert len(made.instances) == 0
    assert made.image.std() > 10


def test_count_is_about_met_where_there_is_room():
    assert 6 <= len(micrograph(count=6, touching_fraction=0.0).instances) <= 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"image_hw": (31, 64)}, r"side must be >= 32 px", id="small"),
        pytest.param({"pixel_size_nm": 0.5}, r"pixel size must be in \[1, 40\] nm", id="fine"),
        pytest.param({"pixel_size_nm": float("nan")}, r"pixel size must be in", id="nan"),
        pytest.param({"count": -1}, r"count must be >= 0, got -1", id="negative"),
        pytest.param({"touching_fraction": 15}, r"not a percentage", id="percentage"),
        pytest.param({"noise": -1.0}, r"noise must be in", id="noise"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        micrograph(**options)


@pytest.mark.parametrize("pixel_size_nm", [2.0, 20.0, 40.0])
def test_every_scale_draws(pixel_size_nm):
    assert micrograph(image_hw=(64, 96), pixel_size_nm=pixel_size_nm).image.shape == (64, 96)


def test_dataset_is_read_back_with_pixel_size(tmp_path):
    truth = write_dataset(tmp_path / "set", 2, 5, image_hw=SMALL_HW, pixel_size_nm=8.0)
    images = read_coco(truth)
    assert [len(image) > 0 for image in images] == [True, True]
    assert all(image.pixel_size and image.pixel_size.nm == 8.0 for image in images)
    with tifffile.TiffFile(images[1].image) as tiff:
        assert tiff.asarray().shape == SMALL_HW
        assert tiff.imagej_metadata is not None
        assert tiff.imagej_metadata["unit"] == "um"
        assert tiff.pages[0].tags["XResolution"].value == (125, 1)
    made = make_micrograph(np.random.default_rng([5, 1]), SMALL_HW, 8.0)
    assert images[1].masks == made.instances.masks


def test_dataset_keeps_its_first_images_when_it_grows(tmp_path):
    for name, n_images in (("one", 1), ("two", 2)):
        write_dataset(
            tmp_path / name, n_images, 1, image_hw=(64, 64), pixel_size_nm=20.0, image_format="png"
        )
    first = (tmp_path / "one" / "synthetic_000.png").read_bytes()
    assert first == (tmp_path / "two" / "synthetic_000.png").read_bytes()


@pytest.mark.parametrize(
    ("n_images", "seed", "image_format", "message"),
    [
        pytest.param(0, 0, "tif", "n_images must be >= 1, got 0", id="none"),
        pytest.param(1, -1, "tif", "seed must be >= 0, got -1", id="seed"),
        pytest.param(1, 0, "jpg", "must be 'tif' or 'png', got 'jpg'", id="format"),
    ],
)
def test_bad_datasets_are_refused(tmp_path, n_images, seed, image_format, message):
    with pytest.raises(ConfigError, match=message):
        write_dataset(tmp_path, n_images, seed, image_format=image_format)
