"""Seconds of ``quantify`` from files to CSV: by image size, and against a plain script.

    python benchmarks/bench_quantify.py --weights model.safetensors

Each run is a process of its own, on synthetic micrographs:

- the shipped model by image size; starting up is measured on one image and taken off;
- Mask R-CNN R50-FPN, weights as given (random without), starting up included: ``mito quantify``
  and, in turns, a script around Detectron2's ``DefaultPredictor`` that writes each area to a CSV.

Prints one JSON object.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from bench_predict import MIN_SCORE, PACKAGES, plain_config, write_recipe, write_weights
from record import RUNS, machine, ratio_of_medians, repeat_mito, run_mito, spread, versions

from mito_instance.synthetic import make_micrograph

CASES = [("768x1024", (768, 1024), 25), ("2048x2048", (2048, 2048), 3)]

COMPARED = 25


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
    cases: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as name:
        for case, image_hw, count in CASES:
            tile = make_micrograph(rng).image
            repeats = (-(-image_hw[0] // tile.shape[0]), -(-image_hw[1] // tile.shape[1]))
            image = np.tile(tile, repeats)[: image_hw[0], : image_hw[1]]
            paths = [Path(name) / f"{case}_{number}.png" for number in range(count)]
            for path in paths:
                cv2.imwrite(str(path), image)
            first, all_images = (repeat_mito(["quantify", *few]) for few in (paths[:1], paths))
            rest = all_images["seconds_median"] - first["seconds_median"]
            cases[case] = {
                "seconds_an_image": round(rest / (count - 1), 3),
                "first_image_with_start": first,
                f"{count}_images_with_start": all_images,
            }
        compared = f"R50-FPN, {COMPARED} images of 768x1024 from file to CSV, with the start"
        cases[compared] = against_plain(Path(name), args.weights)
    noted = {"machine": machine(), "versions": versions() | versions(PACKAGES), "cases": cases}
    print(json.dumps(noted, indent=1))


def against_plain(folder: Path, given: Path | None) -> dict[str, Any]:
    """The same network and images by ``mito quantify`` and by a plain script, in turns."""
    weights = folder / "weights.pth"
    write_weights(weights, given)
    paths = sorted(folder.glob(f"{CASES[0][0]}_*.png"))[:COMPARED]
    recipe = folder / "recipe.yaml"
    write_recipe(recipe)
    ours = ["quantify", "--weights", weights, "--config-file", recipe]
    ours += ["--score-threshold", str(MIN_SCORE)]
    script = [sys.executable, __file__, "--plain", weights, *paths]
    seconds: dict[str, list[float]] = {"ours": [], "plain": []}
    peaks: list[float] = []
    for _ in range(RUNS):
        wall, peak_mib, _ = run_mito([*ours, *paths])
        seconds["ours"].append(wall)
        peaks.append(peak_mib)
        start = time.perf_counter()
        subprocess.run([str(word) for word in script], check=True, capture_output=True)
        seconds["plain"].append(time.perf_counter() - start)
    return {
        "weights": "random" if given is None else given.name,
        **{name: spread(times) for name, times in seconds.items()},
        "peak_mib_ours": round(statistics.median(peaks)),
        "ratio_of_medians": ratio_of_medians(seconds["plain"], seconds["ours"]),
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
