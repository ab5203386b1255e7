"""Sections of ``report.html`` that are tables: errors by size, and image by image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mito_instance.cli.quantify_report_pages import names_of_files
from mito_instance.evaluation.evaluate import Metrics
from mito_instance.evaluation.strata import Stratum, area_strata, border_strata
from mito_instance.visualize import html, plots

UNITS = {"um2": "µm²", "px": "px"}
"""How the units of areas are written."""

_KINDS = ("one-to-one", "split", "merge", "many-to-many", "missed")


def size_section(metrics: Metrics) -> html.Html:
    """What happened to instances of each size, and to those at the border."""
    strata = area_strata(metrics.images, metrics.unit)
    unit = UNITS[metrics.unit]
    bars = plots.Bars(
        [stratum.name.removesuffix(unit).strip() for stratum in strata],
        {kind: [stratum.kinds_true[kind] for stratum in strata] for kind in _KINDS},
    )
    columns = [
        html.Column("instances"),
        html.Column("true", is_number=True),
        html.Column("predicted", is_number=True, hint="by their own area"),
        html.Column("recall", is_number=True, hint="at IoU > 0.5"),
        html.Column("precision", is_number=True, hint="at IoU > 0.5"),
        *(html.Column(kind, is_number=True, hint="true instances") for kind in _KINDS),
        html.Column("false", is_number=True, hint="predicted instances"),
    ]
    rows = [_stratum_row(stratum, metrics) for stratum in strata]
    at_border = [_stratum_row(stratum, metrics) for stratum in border_strata(metrics.images)]
    return html.section(
        "Errors by size",
        html.grid(
            html.figure(
                plots.stacked_bars(
                    bars,
                    plots.Labels(
                        "What happened to true instances by size", f"area ({unit})", "instances"
                    ),
                ),
                "What happened to the true instances, by their area.",
            ),
            wide=True,
        ),
        html.table(columns, rows, "By area", is_sortable=False),
        html.table(
            columns,
            at_border,
            "Instances that the border of the image cuts, apart",
            is_sortable=False,
        ),
    )


def image_section(metrics: Metrics) -> html.Html:
    """One row an image."""
    columns = [html.Column("image"), html.Column("page", is_number=True)]
    names = {
        "n_true": "true",
        "n_pred": "predicted",
        "f1_50": "F1",
        "pq": "PQ",
        "iou_foreground": "IoU",
        "n_split": "split",
        "n_merge": "merge",
        "n_many_to_many": "both",
        "n_missed": "missed",
        "n_false": "false",
    }
    columns += [html.Column(title, is_number=True) for title in names.values()]
    files = names_of_files([image.image for image in metrics.images])
    rows = [
        [files[image.image], image.frame + 1, *(found[name] for name in names)]
        for image, found in zip(metrics.images, metrics.image_figures(), strict=True)
    ]
    return html.section("Images", html.table(columns, rows), intro="A click on a heading sorts.")


def _stratum_row(stratum: Stratum, metrics: Metrics) -> Sequence[Any]:
    precision, n_false = stratum.precision_50, float(stratum.n_false)
    if metrics.truth_incomplete:
        precision = n_false = math.nan
    return [
        stratum.name,
        stratum.n_true,
        stratum.n_pred,
        stratum.recall_50,
        precision,
        *(stratum.kinds_true[kind] for kind in _KINDS),
        n_false if math.isnan(n_false) else stratum.n_false,
    ]
