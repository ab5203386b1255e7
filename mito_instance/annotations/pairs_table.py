"""A table that says which ROI set belongs to which image."""

from __future__ import annotations

import csv
from pathlib import Path

from mito_instance.errors import AnnotationError

_MAX_BYTES = 64 * 1024**2
_HEADER = "image"


def read_pairs(path: Path) -> list[tuple[Path, Path]]:
    """Image and ROI set of each row of a CSV with two columns.

    Separated by commas, semicolons or tabs. Paths are seen from the folder of the table. A first
    row that begins with ``image`` is a header. Empty rows are left out; an image may stand in
    several rows.

    Args:
        path: the CSV, UTF-8.

    Returns:
        The pairs in the order of the table.

    Raises:
        AnnotationError: if the file cannot be read or holds no pair, or a row has not two columns.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise AnnotationError(f"{path}: a table of pairs must be <= {_MAX_BYTES} bytes")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        rows = list(csv.reader(lines, delimiter=_separator(lines)))
    except OSError as error:
        reason = error.strerror or str(error)
        raise AnnotationError(f"{path}: cannot read ({reason}); check the path") from error
    except (ValueError, csv.Error) as error:
        raise AnnotationError(f"{path}: not a CSV in UTF-8 ({error}); save it anew") from error
    pairs: list[tuple[Path, Path]] = []
    for number, row in enumerate(rows, start=1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or (number == 1 and cells[0].casefold() == _HEADER):
            continue
        if len(cells) != 2 or not all(cells) or "\0" in "".join(cells):
            raise AnnotationError(
                f"{path}: row {number} must be an image and an ROI set, got {len(cells)} columns; "
                "write two paths, separated by a comma"
            )
        pairs.append((path.parent / cells[0], path.parent / cells[1]))
    if not pairs:
        raise AnnotationError(f"{path}: holds no pair; write an image and its ROI set in each row")
    return pairs


def _separator(lines: list[str]) -> str:
    """The one that makes two cells of the first row that is not empty; names may hold the others.

    Spreadsheets write semicolons where the comma is the decimal point.
    """
    first = next((line for line in lines if line.strip()), "")
    fits = (mark for mark in ",;\t" if len(next(csv.reader([first], delimiter=mark))) == 2)
    return next(fits, ",")
