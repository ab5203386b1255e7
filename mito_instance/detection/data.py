"""Training data: COCO JSON to dataset records, and crops with their masks."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from detectron2.structures import BitMasks, Instances

from mito_instance.annotations.image_files import match_files, page_of
from mito_instance.detection.augment import (
    CopyPaste,
    Crop,
    build_augmentations,
    build_copy_paste,
    check_augmentations,
    log_uniform,
)
from mito_instance.detection.crops import (
    cut_crop,
    cut_instance,
    edge_with_margin_px,
    random_window,
    surround,
    window_around,
)
from mito_instance.detection.pixel_sizes import report_pixel_sizes
from mito_instance.errors import AnnotationError, ConfigError
from mito_instance.instances import ImageInstances
from mito_instance.io.coco import read_coco
from mito_instance.io.contrast import stretch_contrast
from mito_instance.io.images import read_page
from mito_instance.masks import rle

logger = logging.getLogger(__name__)

CACHE_BYTES = 1 << 30


def load_records(
    paths: Sequence[str], cfg: CfgNode, *, has_classes: bool = True
) -> list[ImageInstances]:
    """All images of several COCO files, empty ones included.

    A pixel size that a COCO file lacks is taken from the image file.

    Args:
        paths: COCO JSON files.
        cfg: ``MODEL.ROI_HEADS.NUM_CLASSES`` limits the category ids.
        has_classes: whether they are learned; those of look-alikes are not.

    Raises:
        ConfigError: if no file is named.
        AnnotationError: if a file is missing or damaged, holds no image, or an image that it
            names is not there or of another size, or has more categories than the network.
        ImageError: if an image file is damaged at its beginning.
    """
    if not paths:
        raise ConfigError("DATASETS: no COCO JSON named; pass --train FILE or DATASETS.TRAIN")
    records: list[ImageInstances] = []
    for path in paths:
        images = read_coco(Path(path))
        missing = [image.image for image in images if not Path(image.image).is_file()]
        if missing:
            raise AnnotationError(
                f"{path}: {len(missing)} of {len(images)} images are missing, first: {missing[0]}; "
                "file_name is relative to the JSON's folder"
            )
        classes = cfg.MODEL.ROI_HEADS.NUM_CLASSES
        used = {category for image in images for category in image.category_ids}
        if has_classes and used and (max(used) > classes or min(used) < 1):
            raise AnnotationError(
                f"{path}: category ids must be 1 to MODEL.ROI_HEADS.NUM_CLASSES ({classes}), "
                f"got {sorted(used)}; mito check {path} --fix OUT.json numbers an only category 1, "
                "for several set MODEL.ROI_HEADS.NUM_CLASSES"
            )
        records += match_files(images)
    return records


class MicrographMapper:
    """Turns one record into a training example: a zoomed, turned crop with its masks.

    Masks are decoded inside the crop only, so that a 4864×3704 px image with 500 instances
    costs no more than a small one.

    Args:
        cfg: reads ``MITO`` and ``MODEL``.
        seed: of the random numbers, >= 0.
        records: all images of the training: copy-paste takes instances from them; without any,
            from the example's own image.

    Raises:
        ConfigError: if a key of ``MITO.AUGMENT`` is out of range.
    """

    def __init__(self, cfg: CfgNode, seed: int, records: Sequence[ImageInstances] = ()) -> None:
        check_augmentations(cfg)
        self.cfg = cfg
        self.seed = seed
        self.sources = [record for record in records if len(record)]
        lookalikes = tuple(cfg.MITO.AUGMENT.LOOKALIKES)
        found = load_records(lookalikes, cfg, has_classes=False) if lookalikes else []
        sizes = {page_of(record): record.pixel_size for record in records}
        # One that lies in a training image is shown at that one's scale, whatever its file says.
        self.lookalikes = [
            replace(record, pixel_size=sizes.get(page_of(record), record.pixel_size))
            for record in found
            if len(record)
        ]
        report_pixel_sizes(cfg, records, self.lookalikes)
        self.cache: OrderedDict[tuple[str, int], npt.NDArray[np.uint8]] = OrderedDict()

    def __call__(self, record: ImageInstances, position: int) -> dict[str, Any]:
        """Example in Detectron2's format.

        Args:
            record: what to show.
            position: number of the example in the training's order. All randomness comes from
                the seed and this number, so that neither workers nor interruptions change it.

        Returns:
            ``image``: float32 (3, h, w) in [0, 255]; ``instances``: boxes, classes and masks,
            possibly none; ``valid``: bool (h, w), False beyond the file's image and on specks
            (``MITO.MIN_AREA_PX``), which are neither; ``file_name``,
            ``frame``, ``zoom`` (pixels of the example to a pixel of the file) and
            ``pixel_size_nm`` (of the example; None where unknown).
        """
        rng = np.random.default_rng([self.seed, position])
        image = self._image(record)
        boxes = np.array([rle.box_xywh(mask) for mask in record.masks]).reshape(-1, 4)
        scale = log_uniform(rng, tuple(self.cfg.MITO.AUGMENT.SCALE))
        zoom = scale * self._zoom_to_model(record)
        window, beyond = random_window(self.cfg, image.shape, boxes, zoom, rng)
        crop = cut_crop(image, record, boxes, window, zoom, edge_with_margin_px(self.cfg))
        copy_paste = build_copy_paste(self.cfg, rng)
        if copy_paste is not None:
            crop = self._paste(copy_paste, crop, record, scale, rng)
        augmented = T.AugInput(surround(crop.image, beyond))
        transform = build_augmentations(self.cfg, rng)(augmented)
        valid, *masks = (
            transform.apply_segmentation(np.pad(mask, beyond))
            for mask in (np.ones_like(crop.image), *crop.masks)
        )
        example, specks = _example(augmented.image, masks, crop.classes, self.cfg.MITO.MIN_AREA_PX)
        return example | {
            "valid": torch.from_numpy(valid.astype(bool) & ~specks),
            "file_name": record.image,
            "frame": record.frame,
            "zoom": zoom,
            "pixel_size_nm": None if record.pixel_size is None else record.pixel_size.nm / zoom,
        }

    def _zoom_to_model(self, record: ImageInstances) -> float:
        """Factor that brings an image to ``MITO.PIXEL_SIZE_NM``; 1 where either is unknown."""
        if record.pixel_size is None or not self.cfg.MITO.PIXEL_SIZE_NM:
            return 1.0
        return float(record.pixel_size.nm / self.cfg.MITO.PIXEL_SIZE_NM)

    def _zoom_of_source(self, source: ImageInstances, record: ImageInstances) -> float:
        """Factor that brings what is cut from an image to the pixels of another one's crop."""
        if source.pixel_size is None or record.pixel_size is None:
            return self._zoom_to_model(source)
        return self._zoom_to_model(record) * source.pixel_size.nm / record.pixel_size.nm

    def _paste(
        self,
        copy_paste: CopyPaste,
        crop: Crop,
        record: ImageInstances,
        scale: float,
        rng: np.random.Generator,
    ) -> Crop:
        """The crop with instances of this and, half of the time, other images on it.

        Where there are look-alikes, some of what is pasted is one of them.
        """
        for _ in range(copy_paste.draw_count()):
            source, is_instance = record, True
            share = self.cfg.MITO.AUGMENT.LOOKALIKE_SHARE
            if self.lookalikes and rng.random() < share:
                source, is_instance = self.lookalikes[rng.integers(len(self.lookalikes))], False
            elif self.sources and (not len(record) or rng.random() < 0.5):
                source = self.sources[rng.integers(len(self.sources))]
            if not len(source):
                continue
            zoom = scale * self._zoom_of_source(source, record)
            index = int(rng.integers(len(source)))
            window = window_around(source, index, copy_paste.margin_px / zoom)
            if window is None or max(window[2:]) * zoom > max(crop.image.shape):
                continue
            cutting = cut_instance(
                self._image(source), source, index, window, zoom, is_instance=is_instance
            )
            crop = copy_paste(crop, cutting)
        return crop

    def _image(self, record: ImageInstances) -> npt.NDArray[np.uint8]:
        key = (record.image, record.frame)
        if key in self.cache:
            self.cache.move_to_end(key)
            return self.cache[key]
        pixels = read_page(Path(record.image), record.frame).pixels
        if pixels.shape != record.image_hw:
            raise AnnotationError(
                f"{record.image}: image is {pixels.shape} (height, width) but its annotation "
                f"says {record.image_hw}; convert the annotations anew"
            )
        image = stretch_contrast(pixels, tuple(self.cfg.MITO.CONTRAST_PERCENTILES))
        self.cache[key] = image
        while sum(cached.nbytes for cached in self.cache.values()) > CACHE_BYTES:
            self.cache.popitem(last=False)
        return image


