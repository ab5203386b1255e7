"""Pages whose instances are smaller or larger than a model knows: looked at again, resized."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mito_instance.errors import is_out_of_memory
from mito_instance.instances import ImageInstances
from mito_instance.masks import rle

logger = logging.getLogger(__name__)

LEAST_INSTANCES = 3
"""The median of fewer tells nothing of a page; small ones may be the largest of many."""

LEAST_MANY = 4
"""What an enlarged look must show to be believed where the first one showed too few to tell."""

INSIDE = 4 / 3
"""A second look brings the median this factor inside the range: the first one sees the larger of
small instances alone, and parts of large ones."""

MOST = 3.0
"""A second look resizes by this much at most: beyond, nothing is gained and the time is."""

MOST_PX = 1 << 27
"""A page is not enlarged beyond this: its memory is to stay that of a few bytes a pixel."""

LEAST_ENLARGED = 1.1
"""A page that cannot be enlarged by so much is left as it is."""

COARSER = 4
COARSEST = 16
"""A page is looked at so many times smaller, and once more: instances far too large for a model
leave it nothing that a median could be taken of. It takes a fifth of the first look's time: the
box heads see as many proposals at least."""

LEAST_COARSE = 4
CLEARLY_MORE = 1.2
"""What a coarse look must show to be believed: instances, and scores in all by this factor."""

LEAST_EDGE_PX = 128
"""A page with a shorter edge is not made smaller to see whether its instances are large."""

LEAST_AREA = 0.5
"""Part of the area of a first look that one at a smaller size must cover to be believed."""

_said: set[str] = set()
"""What was reported in this process: that a page was enlarged, reduced, or is too large for it."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a model finds on a page that is resized by a factor.

    Args:
        zoom: the factor.
        found: the instances that were asked for, in the resized page's pixels.
        counted: those of the model's own score threshold or more, which decide.
    """

    zoom: float
    found: ImageInstances
    counted: ImageInstances

    def __len__(self) -> int:
        """Number of instances that decide."""
        return len(self.counted)

    @property
    def score(self) -> float:
        """Sum of their scores."""
        return float(np.sum(np.asarray(self.counted.scores)))

    @property
    def area(self) -> float:
        """Sum of their areas, in pixels of the page as it is."""
        return sum(map(rle.area_px, self.counted.masks)) / self.zoom**2


def best_look(
    look: Callable[[float], Look],
    page: ImageInstances,
    zoom: float,
    familiar_px: Sequence[float],
    *,
    scale_is_known: bool,
    on_shortage: Callable[[], None] | None = None,
) -> Look:
    """What a model finds on a page at the scale that suits the page's instances.

    Unless the scale is known, a look at a quarter of the size is taken instead where it clearly
    shows more, and so once again. Then the median size decides whether the page is resized once
    more: enlarged, it must show as much as before, and many instead of one or two; reduced, half
    of the area at least, for parts of large instances become one. A further look that the memory
    does not suffice for is left out, with a warning.

    Args:
        look: at the page, resized by a factor.
        page: its identity and size.
        zoom: factor of the first look.
        familiar_px: least and largest median size that the model judges well, the size of an
            instance being the square root of its area in pixels; empty for a model that has none.
        scale_is_known: whether the first look is at the model's own pixel size.
        on_shortage: called where the memory did not suffice.

    Returns:
        The look to believe; the first one where ``familiar_px`` is empty.
    """
    best = first = look(zoom)
    if not familiar_px:
        return best
    while not scale_is_known and first.zoom / best.zoom < COARSEST:
        if min(page.image_hw) * best.zoom / COARSER < LEAST_EDGE_PX:
            break
        coarse = _further(look, best.zoom / COARSER, page, on_shortage)
        if coarse is None:
            break
        is_more = coarse.score > CLEARLY_MORE * best.score and coarse.area > best.area
        if len(coarse) < LEAST_COARSE or not is_more:
            break
        best = coarse
    again = second_zoom([rle.area_px(mask) ** 0.5 for mask in best.counted.masks], familiar_px)
    if again > 1:
        again = _possible(again, page, best.zoom)
    if again >= LEAST_ENLARGED:
        second = _further(look, best.zoom * again, page, on_shortage)
        best = second if second is not None and _shows_as_much(second, best) else best
    elif again < 1 and min(page.image_hw) * best.zoom * again >= 1:
        second = _further(look, best.zoom * again, page, on_shortage)
        best = second if second is not None and second.area >= LEAST_AREA * best.area else best
    if best.zoom != first.zoom:
        _say_resized(page.image, best.zoom / first.zoom)
    return best


def _possible(again: float, page: ImageInstances, zoom: float) -> float:
    """The enlargement of a page that is resized already, or as much of it as `MOST_PX` allows.

    At least 1: that a page is large is no reason to make it smaller.
    """
    height, width = page.image_hw
    possible = math.sqrt(MOST_PX / (height * width)) / zoom
    if possible >= again:
        return again
    if "limited" not in _said:
        _said.add("limited")
        logger.warning(
            "%s: its instances are smaller than the model finds best, but the page is too large to "
            "be enlarged %.2g times, and so perhaps are further ones: small ones may be missed; "
            "cut it into pieces of at most %d x %d px",
            page.image,
            again,
            *[int(math.sqrt(MOST_PX) / (zoom * again))] * 2,
        )
    return max(possible, 1.0)


def _shows_as_much(enlarged: Look, before: Look) -> bool:
    """Whether an enlarged look is to be believed."""
    is_few = len(before) < LEAST_INSTANCES
    return enlarged.score >= before.score and len(enlarged) >= (LEAST_MANY if is_few else 0)


def _further(
    look: Callable[[float], Look],
    zoom: float,
    page: ImageInstances,
    on_shortage: Callable[[], None] | None,
) -> Look | None:
    """One look more; None where the memory does not suffice: what was found before remains."""
    try:
        return look(zoom)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        logger.warning(
            "%s: not enough memory to predict the page once more, resized %.2g times; what was "
            "found before is kept, which may miss instances. Try a smaller --tile-px",
            page.image,
            zoom,
        )
        if on_shortage is not None:
            on_shortage()
        return None


def second_zoom(sizes_px: Sequence[float], familiar_px: Sequence[float]) -> float:
    """Factor by which a page is to be resized for a second look.

    Args:
        sizes_px: of the instances that a first look found.
        familiar_px: least and largest median size.

    Returns:
        1.0 where the median is within the range, or nothing was found, or too few that are large;
        else what brings it inside, from 1/`MOST` to `MOST`.
    """
    if not sizes_px:
        return 1.0
    median = float(np.median(sizes_px))
    least, most = familiar_px
    if median < least:
        return min(INSIDE * least / median, MOST)
    if median > most and len(sizes_px) >= LEAST_INSTANCES:
        return max(most / INSIDE / median, 1 / MOST)
    return 1.0


def _say_resized(image: str, factor: float) -> None:
    """Say once in a run that a page was enlarged, and once that one was reduced."""
    is_enlarged = factor > 1
    if (what := "enlarged" if is_enlarged else "reduced") not in _said:
        _said.add(what)
        logger.warning(
            "%s: its instances are %s than the model finds best, and so perhaps are those of "
            "further images: predicted once more, %s %.2g times",
            image,
            "smaller" if is_enlarged else "larger",
            what,
            factor if is_enlarged else 1 / factor,
        )
