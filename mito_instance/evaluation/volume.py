"""Two label stacks of one volume: VOI, adapted Rand error, 3D matches and associations."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from mito_instance.errors import AnnotationError
from mito_instance.evaluation.associations import OVERLAP_FRACTION, Association, group_links
from mito_instance.evaluation.label_images import background_of_files, read_label_pages
from mito_instance.evaluation.matching import MatchCounts, ratio
from mito_instance.io.images import find_images
from mito_instance.io.mask_pages import COLOURS

Labels = npt.NDArray[np.int64]
BoxZyx = tuple[int, int, int, int, int, int]
"""First and one past the last page, row and column."""


@dataclass(frozen=True, slots=True, eq=False)
class Overlaps:
    """How often each pair of labels occurs in the same voxel; label 0 is background.

    Args:
        pairs: int64 (P, 2), true and predicted label, ascending, each pair once.
        voxels: int64 (P,), number of voxels of each pair.
        boxes_true: box of each true label but 0.
        boxes_pred: box of each predicted label but 0.
    """

    pairs: Labels
    voxels: Labels
    boxes_true: dict[int, BoxZyx]
    boxes_pred: dict[int, BoxZyx]


@dataclass(frozen=True, slots=True)
class VolumeMetrics:
    """Figures of one volume; fractions in [0, 1], undefined ones NaN.

    Args:
        n_true: true instances.
        n_pred: predicted instances.
        match_50: counts at IoU > 0.5.
        match_75: counts at IoU > 0.75.
        iou_foreground: of voxels.
        dice_foreground: of voxels.
        voi_split: H(pred | true) in bits, over voxels that are foreground in the truth.
        voi_merge: H(true | pred) in bits, over the same voxels.
        adapted_rand_error: 1 - 2pr / (p + r), over the same voxels.
        groups: how true and predicted instances overlap; members are labels, not positions.
    """

    n_true: int
    n_pred: int
    match_50: MatchCounts
    match_75: MatchCounts
    iou_foreground: float
    dice_foreground: float
    voi_split: float
    voi_merge: float
    adapted_rand_error: float
    groups: tuple[Association, ...]


def label_pages(path: Path, notices: list[str]) -> Iterator[Labels]:
    """Pages of a label stack: a multi-page TIFF, or a folder of single pages in natural order.

    Args:
        path: the stack.
        notices: grows as in `read_label_pages`.

    Raises:
        MitoInstanceError: if a page cannot be read, was compressed as JPEG, or holds no integers;
            or if it is in colour, whose numbers would not run through the pages.
    """
    files = find_images([path])

    @cache  # the labels of a stack have one meaning, in however many files it is
    def background() -> int | None:
        return background_of_files(files)

    for file in files:
        for page, labels in read_label_pages(file, notices, background):
            if page.form == COLOURS:
                raise AnnotationError(
                    f"{page.where}: labels of a volume must be integers, got colours, which do not "
                    "say which label runs on in the next page; save 16-bit labels as TIFF"
                )
            yield labels


def count_overlaps(pages_true: Iterable[Labels], pages_pred: Iterable[Labels]) -> Overlaps:
    """Count pairs of labels page by page; no more than one page of each is in memory.

    Args:
        pages_true: (H, W) labels of each page of the truth.
        pages_pred: the same of the prediction.

    Raises:
        AnnotationError: if the numbers or the sizes of the pages differ, or there is none.
    """
    counts: dict[tuple[int, int], int] = defaultdict(int)
    boxes: tuple[dict[int, BoxZyx], dict[int, BoxZyx]] = ({}, {})
    iterators = iter(pages_true), iter(pages_pred)
    number = 0
    while True:
        pages = tuple(next(iterator, None) for iterator in iterators)
        truth, pred = pages
        if truth is None and pred is None:
            break
        if truth is None or pred is None or truth.shape != pred.shape:
            sizes = ["absent" if page is None else f"{page.shape}" for page in pages]
            raise AnnotationError(
                f"page {number + 1}: the truth is {sizes[0]} (height, width) but the prediction is "
                f"{sizes[1]}; a volume needs two stacks of the same size"
            )
        values_true, index_true = np.unique(truth, return_inverse=True)
        values_pred, index_pred = np.unique(pred, return_inverse=True)
        index_true, index_pred = index_true.reshape(truth.shape), index_pred.reshape(pred.shape)
        codes, n_voxels = np.unique(index_true * len(values_pred) + index_pred, return_counts=True)
        for code, n in zip(codes.tolist(), n_voxels.tolist(), strict=True):
            row, column = divmod(code, len(values_pred))
            counts[int(values_true[row]), int(values_pred[column])] += n
        _extend_boxes(boxes[0], values_true, index_true, number)
        _extend_boxes(boxes[1], values_pred, index_pred, number)
        number += 1
    if not number:
        raise AnnotationError("a volume needs at least one page, got none; check the paths")
    pairs = sorted(counts)
    return Overlaps(
        pairs=np.asarray(pairs, dtype=np.int64).reshape(-1, 2),
        voxels=np.asarray([counts[pair] for pair in pairs], dtype=np.int64),
        boxes_true=boxes[0],
        boxes_pred=boxes[1],
    )


def evaluate_overlaps(overlaps: Overlaps) -> VolumeMetrics:
    """Every figure of a volume.

    Voxels that are background in the truth are left out of VOI and the adapted Rand error;
    label 0 of the prediction counts there as one more label.

    Args:
        overlaps: from `count_overlaps`.

    Returns:
        The figures; the three clustering errors are NaN without true foreground.
    Source: Meila 2007 (VOI); Arganda-Carreras et al. 2015 (adapted Rand error); matching at
    IoU > 0.5 as Kirillov et al. 2019.
    """
    pairs, voxels = overlaps.pairs, overlaps.voxels
    labels_true, sizes_true = _sizes(pairs[:, 0], voxels)
    labels_pred, sizes_pred = _sizes(pairs[:, 1], voxels)
    both = (pairs[:, 0] != 0) & (pairs[:, 1] != 0)
    rows = np.searchsorted(labels_true, pairs[both, 0])
    columns = np.searchsorted(labels_pred, pairs[both, 1])
    shared = voxels[both]
    iou = shared / (sizes_true[rows] + sizes_pred[columns] - shared)
    linked = shared >= OVERLAP_FRACTION * np.minimum(sizes_true[rows], sizes_pred[columns])
    groups = group_links(rows[linked], columns[linked], len(labels_true), len(labels_pred))
    inside = int(shared.sum())
    n_true, n_pred = int(sizes_true.sum()), int(sizes_pred.sum())
    split, merge = variation_of_information(overlaps)
    return VolumeMetrics(
        n_true=len(labels_true),
        n_pred=len(labels_pred),
        match_50=_match(iou, 0.5, len(labels_true), len(labels_pred)),
        match_75=_match(iou, 0.75, len(labels_true), len(labels_pred)),
        iou_foreground=ratio(inside, n_true + n_pred - inside),
        dice_foreground=ratio(2 * inside, n_true + n_pred),
        voi_split=split,
        voi_merge=merge,
        adapted_rand_error=adapted_rand_error(overlaps),
        groups=tuple(
            Association(
                tuple(labels_true[list(group.true_indices)].tolist()),
                tuple(labels_pred[list(group.pred_indices)].tolist()),
            )
            for group in groups
        ),
    )


def variation_of_information(overlaps: Overlaps) -> tuple[float, float]:
    """H(pred | true), which splits raise, and H(true | pred), which merges raise, in bits.

    Over voxels that are foreground in the truth; NaN where there is none.
    """
    kept = overlaps.pairs[:, 0] != 0
    voxels = overlaps.voxels[kept]
    if not len(voxels):
        return math.nan, math.nan
    entropies = []
    for side in (0, 1):
        labels, sizes = _sizes(overlaps.pairs[kept, side], voxels, with_zero=True)
        size = sizes[np.searchsorted(labels, overlaps.pairs[kept, side])]
        entropies.append(-float((voxels * np.log2(voxels / size)).sum() / voxels.sum()))
    return entropies[0] + 0.0, entropies[1] + 0.0


def adapted_rand_error(overlaps: Overlaps) -> float:
    """1 - 2pr / (p + r) of pairs of voxels that are foreground in the truth, in [0, 1].

    p is the share of the pairs with one predicted label that have one true label, r the share
    of those with one true label that have one predicted label. NaN where there is no such pair.
    """
    kept = overlaps.pairs[:, 0] != 0
    voxels = overlaps.voxels[kept].astype(np.float64)
    total = voxels.sum()
    same_both = float((voxels**2).sum() - total)
    same: list[float] = []
    for side in (0, 1):
        _, sizes = _sizes(overlaps.pairs[kept, side], overlaps.voxels[kept], with_zero=True)
        same.append(float((sizes.astype(np.float64) ** 2).sum() - total))
    # 2pr / (p + r) with r = both / same[0] and p = both / same[1].
    return 1 - ratio(2 * same_both, same[0] + same[1])


def _sizes(
    labels: Labels, voxels: Labels, *, with_zero: bool = False
) -> tuple[Labels, npt.NDArray[Any]]:
    """Labels, ascending, and the number of voxels of each."""
    values, positions = np.unique(labels, return_inverse=True)
    sizes = np.zeros(len(values), dtype=np.int64)
    np.add.at(sizes, positions, voxels)
    chosen = np.ones(len(values), dtype=bool) if with_zero else values != 0
    return values[chosen], sizes[chosen]


def _match(
    iou: npt.NDArray[np.float64], iou_threshold: float, n_true: int, n_pred: int
) -> MatchCounts:
    """Counts at one threshold >= 0.5; labels do not overlap, so that pairs are unique."""
    found = iou[iou > iou_threshold]
    return MatchCounts(
        tp=len(found),
        fp=n_pred - len(found),
        fn=n_true - len(found),
        iou_sum=math.fsum(found.tolist()),
    )


def _extend_boxes(
    boxes: dict[int, BoxZyx], values: Labels, index: npt.NDArray[np.intp], page: int
) -> None:
    """Let the boxes of the labels of one page reach that page."""
    for value, found in zip(values.tolist(), ndimage.find_objects(index + 1), strict=True):
        if value == 0:
            continue
        rows, columns = found
        first, _, top, bottom, left, right = boxes.get(
            value, (page, page, rows.start, rows.stop, columns.start, columns.stop)
        )
        boxes[value] = (
            first,
            page + 1,
            min(top, rows.start),
            max(bottom, rows.stop),
            min(left, columns.start),
            max(right, columns.stop),
        )
