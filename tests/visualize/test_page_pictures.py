"""Thumbnails and close-ups: small, numbered as the objects are, whatever the page is."""

import cv2
import numpy as np
import pytest

from mito_instance.calibration import PixelSize
from mito_instance.errors import ImageError
from mito_instance.instances import ImageInstances
from mito_instance.masks import rle
from mito_instance.visualize.jpeg import Jpeg
from mito_instance.visualize.page_pictures import N_CROPS, page_pictures


def page(image_hw, boxes, scores=None, pixel_size=None):
    masks = tuple(rle.place(np.ones((h, w), dtype=bool), x, y, image_hw) for x, y, w, h in boxes)
    scores = None if scores is None else np.array(scores, float)
    image = np.full(image_hw, 128, dtype=np.uint8)
    return image, ImageInstances("a.png", image_hw, masks, scores, pixel_size=pixel_size)


def decoded(jpeg):
    return cv2.imdecode(np.frombuffer(jpeg.data, np.uint8), cv2.IMREAD_COLOR)


@pytest.mark.parametrize(
    ("image_hw", "expected_wh"),
    [
        pytest.param((100, 150), (150, 100), id="small-stays"),
        pytest.param((1000, 2000), (640, 320), id="wide"),
        pytest.param((1281, 640), (320, 640), id="high"),
        pytest.param((3, 6400), (640, 1), id="a-line"),
        pytest.param((1, 1), (1, 1), id="one-pixel"),
    ],
)
def test_thumbnails_are_at_most_640_px(image_hw, expected_wh):
    found = page_pictures(*page(image_hw, [(0, 0, 1, 1)], pixel_size=PixelSize(5.0, "user")))
    assert (found.thumbnail.width_px, found.thumbnail.height_px) == expected_wh
    assert decoded(found.thumbnail).shape[1::-1] == expected_wh


def test_objects_of_a_huge_page_keep_their_outlines():
    boxes = [(400, 400, 500, 300), (6000, 5000, 9, 9), (6390, 6390, 10, 10)]
    image, found = page((6400, 6400), boxes)
    picture = decoded(page_pictures(image, found).thumbnail).astype(int)
    coloured = np.ptp(picture, axis=2) > 60
    assert coloured[40:70, 38:42].any()  # left border of the first
    assert not coloured[100:400, 200:500].any()
    # Nine and ten pixels are one of the thumbnail; it is there.
    plain = decoded(page_pictures(image, found.select([0])).thumbnail).astype(int)
    assert np.abs(picture - plain)[495:505, 595:605].max() > 60


def test_close_ups_have_the_lowest_scores_first():
    boxes = [(10 * n, 10, 8, 8) for n in range(30)]
    scores = [0.5 + 0.01 * ((n * 7) % 30) for n in range(30)]
    found = page_pictures(*page((100, 400), boxes, scores)).crops
    assert len(found) == N_CROPS == 24
    assert [crop.score for crop in found] == sorted(scores)[:24]
    assert [crop.number for crop in found[:2]] == [1, 14]  # 13 * 7 = 91 = 1 mod 30
    assert found[0].area_px == 64
    assert (found[0].picture.width_px, found[0].picture.height_px) == (486, 240)


@pytest.mark.parametrize("scores", [None, []], ids=["drawn-by-hand", "nothing-found"])
def test_no_close_ups(scores):
    assert page_pictures(*page((50, 50), [], scores)).crops == ()


def test_the_image_must_fit():
    _, found = page((50, 50), [])
    with pytest.raises(ImageError, match="check that both belong together"):
        page_pictures(np.zeros((700, 700), np.uint8), found)


def test_jpegs_shrink():
    picture = Jpeg.of(np.full((100, 200, 3), (250, 10, 10), np.uint8))
    assert picture.shrunk(200) is picture
    small = picture.shrunk(50)
    assert (small.width_px, small.height_px) == (50, 25)
    assert decoded(small)[12, 25, 2] > 200  # still red
