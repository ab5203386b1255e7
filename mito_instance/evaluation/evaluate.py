"""Ties the figures together: from true and predicted instances to `Metrics`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import numpy.typing as npt

from mito_instance.errors import AnnotationError, ConfigError
from mito_instance.evaluation.associations import (
    Association,
    associate,
    count_associations,
    intersections_px,
)
from mito_instance.evaluation.coco_ap import AveragePrecision, average_precision
from mito_instance.evaluation.counts import count_agreement
from mito_instance.evaluation.matching import MatchCounts, count_matches
from mito_instance.evaluation.pairing import ImagePair, pair_images
from mito_instance.evaluation.semantic import PixelCounts, count_pixels
from mito_instance.instances import ImageInstances
from mito_instance.masks import rle


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


@dataclass(frozen=True, slots=True)
class ImageResult:
    """Counts of one image, to be added over images and divided last.

    Args:
        image: the image as the truth names it.
        image_pred: the image as the prediction names it.
        frame: 0-based page.
        match_50: counts at IoU > 0.5.
        match_75: counts at IoU > 0.75.
        foreground: pixels of all instances together.
        groups: how true and predicted instances overlap.
    """

    image: str
    image_pred: str
    frame: int
    match_50: MatchCounts
    match_75: MatchCounts
    foreground: PixelCounts
    groups: tuple[GroupResult, ...]

    @property
    def n_true(self) -> int:
        """True instances."""
        return self.match_50.tp + self.match_50.fn

    @property
    def n_pred(self) -> int:
        """Predicted instances at the score threshold."""
        return self.match_50.tp + self.match_50.fp

    def figures(self) -> dict[str, float | int]:
        """Figures of this image alone; NaN where undefined."""
        return _figures([self])


@dataclass(frozen=True, slots=True)
class Metrics:
    """Result of an evaluation.

    Args:
        average_precision: COCO's figures, of the predictions at all scores.
        images: one result for each image that stands in both files, in the order of the truth.
        unpaired_true: (image, frame) of true images without a prediction; not scored.
        unpaired_pred: (image, frame) of predicted images without a truth; not scored.
    """

    average_precision: AveragePrecision
    images: tuple[ImageResult, ...]
    unpaired_true: tuple[tuple[str, int], ...] = field(default=())
    unpaired_pred: tuple[tuple[str, int], ...] = field(default=())

    def summary(self) -> dict[str, float | int]:
        """All figures over all images, by name; fractions in [0, 1], undefined ones NaN."""
        agreement = count_agreement(
            [result.n_true for result in self.images], [result.n_pred for result in self.images]
        )
        return {
            "n_images": len(self.images),
            **asdict(self.average_precision),
            **_figures(self.images),
            "count_mae": agreement.mean_absolute_error,
            "count_bias": agreement.bias,
            "count_limit_low": agreement.limit_low,
            "count_limit_high": agreement.limit_high,
        }


def evaluate(
    images_true: Sequence[ImageInstances],
    images_pred: Sequence[ImageInstances],
    *,
    min_area_px: int = 0,
    score_threshold: float = 0.0,
    progress: bool = False,
) -> Metrics:
    """Score predictions against a truth, on the images that stand in both.

    All categories count as one. Instances below ``min_area_px`` are left out of the truth and
    of the predictions alike. AP and AR use the predictions at all scores; everything else
    those with score >= ``score_threshold``, which is what a user of the counts would see.

    Args:
        images_true: truth; instances may overlap.
        images_pred: predictions, in any order of images and instances.
        min_area_px: smallest instance that counts, in pixels; 0 keeps all.
        score_threshold: in [0, 1]; 0 keeps all.
        progress: show a progress bar on stderr.

    Returns:
        The metrics; unpaired images are listed and not scored.

    Raises:
        ConfigError: if a threshold is given and predictions have no scores, or an option is
            out of range.
        AnnotationError: if no image stands in both, or images cannot be paired (see
            `pair_images`).
    """
    if min_area_px < 0 or not 0 <= score_threshold <= 1:
        raise ConfigError(
            "evaluation: the minimum area must be >= 0 px and the score threshold in [0, 1], "
            f"got {min_area_px} px and {score_threshold}; correct the option"
        )
    pairing = pair_images(images_true, images_pred)
    if not pairing.pairs:
        raise AnnotationError(
            "truth and prediction share no image, neither by path nor by name and frame: "
            f"truth has {len(images_true)}{_example(images_true)}, prediction has "
            f"{len(images_pred)}{_example(images_pred)}; check that both are of the same images"
        )
    from tqdm import tqdm

    ranked: list[ImagePair] = []
    results: list[ImageResult] = []
    for truth, pred in tqdm(
        pairing.pairs, desc="evaluate", unit="image", disable=not progress, leave=False
    ):
        areas_true = _areas_px(truth)
        areas_pred = _areas_px(pred)
        kept_true = areas_true >= min_area_px
        kept_pred = areas_pred >= min_area_px
        ranked.append((truth.select(kept_true), pred.select(kept_pred)))
        kept_pred &= _above(pred, score_threshold)
        results.append(
            _image_result(truth, pred, np.flatnonzero(kept_true), np.flatnonzero(kept_pred))
        )
    return Metrics(
        average_precision=average_precision(ranked),
        images=tuple(results),
        unpaired_true=tuple((image.image, image.frame) for image in pairing.unpaired_true),
        unpaired_pred=tuple((image.image, image.frame) for image in pairing.unpaired_pred),
    )


def _image_result(
    truth: ImageInstances,
    pred: ImageInstances,
    kept_true: npt.NDArray[np.intp],
    kept_pred: npt.NDArray[np.intp],
) -> ImageResult:
    """Everything about one image but its AP, for the instances that were kept."""
    scored_true, scored_pred = truth.select(kept_true), pred.select(kept_pred)
    areas_true, areas_pred = _areas_px(scored_true), _areas_px(scored_pred)
    iou = rle.iou_matrix(list(scored_true.masks), list(scored_pred.masks))
    shared_px = intersections_px(iou, areas_true, areas_pred)
    groups = [
        GroupResult(
            association=Association(
                true_indices=tuple(int(kept_true[i]) for i in group.true_indices),
                pred_indices=tuple(int(kept_pred[j]) for j in group.pred_indices),
            ),
            box_xywh=_box_around(
                [scored_true.masks[i] for i in group.true_indices]
                + [scored_pred.masks[j] for j in group.pred_indices]
            ),
            area_true_px=int(areas_true[list(group.true_indices)].sum()),
            area_pred_px=int(areas_pred[list(group.pred_indices)].sum()),
        )
        for group in associate(shared_px, areas_true, areas_pred)
    ]
    return ImageResult(
        image=truth.image,
        image_pred=pred.image,
        frame=truth.frame,
        match_50=count_matches(iou, 0.5),
        match_75=count_matches(iou, 0.75),
        foreground=count_pixels(scored_true, scored_pred),
        groups=tuple(groups),
    )


def _figures(results: Sequence[ImageResult]) -> dict[str, float | int]:
    """Figures that are quotients of sums over images."""
    match_50 = sum((result.match_50 for result in results), MatchCounts())
    match_75 = sum((result.match_75 for result in results), MatchCounts())
    foreground = sum((result.foreground for result in results), PixelCounts())
    kinds = count_associations(group.association for result in results for group in result.groups)
    return {
        "n_true": match_50.tp + match_50.fn,
        "n_pred": match_50.tp + match_50.fp,
        "f1_50": match_50.f1,
        "precision_50": match_50.precision,
        "recall_50": match_50.recall,
        "detection_accuracy_50": match_50.detection_accuracy,
        "f1_75": match_75.f1,
        "precision_75": match_75.precision,
        "recall_75": match_75.recall,
        "pq": match_50.pq,
        "iou_foreground": foreground.iou,
        "dice_foreground": foreground.dice,
        "precision_foreground": foreground.precision,
        "recall_foreground": foreground.recall,
        **asdict(kinds),
    }


def _above(pred: ImageInstances, score_threshold: float) -> npt.NDArray[np.bool_]:
    """Which predictions reach the threshold."""
    if pred.scores is not None:
        reached: npt.NDArray[np.bool_] = pred.scores >= score_threshold
        return reached
    if score_threshold > 0 and len(pred):
        raise ConfigError(
            f"{pred.image}: a score threshold of {score_threshold} needs scores, but the "
            "predictions have none; leave the threshold out"
        )
    return np.ones(len(pred), dtype=bool)


def _areas_px(instances: ImageInstances) -> npt.NDArray[np.int64]:
    return np.asarray([rle.area_px(mask) for mask in instances.masks], dtype=np.int64)


def _box_around(masks: Sequence[rle.RLE]) -> tuple[int, int, int, int]:
    """Box (x, y, width, height) around masks; all 0 where none has a pixel."""
    boxes = np.asarray([box for mask in masks if (box := rle.box_xywh(mask))[2]], dtype=np.int64)
    if not len(boxes):
        return (0, 0, 0, 0)
    x, y = boxes[:, :2].min(axis=0).tolist()
    right, bottom = (boxes[:, :2] + boxes[:, 2:]).max(axis=0).tolist()
    return (x, y, right - x, bottom - y)


def _example(images: Sequence[ImageInstances]) -> str:
    """The first image, to show how this side names them."""
    return f" (such as {images[0].image}, frame {images[0].frame})" if images else ""
