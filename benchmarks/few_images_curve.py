r"""How good a fine-tuned model is after 1, 2, 3, 5 or 10 images: figures as JSON, and a plot.

Draws images of one COCO file, fine-tunes the model in the package (or another) on them with
``mito finetune`` as a user would, and measures on a second COCO file. Images of both should come
from different animals, or at least be far apart. Runs that the JSON has already are not done
again, so an interrupted measurement goes on.

    python benchmarks/few_images_curve.py train.json test.json -o curve.json \
        --figure docs/images/few_images.png
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mito_instance.api import load_model
from mito_instance.cli import finetune
from mito_instance.detection.model_card import sha256
from mito_instance.detection.weights import WEIGHTS_NAME, shipped_model
from mito_instance.evaluation.evaluate import evaluate
from mito_instance.inference.pipeline import predict_page
from mito_instance.instances import ImageInstances
from mito_instance.io.coco import read_coco, write_coco
from mito_instance.io.files import atomic_path, write_text_atomic
from mito_instance.io.images import read_page

FIGURES = ("dice_foreground", "iou_foreground", "ap", "ap50", "f1_50", "count_mae", "count_bias")
MIN_AREA_PX = 25


def measure(weights: Path | None, truth: list[ImageInstances]) -> dict[str, Any]:
    """Figures of a model at its own score threshold."""
    model = load_model(weights)
    predicted = [
        predict_page(
            model,
            replace(read_page(Path(image.image), image.frame), pixel_size=image.pixel_size),
            score_threshold=0.0,
        )
        for image in truth
    ]
    threshold = model.score_threshold
    figures = evaluate(
        truth, predicted, min_area_px=MIN_AREA_PX, score_threshold=threshold
    ).summary()
    found = {name: round(float(figures[name]), 4) for name in FIGURES}
    return {**found, "score_threshold": threshold, "n_test_images": len(truth)}


def adapt(pool: list[ImageInstances], k: int, draw: int, folder: Path, words: list[str]) -> float:
    """Fine-tune on k images of the pool; returns the seconds it took."""
    order = np.random.default_rng(draw).permutation(len(pool))
    data = folder / "data.json"
    write_coco(data, [pool[index] for index in sorted(order[:k])])
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        status = finetune.main(["--coco", str(data), "-o", str(folder / "model"), *words])
    if status:
        raise SystemExit(f"finetune ended with {status}")
    return time.perf_counter() - start


def plot(runs: list[dict[str, Any]], path: Path) -> None:
    """Dice and AP50 against the number of images: every draw, and their means."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6.0, 3.8), dpi=150)
    places = {k: place for place, k in enumerate(sorted({run["k"] for run in runs}))}
    for name, label, colour, marker in (
        ("dice_foreground", "foreground Dice", "#1f5fa8", "o"),
        ("ap50", "AP50 of the masks", "#c05a00", "s"),
    ):
        axes.plot(
            [places[run["k"]] for run in runs],
            [run[name] for run in runs],
            marker,
            color=colour,
            alpha=0.35,
            markersize=5,
        )
        means = [np.mean([run[name] for run in runs if run["k"] == k]) for k in places]
        axes.plot(list(places.values()), means, color=colour, marker=marker, label=label)
    axes.set_xticks(list(places.values()), [str(k) if k else "none" for k in places])
    axes.set_xlabel("outlined images that the model was adapted to")
    axes.set_ylabel("on images it never saw")
    axes.set_ylim(0.0, 1.0)
    axes.grid(visible=True, axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    figure.tight_layout()
    with atomic_path(path) as temporary:
        figure.savefig(temporary)
    plt.close(figure)


def _content(path: Path) -> str:
    """Name and hash of a file: two of one name are not taken for the same."""
    return f"{path.name} {sha256(path)[:12]}"


def main() -> None:
    """Measure what the JSON does not have yet, then draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("train", type=Path, help="COCO JSON to draw images from")
    parser.add_argument("test", type=Path, help="COCO JSON to measure on")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="JSON")
    parser.add_argument("--figure", type=Path, metavar="PNG")
    parser.add_argument("--images", type=int, nargs="+", default=[1, 2, 3, 5, 10], metavar="K")
    parser.add_argument("--draws", type=int, default=1, help="draws of images for each K")
    parser.add_argument("--weights", type=Path, metavar="DIR", help="model folder to start from")
    args, words = parser.parse_known_args()
    pool, truth = read_coco(args.train), read_coco(args.test)
    start_file = (args.weights or shipped_model()) / WEIGHTS_NAME
    of: dict[str, Any] = {
        "train": _content(args.train),
        "test": _content(args.test),
        "start": _content(start_file),
        "options": words,
    }
    runs: list[dict[str, Any]] = []
    if args.output.is_file():
        earlier = json.loads(args.output.read_text())
        runs = earlier.pop("runs")
        if earlier != of:
            raise SystemExit(f"{args.output}: holds runs of {earlier}, not of {of}; name another")
    done = {(run["k"], run["draw"]) for run in runs}
    start = [] if args.weights is None else ["--weights", str(args.weights)]
    todo = [(0, 0), *((k, draw) for k in args.images for draw in range(args.draws))]
    for k, draw in todo:
        if (k, draw) in done:
            continue
        if k > len(pool):
            raise SystemExit(f"{args.train}: has {len(pool)} images, fewer than {k}")
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            seconds = adapt(pool, k, draw, folder, [*start, *words]) if k else 0.0
            figures = measure(folder / "model" if k else args.weights, truth)
        runs.append({"k": k, "draw": draw, "seconds": round(seconds), **figures})
        runs.sort(key=lambda run: (run["k"], run["draw"]))
        content = {**of, "runs": runs}
        write_text_atomic(args.output, json.dumps(content, indent=1) + "\n")
        print(json.dumps(runs[[(r["k"], r["draw"]) for r in runs].index((k, draw))]), flush=True)
    if args.figure is not None:
        plot(runs, args.figure)
        print(args.figure, file=sys.stderr)


if __name__ == "__main__":
    main()
