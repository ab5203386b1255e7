"""Figures from sums: against formulas, agreement by hand, incomplete truth."""

import math

import numpy as np
import pytest

from mito_instance.calibration import PixelSize
from mito_instance.evaluation.evaluate import evaluate
from mito_instance.instances import ImageInstances
from mito_instance.masks import rle

HW = (60, 100)


def image(boxes=(), scores=None, name="a.png", pixel_size=None):
    masks = tuple(rle.place(np.ones((h, w), dtype=bool), x, y, HW) for x, y, w, h in boxes)
    scores = None if scores is None else np.array(scores, float)
    return ImageInstances(name, HW, masks, scores, pixel_size=pixel_size)


def scored(boxes, name="a.png"):
    return image(boxes, np.linspace(0.9, 0.5, len(boxes)), name)


# IoU 0.8 and 0.6, one missed, one false.
TRUTH = [(0, 0, 10, 10), (20, 0, 10, 10), (40, 0, 10, 10)]
PRED = [(0, 0, 8, 10), (20, 0, 6, 10), (80, 40, 10, 10)]


def test_figures_are_those_of_the_formulas():
    summary = evaluate([image(TRUTH)], [scored(PRED)]).summary()
    assert summary["sq"] == pytest.approx(0.7)
    assert summary["rq"] == pytest.approx(2 / 3)
    assert summary["pq"] == pytest.approx(summary["sq"] * summary["rq"])
    assert summary["detection_accuracy_50"] == pytest.approx(2 / 4)
    f1 = [summary[f"f1_{level}"] for level in range(50, 100, 5)]
    # A match needs more than the threshold: 0.6 is none at 0.60, 0.8 none at 0.80.
    assert f1 == pytest.approx([4 / 6] * 2 + [2 / 6] * 4 + [0] * 4)


def test_agreement_of_counts_by_hand():
    # Differences 1, -1, 3: mean 1, mean absolute 5/3, sample standard deviation 2.
    row = [(8 * i, 0, 5, 5) for i in range(12)]
    numbers = [(2, 3), (4, 3), (6, 9)]
    truth = [image(row[:n], name=f"{i}.png") for i, (n, _) in enumerate(numbers)]
    pred = [scored(row[:n], f"{i}.png") for i, (_, n) in enumerate(numbers)]
    summary = evaluate(truth, pred).summary()
    assert summary["count_bias"] == pytest.approx(1)
    assert summary["count_mae"] == pytest.approx(5 / 3)
    limits = (summary["count_limit_low"], summary["count_limit_high"])
    assert limits == pytest.approx((1 - 3.92, 1 + 3.92))
    expected = np.corrcoef([2, 4, 6], [3, 3, 9])[0, 1]
    assert summary["count_correlation"] == pytest.approx(expected)
    assert summary["area_bias_px"] == pytest.approx(25)
    assert summary["area_fraction_bias"] == pytest.approx(25 / 6000)
    assert summary["area_fraction_mae"] == pytest.approx(25 * 5 / 3 / 6000)


def test_one_image_has_no_limits_and_no_correlation():
    summary = evaluate([image(TRUTH)], [scored(PRED[:2])]).summary()
    assert (summary["count_bias"], summary["count_mae"]) == (-1, 1)
    assert math.isnan(summary["count_limit_low"])
    assert math.isnan(summary["count_correlation"])


@pytest.mark.parametrize(
    ("sizes", "unit", "other"),
    [
        pytest.param((100.0, 50.0), "um2", "px", id="all-known"),
        pytest.param((100.0, None), "px", "um2", id="one-unknown"),
        pytest.param((None, None), "px", "um2", id="unknown"),
    ],
)
def test_areas_have_one_unit(sizes, unit, other):
    pixel_sizes = [None if nm is None else PixelSize(nm, "user") for nm in sizes]
    truth = [image(TRUTH, name=f"{i}.png", pixel_size=p) for i, p in enumerate(pixel_sizes)]
    metrics = evaluate(truth, [scored([], "0.png"), scored([], "1.png")])
    summary = metrics.summary()
    assert metrics.unit == unit
    assert not [name for name in summary if name.endswith(other)]
    # 300 px of 0.01 µm² and of 0.0025 µm².
    expected = -(3.0 + 0.75) / 2 if unit == "um2" else -300
    assert summary[f"area_bias_{unit}"] == pytest.approx(expected)


def test_an_incomplete_truth_leaves_recall_only():
    complete = evaluate([image(TRUTH)], [scored(PRED)]).summary()
    partly = evaluate([image(TRUTH)], [scored(PRED)], truth_incomplete=True).summary()
    kept = {name for name, value in partly.items() if not math.isnan(value)}
    assert {"ar", "recall_50", "recall_75", "recall_foreground", "sq", "n_true", "n_missed"} <= kept
    assert {"n_split", "n_merge", "n_one_to_one", "recall_boundary"} <= kept
    lost = partly.keys() - kept
    assert {"ap", "ap50", "f1_50", "precision_50", "pq", "n_false", "count_bias"} <= lost
    assert {"iou_foreground", "dice_foreground", "area_fraction_mae", "f1_boundary"} <= lost
    assert all(partly[name] == complete[name] for name in kept)


def test_truth_against_itself_is_perfect():
    boxes = [(1, 1, 10, 10), (20, 5, 15, 6), (50, 30, 8, 20)]
    summary = evaluate([image(boxes)], [scored(boxes)]).summary()
    ones = "ap ap50 ap75 ar f1_50 f1_75 f1_95 pq sq rq iou_foreground dice_foreground f1_boundary"
    assert [summary[name] for name in ones.split()] == [1.0] * 13
    zeros = "n_missed n_false n_split n_merge n_many_to_many excess_fragments excess_merged"
    assert [summary[name] for name in zeros.split()] == [0] * 7
