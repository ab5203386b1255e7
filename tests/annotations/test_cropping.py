from pathlib import Path

import numpy as np
import pytest
import tifffile

from mito_instance.annotations.cropping import crop_image, rectangle_of
from mito_instance.errors import AnnotationError
from mito_instance.instances import ImageInstances
from mito_instance.io.contrast import stretch_contrast
from mito_instance.io.images import read_page
from mito_instance.masks import rle


def region(*rectangles):
    mask = np.zeros((200, 300), dtype=bool)
    for x, y, width, height in rectangles:
        mask[y : y + height, x : x + width] = True
    return rle.encode(mask)


def test_a_rectangle_is_its_box():
    assert rectangle_of(region((20, 10, 100, 64)), "a.tif") == (20, 10, 100, 64)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        pytest.param(region((0, 0, 90, 90), (90, 0, 90, 80)), "one upright rectangle", id="corner"),
        pytest.param(region((0, 0, 90, 63)), "90×63 px; both edges must be 64 px", id="small"),
        pytest.param(region(), "0×0 px", id="empty"),
    ],
)
def test_other_regions_are_refused(mask, message):
    with pytest.raises(AnnotationError, match=f"a.tif: .*{message}"):
        rectangle_of(mask, "a.tif")


def test_masks_and_crowds_are_cut_with_the_image(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((200, 300), np.uint8))
    image = ImageInstances(
        str(tmp_path / "a.tif"),
        (200, 300),
        (region((10, 10, 30, 30)), region((200, 100, 20, 20))),
        crowds=(region((60, 60, 200, 100)), region((0, 0, 5, 5))),
    )
    part = crop_image(image, (20, 10, 100, 80), tmp_path / "part.tif", (0.5, 99.5))
    assert part.image_hw == (80, 100)
    assert [rle.box_xywh(mask) for mask in part.masks] == [(0, 0, 20, 30)]
    assert [rle.box_xywh(mask) for mask in part.crowds] == [(40, 50, 60, 30)]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_part_looks_as_it_does_in_the_whole_image(tmp_path, dtype):
    rng = np.random.default_rng(0)
    page = (40 + np.arange(300) / 3 + rng.normal(0, 5, (200, 300))).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", page)
    image = ImageInstances(str(tmp_path / "a.tif"), (200, 300))
    percentiles = (1.0, 99.0)
    part = crop_image(image, (20, 10, 100, 80), tmp_path / "part.tif", percentiles)
    pixels = read_page(tmp_path / "part.tif").pixels
    whole = stretch_contrast(page, percentiles)[10:90, 20:120]
    np.testing.assert_array_equal(stretch_contrast(pixels, percentiles), whole)
    assert not np.array_equal(stretch_contrast(np.array(pixels), percentiles), whole)
    again = crop_image(part, (0, 0, 70, 70), tmp_path / "again.tif", percentiles)
    pixels = read_page(Path(again.image)).pixels
    np.testing.assert_array_equal(stretch_contrast(pixels, percentiles), whole[:70, :70])
