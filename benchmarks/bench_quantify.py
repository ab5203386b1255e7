"""Seconds and memory of ``quantify`` with the shipped model, by image size.

Prints one JSON line a case. Each case is a process of its own, on synthetic micrographs; the
time of starting up is measured on one image and taken off.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from mito_instance.synthetic import make_micrograph

CASES = [("768x1024", (768, 1024), 9), ("2048x2048", (2048, 2048), 3)]


def run(paths: list[Path]) -> tuple[float, float]:
    """Wall seconds of one run and the peak memory in MiB of any run so far."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "mito_instance.cli", "quantify", *map(str, paths)],
        check=True,
        capture_output=True,
    )
    peak_kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return time.perf_counter() - start, peak_kib / 1024


def main() -> None:
    """Measure every case."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for name, image_hw, count in CASES:
            tile = make_micrograph(rng).image
            repeats = (-(-image_hw[0] // tile.shape[0]), -(-image_hw[1] // tile.shape[1]))
            image = np.tile(tile, repeats)[: image_hw[0], : image_hw[1]]
            paths = [Path(folder) / f"{name}_{number}.png" for number in range(count)]
            for path in paths:
                cv2.imwrite(str(path), image)
            first, _ = run(paths[:1])
            total, peak_mib = run(paths)
            seconds = (total - first) / (count - 1)
            print(
                json.dumps(
                    {
                        "case": name,
                        "seconds_an_image": round(seconds, 3),
                        "seconds_first_image_with_start": round(first, 2),
                        "peak_mib": round(peak_mib),
                    }
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
