"""Polygons to pixels: the pixel set that ImageJ gives the same outline.

Coordinates are pixel corners: pixel (0, 0) lies between 0 and 1 on both axes, its centre at
(0.5, 0.5). A pixel belongs to a polygon when its centre lies inside; several rings follow the
even-odd rule, so a ring inside a ring is a hole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mito_instance.errors import AnnotationError, OutsideError
from mito_instance.masks import rle as rle_masks
from mito_instance.masks.curves import Point, flattened
from mito_instance.masks.rle import RLE, BoolMask

Ring = npt.NDArray[np.float64]
"""Closed outline, float64 (N, 2): x, y in pixels; the last vertex joins the first."""

# ImageJ moves each edge right by this much, so that a centre on a slanted edge is decided
# alike in every row in spite of rounding errors.
_EDGE_SHIFT_PX = 1e-8
_CROSSINGS_AT_ONCE = 1_000_000
_MAX_CROSSINGS = 20_000_000
# Control points of the cubic curve nearest to a quarter of a circle of radius 1.
_ARC_CONTROL = 4.0 / 3.0 * (math.sqrt(2.0) - 1.0)


@dataclass(frozen=True, slots=True)
class Raster:
    """The pixels of a polygon inside its image.

    Args:
        rle: the mask; never empty.
        is_clipped: whether the outline reaches beyond the image, where it was cut off.
    """

    rle: RLE
    is_clipped: bool


def rasterise(rings: Sequence[Ring], image_hw: tuple[int, int], where: str) -> Raster:
    """Pixels whose centre lies inside the rings, by ImageJ's rule for centres on an edge.

    A centre exactly on a left or upper edge is outside, on a right or lower edge inside.
    Works in the polygon's box, cut to the image; memory is that of the box.

    Args:
        rings: one or more closed outlines; even-odd where they overlap or cross themselves.
        image_hw: height and width of the image in pixels.
        where: file and ROI, for the message.

    Raises:
        AnnotationError: if there is no ring of three vertices, a coordinate is not finite, the
            polygon lies outside the image, or it covers no pixel centre.
    Source: ImageJ 1.53t, class ``PolygonFiller`` (compared pixel by pixel in development).
    """
    vertices = _checked_vertices(rings, where)
    height, width = image_hw
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    span = f"x {low[0]:g} to {high[0]:g}, y {low[1]:g} to {high[1]:g} px"
    # Columns and rows whose centre may be inside: c - 0.5 < pixel <= c - 0.5 per corner c.
    left, top = (max(0, math.floor(min(value, 2**40))) for value in low)
    right = min(width, math.ceil(max(high[0], -1.0)) + 1)
    bottom = min(height, math.ceil(max(high[1], -1.0)) + 1)
    if high[0] <= 0 or high[1] <= 0 or low[0] >= width or low[1] >= height:
        raise OutsideError(
            f"{where}: lies outside its image ({span}, but the image is {width} x {height} px); "
            "check that this outline belongs to this image"
        )
    mask = fill(rings, (left, top, right - left, bottom - top))
    if not mask.any():
        raise AnnotationError(
            f"{where}: covers no pixel centre of its image ({span}; the image is "
            f"{width} x {height} px); remove it or draw it anew"
        )
    is_clipped = bool(low[0] < 0 or low[1] < 0 or high[0] > width or high[1] > height)
    return Raster(rle_masks.place(mask, left, top, image_hw), is_clipped)


def fill(rings: Sequence[Ring], box: tuple[int, int, int, int]) -> BoolMask:
    """Pixels of a box whose centre lies inside the rings (even-odd).

    Args:
        rings: closed outlines in the coordinates of the image.
        box: (x, y, width, height) in pixels.

    Returns:
        bool (height, width); all False without rings.
    """
    left, top, width, height = box
    # Entry (row, column) is odd when an edge crosses the row's centre line just left of the
    # column's centre; the running parity along the row is the even-odd rule.
    toggles = np.zeros((height, width + 1), dtype=np.uint8)
    n_crossings = 0
    for ring in rings:
        in_box = ring - np.array([left, top], dtype=np.float64)
        n_crossings += _toggle_crossings(toggles, in_box, n_crossings)
    return np.bitwise_xor.accumulate(toggles, axis=1)[:, :width].astype(bool)


def ellipse_outline(x: int, y: int, width: int, height: int) -> Ring:
    """Outline, along pixel edges, of the pixels of ImageJ's oval selection in a box.

    Args:
        x: left edge of the box in pixels.
        y: upper edge of the box in pixels.
        width: width of the box, >= 1 px.
        height: height of the box, >= 1 px.

    Returns:
        float64 (4 * height, 2).
    Source: ImageJ 1.53t, ``OvalRoi.getMask``: pixel centres in the inscribed ellipse.
    """
    half_width, half_height = width / 2.0, height / 2.0
    rows = np.arange(height, dtype=np.float64)
    offset_y = rows - (half_height - 0.5)
    reach = half_width * np.sqrt(np.maximum(0.0, 1.0 - offset_y**2 / half_height**2))
    # First column whose centre is at most `reach` from the middle; symmetric on the right.
    first = np.ceil(half_width - 0.5 - reach - 1e-9)
    lefts = np.repeat(x + first, 2)
    rights = np.repeat(x + width - first, 2)
    levels = np.repeat(np.arange(y, y + height + 1, dtype=np.float64), 2)[1:-1]
    down = np.stack([rights, levels], axis=1)
    up = np.stack([lefts, levels], axis=1)[::-1]
    return np.concatenate([down, up])


def rectangle_outline(x: float, y: float, width: float, height: float) -> Ring:
    """The four corners of a box, in pixels."""
    return np.array(
        [[x, y], [x + width, y], [x + width, y + height], [x, y + height]], dtype=np.float64
    )


def rounded_rectangle_outline(x: int, y: int, width: int, height: int, arc_px: int) -> Ring:
    """Outline of a box whose corners are rounded as Java draws them.

    Args:
        x: left edge of the box in pixels.
        y: upper edge of the box in pixels.
        width: width of the box in pixels.
        height: height of the box in pixels.
        arc_px: diameter of the rounding, at most the box's sides.
    Source: the cubic curve that stands for a quarter of an ellipse in ``RoundRectangle2D``.
    """
    radius_x, radius_y = min(arc_px, width) / 2.0, min(arc_px, height) / 2.0
    reach_x, reach_y = radius_x * _ARC_CONTROL, radius_y * _ARC_CONTROL
    left, top, right, bottom = (
        x + radius_x,
        y + radius_y,
        x + width - radius_x,
        y + height - radius_y,
    )
    vertices: list[Point] = []
    for middle_x, middle_y, side_x, side_y, starts_at_side in (
        (left, bottom, -1, 1, True),
        (right, bottom, 1, 1, False),
        (right, top, 1, -1, True),
        (left, top, -1, -1, False),
    ):
        arc = [
            (middle_x + side_x * radius_x, middle_y),
            (middle_x + side_x * radius_x, middle_y + side_y * reach_y),
            (middle_x + side_x * reach_x, middle_y + side_y * radius_y),
            (middle_x, middle_y + side_y * radius_y),
        ]
        if not starts_at_side:
            arc.reverse()
        vertices += [arc[0], *flattened(arc)]
    return np.array(vertices, dtype=np.float64)


def _checked_vertices(rings: Sequence[Ring], where: str) -> Ring:
    """All vertices in one array, once it is known that they can be filled."""
    longest = max((len(ring) for ring in rings), default=0)
    if longest < 3:
        raise AnnotationError(
            f"{where}: an outline needs at least 3 vertices, got {longest}; draw it anew"
        )
    vertices = np.concatenate(list(rings))
    if not np.isfinite(vertices).all():
        raise AnnotationError(
            f"{where}: a coordinate is not a finite number; the file is damaged, save it anew"
        )
    return vertices


def _toggle_crossings(toggles: npt.NDArray[np.uint8], ring: Ring, already: int) -> int:
    """Flip, in every row, the column right of which an edge changes inside to outside.

    Args:
        toggles: uint8 (height, width + 1) of one box, changed in place.
        ring: outline in the coordinates of the box.
        already: rows of pixels that other rings of the outline cross.

    Returns:
        Rows that this one crosses.
    """
    height, columns = toggles.shape
    ends = np.roll(ring, -1, axis=0)
    swap = ring[:, 1] > ends[:, 1]
    upper = np.where(swap[:, None], ends, ring)
    lower = np.where(swap[:, None], ring, ends)
    # Row y is crossed when upper y < y + 0.5 <= lower y. Rows outside the box are cut off
    # before the numbers become integers: coordinates may be huge.
    first = np.clip(np.floor(upper[:, 1] + 0.5), 0, height).astype(np.int64)
    stop = np.clip(np.floor(lower[:, 1] + 0.5), 0, height).astype(np.int64)
    crosses = np.flatnonzero(stop > first)
    first, n_rows = first[crosses], (stop - first)[crosses]
    upper, lower = upper[crosses], lower[crosses]
    slope = (lower[:, 0] - upper[:, 0]) / (lower[:, 1] - upper[:, 1])
    x_at_row_0 = upper[:, 0] + (0.5 - upper[:, 1]) * slope + _EDGE_SHIFT_PX
    flat = toggles.reshape(-1)
    totals = np.cumsum(n_rows)
    n_all = int(totals[-1]) if len(totals) else 0
    if already + n_all > _MAX_CROSSINGS:
        raise AnnotationError(
            f"an outline crosses {already + n_all:,} rows of pixels, at most {_MAX_CROSSINGS:,} "
            "may be; draw it anew"
        )
    begin = 0
    while begin < len(crosses):
        before = int(totals[begin - 1]) if begin else 0
        end = max(begin + 1, int(np.searchsorted(totals, before + _CROSSINGS_AT_ONCE, "right")))
        part = slice(begin, end)
        edge = np.repeat(np.arange(begin, end), n_rows[part])
        starts = np.cumsum(n_rows[part]) - n_rows[part]
        row = np.arange(len(edge)) - np.repeat(starts, n_rows[part]) + first[edge]
        x = x_at_row_0[edge] + row * slope[edge]
        column = np.clip(np.floor(x + 0.5), 0, columns - 1).astype(np.int64)
        places, n_crossings = np.unique(row * columns + column, return_counts=True)
        flat[places] ^= (n_crossings & 1).astype(np.uint8)
        begin = end
    return n_all
