"""Splits and merges as Caicedo et al. count them, beside those by association."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MIN_IOU = 0.1


@dataclass(frozen=True, slots=True)
class IouOverlaps:
    """Numbers of splits and merges by IoU; added over images.

    Args:
        n_split: true instances with an IoU > 0.1 with more than one prediction.
        n_merge: predictions with an IoU > 0.1 with more than one true instance.
    """

    n_split: int = 0
    n_merge: int = 0


def count_iou_overlaps(iou: npt.NDArray[np.float64]) -> IouOverlaps:
    """Splits and merges of one image by IoU > 0.1.

    For comparison with published counts only: small fragments have next to no IoU, so that a
    92/8 split and an instance in twelve pieces are not seen (see `associations.associate`).

    Args:
        iou: float (M, N) in [0, 1], M true and N predicted instances.

    Returns:
        The counts; 0 for an empty image.
    Source: Caicedo et al. 2019, Cytometry A 95:952-965.
    """
    linked = iou > MIN_IOU
    return IouOverlaps(
        n_split=int(np.count_nonzero(linked.sum(axis=1) > 1)),
        n_merge=int(np.count_nonzero(linked.sum(axis=0) > 1)),
    )
