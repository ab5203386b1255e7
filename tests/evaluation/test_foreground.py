"""Foreground pixels of whole images."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mito_instance.evaluation.semantic import PixelCounts, count_pixels
from mito_instance.instances import ImageInstances
from mito_instance.masks import rle

HW = (10, 20)


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
def test_count_pixels(truth, pred, expected):
    assert count_pixels(truth, pred) == expected


@pytest.mark.parametrize(
    ("counts", "iou", "dice", "precision", "recall"),
    [
        pytest.param(PixelCounts(10, 10, 30), 0.2, 1 / 3, 0.5, 0.25, id="mixed"),
        pytest.param(PixelCounts(0, 5, 0), 0, 0, 0, math.nan, id="no-truth"),
        pytest.param(PixelCounts(0, 0, 5), 0, 0, math.nan, 0, id="no-prediction"),
        pytest.param(PixelCounts(), math.nan, math.nan, math.nan, math.nan, id="empty"),
    ],
)
def test_fractions(counts, iou, dice, precision, recall):
    found = (counts.iou, counts.dice, counts.precision, counts.recall)
    assert found == pytest.approx((iou, dice, precision, recall), nan_ok=True)


stacks = hnp.arrays(bool, st.tuples(st.integers(0, 3), st.just(HW[0]), st.just(HW[1])))


@given(masks_true=stacks, masks_pred=stacks)
def test_counts_equal_those_of_pixel_arrays(masks_true, masks_pred):
    truth = ImageInstances("a.png", HW, tuple(rle.encode(mask) for mask in masks_true))
    pred = ImageInstances("a.png", HW, tuple(rle.encode(mask) for mask in masks_pred))
    true, found = masks_true.any(axis=0), masks_pred.any(axis=0)
    expected = PixelCounts(
        int((true & found).sum()), int((~true & found).sum()), int((true & ~found).sum())
    )
    assert count_pixels(truth, pred) == expected
