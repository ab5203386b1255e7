"""A few annotated images: which of them to train on, and which to validate on, if any."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mito_instance.annotations.splits import GroupBy, SplitOptions, split_images
from mito_instance.errors import ConfigError
from mito_instance.instances import ImageInstances

LEAST_IMAGES = 5
VAL_SHARE = 0.2


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
