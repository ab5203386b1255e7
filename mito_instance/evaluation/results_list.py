"""Reads predictions: a COCO JSON, or a COCO results list that leans on the truth's images."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mito_instance.errors import AnnotationError
from mito_instance.instances import ImageInstances
from mito_instance.io import coco_values
from mito_instance.io.coco import read_coco
from mito_instance.io.json_file import read_json
from mito_instance.masks import rle

logger = logging.getLogger(__name__)


def read_predictions(path_pred: Path, path_true: Path) -> list[ImageInstances]:
    """Predictions of a COCO JSON or of a COCO results list.

    Args:
        path_pred: COCO JSON with scores, or a JSON list of ``{image_id, segmentation (RLE),
            score}``. A results list names no images: its ids are those of the truth, and an
            image of the truth without results is one in which nothing was found.
        path_true: COCO JSON of the truth; read only for the images of a results list.

    Returns:
        One `ImageInstances` for each predicted image.

    Raises:
        AnnotationError: if a file cannot be read or breaks a rule of its format.
    """
    if not is_results_list(path_pred):
        return read_coco(path_pred)
    images = [replace(image.select([]), scores=None, crowds=()) for image in read_coco(path_true)]
    ids = [entry["id"] for entry in read_json(path_true, "COCO JSON")["images"]]
    by_id = dict(zip(ids, images, strict=True))
    masks: dict[Any, list[rle.RLE]] = {image_id: [] for image_id in by_id}
    scores: dict[Any, list[float]] = {image_id: [] for image_id in by_id}
    n_empty = 0
    for position, entry in enumerate(read_json(path_pred, "COCO results list")):
        where = f"{path_pred}: result {position}"
        image_id = entry.get("image_id") if isinstance(entry, dict) else None
        is_id = isinstance(image_id, (int, str)) and not isinstance(image_id, bool)
        if not is_id or image_id not in by_id:
            raise AnnotationError(
                f"{where}: must be an object whose image_id is one of the {len(by_id)} of "
                f"{path_true}; give the truth that the results were made for"
            )
        mask = rle.check(entry.get("segmentation"), by_id[image_id].image_hw, where)
        score = coco_values.score(entry.get("score"), where)
        if rle.area_px(mask):  # as in a COCO JSON: a mask without pixels is no instance
            masks[image_id].append(mask)
            scores[image_id].append(score)
        else:
            n_empty += 1
    if n_empty:
        logger.warning("%s: %d results have no pixel, left out", path_pred, n_empty)
    return [
        replace(
            image,
            masks=tuple(masks[image_id]),
            scores=np.asarray(scores[image_id], dtype=np.float64),
        )
        for image_id, image in by_id.items()
    ]


def is_results_list(path: Path) -> bool:
    """Whether the first character of the JSON opens a list; `read_coco` reports what fails."""
    try:
        with path.open("rb") as file:
            return file.read(1024).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")
    except OSError:
        return False
