"""Seconds of ``quantify`` from files to CSV: by image size, and against a plain script.

    benchmarks/bench_quantify.py --weights model.safetensors

Prints one JSON line a case. Each is a process of its own, on synthetic micrographs:

- the shipped model by image size; starting up is measured on one image and taken off;
- Mask R-CNN R50-FPN, weights as given (random without), starting up included: ``mito quantify``
  and, in turns, a script around Detectron2's ``DefaultPredictor`` that writes each area to a CSV.
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from bench_predict import MIN_SCORE, RECIPE, plain_config, write_weights

from mito_instance.synthetic import make_micrograph

CASES = [("768x1024", (768, 1024), 25), ("2048x2048", (2048, 2048), 3)]


QUANTIFY = ["-m", "mito_instance.cli", "quantify"]
RUNS = 3
COMPARED = 25


def run(words: list[str], paths: list[Path]) -> tuple[float, float]:
    """Wall seconds of one run and the peak memory in MiB of any run so far."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *words, *map(str, paths)], check=True, capture_output=True)
    peak_kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return time.perf_counter() - start, peak_kib / 1024


def main() -> None:
    """Measure every case."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=Path, help="of R50-FPN")
    parser.add_argument("--plain", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("images", nargs="*", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.plain is not None:
        plain(args.plain, args.images)
        return
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        for case, image_hw, count in CASES:
            tile = make_micrograph(rng).image
            repeats = (-(-image_hw[0] // tile.shape[0]), -(-image_hw[1] // tile.shape[1]))
            image = np.tile(tile, repeats)[: image_hw[0], : image_hw[1]]
            paths = [Path(name) / f"{case}_{number}.png" for number in range(count)]
            for path in paths:
                cv2.imwrite(str(path), image)
            first, _ = run(QUANTIFY, paths[:1])
            total, peak_mib = run(QUANTIFY, paths)
            found = {
                "case": case,
                "seconds_an_image": round((total - first) / (count - 1), 3),
                "seconds_first_image_with_start": round(first, 2),
                "peak_mib": round(peak_mib),
            }
            print(json.dumps(found), flush=True)
        print(json.dumps(against_plain(Path(name), args.weights)))


def against_plain(folder: Path, given: Path | None) -> dict[str, object]:
    """The same network and images by ``mito quantify`` and by a plain script, in turns."""
    weights = folder / "weights.pth"
    write_weights(weights, given)
    paths = sorted(folder.glob(f"{CASES[0][0]}_*.png"))[:COMPARED]
    ours = [*QUANTIFY, "--weights", str(weights), "--config-file", str(RECIPE)]
    ours += ["--score-threshold", str(MIN_SCORE)]
    commands = {"ours": ours, "plain": [__file__, "--plain", str(weights)]}
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(RUNS):
        for name, words in commands.items():
            seconds[name].append(round(run(words, paths)[0], 2))
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "case": f"R50-FPN, {len(paths)} images of 768x1024 from file to CSV, with the start",
        "seconds": seconds,
        "ratio_of_medians": round(middle["plain"] / middle["ours"], 2),
    }


def plain(weights: Path, images: list[str]) -> None:
    """What one would write with Detectron2's documentation at hand."""
    from detectron2.engine import DefaultPredictor

    predictor = DefaultPredictor(plain_config(weights, "cpu"))
    table = csv.writer(sys.stdout)
    for image in images:
        masks = predictor(cv2.imread(image))["instances"].pred_masks
        for number, area in enumerate(masks.sum(dim=(1, 2)).tolist(), start=1):
            table.writerow([image, number, area])


if __name__ == "__main__":
    main()
