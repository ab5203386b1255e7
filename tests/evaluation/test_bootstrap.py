"""Confidence intervals: whole groups are drawn, the seed decides, undefined stays NaN."""

import math

import numpy as np
import pytest

from mito_instance.evaluation.bootstrap import intervals, resample_weights, resampled_figures
from mito_instance.evaluation.evaluate import evaluate
from mito_instance.instances import ImageInstances
from mito_instance.masks import rle

HW = (30, 60)


def image(name, n, n_found):
    """One image with n instances of which n_found are found."""
    masks = [rle.place(np.ones((4, 4), dtype=bool), 6 * i, 3, HW) for i in range(n)]
    truth = ImageInstances(name, HW, tuple(masks))
    return truth, ImageInstances(name, HW, tuple(masks[:n_found]), np.linspace(0.9, 0.5, n_found))


def metrics_of(*numbers):
    pairs = [image(f"{i}.png", *number) for i, number in enumerate(numbers)]
    return evaluate([truth for truth, _ in pairs], [pred for _, pred in pairs])


def samples_of(metrics, weights):
    detections = [result.detections for result in metrics.images]
    return resampled_figures(metrics.tallies(), detections, weights, metrics.unit)


def test_images_of_one_group_stay_together():
    weights = resample_weights(["a", "b", "a", "c"], 200, np.random.default_rng(0))
    assert weights.shape == (200, 4)
    np.testing.assert_array_equal(weights[:, 0], weights[:, 2])
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()


def test_no_images_have_no_weights():
    assert resample_weights([], 5, np.random.default_rng(0)).shape == (5, 0)


def test_unit_weights_give_the_figures_themselves():
    metrics = metrics_of((4, 3), (5, 5), (2, 0))
    samples = samples_of(metrics, np.ones((1, 3), dtype=np.int64))
    summary = metrics.summary()
    for name, values in samples.items():
        assert values[0] == pytest.approx(summary[name], nan_ok=True), name


def test_intervals_hold_the_figure_and_depend_on_the_seed_only():
    metrics = metrics_of((4, 3), (5, 5), (6, 2), (4, 4), (7, 5))
    found = [
        intervals(samples_of(metrics, resample_weights("abcde", 300, np.random.default_rng(seed))))
        for seed in (1, 1, 2)
    ]
    assert found[0] == found[1]
    assert found[0] != found[2]
    summary = metrics.summary()
    for name in ("ap", "f1_50", "pq", "iou_foreground", "count_bias"):
        low, high = found[0][name]
        assert low < summary[name] < high


def test_coverage_of_a_mean_is_near_its_level():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(100):
        values = rng.normal(size=40)
        weights = resample_weights(range(40), 300, rng)
        low, high = intervals({"mean": weights @ values / 40})["mean"]
        hits += low <= 0 <= high
    assert 88 <= hits <= 99


def test_undefined_figures_have_no_interval():
    low, high = intervals({"ap": np.array([np.nan, np.nan])})["ap"]
    assert math.isnan(low)
    assert math.isnan(high)
