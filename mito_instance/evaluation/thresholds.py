"""Which score a detection must reach to count: chosen on validation data, not assumed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mito_instance.evaluation.crowds import judged_predictions
from mito_instance.evaluation.matching import MatchCounts, count_matches
from mito_instance.evaluation.pairing import ImagePair, pair_images
from mito_instance.instances import ImageInstances
from mito_instance.masks import rle

DEFAULT = 0.5
CANDIDATES = (*(round(number / 20, 2) for number in range(1, 20)), 0.96, 0.97, 0.98, 0.99)
"""Networks are too sure of themselves: what is worth choosing from often lies near 1."""


@dataclass(frozen=True, slots=True)
class ThresholdResult:
    """What a score threshold would give.

    Args:
        score_threshold: predictions with at least this score count.
        match: counts at IoU > 0.5, over all images.
        count_bias: mean of predicted - true instances an image.
        count_mae: mean absolute difference of the counts an image.
    """

    score_threshold: float
    match: MatchCounts
    count_bias: float
    count_mae: float


def sweep_scores(
    pairs: Sequence[ImagePair], candidates: Sequence[float] = CANDIDATES
) -> tuple[ThresholdResult, ...]:
    """What each of several score thresholds would give.

    Args:
        pairs: (truth, prediction) of each image, predictions unthresholded.
        candidates: thresholds to try, in [0, 1].

    Returns:
        One result a candidate, in their order; none without any prediction, or where an image
        has predictions without scores.
    """
    predicted = [pred for _, pred in pairs if len(pred)]
    if not predicted or any(pred.scores is None for pred in predicted):
        return ()
    tried = np.asarray(candidates, dtype=float)
    matches = [MatchCounts() for _ in tried]
    differences = np.zeros((len(tried), len(pairs)))
    for image, (truth, pred) in enumerate(pairs):
        iou = rle.iou_matrix(list(truth.masks), list(pred.masks))
        scores = np.zeros(0) if pred.scores is None else pred.scores
        for number, threshold in enumerate(tried):
            above = scores >= threshold
            matches[number] += count_matches(iou[:, above], 0.5)
            differences[number, image] = int(above.sum()) - len(truth)
    return tuple(
        ThresholdResult(
            score_threshold=round(float(threshold), 4),
            match=match,
            count_bias=float(difference.mean()),
            count_mae=float(np.abs(difference).mean()),
        )
        for threshold, match, difference in zip(tried, matches, differences, strict=True)
    )


def candidates_from(lowest: float) -> tuple[float, ...]:
    """Thresholds that can be tried on predictions with scores from ``lowest`` on.

    Lower ones would all give what the lowest score gives, and be named as if they had been tried.

    Args:
        lowest: the lowest score of all predictions, in [0, 1]; NaN without any.
    """
    first = math.floor(lowest * 100 + 1e-6) / 100 if lowest >= CANDIDATES[0] else CANDIDATES[0]
    return (first, *(value for value in CANDIDATES if value > first))


def least_biased(sweep: Sequence[ThresholdResult]) -> ThresholdResult | None:
    """The threshold whose counts are least biased; None for an empty sweep.

    Of equal ones that of the higher F1, then the higher one.
    """
    return min(
        sweep,
        key=lambda row: (
            round(abs(row.count_bias), 9),
            -_number(row.match.f1),
            -row.score_threshold,
        ),
        default=None,
    )


def best_f1(sweep: Sequence[ThresholdResult]) -> ThresholdResult | None:
    """The threshold of the highest F1 at IoU > 0.5; the higher one of equals.

    None for an empty sweep, or where nothing is found at any threshold.
    """
    best = max(sweep, key=lambda row: (_number(row.match.f1), row.score_threshold), default=None)
    return best if best is not None and _number(best.match.f1) > 0 else None


def best_score_threshold(
    images_true: Sequence[ImageInstances],
    images_pred: Sequence[ImageInstances],
    *,
    candidates: Sequence[float] | None = None,
    default: float = DEFAULT,
) -> float:
    """The threshold with the smallest error of the counts among those with a good F1.

    Of all candidates whose F1 at IoU 0.5 is within 0.01 of the best, the one whose mean
    absolute count error an image is least; the higher one of equals.

    Args:
        images_true: truth.
        images_pred: predictions with scores, unthresholded.
        candidates: thresholds to try; by default `CANDIDATES`.
        default: returned where nothing can be matched.

    Returns:
        The threshold.
    """
    found = pair_images(images_true, images_pred).pairs
    pairs = [(truth, pred.select(judged_predictions((truth, pred)))) for truth, pred in found]
    sweep = sweep_scores(pairs, CANDIDATES if candidates is None else candidates)
    top = best_f1(sweep)
    if top is None:
        return default
    good = [row for row in sweep if _number(row.match.f1) >= top.match.f1 - 0.01]
    return min(good, key=lambda row: (row.count_mae, -row.score_threshold)).score_threshold


def _number(value: float) -> float:
    """0 for NaN: nothing to find and nothing found is no reason to choose."""
    return 0.0 if np.isnan(value) else value
