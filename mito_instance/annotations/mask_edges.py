"""Masks whose edges fade: drawn with a soft brush, made smaller or taken out of a JPEG."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

_NEAR_END = 0.1
_BAND_PX = 5
"""A square of so many pixels does not fit between the inside of an object and the ground."""

_MIN_SHARE = 0.9


def has_soft_edges(mask: npt.NDArray[Any], high: float) -> bool:
    """Whether greys between 0 and the greatest value are the faded edges of what has that value.

    They are where they form thin bands alone, and where nine tenths of all pixels above 0 hang
    together with some of the greatest value: labels lie apart, or are larger.

    Args:
        mask: whole numbers (H, W), the least 0.
        high: the value of objects.
    """
    above = mask > 0
    faded = above & (mask < high - _NEAR_END * high)
    if cv2.erode(faded.astype(np.uint8), np.ones((_BAND_PX, _BAND_PX), np.uint8)).any():
        return False
    n_pieces, pieces = cv2.connectedComponents(above.astype(np.uint8), connectivity=8)
    sizes = np.bincount(pieces.ravel(), minlength=n_pieces)
    with_inside = np.unique(pieces[above & ~faded])
    n_above = int(above.sum())
    return n_above > 0 and int(sizes[with_inside].sum()) >= _MIN_SHARE * n_above
