"""Training patches of stacks: the same crop of consecutive slices, turned and shaded alike."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from detectron2.config import CfgNode
from detectron2.data import transforms as T

from mito_instance.detection.augment import (
    build_augmentations,
    crop_margin_px,
    log_uniform,
    resize_image,
    resize_mask,
)
from mito_instance.detection.data import MicrographMapper
from mito_instance.errors import AnnotationError
from mito_instance.instances import ImageInstances
from mito_instance.masks import rle
from mito_instance.semantic.stacks import runs_of

logger = logging.getLogger(__name__)

Volume = npt.NDArray[Any]


class StackMapper:
    """Makes a patch (D, edge, edge) around a record from the slices beside it.

    Crop, zoom and orientation are the same for all slices, and half of the patches are read in
    reverse; zoom is in the plane only. Noise differs from slice to slice. A stack with fewer
    slices than a patch is continued with its last ones; where an image is smaller than the
    crop, the rest is marked as not valid.

    Args:
        cfg: reads ``MITO.AUGMENT`` and ``MITO.SEMANTIC.PATCH_SLICES``.
        records: all images of the training.
        seed: of the random numbers, >= 0.

    Raises:
        AnnotationError: if no two images are neighbours.
    """

    def __init__(self, cfg: CfgNode, records: Sequence[ImageInstances], seed: int) -> None:
        self.cfg = cfg
        self.seed = seed
        self.slices = MicrographMapper(cfg, seed)
        runs = runs_of(records)
        if max(map(len, runs), default=0) < 2:
            raise AnnotationError(
                f"DATASETS.TRAIN: a 3D network learns from stacks, but none of the {len(records)} "
                "images follows another; give pages of one file, or files of one folder with "
                "consecutive numbers, or train a 2D network (configs/semantic/unet2d.yaml)"
            )
        logger.info(
            "%d images in %d stacks of %d to %d slices",
            len(records),
            len(runs),
            min(map(len, runs)),
            max(map(len, runs)),
        )
        # By identity: a file that is named twice shows the same image twice.
        self.runs = {
            (records[index].image, records[index].frame): ([records[i] for i in run], position)
            for run in runs
            for position, index in enumerate(run)
        }

    def __call__(self, record: ImageInstances, position: int) -> dict[str, Any]:
        """Example number ``position`` of the training: a patch that the record is in.

        Returns:
            ``volume`` float32 in [0, 255], ``foreground`` and ``valid`` bool: (D, edge, edge).
        """
        rng = np.random.default_rng([self.seed, position])
        slices = self._slices(record, rng)
        zoom = log_uniform(rng, tuple(self.cfg.MITO.AUGMENT.SCALE))
        if record.pixel_size is not None and self.cfg.MITO.PIXEL_SIZE_NM:
            zoom *= record.pixel_size.nm / self.cfg.MITO.PIXEL_SIZE_NM
        window = _window(record, self._edge_px / zoom, self.cfg.MITO.AUGMENT.CROP_ON_INSTANCE, rng)
        cut = [self._cut(one, window, zoom) for one in slices]
        middle = T.AugInput(cut[len(cut) // 2][0])
        transform = build_augmentations(self.cfg, rng)(middle)
        grey = np.stack([transform.apply_image(image) for image, _ in cut])
        foreground = np.stack([transform.apply_segmentation(mask) for _, mask in cut])
        return _example(grey, foreground.astype(bool), int(self.cfg.MITO.AUGMENT.CROP_PX))

    @property
    def _edge_px(self) -> int:
        """Edge of the crop with the margin that turns and deformations need."""
        return int(self.cfg.MITO.AUGMENT.CROP_PX) + 2 * crop_margin_px(self.cfg)

    def _slices(self, record: ImageInstances, rng: np.random.Generator) -> list[ImageInstances]:
        """Consecutive slices, the record among them, upwards or downwards."""
        run, position = self.runs[record.image, record.frame]
        depth = int(self.cfg.MITO.SEMANTIC.PATCH_SLICES)
        lowest = max(0, min(position - depth + 1, len(run) - depth))
        highest = max(lowest, min(position, len(run) - depth))
        first = int(rng.integers(lowest, highest + 1))
        chosen = [run[min(index, len(run) - 1)] for index in range(first, first + depth)]
        return chosen[::-1] if rng.random() < 0.5 else chosen

    def _cut(
        self, record: ImageInstances, window: tuple[int, int, int, int], zoom: float
    ) -> tuple[Volume, Volume]:
        """Zoomed window of a slice, and of its foreground: uint8 (h, w)."""
        x, y, width, height = window
        size = (_zoomed(width, zoom, self._edge_px), _zoomed(height, zoom, self._edge_px))
        image = self.slices._image(record)[y : y + height, x : x + width]
        mask = np.zeros((height, width), dtype=bool)
        for instance in record.masks:
            left, top, box_width, box_height = rle.box_xywh(instance)
            if (
                left < x + width and left + box_width > x
                and top < y + height and top + box_height > y
                and rle.area_px(instance) >= self.cfg.MITO.MIN_AREA_PX
            ):  # fmt: skip
                mask |= rle.crop(instance, window)
        return resize_image(image, size), resize_mask(mask, size)


def _zoomed(length_px: int, zoom: float, edge_px: int) -> int:
    """Length after zooming; rounding must not carry it beyond the crop."""
    return min(edge_px, max(1, round(length_px * zoom)))


def _window(
    record: ImageInstances, edge: float, on_instance: float, rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """Random (x, y, width, height) in the image, with a chance near an instance."""
    length = max(1, round(edge))
    height, width = min(length, record.image_hw[0]), min(length, record.image_hw[1])
    last_x, last_y = record.image_hw[1] - width, record.image_hw[0] - height
    if len(record) and rng.random() < on_instance:
        x, y, box_width, box_height = rle.box_xywh(record.masks[rng.integers(len(record))])
        left = rng.uniform(x, x + box_width) - rng.uniform(0.2, 0.8) * width
        top = rng.uniform(y, y + box_height) - rng.uniform(0.2, 0.8) * height
        return int(np.clip(left, 0, last_x)), int(np.clip(top, 0, last_y)), width, height
    return int(rng.integers(last_x + 1)), int(rng.integers(last_y + 1)), width, height


def _example(grey: Volume, foreground: Volume, edge: int) -> dict[str, Any]:
    """The patch, continued to the crop's edge where it is smaller."""
    padding = ((0, 0), (0, edge - grey.shape[1]), (0, edge - grey.shape[2]))
    valid = np.pad(np.ones(grey.shape, dtype=bool), padding)
    return {
        "volume": torch.from_numpy(np.pad(grey, padding, mode="edge")).float(),
        "foreground": torch.from_numpy(np.pad(foreground, padding)),
        "valid": torch.from_numpy(valid),
    }
