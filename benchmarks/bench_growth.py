"""How time and memory grow with the area, the instances and the number of images.

    python benchmarks/bench_growth.py [--cases area instances images] [--plot growth.png]

- ``area``: one image of 2,500 to 20,000 px an edge, of the same density of objects;
- ``instances``: one image of 4,000 px an edge with 125 to 2,000 objects;
- ``images``: 30 to 1,000 images of 256 px an edge through ``mito quantify`` with the shipped model.

The first two have a threshold in place of the network: they show what tiles, stitching and
measuring cost. Every size runs in a process of its own. Prints one JSON line a size: CPU seconds,
and memory beyond the pixels of the image itself; and one a case: the exponent of the fitted power
of time.
"""

from __future__ import annotations

import argparse
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
from bench_predict import own_peak_mib

from mito_instance import quantify
from mito_instance.instances import ImageInstances
from mito_instance.masks.labels import component_rles
from mito_instance.synthetic import make_micrograph

SIZES = {
    "area": (2500, 5000, 10_000, 20_000),
    "instances": (125, 250, 500, 1000, 2000),
    "images": (30, 100, 300, 1000),
}
PART_PX = 2500
EDGE_PX = 4000
SMALL_PX = 256
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


def write_area(folder: Path, edge_px: int) -> int:
    """An uncompressed TIFF with an ellipse in each square of 100 px; its pixels."""
    part = np.full((PART_PX, PART_PX), 200, np.uint8)
    draw_ellipses(part, (PART_PX // 100) ** 2, 100)
    image = tifffile.memmap(folder / "large.tif", shape=(edge_px, edge_px), dtype=np.uint8)
    for top in range(0, edge_px, PART_PX):
        for left in range(0, edge_px, PART_PX):
            image[top : top + PART_PX, left : left + PART_PX] = part
    image.flush()
    return edge_px**2


def write_instances(folder: Path, count: int) -> int:
    """A PNG of one size with so many ellipses; its pixels."""
    image = np.full((EDGE_PX, EDGE_PX), 200, np.uint8)
    draw_ellipses(image, count, int(EDGE_PX / (int(np.sqrt(count)) + 1)))
    cv2.imwrite(str(folder / "many.png"), image)
    return EDGE_PX**2


def write_images(folder: Path, count: int) -> int:
    """So many small micrographs; the pixels of one."""
    for number in range(count):
        rng = np.random.default_rng(number % 20)
        cv2.imwrite(
            str(folder / f"{number:04d}.png"), make_micrograph(rng, (SMALL_PX, SMALL_PX)).image
        )
    return SMALL_PX**2


def draw_ellipses(image: npt.NDArray[np.uint8], count: int, pitch_px: int) -> None:
    """Dark ellipses on a square grid, row by row, all of different forms."""
    rng = np.random.default_rng(0)
    columns = image.shape[1] // pitch_px
    for number in range(count):
        centre = [int((k + 0.5) * pitch_px) for k in (number % columns, number // columns)]
        axes = (int(rng.integers(8, 42)), int(rng.integers(6, 20)))
        cv2.ellipse(image, centre, axes, float(rng.uniform(0, 180)), 0, 360, 50, -1)


WRITERS = {"area": write_area, "instances": write_instances, "images": write_images}


def measure(folder: Path, n_pixels: int) -> dict[str, Any]:
    """Quantify one image in this process."""
    (path,) = folder.iterdir()
    n_pages = int(Path("/proc/self/statm").read_text().split()[1])
    before = n_pages * resource.getpagesize()
    start = time.process_time()  # of this process alone: other work on the machine is not counted
    (row,) = quantify(path, Threshold(), n_threads=0).counts
    seconds = time.process_time() - start
    return {
        "count": row["count"],
        "cpu_seconds": round(seconds, 3),
        "mib_beyond_the_pixels": round(own_peak_mib() - (before + n_pixels) / MIB),
    }


def measure_command(folder: Path) -> dict[str, Any]:
    """The command on all images of a folder."""
    command = [sys.executable, "-m", "mito_instance.cli", "quantify", str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    rows = done.stdout.splitlines()[1:]
    return {
        "rows": len(rows),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
        "peak_mib": round(used.ru_maxrss / 1024),
    }


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """The b of a·size^b that fits best on logarithmic axes."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def grow(case: str) -> list[dict[str, Any]]:
    """All sizes of a case, each in a process of its own."""
    results = []
    for size in SIZES[case]:
        with tempfile.TemporaryDirectory() as name:
            n_pixels = WRITERS[case](Path(name), size)
            command = [sys.executable, __file__, "--cases", case, "--one", name, str(n_pixels)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        results.append({"case": case, "size": size, **json.loads(done.stdout.splitlines()[-1])})
        print(json.dumps(results[-1]), flush=True)
    return results


def plot(found: Mapping[str, Sequence[Mapping[str, Any]]], path: Path) -> None:
    """Time against size on logarithmic axes, a panel a case."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    labels = {
        "area": "megapixels of an image",
        "instances": "instances in an image",
        "images": "images in a run",
    }
    figure, axes = pyplot.subplots(1, len(found), figsize=(4 * len(found), 3.4), squeeze=False)
    for axis, (case, results) in zip(axes[0], found.items(), strict=True):
        sizes, seconds = sizes_and_seconds(case, results)
        axis.loglog(sizes, seconds, "o-", color="#0b62c4")
        axis.set_title(f"time ~ {case}^{exponent(sizes, seconds):.2f}", fontsize=11)
        axis.set_xlabel(labels[case])
        axis.set_ylabel("CPU seconds")
        axis.grid(True, which="both", color="#dddddd", linewidth=0.5)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def sizes_and_seconds(
    case: str, results: Sequence[Mapping[str, Any]]
) -> tuple[list[float], list[float]]:
    """What grows, and the time that it costs."""
    sizes = [one["size"] ** 2 / 1e6 if case == "area" else one["size"] for one in results]
    return sizes, [one["cpu_seconds"] for one in results]


def main() -> None:
    """Measure every case."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", nargs="+", choices=tuple(SIZES), default=list(SIZES))
    parser.add_argument("--plot", type=Path, help="PNG")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one is not None:
        folder = Path(args.one[0])
        is_command = args.cases[0] == "images"
        print(
            json.dumps(measure_command(folder) if is_command else measure(folder, int(args.one[1])))
        )
        return
    found = {case: grow(case) for case in args.cases}
    for case, results in found.items():
        fitted = exponent(*sizes_and_seconds(case, results))
        print(json.dumps({"case": case, "time_exponent": round(fitted, 3)}))
    if args.plot is not None:
        plot(found, args.plot)


if __name__ == "__main__":
    main()
