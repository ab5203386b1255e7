"""What a training calls to measure its model: the figures of ``mito evaluate`` on the images."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

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


@dataclass(frozen=True, slots=True)
class LeastArea:
    """The area from which instances count, in the pixels that a model sees.

    Args:
        area_px: ``MITO.MIN_AREA_PX`` of the model.
        model_nm: its pixel size; None where images are taken as they are.
    """

    area_px: int
    model_nm: float | None

    @classmethod
    def of(cls, predictor: Any) -> LeastArea:
        """That of a predictor's model."""
        return cls(int(predictor.cfg.MITO.MIN_AREA_PX), predictor.pixel_size_nm)

    def is_kept(self, image: ImageInstances) -> npt.NDArray[np.bool_]:
        """Which instances have it; where a pixel size is not known, a pixel is the model's."""
        import numpy as np

        from mito_instance.masks import rle

        zoom = 1.0
        if self.model_nm is not None and image.pixel_size is not None:
            zoom = image.pixel_size.nm / self.model_nm
        return np.asarray(
            [rle.area_px(mask) * zoom**2 >= self.area_px for mask in image.masks], dtype=bool
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
        Takes a predictor, gives ``FIGURES``, the ``score_threshold`` that they belong to and
        other thresholds that were chosen. Figures that are undefined are left out, and so is a
        threshold that should be chosen, but that nothing on these images tells: the predictor's
        own holds.
    """
    from tqdm import tqdm

    from mito_instance.inference.pipeline import predict_page
    from mito_instance.io.images import read_page

    def validate(predictor: Any) -> dict[str, float]:
        choices = predictor.calibrate(truth) if calibrate and any(map(len, truth)) else {}
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
        least = LeastArea.of(predictor)
        own = predictor.score_threshold
        return figures_of(truth, predicted, least, own, choose=calibrate) | choices

    return validate


def figures_of(
    truth: Sequence[ImageInstances],
    predicted: Sequence[ImageInstances],
    least: LeastArea,
    threshold: float,
    *,
    choose: bool = True,
) -> dict[str, float]:
    """How good predictions are.

    Args:
        truth: images with all their instances.
        predicted: the same images with scores, unthresholded.
        least: smaller instances are left out, as by `evaluate`.
        threshold: score from which a prediction counts.
        choose: take the threshold that suits these best instead, if any prediction is right.

    Returns:
        ``FIGURES`` and ``score_threshold``. Figures that are undefined are left out, and so is
        the threshold if it should be chosen and no prediction is right.
    """
    from mito_instance.evaluation.counted import counted_predictions
    from mito_instance.evaluation.evaluate import evaluate
    from mito_instance.evaluation.pairing import pair_images
    from mito_instance.evaluation.thresholds import best_score_threshold

    pairs = []  # the limit is another in images of another pixel size
    for pair in pair_images(truth, predicted).pairs:
        large_true, large_pred = map(least.is_kept, pair)
        counted = counted_predictions(pair, large_true, large_pred)
        pairs.append((pair[0].select(large_true), pair[1].select(counted)))
    truth, predicted = ([pair[side] for pair in pairs] for side in (0, 1))
    if choose:
        stated = best_score_threshold(truth, predicted, default=math.nan)
        threshold = threshold if math.isnan(stated) else stated
    else:
        stated = threshold
    summary = evaluate(truth, predicted, score_threshold=threshold).summary()
    figures = {name: float(summary[name]) for name in FIGURES} | {"score_threshold": stated}
    return {name: value for name, value in figures.items() if math.isfinite(value)}
