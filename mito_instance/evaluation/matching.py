"""One-to-one matching of instances at one IoU threshold: F1, precision, recall, PQ."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


def ratio(numerator: float, denominator: float) -> float:
    """``numerator / denominator``; NaN where the denominator is 0."""
    return numerator / denominator if denominator else math.nan


@dataclass(frozen=True, slots=True)
class MatchCounts:
    """Counts of a one-to-one matching; added over images, divided last.

    Args:
        tp: matched pairs.
        fp: predictions without a partner.
        fn: true instances without a partner.
        iou_sum: sum of the IoU of the matched pairs.
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0
    iou_sum: float = 0.0

    def __add__(self, other: MatchCounts) -> MatchCounts:
        """Counts of both, as of one larger image."""
        return MatchCounts(
            tp=self.tp + other.tp,
            fp=self.fp + other.fp,
            fn=self.fn + other.fn,
            iou_sum=self.iou_sum + other.iou_sum,
        )

    @property
    def precision(self) -> float:
        """TP / (TP + FP), in [0, 1]; NaN without predictions."""
        return ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """TP / (TP + FN), in [0, 1]; NaN without truth."""
        return ratio(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN), in [0, 1]; NaN without truth and predictions."""
        return ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def pq(self) -> float:
        """Panoptic quality, in [0, 1]; NaN without truth and predictions.

        Defined for counts matched at an IoU threshold of 0.5.
        Source: Kirillov et al. 2019, Panoptic Segmentation, equation 1.
        """
        return ratio(self.iou_sum, self.tp + 0.5 * self.fp + 0.5 * self.fn)

    @property
    def sq(self) -> float:
        """Segmentation quality, the mean IoU of matched pairs, in [0, 1]; NaN without pairs."""
        return ratio(self.iou_sum, self.tp)

    @property
    def rq(self) -> float:
        """Recognition quality, in [0, 1]: the same as F1; PQ = SQ x RQ where SQ is defined."""
        return self.f1


def match(
    iou: npt.NDArray[np.float64], iou_threshold: float
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Best one-to-one matching of true and predicted instances.

    Optimal, not greedy: of all matchings whose pairs have an IoU strictly above the threshold
    it takes one with the most pairs, and of those one with the largest IoU sum. The result
    depends neither on the order of the instances nor on their scores. Where instances of one
    file do not overlap each other, pairs above 0.5 are unique and every method agrees.

    Args:
        iou: float (M, N) in [0, 1], M true and N predicted instances.
        iou_threshold: in [0, 1); a pair needs more than this.

    Returns:
        Positions in the truth and in the prediction, both (K,), K <= min(M, N); empty if
        either side is.

    Raises:
        ValueError: if the threshold lies outside [0, 1).
    """
    if not 0 <= iou_threshold < 1:
        raise ValueError(f"IoU threshold must satisfy 0 <= threshold < 1, got {iou_threshold}")
    from scipy.optimize import linear_sum_assignment  # slow to import

    allowed = iou > iou_threshold
    # The IoU parts add up to less than 1, so that one more pair outweighs any IoU sum.
    weights = np.where(allowed, 1 + iou / (min(iou.shape) + 1), 0.0)
    rows, columns = linear_sum_assignment(weights, maximize=True)
    kept = allowed[rows, columns]
    return rows[kept], columns[kept]


def count_matches(iou: npt.NDArray[np.float64], iou_threshold: float) -> MatchCounts:
    """Counts of the best one-to-one matching of one image (see `match`).

    Args:
        iou: float (M, N) in [0, 1], M true and N predicted instances.
        iou_threshold: in [0, 1); a pair needs more than this.

    Returns:
        The counts; all 0 for an empty image.
    """
    rows, columns = match(iou, iou_threshold)
    n_true, n_pred = iou.shape
    return MatchCounts(
        tp=len(rows),
        fp=n_pred - len(rows),
        fn=n_true - len(rows),
        iou_sum=math.fsum(iou[rows, columns].tolist()),
    )
