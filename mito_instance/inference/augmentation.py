"""Test-time augmentation: a tile is seen in several orientations, which vote on every object."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mito_instance.errors import ConfigError
from mito_instance.inference.copies import CopiesPredictor
from mito_instance.inference.orientations import FLIPS, Orientation, orientations
from mito_instance.inference.predictor import (
    MapPredictor,
    MaskPredictor,
    StackPredictor,
    category_names,
    familiar_px,
    pages_at_once,
    predict_in_batches,
    tiles_at_once,
)
from mito_instance.instances import ImageInstances
from mito_instance.masks import rle

SAME_OBJECT_IOU = 0.5
"""Least IoU with the best mask of a group, for a detection to join it."""

MEMBER_SCORE = 0.05
"""Detections down to this score support others, whatever the score that is asked for."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """A detection, brought back to the tile: its mask inside its box."""

    x: int
    y: int
    mask: npt.NDArray[np.bool_]
    score: float
    category_id: int
    orientation: int

    @property
    def box_xyxy(self) -> tuple[int, int, int, int]:
        return self.x, self.y, self.x + self.mask.shape[1], self.y + self.mask.shape[0]


class AugmentedPredictor:
    """A predictor that asks another about each orientation of a tile and merges the answers.

    Masks are turned back pixel by pixel, without resampling. By falling score, each detection
    joins the group of another orientation's whose best mask it overlaps most, with an IoU of at
    least `SAME_OBJECT_IOU`, the same category, and no member of its own orientation yet; else
    it begins a group. Of a group,

    - the score is the sum of its members' scores divided by the number of orientations, so that
      what one orientation alone shows has a fourth, or an eighth, of its score;
    - the mask has the pixels to which members with more than half of that sum agree; where
      they are divided evenly, the best member decides.

    A group keeps the score that is asked for only if one of its members reaches it, but all
    members down to `MEMBER_SCORE` count.

    Args:
        predictor: the one that is asked.
        count: 4 for the four flips, 8 for turns by 90° as well.

    Raises:
        ConfigError: if the count is neither.
    """

    def __init__(self, predictor: MaskPredictor, count: int = FLIPS) -> None:
        self.predictor = predictor
        self.orientations = orientations(count)

    @property
    def score_threshold(self) -> float:
        """As of the predictor."""
        return self.predictor.score_threshold

    @property
    def pixel_size_nm(self) -> float | None:
        """As of the predictor."""
        return self.predictor.pixel_size_nm

    @property
    def tile_px(self) -> int:
        """As of the predictor."""
        return self.predictor.tile_px

    @property
    def tile_overlap_px(self) -> int:
        """As of the predictor."""
        return self.predictor.tile_overlap_px

    @property
    def tiles_at_once(self) -> int:
        """Tiles whose orientations make a batch of the predictor, at least 1."""
        return max(1, tiles_at_once(self.predictor) // len(self.orientations))

    @property
    def pages_at_once(self) -> int:
        """As of the predictor."""
        return pages_at_once(self.predictor)

    @property
    def category_names(self) -> Mapping[int, str]:
        """As of the predictor."""
        return category_names(self.predictor)

    @property
    def familiar_px(self) -> Sequence[float]:
        """As of the predictor."""
        return familiar_px(self.predictor)

    def prepare(self, pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """As of the predictor."""
        return self.predictor.prepare(pixels)

    def record(self) -> Mapping[str, Any]:
        """As of the predictor, with the number of orientations."""
        return {**self.predictor.record(), "tta_orientations": len(self.orientations)}

    def predict(
        self, tiles: Sequence[npt.NDArray[np.uint8]], min_score: float = 0.0
    ) -> list[ImageInstances]:
        """Merged instances of each tile that score at least ``min_score``, by falling score.

        Orientations are predicted in batches of the predictor's size: memory is that of the
        predictor.
        """
        turned = (orientation.apply(tile) for tile in tiles for orientation in self.orientations)
        results = predict_in_batches(self.predictor, turned, min(min_score, MEMBER_SCORE))
        return [self._merge(tile, results, min_score) for tile in tiles]

    def _merge(
        self, tile: npt.NDArray[np.uint8], results: Iterator[ImageInstances], min_score: float
    ) -> ImageInstances:
        """What the next results show, one for each orientation of a tile, merged."""
        seen: list[_Seen] = []
        for number, orientation in enumerate(self.orientations):
            seen += _turned_back(next(results), number, orientation)
        image_hw = (tile.shape[0], tile.shape[1])
        masks, scores, categories = [], [], []
        for group in _groups(seen, min_score):
            score = math.fsum(member.score for member in group) / len(self.orientations)
            if score >= min_score:
                mask, x, y = _vote(group)
                masks.append(rle.place(mask, x, y, image_hw))
                scores.append(score)
                categories.append(group[0].category_id)
        order = sorted(range(len(scores)), key=lambda number: -scores[number])
        return ImageInstances(
            image="tile",
            image_hw=image_hw,
            masks=tuple(masks[number] for number in order),
            scores=np.array([scores[number] for number in order], dtype=np.float64),
            category_ids=tuple(categories[number] for number in order),
        )


def with_augmentation(predictor: MaskPredictor, count: int | None) -> MaskPredictor:
    """The predictor itself, or one that asks it about several orientations.

    A predictor that draws instances from a map averages its maps; of any other the objects vote.

    Args:
        predictor: any.
        count: 4 or 8 orientations; None for the predictor itself.

    Raises:
        ConfigError: if the count is another, or the predictor looks at neighbouring slices and
            is no ``MapPredictor``: what it is asked about has been prepared in one orientation.
    """
    if count is None:
        return predictor
    if isinstance(predictor, MapPredictor):
        return predictor.in_orientations(count)
    if isinstance(predictor, CopiesPredictor) and isinstance(predictor.copies[0], MapPredictor):
        return CopiesPredictor([with_augmentation(copy, count) for copy in predictor.copies])
    if isinstance(predictor, StackPredictor):
        raise ConfigError(
            "--tta: a model that looks at neighbouring slices sees them in one orientation, "
            "unless it averages maps; leave it out"
        )
    return AugmentedPredictor(predictor, count)


def _turned_back(found: ImageInstances, number: int, orientation: Orientation) -> list[_Seen]:
    """Detections of one orientation in the tile's own; empty masks are left out."""
    scores = np.ones(len(found)) if found.scores is None else found.scores
    seen = []
    for mask, score, category_id in zip(found.masks, scores, found.category_ids, strict=True):
        box = rle.box_xywh(mask)
        if box[2] == 0:
            continue
        part, x, y = orientation.undo(rle.crop(mask, box), box[0], box[1], found.image_hw)
        seen.append(_Seen(x, y, part, float(score), category_id, number))
    return seen


