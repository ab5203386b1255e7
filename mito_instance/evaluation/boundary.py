"""How well the outlines of two foregrounds agree: boundary precision, recall and F1."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mito_instance.masks import rle
from mito_instance.masks.rle import RLE, BoolMask

TOLERANCE_PX = 2.0


@dataclass(frozen=True, slots=True)
class BoundaryCounts:
    """Pixels of outlines; added over images, divided last.

    Args:
        near_true: predicted outline pixels within the tolerance of a true one.
        n_pred: predicted outline pixels.
        near_pred: true outline pixels within the tolerance of a predicted one.
        n_true: true outline pixels.
    """

    near_true: int = 0
    n_pred: int = 0
    near_pred: int = 0
    n_true: int = 0


def count_boundaries(
    truth: RLE, pred: RLE, tolerance_px: float = TOLERANCE_PX, within: RLE | None = None
) -> BoundaryCounts:
    """Outline pixels of two foregrounds of one image that lie near each other.

    The outline is the foreground's own pixels that touch background by an edge. The edge of
    the image is no outline, since no one knows where an object ends that is cut off there.

    Args:
        truth: true foreground.
        pred: predicted foreground.
        tolerance_px: largest distance of pixel centres that counts as near, >= 0.
        within: only outline pixels inside this mask count; by default all.

    Returns:
        The counts; all 0 where neither has foreground.
    Source: Csurka et al. 2013, BMVC; Perazzi et al. 2016, CVPR (F measure).
    """
    boxes = np.asarray(
        [box for mask in (truth, pred) if (box := rle.box_xywh(mask))[2]], dtype=np.int64
    )
    if not len(boxes):
        return BoundaryCounts()
    height, width = truth["size"]
    # One pixel of surroundings: an outline is where the foreground meets background.
    left, top = np.maximum(boxes[:, :2].min(axis=0) - 1, 0).tolist()
    right, bottom = (boxes[:, :2] + boxes[:, 2:]).max(axis=0).tolist()
    right, bottom = min(width, right + 1), min(height, bottom + 1)
    box = (left, top, right - left, bottom - top)
    outline_true, outline_pred = _outline(rle.crop(truth, box)), _outline(rle.crop(pred, box))
    kept = np.ones(outline_true.shape, dtype=bool) if within is None else rle.crop(within, box)
    return BoundaryCounts(
        near_true=_n_near(outline_pred & kept, outline_true, tolerance_px),
        n_pred=int(np.count_nonzero(outline_pred & kept)),
        near_pred=_n_near(outline_true & kept, outline_pred, tolerance_px),
        n_true=int(np.count_nonzero(outline_true & kept)),
    )


def _outline(mask: BoolMask) -> BoolMask:
    """Foreground pixels with a background pixel above, below, left or right."""
    padded = np.pad(mask, 1, mode="edge")
    core = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    outline: BoolMask = mask & ~core
    return outline


def _n_near(outline: BoolMask, other: BoolMask, tolerance_px: float) -> int:
    """Pixels of an outline within the tolerance of another outline."""
    if not other.any():
        return 0
    distance: npt.NDArray[np.float32] = np.asarray(
        cv2.distanceTransform((~other).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE),
        dtype=np.float32,
    )
    return int(np.count_nonzero(distance[outline] <= tolerance_px + 1e-4))
