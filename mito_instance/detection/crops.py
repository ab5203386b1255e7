"""Windows of an image and of its masks, zoomed: only what lies in a window is decoded."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mito_instance.detection.augment import Crop, Cutting, resize_image, resize_mask
from mito_instance.instances import ImageInstances
from mito_instance.masks import rle

BORDER_PX = 4


def cut_crop(
    image: npt.NDArray[np.uint8],
    record: ImageInstances,
    boxes: npt.NDArray[np.int64],
    window: tuple[int, int, int, int],
    zoom: float,
    edge_px: int,
) -> Crop:
    """Window of an image and of the masks that reach into it, zoomed.

    Args:
        image: grey uint8 (H, W).
        record: its N instances.
        boxes: (N, 4) x, y, width, height of their masks.
        window: x, y, width, height, inside the image.
        zoom: pixels of the crop to a pixel of the image.
        edge_px: the crop is at most so wide and high.
    """
    x, y, width, height = window
    size = (_zoomed(width, zoom, edge_px), _zoomed(height, zoom, edge_px))
    inside = np.flatnonzero(
        (boxes[:, 0] < x + width)
        & (boxes[:, 0] + boxes[:, 2] > x)
        & (boxes[:, 1] < y + height)
        & (boxes[:, 1] + boxes[:, 3] > y)
    )
    return Crop(
        resize_image(image[y : y + height, x : x + width], size),
        [resize_mask(rle.crop(record.masks[index], window), size) for index in inside],
        [record.category_ids[index] - 1 for index in inside],
    )


def window_around(
    record: ImageInstances, index: int, margin_px: float
) -> tuple[int, int, int, int] | None:
    """Window (x, y, width, height) around an instance; None where the image's border cuts it.

    Outlines that people draw end a pixel or two before the border: so does "cut" here.

    Args:
        record: the image.
        index: which of its instances.
        margin_px: surroundings to every side, as far as the image goes.
    """
    x, y, width, height = rle.box_xywh(record.masks[index])
    image_height, image_width = record.image_hw
    to_border = min(x, y, image_width - x - width, image_height - y - height)
    if not width or to_border < BORDER_PX:
        return None
    margin = int(np.ceil(margin_px))
    left, top = max(0, x - margin), max(0, y - margin)
    right, bottom = min(image_width, x + width + margin), min(image_height, y + height + margin)
    return left, top, right - left, bottom - top


def cut_instance(
    image: npt.NDArray[np.uint8],
    record: ImageInstances,
    index: int,
    window: tuple[int, int, int, int],
    zoom: float,
    *,
    is_instance: bool = True,
) -> Cutting:
    """Window of an image and of one of its masks, zoomed.

    Args:
        image: grey uint8 (H, W).
        record: its instances.
        index: which of them.
        window: x, y, width, height, inside the image.
        zoom: pixels of the cutting to a pixel of the image.
        is_instance: False for a look-alike.
    """
    x, y, width, height = window
    size = (max(1, round(width * zoom)), max(1, round(height * zoom)))
    return Cutting(
        resize_image(image[y : y + height, x : x + width], size),
        resize_mask(rle.crop(record.masks[index], window), size),
        record.category_ids[index] - 1 if is_instance else None,
    )


def _zoomed(length_px: int, zoom: float, edge_px: int) -> int:
    """Length after zooming; rounding must not carry it beyond the crop."""
    return min(edge_px, max(1, round(length_px * zoom)))
