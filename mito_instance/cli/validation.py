"""What a training calls to measure its model: the figures of ``mito evaluate`` on the images."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mito_instance.instances import ImageInstances

FIGURES = (
    "ap",
    "ap50",
    "ap75",
    "ar",
    "f1_50",
    "f1_75",
    "pq",
    "iou_foreground",
    "dice_foreground",
    "count_mae",
    "count_bias",
)


def validation_of(
    truth: Sequence[ImageInstances],
    *,
    calibrate: bool = True,
    collected: list[ImageInstances] | None = None,
) -> Callable[[Any], dict[str, float]]:
    """A function that measures a predictor on annotated images, with progress on stderr.

    Args:
        truth: images with all their instances.
        calibrate: whether thresholds are chosen on these images; otherwise all is measured at
            the predictor's own, as `mito quantify` uses it.
        collected: gets what the predictor finds, whatever its score.

    Returns:
        Takes a predictor, gives ``FIGURES`` and the ``score_threshold`` that they belong to;
        figures that are undefined are left out.
    """
    from tqdm import tqdm

    from mito_instance.inference.pipeline import predict_page
    from mito_instance.io.images import read_page

    def validate(predictor: Any) -> dict[str, float]:
        choices = predictor.calibrate(truth) if calibrate else {}
        predicted = [
            predict_page(
                predictor,
                replace(read_page(Path(image.image), image.frame), pixel_size=image.pixel_size),
                score_threshold=0.0,
            )
            for image in tqdm(truth, desc="validate", unit="image", file=sys.stderr)
        ]
        if collected is not None:
            collected.extend(predicted)
        threshold = None if calibrate else predictor.score_threshold
        min_area_px = int(predictor.cfg.MITO.MIN_AREA_PX)
        return figures_of(truth, predicted, min_area_px, threshold) | choices

    return validate


def figures_of(
    truth: Sequence[ImageInstances],
    predicted: Sequence[ImageInstances],
    min_area_px: int,
    threshold: float | None = None,
) -> dict[str, float]:
    """How good predictions are.

    Args:
        truth: images with all their instances.
        predicted: the same images with scores, unthresholded.
        min_area_px: smaller instances are left out on both sides.
        threshold: score from which a prediction counts; None: the one that suits these best.

    Returns:
        ``FIGURES`` and ``score_threshold``; figures that are undefined are left out.
    """
    from mito_instance.evaluation.evaluate import evaluate
    from mito_instance.evaluation.thresholds import best_score_threshold

    if threshold is None:
        threshold = best_score_threshold(truth, predicted, min_area_px=min_area_px)
    summary = evaluate(
        truth, predicted, min_area_px=min_area_px, score_threshold=threshold
    ).summary()
    figures = {name: float(summary[name]) for name in FIGURES} | {"score_threshold": threshold}
    return {name: value for name, value in figures.items() if math.isfinite(value)}
