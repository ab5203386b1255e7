"""The ``--volume`` part of ``mito evaluate``: two label stacks compared in three dimensions."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mito_instance.cli.command import OK
from mito_instance.cli.conversion_report import say_lines
from mito_instance.cli.evaluate_outputs import run_record
from mito_instance.cli.image_groups import DEFAULT_RESAMPLES
from mito_instance.errors import ConfigError
from mito_instance.evaluation.associations import count_associations
from mito_instance.evaluation.slice_numbers import check_slice_numbers
from mito_instance.evaluation.tables import without_nan, write_metrics
from mito_instance.evaluation.volume import (
    BoxZyx,
    Overlaps,
    VolumeMetrics,
    count_overlaps,
    evaluate_overlaps,
    label_pages,
)
from mito_instance.io.tables import write_table

_BINARY = frozenset({1, 255, 65535})
"""Values of the foreground of binary masks."""
_OF_2D = ("report.html", "per_image.csv", "false.json", "rois")
_ONLY_2D = (
    "images",
    "region",
    "score_threshold",
    "min_area_px",
    "pixel_size_nm",
    "truth_incomplete",
    "group_regex",
)
_COLUMNS = (
    *("kind", "n_true", "n_pred", "true_labels", "pred_labels"),
    *("box_x_px", "box_y_px", "box_page", "box_w_px", "box_h_px", "box_n_pages"),
    *("voxels_true", "voxels_pred"),
)


def evaluate_volume(args: argparse.Namespace) -> int:
    """Compare two label stacks; prints the table, writes ``metrics.json`` and the groups.

    Args:
        args: the arguments of ``mito evaluate``.

    Returns:
        0.

    Raises:
        MitoInstanceError: if a stack cannot be read, or they do not fit each other.
    """
    for name in _ONLY_2D:
        if getattr(args, name):
            raise ConfigError(
                f"--{name.replace('_', '-')} is not for --volume, which compares whole stacks of "
                "labels; leave one of the two out"
            )
    for name, usual in (("bootstrap", DEFAULT_RESAMPLES), ("seed", 0)):
        if getattr(args, name) not in (usual, 0):
            raise ConfigError(
                f"--{name} is not for --volume, which is one stack and has no confidence "
                "intervals; leave it out"
            )
    for path in (args.truth, args.pred):
        if path.suffix.lower() in (".json", ".zip", ".roi"):
            raise ConfigError(
                f"{path}: --volume needs label stacks, whose ids run through the pages; give a "
                "TIFF stack or a folder of label images"
            )
    shifted = check_slice_numbers(args.truth, args.pred)
    notices = [] if shifted is None else [shifted]
    overlaps = count_overlaps(label_pages(args.truth, notices), label_pages(args.pred, notices))
    metrics = evaluate_overlaps(overlaps)
    for path, boxes in ((args.truth, overlaps.boxes_true), (args.pred, overlaps.boxes_pred)):
        if len(boxes) == 1 and boxes.keys() <= _BINARY:
            notices.append(
                f"{path}: holds the label {next(iter(boxes))} alone, which is one object; of a "
                "binary stack, give each object a label of its own"
            )
    summary = _summary(metrics)
    if args.output is not None:
        folder: Path = args.output
        old = [folder / name for name in _OF_2D if (folder / name).exists()]
        if old:
            print(
                f"notice: {', '.join(map(str, old))}: of an earlier evaluation, not of this one",
                file=sys.stderr,
            )
        write_metrics(folder / "metrics.json", without_nan({**summary, "run": run_record(args)}))
        rows = [_row(group.true_indices, group.pred_indices, overlaps) for group in metrics.groups]
        for row, group in zip(rows, metrics.groups, strict=True):
            row["kind"] = group.kind
        write_table(folder / "associations.csv", _COLUMNS, rows)
    for name, value in summary.items():
        shown = f"{value}" if isinstance(value, int) else f"{value:.4f}"
        print(f"{name:<22}{shown.replace('nan', 'undefined'):>12}")
    say_lines("notice", notices)
    return OK


def _summary(metrics: VolumeMetrics) -> dict[str, float | int]:
    """Figures by name."""
    at_50, at_75 = metrics.match_50, metrics.match_75
    return {
        "n_true": metrics.n_true,
        "n_pred": metrics.n_pred,
        "f1_50": at_50.f1,
        "precision_50": at_50.precision,
        "recall_50": at_50.recall,
        "f1_75": at_75.f1,
        "precision_75": at_75.precision,
        "recall_75": at_75.recall,
        "pq": at_50.pq,
        "sq": at_50.sq,
        "rq": at_50.rq,
        "iou_foreground": metrics.iou_foreground,
        "dice_foreground": metrics.dice_foreground,
        "voi_split": metrics.voi_split,
        "voi_merge": metrics.voi_merge,
        "voi": metrics.voi_split + metrics.voi_merge,
        "adapted_rand_error": metrics.adapted_rand_error,
        **asdict(count_associations(metrics.groups)),
    }


def _row(true: Sequence[int], pred: Sequence[int], overlaps: Overlaps) -> dict[str, Any]:
    """One group with its members, its box and its size."""
    boxes = [overlaps.boxes_true[label] for label in true]
    boxes += [overlaps.boxes_pred[label] for label in pred]
    first, last, top, bottom, left, right = _around(boxes)
    pairs, voxels = overlaps.pairs, overlaps.voxels
    return {
        "n_true": len(true),
        "n_pred": len(pred),
        "true_labels": " ".join(map(str, true)),
        "pred_labels": " ".join(map(str, pred)),
        "box_x_px": left,
        "box_y_px": top,
        "box_page": first,
        "box_w_px": right - left,
        "box_h_px": bottom - top,
        "box_n_pages": last - first,
        "voxels_true": sum(int(voxels[pairs[:, 0] == label].sum()) for label in true),
        "voxels_pred": sum(int(voxels[pairs[:, 1] == label].sum()) for label in pred),
    }


def _around(boxes: Sequence[BoxZyx]) -> BoxZyx:
    """Box around boxes."""
    low = [min(box[axis] for box in boxes) for axis in (0, 2, 4)]
    high = [max(box[axis] for box in boxes) for axis in (1, 3, 5)]
    return (low[0], high[0], low[1], high[1], low[2], high[2])
