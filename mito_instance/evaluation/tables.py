"""Writes metrics as text, JSON and CSV; undefined figures are null and empty cells."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mito_instance.evaluation.associations import Kind
from mito_instance.evaluation.evaluate import Metrics
from mito_instance.evaluation.image_result import GroupResult, ImageResult
from mito_instance.evaluation.strata import Stratum, area_strata, border_strata
from mito_instance.evaluation.thresholds import ThresholdResult
from mito_instance.io.files import write_text_atomic
from mito_instance.io.tables import write_table

FEW_GROUPS = 10
Intervals = Mapping[str, tuple[float, float]]

TABLE: tuple[tuple[str, str], ...] = (
    ("Images and instances", "n_images n_true n_pred"),
    ("COCO average precision of masks, all scores in the file", "ap ap50 ap75 ar"),
    (
        "One-to-one matches at IoU > 0.5 and > 0.75",
        "f1_50 precision_50 recall_50 f1_75 precision_75 recall_75 pq sq rq",
    ),
    (
        "Foreground pixels; outlines within 2 px",
        "iou_foreground dice_foreground precision_foreground recall_foreground f1_boundary",
    ),
    (
        "Instances per image, predicted - true",
        "count_mae count_bias count_limit_low count_limit_high count_correlation",
    ),
    (
        "Area per image, predicted - true",
        "area_mae_um2 area_bias_um2 area_limit_low_um2 area_limit_high_um2 area_mae_px area_bias_px"
        " area_limit_low_px area_limit_high_px area_correlation area_fraction_bias"
        " area_fraction_mae",
    ),
    (
        "Groups that share a quarter of the smaller instance",
        "n_one_to_one n_missed n_false n_split n_merge n_many_to_many",
    ),
    ("Instances too many by splits, too few by merges", "excess_fragments excess_merged"),
    ("Splits and merges by IoU > 0.1, for comparison", "n_split_iou n_merge_iou"),
    (
        "Score thresholds: best F1 at IoU > 0.5, least biased count",
        "score_threshold_best_f1 score_threshold_unbiased_count",
    ),
)
"""Titles of the sections, and the names of the figures in each."""

GROUP_COLUMNS = (
    *("image", "frame", "kind", "n_true", "n_pred", "true_ids", "pred_ids"),
    *("bbox_x_px", "bbox_y_px", "bbox_w_px", "bbox_h_px", "area_true_px", "area_pred_px"),
    *("area_true_um2", "area_pred_um2"),
)


def format_table(summary: Mapping[str, float | int], intervals: Intervals | None = None) -> str:
    """The summary as lines of text: a title for each section, a name and a value a line.

    Args:
        summary: figures by name; the table leaves out what is absent.
        intervals: (low, high) of figures, written behind their values.
    """
    lines: list[str] = []
    for title, names in TABLE:
        lines.append(title)
        for name in names.split():
            if name not in summary:
                continue
            low, high = (intervals or {}).get(name, (math.nan, math.nan))
            between = "" if math.isnan(low) else f"  [{_end(low)}, {_end(high)}]"
            lines.append(f"  {name:<32}{_text(summary[name]):>10}{between}")
    return "\n".join(lines)


def about_intervals(n_groups: int, n_images: int, are_given: bool) -> str:
    """What the confidence intervals rest on, in one sentence.

    Args:
        n_groups: groups of images that were resampled.
        n_images: images that were scored.
        are_given: whether there are intervals.
    """
    units = f"{n_groups} image file{'s' if n_groups != 1 else ''}"
    if n_groups != n_images:
        units = f"{n_groups} group{'s' if n_groups != 1 else ''} of {n_images} images or pages"
    if not are_given:
        reason = "resampling needs at least two" if n_groups < 2 else "none were asked for"
        return f"No confidence intervals: {units}; {reason}."
    few = "; of fewer than about ten they are too narrow" if n_groups < FEW_GROUPS else ""
    return f"Square brackets: 95 % confidence intervals from resampling {units}{few}."


def metrics_document(
    metrics: Metrics, run: Mapping[str, Any], intervals: Intervals | None = None
) -> dict[str, Any]:
    """Content of ``metrics.json``; NaN is None.

    Args:
        metrics: what was found.
        run: versions, inputs and options; JSON values only.
        intervals: (low, high) of figures.
    """
    document = {
        **metrics.summary(),
        "area_unit": metrics.unit,
        "truth_incomplete": metrics.truth_incomplete,
        "intervals_95": {name: list(pair) for name, pair in (intervals or {}).items()},
        "score_sweep": [_sweep_row(row, metrics.truth_incomplete) for row in metrics.sweep],
        "by_area": [_stratum(row, metrics) for row in area_strata(metrics.images, metrics.unit)],
        "by_border": [_stratum(row, metrics) for row in border_strata(metrics.images)],
        "images": [
            _image_entry(image, counts)
            for image, counts in zip(metrics.images, metrics.tallies(), strict=True)
        ],
        "unpaired_true": [{"image": i, "frame": f} for i, f in metrics.unpaired_true],
        "unpaired_pred": [{"image": i, "frame": f} for i, f in metrics.unpaired_pred],
        "run": dict(run),
    }
    cleaned: dict[str, Any] = without_nan(document)
    return cleaned


def write_metrics(path: Path, document: Mapping[str, Any]) -> None:
    """Write ``metrics.json``: the summary, what is behind it, and the run record.

    Args:
        path: the JSON file.
        document: from `metrics_document`.
    """
    write_text_atomic(path, json.dumps(document, indent=1, allow_nan=False) + "\n")


def write_per_image(path: Path, metrics: Metrics) -> None:
    """Write ``per_image.csv``: one row an image that was scored, in the order of the truth."""
    rows: list[dict[str, Any]] = []
    undefined = float("nan")
    for image, found, counts in zip(
        metrics.images, metrics.image_figures(), metrics.tallies(), strict=True
    ):
        rows.append(
            {
                "image": image.image,
                "frame": image.frame,
                "image_pred": image.image_pred,
                "count_error": undefined
                if metrics.truth_incomplete
                else image.n_pred - image.n_true,
                f"area_true_{metrics.unit}": counts["area_t"],
                f"area_pred_{metrics.unit}": counts["area_p"],
                "area_fraction_error": (
                    undefined if metrics.truth_incomplete else counts["area_fraction_d"]
                ),
                **found,
            }
        )
    whole = [{name: _whole_pixels(name, value) for name, value in row.items()} for row in rows]
    write_table(path, list(rows[0]) if rows else ["image", "frame"], whole)


def _whole_pixels(name: str, value: Any) -> Any:
    """Numbers of pixels with all their digits: as floats, tables round them to six."""
    is_whole = isinstance(value, float) and value.is_integer()
    return int(value) if is_whole and name.endswith("_px") else value


def write_associations(path: Path, metrics: Metrics) -> None:
    """Write ``associations.csv``: one row a group of instances that overlap.

    ``true_ids`` and ``pred_ids`` number the instances of the image from 1 in the order of
    their file, separated by spaces; the box lies around the whole group. Areas in µm² are
    empty unless every image has a pixel size.
    """
    write_table(
        path,
        GROUP_COLUMNS,
        (
            _group_row(image, group, metrics.unit)
            | {"kind": kind_word(group.association.kind, metrics)}
            for image in metrics.images
            for group in image.groups
        ),
    )


def kind_word(kind: Kind, metrics: Metrics) -> str:
    """What a class of errors is called: without a whole truth, nothing can be called false.

    Args:
        kind: the class.
        metrics: of the evaluation.
    """
    return "unmatched" if kind == "false" and metrics.truth_incomplete else kind


def _group_row(image: ImageResult, group: GroupResult, unit: str) -> dict[str, Any]:
    true_indices = group.association.true_indices
    pred_indices = group.association.pred_indices
    x, y, width, height = group.box_xywh
    row: dict[str, Any] = {
        "image": image.image,
        "frame": image.frame,
        "kind": group.association.kind,
        "n_true": len(true_indices),
        "n_pred": len(pred_indices),
        "true_ids": " ".join(str(index + 1) for index in true_indices),
        "pred_ids": " ".join(str(index + 1) for index in pred_indices),
        "bbox_x_px": x,
        "bbox_y_px": y,
        "bbox_w_px": width,
        "bbox_h_px": height,
        "area_true_px": group.area_true_px,
        "area_pred_px": group.area_pred_px,
    }
    if unit == "um2" and image.pixel_size is not None:
        row["area_true_um2"] = image.pixel_size.area_um2(group.area_true_px)
        row["area_pred_um2"] = image.pixel_size.area_um2(group.area_pred_px)
    return row


def _image_entry(image: ImageResult, counts: Mapping[str, float]) -> dict[str, Any]:
    """What ``mito compare`` needs of one image."""
    entry = {
        "image": image.image,
        "frame": image.frame,
        "counts": dict(counts),
        "detection_scores": image.detections.scores.tolist(),
        "detection_matches": _codes(image.detections.matched),
    }
    if image.detections.ignored is not None:
        entry["detection_ignored"] = _codes(image.detections.ignored)
    return entry


def _codes(levels: npt.NDArray[np.bool_]) -> list[int]:
    """One number for each detection, whose bits are its IoU thresholds, the lowest first."""
    bits = 1 << np.arange(len(levels) - 1, -1, -1)
    codes: list[int] = (bits @ levels.astype(np.int64)).tolist()
    return codes


def _sweep_row(row: ThresholdResult, incomplete: bool) -> dict[str, Any]:
    nan = math.nan
    return {
        "score_threshold": row.score_threshold,
        "n_pred": row.match.tp + row.match.fp,
        "recall_50": row.match.recall,
        "precision_50": nan if incomplete else row.match.precision,
        "f1_50": nan if incomplete else row.match.f1,
        "count_bias": nan if incomplete else row.count_bias,
        "count_mae": nan if incomplete else row.count_mae,
    }


def _stratum(row: Stratum, metrics: Metrics) -> dict[str, Any]:
    entry = asdict(row)
    if metrics.truth_incomplete:
        entry |= {"precision_50": math.nan, "n_false": math.nan}
    return entry


def without_nan(value: Any) -> Any:
    """The same value, of JSON types, with None for every NaN, at any depth."""
    if isinstance(value, dict):
        return {name: without_nan(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _text(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return "undefined" if math.isnan(value) else f"{value:.4f}"


def _end(value: float) -> str:
    """An end of an interval: four digits, and all those before the point."""
    return f"{value:.0f}" if abs(value) >= 9999.5 else f"{value:.4g}"
