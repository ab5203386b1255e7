"""What is known of one image after it was scored: counts to be added over images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mito_instance.calibration import PixelSize
from mito_instance.evaluation.associations import Association, Kind, associate, intersections_px
from mito_instance.evaluation.boundary import BoundaryCounts, count_boundaries
from mito_instance.evaluation.coco_ap import IOU_THRESHOLDS
from mito_instance.evaluation.iou_overlaps import IouOverlaps, count_iou_overlaps
from mito_instance.evaluation.matching import MatchCounts, count_matches, match
from mito_instance.evaluation.pairing import ImagePair
from mito_instance.evaluation.precision_recall import Detections
from mito_instance.evaluation.semantic import PixelCounts, compare_foregrounds
from mito_instance.masks import rle
from mito_instance.masks.rle import RLE


@dataclass(frozen=True, slots=True)
class GroupResult:
    """One association with what is needed to find it in the image.

    Args:
        association: positions count all instances of the image, also those left out.
        box_xywh: box around all instances of the group, in pixels.
        area_true_px: sum of the areas of its true instances.
        area_pred_px: sum of the areas of its predicted instances.
    """

    association: Association
    box_xywh: tuple[int, int, int, int]
    area_true_px: int
    area_pred_px: int


@dataclass(frozen=True, slots=True, eq=False)
class SideResult:
    """The instances of one side, truth or prediction, one by one.

    Args:
        indices: (N,) positions in the image's file order.
        areas_px: (N,) areas.
        touches_border: bool (N,), whether the box reaches the edge of the image.
        is_matched: bool (N,), whether the instance has a partner at IoU > 0.5.
        kinds: N kinds of the association that each belongs to.
    """

    indices: npt.NDArray[np.intp]
    areas_px: npt.NDArray[np.int64]
    touches_border: npt.NDArray[np.bool_]
    is_matched: npt.NDArray[np.bool_]
    kinds: tuple[Kind, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ImageResult:
    """Counts of one image, to be added over images and divided last.

    Args:
        image: the image as the truth names it.
        image_pred: the image as the prediction names it.
        frame: 0-based page.
        pixel_size: None when unknown.
        considered_px: pixels of the image, or of the region that was annotated.
        matches: counts at IoU > 0.50, 0.55, … 0.95.
        foreground: pixels of all instances together.
        boundary: outline pixels of the foreground.
        iou_overlaps: splits and merges by IoU > 0.1.
        groups: how true and predicted instances overlap.
        true: the true instances.
        pred: the predicted instances at the score threshold.
        detections: the predictions at all scores, for AP.
    """

    image: str
    image_pred: str
    frame: int
    pixel_size: PixelSize | None
    considered_px: int
    matches: tuple[MatchCounts, ...]
    foreground: PixelCounts
    boundary: BoundaryCounts
    iou_overlaps: IouOverlaps
    groups: tuple[GroupResult, ...]
    true: SideResult
    pred: SideResult
    detections: Detections

    @property
    def n_true(self) -> int:
        """True instances."""
        return len(self.true.areas_px)

    @property
    def n_pred(self) -> int:
        """Predicted instances at the score threshold."""
        return len(self.pred.areas_px)


def score_image(
    pair: ImagePair,
    kept_true: npt.NDArray[np.intp],
    kept_pred: npt.NDArray[np.intp],
    detections: Detections,
    foreground: ImagePair,
    region: RLE | None = None,
) -> ImageResult:
    """Score one image.

    Args:
        pair: all instances of the truth and of the prediction.
        kept_true: positions of the true instances that count.
        kept_pred: positions of the predictions that count.
        detections: what `precision_recall.match_detections` found at all scores.
        foreground: the instances whose pixels are compared. With a region these are more than
            those that count: an object of which a third lies inside is foreground there.
        region: pixels and outlines are compared inside it only; by default everywhere.

    Returns:
        The counts; 0 everywhere for an image without instances.
    """
    truth, pred = pair
    scored_true, scored_pred = truth.select(kept_true), pred.select(kept_pred)
    areas_true, areas_pred = areas_px(scored_true.masks), areas_px(scored_pred.masks)
    iou = rle.iou_matrix(list(scored_true.masks), list(scored_pred.masks))
    shared_px = intersections_px(iou, areas_true, areas_pred)
    associations = associate(shared_px, areas_true, areas_pred)
    groups = tuple(
        GroupResult(
            association=Association(
                true_indices=tuple(int(kept_true[i]) for i in group.true_indices),
                pred_indices=tuple(int(kept_pred[j]) for j in group.pred_indices),
            ),
            box_xywh=box_around(
                [scored_true.masks[i] for i in group.true_indices]
                + [scored_pred.masks[j] for j in group.pred_indices]
            ),
            area_true_px=int(areas_true[list(group.true_indices)].sum()),
            area_pred_px=int(areas_pred[list(group.pred_indices)].sum()),
        )
        for group in associations
    )
    union_true, union_pred = (rle.union(list(side.masks), truth.image_hw) for side in foreground)
    rows, columns = match(iou, 0.5)
    return ImageResult(
        image=truth.image,
        image_pred=pred.image,
        frame=truth.frame,
        pixel_size=truth.pixel_size or pred.pixel_size,
        considered_px=(
            truth.image_hw[0] * truth.image_hw[1] if region is None else rle.area_px(region)
        ),
        matches=tuple(count_matches(iou, round(float(level), 2)) for level in IOU_THRESHOLDS),
        foreground=compare_foregrounds(union_true, union_pred, region),
        boundary=count_boundaries(union_true, union_pred, within=region),
        iou_overlaps=count_iou_overlaps(iou),
        groups=groups,
        true=_side(kept_true, scored_true.masks, areas_true, rows, "true", associations),
        pred=_side(kept_pred, scored_pred.masks, areas_pred, columns, "pred", associations),
        detections=detections,
    )


def areas_px(masks: Sequence[RLE]) -> npt.NDArray[np.int64]:
    """Areas of masks; an empty array for none."""
    return np.asarray([rle.area_px(mask) for mask in masks], dtype=np.int64)


def box_around(masks: Sequence[RLE]) -> tuple[int, int, int, int]:
    """Box (x, y, width, height) around masks; all 0 where none has a pixel."""
    boxes = np.asarray([box for mask in masks if (box := rle.box_xywh(mask))[2]], dtype=np.int64)
    if not len(boxes):
        return (0, 0, 0, 0)
    x, y = boxes[:, :2].min(axis=0).tolist()
    right, bottom = (boxes[:, :2] + boxes[:, 2:]).max(axis=0).tolist()
    return (x, y, right - x, bottom - y)


def _side(
    kept: npt.NDArray[np.intp],
    masks: Sequence[RLE],
    areas: npt.NDArray[np.int64],
    matched: npt.NDArray[np.intp],
    side: str,
    associations: Sequence[Association],
) -> SideResult:
    """The instances of one side with what happened to each."""
    is_matched = np.zeros(len(masks), dtype=bool)
    is_matched[matched] = True
    kinds: list[Kind] = ["missed"] * len(masks)
    for group in associations:
        for index in group.true_indices if side == "true" else group.pred_indices:
            kinds[index] = group.kind
    return SideResult(
        kept, areas, np.asarray([_at_border(mask) for mask in masks], bool), is_matched, (*kinds,)
    )


def _at_border(mask: RLE) -> bool:
    x, y, width, height = rle.box_xywh(mask)
    image_height, image_width = mask["size"]
    return width > 0 and (
        x == 0 or y == 0 or x + width == image_width or y + height == image_height
    )
