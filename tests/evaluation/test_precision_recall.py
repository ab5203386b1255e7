"""Ranked detections: the same AP as COCO's, and the curve by hand."""

import math

import numpy as np
import pytest

from mito_instance.evaluation.coco_ap import average_precision
from mito_instance.evaluation.precision_recall import Ranking, match_detections
from mito_instance.instances import ImageInstances
from mito_instance.masks import rle

HW = (60, 100)


def image(boxes, scores=None, name="a.png"):
    masks = tuple(rle.place(np.ones((h, w), dtype=bool), x, y, HW) for x, y, w, h in boxes)
    return ImageInstances(name, HW, masks, None if scores is None else np.array(scores, float))


def random_pairs(seed, n_images=4, n=12):
    """Truth, and predictions that are shifted truth, duplicates and false ones."""
    rng = np.random.default_rng(seed)
    pairs = []
    for number in range(n_images):
        boxes = rng.integers((0, 0, 4, 4), (80, 45, 20, 15), (n, 4))
        found = np.concatenate([boxes[: n - 2], boxes[:3], rng.integers(4, 20, (3, 4))])
        found[:, :2] = np.maximum(found[:, :2] + rng.integers(-2, 3, (len(found), 2)), 0)
        scores = rng.permutation(100)[: len(found)] / 100
        name = f"{number}.png"
        pairs.append((image(boxes, name=name), image(found, scores, name)))
    return pairs


@pytest.mark.parametrize("seed", range(5))
def test_figures_equal_those_of_coco(seed):
    pairs = random_pairs(seed)
    found = Ranking([match_detections(pair) for pair in pairs]).figures()
    expected = average_precision(pairs)
    assert 0.05 < expected.ap < 0.9  # the case is not trivial
    assert found["ap"] == pytest.approx(expected.ap, abs=1e-12)
    assert found["ap50"] == pytest.approx(expected.ap50, abs=1e-12)
    assert found["ap75"] == pytest.approx(expected.ap75, abs=1e-12)
    assert found["ar"] == pytest.approx(expected.ar, abs=1e-12)


def test_weights_are_repeated_images():
    detections = [match_detections(pair) for pair in random_pairs(7)]
    weights = np.array([2, 0, 1, 3])
    repeated = Ranking([detections[i] for i in (0, 0, 2, 3, 3, 3)])
    weighted = Ranking(detections).figures(weights)
    # Copies share their scores: of equal ones the order of the images decides.
    assert weighted == pytest.approx(repeated.figures(), abs=0.02)
    alone = Ranking([detections[1]]).figures()
    assert Ranking(detections).figures(np.array([0, 1, 0, 0])) == alone


def test_curve_by_hand():
    # Right, false, right: precision 1 up to half of the recall, 2/3 beyond.
    truth = image([(0, 0, 9, 9), (20, 0, 9, 9)])
    pred = image([(0, 0, 9, 9), (60, 0, 9, 9), (20, 0, 9, 9)], [0.9, 0.8, 0.7])
    curve = Ranking([match_detections((truth, pred))]).precision()
    assert curve.shape == (10, 101)
    assert curve[0, :51] == pytest.approx(1)
    assert curve[0, 51:] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("truth", "pred", "ap"),
    [
        pytest.param(image([]), image([]), math.nan, id="both-empty"),
        pytest.param(image([]), image([(0, 0, 5, 5)], [0.5]), math.nan, id="no-truth"),
        pytest.param(image([(0, 0, 5, 5)]), image([]), 0.0, id="no-predictions"),
        pytest.param(image([(0, 0, 5, 5)]), image([(0, 0, 5, 5)]), 1.0, id="no-scores"),
    ],
)
def test_empty(truth, pred, ap):
    found = Ranking([match_detections((truth, pred))]).figures()
    assert found["ap"] == pytest.approx(ap, nan_ok=True)


def test_no_images():
    assert Ranking([]).precision() is None
