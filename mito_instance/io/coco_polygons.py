"""COCO polygons to run lengths, exactly as pycocotools does, safe for any coordinates."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from mito_instance.errors import AnnotationError
from mito_instance.masks.rle import RLE, union

MAX_OUTLINE_PX = 5_000_000  # pycocotools allocates some 40 bytes for each pixel of outline

_Points = npt.NDArray[np.float64]


def rasterise(polygons: list[Any], image_hw: tuple[int, int], where: str) -> RLE:
    """Union of the polygons of one annotation as an RLE.

    Args:
        polygons: lists ``[x0, y0, x1, y1, …]`` of at least three points, in pixel corners.
        image_hw: height and width of the image in pixels; what lies outside is cut off.
        where: file and annotation, for the message.

    Returns:
        RLE; an empty mask where every polygon lies outside of the image.

    Raises:
        AnnotationError: if a polygon has no three points, an odd number of coordinates, or
            coordinates that are not finite numbers.
    Source: ``rleFrPoly`` of pycocotools; the polygons are united, not combined even-odd.
    """
    if not polygons:
        raise AnnotationError(f"{where}: needs at least one polygon, got none; draw the outline")
    height, width = image_hw
    outlines = []
    length_px = 0.0
    for number, polygon in enumerate(polygons):
        outline = _clip(_points(polygon, f"{where}[{number}]"), image_hw)
        length_px += float(np.abs(np.diff(outline, axis=0, append=outline[:1])).max(axis=1).sum())
        if length_px > MAX_OUTLINE_PX:
            raise AnnotationError(
                f"{where}[{number}]: outlines of an annotation must be <= {MAX_OUTLINE_PX} px long "
                f"together, got {length_px:.0f} px; correct the polygon"
            )
        if len(outline) >= 3:
            outlines.append(outline.ravel().tolist())
    if not outlines:
        return union([], image_hw)
    merged = coco_mask.merge(coco_mask.frPyObjects(outlines, height, width), intersect=False)
    return {"size": [height, width], "counts": merged["counts"].decode("ascii")}


def _points(polygon: Any, where: str) -> _Points:
    """Corners (N, 2) of one polygon, checked."""
    if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
        got = f"{len(polygon)} numbers" if isinstance(polygon, list) else type(polygon).__name__
        raise AnnotationError(
            f"{where}: polygon must be a list of x, y pairs of >= 3 points, got {got}; "
            "correct the polygon"
        )
    if not all(type(value) in (int, float) for value in polygon):
        raise AnnotationError(f"{where}: polygon must hold numbers only; correct the polygon")
    try:
        points = np.asarray(polygon, dtype=np.float64).reshape(-1, 2)
    except OverflowError:
        points = np.full((1, 2), np.inf)
    if not np.isfinite(points).all() or np.abs(points).max() > 1e15:
        raise AnnotationError(
            f"{where}: polygon coordinates must be finite, within 1e15 px; correct the polygon"
        )
    return points


def _clip(points: _Points, image_hw: tuple[int, int]) -> _Points:
    """The polygon cut at one pixel outside of the image border (Sutherland-Hodgman).

    A polygon that stays inside comes back untouched, so that it is rasterised to the very
    pixels of pycocotools; the cut edges lie outside of the image and add no pixel.
    """
    height, width = image_hw
    for axis, limit in ((0, width + 1.0), (1, height + 1.0)):
        for sign, bound in ((-1.0, 1.0), (1.0, limit)):
            points = _clip_half_plane(points, axis, sign, bound)
    return points


def _clip_half_plane(points: _Points, axis: int, sign: float, bound: float) -> _Points:
    """The part of the polygon where ``sign * coordinate <= bound``."""
    excess = sign * points[:, axis] - bound
    if len(points) == 0 or (excess <= 0).all():
        return points
    kept: list[_Points] = []
    for index in range(len(points)):
        current, following = points[index], points[(index + 1) % len(points)]
        here, there = excess[index], excess[(index + 1) % len(points)]
        if here <= 0:
            kept.append(current)
        if (here <= 0) != (there <= 0):
            crossing = current + (following - current) * (here / (here - there))
            crossing[axis] = sign * bound
            kept.append(crossing)
    return np.asarray(kept, dtype=np.float64).reshape(-1, 2)
