"""A few annotated images: which of them to train on, and which to measure on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mito_instance.annotations.splits import GroupBy, SplitOptions, split_images
from mito_instance.errors import AnnotationError, ConfigError
from mito_instance.instances import ImageInstances

LEAST_IMAGES = 5
VAL_SHARE = 0.2
MOST_FOLDS = 3


def hold_out(
    images: Sequence[ImageInstances], rng: np.random.Generator
) -> tuple[list[ImageInstances], list[ImageInstances]]:
    """Training and validation images; the latter are empty where there are too few to spare.

    Single images are drawn alone, stacks stay whole, and one stack alone is cut in two runs of
    slices with one slice left out between them.

    Args:
        images: annotated images or pages.
        rng: source of the draw.

    Returns:
        Images to train on and to validate on. Validation images show at least one instance in
        all, and so do training images, or nothing is held out.
    """
    everything: tuple[list[ImageInstances], list[ImageInstances]] = (list(images), [])
    if len(images) < LEAST_IMAGES:
        return everything
    files = {image.image for image in images}
    by: GroupBy = "image"
    gap = 0
    if len(files) == 1:
        gap = 1
    elif len(files) < len(images):
        by = "stack"
    try:
        parts = split_images(images, SplitOptions(val=VAL_SHARE, by=by, gap=gap), rng).parts
    except ConfigError:
        return everything
    if not all(sum(map(len, part)) for part in parts.values()):
        return everything
    return list(parts["train"]), list(parts["val"])


def folds(
    images: Sequence[ImageInstances],
) -> list[tuple[list[ImageInstances], list[ImageInstances]]]:
    """The parts of a cross-validation: each image is held out once.

    Two or three images are held out one by one, more in three runs of neighbours: the slices of a
    stack, and images whose names begin alike, are mostly in one part.

    Args:
        images: annotated images or pages, in order.

    Returns:
        (images to train on, images held out) of each part.

    Raises:
        AnnotationError: if there are fewer than two images, or a part would learn from images
            without any instance.
    """
    if len(images) < 2:
        raise AnnotationError(
            f"{len(images)} outlined image: a cross-validation needs 2 or more; outline another one"
        )
    parts = []
    for held_out in np.array_split(np.arange(len(images)), min(len(images), MOST_FOLDS)):
        first, end = int(held_out[0]), int(held_out[-1]) + 1
        rest = [*images[:first], *images[end:]]
        if not any(map(len, rest)):
            names = ", ".join(image.image for image in images[first:end][:3])
            raise AnnotationError(
                f"{names}: all outlined mitochondria are there, so a cross-validation could learn "
                "from nothing else; outline other images as well"
            )
        parts.append((rest, list(images[first:end])))
    return parts
