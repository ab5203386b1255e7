"""Writes the tables of docs/results.md and README.md from the records in docs/results/.

Records come from measure_model.py. Rows of the same name are seeds of one recipe: they become
mean ± sample standard deviation. Text outside of the markers stays as it is.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "docs" / "results"
BEGIN, END = "<!-- results: made by make results -->", "<!-- end of results -->"

COLUMNS = (
    ("AP", "ap", 3),
    ("AP50", "ap50", 3),
    ("AP75", "ap75", 3),
    ("F1 at IoU 0.5", "f1_50", 3),
    ("F1 at IoU 0.75", "f1_75", 3),
    ("PQ", "pq", 3),
    ("foreground IoU", "iou_foreground", 3),
    ("Dice", "dice_foreground", 3),
    ("split", "n_split", 0),
    ("merged", "n_merge", 0),
    ("count error an image", "count_mae", 2),
    ("s an image", "seconds_an_image", 2),
    ("M parameters", "parameters", 1),
    ("steps", "steps", 0),
    ("minutes of training", "training_minutes", 0),
)
SHORT = {"AP", "AP50", "F1 at IoU 0.5", "foreground IoU", "Dice", "count error an image", "steps"}


def read_records(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Records by row name, best mean AP first."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(folder.glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        rows.setdefault(record["name"], []).append(record)
    ordered = sorted(rows, key=lambda name: -statistics.mean(r["ap"] for r in rows[name]))
    return {name: rows[name] for name in ordered}


def cell(records: Iterable[dict[str, Any]], key: str, digits: int) -> str:
    """One number, or mean ± sd over seeds; empty where none is known."""
    values = [float(record[key]) for record in records if record.get(key) is not None]
    if not values:
        return ""
    if key == "parameters":
        values = [value / 1e6 for value in values]
    text = f"{statistics.mean(values):.{digits}f}"
    if len(values) > 1 and key not in {"parameters", "steps"}:
        text += f" ± {statistics.stdev(values):.{digits}f}"
    return text


def table(rows: dict[str, list[dict[str, Any]]], *, short: bool) -> str:
    """Markdown table, one row a recipe."""
    columns = [column for column in COLUMNS if not short or column[0] in SHORT]
    lines = ["| | seeds | " + " | ".join(title for title, _, _ in columns) + " |"]
    lines.append("|" + "---|" * (len(columns) + 2))
    for name, records in rows.items():
        cells = [cell(records, key, digits) for _, key, digits in columns]
        config = records[0]["config"]
        lines.append(f"| {name} (`{config}`) | {len(records)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def notes(rows: dict[str, list[dict[str, Any]]]) -> str:
    """Remarks and hardware under the table."""
    said = [
        f"- {name}: {records[0]['note']}. Measured on {records[0]['hardware']}, "
        f"{records[0]['date']}."
        for name, records in rows.items()
        if records[0].get("note")
    ]
    return "\n".join(said)


def replace_between(path: Path, content: str) -> None:
    """Put content between the markers of a file that has them."""
    text = path.read_text(encoding="utf-8")
    before, found, rest = text.partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not found or not closed:
        raise SystemExit(f"{path}: no markers {BEGIN} … {END}")
    path.write_text(f"{before}{BEGIN}\n{content}\n{END}{after}", encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Rewrite both files."""
    rows = read_records(RECORDS)
    if not rows:
        raise SystemExit(f"{RECORDS}: no records; make some with benchmarks/measure_model.py")
    long = table(rows, short=False)
    replace_between(ROOT / "docs" / "results.md", f"\n{long}\n\n{notes(rows)}\n")
    replace_between(ROOT / "README.md", f"\n{table(rows, short=True)}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
