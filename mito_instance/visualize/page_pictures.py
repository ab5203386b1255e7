"""Pictures of one page for a report: a small overlay, and its least certain objects close up."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from mito_instance.calibration import MAX_NM
from mito_instance.instances import ImageInstances
from mito_instance.masks import rle
from mito_instance.visualize.crops import enlarge, outline_members, window_around
from mito_instance.visualize.jpeg import Jpeg
from mito_instance.visualize.overlays import draw_overlay

THUMBNAIL_PX = 640
N_CROPS = 24
_LINE_PX = 2
_GAP_PX = 6
_MAX_NUMBERED = 40
"""More numbers than these would hide a small picture."""


@dataclass(frozen=True, slots=True)
class Crop:
    """One object close up: the micrograph, and the same with outlines beside it.

    Args:
        number: of the object in its page, from 1.
        score: of the object.
        area_px: of the object.
        picture: both parts.
    """

    number: int
    score: float
    area_px: int
    picture: Jpeg


@dataclass(frozen=True, slots=True)
class PagePictures:
    """What a report shows of one page.

    Args:
        thumbnail: the overlay; its longer side is at most 640 px.
        crops: objects with the lowest scores, lowest first; at most 24; empty without scores.
    """

    thumbnail: Jpeg
    crops: tuple[Crop, ...] = ()


def page_pictures(image: npt.NDArray[np.uint8], instances: ImageInstances) -> PagePictures:
    """Pictures of one page; the only large thing they need is the page.

    Args:
        image: grey uint8 (H, W).
        instances: N instances of this image; 0 gives the plain thumbnail and no crops.

    Raises:
        ImageError: if the image is not grey uint8, or is not of the instances' size.
    """
    return PagePictures(Jpeg.of(_thumbnail(image, instances)), _crops(image, instances))


def _thumbnail(image: npt.NDArray[np.uint8], instances: ImageInstances) -> npt.NDArray[np.uint8]:
    """The overlay, drawn at the size of the thumbnail so that no outline gets lost."""
    height, width = image.shape[:2]
    show_ids = len(instances) <= _MAX_NUMBERED
    scale = THUMBNAIL_PX / max(height, width)
    if scale >= 1 or image.shape != instances.image_hw:
        return draw_overlay(image, instances, show_ids=show_ids, line_px=_LINE_PX)
    small_hw = max(1, round(height * scale)), max(1, round(width * scale))
    small = cv2.resize(image, small_hw[::-1], interpolation=cv2.INTER_AREA)
    size = instances.pixel_size
    return draw_overlay(
        np.asarray(small, dtype=np.uint8),
        ImageInstances(
            instances.image,
            small_hw,
            tuple(_shrink(mask, scale, small_hw) for mask in instances.masks),
            pixel_size=None if size is None else replace(size, nm=min(size.nm / scale, MAX_NM)),
        ),
        show_ids=show_ids,
        line_px=_LINE_PX,
    )


def _shrink(mask: rle.RLE, scale: float, small_hw: tuple[int, int]) -> rle.RLE:
    """A mask on a smaller image; what has a pixel keeps one."""
    x, y, width, height = rle.box_xywh(mask)
    if width == 0:
        return rle.place(np.zeros((0, 0), dtype=bool), 0, 0, small_hw)
    left, top = min(int(x * scale), small_hw[1] - 1), min(int(y * scale), small_hw[0] - 1)
    across = min(max(1, round(width * scale)), small_hw[1] - left)
    down = min(max(1, round(height * scale)), small_hw[0] - top)
    inside = rle.crop(mask, (x, y, width, height)).astype(np.float32)
    part = np.asarray(cv2.resize(inside, (across, down), interpolation=cv2.INTER_AREA))
    return rle.place(part >= min(0.5, float(part.max())), left, top, small_hw)


def _crops(image: npt.NDArray[np.uint8], instances: ImageInstances) -> tuple[Crop, ...]:
    if instances.scores is None:
        return ()
    crops = []
    for index in np.argsort(instances.scores, kind="stable")[:N_CROPS].tolist():
        mask = instances.masks[index]
        window = window_around(rle.box_xywh(mask), instances.image_hw)
        plain = enlarge(image, window)
        outlined = outline_members(plain, instances, window, [index])
        gap = np.full((plain.shape[0], _GAP_PX, 3), 255, dtype=np.uint8)
        both = np.concatenate([plain, gap, outlined], axis=1)
        score = float(instances.scores[index])
        crops.append(Crop(index + 1, score, rle.area_px(mask), Jpeg.of(both)))
    return tuple(crops)
