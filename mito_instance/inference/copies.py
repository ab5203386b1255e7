"""Copies of a model on several devices, used as one: tiles and pages go to whichever is free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt

from mito_instance.errors import ConfigError
from mito_instance.inference.predictor import (
    MaskPredictor,
    StackPredictor,
    category_names,
    familiar_px,
    tiles_at_once,
)
from mito_instance.instances import ImageInstances


class CopiesPredictor:
    """A predictor that shares tiles out among copies of one model, each on its own device.

    Which copy sees a tile is a matter of chance; the result is not, where the devices are of one
    kind. Several threads may call ``predict`` at a time; each copy works on one call at a time.

    Args:
        copies: at least one; the same model with the same settings.

    Raises:
        ConfigError: if it is a model that looks at whole stacks: that one keeps what it has seen
            of a stack, and works on one device.
    """

    def __init__(self, copies: Sequence[MaskPredictor]) -> None:
        if any(isinstance(copy, StackPredictor) for copy in copies):
            raise ConfigError(
                "--device: a model that looks at neighbouring slices works on one device; name it"
            )
        self.copies = tuple(copies)
        self._free: SimpleQueue[MaskPredictor] = SimpleQueue()
        for copy in copies:
            self._free.put(copy)
        self._pool = ThreadPoolExecutor(len(copies), thread_name_prefix="device")

    @property
    def score_threshold(self) -> float:
        """As of the model."""
        return self.copies[0].score_threshold

    @property
    def pixel_size_nm(self) -> float | None:
        """As of the model."""
        return self.copies[0].pixel_size_nm

    @property
    def tile_px(self) -> int:
        """As of the model."""
        return self.copies[0].tile_px

    @property
    def tile_overlap_px(self) -> int:
        """As of the model."""
        return self.copies[0].tile_overlap_px

    @property
    def tiles_at_once(self) -> int:
        """Tiles that keep all copies busy."""
        return sum(tiles_at_once(copy) for copy in self.copies)

    @property
    def pages_at_once(self) -> int:
        """Pages of one tile that keep all copies busy."""
        return len(self.copies)

    @property
    def category_names(self) -> Mapping[int, str]:
        """As of the model."""
        return category_names(self.copies[0])

    @property
    def familiar_px(self) -> Sequence[float]:
        """As of the model."""
        return familiar_px(self.copies[0])

    def prepare(self, pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """As of the model."""
        return self.copies[0].prepare(pixels)

    def record(self) -> Mapping[str, Any]:
        """As of the model, with all devices."""
        records = [copy.record() for copy in self.copies]
        devices = ",".join(str(record.get("device")) for record in records)
        return {**records[0], "device": devices}

    def predict(
        self, tiles: Sequence[npt.NDArray[np.uint8]], min_score: float = 0.0
    ) -> list[ImageInstances]:
        """Instances of each tile, in the order of the tiles."""
        each = tiles_at_once(self.copies[0])
        parts = [tiles[first : first + each] for first in range(0, len(tiles), each)]

        def on_free_copy(part: Sequence[npt.NDArray[np.uint8]]) -> list[ImageInstances]:
            copy = self._free.get()
            try:
                return copy.predict(part, min_score)
            finally:
                self._free.put(copy)

        return [found for part in self._pool.map(on_free_copy, parts) for found in part]
