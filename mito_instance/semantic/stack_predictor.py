"""A trained 3D semantic network as a ``MaskPredictor`` of pages that have neighbours."""

from __future__ import annotations

import logging
import math
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
from detectron2.config import CfgNode
from torch import nn

from mito_instance.inference.resampling import resize_page, zoom_for
from mito_instance.inference.tiling import tiles_of
from mito_instance.instances import ImageInstances
from mito_instance.io.images import Page
from mito_instance.semantic.layers import strides_3d
from mito_instance.semantic.predictor import Grey, SlicePredictor
from mito_instance.semantic.stacks import Place, Series, file_states, is_blank, read_slice
from mito_instance.semantic.windows import owned_parts

logger = logging.getLogger(__name__)

CACHE_BYTES = 1 << 28
Block: TypeAlias = tuple[
    tuple[Place, ...], tuple[tuple[int, int], ...], int, tuple[int, int], float, int | None
]
"""A series, the states of the block's files, the first slice that it decides, the page's size, the
zoom, the edge of the windows."""


class _Maps(NamedTuple):
    """Maps (n, H, W) of a block's slices, and which of these (n,) could be read."""

    maps: Grey
    is_read: npt.NDArray[np.bool_]


Stack = TypeVar("Stack", bound="StackPredictor")


