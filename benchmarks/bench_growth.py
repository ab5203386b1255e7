"""What tiles, stitching and measuring cost as images grow, with a network that costs nothing.

Quantifies images of 2,500 to 20,000 px an edge, of the same density of objects, each in a process
of its own, with a threshold in place of the network. Prints one JSON line a size: CPU seconds
and memory beyond the pixels of the image itself.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import tifffile

from mito_instance import quantify
from mito_instance.instances import ImageInstances
from mito_instance.masks.labels import component_rles

EDGES = (2500, 5000, 10_000, 20_000)
PART_PX = 2500
MIB = 1024**2


class Threshold:
    """Every dark region is an instance."""

    score_threshold = 0.5
    pixel_size_nm = None
    tile_px = 1024
    tile_overlap_px = 256

    def prepare(self, pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """The page as it is."""
        return np.asarray(pixels, dtype=np.uint8)

    def predict(
        self, tiles: Sequence[npt.NDArray[np.uint8]], min_score: float = 0.0
    ) -> list[ImageInstances]:
        """Connected regions below grey 100."""
        found = []
        for tile in tiles:
            masks = tuple(component_rles(tile < 100))
            scores = np.full(len(masks), max(0.9, min_score))
            found.append(ImageInstances("tile", (tile.shape[0], tile.shape[1]), masks, scores))
        return found

    def record(self) -> Mapping[str, Any]:
        """Nothing to tell."""
        return {}


def write_image(path: Path, edge_px: int) -> None:
    """An uncompressed TIFF with an ellipse in each square of 100 px, row of parts by row."""
    part = np.full((PART_PX, PART_PX), 200, np.uint8)
    rng = np.random.default_rng(0)
    for y in range(50, PART_PX, 100):
        for x in range(50, PART_PX, 100):
            axes = (int(rng.integers(8, 45)), int(rng.integers(6, 20)))
            cv2.ellipse(part, (x, y), axes, float(rng.uniform(0, 180)), 0, 360, 50, -1)
    image = tifffile.memmap(path, shape=(edge_px, edge_px), dtype=np.uint8)
    for top in range(0, edge_px, PART_PX):
        for left in range(0, edge_px, PART_PX):
            image[top : top + PART_PX, left : left + PART_PX] = part
    image.flush()


def measure(path: Path, edge_px: int) -> dict[str, Any]:
    """Quantify one image in this process."""
    n_pages = int(Path("/proc/self/statm").read_text().split()[1])
    before = n_pages * resource.getpagesize()
    start = time.process_time()  # of this process alone: other work on the machine is not counted
    (row,) = quantify(path, Threshold(), n_threads=0).counts
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "edge_px": edge_px,
        "count": row["count"],
        "cpu_seconds": round(seconds, 2),
        "cpu_seconds_a_megapixel": round(seconds / edge_px**2 * 1e6, 4),
        "mib_beyond_the_pixels": round((peak - before - edge_px**2) / MIB),
    }


def main() -> None:
    """Measure every size."""
    if len(sys.argv) == 3:
        print(json.dumps(measure(Path(sys.argv[1]), int(sys.argv[2]))))
        return
    for edge_px in EDGES:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "large.tif"
            write_image(path, edge_px)
            command = [sys.executable, __file__, str(path), str(edge_px)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        print(done.stdout.splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
