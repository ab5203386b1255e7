"""The table of a mask conversion: for each mask what was seen and what was done."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mito_instance.annotations.conversion import MaskReport

_HEAD = ("mask", "instances", "specks", "cuts", "saw", "did")


def mask_table(reports: Sequence[MaskReport], folder: Path) -> list[str]:
    """Lines of a table with one row a mask; repairs come first, marked REPAIRED.

    Args:
        reports: what was seen and done.
        folder: the masks' folder; names are shown from there.

    Returns:
        A head and a line for each report; nothing without reports.
    """
    if not reports:
        return []
    base = os.path.abspath(folder if folder.is_dir() else folder.parent)  # noqa: PTH100
    rows = [_HEAD, *(_row(report, base) for report in reports)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD) - 1)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if 1 <= column <= 3 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row[:-1], widths, strict=True))
        ]
        lines.append("  ".join([*cells, row[-1]]).rstrip())
    return lines


def _row(report: MaskReport, base: str) -> tuple[str, ...]:
    """The cells of one report."""
    name = os.path.abspath(report.where)  # noqa: PTH100 - links are kept as they are
    name = name.removeprefix(base + os.sep)
    did = [f"REPAIRED {repair}" for repair in report.repairs] + list(report.did)
    return (
        "".join(char if char.isprintable() else "?" for char in name),
        str(report.n_instances),
        str(report.n_specks),
        "" if report.n_cuts is None else str(report.n_cuts),
        report.saw,
        "; ".join(did),
    )
