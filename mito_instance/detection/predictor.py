"""A trained Mask R-CNN as a ``MaskPredictor``: grey tiles in, ``ImageInstances`` out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from detectron2.structures import Instances

from mito_instance.detection.architectures import MASK_RCNN, build_predictor
from mito_instance.detection.config import load_config
from mito_instance.detection.data import to_network_input
from mito_instance.detection.folding import fold_for_prediction
from mito_instance.detection.model import build_network
from mito_instance.detection.network_predictor import NetworkPredictor
from mito_instance.detection.outlines import Placed, correct_outlines
from mito_instance.detection.precision import Precision
from mito_instance.detection.roi_heads import last_box_predictor
from mito_instance.detection.weights import (
    CONFIG_NAME,
    WEIGHTS_NAME,
    load_for_prediction,
    shipped_model,
)
from mito_instance.errors import ConfigError, WeightsError
from mito_instance.instances import ImageInstances
from mito_instance.masks import rle

logger = logging.getLogger(__name__)

ISLAND = 0.5
"""Part of the largest region of a mask, beneath which another region is none of the instance."""


class MaskRCNNPredictor(NetworkPredictor):
    """Predicts the instances of grey tiles with a Mask R-CNN in evaluation mode."""

    def predict(
        self, tiles: Sequence[npt.NDArray[np.uint8]], min_score: float = 0.0
    ) -> list[ImageInstances]:
        """Instances of each tile, by falling score.

        Args:
            tiles: uint8 (h, w) arrays from ``prepare``; sizes may differ.
            min_score: of what is returned. Masks of other detections are not computed, unless they
                reach ``score_threshold`` and outlines are corrected; those beneath
                ``MODEL.ROI_HEADS.SCORE_THRESH_TEST`` never are.

        Returns:
            One ``ImageInstances`` of size (h, w) a tile; masks may overlap.
        """
        if not tiles:
            return []
        batch = [
            {"image": to_network_input(tile), "height": tile.shape[0], "width": tile.shape[1]}
            for tile in tiles
        ]
        training = self.network.training
        boxes = last_box_predictor(self.network.roi_heads)
        own = boxes.test_score_thresh
        # What counts keeps its pixels from others, also where it is not asked for.
        lowest = min(min_score, self.score_threshold) if self._outline_limits else min_score
        self.network.eval()
        try:
            # Detectron2 keeps scores above its threshold, we keep those at it as well.
            beneath = float(np.nextafter(np.float32(lowest), np.float32(-1)))
            boxes.test_score_thresh = max(own, beneath)
            with torch.inference_mode():
                outputs, maps = self.network.detect(batch)
        finally:
            boxes.test_score_thresh = own
            self.network.train(training)
        most = int(self.cfg.TEST.DETECTIONS_PER_IMAGE)
        for output, tile in zip(outputs, tiles, strict=True):
            if len(output) == most:
                _say_capped(most, (tile.shape[0], tile.shape[1]))
        return [
            self._to_instances(
                output[output.scores >= lowest],
                maps[number, 0].cpu().numpy() if self._outline_limits else None,
                (tile.shape[0], tile.shape[1]),
                min_score,
            )
            for number, (output, tile) in enumerate(zip(outputs, tiles, strict=True))
        ]

    @property
    def _outline_limits(self) -> tuple[float, ...]:
        """By which the foreground map corrects outlines; empty where it does not."""
        head = self.network.foreground
        return () if head is None else head.outline_limits

    def _to_instances(
        self,
        output: Instances,
        probability: npt.NDArray[np.float32] | None,
        image_hw: tuple[int, int],
        min_score: float,
    ) -> ImageInstances:
        """Paste each soft mask inside its box only, correct it by a map, and encode it there."""
        boxes = output.pred_boxes.tensor.float().cpu().numpy()
        scores = output.scores.double().cpu().numpy().clip(0, 1)
        classes = output.pred_classes.cpu().numpy()
        soft_masks = output.pred_masks[:, 0].float().cpu().numpy() if len(output) else []
        placed = []
        for box, soft in zip(boxes, soft_masks, strict=True):
            mask, x, y = paste_mask(soft, box, image_hw)
            placed.append(Placed(without_islands(mask, x, y, image_hw), x, y))
        if probability is not None:
            claims = np.where(scores >= self.score_threshold, classes + 1, 0).tolist()
            placed = [
                replace(one, mask=without_islands(one.mask, one.x, one.y, image_hw))
                for one in correct_outlines(
                    placed,
                    probability,
                    self.network.foreground.stride,
                    image_hw,
                    self._outline_limits,
                    claims,
                )
            ]
        masks, kept = [], []
        for index, one in enumerate(placed):
            if scores[index] >= min_score and one.mask.any():
                masks.append(rle.place(one.mask, one.x, one.y, image_hw))
                kept.append(index)
        return ImageInstances(
            image="tile",
            image_hw=image_hw,
            masks=tuple(masks),
            scores=scores[kept],
            category_ids=tuple(int(classes[index]) + 1 for index in kept),
        )


def load_predictor(
    weights: Path | None = None,
    config_file: Path | None = None,
    overrides: Sequence[str] = (),
) -> NetworkPredictor:
    """Build a predictor from a model folder, from weights and config, or the shipped model.

    Args:
        weights: a model folder (``model.safetensors`` and ``config.yaml``), a weights file, or
            None for the model that ships with the package.
        config_file: config of a weights file; a folder brings its own.
        overrides: ``KEY VALUE`` pairs.

    Raises:
        WeightsError: if the weights are missing or do not fit.
        ConfigError: if there is no config for them.
        MissingDependencyError: if the architecture needs a library that is not installed.
    """
    if weights is None and config_file is None:
        weights = shipped_model()
    if weights is None:
        raise WeightsError(
            f"{config_file}: a config without weights; pass --weights FILE, or neither of the two "
            "for the model that ships with the package"
        )
    if weights.is_dir():
        if not (weights / WEIGHTS_NAME).is_file():
            raise WeightsError(
                f"{weights}: folder holds no model ({WEIGHTS_NAME} and {CONFIG_NAME}); pass "
                "OUTPUT_DIR/model of a training"
            )
        config_file = config_file or weights / CONFIG_NAME
        weights = weights / WEIGHTS_NAME
    elif not weights.is_file():
        raise WeightsError(f"{weights}: weights not found; pass a model folder or a weights file")
    if config_file is None:
        neighbour = weights.parent / CONFIG_NAME
        if not neighbour.is_file():
            raise ConfigError(f"{weights}: no config for these weights; pass --config-file")
        config_file = neighbour
    cfg = load_config(config_file, overrides)
    network = build_network(cfg)
    load_for_prediction(network, weights)
    if cfg.MODEL.META_ARCHITECTURE == MASK_RCNN:
        precision = Precision.choose(cfg.MITO.PRECISION, cfg.MODEL.DEVICE)
        fold_for_prediction(network.eval(), precision.dtype)
    return build_predictor(cfg, network.eval(), weights)


def _say_capped(most: int, tile_hw: tuple[int, int]) -> None:
    """Say that a tile may show more than was kept of it."""
    logger.warning(
        "a tile of %d x %d px has %d detections, as many as TEST.DETECTIONS_PER_IMAGE lets "
        "through, and those beyond are lost: give smaller tiles (--tile-px), or raise it in the "
        "model's config.yaml",
        tile_hw[1],
        tile_hw[0],
        most,
    )


def paste_mask(
    soft: npt.NDArray[np.float32],
    box_xyxy: npt.NDArray[np.float32],
    image_hw: tuple[int, int],
    threshold: float = 0.5,
) -> tuple[npt.NDArray[np.bool_], int, int]:
    """Resample a mask head's output to the pixels of its box.

    Bilinear at pixel centres, zero outside the box, as ``paste_masks_in_image`` of Detectron2
    does it, but without an array of the image's size, and at a side of the box that is the
    image's border with the outermost value up to it: what is cut off there does not end there.

    Args:
        soft: (m, m) probabilities.
        box_xyxy: corners in pixels.
        image_hw: the image, which clips the box.
        threshold: probability from which a pixel belongs to the mask.

    Returns:
        bool (h, w) and the column and row of its first pixel; (0, 0) sized if the box is empty.
    """
    x0, y0 = max(0, int(np.floor(box_xyxy[0]))), max(0, int(np.floor(box_xyxy[1])))
    x1 = min(image_hw[1], int(np.ceil(box_xyxy[2])))
    y1 = min(image_hw[0], int(np.ceil(box_xyxy[3])))
    if x1 <= x0 or y1 <= y0:
        return np.zeros((0, 0), dtype=bool), 0, 0
    columns = _bilinear_weights(x0, x1, box_xyxy[0::2], image_hw[1], soft.shape[1])
    rows = _bilinear_weights(y0, y1, box_xyxy[1::2], image_hw[0], soft.shape[0])
    return rows @ soft @ columns.T >= threshold, x0, y0


def without_islands(
    mask: npt.NDArray[np.bool_], x: int, y: int, tile_hw: tuple[int, int]
) -> npt.NDArray[np.bool_]:
    """The mask less specks that the network put into neighbours of the instance.

    A mitochondrion is one region of the section. Parts smaller than half of the largest one go,
    except those that the tile's edge cuts: beyond it, they may belong together.

    Args:
        mask: bool (h, w), possibly empty.
        x: column of its first pixel in the tile.
        y: row of its first pixel in the tile.
        tile_hw: height and width of the tile.

    Returns:
        ``mask`` itself if it has one part.
    """
    if mask.size == 0:
        return mask
    n_labels, labels, stats, _ = cv2.connectedComponentsWithStats(
        mask.view(np.uint8), connectivity=8
    )
    if n_labels <= 2:
        return mask
    left, top, width, height, area = stats[1:].T
    is_cut = (x + left == 0) | (x + left + width == tile_hw[1])
    is_cut |= (y + top == 0) | (y + top + height == tile_hw[0])
    kept = np.concatenate([[False], is_cut | (area >= ISLAND * area.max())])
    return np.asarray(kept[labels], dtype=bool)


def _bilinear_weights(
    first: int, stop: int, ends: npt.NDArray[np.float32], length: int, samples: int
) -> npt.NDArray[np.float32]:
    """(stop - first, samples) weights of samples spread evenly between the ends of a box.

    Args:
        first: pixel.
        stop: pixel behind the last.
        ends: of the box along the axis; one at 0 or at the length is no end of the object.
        length: of the image.
        samples: their number.
    """
    low, high = map(float, ends)
    centres = np.arange(first, stop, dtype=np.float64) + 0.5
    positions = (centres - low) / max(high - low, 1e-6) * samples - 0.5
    if low <= 0:
        positions = np.maximum(positions, 0)
    if high >= length:
        positions = np.minimum(positions, samples - 1)
    distance = np.abs(positions[:, None] - np.arange(samples)[None, :])
    return np.clip(1.0 - distance, 0.0, None).astype(np.float32)
