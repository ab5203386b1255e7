"""Which predictions count where a least area or a region leaves instances out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mito_instance.evaluation.pairing import ImagePair
from mito_instance.masks import rle

_MIN_IOU = 0.5


def best_partners(pair: ImagePair) -> npt.NDArray[np.intp]:
    """The true instance that each prediction is most alike.

    Args:
        pair: all M true instances and N predictions of an image, also those that do not count.

    Returns:
        (N,) position of the true instance of the largest IoU; -1 where that is 0.5 or less.
    """
    truth, pred = pair
    iou = rle.iou_matrix(list(truth.masks), list(pred.masks))
    if not iou.size:
        return np.full(len(pred), -1, dtype=np.intp)
    partners: npt.NDArray[np.intp] = np.where(iou.max(axis=0) > _MIN_IOU, iou.argmax(axis=0), -1)
    return partners


def counted_predictions(
    pair: ImagePair,
    kept_true: npt.NDArray[np.bool_],
    kept_pred: npt.NDArray[np.bool_],
    partners: npt.NDArray[np.intp] | None = None,
) -> npt.NDArray[np.bool_]:
    """Which predictions count where a limit leaves out some instances of either side.

    A prediction counts if its partner does; one without a partner if it keeps the limit itself.
    An object on the limit, which the two sides see a pixel apart, is no error then.

    Args:
        pair: M true instances and N predictions of an image.
        kept_true: bool (M,), the true instances that keep the limit.
        kept_pred: bool (N,), the predictions that keep it.
        partners: what `best_partners` gives, where it is known already.

    Returns:
        bool (N,).
    Source: pycocotools with area ranges: a detection that matches a left-out instance is ignored,
    and one out of the range only if it matches none.
    """
    if kept_true.all() and kept_pred.all():
        return kept_pred
    partners = best_partners(pair) if partners is None else partners
    counted = kept_pred.copy()
    has_partner = partners >= 0
    counted[has_partner] = kept_true[partners[has_partner]]
    return counted
