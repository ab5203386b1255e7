"""From counts of images to figures: sums first, quotients last, for one image or many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mito_instance.evaluation.associations import count_associations
from mito_instance.evaluation.coco_ap import IOU_THRESHOLDS
from mito_instance.evaluation.image_result import ImageResult

Numbers = npt.NDArray[np.float64]

IOU_NAMES = tuple(f"{round(100 * level):d}" for level in IOU_THRESHOLDS)
"""``50`` … ``95``, as in ``f1_50``."""

INTEGERS = ("n_", "excess_")
"""How the names of figures begin that are whole numbers."""

NEEDS_COMPLETE_TRUTH = (
    *("ap", "f1_", "precision", "detection_accuracy", "pq", "rq", "iou_", "dice_", "f1_boundary"),
    *("count_", "area_", "n_false"),
)
"""How the names of figures begin that a prediction without a true partner makes worse. Where the
truth is incomplete, such a prediction may be right, and they mean nothing."""


_MOMENTS = ("t", "p", "d", "abs", "dd", "tt", "pp", "tp")

TALLY_NAMES = (
    *("n_images", "n_true", "n_pred"),
    *(f"tp_{name}" for name in IOU_NAMES),
    *("iou_sum_50", "foreground_tp", "foreground_fp", "foreground_fn"),
    *("boundary_near_true", "boundary_n_pred", "boundary_near_pred", "boundary_n_true"),
    *("n_one_to_one", "n_missed", "n_false", "n_split", "n_merge", "n_many_to_many"),
    *("excess_fragments", "excess_merged", "n_split_iou", "n_merge_iou"),
    *(f"count_{name}" for name in _MOMENTS),
    *(f"area_{name}" for name in _MOMENTS),
    *("area_fraction_d", "area_fraction_abs"),
)
"""Names of the counts of `tally`."""


def tally(result: ImageResult, unit: str) -> dict[str, float]:
    """The counts of one image by name; sums of these over images make every figure.

    Args:
        result: one image.
        unit: ``um2`` or ``px``, the unit of areas; µm² needs the pixel size.
    """
    scale = 1.0
    if unit == "um2" and result.pixel_size is not None:
        scale = result.pixel_size.area_um2(1.0)
    area_true = float(result.foreground.tp + result.foreground.fn)
    area_pred = float(result.foreground.tp + result.foreground.fp)
    kinds = count_associations(group.association for group in result.groups)
    counts: dict[str, float] = {
        "n_images": 1,
        "n_true": result.n_true,
        "n_pred": result.n_pred,
        **{f"tp_{name}": m.tp for name, m in zip(IOU_NAMES, result.matches, strict=True)},
        "iou_sum_50": result.matches[0].iou_sum,
        "foreground_tp": result.foreground.tp,
        "foreground_fp": result.foreground.fp,
        "foreground_fn": result.foreground.fn,
        "boundary_near_true": result.boundary.near_true,
        "boundary_n_pred": result.boundary.n_pred,
        "boundary_near_pred": result.boundary.near_pred,
        "boundary_n_true": result.boundary.n_true,
        "n_one_to_one": kinds.n_one_to_one,
        "n_missed": kinds.n_missed,
        "n_false": kinds.n_false,
        "n_split": kinds.n_split,
        "n_merge": kinds.n_merge,
        "n_many_to_many": kinds.n_many_to_many,
        "excess_fragments": kinds.excess_fragments,
        "excess_merged": kinds.excess_merged,
        "n_split_iou": result.iou_overlaps.n_split,
        "n_merge_iou": result.iou_overlaps.n_merge,
        **_moments("count", result.n_true, result.n_pred),
        **_moments("area", area_true * scale, area_pred * scale),
    }
    fraction_error = (area_pred - area_true) / max(result.considered_px, 1)
    return counts | {
        "area_fraction_d": fraction_error,
        "area_fraction_abs": abs(fraction_error),
    }


def figures(sums: Mapping[str, Any], unit: str, *, incomplete: bool = False) -> dict[str, Any]:
    """Every figure but AP, from summed counts.

    Args:
        sums: counts of `tally`, each a number or an array (B,) of B sums.
        unit: ``um2`` or ``px``.
        incomplete: whether the truth is; figures that need a complete one are NaN then.

    Returns:
        Numbers or arrays (B,) by name; fractions in [0, 1]; NaN where undefined.
    """
    s = {name: np.asarray(value, dtype=np.float64) for name, value in sums.items()}
    n_true, n_pred = s["n_true"], s["n_pred"]
    found: dict[str, Any] = {"n_true": n_true, "n_pred": n_pred}
    for name in IOU_NAMES:
        tp = s[f"tp_{name}"]
        found[f"f1_{name}"] = divide(2 * tp, n_true + n_pred)
        found[f"precision_{name}"] = divide(tp, n_pred)
        found[f"recall_{name}"] = divide(tp, n_true)
        found[f"detection_accuracy_{name}"] = divide(tp, n_true + n_pred - tp)
    found["pq"] = divide(2 * s["iou_sum_50"], n_true + n_pred)
    found["sq"] = divide(s["iou_sum_50"], s["tp_50"])
    found["rq"] = found["f1_50"]
    tp, fp, fn = s["foreground_tp"], s["foreground_fp"], s["foreground_fn"]
    found["iou_foreground"] = divide(tp, tp + fp + fn)
    found["dice_foreground"] = divide(2 * tp, 2 * tp + fp + fn)
    found["precision_foreground"] = divide(tp, tp + fp)
    found["recall_foreground"] = divide(tp, tp + fn)
    precision = divide(s["boundary_near_true"], s["boundary_n_pred"])
    recall = divide(s["boundary_near_pred"], s["boundary_n_true"])
    # One side without an outline: nothing of the other is near it, which is 0 and not unknown.
    known = np.nan_to_num(precision), np.nan_to_num(recall)
    empty = (s["boundary_n_pred"] + s["boundary_n_true"]) == 0
    harmonic = np.nan_to_num(divide(2 * known[0] * known[1], known[0] + known[1]))
    found["f1_boundary"] = np.where(empty, np.nan, harmonic)
    found["precision_boundary"], found["recall_boundary"] = precision, recall
    found |= _agreement("count", s, "") | _agreement("area", s, f"_{unit}")
    found["area_fraction_bias"] = divide(s["area_fraction_d"], s["n_images"])
    found["area_fraction_mae"] = divide(s["area_fraction_abs"], s["n_images"])
    found |= {name: s[name] for name in s if name.startswith(INTEGERS) and name != "n_images"}
    if incomplete:
        for name in found:
            if name.startswith(NEEDS_COMPLETE_TRUTH):
                found[name] = found[name] * np.nan
    return found


def as_numbers(values: Mapping[str, Any]) -> dict[str, float | int]:
    """Figures of single sums as Python numbers, counts as whole ones."""
    numbers: dict[str, float | int] = {}
    for name, value in values.items():
        number = float(value)
        whole = name.startswith(INTEGERS) and not np.isnan(number)
        numbers[name] = round(number) if whole else number
    return numbers


def matrix(tallies: Sequence[Mapping[str, float]]) -> tuple[list[str], Numbers]:
    """Names of the counts, and the counts of each image as float64 (n_images, n_names)."""
    names = list(tallies[0]) if tallies else []
    return names, np.asarray([[counts[name] for name in names] for counts in tallies], float)


def divide(numerator: Any, denominator: Any) -> Numbers:
    """Element by element; NaN where the denominator is 0."""
    top, bottom = np.asarray(numerator, dtype=float), np.asarray(denominator, dtype=float)
    quotient: Numbers = np.divide(
        top,
        bottom,
        out=np.full(np.broadcast_shapes(top.shape, bottom.shape), np.nan),
        where=bottom != 0,
    )
    return quotient


def _moments(name: str, true: float, pred: float) -> dict[str, float]:
    """What agreement needs of one image: the values, their difference, squares and product."""
    difference = pred - true
    squares = (difference**2, true**2, pred**2, true * pred)
    values = (true, pred, difference, abs(difference), *squares)
    return {f"{name}_{moment}": x for moment, x in zip(_MOMENTS, values, strict=True)}


def _agreement(name: str, s: Mapping[str, Numbers], suffix: str) -> dict[str, Numbers]:
    """Bias, mean absolute error, 95 % limits of agreement and correlation over images.

    Source: Bland & Altman 1986, Lancet 327:307-310; Pearson's r, NaN where a side is constant.
    """
    n = s["n_images"]
    bias = divide(s[f"{name}_d"], n)
    variance = divide(np.maximum(s[f"{name}_dd"] - n * bias**2, 0), n - 1)
    margin = 1.96 * np.sqrt(np.where(n > 1, variance, np.nan))
    of_true = n * s[f"{name}_tt"] - s[f"{name}_t"] ** 2
    of_pred = n * s[f"{name}_pp"] - s[f"{name}_p"] ** 2
    shared = n * s[f"{name}_tp"] - s[f"{name}_t"] * s[f"{name}_p"]
    least = 1e-12 * n  # a constant side leaves only rounding
    varies = (of_true > least * s[f"{name}_tt"]) & (of_pred > least * s[f"{name}_pp"])
    spread = np.sqrt(np.maximum(of_true, 0) * np.maximum(of_pred, 0))
    return {
        f"{name}_mae{suffix}": divide(s[f"{name}_abs"], n),
        f"{name}_bias{suffix}": bias,
        f"{name}_limit_low{suffix}": bias - margin,
        f"{name}_limit_high{suffix}": bias + margin,
        f"{name}_correlation": np.clip(divide(shared, np.where(varies, spread, 0.0)), -1, 1),
    }
