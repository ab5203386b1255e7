"""Outlines along pixel edges: masks to closed rings that lose no pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mito_instance.masks import rle as rle_masks
from mito_instance.masks.rle import RLE

_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """One closed outline of a mask.

    Args:
        corners_xy: int64 (N, 2), N >= 4: x, y of the corners in pixel corners; the last joins
            the first. Clockwise around pixels (y points down), anticlockwise around a hole.
        is_hole: whether the outline goes around a hole.
    """

    corners_xy: npt.NDArray[np.int64]
    is_hole: bool


@dataclass(frozen=True, slots=True, eq=False)
class Sides:
    """Straight sides of all outlines of a mask, with the object on the right hand.

    Horizontal sides come first, in reading order.

    Args:
        start_xy: int64 (S, 2), the corner where each side begins.
        length_px: int64 (S,).
        following: int64 (S,), the side that follows each side.
        area_share: int64 (S,), each side's share of the signed area; 0 for vertical sides.
    """

    start_xy: npt.NDArray[np.int64]
    length_px: npt.NDArray[np.int64]
    following: npt.NDArray[np.int64]
    area_share: npt.NDArray[np.int64]


def outlines(
    mask: npt.NDArray[np.bool_], origin_xy: tuple[int, int] = (0, 0), connectivity: int = 8
) -> list[Outline]:
    """Outer outlines and holes of a mask, exactly along the edges of its pixels.

    Filled by the even-odd rule, the outlines give the mask back, with either connectivity.

    Args:
        mask: bool (H, W).
        origin_xy: coordinates of the mask's upper left corner.
        connectivity: 8 (pixels that touch at a corner share one outline, which passes that
            corner twice) or 4 (each has its own).

    Returns:
        Outlines in reading order of their topmost edges; none for an empty mask.
    """
    sides = linked_sides(mask, connectivity)
    following, shares = sides.following.tolist(), sides.area_share.tolist()
    done = [False] * len(following)
    found: list[Outline] = []
    for first in range(len(following)):
        if done[first]:
            continue
        chain: list[int] = []
        area, side = 0, first
        while not done[side]:
            done[side] = True
            chain.append(side)
            area += shares[side]
            side = following[side]
        corners = sides.start_xy[chain] + np.asarray(origin_xy, dtype=np.int64)
        found.append(Outline(corners, is_hole=area < 0))
    return found


def rle_outlines(rle: RLE, connectivity: int = 8) -> list[Outline]:
    """Outlines of an RLE in the coordinates of its image, decoded in its box only.

    Args:
        rle: mask of an image.
        connectivity: 8 or 4, as in `outlines`.
    """
    box = rle_masks.box_xywh(rle)
    return outlines(rle_masks.crop(rle, box), box[:2], connectivity) if box[2] else []


def linked_sides(mask: npt.NDArray[np.bool_], connectivity: int = 8) -> Sides:
    """Straight sides of all outlines of a mask, and the order in which they are passed.

    Args:
        mask: bool (H, W).
        connectivity: 8 or 4, as in `outlines`.
    """
    # np.pad and np.diff are slow on small arrays, and most masks are small.
    padded = np.zeros((mask.shape[0] + 2, mask.shape[1] + 2), dtype=np.int8)
    padded[1:-1, 1:-1] = mask
    n_columns = padded.shape[1]
    # Top edges run to the right (+1), bottom edges to the left (-1).
    y, x_first, x_last, right = _runs(padded[1:, 1:-1] - padded[:-1, 1:-1])
    # Right edges run down (+1), left edges up (-1).
    x, y_first, y_last, down = _runs((padded[1:-1, :-1] - padded[1:-1, 1:]).T)

    def vertex(column: _Ints, row: _Ints) -> _Ints:
        return np.asarray(row * n_columns + column, dtype=np.int64)

    goes_right, goes_down = right > 0, down > 0
    start_x = np.where(goes_right, x_first, x_last)
    start_y = np.where(goes_down, y_first, y_last)
    horizontal_to = vertex(np.where(goes_right, x_last, x_first), y)
    vertical_to = vertex(x, np.where(goes_down, y_last, y_first))

    # Each horizontal side is followed by a vertical one and the reverse. Where two pixels touch
    # at a corner, two outlines meet in one vertex. Turning left there keeps the pixels in one
    # part (8-connected): right -> up, left -> down, down -> right, up -> left. Turning right
    # parts them (4-connected).
    turn_left = connectivity == 8
    n_horizontal = len(y)
    following = np.empty(n_horizontal + len(x), dtype=np.int64)
    arriving = np.argsort(horizontal_to * 2 + goes_right)
    leaving = np.argsort(vertex(x, start_y) * 2 + (goes_down ^ turn_left))
    following[arriving] = n_horizontal + leaving
    arriving = np.argsort(vertical_to * 2 + goes_down)
    leaving = np.argsort(vertex(start_x, y) * 2 + (goes_right ^ (not turn_left)))
    following[n_horizontal + arriving] = leaving

    horizontal_length, vertical_length = x_last - x_first, y_last - y_first
    return Sides(
        start_xy=np.stack([np.concatenate([start_x, x]), np.concatenate([y, start_y])], axis=1),
        length_px=np.concatenate([horizontal_length, vertical_length]),
        following=following,
        area_share=np.concatenate([-right * horizontal_length * y, np.zeros_like(x)]),
    )


def _runs(steps: npt.NDArray[np.int8]) -> tuple[_Ints, _Ints, _Ints, _Ints]:
    """Maximal runs of equal non-zero values in each row: row, first, one after last, value."""
    padded = np.zeros((steps.shape[0], steps.shape[1] + 2), dtype=np.int8)
    padded[:, 1:-1] = steps
    # Between two places that differ one run ends, another begins, or both; zeros are no run.
    changes = np.flatnonzero(padded[:, 1:] != padded[:, :-1])
    rows, places = np.divmod(changes, steps.shape[1] + 1)
    after = padded[rows, places + 1]
    begins = after != 0
    ends = padded[rows, places] != 0
    return rows[begins], places[begins], places[ends], after[begins].astype(np.int64)
