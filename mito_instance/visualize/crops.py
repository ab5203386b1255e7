"""Close-ups of single objects: the micrograph, and the same with outlines."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from mito_instance.instances import ImageInstances
from mito_instance.masks import rle
from mito_instance.visualize.overlays import COLOURS

Box = tuple[int, int, int, int]
"""x, y, width, height in pixels."""

SIDE_PX = 240
_MIN_WINDOW_PX = 64
_MARGIN = 0.35
_OTHERS = (170, 170, 170)


def window_around(box: Box, image_hw: tuple[int, int]) -> Box:
    """A square window around a box with some surroundings, moved into the image.

    Args:
        box: of the objects to be shown.
        image_hw: height and width of the image in pixels.

    Returns:
        At least 64 px wide; less where the image itself is smaller.
    """
    x, y, width, height = box
    side = max(_MIN_WINDOW_PX, round(max(width, height) * (1 + 2 * _MARGIN)))
    across, down = min(side, image_hw[1]), min(side, image_hw[0])
    left = min(max(0, x + width // 2 - across // 2), image_hw[1] - across)
    top = min(max(0, y + height // 2 - down // 2), image_hw[0] - down)
    return (left, top, across, down)


def enlarge(image: npt.NDArray[np.uint8], window: Box) -> npt.NDArray[np.uint8]:
    """The part of an image inside a window, at the size in which crops are shown.

    Args:
        image: grey uint8 (H, W).
        window: inside the image.

    Returns:
        RGB uint8 whose longer side is 240 px.
    """
    x, y, width, height = window
    part = np.ascontiguousarray(image[y : y + height, x : x + width])
    shown = cv2.resize(
        part,
        _shown_size(window),
        interpolation=cv2.INTER_AREA if max(width, height) > SIDE_PX else cv2.INTER_CUBIC,
    )
    return np.repeat(np.asarray(shown, dtype=np.uint8)[:, :, None], 3, axis=2)


def blank(window: Box) -> npt.NDArray[np.uint8]:
    """A plain grey picture in place of a micrograph that is not at hand."""
    width, height = _shown_size(window)
    return np.full((height, width, 3), 60, dtype=np.uint8)


def outline_members(
    picture: npt.NDArray[np.uint8],
    instances: ImageInstances,
    window: Box,
    members: Sequence[int],
) -> npt.NDArray[np.uint8]:
    """Outline the instances in a window: members in colours of their own, others thin in grey.

    Args:
        picture: RGB uint8 from `enlarge` or `blank`; left as it is.
        instances: of the whole image.
        window: what the picture shows.
        members: positions of the instances that the picture is about.

    Returns:
        RGB uint8 of the same size.
    """
    drawn = picture.copy()
    chosen = set(members)
    order = [i for i in range(len(instances)) if i not in chosen] + list(members)
    for index in order:
        if not _overlap(rle.box_xywh(instances.masks[index]), window):
            continue
        colour = COLOURS[list(members).index(index) % len(COLOURS)] if index in chosen else _OTHERS
        _outline(drawn, rle.crop(instances.masks[index], window), colour, index in chosen)
    return drawn


def _outline(
    picture: npt.NDArray[np.uint8],
    mask: rle.BoolMask,
    colour: Collection[int],
    is_member: bool,
) -> None:
    """Draw the outline of a mask that was cropped to the picture's window."""
    height, width = picture.shape[:2]
    shown = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    rings, _ = cv2.findContours(shown, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if is_member:
        cv2.drawContours(picture, rings, -1, (20, 20, 20), 4, cv2.LINE_AA)
    cv2.drawContours(picture, rings, -1, tuple(colour), 2 if is_member else 1, cv2.LINE_AA)


def _overlap(box: Box, window: Box) -> bool:
    """Whether a box has a pixel in the window."""
    return (
        box[2] > 0
        and box[0] < window[0] + window[2]
        and window[0] < box[0] + box[2]
        and box[1] < window[1] + window[3]
        and window[1] < box[1] + box[3]
    )


def _shown_size(window: Box) -> tuple[int, int]:
    """Width and height of the crop on the page."""
    scale = SIDE_PX / max(window[2:])
    return max(1, round(window[2] * scale)), max(1, round(window[3] * scale))