def _groups(seen: Sequence[_Seen], min_score: float) -> list[list[_Seen]]:
    """Detections that show the same object, the best first; at most one of each orientation.

    Args:
        seen: of all orientations.
        min_score: a group that begins below it can never reach it, and is not begun.
    """
    ordered = sorted(seen, key=lambda one: (-one.score, one.orientation, one.y, one.x))
    groups: list[list[_Seen]] = []
    boxes = np.zeros((len(ordered), 4), dtype=np.int64)  # of the first members
    for one in ordered:
        x0, y0, x1, y1 = one.box_xyxy
        firsts = boxes[: len(groups)]
        near = np.flatnonzero(
            (firsts[:, 0] < x1) & (firsts[:, 1] < y1) & (firsts[:, 2] > x0) & (firsts[:, 3] > y0)
        )
        best, best_iou = -1, SAME_OBJECT_IOU
        for number in near.tolist():
            group = groups[number]
            if group[0].category_id != one.category_id:
                continue
            if any(member.orientation == one.orientation for member in group):
                continue
            iou = _iou(group[0], one)
            if iou > best_iou or (iou == best_iou and best < 0):
                best, best_iou = number, iou
        if best >= 0:
            groups[best].append(one)
        elif one.score >= min_score:
            boxes[len(groups)] = one.box_xyxy
            groups.append([one])
    return groups


def _iou(first: _Seen, second: _Seen) -> float:
    """Intersection over union of two masks that are not empty."""
    a, b = first.box_xyxy, second.box_xyxy
    box = (max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3]))
    if box[2] <= box[0] or box[3] <= box[1]:
        return 0.0
    shared = int(np.count_nonzero(_window(first, box) & _window(second, box)))
    total = int(np.count_nonzero(first.mask)) + int(np.count_nonzero(second.mask))
    return shared / (total - shared)


def _window(one: _Seen, box_xyxy: tuple[int, int, int, int]) -> npt.NDArray[np.bool_]:
    """View of the part of a mask in a box that its own box contains."""
    x0, y0, x1, y1 = box_xyxy
    return one.mask[y0 - one.y : y1 - one.y, x0 - one.x : x1 - one.x]


def _vote(group: Sequence[_Seen]) -> tuple[npt.NDArray[np.bool_], int, int]:
    """The mask that a group agrees on, with the column and row of its first pixel.

    Never empty: if all pixels are outvoted, the best member's mask is taken.
    """
    best = group[0]
    if len(group) == 1:
        return best.mask, best.x, best.y
    boxes = np.array([one.box_xyxy for one in group])
    left, top = int(boxes[:, 0].min()), int(boxes[:, 1].min())
    votes = np.zeros((int(boxes[:, 3].max()) - top, int(boxes[:, 2].max()) - left))
    total = sum(one.score for one in group)
    for one in group:
        x0, y0, x1, y1 = one.box_xyxy
        votes[y0 - top : y1 - top, x0 - left : x1 - left] += one.mask * one.score
    agreed = votes > (0.5 + 1e-9) * total
    even = np.abs(votes - 0.5 * total) <= 1e-9 * total
    x0, y0, x1, y1 = best.box_xyxy
    inside = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
    agreed[inside] |= even[inside] & best.mask
    return (agreed, left, top) if agreed.any() else (best.mask, best.x, best.y)
