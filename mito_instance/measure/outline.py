"""Length of the outline of a mask along pixel edges, with ImageJ's corner rule."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from mito_instance.masks.contours import linked_sides

CORNER_PX = 2.0 - math.sqrt(2.0)


def traced_perimeter(mask: npt.NDArray[np.bool_]) -> float:
    """Perimeter of a mask as ImageJ's wand tool and particle analyser define it.

    The outer outline of each 8-connected part is followed along the pixel edges. Its length is
    the number of edges, less 2 - √2 for each corner that is not next to a counted one, so
    that a staircase of single pixels counts as a diagonal. Outlines of holes do not count.

    Which corners of a staircase are the counted ones depends on where the count starts. It
    starts where ImageJ's trace does, at the right end of the topmost leftmost edge, so that the
    values equal those of ImageJ; a turned or mirrored object can differ by one corner (0.59 px).

    Args:
        mask: bool (H, W).

    Returns:
        Length in pixels; 0 for an empty mask, 4 - 2 (2 - √2) = 2.83 for a single pixel.
    Source: ImageJ, ``PolygonRoi.getTracedPerimeter``.
    """
    linked = linked_sides(mask)
    following_list, lengths_list = linked.following.tolist(), linked.length_px.tolist()
    areas = linked.area_share.tolist()
    done = [False] * len(following_list)
    total = 0.0
    for first in range(len(following_list)):
        if done[first]:
            continue
        sides: list[int] = []
        area, side = 0, first
        while not done[side]:
            done[side] = True
            sides.append(lengths_list[side])
            area += areas[side]
            side = following_list[side]
        if area > 0:  # clockwise: an outer outline; holes run the other way round
            # Sides are in reading order: the first one is the topmost leftmost edge of its part.
            total += sum(sides) - CORNER_PX * _count_corners(sides[1:] + sides[:1])
    return total


def _count_corners(sides: list[int]) -> int:
    """Corners of one closed outline that ImageJ's rule counts.

    Every corner after a side longer than 1 counts; of the corners after unit sides, those
    whose predecessor was not counted.
    """
    count, counted = 0, False
    for length in sides:
        counted = length > 1 or not counted
        count += counted
    return count
