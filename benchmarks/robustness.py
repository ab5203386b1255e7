"""What other magnifications, grey levels, noise and focus do to a model's figures.

    python benchmarks/robustness.py epfl_val.json [cdeep3m_val.json …] [--every 3] [--model DIR] \
        [--changes zoom]

Every image of the truths is changed in one way at a time and given to the model as a user's image
would be; masks found on zoomed images are brought back to the size of the truth. Prints a table a
truth: at the model's own score threshold, against the truth of 25 px or more.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from mito_instance.api import load_model
from mito_instance.evaluation.evaluate import evaluate
from mito_instance.inference.pipeline import predict_page
from mito_instance.inference.resampling import masks_at_page_size, resize_page
from mito_instance.instances import ImageInstances
from mito_instance.io.coco import read_coco
from mito_instance.io.images import read_page, to_uint8

Grey = npt.NDArray[np.uint8]
FIGURES = ("f1_50", "iou_foreground", "count_bias", "count_mae", "n_split", "n_merge")
MIN_AREA_PX = 25
SEED = 1


def of_grey(change: Callable[[npt.NDArray[np.float32]], Any]) -> Callable[[Grey], Grey]:
    """A change of float grey levels in [0, 255], clipped and rounded."""

    def changed(grey: Grey) -> Grey:
        return np.rint(np.clip(change(grey.astype(np.float32)), 0, 255)).astype(np.uint8)

    return changed


def noise(sigma: float) -> Callable[[Grey], Grey]:
    """White Gaussian noise, the same for every model."""

    def noisy(grey: npt.NDArray[np.float32]) -> Any:
        return grey + np.random.default_rng(SEED).normal(0, sigma, grey.shape)

    return of_grey(noisy)


def drift(fraction: float) -> Callable[[Grey], Grey]:
    """Brightness that rises from the left border to the right one by this fraction of 255."""
    return of_grey(
        lambda grey: grey + 255 * np.linspace(-fraction / 2, fraction / 2, grey.shape[1])[None, :]
    )


def zoom(factor: float) -> Callable[[Grey], Grey]:
    """Pixels that are coarser (below 1) or finer."""
    return lambda grey: resize_page(grey, factor)


def gamma(exponent: float) -> Callable[[Grey], Grey]:
    """Middle grey levels darker (above 1) or brighter."""
    return of_grey(lambda grey: 255 * (grey / 255) ** exponent)


def blur(sigma_px: float) -> Callable[[Grey], Grey]:
    """Out of focus."""
    return of_grey(lambda grey: cv2.GaussianBlur(grey, (0, 0), sigma_px))


CHANGES: Mapping[str, Callable[[Grey], Grey]] = {
    "as it is": lambda grey: grey,
    "zoom 0.35": zoom(0.35),
    "zoom 0.5": zoom(0.5),
    "zoom 0.7": zoom(0.7),
    "zoom 1.4": zoom(1.4),
    "zoom 2": zoom(2.0),
    "zoom 3": zoom(3.0),
    "gamma 0.6": gamma(0.6),
    "gamma 1.6": gamma(1.6),
    "brightness drifts by 0.3": drift(0.3),
    "noise 15": noise(15),
    "noise 30": noise(30),
    "blur 1 px": blur(1),
    "blur 2 px": blur(2),
}


def found_on(model: Any, truth: ImageInstances, change: Callable[[Grey], Grey]) -> ImageInstances:
    """What the model finds on a changed image, at the size of the truth."""
    page = read_page(Path(truth.image), truth.frame)
    # The model is not told of the zoom.
    changed = replace(page, pixels=change(to_uint8(page.pixels)), pixel_size=None)
    found = predict_page(model, changed)
    if found.image_hw != truth.image_hw:
        found = masks_at_page_size(found, truth)
    return replace(found, image=truth.image, frame=truth.frame, pixel_size=truth.pixel_size)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("truths", type=Path, nargs="+", help="COCO JSON files")
    parser.add_argument("--model", type=Path, help="model folder (default: the package's)")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="every Nth image alone")
    parser.add_argument(
        "--changes", nargs="+", metavar="WORD", default=[""],
        help="changes whose names begin with one of these words (default: all)",
    )  # fmt: skip
    args = parser.parse_args(argv)
    model: Any = load_model(args.model)
    if hasattr(model, "prepare_page"):
        parser.error(f"{args.model}: looks at neighbouring slices, which are not changed here")
    chosen = tuple(args.changes)
    changes = {name: change for name, change in CHANGES.items() if name.startswith(chosen)}
    for path in args.truths:
        truths = read_coco(path)[:: args.every]
        print(f"{path.name}: {len(truths)} images\n\n| | {' | '.join(FIGURES)} |")
        print("|---" * (1 + len(FIGURES)) + "|")
        for name, change in tqdm(changes.items(), desc=path.name, file=sys.stderr):
            found = [found_on(model, truth, change) for truth in truths]
            figures = evaluate(
                truths, found, min_area_px=MIN_AREA_PX, score_threshold=model.score_threshold
            ).summary()
            print(
                f"| {name} | {' | '.join(f'{figures[key]:.3g}' for key in FIGURES)} |", flush=True
            )
        print()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
