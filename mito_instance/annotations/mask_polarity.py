"""Which side of a mask is the background: the one that surrounds the other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from mito_instance.io.mask_pages import COLOURS, PALETTE, MaskPage
from mito_instance.masks.rle import BoolMask

Foreground = Literal["auto", "bright", "dark"]
FOREGROUNDS: tuple[Foreground, ...] = ("auto", "bright", "dark")

_MIN_SHARE = 0.5
_MIN_FRAME_SHARE = 0.5
_MIN_CONNECTED_SHARE = 0.9


def is_surrounding(side: BoolMask) -> bool:
    """Whether one side of a mask is what surrounds the objects, and so is background.

    It does when it covers more than half of the image, more than half of the outermost pixels,
    some of each border, and when nine tenths of it are one connected piece. A tissue that is
    packed with mitochondria passes the first three, but hardly the last, unless the objects
    touch each other: then the user must say ``bright``.

    Args:
        side: bool (H, W).
    """
    borders = (side[0], side[-1], side[:, 0], side[:, -1])
    if side.mean() <= _MIN_SHARE or not all(border.any() for border in borders):
        return False
    if np.concatenate(borders).mean() <= _MIN_FRAME_SHARE:
        return False
    n_pieces, _, stats, _ = cv2.connectedComponentsWithStats(side.astype(np.uint8), connectivity=4)
    largest = int(stats[1:, cv2.CC_STAT_AREA].max()) if n_pieces > 1 else 0
    return largest >= _MIN_CONNECTED_SHARE * int(side.sum())


def with_ground_at_0(page: MaskPage) -> tuple[MaskPage, str]:
    """A page with a palette of colours, with 0 for the colour that surrounds all others.

    Programs number the colours of a picture as they like; label images that were made with a
    palette have their background at 0 already.

    Args:
        page: of any form.

    Returns:
        The page, its numbers of this page alone as those of colours, and the repair in words; the
        page as it was and no words where it needs none.
    """
    if page.form != PALETTE:
        return page, ""
    indices = page.values
    counts = np.bincount(indices.ravel(), minlength=1)
    ground = int(np.argmax(counts))
    is_drawing = ground > 0 and counts[0] and np.count_nonzero(counts) > 2
    if not is_drawing or not is_surrounding(indices == ground):
        return page, ""
    numbers = indices.astype(np.int64) + 1
    numbers[indices == ground] = 0
    repair = f"colour {ground} of the palette, which surrounds the rest, is background"
    return replace(page, values=numbers, form=COLOURS), repair


def background_value(
    labels: npt.NDArray[Any], values: npt.NDArray[Any], counts: npt.NDArray[np.int64]
) -> int | None:
    """The value that surrounds all others in a label image without 0; None if none does.

    Args:
        labels: (H, W) without 0.
        values: the values that occur.
        counts: pixels of each.
    """
    commonest = int(values[int(np.argmax(counts))])
    return commonest if is_surrounding(labels == commonest) else None
