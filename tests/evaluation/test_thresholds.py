"""Score thresholds: what each would give, and which to take."""

import numpy as np
import pytest

from mito_instance.evaluation.thresholds import (
    best_f1,
    best_score_threshold,
    candidates_from,
    least_biased,
    sweep_scores,
)
from mito_instance.instances import ImageInstances
from mito_instance.masks import rle

HW = (20, 100)


def image(positions, scores=None):
    masks = tuple(rle.place(np.ones((8, 8), dtype=bool), x, 2, HW) for x in positions)
    return ImageInstances("a.png", HW, masks, None if scores is None else np.array(scores, float))


TRUTH = image([0, 10, 20])
# Two right ones with high scores, a false one between, the third right one with a low score.
PRED = image([0, 10, 60, 20], [0.9, 0.8, 0.6, 0.3])


def test_sweep():
    sweep = sweep_scores([(TRUTH, PRED)], [0.2, 0.5, 0.7])
    assert [row.match.tp + row.match.fp for row in sweep] == [4, 3, 2]
    assert [row.count_bias for row in sweep] == [1, 0, -1]
    assert [row.match.f1 for row in sweep] == pytest.approx([6 / 7, 4 / 6, 4 / 5])
    assert least_biased(sweep).score_threshold == 0.5
    assert best_f1(sweep).score_threshold == 0.2


@pytest.mark.parametrize(
    "pairs",
    [
        pytest.param([], id="no-images"),
        pytest.param([(TRUTH, TRUTH)], id="no-scores"),
        pytest.param([(TRUTH, image([], []))], id="nothing-predicted"),
    ],
)
def test_nothing_to_sweep(pairs):
    assert sweep_scores(pairs) == ()
    assert least_biased(()) is None
    assert best_f1(()) is None


def test_nothing_found_at_any_threshold():
    sweep = sweep_scores([(TRUTH, image([60], [0.9]))])
    assert best_f1(sweep) is None
    assert best_score_threshold([TRUTH], [image([60], [0.9])]) == 0.5


def test_the_best_has_a_good_f1_and_the_least_count_error():
    assert best_score_threshold([TRUTH], [PRED]) == 0.3
    assert best_score_threshold([TRUTH], [PRED], candidates=[0.5, 0.7]) == 0.7


@pytest.mark.parametrize(
    ("lowest", "first"),
    [
        (0.337, (0.33, 0.35)),
        (0.29, (0.29, 0.3)),
        (0.0, (0.05, 0.1)),
        (0.05, (0.05, 0.1)),
        (float("nan"), (0.05, 0.1)),
        (0.995, (0.99,)),
        (1.0, (1.0,)),
    ],
)
def test_thresholds_below_every_score_are_not_tried(lowest, first):
    assert candidates_from(lowest)[:2] == first
