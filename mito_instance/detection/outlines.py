"""Outlines of detections, corrected by the foreground map.

A mask head sees one box, and draws what lies in it: of a mitochondrion that is longer than its box
the end is missing, along a straight line. The map knows no boxes, and no instances either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from mito_instance.masks.rle import BoolMask

REACH_PX = 128
"""What is farther from a mask is not its end but something that was not detected."""

TWIN = 0.5
"""Part of the smaller of two masks that both have if they are one object, seen twice."""

_NEIGHBOURS = np.ones((3, 3), dtype=np.uint8)


_Value = TypeVar("_Value", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Placed:
    """A mask in its box.

    Args:
        mask: bool (h, w), possibly empty.
        x: column of its first pixel in the image.
        y: row of its first pixel in the image.
    """

    mask: BoolMask
    x: int
    y: int

    def of(self, image: npt.NDArray[_Value]) -> npt.NDArray[_Value]:
        """View of an image (H, W) at the mask's box."""
        height, width = self.mask.shape
        return image[self.y : self.y + height, self.x : self.x + width]


def correct_outlines(
    masks: Sequence[Placed],
    probability: npt.NDArray[np.float32],
    stride: int,
    image_hw: tuple[int, int],
    limits: Sequence[float],
    claims: Sequence[int],
) -> list[Placed]:
    """Take from each mask what is no foreground, and give it the foreground that it ends in.

    Free foreground belongs to the mask that reaches it first, cell by cell of the map, within
    `REACH_PX`. Where masks overlap, the first one reaches on.

    Args:
        masks: by falling score.
        probability: (H / s, W / s) of the image, which may be padded at its right and bottom.
        stride: s, in pixels.
        image_hw: height and width of the image without the padding.
        limits: pixels of a mask that are less probable than the first leave it, free ones that
            are at least as probable as the second join it.
        claims: the category, above 0, of masks that take foreground and keep others from it; 0 of
            those that do not count. These, and twins of a mask before of the same category, are as
            if they were not there: the result does not depend on how many are asked for.

    Returns:
        As many masks, in their order.
    """
    least, join = limits
    # What lies beyond the image says nothing of its border.
    probability = probability[: -(-image_hw[0] // stride), : -(-image_hw[1] // stride)]
    padded_hw = (probability.shape[0] * stride, probability.shape[1] * stride)
    fine = cv2.resize(probability, padded_hw[::-1], interpolation=cv2.INTER_LINEAR)
    fine = fine[: image_hw[0], : image_hw[1]]
    owners = np.zeros(padded_hw, dtype=np.int32)
    areas = np.array([0, *(np.count_nonzero(one.mask) for one in masks)])
    categories = np.array([0, *claims])
    for number, one in enumerate(masks, start=1):
        if categories[number]:
            _claim(one, number, owners, np.where(categories == categories[number], areas, 0))
    cells = _reached(
        owners[stride // 2 :: stride, stride // 2 :: stride],
        probability >= join,
        REACH_PX // stride,
    )
    is_free = (owners[: image_hw[0], : image_hw[1]] == 0) & (fine >= join)
    boxes = _boxes(cells)
    corrected = []
    for number, one in enumerate(masks, start=1):
        if number in boxes:
            x0, y0, x1, y1 = boxes[number]
            one = _with_free(one, number, cells[y0:y1, x0:x1], (y0, x0), stride, is_free)
        corrected.append(replace(one, mask=one.mask & (one.of(fine) >= least)))
    return corrected


def _claim(
    one: Placed, number: int, owners: npt.NDArray[np.int32], areas: npt.NDArray[np.int64]
) -> None:
    """Make a mask the owner of its free pixels, unless it is a twin of one before.

    Args:
        one: the mask.
        number: its number, from 1.
        owners: numbers (H, W) of those before, else 0; changed in place.
        areas: of all masks of its category by their number, 0 of the others.
    """
    before = one.of(owners)
    shared = np.bincount(before[one.mask], minlength=len(areas))
    smaller = np.minimum(areas[number], areas)
    if not ((smaller > 0) & (shared >= TWIN * smaller))[1:].any():
        before[one.mask & (before == 0)] = number


def _reached(
    owners: npt.NDArray[np.int32], is_foreground: npt.NDArray[np.bool_], n_cells: int
) -> npt.NDArray[np.int32]:
    """Owners of cells and, step by step, of free foreground beside them, and of its border."""
    reached = owners.astype(np.float32)  # exact to 16 million; what OpenCV dilates
    is_free = is_foreground & (owners == 0)
    for _ in range(n_cells):
        spread = cv2.dilate(reached, _NEIGHBOURS)
        new = (reached == 0) & is_free & (spread > 0)
        if not new.any():
            break
        reached[new] = spread[new]
    spread = cv2.dilate(reached, _NEIGHBOURS)
    return np.where(reached > 0, reached, spread).astype(np.int32)


def _boxes(cells: npt.NDArray[np.int32]) -> dict[int, tuple[int, int, int, int]]:
    """Left, top, right and bottom of the cells of each owner; right and bottom exclusive."""
    rows, columns = np.nonzero(cells)
    owners, places = np.unique(cells[rows, columns], return_inverse=True)
    first = np.full((2, len(owners)), max(cells.shape))
    last = np.zeros_like(first)
    for axis, positions in enumerate((columns, rows)):
        np.minimum.at(first[axis], places, positions)
        np.maximum.at(last[axis], places, positions + 1)
    corners = np.concatenate([first, last]).T.tolist()
    return {owner: tuple(box) for owner, box in zip(owners.tolist(), corners, strict=True)}


def _with_free(
    one: Placed,
    number: int,
    cells: npt.NDArray[np.int32],
    first_cell: tuple[int, int],
    stride: int,
    is_free: npt.NDArray[np.bool_],
) -> Placed:
    """A mask with the free pixels in its cells."""
    y0, x0 = (start * stride for start in first_cell)
    own = np.kron(cells == number, np.ones((stride, stride), dtype=bool))
    free = is_free[y0 : y0 + own.shape[0], x0 : x0 + own.shape[1]]
    gained = own[: free.shape[0], : free.shape[1]] & free
    if not gained.any():
        return one
    height, width = one.mask.shape
    top, left = min(one.y, y0), min(one.x, x0)
    bottom = max(one.y + height, y0 + gained.shape[0])
    right = max(one.x + width, x0 + gained.shape[1])
    grown = Placed(np.zeros((bottom - top, right - left), dtype=bool), left, top)
    grown.mask[one.y - top : one.y - top + height, one.x - left : one.x - left + width] = one.mask
    grown.mask[y0 - top :, x0 - left :][: gained.shape[0], : gained.shape[1]] |= gained
    return grown
