"""Crowd regions: what lies in them, and what can be judged beside them."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mito_instance.evaluation.crowds import judged_predictions, outside_crowds, shares_inside
from mito_instance.evaluation.evaluate import evaluate
from mito_instance.instances import ImageInstances
from mito_instance.masks import rle

HW = (20, 60)


def box(x, y, width, height):
    return rle.place(np.ones((height, width), dtype=bool), x, y, HW)


def image(boxes=(), crowds=()):
    return ImageInstances(
        "a.png", HW, tuple(box(*b) for b in boxes), crowds=tuple(box(*b) for b in crowds)
    )


def test_shares_are_those_of_pycocotools():
    crowds, masks = [box(0, 0, 20, 20), box(10, 0, 3, 3)], [box(15, 2, 10, 7), box(10, 1, 4, 4)]
    expected = coco_mask.iou(*([dict(m) for m in side] for side in (masks, crowds)), [1, 1]).T
    np.testing.assert_array_equal(shares_inside(crowds, masks), expected)
    assert shares_inside(crowds, [rle.union([], HW)]).tolist() == [[0], [0]]
    assert shares_inside([], masks).shape == (0, 2)
    assert shares_inside(crowds, []).shape == (2, 0)


@pytest.mark.parametrize(
    ("truth", "pred", "expected"),
    [
        pytest.param(image([], [(0, 0, 10, 10)]), [(0, 0, 5, 5)], [False], id="inside"),
        pytest.param(image([], [(0, 0, 10, 10)]), [(5, 0, 10, 5)], [True], id="half-is-too-little"),
        pytest.param(image([], [(0, 0, 10, 10)]), [(4, 0, 10, 5)], [False], id="more-than-half"),
        pytest.param(
            image([], [(0, 0, 5, 10), (5, 0, 5, 10)]), [(3, 0, 4, 4)], [False], id="two-regions"
        ),
        pytest.param(
            image([(0, 0, 5, 5)], [(0, 0, 10, 10)]), [(0, 0, 4, 5)], [True], id="has-a-partner"
        ),
        pytest.param(image([(0, 0, 5, 5)]), [(30, 0, 5, 5)], [True], id="no-crowds"),
        pytest.param(image([], [(0, 0, 5, 5)]), [], [], id="nothing"),
    ],
)
def test_judged_predictions(truth, pred, expected):
    assert judged_predictions((truth, image(pred))).tolist() == expected


@pytest.mark.parametrize(
    "crowds", [[(0, 0, 9, 20)], [(0, 0, 3, 3), (50, 10, 10, 10)], [(7, 3, 2, 2)]]
)
@pytest.mark.parametrize("region", [None, (2, 2, 40, 10)])
def test_outside_is_the_rest_of_the_image_or_region(crowds, region):
    masks = [box(*b) for b in crowds]
    expected = ~rle.decode(rle.union(masks, HW))
    if region is not None:
        expected &= rle.decode(box(*region))
    found = outside_crowds(masks, HW, None if region is None else box(*region))
    np.testing.assert_array_equal(rle.decode(found), expected)


def test_without_crowds_the_region_stays():
    assert outside_crowds([], HW, None) is None
    region = box(0, 0, 3, 3)
    assert outside_crowds([], HW, region) is region


def test_what_is_left_out_in_crowd_regions_is_no_false_foreground():
    """It is no false detection, and the part of it that reaches out is no false pixel either."""
    truth = image([(0, 0, 5, 5)], crowds=[(20, 0, 10, 10)])
    found = image([(0, 0, 5, 5), (24, 0, 10, 4)])  # 6 of 10 columns in the crowd region
    summary = evaluate([truth], [found]).summary()
    assert (summary["n_false"], summary["iou_foreground"], summary["f1_boundary"]) == (0, 1, 1)
