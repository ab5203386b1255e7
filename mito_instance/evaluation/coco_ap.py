"""COCO average precision of masks, with no cap on the number of instances per image."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mito_instance.evaluation.crowds import shares_inside
from mito_instance.evaluation.pairing import ImagePair
from mito_instance.instances import ImageInstances
from mito_instance.io.images import natural_key
from mito_instance.masks.rle import RLE, iou_matrix

_log = logging.getLogger(__name__)

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
MIN_DETECTIONS = 100
_MAX_AREA_PX = 1e18


@dataclass(frozen=True, slots=True)
class AveragePrecision:
    """COCO's figures, in [0, 1]; all NaN where there is no truth.

    Args:
        ap: mean over IoU 0.50, 0.55, … 0.95.
        ap50: at IoU 0.50.
        ap75: at IoU 0.75.
        ar: recall of all detections, mean over the same IoU.
    """

    ap: float = math.nan
    ap50: float = math.nan
    ap75: float = math.nan
    ar: float = math.nan


def average_precision(pairs: Sequence[ImagePair]) -> AveragePrecision:
    """COCO AP, AP50, AP75 and AR of masks, all categories as one.

    COCO's rules with one difference: every detection counts, however many an image has (COCO
    cuts at 100, which turns 300 perfect detections into an AP of 0.34). Equal scores keep the
    order of the file, as in pycocotools; predictions without any are ordered by their masks,
    so that the numbers of labels do not matter. What lies in crowd regions of the truth is no
    error. Instances of all areas count; COCO's small, medium and large mean nothing across
    magnifications.

    Args:
        pairs: (truth, prediction) of each image. Predictions without scores count as score 1.

    Returns:
        The figures; NaN without truth, 0 with truth and no detections.

    Source: Lin et al. 2014, COCO; computed by faster-coco-eval.
    """
    if not any(len(truth) for truth, _ in pairs):
        return AveragePrecision()
    if not any(len(pred) for _, pred in pairs):
        return AveragePrecision(0.0, 0.0, 0.0, 0.0)
    if any(len(pred) and pred.scores is None for _, pred in pairs):
        _log.warning("predictions without scores count as score 1; AP is that of one threshold")
        pairs = in_one_order(pairs)
    from faster_coco_eval import COCO, COCOeval_faster  # slow to import

    class MaskEvaluation(COCOeval_faster):  # type: ignore[misc]
        """Takes the IoU of masks from our matrices: it would parse every RLE once more."""

        def computeIoU(self, imgId: int, catId: int) -> Any:
            return overlaps[imgId - 1]

    ranked = [(_ranked_truth(truth), _ranked(pred)) for truth, pred in pairs]
    overlaps: list[Any] = [_overlaps(truth, pred) for truth, pred in ranked]
    evaluation = MaskEvaluation(
        COCO(_dataset([truth for truth, _ in ranked]), print_function=_log.debug),
        COCO(_dataset([pred for _, pred in ranked]), print_function=_log.debug),
        iouType="bbox",  # of its kinds of regions, the one that needs no preparation
        print_function=_log.debug,
        extra_calc=False,
    )
    evaluation.params.areaRng = [[0, _MAX_AREA_PX]]
    evaluation.params.areaRngLbl = ["all"]
    evaluation.params.iouThrs = IOU_THRESHOLDS
    evaluation.params.maxDets = [max(MIN_DETECTIONS, *(len(pred) for _, pred in pairs))]
    evaluation.evaluate()
    evaluation.accumulate()
    # precision: IoU x recall x category x area x maxDets; recall has no recall axis.
    precision = np.asarray(evaluation.eval["precision"])[:, :, 0, 0, 0]
    recall = np.asarray(evaluation.eval["recall"])[:, 0, 0, 0]
    return AveragePrecision(
        ap=float(precision.mean()),
        ap50=float(precision[_threshold_index(0.5)].mean()),
        ap75=float(precision[_threshold_index(0.75)].mean()),
        ar=float(recall.mean()),
    )


def in_one_order(pairs: Sequence[ImagePair]) -> list[ImagePair]:
    """Pairs by image and page, as files are listed, if predictions lack scores.

    All of these tie, so that the order decides on AP: it must not be that of a file.

    Args:
        pairs: (truth, prediction) of each image.

    Returns:
        The pairs, in their own order where there are scores.
    """
    if not any(len(pred) and pred.scores is None for _, pred in pairs):
        return list(pairs)
    return sorted(pairs, key=lambda pair: (natural_key(Path(pair[0].image)), pair[0].frame))


def rank(image: ImageInstances) -> tuple[npt.NDArray[np.float64], list[int]]:
    """Scores of the instances, and their positions from the highest score down.

    Equal scores keep the order of the file, as in pycocotools. Without scores, the masks
    decide, so that the order in the file does not matter.

    Args:
        image: N instances; without scores, all count as 1.

    Returns:
        The scores (N,) in the order of the image, and the ranked positions.
    """
    if image.scores is not None:
        return image.scores, np.argsort(-image.scores, kind="stable").tolist()
    texts = [_text(mask) for mask in image.masks]
    return np.ones(len(image)), sorted(range(len(image)), key=texts.__getitem__)


def _threshold_index(iou_threshold: float) -> int:
    return int(np.argmin(np.abs(IOU_THRESHOLDS - iou_threshold)))


@dataclass(frozen=True, slots=True)
class _Ranked:
    """Masks and scores of an image from the highest score down, and its crowd regions."""

    image_hw: tuple[int, int]
    masks: list[RLE]
    scores: list[float]
    crowds: tuple[RLE, ...] = ()


def _ranked(image: ImageInstances) -> _Ranked:
    scores, order = rank(image)
    return _Ranked(image.image_hw, [image.masks[i] for i in order], scores[order].tolist())


def _ranked_truth(image: ImageInstances) -> _Ranked:
    """True instances; scores in the truth, such as another annotator's model has, mean nothing."""
    return _Ranked(image.image_hw, list(image.masks), [1.0] * len(image), image.crowds)


def _overlaps(truth: _Ranked, pred: _Ranked) -> npt.NDArray[np.float64] | list[float]:
    """What COCO calls IoU: (D, G) of the detections with the instances, then the crowd regions."""
    if not pred.masks or not (truth.masks or truth.crowds):
        return []
    return np.concatenate(
        [iou_matrix(truth.masks, pred.masks), shares_inside(truth.crowds, pred.masks)]
    ).T


def _dataset(images: Sequence[_Ranked]) -> dict[str, Any]:
    """A COCO dataset of fresh dictionaries: the evaluation writes into what it is given.

    It carries no masks, and areas and boxes only because they must be there: without bounds on
    the area and with given overlaps, nothing looks at them.
    """
    annotations: list[dict[str, Any]] = []
    for image_id, image in enumerate(images, start=1):
        instances = [(score, 0) for score in image.scores] + [(1.0, 1)] * len(image.crowds)
        for score, is_crowd in instances:
            annotation = {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": 1,
                "iscrowd": is_crowd,
                "area": 1,
                "bbox": [0, 0, 1, 1],
                "score": score,
            }
            annotations.append(annotation)
    return {
        "info": {},
        "images": [
            {"id": image_id, "height": image.image_hw[0], "width": image.image_hw[1]}
            for image_id, image in enumerate(images, start=1)
        ],
        "categories": [{"id": 1, "name": "mitochondrion"}],
        "annotations": annotations,
    }


def _text(mask: RLE) -> str:
    counts = mask["counts"]
    return counts.decode("ascii") if isinstance(counts, bytes) else str(counts)
