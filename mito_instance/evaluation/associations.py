"""Which predictions belong to which true instances: splits, merges, missed and false ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Kind = Literal["one-to-one", "missed", "false", "split", "merge", "many-to-many"]

OVERLAP_FRACTION = 0.25


@dataclass(frozen=True, slots=True)
class Association:
    """Instances of one image that overlap each other, directly or through others.

    Args:
        true_indices: positions of the true instances, ascending.
        pred_indices: positions of the predicted instances, ascending.
    """

    true_indices: tuple[int, ...]
    pred_indices: tuple[int, ...]

    @property
    def kind(self) -> Kind:
        """What happened to the group.

        ``split`` is one true and several predicted instances, ``merge`` several true and one
        predicted; two predictions of the same instance count as a split too.
        """
        n_true, n_pred = len(self.true_indices), len(self.pred_indices)
        if n_pred == 0:
            return "missed"
        if n_true == 0:
            return "false"
        if n_true == 1:
            return "one-to-one" if n_pred == 1 else "split"
        return "merge" if n_pred == 1 else "many-to-many"


@dataclass(frozen=True, slots=True)
class AssociationCounts:
    """Numbers of groups of each kind, over any number of images.

    Args:
        n_one_to_one: groups of one true and one predicted instance.
        n_missed: true instances without a prediction.
        n_false: predictions without a true instance.
        n_split: groups of one true and several predicted instances.
        n_merge: groups of several true and one predicted instance.
        n_many_to_many: groups of several on both sides.
        excess_fragments: sum of (predicted - 1) over groups with both sides.
        excess_merged: sum of (true - 1) over groups with both sides.
    """

    n_one_to_one: int
    n_missed: int
    n_false: int
    n_split: int
    n_merge: int
    n_many_to_many: int
    excess_fragments: int
    excess_merged: int


def intersections_px(
    iou: npt.NDArray[np.float64],
    areas_true_px: npt.NDArray[np.int64],
    areas_pred_px: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """Shared pixels of every true and predicted instance, from IoU and areas.

    With i = |A∩B| and s = |A| + |B|, IoU = i / (s - i), hence i = s * IoU / (1 + IoU). The
    result is rounded to whole pixels and exact for any image that fits in memory.

    Args:
        iou: float (M, N) in [0, 1].
        areas_true_px: (M,) pixels.
        areas_pred_px: (N,) pixels.

    Returns:
        int64 (M, N).
    """
    area_sums = areas_true_px[:, None] + areas_pred_px[None, :]
    shared: npt.NDArray[np.int64] = np.rint(area_sums * iou / (1 + iou)).astype(np.int64)
    return shared


def associate(
    shared_px: npt.NDArray[np.int64],
    areas_true_px: npt.NDArray[np.int64],
    areas_pred_px: npt.NDArray[np.int64],
) -> list[Association]:
    """Groups of true and predicted instances of one image that overlap.

    A true and a predicted instance are linked if they share at least a quarter of the smaller
    one. Groups are the connected parts of the links. Overlap and not IoU decides, because the
    small part of a 92/8 split and the parts of a twelvefold one have next to no IoU.

    Args:
        shared_px: int (M, N), pixels that true i and predicted j share.
        areas_true_px: (M,) pixels.
        areas_pred_px: (N,) pixels.

    Returns:
        Every instance in exactly one group; groups in the order of their first true instance,
        then those without truth. Empty for an empty image. Instances without pixels are linked
        to nothing.
    """
    n_true, n_pred = shared_px.shape
    smaller_px = np.minimum(areas_true_px[:, None], areas_pred_px[None, :])
    rows, columns = np.nonzero((shared_px > 0) & (shared_px >= OVERLAP_FRACTION * smaller_px))
    return group_links(rows, columns, n_true, n_pred)


def group_links(
    rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp], n_true: int, n_pred: int
) -> list[Association]:
    """Connected parts of links between true and predicted instances.

    Args:
        rows: (K,) positions of the true instances of the links.
        columns: (K,) positions of the predicted instances of the links.
        n_true: number of true instances.
        n_pred: number of predicted instances.

    Returns:
        As `associate`.
    """
    from scipy.sparse import coo_array  # slow to import
    from scipy.sparse.csgraph import connected_components

    if n_true + n_pred == 0:
        return []
    links = coo_array(
        (np.ones(len(rows), dtype=np.int8), (rows, columns + n_true)),
        shape=(n_true + n_pred, n_true + n_pred),
    )
    _, labels = connected_components(links, directed=False)
    groups: dict[int, tuple[list[int], list[int]]] = {}
    for node, label in enumerate(labels.tolist()):
        true_part, pred_part = groups.setdefault(label, ([], []))
        if node < n_true:
            true_part.append(node)
        else:
            pred_part.append(node - n_true)
    return [Association(tuple(true), tuple(pred)) for true, pred in groups.values()]


def count_associations(associations: Iterable[Association]) -> AssociationCounts:
    """Numbers of groups of each kind; all 0 for none."""
    groups: Sequence[Association] = list(associations)
    kinds = Counter(group.kind for group in groups)
    both_sides = [group for group in groups if group.true_indices and group.pred_indices]
    return AssociationCounts(
        n_one_to_one=kinds["one-to-one"],
        n_missed=kinds["missed"],
        n_false=kinds["false"],
        n_split=kinds["split"],
        n_merge=kinds["merge"],
        n_many_to_many=kinds["many-to-many"],
        excess_fragments=sum(len(group.pred_indices) - 1 for group in both_sides),
        excess_merged=sum(len(group.true_indices) - 1 for group in both_sides),
    )
