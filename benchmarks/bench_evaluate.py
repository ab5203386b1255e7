"""Seconds and memory of evaluation: COCO AP against pycocotools, large images, and EPFL.

Both sides of a ratio are measured alternately in this one run; each run of a command is a process
of its own and holds the time of starting up. Prints one JSON object. EPFL
is looked for in ``MITO_SHARED_DATA``, else beside the checkout.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from record import in_turns, machine, ratio_of_medians, repeat_mito, run_mito, spread, versions

from mito_instance.evaluation.coco_ap import average_precision
from mito_instance.instances import ImageInstances
from mito_instance.io.coco import read_coco, write_coco
from mito_instance.masks import rle

N_IMAGES = 500
TARGET_SPEEDUP = 7.0


def blob(rng: np.random.Generator, radius_px: float) -> npt.NDArray[np.bool_]:
    """A wavy disc, outlined as unevenly as a mitochondrion."""
    edge = int(2.6 * radius_px) + 3
    y, x = np.mgrid[:edge, :edge] - (edge - 1) / 2
    angle = np.arctan2(y, x)
    radius = np.full(angle.shape, radius_px)
    for lobes in (2, 3, 5, 9):
        radius += 0.08 * radius_px * np.cos(lobes * angle + rng.uniform(0, 2 * np.pi))
    inside: npt.NDArray[np.bool_] = np.hypot(x, y) < radius
    return inside


def scene(
    rng: np.random.Generator, name: str, image_hw: tuple[int, int], count: int, radius_px: float
) -> tuple[ImageInstances, ImageInstances]:
    """Truth on a jittered grid, and predictions a little off, with false ones."""
    columns = int(np.ceil(np.sqrt(count * image_hw[1] / image_hw[0])))
    rows = -(-count // columns)
    true: list[rle.RLE] = []
    pred: list[rle.RLE] = []
    for number in range(count):
        mask = blob(rng, radius_px * rng.uniform(0.6, 1.2))
        x = (number % columns) * image_hw[1] // columns
        y = (number // columns) * image_hw[0] // rows
        x = int(min(x, image_hw[1] - mask.shape[1] - 4))
        y = int(min(y, image_hw[0] - mask.shape[0] - 4))
        true.append(rle.place(mask, x, y, image_hw))
        shift = rng.integers(0, 4, 2)
        pred.append(rle.place(mask, x + int(shift[0]), y + int(shift[1]), image_hw))
        if number % 10 == 0:
            pred.append(rle.place(blob(rng, radius_px / 2), x, y, image_hw))
    scores = rng.permutation(len(pred)) / len(pred)
    return (
        ImageInstances(name, image_hw, tuple(true)),
        ImageInstances(name, image_hw, tuple(pred), scores),
    )


def coco_document(images: Sequence[ImageInstances], scored: bool) -> dict[str, Any]:
    """The same as pycocotools wants it."""
    records, annotations = [], []
    for image_id, image in enumerate(images, start=1):
        records.append({"id": image_id, "height": image.image_hw[0], "width": image.image_hw[1]})
        for index, mask in enumerate(image.masks):
            annotation = {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": 1,
                "segmentation": mask,
                "area": rle.area_px(mask),
                "bbox": list(rle.box_xywh(mask)),
                "iscrowd": 0,
            }
            if scored and image.scores is not None:
                annotation["score"] = float(image.scores[index])
            annotations.append(annotation)
    categories = [{"id": 1, "name": "mitochondrion"}]
    return {"images": records, "annotations": annotations, "categories": categories, "info": {}}


def pycocotools_ap(truth: dict[str, Any], pred: dict[str, Any], most: int) -> float:
    """AP of pycocotools with its limit raised to the largest count."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        both = []
        for document in (truth, pred):
            coco = COCO()
            coco.dataset = document
            coco.createIndex()
            both.append(coco)
        evaluation = COCOeval(*both, iouType="segm")
        evaluation.params.maxDets = [1, 10, most]
        evaluation.params.areaRng = [[0, 1e10]]
        evaluation.params.areaRngLbl = ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, 2]
    return float(precision[precision > -1].mean())


def against_pycocotools(rng: np.random.Generator) -> dict[str, Any]:
    """500 images of 1024² with 100 instances each."""
    pairs = [scene(rng, f"{i:03d}.png", (1024, 1024), 100, 30) for i in range(N_IMAGES)]
    documents = [
        coco_document([truth for truth, _ in pairs], scored=False),
        coco_document([pred for _, pred in pairs], scored=True),
    ]
    ap: dict[str, float] = {}

    def ours() -> None:
        ap["ours"] = average_precision(pairs).ap

    def theirs() -> None:
        ap["pycocotools"] = pycocotools_ap(*documents, most=120)

    seconds = in_turns({"ours": ours, "pycocotools": theirs})
    return {
        **{name: spread(times) for name, times in seconds.items()},
        "ratio_of_medians": ratio_of_medians(seconds["pycocotools"], seconds["ours"]),
        "target_ratio": TARGET_SPEEDUP,
        "ap_difference": abs(ap["ours"] - ap["pycocotools"]),
    }


def jittered(image: ImageInstances, rng: np.random.Generator) -> ImageInstances:
    """Masks moved by up to two pixels, with scores."""
    masks = []
    for mask in image.masks:
        x, y, width, height = rle.box_xywh(mask)
        pixels = rle.crop(mask, (x, y, width, height)).astype(bool)
        x = int(np.clip(x + rng.integers(-2, 3), 0, image.image_hw[1] - width))
        y = int(np.clip(y + rng.integers(-2, 3), 0, image.image_hw[0] - height))
        masks.append(rle.place(pixels, x, y, image.image_hw))
    scores = rng.random(len(masks))
    return ImageInstances(image.image, image.image_hw, tuple(masks), scores)


def main() -> None:
    """Measure every case."""
    rng = np.random.default_rng(0)
    cases: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        true, pred = folder / "true.json", folder / "pred.json"
        cv2.imwrite(str(folder / "big.png"), np.zeros((3704, 4864), np.uint8))
        for path, image in zip(
            (true, pred),
            scene(rng, str(folder / "big.png"), (3704, 4864), 500, 60),
            strict=True,
        ):
            write_coco(path, [image])
        cases["mito evaluate, 500 objects on 4864x3704"] = repeat_mito(["evaluate", true, pred])
        beside = Path(__file__).parents[2] / "shared" / "data"
        source = Path(os.environ.get("MITO_SHARED_DATA", beside)) / "epfl_ca1"
        if source.is_dir():
            words: list[str | Path] = ["convert-masks", "--images", source / "images"]
            run_mito([*words, "--masks", source / "masks", "-o", true])
            slices = read_coco(true)
            write_coco(pred, [jittered(image, rng) for image in slices])
            case = f"mito evaluate, EPFL, {len(slices)} slices"
            cases[case] = repeat_mito(["evaluate", true, pred])
        else:
            print(f"skipped: no data at {source}; set MITO_SHARED_DATA", file=sys.stderr)
    cases[f"AP of {N_IMAGES} images with 100 instances each, 1024x1024"] = against_pycocotools(rng)
    print(json.dumps({"machine": machine(), "versions": versions(), "cases": cases}, indent=1))


if __name__ == "__main__":
    main()
