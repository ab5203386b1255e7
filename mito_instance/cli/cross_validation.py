"""Cross-validation of a fine-tuning: figures and thresholds although no image can be spared."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from mito_instance.annotations.holdout import folds
from mito_instance.cli.validation import LeastArea, figures_of, validation_of

if TYPE_CHECKING:
    from mito_instance.instances import ImageInstances

    Validate = Callable[[Any], dict[str, float]]
    CheckPart = Callable[[list[ImageInstances], list[ImageInstances]], None]
    TrainPart = Callable[[list[ImageInstances], list[ImageInstances], str, Validate], None]

logger = logging.getLogger(__name__)


def cross_validate(
    images: Sequence[ImageInstances],
    train: TrainPart,
    sources: Sequence[ImageInstances] | None = None,
    check: CheckPart | None = None,
) -> Validate:
    """Train on parts of the images and measure on the rest, each image once.

    Args:
        images: all outlined images, in order.
        train: trains on the first images and calls the function with the predictor that came out
            of it; it also gets the images that are held out, and a name of the part for the bar.
        sources: pages that the images are parts of, in the same order, if they are.
        check: gets the same images of every part before the first is trained.

    Returns:
        Gives the figures of ``validation_of`` over all images, at one score threshold for all,
        whatever predictor it takes; where the models chose a ``foreground_threshold``, each on
        what was held out, its median.

    Raises:
        AnnotationError: if the images cannot be divided, as when there is only one.
    """
    parts = folds(images, sources)
    if check is not None:
        for rest, held_out in parts:
            check(rest, held_out)
    predicted: list[ImageInstances] = []
    foreground: list[float] = []
    least: list[LeastArea] = []
    own: list[float] = []
    for number, (rest, held_out) in enumerate(parts, start=1):
        measure = validation_of(held_out, collected=predicted)

        def validate(predictor: Any, measure: Validate = measure) -> dict[str, float]:
            figures = measure(predictor)
            least.append(LeastArea.of(predictor))
            own.append(predictor.score_threshold)
            if "foreground_threshold" in figures:
                foreground.append(figures["foreground_threshold"])
            return figures

        train(rest, held_out, f"part {number} of {len(parts)}", validate)
    figures = figures_of(images, predicted, least[0], own[0])
    if foreground:
        figures["foreground_threshold"] = median(foreground)
    words = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
    logger.info("cross-validation of %d images: %s", len(images), words)
    return lambda _: figures