def _example(
    image: npt.NDArray[np.uint8],
    masks: list[npt.NDArray[np.uint8]],
    classes: list[int],
    min_area_px: int,
) -> tuple[dict[str, Any], npt.NDArray[np.bool_]]:
    """Image and instances, and where (h, w) those lie that are too small."""
    kept = [number for number, mask in enumerate(masks) if mask.sum() >= max(1, min_area_px)]
    instances = Instances(image.shape)
    stack = np.zeros((len(kept), *image.shape), dtype=bool)
    specks = np.zeros(image.shape, dtype=bool)
    for number, mask in enumerate(masks):
        if number not in kept:
            specks |= mask.astype(bool)
    for row, number in enumerate(kept):
        stack[row] = masks[number]
        specks &= ~stack[row]
    bit_masks = BitMasks(torch.from_numpy(stack))
    instances.gt_masks = bit_masks
    instances.gt_boxes = bit_masks.get_bounding_boxes()
    instances.gt_classes = torch.tensor([classes[number] for number in kept], dtype=torch.int64)
    return {"image": to_network_input(image), "instances": instances}, specks


def to_network_input(grey: npt.NDArray[np.uint8]) -> torch.Tensor:
    """float32 (3, H, W) of a grey image (H, W): pretrained backbones expect three channels."""
    return torch.from_numpy(np.ascontiguousarray(grey)).float().expand(3, -1, -1)
