"""Checks of the masks of one image against each other: repeats and overlaps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mito_instance.annotations.findings import LEFT_OUT, Findings
from mito_instance.masks import rle as rle_masks
from mito_instance.masks.rle import RLE

MAX_PAIRS = 20_000
"""Pairs of touching boxes that are compared in one image."""
_INSIDE = 0.9


def check_neighbours(
    masks: Sequence[RLE], names: Sequence[str], where: str, findings: Findings
) -> list[int]:
    """Note identical and overlapping masks.

    Args:
        masks: N masks of one image, none of them empty.
        names: N annotations, for the messages.
        where: the image, for the messages.
        findings: grows.

    Returns:
        Positions of the masks that repeat no earlier one, in order.
    """
    kept: list[int] = []
    first_of: dict[str, int] = {}
    for position, mask in enumerate(masks):
        counts = str(mask["counts"])  # canonical: equal masks have equal counts
        if counts in first_of:
            findings.add(
                "mask-twice",
                names[position],
                f"has the very mask of {names[first_of[counts]]} ({rle_masks.area_px(mask)} px)",
                LEFT_OUT,
            )
            continue
        first_of[counts] = position
        kept.append(position)
    _check_overlaps(
        [masks[position] for position in kept], [names[i] for i in kept], where, findings
    )
    return kept


def _check_overlaps(
    masks: Sequence[RLE], names: Sequence[str], where: str, findings: Findings
) -> None:
    """Note each pair of masks that share pixels, with the number of pixels."""
    if len(masks) < 2:
        return
    boxes = np.array([rle_masks.box_xywh(mask) for mask in masks], dtype=np.int64)
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    n_compared = 0
    for first in range(len(masks) - 1):
        later = slice(first + 1, None)
        touching = ((low[later] < high[first]) & (high[later] > low[first])).all(axis=1)
        for second in (np.flatnonzero(touching) + first + 1).tolist():
            n_compared += 1
            if n_compared > MAX_PAIRS:
                findings.add(
                    "overlap-unchecked",
                    where,
                    f"more than {MAX_PAIRS} pairs of boxes touch; the others are not compared",
                )
                return
            _check_pair(masks, names, first, second, findings)


def _check_pair(
    masks: Sequence[RLE], names: Sequence[str], first: int, second: int, findings: Findings
) -> None:
    shared_px = rle_masks.intersection_px(masks[first], masks[second])
    if not shared_px:
        return
    small, large = sorted((first, second), key=lambda i: rle_masks.area_px(masks[i]))
    area_px = rle_masks.area_px(masks[small])
    if shared_px >= _INSIDE * area_px:
        findings.add(
            "mask-inside",
            names[small],
            f"{shared_px} of its {area_px} px lie in {names[large]}; one of them may be a repeat",
        )
    else:
        findings.add(
            "overlap", names[small], f"shares {shared_px} of its {area_px} px with {names[large]}"
        )
