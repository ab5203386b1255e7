"""Training patches of stacks: the same crop of consecutive slices, turned and shaded alike."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from detectron2.config import CfgNode
from detectron2.data import transforms as T

from mito_instance.detection.augment import (
    build_augmentations,
    log_uniform,
    resize_mask,
)
from mito_instance.detection.crops import (
    Window,
    edge_with_margin_px,
    random_window,
    surround,
    zoomed_px,
)
from mito_instance.detection.data import MicrographMapper
from mito_instance.errors import AnnotationError, MitoInstanceError
from mito_instance.instances import ImageInstances
from mito_instance.io.images import n_frames
from mito_instance.io.resizing import resize_image
from mito_instance.masks import rle
from mito_instance.semantic.stacks import Place, Series, SeriesOnDisk, runs_of

logger = logging.getLogger(__name__)

Volume = npt.NDArray[Any]


class StackMapper:
    """Makes a patch (D, edge, edge) around a record from the slices beside it.

    Crop, zoom and orientation are the same for all slices, and half of the patches are read in
    reverse; zoom is in the plane only. Noise differs from slice to slice. A run with fewer slices
    than a patch is continued with those that the file or folder has beside it, as in prediction,
    and where there are none with its first and last one; these, and what lies beyond the image,
    are marked as not valid.

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
        self.slices = MicrographMapper(cfg, seed, records)
        # A page that two files name is one slice.
        pages = list({(record.image, record.frame): record for record in records}.values())
        runs = runs_of(pages)
        if max(map(len, runs), default=0) < 2:
            raise AnnotationError(
                f"DATASETS.TRAIN: a 3D network learns from stacks, but none of the {len(pages)} "
                "images follows another; give pages of one file, or files of one folder with "
                "consecutive numbers, or train a 2D network (configs/semantic/unet2d.yaml)"
            )
        logger.info(
            "%d images in %d stacks of %d to %d slices",
            len(pages),
            len(runs),
            min(map(len, runs)),
            max(map(len, runs)),
        )
        self.runs = {
            (pages[index].image, pages[index].frame): ([pages[i] for i in run], position)
            for run in runs
            for position, index in enumerate(run)
        }
        self.disk = SeriesOnDisk()
        self.usable: dict[Place, bool] = {}

    def __call__(self, record: ImageInstances, position: int) -> dict[str, Any]:
        """Example number ``position`` of the training: a patch that the record is in.

        Returns:
            ``volume`` float32 in [0, 255], ``foreground`` and ``valid`` bool: (D, edge, edge).
        """
        rng = np.random.default_rng([self.seed, position])
        slices, is_real = self._slices(record, rng)
        zoom = log_uniform(rng, tuple(self.cfg.MITO.AUGMENT.SCALE))
        if record.pixel_size is not None and self.cfg.MITO.PIXEL_SIZE_NM:
            zoom *= record.pixel_size.nm / self.cfg.MITO.PIXEL_SIZE_NM
        boxes = np.array([rle.box_xywh(mask) for mask in record.masks]).reshape(-1, 4)
        window, beyond = random_window(self.cfg, record.image_hw, boxes, zoom, rng)
        cut = [self._cut(one, window, zoom) for one in slices]
        images = [surround(image, beyond) for image, _, _ in cut]
        masks = [np.pad(mask, beyond) for _, mask, _ in cut]
        inside = [np.pad(1 - specks, beyond) for _, _, specks in cut]
        transform = build_augmentations(self.cfg, rng)(T.AugInput(images[len(images) // 2]))
        grey = np.stack([transform.apply_image(image) for image in images])
        foreground = np.stack([transform.apply_segmentation(mask) for mask in masks])
        known = np.stack([transform.apply_segmentation(mask) for mask in inside])
        valid = is_real[:, None, None] & known.astype(bool)
        crop_px = int(self.cfg.MITO.AUGMENT.CROP_PX)
        return _example(grey, foreground.astype(bool), valid, crop_px)

    def _slices(
        self, record: ImageInstances, rng: np.random.Generator
    ) -> tuple[list[ImageInstances], npt.NDArray[np.bool_]]:
        """Consecutive slices, the record among them, upwards or downwards.

        A run that is too short lies in the middle, between slices that nobody outlined: for each
        slice, whether it is none of these.
        """
        run, position = self.runs[record.image, record.frame]
        depth = int(self.cfg.MITO.SEMANTIC.PATCH_SLICES)
        before = max(0, depth - len(run)) // 2
        lowest = max(0, min(position - depth + 1, len(run) - depth))
        highest = max(lowest, min(position, len(run) - depth))
        places = np.arange(depth) + int(rng.integers(lowest, highest + 1)) - before
        if rng.random() < 0.5:
            places = places[::-1]
        chosen = [
            run[place] if 0 <= place < len(run) else self._beside(run, int(place))
            for place in places
        ]
        return chosen, (places >= 0) & (places < len(run))

    def _beside(self, run: list[ImageInstances], place: int) -> ImageInstances:
        """A slice before (place < 0) or after a run, without instances; the nearest one if none."""
        end, step = (run[0], place) if place < 0 else (run[-1], place - len(run) + 1)
        series = self._series(end)
        direction = 1 if step > 0 else -1
        for further in range(step, 0, -direction):
            position = series.position + further
            if not 0 <= position < len(series.places):
                continue
            path, frame = series.places[position]
            found = replace(end, image=str(path), frame=frame, masks=(), category_ids=(), names=(),
                            groups=(), track_ids=(), crowds=(), scores=None)  # fmt: skip
            if self._is_usable(found, end):
                return found
        return end

    def _series(self, record: ImageInstances) -> Series:
        path = Path(record.image)
        return self.disk.around(path, record.frame, n_frames(path))

    def _is_usable(self, found: ImageInstances, end: ImageInstances) -> bool:
        """Whether a slice that nobody outlined can be shown beside one; no other stack's can."""
        place = (Path(found.image), found.frame)
        if place not in self.usable:
            try:
                self.slices._image(found)  # fails where it has another size
                self.usable[place] = found.image == end.image or n_frames(place[0]) == 1
            except MitoInstanceError:
                self.usable[place] = False
        return self.usable[place]

    def _cut(
        self, record: ImageInstances, window: Window, zoom: float
    ) -> tuple[Volume, Volume, Volume]:
        """Zoomed window of a slice, of its foreground and of what is too small: uint8 (h, w)."""
        x, y, width, height = window
        edge_px = edge_with_margin_px(self.cfg)
        size = (zoomed_px(width, zoom, edge_px), zoomed_px(height, zoom, edge_px))
        image = self.slices._image(record)[y : y + height, x : x + width]
        mask = np.zeros((height, width), dtype=bool)
        specks = np.zeros_like(mask)
        for instance in record.masks:
            left, top, box_width, box_height = rle.box_xywh(instance)
            if (
                left < x + width and left + box_width > x
                and top < y + height and top + box_height > y
            ):  # fmt: skip
                is_speck = rle.area_px(instance) * zoom**2 < self.cfg.MITO.MIN_AREA_PX
                of_its_kind = specks if is_speck else mask
                of_its_kind |= rle.crop(instance, window)
        specks &= ~mask
        return resize_image(image, size), resize_mask(mask, size), resize_mask(specks, size)


def _example(grey: Volume, foreground: Volume, valid: Volume, edge: int) -> dict[str, Any]:
    """The patch, continued to the crop's edge where it is smaller."""
    padding = ((0, 0), (0, edge - grey.shape[1]), (0, edge - grey.shape[2]))
    return {
        "volume": torch.from_numpy(np.pad(grey, padding, mode="edge")).float(),
        "foreground": torch.from_numpy(np.pad(foreground, padding)),
        "valid": torch.from_numpy(np.pad(valid, padding)),
    }
