"""The first examples of a training, as pictures with their instances."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from detectron2.config import CfgNode

from mito_instance.calibration import PixelSize
from mito_instance.detection.loader import build_train_loader
from mito_instance.instances import ImageInstances
from mito_instance.masks import rle


@dataclass(frozen=True, slots=True)
class TrainingPicture:
    """What the network sees of one example.

    Args:
        image: grey uint8 (h, w), augmented.
        instances: the truth that it learns from.
        caption: where it comes from and how much it shows.
    """

    image: npt.NDArray[np.uint8]
    instances: ImageInstances
    caption: str


def first_examples(
    cfg: CfgNode, records: Sequence[ImageInstances], seed: int, count: int
) -> Iterator[TrainingPicture]:
    """The first ``count`` examples of a training with this config and seed, in its order.

    Of a stack the middle slice is shown, its foreground as one instance.

    Args:
        cfg: from ``load_config``.
        records: from ``load_records``.
        seed: as of the training.
        count: how many.

    Raises:
        ConfigError: as ``build_train_loader``.
        AnnotationError: if an image does not fit its annotation.
    """
    cfg = cfg.clone()
    cfg.defrost()
    cfg.DATALOADER.NUM_WORKERS = 0
    batches = build_train_loader(cfg, list(records), seed)
    for example in itertools.islice(itertools.chain.from_iterable(batches), count):
        yield _picture_of_stack(example) if "volume" in example else _picture(example)


def describe_augmentation(cfg: CfgNode) -> list[str]:
    """The augmentations that a config has switched on, a few words each.

    Args:
        cfg: reads ``MITO``.
    """
    keys = cfg.MITO.AUGMENT
    low, high = keys.SCALE
    nm = float(cfg.MITO.PIXEL_SIZE_NM)
    at = f" at {nm:g} nm" if nm else ""
    turns = "8 orientations" if keys.QUARTER_TURNS else "flips, 180 deg"
    is_grey_changed = keys.GREY_PROBABILITY > 0
    is_curved = is_grey_changed and tuple(keys.GAMMA) != (1.0, 1.0)
    said = [
        (True, f"zoom {low:g} to {high:g}{at}"),
        (keys.ORIENTATIONS, turns),
        (keys.ROTATION_DEG, f"turns to {keys.ROTATION_DEG:g} deg"),
        (keys.ELASTIC_PX, f"elastic {keys.ELASTIC_PX:g} px"),
        (keys.COPY_PASTE_MAX, f"copy-paste to {keys.COPY_PASTE_MAX}"),
        (keys.ILLUMINATION, f"illumination {keys.ILLUMINATION:g}"),
        (keys.BLUR_SIGMA_PX, f"blur {keys.BLUR_SIGMA_PX:g} px"),
        (is_grey_changed, "contrast {:g} to {:g}".format(*keys.CONTRAST)),
        (is_grey_changed, "brightness {:g} to {:g}".format(*keys.BRIGHTNESS)),
        (is_curved, "gamma {:g} to {:g}".format(*keys.GAMMA)),
        (keys.SHOT_NOISE_ELECTRONS, f"shot noise from {keys.SHOT_NOISE_ELECTRONS:g} electrons"),
        (keys.NOISE_SIGMA, f"noise {keys.NOISE_SIGMA:g}"),
        (keys.CLAHE_CLIP_LIMIT, f"CLAHE {keys.CLAHE_CLIP_LIMIT:g}"),
    ]
    return [words for is_on, words in said if is_on]


def _picture(example: dict[str, Any]) -> TrainingPicture:
    """Of an example of ``MicrographMapper``."""
    image = _grey(example["image"][0].numpy())
    nm = example["pixel_size_nm"]
    name = Path(example["file_name"]).name
    page = f" page {example['frame'] + 1}" if example["frame"] else ""
    masks = example["instances"].gt_masks.tensor.numpy()
    scale = f"zoom {example['zoom']:.2f}" if nm is None else f"{nm:.3g} nm/px"
    found = ImageInstances(
        image=example["file_name"],
        image_hw=(image.shape[0], image.shape[1]),
        masks=tuple(rle.encode(mask) for mask in masks),
        pixel_size=None if nm is None else PixelSize(nm, "coco"),
    )
    return TrainingPicture(image, found, f"{name}{page}: {len(found)} instances, {scale}")


def _picture_of_stack(example: dict[str, Any]) -> TrainingPicture:
    """Of an example of ``StackMapper``."""
    depth = len(example["volume"])
    image = _grey(example["volume"][depth // 2].numpy())
    foreground = example["foreground"][depth // 2].numpy()
    found = ImageInstances(
        image="slice",
        image_hw=(image.shape[0], image.shape[1]),
        masks=(rle.encode(foreground),) if foreground.any() else (),
    )
    return TrainingPicture(image, found, f"slice {depth // 2 + 1} of {depth}")


def _grey(levels: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)
