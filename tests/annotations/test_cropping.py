import numpy as np
import pytest

from mito_instance.annotations.cropping import rectangle_of
from mito_instance.errors import AnnotationError
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
