"""A trained 2D semantic network as a ``MaskPredictor``: grey tiles in, ``ImageInstances`` out."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
import torch
from detectron2.config import CfgNode
from torch import nn

from mito_instance.detection.network_predictor import NetworkPredictor
from mito_instance.inference.orientations import Orientation, orientations
from mito_instance.inference.resampling import resize_page, zoom_for
from mito_instance.inference.tiling import tiles_of, usable_overlap_px
from mito_instance.instances import ImageInstances
from mito_instance.io.images import Page
from mito_instance.semantic.calibration import choose_foreground_threshold
from mito_instance.semantic.stacks import Place, Series, SeriesOnDisk
from mito_instance.semantic.to_instances import InstanceRule, to_instances
from mito_instance.semantic.windows import owned_parts

Grey = npt.NDArray[np.uint8]
Probability = npt.NDArray[np.float32]

Semantic = TypeVar("Semantic", bound="SemanticPredictor")


class SemanticPredictor(NetworkPredictor):
    """Foreground probability of grey tiles, divided into instances.

    Args:
        cfg: the network's config; ``MITO.SEMANTIC`` says how its maps are divided.
        network: a ``SemanticNet2d``, weights loaded.
        weights: the file that they came from, for the record.

    Raises:
        ConfigError: if a threshold is out of its range.
    """

    def __init__(self, cfg: CfgNode, network: nn.Module, weights: Path | None = None) -> None:
        super().__init__(cfg, network, weights)
        self.rule = InstanceRule.from_config(cfg)
        self.orientations: tuple[Orientation, ...] = (Orientation(),)

    def in_orientations(self: Semantic, count: int) -> Semantic:
        """This predictor with maps that are means over the orientations of a tile.

        Args:
            count: 4 for the four flips, 8 for turns by 90° as well.

        Raises:
            ConfigError: if the count is neither.
        """
        turned = copy.copy(self)
        turned.orientations = orientations(count)
        return turned

    def record(self) -> dict[str, Any]:
        """As of every network, with the number of orientations if there are several."""
        number = len(self.orientations)
        return {**super().record(), **({"tta_orientations": number} if number > 1 else {})}

    def predict(self, tiles: Sequence[Grey], min_score: float = 0.0) -> list[ImageInstances]:
        """Instances of each tile, by falling score; disjoint within a tile.

        Args:
            tiles: uint8 (h, w) arrays from ``prepare``; sizes may differ.
            min_score: instances below it are left out.
        """
        found = [to_instances(self.probability(tile), self.rule) for tile in tiles]
        return [instances.select(np.asarray(instances.scores) >= min_score) for instances in found]

    def probability(self, tile: Grey) -> Probability:
        """Foreground probability (h, w) of a prepared tile, in [0, 1]."""
        return self._mean_map("image", tile[None])

    def page_probability(self, page: Page, tile_px: int | None = None) -> Probability:
        """Foreground probability (H, W) of a whole page, in its own pixels.

        Tiles and zoom are those of prediction; where tiles overlap, each gives the half of the
        overlap that lies farther from its edge.

        Args:
            page: grey levels and pixel size.
            tile_px: longest edge of a tile; None for the model's own.

        Raises:
            ConfigError: if the tiles are too small or overlap too little.
        """
        prepared = self.prepare(page.pixels)
        image_hw = (prepared.shape[0], prepared.shape[1])
        identity = ImageInstances(str(page.path), image_hw, pixel_size=page.pixel_size)
        zoom = zoom_for(identity, self.pixel_size_nm)
        if zoom != 1.0:
            prepared = resize_page(prepared, zoom)
        tile_px = self.tile_px if tile_px is None else tile_px
        overlap_px = usable_overlap_px(self.tile_overlap_px, tile_px)
        tiles = tiles_of((prepared.shape[0], prepared.shape[1]), tile_px, overlap_px)
        whole = np.zeros(prepared.shape, dtype=np.float32)
        for tile, (page_part, tile_part) in zip(tiles, owned_parts(tiles), strict=True):
            whole[page_part] = self.probability(prepared[tile.slices])[tile_part]
        if zoom != 1.0:
            size = (image_hw[1], image_hw[0])
            return np.asarray(cv2.resize(whole, size, interpolation=cv2.INTER_LINEAR))
        return whole

    def calibrate(self, truth: Sequence[ImageInstances]) -> dict[str, float]:
        """Choose the foreground threshold of the best Dice, and use it from now on.

        Args:
            truth: annotated images that the network was not trained on.

        Returns:
            ``foreground_threshold``.
        """
        chosen = choose_foreground_threshold(
            self.page_probability, truth, self.rule.foreground_threshold
        )
        self.use_threshold(chosen)
        return {"foreground_threshold": chosen}

    def use_threshold(self, foreground_threshold: float) -> None:
        """Divide maps with this threshold, and say so in config and record."""
        self.cfg = self.cfg.clone()
        self.cfg.defrost()
        self.cfg.MITO.SEMANTIC.FOREGROUND_THRESHOLD = foreground_threshold
        self.cfg.freeze()
        self.rule = InstanceRule.from_config(self.cfg)

    def _mean_map(self, name: str, grey: Grey) -> Probability:
        """Probabilities of what the network knows by this name, the mean over orientations.

        Args:
            name: ``image`` or ``volume``.
            grey: (1, h, w) or (d, h, w).

        Returns:
            (h, w) of an image, (d, h, w) of a volume.
        """
        total = np.zeros((), dtype=np.float32)
        for orientation in self.orientations:
            seen = self._run([{name: torch.from_numpy(orientation.apply(grey))}])[0]
            total = total + orientation.undo(seen, 0, 0, (seen.shape[-2], seen.shape[-1]))[0]
        return total / np.float32(len(self.orientations))

    def _run(self, batch: list[dict[str, torch.Tensor]]) -> list[Probability]:
        """Probabilities of a batch without its channel axis; the network keeps its mode."""
        training = self.network.training
        self.network.eval()
        try:
            with torch.inference_mode():
                found = self.network(batch)
        finally:
            self.network.train(training)
        return [output["sem_seg"][0].cpu().numpy() for output in found]


class SlicePredictor(SemanticPredictor):
    """Base of the predictors of pages among their neighbours: what they prepare is the map.

    Args:
        cfg: the network's config.
        network: a semantic network, weights loaded.
        weights: the file that they came from, for the record.
    """

    def __init__(self, cfg: CfgNode, network: nn.Module, weights: Path | None = None) -> None:
        super().__init__(cfg, network, weights)
        self.disk = SeriesOnDisk()
        self.unread: set[Place] = set()

    def prepare_page(self, page: Page, tile_px: int | None = None) -> Grey:
        """Probability map (H, W), times 255, of a page among its neighbours.

        Args:
            page: a page of a file of several, or a file beside others with consecutive numbers.
            tile_px: longest edge of what the network sees at a time; None for the model's own.
        """
        raise NotImplementedError

    def reach(self, series: Series) -> tuple[int, int]:
        """First slice that the map of a page depends on, and the one after the last."""
        raise NotImplementedError

    def files_beside(self, path: Path) -> list[Path]:
        """Other files that the map of a file of one page depends on, in slice order."""
        series = self.disk.around(path, 0, 1)
        first, stop = self.reach(series)
        return [other for other, _ in series.places[first:stop] if other != path]

    def is_whole(self, page: Page) -> bool:
        """Whether all slices that the map of a page depends on could be read so far."""
        series = self.disk.around(page.path, page.frame, page.n_frames)
        first, stop = self.reach(series)
        return self.unread.isdisjoint(series.places[first:stop])

    def probability(self, tile: Grey) -> Probability:
        """Probability of a tile that ``prepare_page`` or ``prepare`` made."""
        return tile.astype(np.float32) / np.float32(255)

    def page_probability(self, page: Page, tile_px: int | None = None) -> Probability:
        """Foreground probability (H, W) of a page among its neighbours."""
        return self.probability(self.prepare_page(page, tile_px))
