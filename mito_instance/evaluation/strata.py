"""Figures by size of the instances, and of those at the border of the image apart."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mito_instance.evaluation.image_result import ImageResult, SideResult
from mito_instance.evaluation.matching import ratio

EDGES_UM2 = (0.05, 0.1, 0.2, 0.5)
"""Sections of mitochondria mostly have 0.05 to 0.5 µm²."""

N_QUANTILES = 4

_KINDS_TRUE = ("one-to-one", "missed", "split", "merge", "many-to-many")


@dataclass(frozen=True, slots=True)
class Stratum:
    """Some of the instances: those of one range of areas, or at the border, or not there.

    Args:
        name: what they have in common, with the unit.
        n_true: true instances.
        n_pred: predicted instances, by their own area.
        recall_50: share of the true ones with a partner at IoU > 0.5; NaN without truth.
        precision_50: share of the predicted ones with a partner; NaN without predictions.
        kinds_true: true instances by what happened to them.
        n_false: predictions that belong to no true instance.
    """

    name: str
    n_true: int
    n_pred: int
    recall_50: float
    precision_50: float
    kinds_true: dict[str, int]
    n_false: int


def area_strata(images: Sequence[ImageResult], unit: str) -> list[Stratum]:
    """Strata by area: fixed ranges in µm², or quartiles of the true areas in px.

    COCO's small, medium and large are pixels, which mean another size at each magnification.

    Args:
        images: results of each image.
        unit: ``um2`` if every image has a pixel size, else ``px``.

    Returns:
        One stratum a range, smallest first; a range includes its lower edge. Without truth
        and without pixel size, one stratum of all sizes.
    """
    true = [_areas(image, image.true, unit) for image in images]
    pred = [_areas(image, image.pred, unit) for image in images]
    if unit == "um2":
        edges, word = np.asarray(EDGES_UM2), "µm²"
    else:
        everything = np.concatenate([np.zeros(0), *true])
        shares = np.arange(1, N_QUANTILES) / N_QUANTILES
        # Areas are whole numbers: the strata are the same, and their names short.
        edges = np.zeros(0)
        if len(everything):
            edges = np.unique(np.ceil(np.quantile(everything, shares)))
        word = "px"
    bounds = [0.0, *edges.tolist(), np.inf]
    return [
        _stratum(
            _range_name(low, high, word),
            images,
            [(areas >= low) & (areas < high) for areas in true],
            [(areas >= low) & (areas < high) for areas in pred],
        )
        for low, high in itertools.pairwise(bounds)
    ]


def border_strata(images: Sequence[ImageResult]) -> list[Stratum]:
    """Two strata: instances that the edge of the image cuts, and the others."""
    return [
        _stratum(
            name,
            images,
            [image.true.touches_border == at_border for image in images],
            [image.pred.touches_border == at_border for image in images],
        )
        for name, at_border in (("at the border", True), ("inside", False))
    ]


def _areas(image: ImageResult, side: SideResult, unit: str) -> npt.NDArray[np.float64]:
    if unit == "um2" and image.pixel_size is not None:
        return image.pixel_size.area_um2(1.0) * side.areas_px.astype(np.float64)
    return side.areas_px.astype(np.float64)


def _range_name(low: float, high: float, word: str) -> str:
    first, last = (f"{edge:.0f}" if edge >= 1 else f"{edge:g}" for edge in (low, high))
    if low == 0:
        return f"< {last} {word}" if high < np.inf else "all sizes"
    return f"{first} – {last} {word}" if high < np.inf else f"≥ {first} {word}"


def _stratum(
    name: str,
    images: Sequence[ImageResult],
    chosen_true: Sequence[npt.NDArray[np.bool_]],
    chosen_pred: Sequence[npt.NDArray[np.bool_]],
) -> Stratum:
    """Counts of the chosen instances of every image."""
    n_true = n_pred = n_matched_true = n_matched_pred = n_false = 0
    kinds: Counter[str] = Counter()
    for image, true, pred in zip(images, chosen_true, chosen_pred, strict=True):
        n_true += int(true.sum())
        n_pred += int(pred.sum())
        n_matched_true += int((true & image.true.is_matched).sum())
        n_matched_pred += int((pred & image.pred.is_matched).sum())
        kinds.update(image.true.kinds[index] for index in np.flatnonzero(true))
        n_false += sum(image.pred.kinds[index] == "false" for index in np.flatnonzero(pred))
    return Stratum(
        name=name,
        n_true=n_true,
        n_pred=n_pred,
        recall_50=ratio(n_matched_true, n_true),
        precision_50=ratio(n_matched_pred, n_pred),
        kinds_true={kind: kinds[kind] for kind in _KINDS_TRUE},
        n_false=n_false,
    )
