"""Windows of an image and of its masks, zoomed: only what lies in a window is decoded."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from detectron2.config import CfgNode

from mito_instance.detection.augment import (
    Crop,
    Cutting,
    crop_margin_px,
    resize_mask,
)
from mito_instance.instances import ImageInstances
from mito_instance.io.resizing import resize_image
from mito_instance.masks import rle

BORDER_PX = 4

Window = tuple[int, int, int, int]
"""x, y, width and height in an image's pixels."""

Padding = tuple[tuple[int, int], tuple[int, int]]
"""Pixels of a crop above and below, to the left and to the right; as of ``np.pad``."""


def edge_with_margin_px(cfg: CfgNode) -> int:
    """Edge of a crop with the margin that turns and deformations need.

    Args:
        cfg: reads ``MITO.AUGMENT``.
    """
    return int(cfg.MITO.AUGMENT.CROP_PX) + 2 * crop_margin_px(cfg)


def random_window(
    cfg: CfgNode,
    image_hw: tuple[int, ...],
    boxes: npt.NDArray[np.int64],
    zoom: float,
    rng: np.random.Generator,
) -> tuple[Window, Padding]:
    """Random part of an image whose zoomed copy has the crop's size, margins included.

    The margins may lie beyond the image: what a turn leaves of the crop, its middle, then reaches
    the image's border as often as any other place. A side of the image that is shorter than the
    middle is taken as it is.

    Args:
        cfg: reads ``MITO.AUGMENT``.
        image_hw: height and width.
        boxes: (N, 4) x, y, width, height of the masks; may be empty.
        zoom: pixels of the crop to a pixel of the image.
        rng: source of randomness.

    Returns:
        The part, inside the image, and what of the crop lies beyond it.
    """
    length = max(1, round(edge_with_margin_px(cfg) / zoom))
    margin = int(crop_margin_px(cfg) / zoom)
    reach_y, reach_x = (margin if side >= length - 2 * margin else 0 for side in image_hw)
    height = length if reach_y else min(length, image_hw[0])
    width = length if reach_x else min(length, image_hw[1])
    last_x, last_y = image_hw[1] - width + reach_x, image_hw[0] - height + reach_y
    if len(boxes) and rng.random() < cfg.MITO.AUGMENT.CROP_ON_INSTANCE:
        x, y, box_width, box_height = boxes[rng.integers(len(boxes))]
        centre_x = rng.uniform(x, x + box_width) - rng.uniform(0.2, 0.8) * width
        centre_y = rng.uniform(y, y + box_height) - rng.uniform(0.2, 0.8) * height
        left = int(np.clip(centre_x, -reach_x, last_x))
        top = int(np.clip(centre_y, -reach_y, last_y))
    else:
        left = int(rng.integers(-reach_x, last_x + 1))
        top = int(rng.integers(-reach_y, last_y + 1))
    x, y = max(0, left), max(0, top)
    right, bottom = min(image_hw[1], left + width), min(image_hw[0], top + height)
    beyond = (y - top, top + height - bottom, x - left, left + width - right)
    above, below, before, after = (round(n * zoom) for n in beyond)
    return (x, y, right - x, bottom - y), ((above, below), (before, after))


def surround(image: npt.NDArray[np.uint8], padding: Padding) -> npt.NDArray[np.uint8]:
    """An image with its mean grey around it, as a turn shows what lies beyond it."""
    return np.pad(image, padding, constant_values=round(float(image.mean())))


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
    size = (zoomed_px(width, zoom, edge_px), zoomed_px(height, zoom, edge_px))
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


def zoomed_px(length_px: int, zoom: float, edge_px: int) -> int:
    """Length after zooming; rounding must not carry it beyond the crop."""
    return min(edge_px, max(1, round(length_px * zoom)))
