"""Close-ups of objects."""

import numpy as np
import pytest

from mito_instance.instances import ImageInstances
from mito_instance.masks import rle
from mito_instance.visualize import crops

HW = (100, 160)


@pytest.mark.parametrize(
    ("box", "image_hw", "expected"),
    [
        pytest.param((70, 40, 20, 10), HW, (48, 13, 64, 64), id="small-object"),
        pytest.param((0, 0, 20, 10), HW, (0, 0, 64, 64), id="corner"),
        pytest.param((150, 95, 10, 5), HW, (96, 36, 64, 64), id="far-corner"),
        pytest.param((10, 10, 140, 80), HW, (0, 0, 160, 100), id="larger-than-the-image"),
        pytest.param((2, 2, 5, 5), (20, 30), (0, 0, 30, 20), id="tiny-image"),
    ],
)
def test_windows_lie_in_the_image(box, image_hw, expected):
    assert crops.window_around(box, image_hw) == expected


def test_members_are_coloured_and_others_grey():
    boxes = [(10, 10, 12, 12), (40, 30, 12, 12), (140, 80, 5, 5)]
    masks = tuple(rle.place(np.ones((h, w), dtype=bool), x, y, HW) for x, y, w, h in boxes)
    window = (0, 0, 64, 64)
    plain = crops.enlarge(np.full(HW, 100, dtype=np.uint8), window)
    drawn = crops.outline_members(plain, ImageInstances("a.png", HW, masks), window, [1])
    assert plain.shape == drawn.shape == (240, 240, 3)
    assert (plain == 100).all()  # left as it is
    scale = 240 / 64
    around = drawn[round(30 * scale) : round(42 * scale), round(40 * scale) : round(52 * scale)]
    assert (around == crops.COLOURS[0]).all(axis=2).any()
    other = drawn[: round(24 * scale), : round(24 * scale)].astype(int)
    assert (np.ptp(other, axis=2) == 0).all()  # grey
    assert (other != 100).any()


def test_a_wide_window_keeps_its_shape():
    assert crops.blank((0, 0, 160, 100)).shape == (150, 240, 3)
