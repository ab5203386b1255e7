"""Foreground against background: what IoU, Dice, precision and recall of pixels count."""

from __future__ import annotations

from dataclasses import dataclass

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


def compare_foregrounds(
    truth: rle.RLE, pred: rle.RLE, within: rle.RLE | None = None
) -> PixelCounts:
    """Pixels of two foregrounds of one image.

    Args:
        truth: true foreground.
        pred: predicted foreground.
        within: only pixels inside this mask count; by default all.

    Returns:
        The counts; all 0 where neither has foreground.
    """
    if within is not None:
        truth, pred = rle.intersect(truth, within), rle.intersect(pred, within)
    tp = rle.intersection_px(truth, pred)
    return PixelCounts(tp=tp, fp=rle.area_px(pred) - tp, fn=rle.area_px(truth) - tp)
