"""Pages of another pixel size, brought to the model's and the masks brought back."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import numpy.typing as npt

from mito_instance.calibration import FAR, PixelSize
from mito_instance.errors import ImageError
from mito_instance.instances import ImageInstances
from mito_instance.io.resizing import resize_image
from mito_instance.masks import rle

logger = logging.getLogger(__name__)

TOLERANCE = 1.25
"""Pixel sizes within this factor of the model's are left alone: training zooms by more."""

MAX_PX = 1 << 31

_OFF_HALF_PX = (1e-3, 7e-4)
"""Where zooms such as 2 put the centre of a pixel exactly between pixels of the mask, half of it is
covered along every edge. Looking a little beside it, each side of an object gets its share."""

_said: set[tuple[float, float | None]] = set()
"""Pixel sizes of models and of pages, None for unknown, that were reported in this process."""


def zoom_for(page: ImageInstances, model_nm: float | None) -> float:
    """Factor by which a page is resized before prediction.

    That a page's pixel size is not known is said once in a run, of the first such page; so is each
    pixel size that is more than `FAR` times the model's, or less than its part.

    Args:
        page: size and pixel size of the page.
        model_nm: pixel size that the model was trained at; None when it has none.

    Returns:
        1.0 where either pixel size is unknown, or where they agree within 25 %; else page / model.

    Raises:
        ImageError: if the resized page would be beyond what can be handled.
    """
    if model_nm is None:
        return 1.0
    if page.pixel_size is None:
        _say_unknown(model_nm, page.image)
        return 1.0
    zoom = page.pixel_size.nm / model_nm
    if 1 / TOLERANCE <= zoom <= TOLERANCE:
        return 1.0
    height, width = page.image_hw
    if height * zoom * width * zoom > MAX_PX or max(height, width) * zoom < 1:
        raise ImageError(
            f"{page.image}: a pixel size of {page.pixel_size.nm:g} nm cannot be brought to the "
            f"model's {model_nm:g} nm: {width} x {height} px would become "
            f"{width * zoom:.0f} x {height * zoom:.0f}, at least 1 x 1 and at most 2^31 px in all "
            "are possible; correct it by --pixel-size-nm, or cut the image"
        )
    if not 1 / FAR <= zoom <= FAR:
        _say_far(model_nm, page.pixel_size, page.image)
    return zoom


def _say_far(model_nm: float, size: PixelSize, image: str) -> None:
    if (model_nm, size.nm) not in _said:
        _said.add((model_nm, size.nm))
        logger.warning(
            "%s: pixel size %g nm (%s), but the model was trained at %g nm: resized by a factor of "
            "%.3g, as all pages of that size; if it is wrong, --pixel-size-nm tells the right one",
            image,
            size.nm,
            size.source,
            model_nm,
            size.nm / model_nm,
        )


def _say_unknown(model_nm: float, image: str) -> None:
    if (model_nm, None) not in _said:
        _said.add((model_nm, None))
        logger.warning(
            "%s: pixel size unknown, and so perhaps of further images: not brought to the %g nm a "
            "pixel at which the model was trained; --pixel-size-nm tells it",
            image,
            model_nm,
        )


def resize_page(grey: npt.NDArray[np.uint8], zoom: float) -> npt.NDArray[np.uint8]:
    """A page (H, W) resized by a factor, as in training."""
    size = (max(1, round(grey.shape[1] * zoom)), max(1, round(grey.shape[0] * zoom)))
    return resize_image(grey, size)


def masks_at_page_size(found: ImageInstances, page: ImageInstances) -> ImageInstances:
    """Instances of a resized page in the page's own pixels.

    Args:
        found: instances of the resized page.
        page: the page, whose identity and size the result has.

    Returns:
        Instances whose masks have size ``page.image_hw``; one that vanishes is left out. A pixel
        belongs to a mask if its centre lies in the mask's interpolated outline; disjoint masks
        stay disjoint.
    """
    masks, kept = [], []
    scale_x = page.image_hw[1] / found.image_hw[1]
    scale_y = page.image_hw[0] / found.image_hw[0]
    for index, mask in enumerate(found.masks):
        x, y, width, height = rle.box_xywh(mask)
        inside = rle.crop(mask, (x, y, width, height)).astype(np.float32)
        left, top = round((x - 1) * scale_x), round((y - 1) * scale_y)
        right, bottom = round((x + width + 1) * scale_x), round((y + height + 1) * scale_y)
        columns = (np.arange(left, max(right, left + 1)) + 0.5) / scale_x - 0.5 - x
        rows = (np.arange(top, max(bottom, top + 1)) + 0.5) / scale_y - 0.5 - y
        sampled = _between_rows(inside, rows + _OFF_HALF_PX[1])
        sampled = _between_rows(sampled.T, columns + _OFF_HALF_PX[0]).T
        placed = rle.place(sampled > 0.5, left, top, page.image_hw)
        if rle.area_px(placed):
            masks.append(placed)
            kept.append(index)
    chosen = found.select(kept)
    return ImageInstances(
        image=page.image,
        image_hw=page.image_hw,
        masks=tuple(masks),
        scores=chosen.scores,
        frame=page.frame,
        pixel_size=page.pixel_size,
        category_ids=chosen.category_ids,
        category_names=page.category_names,
    )


def _between_rows(
    levels: npt.NDArray[np.float32], rows: npt.NDArray[np.floating[Any]]
) -> npt.NDArray[np.float32]:
    """Levels (H, W) at fractional rows (N,), linear between rows; 0 beyond the first and last.

    OpenCV's remap would round the places to 1/32 px in its versions before 5.
    """
    padded = np.pad(levels, ((1, 2), (0, 0)))
    places = np.clip(rows + 1.0, 0.0, len(levels) + 1.0)
    above = np.floor(places).astype(np.intp)
    share = (places - above).astype(np.float32)[:, None]
    between: npt.NDArray[np.float32] = (1 - share) * padded[above] + share * padded[above + 1]
    return between
