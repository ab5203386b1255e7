"""How well the outlines of two foregrounds agree: boundary precision, recall and F1."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mito_instance.masks import rle
from mito_instance.masks.rle import RLE, BoolMask

TOLERANCE_PX = 2.0
_STRIP_PX = 1 << 23


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
    # In strips, so that two specks in the corners of a montage cost no memory of its size.
    step = max(1, _STRIP_PX // (bottom - top))
    halo = int(tolerance_px) + 2
    counts = np.zeros(4, dtype=np.int64)
    for first in range(left, right, step):
        last = min(first + step, right)
        x0, x1 = max(left, first - halo), min(right, last + halo)
        box = (x0, top, x1 - x0, bottom - top)
        outline_true, outline_pred = (
            _outline(np.ascontiguousarray(rle.crop(mask, box))) for mask in (truth, pred)
        )
        kept = np.zeros(outline_true.shape, dtype=bool)
        kept[:, first - x0 : last - x0] = True
        if within is not None:
            kept &= rle.crop(within, box)
        counts += (
            _n_near(outline_pred & kept, outline_true, tolerance_px),
            int(np.count_nonzero(outline_pred & kept)),
            _n_near(outline_true & kept, outline_pred, tolerance_px),
            int(np.count_nonzero(outline_true & kept)),
        )
    return BoundaryCounts(*counts.tolist())


def _outline(mask: BoolMask) -> BoolMask:
    """Foreground pixels with a background pixel above, below, left or right."""
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    # What lies beyond the array counts as foreground here, by OpenCV's default.
    core = cv2.erode(mask.view(np.uint8), cross)
    outline: BoolMask = mask & (core == 0)
    return outline


def _n_near(outline: BoolMask, other: BoolMask, tolerance_px: float) -> int:
    """Pixels of an outline within the tolerance of another outline."""
    reach = int(tolerance_px)
    offsets = np.arange(-reach, reach + 1) ** 2
    disc = (offsets[:, None] + offsets[None, :] <= tolerance_px**2 + 1e-9).astype(np.uint8)
    near = cv2.dilate(other.view(np.uint8), disc)
    return int(np.count_nonzero(outline & (near > 0)))
