"""``report.html`` of an evaluation: figures, plots, tables and the worst errors in one file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from mito_instance.cli.evaluate_gallery import gallery
from mito_instance.cli.evaluate_report_tables import UNITS, image_section, size_section
from mito_instance.evaluation.coco_ap import IOU_THRESHOLDS
from mito_instance.evaluation.evaluate import Metrics
from mito_instance.evaluation.figures import IOU_NAMES
from mito_instance.evaluation.precision_recall import RECALL_POINTS, Ranking
from mito_instance.evaluation.thresholds import best_f1, least_biased
from mito_instance.visualize import html, plots

TITLE = "Evaluation of mitochondria"

Intervals = Mapping[str, tuple[float, float]]


def report(
    metrics: Metrics,
    intervals: Intervals,
    about_intervals: str,
    run: Mapping[str, Any],
    pictures: tuple[bool, bool],
) -> str:
    """The report as one HTML document.

    Args:
        metrics: what was found.
        intervals: 95 % confidence intervals by the name of the figure.
        about_intervals: what they rest on, in one sentence.
        run: the run record.
        pictures: whether the truth and the prediction name their micrographs.
    """
    n_images = len(metrics.images)
    summary = metrics.summary()
    sections = [
        _headline(metrics, summary, intervals, about_intervals),
        _matching(metrics, summary),
        _agreement(metrics, summary),
        size_section(metrics),
        gallery(metrics, pictures),
        image_section(metrics),
        _run(run),
    ]
    truth, pred = (PurePath(run["inputs"][side]["path"]).name for side in ("truth", "pred"))
    subtitle = f"{pred} against {truth}: {n_images} image{'s' if n_images != 1 else ''}"
    return html.page(TITLE, subtitle, sections)


def _headline(
    metrics: Metrics,
    summary: Mapping[str, float | int],
    intervals: Intervals,
    about_intervals: str,
) -> html.Html:
    cards = [
        (title, html.number(summary[name]), _interval(intervals, name))
        for title, name in (
            ("F1 at IoU > 0.5", "f1_50"),
            ("AP (COCO)", "ap"),
            ("AP50", "ap50"),
            ("Panoptic quality", "pq"),
            ("Foreground IoU", "iou_foreground"),
            ("Count bias per image", "count_bias"),
            ("Count error per image", "count_mae"),
        )
    ]
    cards.insert(0, ("Instances", f"{summary['n_pred']} / {summary['n_true']}", "predicted / true"))
    cards += [
        (title, html.number(summary[name]), remark)
        for title, name, remark in (
            ("Splits", "n_split", "one true, several predicted"),
            ("Merges", "n_merge", "several true, one predicted"),
            ("Both at once", "n_many_to_many", "several true and predicted, entangled"),
            ("Missed", "n_missed", "true, not predicted"),
            ("False", "n_false", "predicted, not true"),
        )
    ]
    notes = []
    if metrics.truth_incomplete:
        notes.append(
            "The truth is incomplete: figures that count predictions without a true partner as "
            "errors are undefined (–)."
        )
    if metrics.unpaired_true:
        notes.append(f"{len(metrics.unpaired_true)} true images have no prediction: not scored.")
    if metrics.unpaired_pred:
        notes.append(f"{len(metrics.unpaired_pred)} predicted images have no truth: not scored.")
    return html.section(
        "At a glance",
        html.cards(cards),
        *(html.element("p", note) for note in notes),
        intro=f"Fractions lie between 0 and 1. {about_intervals}",
    )


def _matching(metrics: Metrics, summary: Mapping[str, float | int]) -> html.Html:
    precision = Ranking([image.detections for image in metrics.images]).precision()
    curves = []
    if precision is not None and not metrics.truth_incomplete:
        curves = [
            plots.Line(f"IoU {level / 100:.2f}", RECALL_POINTS.tolist(), precision[row].tolist())
            for row, level in ((0, 50), (5, 75), (8, 90))
        ]
    levels = IOU_THRESHOLDS.tolist()
    by_iou = [
        plots.Line(title, levels, [summary[f"{name}_{level}"] for level in IOU_NAMES], marker)
        for title, name, marker in (
            ("F1", "f1", "o"),
            ("precision", "precision", "^"),
            ("recall", "recall", "v"),
            ("detection accuracy", "detection_accuracy", "s"),
        )
    ]
    figures = [
        html.figure(
            plots.lines(
                curves,
                plots.Labels("Precision against recall", "recall", "precision"),
                x_limits=(0, 1.01),
                y_limits=(0, 1.03),
            ),
            "Precision against recall, of all predictions in the file, whatever their score.",
        ),
        html.figure(
            plots.lines(
                by_iou,
                plots.Labels("F1 against the IoU that a match needs", "IoU", "fraction"),
                y_limits=(0, 1.03),
            ),
            "How good a match must be: figures at the score threshold against the IoU.",
        ),
    ]
    if metrics.sweep and not metrics.truth_incomplete:
        figures += _sweep(metrics)
    return html.section("Matches", html.grid(*figures, wide=True))


def _sweep(metrics: Metrics) -> list[html.Html]:
    scores = [row.score_threshold for row in metrics.sweep]
    top, fair = best_f1(metrics.sweep), least_biased(metrics.sweep)
    best = "none" if top is None else f"{top.score_threshold:.2f} (F1 {top.match.f1:.3f})"
    even = "none" if fair is None else f"{fair.score_threshold:.2f} (bias {fair.count_bias:+.2f})"
    return [
        html.figure(
            plots.lines(
                [
                    plots.Line("F1", scores, [row.match.f1 for row in metrics.sweep]),
                    plots.Line("precision", scores, [row.match.precision for row in metrics.sweep]),
                    plots.Line("recall", scores, [row.match.recall for row in metrics.sweep]),
                ],
                plots.Labels("F1 against the score threshold", "score threshold", "fraction"),
                x_limits=(0, 1),
                y_limits=(0, 1.03),
            ),
            f"Which score threshold gives the highest F1 at IoU > 0.5: {best}.",
        ),
        html.figure(
            plots.lines(
                [
                    plots.Line("bias", scores, [row.count_bias for row in metrics.sweep]),
                    plots.Line("mean absolute error", scores, [r.count_mae for r in metrics.sweep]),
                ],
                plots.Labels(
                    "Error of the count against the score threshold",
                    "score threshold",
                    "instances per image",
                ),
                x_limits=(0, 1),
                zero_line=True,
            ),
            f"Which score threshold makes counts least biased: {even}.",
        ),
    ]


def _agreement(metrics: Metrics, summary: Mapping[str, float | int]) -> html.Html:
    if metrics.truth_incomplete:
        text = "Undefined: the truth is incomplete."
        return html.section("Counts and areas per image", html.element("p", text))
    tallies = metrics.tallies()
    unit = UNITS[metrics.unit]
    figures: list[html.Html] = []
    for key, word, suffix, measure in (
        ("count", "instances", "", "instances"),
        ("area", "area", f"_{metrics.unit}", unit),
    ):
        true = [counts[f"{key}_t"] for counts in tallies]
        pred = [counts[f"{key}_p"] for counts in tallies]
        title = f"{word} ({unit})" if key == "area" else word
        error = summary[f"{key}_mae{suffix}"]
        correlation = html.number(summary[f"{key}_correlation"])
        figures += [
            html.figure(
                plots.against_truth(
                    true,
                    pred,
                    plots.Labels(
                        f"Predicted against true {word}", f"true {title}", f"predicted {title}"
                    ),
                ),
                f"Predicted against true {word}, one point per image; correlation {correlation}.",
            ),
            html.figure(
                plots.bland_altman(
                    true,
                    pred,
                    plots.Labels(
                        f"Bland-Altman plot of the {word}",
                        f"mean of true and predicted {title}",
                        f"predicted – true {title}",
                    ),
                ),
                "Agreement (Bland–Altman): bias and 95 % limits; mean absolute error "
                f"{html.short_number(error)} {measure} per image.",
            ),
        ]
    return html.section("Counts and areas per image", html.grid(*figures, wide=True))


def _run(run: Mapping[str, Any]) -> html.Html:
    items: list[tuple[str, Any]] = []
    for side, source in run["inputs"].items():
        items.append((side, source["path"]))
        if "sha256" in source:
            items.append((f"{side} SHA-256", source["sha256"]))
    items += [(name, value) for name, value in run["options"].items() if value is not None]
    items += list(run["versions"].items())
    return html.section("Run", html.definitions(items))


def _interval(intervals: Intervals, name: str) -> str:
    low, high = intervals.get(name, (math.nan, math.nan))
    return "" if math.isnan(low) else f"[{low:.3f}, {high:.3f}]"
