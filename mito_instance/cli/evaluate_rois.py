"""ROI zips of an evaluation: every instance in the colour of what happened to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePath

from mito_instance.evaluation.associations import Kind
from mito_instance.evaluation.evaluate import Metrics
from mito_instance.evaluation.image_result import SideResult
from mito_instance.instances import ImageInstances
from mito_instance.io.imagej_roi_writer import RoiStyle, write_roi_zip

STYLES: Mapping[Kind, RoiStyle] = {
    "one-to-one": RoiStyle(1, (80, 220, 60)),
    "split": RoiStyle(2, (255, 140, 0)),
    "merge": RoiStyle(3, (255, 0, 255)),
    "many-to-many": RoiStyle(4, (150, 130, 255)),
    "missed": RoiStyle(5, (255, 60, 60)),
    "false": RoiStyle(6, (0, 200, 255)),
}
"""ROI group and colour of each class."""

_UNSAFE = re.compile(r"[^\w .+-]")
_MAX_NAME = 100


def write_error_rois(folder: Path, metrics: Metrics) -> None:
    """Write ``NAME_true.zip`` and ``NAME_pred.zip`` for each image file.

    The ROIs are those that were scored, pixel by pixel, named ``merge-0007`` by their class and
    their number in ``associations.csv``, with the class as colour and as ROI group. ROIs of
    stacks carry their slice.

    Args:
        folder: made if absent.
        metrics: of an evaluation.

    Raises:
        ConfigError: if a file cannot be written.
    """
    by_file: dict[str, list[int]] = {}
    for position, result in enumerate(metrics.images):
        by_file.setdefault(result.image, []).append(position)
    taken: set[str] = set()
    for image, positions in by_file.items():
        name = _free_name(image, taken)
        truth = [
            _classed(metrics.pairs[position][0], metrics.images[position].true)
            for position in positions
        ]
        # The frame is the truth's; a prediction is paired only if it has the same.
        pred = [
            _classed(metrics.pairs[position][1], metrics.images[position].pred)
            for position in positions
        ]
        styles = {style.group: style for style in STYLES.values()}
        write_roi_zip(folder / f"{name}_true.zip", truth, styles=styles)
        write_roi_zip(folder / f"{name}_pred.zip", pred, styles=styles)


def _classed(image: ImageInstances, side: SideResult) -> ImageInstances:
    """The scored instances with their class as name, category and nothing else of their own."""
    groups = tuple(STYLES[kind].group for kind in side.kinds)
    return replace(
        image.select(side.indices),
        names=tuple(
            f"{kind}-{index + 1:04d}" for kind, index in zip(side.kinds, side.indices, strict=True)
        ),
        category_ids=groups,
        groups=groups,
    )


def _free_name(image: str, taken: set[str]) -> str:
    """A file name without surprises that no image before has."""
    stem = _UNSAFE.sub("_", PurePath(image).stem)[:_MAX_NAME] or "image"
    name, number = stem, 2
    while name.casefold() in taken:
        name = f"{stem}_{number}"
        number += 1
    taken.add(name.casefold())
    return name
