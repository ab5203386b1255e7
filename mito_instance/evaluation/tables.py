"""Writes metrics as text, JSON and CSV; undefined figures are null and empty cells."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mito_instance.evaluation.evaluate import Metrics
from mito_instance.io.files import write_text_atomic

Cell = str | int | float

TABLE: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Images and instances", ("n_images", "n_true", "n_pred")),
    ("COCO average precision of masks, all scores", ("ap", "ap50", "ap75", "ar")),
    (
        "One-to-one matches at IoU > 0.5 and > 0.75",
        ("f1_50", "precision_50", "recall_50", "f1_75", "precision_75", "recall_75", "pq"),
    ),
    (
        "Foreground pixels",
        ("iou_foreground", "dice_foreground", "precision_foreground", "recall_foreground"),
    ),
    (
        "Instances per image, predicted - true",
        ("count_mae", "count_bias", "count_limit_low", "count_limit_high"),
    ),
    (
        "Groups that share a quarter of the smaller instance",
        ("n_one_to_one", "n_missed", "n_false", "n_split", "n_merge", "n_many_to_many"),
    ),
    ("Instances too many by splits, too few by merges", ("excess_fragments", "excess_merged")),
)

ASSOCIATION_COLUMNS = (
    *("image", "frame", "kind", "n_true", "n_pred", "true_ids", "pred_ids"),
    *("bbox_x_px", "bbox_y_px", "bbox_w_px", "bbox_h_px", "area_true_px", "area_pred_px"),
)


def format_table(summary: Mapping[str, float | int]) -> str:
    """The summary as lines of text: a title for each section, a name and a value a line."""
    lines: list[str] = []
    for title, names in TABLE:
        lines.append(title)
        lines += [f"  {name:<22}{_text(summary[name]):>10}" for name in names]
    return "\n".join(lines)


def write_metrics(path: Path, metrics: Metrics, run: Mapping[str, Any]) -> None:
    """Write ``metrics.json``: the summary, the images not scored and the run record.

    Args:
        path: the JSON file.
        metrics: what was found.
        run: versions, inputs and options; JSON values only.
    """
    document = {
        **{name: _number_or_null(value) for name, value in metrics.summary().items()},
        "unpaired_true": [{"image": i, "frame": f} for i, f in metrics.unpaired_true],
        "unpaired_pred": [{"image": i, "frame": f} for i, f in metrics.unpaired_pred],
        "run": dict(run),
    }
    write_text_atomic(path, json.dumps(document, indent=2, allow_nan=False) + "\n")


def write_per_image(path: Path, metrics: Metrics) -> None:
    """Write ``per_image.csv``: one row an image that was scored, in the order of the truth."""
    rows = [
        {
            "image": result.image,
            "frame": result.frame,
            "image_pred": result.image_pred,
            "count_error": result.n_pred - result.n_true,
            **result.figures(),
        }
        for result in metrics.images
    ]
    columns = list(rows[0]) if rows else []
    _write_csv(path, columns, ([row[column] for column in columns] for row in rows))


def write_associations(path: Path, metrics: Metrics) -> None:
    """Write ``associations.csv``: one row a group of instances that overlap.

    ``true_ids`` and ``pred_ids`` number the instances of the image from 1 in the order of
    their file, separated by spaces; the box lies around the whole group.
    """
    rows: list[list[Cell]] = []
    for result in metrics.images:
        for group in result.groups:
            true_indices = group.association.true_indices
            pred_indices = group.association.pred_indices
            rows.append(
                [
                    *(result.image, result.frame, group.association.kind),
                    *(len(true_indices), len(pred_indices)),
                    *(_ids(true_indices), _ids(pred_indices)),
                    *group.box_xywh,
                    *(group.area_true_px, group.area_pred_px),
                ]
            )
    _write_csv(path, ASSOCIATION_COLUMNS, rows)


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([["" if _is_nan(cell) else cell for cell in row] for row in rows])
    # A file name may hold bytes that are no UTF-8; they are escaped, never fatal.
    text = buffer.getvalue().encode("utf-8", "backslashreplace").decode("utf-8")
    write_text_atomic(path, text)


def _ids(indices: Sequence[int]) -> str:
    return " ".join(str(index + 1) for index in indices)


def _is_nan(value: Cell) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _number_or_null(value: float) -> float | None:
    return None if _is_nan(value) else value


def _text(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return "undefined" if math.isnan(value) else f"{value:.4f}"
