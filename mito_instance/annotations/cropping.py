"""The part of an annotated image that is outlined completely, as an image of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile

from mito_instance.errors import AnnotationError
from mito_instance.instances import ImageInstances
from mito_instance.io.contrast import STRETCHED_NOTE, stretch_contrast
from mito_instance.io.files import atomic_path
from mito_instance.io.images import read_page
from mito_instance.masks import rle
from mito_instance.masks.rle import RLE

LEAST_EDGE_PX = 64


def rectangle_of(region: RLE, name: str) -> tuple[int, int, int, int]:
    """The box (x, y, width, height) that a region fills.

    Args:
        region: mask of the image.
        name: of the image, for the error.

    Raises:
        AnnotationError: if the region is no upright rectangle, or too small to learn from.
    """
    x, y, width, height = (int(number) for number in rle.box_xywh(region))
    if rle.area_px(region) != width * height:
        raise AnnotationError(
            f"{name}: its region fills {rle.area_px(region)} px of a box of {width * height} px; "
            "draw it as one upright rectangle"
        )
    if min(width, height) < LEAST_EDGE_PX:
        raise AnnotationError(
            f"{name}: its region is {width}×{height} px; both edges must be {LEAST_EDGE_PX} px or "
            "more"
        )
    return x, y, width, height


def crop_image(
    image: ImageInstances,
    box: tuple[int, int, int, int],
    path: Path,
    percentiles: tuple[float, float],
) -> ImageInstances:
    """Write a part of an image as 8-bit TIFF that looks as it does in the whole image.

    The whole image is stretched before it is cut, and what reads the TIFF leaves the grey levels
    as they are: a model learns from the part what prediction shows it of the whole.

    Args:
        image: image or page with its instances.
        box: (x, y, width, height) in pixels, inside the image.
        path: TIFF to write.
        percentiles: of the whole image, that become 0 and 255, as in prediction.

    Returns:
        The part with what of its instances lies in it.

    Raises:
        ImageError: if the image cannot be read.
        ConfigError: if the TIFF cannot be written.
    """
    x, y, width, height = box
    page = read_page(Path(image.image), image.frame).pixels
    pixels = stretch_contrast(page, percentiles)[y : y + height, x : x + width]
    with atomic_path(path) as temporary:
        tifffile.imwrite(
            temporary, np.ascontiguousarray(pixels), description=STRETCHED_NOTE, metadata=None
        )
    cut = [rle.crop(mask, box) for mask in image.masks]
    crowds = [rle.crop(mask, box) for mask in image.crowds]
    kept = [number for number, mask in enumerate(cut) if mask.any()]
    return replace(
        image.select(kept),
        image=str(path),
        image_hw=(height, width),
        masks=tuple(rle.encode(cut[number]) for number in kept),
        crowds=tuple(rle.encode(part) for part in crowds if part.any()),
        frame=0,
    )
