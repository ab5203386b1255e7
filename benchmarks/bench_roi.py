"""Seconds and memory of the way from ROIs to COCO JSON and back, on large images.

1,036 ROIs on 50 images of 4864 x 3704 px, every fifth ROI with a hole, converted by
``convert-roi`` and written by ``export-roi`` on two cores at most. Each run is a process of its own
and holds the time of starting up. Prints one JSON object.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from record import machine, repeat_mito, versions

from mito_instance.instances import ImageInstances
from mito_instance.io.imagej_roi_writer import write_roi_zip
from mito_instance.masks import rle

N_IMAGES, N_ROIS, IMAGE_HW = 50, 1036, (3704, 4864)
N_CORES = 2
MAX_SECONDS, MAX_MIB = 10.0, 1024.0


def main() -> None:
    """Measure both commands."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:N_CORES])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_inputs(folder)
        images, rois, output = folder / "images", folder / "rois", folder / "out.json"
        commands: dict[str, list[str | Path]] = {
            "convert-roi": [rois, "--images", images, "-o", output],
            "export-roi": [output, "-o", folder / "exported"],
        }
        cases = {name: measure([name, *arguments]) for name, arguments in commands.items()}
    print(json.dumps({"machine": machine(), "versions": versions(), "cases": cases}, indent=1))


def make_inputs(folder: Path) -> None:
    """Noisy PNG images, and an ROI zip for each."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir()
    tile = rng.integers(0, 256, (463, 608), dtype=np.uint8)
    pixels = np.tile(tile, (8, 8))
    numbers = np.array_split(np.arange(N_ROIS), N_IMAGES)
    for image, rois in enumerate(numbers):
        path = folder / "images" / f"cell_{image:02d}.png"
        cv2.imwrite(str(path), pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        masks = tuple(make_mask(int(number), rng) for number in rois)
        page = ImageInstances(str(path), IMAGE_HW, masks)
        write_roi_zip(folder / "rois" / f"cell_{image:02d}.zip", [page])


def make_mask(number: int, rng: np.random.Generator) -> rle.RLE:
    """A wavy ellipse of 60 to 400 px, with a hole in every fifth."""
    half_height, half_width = rng.integers(30, 200, 2)
    y, x = np.mgrid[-half_height : half_height + 1, -half_width : half_width + 1]
    wave = 0.1 * np.sin(7 * np.arctan2(y, x))
    distance = np.hypot(y / half_height, x / half_width)
    mask = distance < 0.9 + wave
    if number % 5 == 0:
        mask &= distance > 0.2
    top = int(rng.integers(0, IMAGE_HW[0] - mask.shape[0]))
    left = int(rng.integers(0, IMAGE_HW[1] - mask.shape[1]))
    return rle.place(mask, left, top, IMAGE_HW)


def measure(words: list[str | Path]) -> dict[str, Any]:
    """A command some times: wall time, peak memory and what it says of its result."""
    found = repeat_mito(words)
    within = found["seconds_median"] <= MAX_SECONDS and found["peak_mib"] <= MAX_MIB
    return {
        **found,
        "limit_seconds": MAX_SECONDS,
        "limit_mib": MAX_MIB,
        "within_limits": within,
    }


if __name__ == "__main__":
    main()
