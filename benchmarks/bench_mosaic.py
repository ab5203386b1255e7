"""One large image by tile size: does the count depend on the tiles, and what do they cost?

Joins images of a folder (or synthetic micrographs) to a mosaic of 4864 x 3704 px and quantifies
it with each tile size, in a process of its own. Prints one JSON line a tile size, then one on how
far the results lie apart:

    python benchmarks/bench_mosaic.py FOLDER [--tiles 512 1024] [-o results.json]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from bench_predict import own_peak_mib

from mito_instance.io.images import find_images, read_page, to_uint8
from mito_instance.synthetic import make_micrograph

WIDTH, HEIGHT = 4864, 3704
TILES = (512, 768, 1024, 1536)
MIB = 1024**2


def mosaic(images: Iterable[npt.NDArray[np.uint8]], width: int, height: int) -> Any:
    """Images of one size side by side, repeated as often as needed and cut at the border.

    Args:
        images: grey uint8 (h, w), at least one.
        width: of the result.
        height: of the result.
    """
    parts = list(images)
    rows, columns = parts[0].shape
    n_down, n_across = -(-height // rows), -(-width // columns)
    lines = [
        np.hstack([parts[(y * n_across + x) % len(parts)] for x in range(n_across)])
        for y in range(n_down)
    ]
    return np.vstack(lines)[:height, :width]


def measure(image: Path, tile_px: int, tta: int | None) -> dict[str, Any]:
    """Quantify one image in this process: count, area, seconds, share of the network, memory."""
    from mito_instance import load_model, quantify

    model: Any = load_model()
    seconds = [0.0]
    detect = model.network.detect

    def timed(*args: Any, **options: Any) -> Any:
        start = time.perf_counter()
        found = detect(*args, **options)
        seconds[0] += time.perf_counter() - start
        return found

    model.network.detect = timed
    loaded = resident_bytes()
    start = time.perf_counter()
    row = quantify(image, model, tile_px=tile_px, tta=tta, n_threads=0).counts[0]
    total = time.perf_counter() - start
    return {
        "tile_px": tile_px,
        "count": row["count"],
        "area_total_px": row["area_total_px"],
        "seconds": round(total, 2),
        "share_outside_network": round(1 - seconds[0] / total, 4),
        "mib_loaded_model": round(loaded / MIB),
        "mib_peak_above_loaded_model": round(own_peak_mib() - loaded / MIB),
    }


def resident_bytes() -> int:
    """Memory that this process holds now (Linux)."""
    n_pages = int(Path("/proc/self/statm").read_text().split()[1])
    return n_pages * resource.getpagesize()


def spread(values: Sequence[float]) -> float:
    """Difference of the greatest and the least value, as part of their mean."""
    return (max(values) - min(values)) / (sum(values) / len(values))


def main() -> None:
    """Measure every tile size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="*", help="images of one size (default: synthetic ones)")
    parser.add_argument("--tiles", type=int, nargs="+", default=TILES)
    parser.add_argument("--size", type=int, nargs=2, default=(WIDTH, HEIGHT))
    parser.add_argument("--tta", type=int, choices=(4, 8))
    parser.add_argument("-o", "--output", type=Path, help="JSON file")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one is not None:
        print(json.dumps(measure(args.one, args.tiles[0], args.tta)))
        return
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "mosaic.png"
        if args.folder:
            parts = [to_uint8(read_page(path).pixels) for path in find_images(args.folder)]
        else:
            rng = np.random.default_rng(0)
            parts = [make_micrograph(rng).image for _ in range(4)]
        cv2.imwrite(str(image), mosaic(parts, *args.size))
        results = []
        for tile_px in args.tiles:
            command = [sys.executable, __file__, "--one", str(image), "--tiles", str(tile_px)]
            command += ["--tta", str(args.tta)] if args.tta else []
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            results.append(json.loads(done.stdout.splitlines()[-1]))
            print(json.dumps(results[-1]), flush=True)
    summary = {
        "width_px": args.size[0],
        "height_px": args.size[1],
        "n_parts": len(parts),
        "count_spread": round(spread([one["count"] for one in results]), 4),
        "area_spread": round(spread([one["area_total_px"] for one in results]), 4),
    }
    print(json.dumps(summary))
    if args.output is not None:
        args.output.write_text(json.dumps({**summary, "tiles": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
