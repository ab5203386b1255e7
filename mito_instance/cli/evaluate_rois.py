"""ROI zips of an evaluation: every instance in the colour of what happened to it."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mito_instance.annotations.image_files import is_of_stack
from mito_instance.batch.file_names import FileNames
from mito_instance.evaluation.associations import Kind
from mito_instance.evaluation.evaluate import Metrics
from mito_instance.evaluation.image_result import SideResult
from mito_instance.evaluation.tables import kind_word
from mito_instance.instances import ImageInstances
from mito_instance.io.imagej_roi_writer import RoiStyle, is_untouched, write_roi_zip

STYLES: Mapping[Kind, RoiStyle] = {
    "one-to-one": RoiStyle(0, (0, 185, 138)),
    "split": RoiStyle(0, (251, 138, 0)),
    "merge": RoiStyle(0, (224, 123, 208)),
    "many-to-many": RoiStyle(0, (31, 95, 255)),
    "missed": RoiStyle(0, (208, 48, 0)),
    "false": RoiStyle(0, (255, 255, 101)),
}
"""Colour of each class; told apart without seeing red or green, too. An ROI with a group would have
the colour that ImageJ gives to that group."""

_NUMBERS: Mapping[Kind, int] = {kind: number for number, kind in enumerate(STYLES, start=1)}
_STYLES = {_NUMBERS[kind]: style for kind, style in STYLES.items()}

logger = logging.getLogger(__name__)

_UNSAFE = re.compile(r"[^\w .+-]")
_MAX_NAME = 100


def write_error_rois(folder: Path, metrics: Metrics) -> None:
    """Write ``NAME_true.zip`` and ``NAME_pred.zip`` for each image file.

    Zips of an earlier evaluation that nobody has changed are replaced, or removed where they are of
    no image now; those that somebody has are kept, with a warning.

    The ROIs are those that were scored, pixel by pixel, named ``merge-0007`` by their class and
    their number in ``associations.csv``, with the class as colour. ROIs of stacks carry their
    slice.

    Args:
        folder: made if absent.
        metrics: of an evaluation.

    Raises:
        ConfigError: if a file cannot be written.
    """
    by_file: dict[str, list[int]] = {}
    for position, result in enumerate(metrics.images):
        by_file.setdefault(result.image, []).append(position)
    stems = FileNames([Path(image) for image in by_file]).stems
    taken: set[str] = set()
    names = {image: _free_name(stems[Path(image)], taken) for image in by_file}
    for old in folder.glob("*_*.zip") if folder.is_dir() else ():
        is_ours = old.stem.endswith(("_true", "_pred")) and is_untouched(old)
        if is_ours and old.stem.rpartition("_")[0] not in names.values():
            old.unlink()
    for image, positions in by_file.items():
        name = names[image]
        truth = [
            _classed(metrics.pairs[position][0], metrics.images[position].true, metrics)
            for position in positions
        ]
        # The frame is the truth's; a prediction is paired only if it has the same.
        pred = [
            _classed(metrics.pairs[position][1], metrics.images[position].pred, metrics)
            for position in positions
        ]
        for side, pages in (("true", truth), ("pred", pred)):
            path = folder / f"{name}_{side}.zip"
            if path.exists() and not is_untouched(path):
                logger.warning(
                    "%s: was not written by this program, or changed since; it is kept, and does "
                    "not show this evaluation",
                    path,
                )
            else:
                is_stack = is_of_stack(Path(image), pages[0].frame)
                write_roi_zip(path, pages, styles=_STYLES, is_stack=is_stack)


def _classed(image: ImageInstances, side: SideResult, metrics: Metrics) -> ImageInstances:
    """The scored instances with their class as name, category and nothing else of their own."""
    return replace(
        image.select(side.indices),
        names=tuple(
            f"{kind_word(kind, metrics)}-{index + 1:04d}"
            for kind, index in zip(side.kinds, side.indices, strict=True)
        ),
        category_ids=tuple(_NUMBERS[kind] for kind in side.kinds),
        groups=(),
    )


def _free_name(stem: str, taken: set[str]) -> str:
    """A file name without surprises that no image before has."""
    stem = _UNSAFE.sub("_", stem)[-_MAX_NAME:] or "image"
    name, number = stem, 2
    while name.casefold() in taken:
        name = f"{stem}_{number}"
        number += 1
    taken.add(name.casefold())
    return name
