"""Which probability makes a pixel foreground: chosen on validation data, not assumed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mito_instance.instances import ImageInstances
from mito_instance.io.images import Page, read_page
from mito_instance.masks import rle

N_BINS = 100
LOWEST, HIGHEST = 0.1, 0.9
"""Beyond these, a threshold rests on a few pixels of the validation data."""

MAX_IMAGES = 12
"""Millions of pixels choose one number: more images would only take longer."""


def choose_foreground_threshold(
    probability_of: Callable[[Page], npt.NDArray[np.float32]],
    truth: Sequence[ImageInstances],
    default: float,
) -> float:
    """The threshold of the highest foreground Dice over all pixels of validation images.

    Args:
        probability_of: foreground probability (H, W) of a page, in [0, 1].
        truth: annotated images; of more than `MAX_IMAGES`, so many evenly spaced ones are used,
            at least half of them with instances where there are as many.
        default: returned where the truth shows no foreground.

    Returns:
        A multiple of 0.01 between 0.1 and 0.9; of equals the one nearest to 0.5.
    """
    counts = np.zeros((2, N_BINS + 1), dtype=np.int64)
    for image in _chosen(truth):
        page = replace(read_page(Path(image.image), image.frame), pixel_size=image.pixel_size)
        foreground = rle.decode(rle.union(list(image.masks), image.image_hw))
        # Nobody outlined single instances in a crowd: its pixels tell nothing, but for masks in it.
        crowd = rle.decode(rle.union(list(image.crowds), image.image_hw))
        judged = foreground | ~crowd
        counts += histograms(probability_of(page)[judged], foreground[judged])
    return best_threshold(counts, default)


def _chosen(truth: Sequence[ImageInstances]) -> list[ImageInstances]:
    """Images with and without instances in their shares, but some with: they tell the Dice."""
    shown = [image for image in truth if len(image)]
    empty = [image for image in truth if not len(image)]
    number = min(MAX_IMAGES, len(truth))
    n_shown = round(number * len(shown) / max(1, len(truth)))
    n_shown = min(len(shown), max(n_shown, number - number // 2))
    return [*_spaced(shown, n_shown), *_spaced(empty, number - n_shown)]


def _spaced(images: Sequence[ImageInstances], number: int) -> list[ImageInstances]:
    """So many of them, or all, evenly spaced."""
    number = min(number, len(images))
    return [images[i] for i in np.linspace(0, len(images) - 1, number).round().astype(int)]


def histograms(
    probability: npt.NDArray[np.float32], foreground: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int64]:
    """Pixels by probability in steps of 0.01, (2, 101): of the background, of the foreground.

    Args:
        probability: of some pixels, of any shape.
        foreground: what these are.
    """
    bins = np.minimum((probability * N_BINS + 1e-4).astype(np.int64), N_BINS)
    return np.stack(
        [
            np.bincount(bins[~foreground], minlength=N_BINS + 1),
            np.bincount(bins[foreground], minlength=N_BINS + 1),
        ]
    )


def best_threshold(counts: npt.NDArray[np.int64], default: float) -> float:
    """The threshold of the highest Dice.

    Args:
        counts: from `histograms`, summed over images.
        default: returned where there is no foreground.
    """
    if not counts[1].any():
        return default
    false, true = (np.cumsum(row[::-1])[::-1] for row in counts)
    dice = 2 * true / (true + false + counts[1].sum())
    thresholds = np.arange(N_BINS + 1) / N_BINS
    allowed = np.flatnonzero((thresholds >= LOWEST - 1e-9) & (thresholds <= HIGHEST + 1e-9))
    best = min(allowed, key=lambda index: (-dice[index], abs(thresholds[index] - 0.5)))
    return round(float(thresholds[best]), 2)
