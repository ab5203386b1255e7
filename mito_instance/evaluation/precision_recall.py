"""Precision against recall, and COCO AP of resampled images, from one matching of detections."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mito_instance.evaluation.coco_ap import IOU_THRESHOLDS, rank
from mito_instance.evaluation.crowds import shares_inside
from mito_instance.evaluation.pairing import ImagePair
from mito_instance.masks import rle

RECALL_POINTS = np.linspace(0, 1, 101)
_AT_LEAST = np.minimum(IOU_THRESHOLDS, 1 - 1e-10)  # COCO: a mask of IoU 1 reaches every threshold


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """The detections of one image, matched as COCO matches them.

    Args:
        n_true: true instances of the image.
        scores: (D,), descending.
        matched: bool (10, D), whether a detection is right at IoU 0.50, 0.55, … 0.95.
        ignored: bool (10, D), whether it counts neither as right nor as wrong, because it lies
            in a crowd region; None for none.
    """

    n_true: int
    scores: npt.NDArray[np.float64]
    matched: npt.NDArray[np.bool_]
    ignored: npt.NDArray[np.bool_] | None = None


def match_detections(pair: ImagePair) -> Detections:
    """Match the detections of one image greedily, in descending order of their scores.

    Each takes the free true instance of the largest IoU that reaches the threshold; of equal
    ones the later. One that takes none is ignored if at least as large a share of it lies in a
    crowd region. This is COCO's rule, unlike the optimal matching behind F1 and PQ.

    Args:
        pair: truth and prediction; predictions without scores count as score 1.

    Returns:
        The detections; none for an image without predictions.
    """
    truth, pred = pair
    scores, order = rank(pred)
    iou = rle.iou_matrix(list(truth.masks), [pred.masks[i] for i in order]).T
    levels = np.arange(len(_AT_LEAST))
    matched = np.zeros((len(levels), len(order)), dtype=bool)
    free = np.ones((len(levels), len(truth)), dtype=bool)
    for number in np.flatnonzero(iou.max(axis=1, initial=0.0) >= _AT_LEAST[0]):
        candidates = np.where(free, iou[number], -1.0)[:, ::-1]
        position = candidates.argmax(axis=1)
        hit = candidates[levels, position] >= _AT_LEAST
        free[levels[hit], len(truth) - 1 - position[hit]] = False
        matched[:, number] = hit
    ignored = None
    if truth.crowds and order:
        share = shares_inside(truth.crowds, [pred.masks[i] for i in order]).max(axis=0)
        ignored = ~matched & (share >= _AT_LEAST[:, None])
    return Detections(len(truth), scores[order], matched, ignored)


class Ranking:
    """The detections of all images in the order of their scores, ready to be counted.

    Args:
        images: detections of each image, in a fixed order.
    """

    def __init__(self, images: Sequence[Detections]) -> None:
        self.n_true = np.asarray([image.n_true for image in images], dtype=np.int64)
        scores = np.concatenate([np.zeros(0), *(image.scores for image in images)])
        order = np.argsort(-scores, kind="stable")
        numbers = np.repeat(np.arange(len(images)), [len(image.scores) for image in images])
        empty = np.zeros((len(IOU_THRESHOLDS), 0), dtype=bool)
        matched = np.concatenate([empty, *(image.matched for image in images)], axis=1)
        self.scores = scores[order]
        self.image = numbers[order]
        self.matched = matched[:, order]
        self.judged: npt.NDArray[np.bool_] | None = None
        if any(image.ignored is not None for image in images):
            ignored = [
                np.zeros_like(image.matched) if image.ignored is None else image.ignored
                for image in images
            ]
            self.judged = ~np.concatenate(ignored, axis=1)[:, order]

    def precision(
        self, weights: npt.NDArray[np.int64] | None = None
    ) -> npt.NDArray[np.float64] | None:
        """Interpolated precision at recall 0, 0.01, … 1 for each IoU threshold.

        Args:
            weights: (n_images,) how often each image counts; by default once.

        Returns:
            float64 (10, 101); None without truth, 0 where a recall is not reached.
        """
        times = np.ones(len(self.n_true), dtype=np.int64) if weights is None else weights
        n_true = int((self.n_true * times).sum())
        if n_true == 0:
            return None
        weight = times[self.image]
        found = np.cumsum(self.matched * weight, axis=1)
        counted = weight if self.judged is None else self.judged * weight
        shown = np.maximum(np.cumsum(counted, axis=-1), 1)
        precision = np.maximum.accumulate((found / shown)[:, ::-1], axis=1)[:, ::-1]
        values = np.zeros((len(IOU_THRESHOLDS), len(RECALL_POINTS)))
        for level in range(len(IOU_THRESHOLDS)):
            first = np.searchsorted(found[level] / n_true, RECALL_POINTS, side="left")
            reached = first < len(weight)
            values[level, reached] = precision[level, first[reached]]
        return values

    def figures(self, weights: npt.NDArray[np.int64] | None = None) -> dict[str, float]:
        """``ap``, ``ap50``, ``ap75`` and ``ar`` of weighted images; all NaN without truth."""
        precision = self.precision(weights)
        if precision is None:
            return dict.fromkeys(("ap", "ap50", "ap75", "ar"), math.nan)
        times = np.ones(len(self.n_true), dtype=np.int64) if weights is None else weights
        found = (self.matched * times[self.image]).sum(axis=1)
        return {
            "ap": float(precision.mean()),
            "ap50": float(precision[0].mean()),
            "ap75": float(precision[5].mean()),
            "ar": float((found / (self.n_true * times).sum()).mean()),
        }