class StackPredictor(SlicePredictor):
    """Foreground probability of slices that are predicted in blocks, divided slice by slice.

    ``prepare_page`` reads a page's neighbours, predicts the block of slices that the page lies
    in, and returns the page's probability map as grey levels; ``predict`` divides it. Pages
    in slice order share blocks: each is predicted once.

    Args:
        cfg: the network's config.
        network: a ``SemanticNet3d``, weights loaded.
        weights: the file that they came from, for the record.
    """

    def __init__(self, cfg: CfgNode, network: nn.Module, weights: Path | None = None) -> None:
        super().__init__(cfg, network, weights)
        self.patch_slices = int(cfg.MITO.SEMANTIC.PATCH_SLICES)
        self.block_slices = int(cfg.MITO.SEMANTIC.BLOCK_SLICES)
        self.margin = self.patch_slices // 4
        self.core = self.block_slices - 2 * self.margin
        self.blocks: OrderedDict[Block, _Maps] = OrderedDict()
        self._has_warned = False

    def prepare(self, pixels: npt.NDArray[Any]) -> Grey:
        """Probability map (H, W), times 255, of a page without neighbours: it is repeated."""
        whole: Grey = self._volume_map(super().prepare(pixels)[None])[0]
        return whole

    def prepare_page(self, page: Page, tile_px: int | None = None) -> Grey:
        """Probability map (H, W), times 255, of a page among its neighbours.

        Args:
            page: a page of a file of several, or a file beside others with consecutive numbers.
            tile_px: longest edge of the windows that the network sees; None for
                ``MITO.SEMANTIC.WINDOW_PX``.
        """
        series = self.disk.around(page.path, page.frame, page.n_frames)
        if len(series.places) == 1 and not self._has_warned:
            self._has_warned = True
            logger.warning(
                "%s: no neighbouring slices; the 3D network sees this one repeated, and so further "
                "images of this kind. It looks for other pages of the file, or for files beside "
                "it with consecutive numbers",
                page.path,
            )
        image_hw = (page.pixels.shape[0], page.pixels.shape[1])
        identity = ImageInstances(str(page.path), image_hw, pixel_size=page.pixel_size)
        zoom = zoom_for(identity, self.pixel_size_nm)
        first, _ = self._decided(series)
        start, stop = self.reach(series)
        states = file_states(series.places[start:stop])
        key = (series.places, states, first, image_hw, zoom, tile_px)
        index = series.position - first
        # A slice that could not be read with its neighbours can be when its own turn comes.
        if key not in self.blocks or not self.blocks[key].is_read[index]:
            self.blocks[key] = self._predict_block(series, page, zoom, tile_px)
            while (
                len(self.blocks) > series.n_interleaved
                and sum(block.maps.nbytes for block in self.blocks.values()) > CACHE_BYTES
            ):
                self.blocks.popitem(last=False)
        self.blocks.move_to_end(key)
        found: Grey = self.blocks[key].maps[index]
        return found

    def in_orientations(self: Stack, count: int) -> Stack:
        """This predictor with maps that are means over the orientations of the slices' plane."""
        turned = super().in_orientations(count)
        turned.blocks = OrderedDict()
        return turned

    def reach(self, series: Series) -> tuple[int, int]:
        """The slices of a page's block, with the margins; at least as many as a patch has."""
        first, last = self._decided(series)
        start = max(0, first - self.margin)
        stop = min(len(series.places), max(last + self.margin, start + self.patch_slices))
        return max(0, min(start, stop - self.patch_slices)), stop

    def _decided(self, series: Series) -> tuple[int, int]:
        """First slice that a page's block decides, and the one after the last."""
        first = series.position // self.core * self.core
        return first, min(first + self.core, len(series.places))

    def _predict_block(self, series: Series, page: Page, zoom: float, tile_px: int | None) -> _Maps:
        """Maps of the slices that the page's block decides."""
        first, last = self._decided(series)
        start, _ = self.reach(series)
        decided = slice(first - start, last - start)
        volume, is_seen, is_read = self._block(series, page, zoom)
        if volume is None:
            nothing = np.zeros((last - first, *page.pixels.shape), dtype=np.uint8)
            return _Maps(nothing, is_read[decided])
        maps = self._volume_map(volume, tile_px, decided)
        maps[~is_seen[decided]] = 0  # a copy of its neighbour stood for such a slice
        if zoom != 1.0:
            size = (page.pixels.shape[1], page.pixels.shape[0])
            maps = np.stack([np.asarray(cv2.resize(one, size), dtype=np.uint8) for one in maps])
        return _Maps(maps, is_read[decided])

    def _block(
        self, series: Series, page: Page, zoom: float
    ) -> tuple[Grey | None, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """What the page's block sees, at the model's pixel size.

        Returns:
            Grey levels (D, H, W), the nearest slice standing for one that is of no use, None if
            all are; which slices (D,) are of use; and which could be read.
        """
        start, stop = self.reach(series)
        found = [read_slice(place, page, self.unread) for place in series.places[start:stop]]
        is_read = np.array([pixels is not None for pixels in found])
        slices = [
            None
            if pixels is None or is_blank(pixels)
            else super(StackPredictor, self).prepare(pixels)
            for pixels in found
        ]
        is_seen = np.array([grey is not None for grey in slices])
        usable = np.flatnonzero(is_seen)
        if not len(usable):
            return None, is_seen, is_read
        nearest = [usable[np.abs(usable - index).argmin()] for index in range(len(slices))]
        volume = [grey for index in nearest if (grey := slices[index]) is not None]
        if zoom != 1.0:
            volume = [resize_page(grey, zoom) for grey in volume]
        return np.stack(volume), is_seen, is_read

    def _volume_map(
        self, volume: Grey, tile_px: int | None = None, decided: slice = slice(None)
    ) -> Grey:
        """Probabilities, times 255, of slices of a volume (D, H, W) that is whole in D."""
        step_z, step_y, step_x = strides_3d(self.cfg)
        if len(self.orientations) > 1:  # turned by 90°, rows are columns
            step_y = step_x = math.lcm(step_y, step_x)
        depth, height, width = volume.shape
        full = _up(max(depth, self.patch_slices), step_z)
        before = (full - depth) // 2
        keys = self.cfg.MITO.SEMANTIC
        window_px, overlap_px = int(keys.WINDOW_PX), int(keys.WINDOW_OVERLAP_PX)
        if tile_px is not None:
            window_px, overlap_px = tile_px, min(overlap_px, tile_px // 2)
        if overlap_px >= window_px:
            overlap_px = window_px // 2
        tiles = tiles_of((height, width), window_px, overlap_px)
        maps = np.zeros((len(range(*decided.indices(depth))), height, width), dtype=np.uint8)
        for tile, (page_part, tile_part) in zip(tiles, owned_parts(tiles), strict=True):
            window = volume[(slice(None), *tile.slices)]
            padding = (
                (before, full - depth - before),
                (0, _up(max(tile.height, 2 * step_y), step_y) - tile.height),
                (0, _up(max(tile.width, 2 * step_x), step_x) - tile.width),
            )
            found = self._mean_map("volume", np.pad(window, padding, mode="edge"))
            found = found[before : before + depth][decided]
            maps[(slice(None), *page_part)] = np.rint(found[(slice(None), *tile_part)] * 255)
        return maps


def _up(length: int, step: int) -> int:
    """The next multiple of ``step``."""
    return -(-length // step) * step
