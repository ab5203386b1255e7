"""Seconds to convert the 155 EPFL masks to COCO JSON, by kind of instance.

Prints one JSON line a case; each case is a process of its own and holds the time of starting
up. The data is looked for in ``MITO_SHARED_DATA``, else beside the checkout.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MAX_SECONDS = 5.0
MODES = ("components", "components-3d", "watershed")


def main() -> None:
    """Measure every case."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    source = Path(os.environ.get("MITO_SHARED_DATA", beside)) / "epfl_ca1"
    if not source.is_dir():
        print(f"skipped: no data at {source}; set MITO_SHARED_DATA", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as folder:
        for mode in MODES:
            command = [sys.executable, "-m", "mito_instance.cli", "convert-masks"]
            command += ["--images", str(source / "images"), "--masks", str(source / "masks")]
            command += ["-o", str(Path(folder) / "out.json"), "--instances", mode]
            start = time.perf_counter()
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            seconds = time.perf_counter() - start
            record: dict[str, object] = {"case": mode, "seconds": round(seconds, 2)}
            record["summary"] = done.stderr.splitlines()[-1].split(": ", 1)[1]
            if mode == "components":
                record["limit_seconds"] = MAX_SECONDS
                record["within_limit"] = seconds <= MAX_SECONDS
            print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main()
