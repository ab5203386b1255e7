"""Accuracy and speed of a trained model on a truth, as one JSON file for the results table.

Example:
    python benchmarks/measure_model.py runs/r50/model epfl_val.json --name "Mask R-CNN R50-FPN" \
        --config mask_rcnn_R_50_FPN.yaml --seed 1 -o docs/results/mask_rcnn_R_50_FPN_1.json

It runs ``mito quantify`` and ``mito evaluate`` as a user would; a run folder above the model
(``metrics.json``) tells how long the training took.
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
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import yaml
from record import processor

from mito_instance.annotations.image_files import page_of
from mito_instance.io.coco import read_coco, write_coco

FIGURES = (
    *("ap", "ap50", "ap75", "ar", "f1_50", "f1_75", "pq", "iou_foreground", "dice_foreground"),
    *("count_mae", "count_bias", "n_true", "n_pred", "n_one_to_one", "n_missed", "n_false"),
    *("n_split", "n_merge", "n_many_to_many"),
)


N_TIMED = 9
"""Images over which the seconds an image are taken."""

MIN_SCORE = 0.05


def mito(*words: object) -> float:
    """Wall seconds of a command; its messages are shown if it fails."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "mito_instance.cli", *map(str, words)],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"mito {words[0]} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return time.perf_counter() - start


def hardware() -> str:
    """The CPU, and the GPU if torch sees one."""
    import torch

    gpu = f"{torch.cuda.get_device_name()}, " if torch.cuda.is_available() else ""
    return gpu + processor()


def training(runs: Sequence[Path]) -> dict[str, Any]:
    """Steps and minutes from the logs of one or more runs, each going on from the one before."""
    steps, seconds = 0, 0.0
    for run in runs:
        log = run / "metrics.json"
        if not log.is_file():
            return {}
        rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        timed = [row for row in rows if "time" in row and "iteration" in row]
        if not timed:
            return {}
        steps_of_run = max(row["iteration"] for row in timed) + 1
        steps += steps_of_run
        seconds += statistics.median(row["time"] for row in timed) * steps_of_run
    return {
        "steps": steps,
        "seconds_a_step": round(seconds / steps, 3),
        "training_minutes": round(seconds / 60, 1),
    }


def parameters(folder: Path) -> int:
    """Number of stored weights."""
    from safetensors import safe_open

    with safe_open(str(folder / "model.safetensors"), framework="np") as weights:
        total = 0
        for key in weights.keys():  # noqa: SIM118 (not a mapping)
            size = 1
            for length in weights.get_slice(key).get_shape():
                size *= length
            total += size
    return total


def keep_listed(pred: Path, truth: Path) -> None:
    """Leave out predicted pages of a stack that the truth does not list; it may list some only."""
    listed = {page_of(image) for image in read_coco(truth)}
    write_coco(pred, [image for image in read_coco(pred) if page_of(image) in listed])


def write_sizes(path: Path, truth: Path, images: Sequence[Mapping[str, Any]]) -> set[str]:
    """Write the pixel size of each image file for which the truth states one; these files."""
    sizes_nm: dict[str, float] = {}
    for image in images:
        if (nm := image.get("pixel_size_nm")) is None:
            continue
        file = str((truth.parent / image["file_name"]).resolve())
        if sizes_nm.setdefault(file, nm) != nm:
            raise SystemExit(f"{truth}: pages of {file} state two pixel sizes; measure them apart")
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("name", "nm"), *sizes_nm.items()])
    return set(sizes_nm)


def measure(folder: Path, truth: Path, scratch: Path) -> dict[str, Any]:
    """Predict the truth's images and compare."""
    document = json.loads(truth.read_text(encoding="utf-8"))
    images = sorted(
        {str((truth.parent / image["file_name"]).resolve()) for image in document["images"]}
    )
    pred = scratch / "pred.json"
    options: list[object] = ["--weights", folder, "--coco", pred]
    # The truth may know pixel sizes where the image files do not.
    sizes = scratch / "pixel_sizes.csv"
    if sized := write_sizes(sizes, truth, document["images"]):
        options += ["--pixel-size-csv", sizes]
        images.sort(key=lambda image: image not in sized)  # a table must name one of the images
    some = images[:N_TIMED]
    one = statistics.median(mito("quantify", images[0], *options) for _ in range(3))
    several = mito("quantify", *some, *options)
    peak_mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    # AP is that of the whole ranking; everything else is at the model's own threshold.
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    threshold = config["MITO"]["SCORE_THRESHOLD"]
    mito("quantify", *images, *options, "--score-threshold", MIN_SCORE)
    keep_listed(pred, truth)
    mito(
        "evaluate", truth, pred, "-o", scratch / "evaluation",
        "--min-area-px", 25, "--score-threshold", threshold,
    )  # fmt: skip
    metrics = json.loads((scratch / "evaluation" / "metrics.json").read_text(encoding="utf-8"))
    record: dict[str, Any] = {name: metrics[name] for name in FIGURES}
    record["score_threshold"] = threshold
    # The pages of a stack come out of one block: the difference would be next to nothing.
    if len(some) > 1 and config["MODEL"]["META_ARCHITECTURE"] != "SemanticNet3d":
        record["seconds_an_image"] = round((several - one) / (len(some) - 1), 3)
    record["peak_mib"] = round(peak_mib)
    record["images"] = len(images)
    return record


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("model", type=Path, help="model folder")
    parser.add_argument("truth", type=Path, help="COCO JSON")
    parser.add_argument("--name", required=True, help="row of the table")
    parser.add_argument("--config", required=True, help="name of the config")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--note", default="", help="start, hardware or other remarks")
    parser.add_argument(
        "--before", type=Path, nargs="+", default=[], metavar="RUN",
        help="folders of the trainings that this one started from",
    )  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        figures = measure(args.model, args.truth, Path(scratch))
    record = {
        "name": args.name,
        "config": args.config,
        "seed": args.seed,
        "note": args.note,
        "date": datetime.now(timezone.utc).date().isoformat(),
        "hardware": hardware(),
        "parameters": parameters(args.model),
        **training([*args.before, args.model.parent]),
        **figures,
    }
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
