"""Length of the outline of a mask along pixel edges, with ImageJ's corner rule."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

CORNER_PX = 2.0 - math.sqrt(2.0)

_Ints = npt.NDArray[np.int64]


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
    following, lengths, turns_area = _linked_sides(mask)
    following_list, lengths_list = following.tolist(), lengths.tolist()
    areas = turns_area.tolist()
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


def _linked_sides(mask: npt.NDArray[np.bool_]) -> tuple[_Ints, _Ints, _Ints]:
    """Straight sides of all outlines, with the object on the right hand.

    Returns:
        The side that follows each side, the sides' lengths in pixels, and each side's share of
        twice the signed area (0 for vertical sides); all int64 (S,).
    """
    padded = np.pad(mask, 1).astype(np.int8)
    n_columns = padded.shape[1]
    # Top edges run to the right (+1), bottom edges to the left (-1).
    y, x_first, x_last, right = _runs(np.diff(padded, axis=0)[:, 1:-1])
    # Right edges run down (+1), left edges up (-1).
    x, y_first, y_last, down = _runs(-np.diff(padded, axis=1)[1:-1].T)

    def vertex(column: _Ints, row: _Ints) -> _Ints:
        return np.asarray(row * n_columns + column, dtype=np.int64)

    left_end, right_end = vertex(x_first, y), vertex(x_last, y)
    top_end, bottom_end = vertex(x, y_first), vertex(x, y_last)
    goes_right, goes_down = right > 0, down > 0
    horizontal_from = np.where(goes_right, left_end, right_end)
    horizontal_to = np.where(goes_right, right_end, left_end)
    vertical_from = np.where(goes_down, top_end, bottom_end)
    vertical_to = np.where(goes_down, bottom_end, top_end)

    # Each horizontal side is followed by a vertical one and the reverse. Where two pixels touch
    # at a corner, two outlines meet in one vertex: turning left there keeps the pixels in
    # one part (8-connected): right -> up, left -> down, down -> right, up -> left.
    n_horizontal = len(y)
    following = np.empty(n_horizontal + len(x), dtype=np.int64)
    arriving = np.argsort(horizontal_to * 2 + goes_right)
    leaving = np.argsort(vertical_from * 2 + ~goes_down)
    following[arriving] = n_horizontal + leaving
    arriving = np.argsort(vertical_to * 2 + goes_down)
    leaving = np.argsort(horizontal_from * 2 + goes_right)
    following[n_horizontal + arriving] = leaving

    horizontal_length, vertical_length = x_last - x_first, y_last - y_first
    area = np.concatenate([-right * horizontal_length * y, np.zeros(len(x), dtype=np.int64)])
    return following, np.concatenate([horizontal_length, vertical_length]), area


def _runs(steps: npt.NDArray[np.int8]) -> tuple[_Ints, _Ints, _Ints, _Ints]:
    """Maximal runs of equal non-zero values in each row: row, first, one after last, value."""
    padded = np.pad(steps, ((0, 0), (1, 1)))
    left, here, right = padded[:, :-2], padded[:, 1:-1], padded[:, 2:]
    rows, first = np.nonzero((here != 0) & (here != left))
    _, last = np.nonzero((here != 0) & (here != right))
    return rows, first, last + 1, here[rows, first].astype(np.int64)
