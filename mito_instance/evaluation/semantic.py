"""Foreground against background: IoU, Dice, precision and recall of pixels."""

from __future__ import annotations

from dataclasses import dataclass

from mito_instance.evaluation.matching import ratio
from mito_instance.instances import ImageInstances
from mito_instance.masks import rle


@dataclass(frozen=True, slots=True)
class PixelCounts:
    """Foreground pixels; added over images, divided last.

    Args:
        tp: pixels that are foreground in both.
        fp: pixels that are foreground in the prediction only.
        fn: pixels that are foreground in the truth only.
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0

    def __add__(self, other: PixelCounts) -> PixelCounts:
        """Counts of both, as of one larger image."""
        return PixelCounts(tp=self.tp + other.tp, fp=self.fp + other.fp, fn=self.fn + other.fn)

    @property
    def iou(self) -> float:
        """TP / (TP + FP + FN), in [0, 1]; NaN where neither has foreground."""
        return ratio(self.tp, self.tp + self.fp + self.fn)

    @property
    def dice(self) -> float:
        """2 TP / (2 TP + FP + FN), in [0, 1]; NaN where neither has foreground."""
        return ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def precision(self) -> float:
        """TP / (TP + FP), in [0, 1]; NaN without predicted foreground."""
        return ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """TP / (TP + FN), in [0, 1]; NaN without true foreground."""
        return ratio(self.tp, self.tp + self.fn)


def count_pixels(truth: ImageInstances, pred: ImageInstances) -> PixelCounts:
    """Foreground pixels of one image: the union of its instances against the other's.

    Works on run lengths; no image-sized array is made.

    Args:
        truth: true instances; they may overlap.
        pred: predicted instances of the same image.

    Returns:
        The counts; all 0 where neither has an instance.
    """
    union_true = rle.union(list(truth.masks), truth.image_hw)
    union_pred = rle.union(list(pred.masks), pred.image_hw)
    tp = rle.intersection_px(union_true, union_pred)
    return PixelCounts(tp=tp, fp=rle.area_px(union_pred) - tp, fn=rle.area_px(union_true) - tp)
