"""Pages whose instances are smaller or larger than a model knows: looked at again, resized."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np

from mito_instance.inference.resampling import fits
from mito_instance.instances import ImageInstances
from mito_instance.masks import rle

logger = logging.getLogger(__name__)

LEAST_INSTANCES = 3
"""Fewer tell nothing of a page."""

INSIDE = 4 / 3
"""A second look brings the median this factor inside the range: the first one sees the larger of
small instances alone, and parts of large ones."""

MOST = 3.0
"""A page is enlarged by this much at most: beyond, nothing is gained and the time is."""

COARSER = 4
"""A page of unknown pixel size is looked at so many times smaller, too, for a sixteenth of the
time: instances far too large for a model leave it nothing that a median could be taken of."""

LEAST_EDGE_PX = 128
"""A page with a shorter edge is not made smaller to see whether its instances are large."""

_said: set[bool] = set()
"""Whether an enlargement (True) or a reduction (False) was reported in this process."""


def best_look(
    look: Callable[[float], ImageInstances],
    page: ImageInstances,
    zoom: float,
    familiar_px: Sequence[float],
    score_threshold: float,
) -> tuple[ImageInstances, float]:
    """What a model finds on a page at the scale that suits the page's instances.

    If the pixel size is unknown, a look at a quarter of the size is taken instead where what it
    shows has the higher scores in all, and so on. Then the median size decides whether the page
    is resized once more; an enlarged page must show as much as it did before, a reduced one may
    show less, for parts of large instances become one.

    Args:
        look: instances of the page resized by a factor, in the resized page's pixels.
        page: its identity, size and pixel size.
        zoom: factor of the first look.
        familiar_px: least and largest median size that the model judges well, the size of an
            instance being the square root of its area in pixels; empty for a model that has none.
        score_threshold: instances of this score or more count for all this.

    Returns:
        The instances in the resized page's pixels, and the factor; those of the first look where
        ``familiar_px`` is empty.
    """
    found, first_zoom = look(zoom), zoom
    if not familiar_px:
        return found, zoom
    while page.pixel_size is None and min(page.image_hw) * zoom / COARSER >= LEAST_EDGE_PX:
        coarse = look(zoom / COARSER)
        sizes = _sizes_px(coarse, score_threshold)
        if len(sizes) < LEAST_INSTANCES or not _shows_more(coarse, found, score_threshold):
            break
        found, zoom = coarse, zoom / COARSER
    again = second_zoom(_sizes_px(found, score_threshold), familiar_px)
    if again != 1.0 and fits(page.image_hw, zoom * again):
        second = look(zoom * again)
        if again < 1 or not _shows_more(found, second, score_threshold):
            found, zoom = second, zoom * again
    if zoom != first_zoom:
        _say_resized(page.image, zoom / first_zoom)
    return found, zoom


def second_zoom(sizes_px: Sequence[float], familiar_px: Sequence[float]) -> float:
    """Factor by which a page is to be resized for a second look.

    Args:
        sizes_px: of the instances that a first look found.
        familiar_px: least and largest median size.

    Returns:
        1.0 where the median is within the range, or too few were found to tell; else what brings
        it inside, from 1/`MOST` to `MOST`.
    """
    if len(sizes_px) < LEAST_INSTANCES:
        return 1.0
    median = float(np.median(sizes_px))
    least, most = familiar_px
    if median < least:
        return min(INSIDE * least / median, MOST)
    if median > most:
        return max(most / INSIDE / median, 1 / MOST)
    return 1.0


def _sizes_px(found: ImageInstances, score_threshold: float) -> list[float]:
    counted = found.select(np.asarray(found.scores) >= score_threshold)
    return [rle.area_px(mask) ** 0.5 for mask in counted.masks]


def _shows_more(one: ImageInstances, other: ImageInstances, score_threshold: float) -> bool:
    """Whether the scores of what counts come to more in all."""
    first, second = (np.asarray(found.scores) for found in (one, other))
    totals = [scores[scores >= score_threshold].sum() for scores in (first, second)]
    return bool(totals[0] > totals[1])


def _say_resized(image: str, factor: float) -> None:
    """Say once in a run that a page was enlarged, and once that one was reduced."""
    is_enlarged = factor > 1
    if is_enlarged not in _said:
        _said.add(is_enlarged)
        logger.warning(
            "%s: its instances are %s than the model finds best, and so perhaps are those of "
            "further images: predicted once more, %s %.2g times",
            image,
            "smaller" if is_enlarged else "larger",
            "enlarged" if is_enlarged else "reduced",
            factor if is_enlarged else 1 / factor,
        )
