"""Which score a detection must reach to count: chosen on validation data, not assumed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mito_instance.evaluation.matching import MatchCounts, count_matches
from mito_instance.evaluation.pairing import pair_images
from mito_instance.instances import ImageInstances
from mito_instance.masks import rle

DEFAULT = 0.5


def best_score_threshold(
    images_true: Sequence[ImageInstances],
    images_pred: Sequence[ImageInstances],
    *,
    min_area_px: int = 0,
    candidates: Sequence[float] | None = None,
) -> float:
    """The threshold with the smallest error of the counts among those with a good F1.

    Of all candidates whose F1 at IoU 0.5 is within 0.01 of the best, the one whose mean
    absolute count error an image is least; the higher one of equals.

    Args:
        images_true: truth.
        images_pred: predictions with scores, unthresholded.
        min_area_px: smaller instances are left out on both sides.
        candidates: thresholds to try; by default 0.05, 0.1, … 0.95.

    Returns:
        The threshold; 0.5 where nothing can be matched.
    """
    tried = np.arange(1, 20) / 20 if candidates is None else np.asarray(candidates, dtype=float)
    matches = [MatchCounts() for _ in tried]
    errors = np.zeros(len(tried))
    for truth, pred in pair_images(images_true, images_pred).pairs:
        kept_true = truth.select([rle.area_px(mask) >= min_area_px for mask in truth.masks])
        kept_pred = pred.select([rle.area_px(mask) >= min_area_px for mask in pred.masks])
        iou = rle.iou_matrix(list(kept_true.masks), list(kept_pred.masks))
        scores = np.zeros(0) if kept_pred.scores is None else kept_pred.scores
        for number, threshold in enumerate(tried):
            above = scores >= threshold
            matches[number] += count_matches(iou[:, above], 0.5)
            errors[number] += abs(int(above.sum()) - len(kept_true))
    f1 = np.array([match.f1 for match in matches])
    if not np.isfinite(f1).any() or np.nanmax(f1) == 0:
        return DEFAULT
    good = np.flatnonzero(f1 >= np.nanmax(f1) - 0.01)
    best = min(good, key=lambda number: (errors[number], -tried[number]))
    return round(float(tried[best]), 4)
