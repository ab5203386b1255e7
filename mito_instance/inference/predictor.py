"""What a model must offer to be used here; this package knows no deep-learning library."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from mito_instance.instances import ImageInstances
from mito_instance.io.images import Page


class MaskPredictor(Protocol):
    """Anything that finds instances in grey tiles."""

    @property
    def score_threshold(self) -> float:
        """Score from which a detection counts, as recommended by the model's authors."""
        ...

    @property
    def pixel_size_nm(self) -> float | None:
        """Pixel size that the model was trained at; None when it was trained at many."""
        ...

    @property
    def tile_px(self) -> int:
        """Recommended edge of a tile in pixels."""
        ...

    @property
    def tile_overlap_px(self) -> int:
        """Recommended overlap of neighbouring tiles in pixels."""
        ...

    def prepare(self, pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Whole page (H, W) of any dtype to the grey levels that the model expects."""
        ...

    def predict(
        self, tiles: Sequence[npt.NDArray[np.uint8]], min_score: float = 0.0
    ) -> list[ImageInstances]:
        """Instances of each prepared tile (h, w) that score at least ``min_score``.

        One result a tile, with scores.
        """
        ...

    def record(self) -> Mapping[str, Any]:
        """What a run record says of the model: JSON values that change when its results do."""
        ...


@runtime_checkable
class StackPredictor(Protocol):
    """What a ``MaskPredictor`` has besides if it looks at the slices beside a page."""

    def prepare_page(self, page: Page, tile_px: int | None = None) -> npt.NDArray[np.uint8]:
        """In place of ``prepare``: (H, W) of a page whose neighbours it finds by path and frame.

        Args:
            page: the page.
            tile_px: longest edge of what the network sees at a time; None for the model's own.
        """
        ...

    def files_beside(self, path: Path) -> list[Path]:
        """Other files that the result of a file of one page depends on, in slice order."""
        ...

    def is_whole(self, page: Page) -> bool:
        """Whether all slices that the result of a page depends on could be read so far."""
        ...


@runtime_checkable
class MapPredictor(Protocol):
    """What a ``MaskPredictor`` has besides if it draws its instances from a map."""

    def in_orientations(self, count: int) -> MaskPredictor:
        """The same predictor with maps that are means over 4 or 8 orientations of a tile.

        Raises:
            ConfigError: if the count is neither.
        """
        ...


def tiles_at_once(predictor: MaskPredictor) -> int:
    """Tiles that a predictor works on at a time best; 1 unless it says otherwise."""
    return int(getattr(predictor, "tiles_at_once", 1))


def pages_at_once(predictor: object) -> int:
    """Threads that may ask a predictor at a time; 1 unless it says otherwise."""
    return int(getattr(predictor, "pages_at_once", 1))


def category_names(predictor: MaskPredictor) -> Mapping[int, str]:
    """Names of the classes by category id; none unless it says otherwise."""
    return dict(getattr(predictor, "category_names", {}))


def familiar_px(predictor: MaskPredictor) -> Sequence[float]:
    """Sizes that a predictor judges well, as of `second_look.second_zoom`; or none, as of a stack.

    What a `StackPredictor` sees of a page is a map, drawn at the scale of its own.
    """
    if isinstance(predictor, StackPredictor):
        return ()
    return tuple(getattr(predictor, "familiar_px", ()))


def predict_in_batches(
    predictor: MaskPredictor, tiles: Iterable[npt.NDArray[np.uint8]], min_score: float
) -> Iterator[ImageInstances]:
    """Instances of each tile, in order, asked for in batches of the size that suits the predictor.

    Args:
        predictor: the model.
        tiles: prepared tiles (h, w); no more than a batch of them is held.
        min_score: as of `MaskPredictor.predict`.
    """
    remaining = iter(tiles)
    while batch := list(islice(remaining, tiles_at_once(predictor))):
        yield from predictor.predict(batch, min_score)
