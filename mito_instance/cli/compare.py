"""``mito compare``: paired differences between evaluations."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mito_instance.cli.command import OK, CommandParser, run, whole_number
from mito_instance.cli.image_groups import (
    DEFAULT_RESAMPLES,
    MAX_RESAMPLES,
    MAX_SEED,
    grouping,
)
from mito_instance.errors import ConfigError

if TYPE_CHECKING:
    from mito_instance.evaluation.compare import Difference, Evaluation
    from mito_instance.visualize.html import Html


_DESCRIPTION = """\
Compares evaluations of several predictions of the same images: every figure of the first, of
each other, and their difference with a 95 % confidence interval. The intervals resample images
(or groups of them), the same ones for all evaluations at a time. A star marks a difference
whose interval leaves out 0; with many figures, some do so by chance."""

_EXAMPLE = """\
example:
  mito compare old/metrics.json new/metrics.json -o comparison

exit status: 0 compared, 2 nothing could be compared"""

_CSV_COLUMNS = ("base", "other", "figure", "base_value", "other_value")
_CSV_MORE = ("difference", "interval_low", "interval_high", "is_clear")


def build_parser() -> CommandParser:
    """The arguments of ``compare``."""
    parser = CommandParser("compare", _DESCRIPTION, _EXAMPLE)
    parser.add_argument(
        "metrics",
        type=Path,
        nargs="+",
        metavar="METRICS",
        help="metrics.json of mito evaluate, two or more; the first is what others are compared to",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="DIR",
        help="write comparison.csv and comparison.html (table and plot) there",
    )
    parser.add_argument(
        "--group-regex",
        metavar="RE",
        help="images whose paths match RE with the same first group are of one group; intervals "
        "resample groups (default: each image file by itself)",
    )
    parser.add_argument(
        "--bootstrap",
        type=whole_number(0, MAX_RESAMPLES),
        default=DEFAULT_RESAMPLES,
        metavar="N",
        help=f"resamples for the intervals (default: {DEFAULT_RESAMPLES}; 0 for none)",
    )
    parser.add_argument(
        "--seed", type=whole_number(0, MAX_SEED), default=0, metavar="N", help="default: 0"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments without the program's name; by default those of the process.

    Returns:
        Exit status: 0 done, 2 nothing could be done.
    """
    return run(_compare, build_parser().parse_args(argv))


def _compare(args: argparse.Namespace) -> int:
    """Read, compare, write and print."""
    import numpy as np

    from mito_instance.evaluation.compare import common_images, compare, read_evaluation

    if len(args.metrics) < 2:
        raise ConfigError(
            f"{args.metrics[0]}: a comparison needs two or more metrics.json, got 1; add another"
        )
    evaluations = [read_evaluation(path) for path in args.metrics]
    names = _short_names(args.metrics)
    n_common = len(common_images(evaluations)[0])
    found = compare(
        evaluations, grouping(args.group_regex), args.bootstrap, np.random.default_rng(args.seed)
    )
    if args.output is not None:
        _write(args.output, names, found, n_common)
    for name, differences in zip(names[1:], found, strict=True):
        print("\n".join(_table(names[0], name, differences, n_common)))
    _note_left_out(evaluations, n_common)
    return OK


def _table(base: str, other: str, differences: Sequence[Difference], n_common: int) -> list[str]:
    """Lines of text: figure, both values, difference and its interval."""
    lines = [f"{other} - {base}, {n_common} images"]
    lines.append(f"  {'figure':<22}{'first':>10}{'other':>10}{'difference':>12}  95 % interval")
    for row in differences:
        interval = "" if math.isnan(row.low) else f"  [{row.low:+.4f}, {row.high:+.4f}]"
        star = " *" if row.is_clear else ""
        lines.append(
            f"  {row.name:<22}{_shown(row.base, '.4f'):>10}{_shown(row.other, '.4f'):>10}"
            f"{_shown(row.value, '+.4f'):>12}{interval}{star}"
        )
    return lines


def _write(
    folder: Path, names: Sequence[str], found: Sequence[Sequence[Difference]], n_common: int
) -> None:
    """Write ``comparison.csv`` and ``comparison.html``."""
    from mito_instance.io.files import write_text_atomic
    from mito_instance.io.tables import write_table
    from mito_instance.visualize import html

    rows = [
        {
            "base": names[0],
            "other": name,
            "figure": row.name,
            "base_value": row.base,
            "other_value": row.other,
            "difference": row.value,
            "interval_low": row.low,
            "interval_high": row.high,
            "is_clear": row.is_clear,
        }
        for name, differences in zip(names[1:], found, strict=True)
        for row in differences
    ]
    write_table(folder / "comparison.csv", (*_CSV_COLUMNS, *_CSV_MORE), rows)
    sections = [
        _section(names[0], name, differences)
        for name, differences in zip(names[1:], found, strict=True)
    ]
    subtitle = f"{len(names)} evaluations, {n_common} images that all of them have"
    write_text_atomic(
        folder / "comparison.html", html.page("Comparison of evaluations", subtitle, sections)
    )


def _section(base: str, other: str, differences: Sequence[Difference]) -> Html:
    """A plot and a table of one pair."""
    from mito_instance.visualize import html, plots

    fractions = [
        row
        for row in differences
        if not row.name.startswith(("n_", "count_")) and not math.isnan(row.value)
    ]
    plot = plots.intervals(
        [row.name for row in fractions],
        [row.value for row in fractions],
        [
            (row.value, row.value) if math.isnan(row.low) else (row.low, row.high)
            for row in fractions
        ],
        plots.Labels("Differences with 95 % intervals", "other – first", ""),
    )
    columns = [
        html.Column("figure"),
        *(
            html.Column(title, is_number=True, digits=4)
            for title in ("first", "other", "difference", "from", "to")
        ),
        html.Column("clear", hint="the interval leaves out 0"),
    ]
    rows = [
        [row.name, row.base, row.other, row.value, row.low, row.high, "yes" if row.is_clear else ""]
        for row in differences
    ]
    return html.section(
        f"{other} – {base}",
        html.grid(html.figure(plot, "Fractions: difference and 95 % interval."), wide=True),
        html.table(columns, rows),
        intro="Larger is better but for errors, biases and numbers of errors. With many figures, "
        "some intervals leave out 0 by chance.",
    )


def _note_left_out(evaluations: Sequence[Evaluation], n_common: int) -> None:
    """Say how many images are not in all evaluations."""
    for evaluation in evaluations:
        n_left = len(evaluation.counts) - n_common
        if n_left:
            print(
                f"notice: {evaluation.path}: {n_left} images are not in all evaluations, or share "
                "their name with another; left out",
                file=sys.stderr,
            )


def _short_names(paths: Sequence[Path]) -> list[str]:
    """The folders that tell the files apart; numbers where they do not."""
    names = [path.absolute().parent.name or str(path) for path in paths]
    if len(set(names)) == len(names):
        return names
    return [f"{number} {path}" for number, path in enumerate(paths, start=1)]


def _shown(value: float, form: str) -> str:
    return "undefined" if math.isnan(value) else format(value, form)


if __name__ == "__main__":
    raise SystemExit(main())
