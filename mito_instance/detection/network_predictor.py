"""What predictors with a trained network share: recommended settings, grey levels, the record."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from detectron2.config import CfgNode
from torch import nn

from mito_instance.detection.precision import Precision
from mito_instance.instances import ImageInstances
from mito_instance.io.contrast import stretch_contrast

GPU_TILES = 4
"""Tiles that a GPU is given at a time."""


class NetworkPredictor:
    """Base of the ``MaskPredictor``s of this project; ``predict`` is what they differ in.

    Args:
        cfg: the network's config.
        network: the network, weights loaded.
        weights: the file that they came from, for the record.
    """

    def __init__(self, cfg: CfgNode, network: nn.Module, weights: Path | None = None) -> None:
        self.cfg = cfg
        self.weights = weights
        self.network: Any = network  # ``inference`` is Detectron2's, untyped

    @property
    def score_threshold(self) -> float:
        """The score that the model's authors recommend for counting."""
        return float(self.cfg.MITO.SCORE_THRESHOLD)

    @property
    def pixel_size_nm(self) -> float | None:
        """Pixel size in nm that images are resampled to; None for none."""
        return float(self.cfg.MITO.PIXEL_SIZE_NM) or None

    @property
    def familiar_px(self) -> tuple[float, ...]:
        """Least and largest median size of a page's instances that it judges well; or none."""
        return tuple(map(float, self.cfg.MITO.FAMILIAR_PX))

    @property
    def category_names(self) -> dict[int, str]:
        """Names of the classes by category id; empty for weights that carry none."""
        return dict(enumerate(map(str, self.cfg.MITO.CLASS_NAMES), start=1))

    @property
    def tile_px(self) -> int:
        """Recommended edge of a tile in pixels."""
        return int(self.cfg.MITO.TILE_PX)

    @property
    def tile_overlap_px(self) -> int:
        """Recommended overlap of neighbouring tiles in pixels."""
        return int(self.cfg.MITO.TILE_OVERLAP_PX)

    @property
    def tiles_at_once(self) -> int:
        """Tiles of a batch: a GPU has the memory and the cores for several, a CPU has neither."""
        return GPU_TILES if str(self.cfg.MODEL.DEVICE).startswith("cuda") else 1

    def record(self) -> dict[str, str]:
        """What a run record says of the model: hashes of weights and config, device, arithmetic."""
        device = str(self.cfg.MODEL.DEVICE)
        precision = Precision.choose(self.cfg.MITO.PRECISION, device)
        config = self.cfg.clone()
        config.defrost()
        config.MODEL.DEVICE = device.partition(":")[0]  # which one of several changes no result
        found = {
            "device": device,
            "precision": precision.name,
            "torch": torch.__version__,
            "config_sha256": hashlib.sha256(config.dump().encode()).hexdigest(),
        }
        if self.weights is not None:
            found["weights"] = f"{self.weights.absolute().parent.name}/{self.weights.name}"
            found["weights_sha256"] = hashlib.sha256(self.weights.read_bytes()).hexdigest()
        return found

    def prepare(self, pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Whole page (H, W) of any dtype to the grey levels that the network was trained on."""
        return stretch_contrast(pixels, tuple(self.cfg.MITO.CONTRAST_PERCENTILES))

    def calibrate(self, truth: Sequence[ImageInstances]) -> dict[str, float]:
        """Choose what the network does not learn on validation images, and use it from now on.

        Args:
            truth: annotated images that the network was not trained on.

        Returns:
            What was chosen, by name; nothing where the network has no such settings.
        """
        return {}

    def predict(
        self, tiles: Sequence[npt.NDArray[np.uint8]], min_score: float = 0.0
    ) -> list[ImageInstances]:
        """Instances of each tile; see ``MaskPredictor.predict``."""
        raise NotImplementedError
