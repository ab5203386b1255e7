"""The part of an annotated image that is outlined completely, as an image of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile

from mito_instance.errors import AnnotationError
from mito_instance.instances import ImageInstances
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


def crop_image(image: ImageInstances, box: tuple[int, int, int, int], path: Path) -> ImageInstances:
    """Write a part of an image as TIFF, with its grey levels as they are.

    Args:
        image: image or page with its instances.
        box: (x, y, width, height) in pixels, inside the image.
        path: TIFF to write.

    Returns:
        The part with what of its instances lies in it.

    Raises:
        ImageError: if the image cannot be read.
        ConfigError: if the TIFF cannot be written.
    """
    x, y, width, height = box
    pixels = read_page(Path(image.image), image.frame).pixels[y : y + height, x : x + width]
    with atomic_path(path) as temporary:
        tifffile.imwrite(temporary, np.ascontiguousarray(pixels))
    cut = [rle.crop(mask, box) for mask in image.masks]
    kept = [number for number, mask in enumerate(cut) if mask.any()]
    return replace(
        image.select(kept),
        image=str(path),
        image_hw=(height, width),
        masks=tuple(rle.encode(cut[number]) for number in kept),
        frame=0,
    )
