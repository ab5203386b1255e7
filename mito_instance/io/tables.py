"""CSV tables: one way to write numbers, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from mito_instance.io.files import atomic_path

_FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


class TableWriter:
    r"""Writes rows of a CSV as they come; the header at once.

    Comma separated, a ``\n`` after each row, quotes only where needed. See `cell` for values.

    Args:
        stream: text stream, open for writing with ``newline=""``.
        columns: names of the columns, in order.
    """

    def __init__(self, stream: TextIO, columns: Sequence[str]) -> None:
        self._columns = tuple(columns)
        self._writer = csv.writer(stream, lineterminator="\n")
        self._writer.writerow(self._columns)

    def write(self, row: Mapping[str, Any]) -> None:
        """Write one row.

        Args:
            row: values by column name; a column that is absent stays empty.

        Raises:
            KeyError: if the row has a column that the table has not.
        """
        unknown = row.keys() - set(self._columns)
        if unknown:
            raise KeyError(f"table has no column {', '.join(sorted(unknown))}")
        self._writer.writerow([cell(row.get(name)) for name in self._columns])


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a CSV file (UTF-8), whole or not at all.

    Args:
        path: the file.
        columns: names of the columns, in order; they are the header also without rows.
        rows: values by column name.

    Raises:
        ConfigError: if the file cannot be written.
    """
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as stream,
    ):
        table = TableWriter(stream, columns)
        for row in rows:
            table.write(row)


def cell(value: Any) -> str:
    """One value as text, the same on every machine.

    Args:
        value: None and NaN become empty, bools 1 and 0, integers their digits, floats 6
            significant digits. A text that a spreadsheet would run as a formula (it begins
            with ``=``, ``+``, ``-`` or ``@``) gets an apostrophe in front. What is not valid
            Unicode (a file name from another system) is written as an escape.
    """
    if value is None:
        return ""
    if isinstance(value, bool | np.bool_):
        return "1" if value else "0"
    if isinstance(value, int | np.integer):
        return str(int(value))
    if isinstance(value, float | np.floating):
        number = float(value)
        return "" if math.isnan(number) else f"{number + 0.0:.6g}"  # + 0.0: no "-0"
    text = str(value).encode("utf-8", "backslashreplace").decode("utf-8")
    return f"'{text}" if text.startswith(_FORMULA_SIGNS) else text
