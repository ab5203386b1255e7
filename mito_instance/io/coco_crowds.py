"""Crowd regions of a COCO JSON that may be single instances: CVAT's export marks brush masks so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mito_instance.errors import MitoInstanceError
from mito_instance.masks import rle as rle_masks

CVAT_MARKS_THEM = "CVAT marks brush masks as crowd regions"


_MOST_PX = 1 << 26
"""No organelle that somebody painted fills a box of more pixels."""


def may_be_brush_mask(segmentation: Any, image_hw: tuple[int, int]) -> bool:
    """Whether a crowd region may be an object that somebody painted: run lengths, in one piece.

    Args:
        segmentation: what the file holds.
        image_hw: height and width of the image in pixels.

    Returns:
        False for polygons, for several pieces, and for a mask without pixels or a damaged one.
    """
    if not isinstance(segmentation, dict):
        return False
    try:
        mask = rle_masks.check(segmentation, image_hw, "segmentation")
    except MitoInstanceError:
        return False
    if rle_masks.area_px(mask) == 0:
        return False
    box = rle_masks.box_xywh(mask)
    if box[2] * box[3] > _MOST_PX:
        return False
    inside = rle_masks.crop(mask, box)
    return bool(cv2.connectedComponents(inside.astype(np.uint8), connectivity=8)[0] == 2)


def crowd_warning(path: Path, n_crowds: int, n_brush_masks: int) -> str:
    """The line on the crowd regions of a file, with the remedy if most may be brush masks.

    Args:
        path: the JSON file.
        n_crowds: its crowd regions.
        n_brush_masks: those for which `may_be_brush_mask` holds.
    """
    text = f"{path}: {n_crowds} crowd regions (iscrowd 1) are no instances"
    if 2 * n_brush_masks <= n_crowds:
        return text
    return (
        f"{text}; {CVAT_MARKS_THEM}: if these are single objects, mito check {path} --fix OUT.json "
        "--crowds-are-instances writes them as instances"
    )
