"""Components, label images, and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from mito_instance.errors import AnnotationError
from mito_instance.masks import rle
from mito_instance.masks.labels import compact_labels, component_rles, label_image, label_rles

RING = np.array([[1, 1, 1, 0], [1, 0, 1, 0], [1, 1, 1, 0], [0, 0, 0, 1]])


@pytest.mark.parametrize(
    ("mask", "connectivity", "areas"),
    [
        pytest.param(np.zeros((3, 4)), 8, [], id="empty"),
        pytest.param(np.ones((3, 4)), 8, [12], id="full"),
        pytest.param(RING, 8, [9], id="corner-joins-and-the-hole-stays"),
        pytest.param(RING, 4, [8, 1], id="corner-divides"),
        pytest.param(np.array([[0, 255, 0, 7]]), 8, [1, 1], id="any-non-zero-value"),
        pytest.param(np.array([[False, True]]), 4, [1], id="bool"),
    ],
)
def test_component_rles(mask, connectivity, areas):
    assert [rle.area_px(item) for item in component_rles(mask, connectivity)] == areas


def test_components_are_ordered_by_their_first_pixel_row_by_row():
    mask = np.array([[0, 0, 0, 1], [1, 0, 0, 0], [0, 0, 1, 1]])
    firsts = [np.argwhere(rle.decode(item))[0].tolist() for item in component_rles(mask, 4)]
    assert firsts == [[0, 3], [1, 0], [2, 2]]


@settings(deadline=None)
@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_components_cover_the_mask_once_and_are_as_many_as_scipy_finds(mask):
    parts = [rle.decode(item) for item in component_rles(mask)]
    assert len(parts) == ndimage.label(mask, np.ones((3, 3)))[1]
    assert (np.sum([mask & False, *parts], axis=0) == mask).all()


@pytest.mark.parametrize(
    ("labels", "areas", "n_divided"),
    [
        pytest.param(np.zeros((2, 3), np.uint8), [], 0, id="empty"),
        pytest.param(np.array([[7, 7, 2]], np.uint16), [1, 2], 0, id="touching-values-by-value"),
        pytest.param(np.array([[5, 0, 5]], np.int32), [1, 1], 1, id="one-value-in-two-places"),
        pytest.param(np.array([[2**40, 0, 1]]), [1, 1], 0, id="large-values"),
    ],
)
def test_label_rles(labels, areas, n_divided):
    rles, divided = label_rles(labels)
    assert ([rle.area_px(item) for item in rles], divided) == (areas, n_divided)


def test_label_images_hold_integers():
    with pytest.raises(AnnotationError, match="must hold integers, got float32"):
        compact_labels(np.zeros((2, 2), np.float32))


@settings(deadline=None)
@given(hnp.arrays(np.uint8, (6, 7), elements=st.integers(0, 3)))
def test_label_image_of_label_rles_has_the_same_foreground(labels):
    rles, _ = label_rles(labels)
    back = label_image(rles, (6, 7), "a.png")
    assert ((back > 0) == (labels > 0)).all()
    assert back.max(initial=0) == len(rles)


def test_label_image_without_masks_is_background():
    assert not label_image([], (2, 3), "a.png").any()


def test_label_image_refuses_overlaps():
    first = rle.encode(np.array([[1, 1, 0]]))
    second = rle.encode(np.array([[0, 1, 1]]))
    with pytest.raises(AnnotationError, match=r"a\.png: instances 1 and 2 share 1 px"):
        label_image([first, second], (1, 3), "a.png")
