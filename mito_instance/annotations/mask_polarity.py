"""Which side of a mask is the background: the one that surrounds the other."""

from __future__ import annotations

from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

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
