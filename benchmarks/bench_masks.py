"""Seconds to convert the 155 EPFL masks to COCO JSON, by kind of instance.

Each run is a process of its own and holds the time of starting up. Prints one JSON object. The
data is looked for in ``MITO_SHARED_DATA``, else beside the checkout.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from record import machine, repeat_mito, versions

MAX_SECONDS = 5.0
MODES = ("components", "components-3d", "watershed")


def main() -> None:
    """Measure every case."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    source = Path(os.environ.get("MITO_SHARED_DATA", beside)) / "epfl_ca1"
    if not source.is_dir():
        print(f"skipped: no data at {source}; set MITO_SHARED_DATA", file=sys.stderr)
        return
    cases: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for mode in MODES:
            words: list[str | Path] = ["convert-masks", "--images", source / "images"]
            words += ["--masks", source / "masks", "--instances", mode]
            cases[mode] = repeat_mito([*words, "-o", Path(folder) / "out.json"])
    cases["components"]["limit_seconds"] = MAX_SECONDS
    cases["components"]["within_limit"] = cases["components"]["seconds_median"] <= MAX_SECONDS
    print(json.dumps({"machine": machine(), "versions": versions(), "cases": cases}, indent=1))


if __name__ == "__main__":
    main()
