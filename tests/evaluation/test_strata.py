"""Figures by size and at the border."""

import math

import numpy as np

from mito_instance.calibration import PixelSize
from mito_instance.evaluation.evaluate import evaluate
from mito_instance.evaluation.strata import area_strata, border_strata
from mito_instance.instances import ImageInstances
from mito_instance.masks import rle

HW = (60, 100)


def image(boxes, pixel_size=None):
    masks = tuple(rle.place(np.ones((h, w), dtype=bool), x, y, HW) for x, y, w, h in boxes)
    return ImageInstances("a.png", HW, masks, pixel_size=pixel_size)


# 4, 16, 100 and 400 px; the smallest is missed, the largest lies at the border.
BOXES = [(10, 5, 2, 2), (20, 5, 4, 4), (40, 5, 10, 10), (80, 5, 20, 20)]


def test_quartiles_of_the_truth_without_pixel_size():
    metrics = evaluate([image(BOXES)], [image(BOXES[1:])])
    strata = area_strata(metrics.images, metrics.unit)
    assert [stratum.name for stratum in strata] == [
        "< 13 px",
        "13 – 58 px",
        "58 – 175 px",
        "≥ 175 px",
    ]
    assert [stratum.n_true for stratum in strata] == [1, 1, 1, 1]
    assert [stratum.recall_50 for stratum in strata] == [0, 1, 1, 1]
    assert strata[0].kinds_true["missed"] == 1
    assert math.isnan(strata[0].precision_50)


def test_fixed_ranges_in_um2():
    metrics = evaluate([image(BOXES, PixelSize(50.0, "user"))], [image(BOXES)])
    strata = area_strata(metrics.images, metrics.unit)
    # 0.01, 0.04, 0.25 and 1 µm².
    assert [stratum.name for stratum in strata][::4] == ["< 0.05 µm²", "≥ 0.5 µm²"]
    assert [stratum.n_true for stratum in strata] == [2, 0, 0, 1, 1]


def test_border():
    metrics = evaluate([image(BOXES)], [image([*BOXES[:3], (0, 50, 5, 5)])])
    at_border, inside = border_strata(metrics.images)
    assert (at_border.n_true, at_border.n_pred, at_border.recall_50, at_border.n_false) == (
        1,
        1,
        0,
        1,
    )
    assert (inside.n_true, inside.n_pred, inside.recall_50, inside.precision_50) == (3, 3, 1, 1)


def test_no_truth_is_one_stratum():
    metrics = evaluate([image([])], [image(BOXES)])
    (stratum,) = area_strata(metrics.images, metrics.unit)
    assert (stratum.name, stratum.n_true, stratum.n_pred, stratum.n_false) == ("all sizes", 0, 4, 4)
