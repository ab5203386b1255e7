"""A 2D semantic network whose map of a page is averaged with those of the slices beside it."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from detectron2.config import CfgNode
from torch import nn

from mito_instance.errors import ConfigError
from mito_instance.io.images import Page
from mito_instance.semantic.predictor import Grey, SemanticPredictor, SlicePredictor
from mito_instance.semantic.stacks import Place, Series, file_states, is_blank, read_slice

N_MAPS = 4
"""Maps that are kept: those of a page and its neighbours, and one more; for each series whose
pages take turns in a file."""

Key: TypeAlias = tuple[
    Place, tuple[tuple[int, int], ...], tuple[int, ...], float | None, int | None
]
"""A slice, the state of its file, its size, the edge of its pixels in nm if known, the tiles'."""

Neighbour = TypeVar("Neighbour", bound="NeighbourPredictor")


class NeighbourPredictor(SlicePredictor):
    """Maps of single slices, each averaged with those of its neighbours.

    A mitochondrion is mostly thicker than a slice, noise and a knife mark are not: what is seen
    in one slice only counts for less. A page that has no neighbour on a side, or a blank one,
    stands for it itself. Pages in slice order are predicted once each.

    Args:
        cfg: reads ``MITO.SEMANTIC.NEIGHBOUR_WEIGHT``, the share of either neighbour.
        network: a ``SemanticNet2d``, weights loaded.
        weights: the file that they came from, for the record.

    Raises:
        ConfigError: if the share is none between 0 and 1/3, where all three count the same.
    """

    def __init__(self, cfg: CfgNode, network: nn.Module, weights: Path | None = None) -> None:
        super().__init__(cfg, network, weights)
        self.share = float(cfg.MITO.SEMANTIC.NEIGHBOUR_WEIGHT)
        if not 0 <= self.share <= 1 / 3 + 1e-9:
            raise ConfigError(
                "MITO.SEMANTIC.NEIGHBOUR_WEIGHT: must be 0 to 1/3 (all three slices count the "
                f"same), got {self.share:g}"
            )
        self.alone = SemanticPredictor(cfg, network, weights)
        self.maps: OrderedDict[Key, tuple[Grey, bool]] = OrderedDict()

    def in_orientations(self: Neighbour, count: int) -> Neighbour:
        """This predictor with maps of single slices that are means over their orientations."""
        turned = super().in_orientations(count)
        turned.alone = self.alone.in_orientations(count)
        turned.maps = OrderedDict()
        return turned

    def prepare(self, pixels: npt.NDArray[Any]) -> Grey:
        """Probability map (H, W), times 255, of a page without neighbours."""
        return self._map_of(Page(Path("page"), 0, 1, pixels, None))

    def prepare_page(self, page: Page, tile_px: int | None = None) -> Grey:
        """Probability map (H, W), times 255, of a page among its neighbours.

        Args:
            page: a page of a file of several, or a file beside others with consecutive numbers; a
                blank one shows nothing, whatever is beside it.
            tile_px: longest edge of the tiles that the network sees; None for the model's own.
        """
        series = self.disk.around(page.path, page.frame, page.n_frames)
        last, n_runs = len(series.places) - 1, series.n_interleaved
        seen = self._seen_at((page.path, page.frame), page, tile_px, n_runs)
        if seen is None:
            raise ValueError("a page that was read has a map")
        own, shows_any = seen
        if not shows_any:
            return np.zeros_like(own)
        beside = np.zeros(own.shape, dtype=np.float32)
        for position in (series.position - 1, series.position + 1):
            place = series.places[min(max(position, 0), last)]
            found, shows = self._seen_at(place, page, tile_px, n_runs) or (own, True)
            beside += found if shows else own
        total = self.share * beside + (1.0 - 2.0 * self.share) * own
        averaged: Grey = np.rint(total).astype(np.uint8)
        return averaged

    def reach(self, series: Series) -> tuple[int, int]:
        """The slices beside a page."""
        return max(0, series.position - 1), min(series.position + 2, len(series.places))

    def _seen_at(
        self, place: Place, page: Page, tile_px: int | None, n_interleaved: int
    ) -> tuple[Grey, bool] | None:
        """Map of a slice in the stack of a page, and whether it shows anything; None if unread."""
        size_nm = None if page.pixel_size is None else page.pixel_size.nm
        key = (place, file_states([place]), page.pixels.shape, size_nm, tile_px)
        if key not in self.maps:
            pixels = read_slice(place, page, self.unread)
            if pixels is None:
                return None
            # Like the page but for its pixels, and so predicted at the page's scale.
            found = self._map_of(replace(page, pixels=pixels), tile_px)
            self.maps[key] = found, not is_blank(pixels)
            while len(self.maps) > N_MAPS * n_interleaved:
                self.maps.popitem(last=False)
        self.maps.move_to_end(key)
        return self.maps[key]

    def _map_of(self, page: Page, tile_px: int | None = None) -> Grey:
        """Map of a slice by itself, times 255."""
        found: Grey = np.rint(self.alone.page_probability(page, tile_px) * 255).astype(np.uint8)
        return found
