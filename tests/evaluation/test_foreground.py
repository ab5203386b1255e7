"""Foreground pixels of whole images."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mito_instance.evaluation.semantic import PixelCounts, compare_foregrounds
from mito_instance.instances import ImageInstances
from mito_instance.masks import rle

HW = (10, 20)


def counts_of(truth, pred, within=None):
    """Counts of the unions of the instances of both sides."""
    unions = (rle.union(list(side.masks), HW) for side in (truth, pred))
    return compare_foregrounds(*unions, within)


def rectangles(*boxes):
    """Instances from (x, y, width, height)."""
    masks = tuple(rle.place(np.ones((h, w), dtype=bool), x, y, HW) for x, y, w, h in boxes)
    return ImageInstances("a.png", HW, masks)


@pytest.mark.parametrize(
    ("truth", "pred", "expected"),
    [
        pytest.param(
            rectangles((0, 0, 4, 5)), rectangles((2, 0, 4, 5)), PixelCounts(10, 10, 10), id="half"
        ),
        pytest.param(
            rectangles((0, 0, 4, 5), (2, 0, 4, 5)),
            rectangles((0, 0, 6, 5)),
            PixelCounts(30, 0, 0),
            id="overlapping-truth-counts-once",
        ),
        pytest.param(
            rectangles((0, 0, 4, 5)),
            rectangles((0, 0, 4, 5), (0, 0, 4, 5)),
            PixelCounts(20, 0, 0),
            id="duplicates-count-once",
        ),
        pytest.param(rectangles(), rectangles((0, 0, 2, 2)), PixelCounts(0, 4, 0), id="no-truth"),
        pytest.param(rectangles((0, 0, 2, 2)), rectangles(), PixelCounts(0, 0, 4), id="nothing"),
        pytest.param(rectangles(), rectangles(), PixelCounts(), id="empty"),
    ],
)
def test_counts(truth, pred, expected):
    assert counts_of(truth, pred) == expected


stacks = hnp.arrays(bool, st.tuples(st.integers(0, 3), st.just(HW[0]), st.just(HW[1])))


@given(masks_true=stacks, masks_pred=stacks)
def test_counts_equal_those_of_pixel_arrays(masks_true, masks_pred):
    truth = ImageInstances("a.png", HW, tuple(rle.encode(mask) for mask in masks_true))
    pred = ImageInstances("a.png", HW, tuple(rle.encode(mask) for mask in masks_pred))
    true, found = masks_true.any(axis=0), masks_pred.any(axis=0)
    expected = PixelCounts(
        int((true & found).sum()), int((~true & found).sum()), int((true & ~found).sum())
    )
    assert counts_of(truth, pred) == expected


def test_only_pixels_of_the_region_count():
    left = rectangles((0, 0, 3, 10)).masks[0]
    counts = counts_of(rectangles((0, 0, 4, 5)), rectangles((2, 0, 4, 5)), left)
    assert counts == PixelCounts(tp=5, fp=0, fn=10)
