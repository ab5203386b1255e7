"""Repairs of masks that need no guess: a size a few pixels off, pinholes."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from mito_instance.errors import AnnotationError
from mito_instance.masks.rle import BoolMask

MAX_OFF_PX = 8
"""Programs that tile or pad leave a mask a few pixels off; more is another image's mask."""


def fit_size(
    mask: npt.NDArray[Any], image_hw: tuple[int, int], where: str, partner: str
) -> tuple[npt.NDArray[Any], str]:
    """The mask at its image's size: cropped or padded with 0 at the bottom and the right.

    Args:
        mask: (H, W).
        image_hw: height and width of the image in pixels.
        where: the mask, for the message.
        partner: the image, for the message.

    Returns:
        The mask (H, W of the image), and the repair in words; empty if the size was right.

    Raises:
        AnnotationError: if an edge is off by more than `MAX_OFF_PX`, or the mask is transposed.
    """
    height, width = mask.shape
    if (height, width) == image_hw:
        return mask, ""
    if (width, height) == image_hw:
        raise AnnotationError(
            f"{where}: mask is {width} x {height} px but its image ({partner}) is {height} x "
            f"{width} px: rows and columns are exchanged; save the mask transposed"
        )
    off = max(abs(height - image_hw[0]), abs(width - image_hw[1]))
    if off > MAX_OFF_PX:
        raise AnnotationError(
            f"{where}: mask is {width} x {height} px but its image ({partner}) is {image_hw[1]} x "
            f"{image_hw[0]} px, at most {MAX_OFF_PX} px off may be mended; check that they belong "
            "together"
        )
    cropped = mask[: image_hw[0], : image_hw[1]]
    missing = ((0, image_hw[0] - cropped.shape[0]), (0, image_hw[1] - cropped.shape[1]))
    fitted = np.pad(cropped, missing)
    return fitted, f"{width} x {height} px cropped or padded to {image_hw[1]} x {image_hw[0]}"


def find_pinholes(foreground: BoolMask, max_area_px: int) -> tuple[npt.NDArray[np.int32], int]:
    """Small holes in the foreground that do not touch the border of the image.

    Args:
        foreground: bool (H, W).
        max_area_px: greatest area of a hole that counts as pinhole; 0 finds none.

    Returns:
        int32 (H, W) with a number from 1 for each pinhole, and how many there are.
    """
    pinholes = np.zeros(foreground.shape, dtype=np.int32)
    if max_area_px < 1 or not _has_holes(foreground):
        return pinholes, 0
    n_pieces, pieces, stats, _ = cv2.connectedComponentsWithStats(
        (~foreground).astype(np.uint8), connectivity=4
    )
    x, y, width, height, area = stats.T
    is_inner = (x > 0) & (y > 0)
    is_inner &= (x + width < foreground.shape[1]) & (y + height < foreground.shape[0])
    is_pinhole = is_inner & (area <= max_area_px)
    is_pinhole[0] = False
    n_pinholes = int(is_pinhole.sum())
    if n_pinholes == 0:
        return pinholes, 0
    numbers = np.zeros(n_pieces, dtype=np.int32)
    numbers[is_pinhole] = np.arange(1, n_pinholes + 1, dtype=np.int32)
    return numbers[pieces], n_pinholes


def _has_holes(foreground: BoolMask) -> bool:
    """Whether any component has a hole; three times faster than labelling the background."""
    if not foreground.any():
        return False
    _, hierarchy = cv2.findContours(
        foreground.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE
    )
    return bool((hierarchy[0, :, 3] >= 0).any())


def fill_label_pinholes(
    labels: npt.NDArray[np.int64], pinholes: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.int64], int]:
    """Fill the pinholes that lie inside a single label; those between labels stay.

    Args:
        labels: (H, W), 0 is background.
        pinholes: (H, W) from `find_pinholes`; none touches the border.

    Returns:
        The labels and the number of pinholes that were filled.
    """
    n_pinholes = int(pinholes.max(initial=0))
    least = np.full(n_pinholes + 1, np.iinfo(np.int64).max)
    greatest = np.zeros(n_pinholes + 1, dtype=np.int64)
    rows, columns = np.nonzero(pinholes)
    number = pinholes[rows, columns]
    for step_y, step_x in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        neighbour = labels[rows + step_y, columns + step_x]
        around = neighbour > 0
        np.minimum.at(least, number[around], neighbour[around])
        np.maximum.at(greatest, number[around], neighbour[around])
    is_inside = least == greatest
    is_inside[0] = False
    filled = labels.copy()
    chosen = is_inside[number]
    filled[rows[chosen], columns[chosen]] = greatest[number[chosen]]
    return filled, int(is_inside.sum())
