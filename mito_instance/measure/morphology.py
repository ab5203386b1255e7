"""Size, shape and grey level of one instance, measured inside its box alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mito_instance.masks import rle as rle_masks
from mito_instance.masks.rle import RLE
from mito_instance.measure.outline import traced_perimeter

_UNKNOWN = math.nan
_ROUND_OFF_DEG = 5e-4
"""Of the six digits in tables: what they would call 180° is 0°, which is the same direction."""


@dataclass(frozen=True, slots=True)
class ObjectShape:
    """What `measure_object` finds; the columns of ``objects.csv`` define each value.

    Lengths are in pixels, areas in pixels, the orientation in degrees. An empty mask has area
    0, perimeter 0 and NaN for all that is undefined.
    """

    area_px: int = 0
    bbox_x_px: int = 0
    bbox_y_px: int = 0
    bbox_w_px: int = 0
    bbox_h_px: int = 0
    touches_border: bool = False
    centroid_x_px: float = _UNKNOWN
    centroid_y_px: float = _UNKNOWN
    perimeter_px: float = 0.0
    circularity: float = _UNKNOWN
    form_factor: float = _UNKNOWN
    aspect_ratio: float = _UNKNOWN
    roundness: float = _UNKNOWN
    solidity: float = _UNKNOWN
    feret_max_px: float = _UNKNOWN
    feret_min_px: float = _UNKNOWN
    major_axis_px: float = _UNKNOWN
    minor_axis_px: float = _UNKNOWN
    orientation_deg: float = _UNKNOWN
    intensity_mean: float = _UNKNOWN
    intensity_std: float = _UNKNOWN


def measure_object(rle: RLE, grey: npt.NDArray[Any] | None = None) -> ObjectShape:
    """Measure one instance.

    All values describe the mask as one object, also where it has several parts: the perimeter
    is the sum over the parts, hull and ellipse enclose all of them. Holes count neither in the
    area nor in the perimeter, as in ImageJ.

    Args:
        rle: mask of an image (H, W).
        grey: the image (H, W) in its own grey levels, or None if intensities are not wanted.

    Returns:
        The measurements; those of intensity are NaN without ``grey`` or where no pixel of the
        object is finite.

    Raises:
        ValueError: if ``grey`` has another size than the mask.
    Source: ImageJ's Measure and Analyze Particles; each formula is in docs/metrics.md.
    """
    height, width = (int(length) for length in rle["size"])
    if grey is not None and grey.shape != (height, width):
        raise ValueError(f"grey image must be {(height, width)} (height, width), got {grey.shape}")
    area_px = rle_masks.area_px(rle)
    if area_px == 0:
        return ObjectShape()
    x, y, box_width, box_height = box = rle_masks.box_xywh(rle)
    mask = np.ascontiguousarray(rle_masks.crop(rle, box))
    perimeter_px = traced_perimeter(mask)
    form_factor = perimeter_px**2 / (4 * math.pi * area_px)
    centroid_x, centroid_y, major, minor, angle = _ellipse(mask, area_px)
    hull_area, feret_max, feret_min = _hull(mask)
    mean, std = _intensity(
        mask, None if grey is None else grey[y : y + box_height, x : x + box_width]
    )
    return ObjectShape(
        area_px=area_px,
        bbox_x_px=x,
        bbox_y_px=y,
        bbox_w_px=box_width,
        bbox_h_px=box_height,
        touches_border=x == 0 or y == 0 or x + box_width == width or y + box_height == height,
        centroid_x_px=x + centroid_x,
        centroid_y_px=y + centroid_y,
        perimeter_px=perimeter_px,
        circularity=min(1.0, 1.0 / form_factor),
        form_factor=form_factor,
        aspect_ratio=major / minor,
        roundness=4 * area_px / (math.pi * major**2),
        solidity=area_px / hull_area,
        feret_max_px=feret_max,
        feret_min_px=feret_min,
        major_axis_px=major,
        minor_axis_px=minor,
        orientation_deg=angle,
        intensity_mean=mean,
        intensity_std=std,
    )


def _ellipse(mask: npt.NDArray[np.bool_], area_px: int) -> tuple[float, float, float, float, float]:
    """Centroid and the ellipse of the mask's area and second moments.

    Each pixel is a square, not a point: its own second moment of 1/12 keeps lines of one pixel
    from having no width.

    Returns:
        Centroid x and y, major and minor axis (full lengths), angle in degrees in [0, 180).
    Source: ImageJ, ``EllipseFitter``.
    """
    columns = np.arange(mask.shape[1]) + 0.5
    rows = np.arange(mask.shape[0]) + 0.5
    in_column, in_row = mask.sum(axis=0), mask.sum(axis=1)
    mean_x = float(in_column @ columns) / area_px
    mean_y = float(in_row @ rows) / area_px
    dx, dy = columns - mean_x, rows - mean_y
    var_x = float(in_column @ dx**2) / area_px + 1 / 12
    var_y = float(in_row @ dy**2) / area_px + 1 / 12
    covariance = float(dy @ (mask @ dx)) / area_px
    middle = (var_x + var_y) / 2
    spread = math.hypot((var_x - var_y) / 2, covariance)
    ratio = math.sqrt((middle + spread) / (middle - spread))
    minor = math.sqrt(4 * area_px / (math.pi * ratio))
    # Image rows run downwards, angles counter-clockwise: hence the sign.
    angle = math.degrees(0.5 * math.atan2(-2 * covariance, var_x - var_y)) % 180.0
    if spread < 1e-12 * middle or angle > 180.0 - _ROUND_OFF_DEG:
        angle = 0.0
    return mean_x, mean_y, minor * ratio, minor, angle


def _hull(mask: npt.NDArray[np.bool_]) -> tuple[float, float, float]:
    """Area, greatest and least caliper width of the convex hull of the pixels' corners."""
    import cv2

    rows = np.flatnonzero(mask.any(axis=1))
    filled = mask[rows]
    first = filled.argmax(axis=1)
    last = mask.shape[1] - filled[:, ::-1].argmax(axis=1)
    points = np.empty((2, 2, len(rows), 2), dtype=np.int32)  # upper and lower, left and right
    points[:, 0, :, 0], points[:, 1, :, 0] = first, last
    points[0, :, :, 1], points[1, :, :, 1] = rows, rows + 1
    hull = np.asarray(cv2.convexHull(points.reshape(-1, 2)), dtype=np.float64).reshape(-1, 2)
    following = np.concatenate([hull[1:], hull[:1]])
    area = abs(float((hull[:, 0] * following[:, 1] - following[:, 0] * hull[:, 1]).sum())) / 2
    offsets = hull[None, :, :] - hull[:, None, :]
    feret_max = math.sqrt(float((offsets**2).sum(axis=2).max()))
    edges = following - hull
    edges /= np.hypot(edges[:, 0], edges[:, 1])[:, None]
    widths = np.abs(edges[:, None, 0] * offsets[..., 1] - edges[:, None, 1] * offsets[..., 0])
    return area, feret_max, float(widths.max(axis=1).min())


def _intensity(mask: npt.NDArray[np.bool_], grey: npt.NDArray[Any] | None) -> tuple[float, float]:
    """Mean and sample standard deviation of the finite grey levels; 0 for one pixel."""
    if grey is None:
        return _UNKNOWN, _UNKNOWN
    levels = grey[mask].astype(np.float64)
    if grey.dtype.kind == "f":
        levels = levels[np.isfinite(levels)]
    if levels.size == 0:
        return _UNKNOWN, _UNKNOWN
    return float(levels.mean()), float(levels.std(ddof=1)) if levels.size > 1 else 0.0
