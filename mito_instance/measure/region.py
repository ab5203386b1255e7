"""Instances of an outlined region of an image: a cell, or the tissue without its folds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mito_instance.calibration import PixelSize
from mito_instance.errors import AnnotationError
from mito_instance.instances import ImageInstances
from mito_instance.masks import rle as rle_masks
from mito_instance.masks.rle import RLE
from mito_instance.measure.schema import REGION_NAMES
from mito_instance.measure.summary import Extent, Row

INSIDE = 0.5
"""Share of an instance's pixels above which it counts; exactly at it, its first pixel decides."""


def within(instances: ImageInstances, region: RLE) -> tuple[npt.NDArray[np.bool_], Extent]:
    """Which instances count in a region, and how much of the region instances cover.

    An instance counts, as a whole, if more than half of its pixels lie inside. Of one that is
    cut exactly in half, its first pixel decides, the topmost in its leftmost column: so it
    counts on one side only. Covered are the region's pixels in any instance, counted or not: a
    mitochondrion that lies mostly outside still fills the part of the region that it reaches
    into.

    Args:
        instances: N instances of an image.
        region: mask of the same image.

    Returns:
        bool (N,), True for instances that count; and the region's extent.

    Raises:
        AnnotationError: if the region has another size than the image, or no pixel.
    """
    if tuple(region["size"]) != instances.image_hw:
        raise AnnotationError(
            f"{instances.image}: region is for an image of {tuple(region['size'])} (height, width)"
            f" but the image is {instances.image_hw}; check that both belong together"
        )
    region_px = rle_masks.area_px(region)
    if region_px == 0:
        raise AnnotationError(
            f"{instances.image}: region has no pixel inside the image; draw it again"
        )
    inside = [counts_in(region, mask) for mask in instances.masks]
    covered = rle_masks.union(list(instances.masks), instances.image_hw)
    covered_px = rle_masks.intersection_px(covered, region)
    return np.array(inside, dtype=bool), Extent(region_px, covered_px)


def counts_in(region: RLE, mask: RLE) -> bool:
    """Whether an instance counts in a region, as `within` says.

    Args:
        region: mask of an image.
        mask: the instance, of the same image; an empty one counts nowhere.
    """
    inside_px, half_px = rle_masks.intersection_px(mask, region), INSIDE * rle_masks.area_px(mask)
    if inside_px != half_px or half_px == 0:
        return inside_px > half_px
    x, y, _, height = rle_masks.box_xywh(mask)
    first = y + int(rle_masks.crop(mask, (x, y, 1, height)).argmax())
    return bool(rle_masks.crop(region, (x, first, 1, 1))[0, 0])


def region_cells(extent: Extent, pixel_size: PixelSize | None) -> Row:
    """Cells of the columns `REGION_NAMES`; µm² is None when the pixel size is unknown."""
    area_um2 = None if pixel_size is None else pixel_size.area_um2(extent.area_px)
    return dict(zip(REGION_NAMES, (extent.area_px, area_um2), strict=True))
