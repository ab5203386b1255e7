"""Crowd regions of a truth: where nobody outlined single instances, nothing found is an error."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mito_instance.evaluation.associations import associate, intersections_px
from mito_instance.evaluation.pairing import ImagePair
from mito_instance.masks import rle
from mito_instance.masks.rle import RLE

MAX_INSIDE = 0.5


def shares_inside(crowds: Sequence[RLE], masks: Sequence[RLE]) -> npt.NDArray[np.float64]:
    """How much of each mask lies in each crowd region; COCO takes this for their IoU.

    Args:
        crowds: M crowd regions of one image.
        masks: N masks of the same image.

    Returns:
        float64 (M, N) in [0, 1]; 0 for a mask without pixels.
    Source: Lin et al. 2014, COCO; pycocotools ``mask.iou`` with iscrowd = 1.
    """
    shares = np.zeros((len(crowds), len(masks)))
    for column, mask in enumerate(masks if crowds else ()):
        area_px = rle.area_px(mask)
        if area_px:
            shares[:, column] = [rle.intersection_px(crowd, mask) / area_px for crowd in crowds]
    return shares


def judged_predictions(pair: ImagePair) -> npt.NDArray[np.bool_]:
    """Which predictions can be judged: all but those that are only in crowd regions.

    A prediction is left out if it is linked to no true instance (see `associations.associate`)
    and more than half of it lies in crowd regions, as panoptic quality does it.

    Args:
        pair: the true instances that count, and N predictions.

    Returns:
        bool (N,); all of them where the truth has no crowd region.
    Source: Kirillov et al. 2019, Panoptic Segmentation, section 4.2 (void and group regions).
    """
    truth, pred = pair
    if not truth.crowds or not len(pred):
        return np.ones(len(pred), dtype=bool)
    region = rle.union(list(truth.crowds), truth.image_hw)
    judged: npt.NDArray[np.bool_] = shares_inside([region], pred.masks)[0] <= MAX_INSIDE
    areas_true, areas_pred = (
        np.asarray([rle.area_px(mask) for mask in side.masks], dtype=np.int64) for side in pair
    )
    iou = rle.iou_matrix(list(truth.masks), list(pred.masks))
    shared_px = intersections_px(iou, areas_true, areas_pred)
    for group in associate(shared_px, areas_true, areas_pred):
        if group.true_indices:
            judged[list(group.pred_indices)] = True
    return judged


def outside_crowds(
    crowds: Sequence[RLE], image_hw: tuple[int, int], region: RLE | None
) -> RLE | None:
    """The part of an image, or of its region, that lies in no crowd region.

    Args:
        crowds: crowd regions of the image.
        image_hw: its height and width in pixels.
        region: the annotated part; None for the whole image.

    Returns:
        The part as a mask; ``region`` itself where there are no crowd regions.
    """
    if not crowds:
        return region
    runs = rle.run_lengths(rle.union(list(crowds), image_hw))
    # Background and foreground change places where an empty run is put before, or taken away.
    runs = runs[1:] if runs[0] == 0 else np.concatenate([[0], runs])
    outside = rle.from_run_lengths(runs, image_hw)
    return outside if region is None else rle.intersect(outside, region)
