"""Which augmentations a config asks for, in which order, and what crop they need."""

from __future__ import annotations

import math

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import transforms as T

from mito_instance.detection.augment.copy_paste import CopyPaste
from mito_instance.detection.augment.geometry import (
    MAX_ROTATION_DEG,
    RandomOrientation,
    RandomWarp,
)
from mito_instance.detection.augment.grey import (
    RandomBlur,
    RandomClahe,
    RandomGreyLevels,
    RandomIllumination,
    RandomNoise,
    RandomShotNoise,
)
from mito_instance.errors import ConfigError

_PROBABILITIES = ("ELASTIC", "ILLUMINATION", "BLUR", "GREY", "SHOT_NOISE", "NOISE", "CLAHE")


def build_augmentations(cfg: CfgNode, rng: np.random.Generator) -> T.AugmentationList:
    """What happens to a crop after it has been cut out and zoomed, in order.

    First what moves pixels, then what the microscope does to the light (illumination, focus,
    gain, noise of counting and of electronics), last what people do to the picture (CLAHE).

    Args:
        cfg: reads ``MITO.AUGMENT``.
        rng: source of all randomness.
    """
    keys = cfg.MITO.AUGMENT
    steps: list[T.Augmentation] = []
    if keys.ORIENTATIONS:
        steps.append(RandomOrientation(rng, keys.QUARTER_TURNS))
    if crop_margin_px(cfg):
        steps.append(
            RandomWarp(
                rng,
                keys.ROTATION_DEG,
                keys.ELASTIC_PX,
                keys.ELASTIC_CELL_PX,
                keys.ELASTIC_PROBABILITY,
                keys.CROP_PX,
            )
        )
    steps += [
        RandomIllumination(rng, keys.ILLUMINATION, keys.ILLUMINATION_PROBABILITY),
        RandomBlur(rng, keys.BLUR_SIGMA_PX, keys.BLUR_PROBABILITY),
        RandomGreyLevels(
            rng,
            tuple(keys.CONTRAST),
            tuple(keys.BRIGHTNESS),
            tuple(keys.GAMMA),
            keys.GREY_PROBABILITY,
        ),
        RandomShotNoise(rng, keys.SHOT_NOISE_ELECTRONS, keys.SHOT_NOISE_PROBABILITY),
        RandomNoise(rng, keys.NOISE_SIGMA, keys.NOISE_PROBABILITY),
        RandomClahe(rng, keys.CLAHE_CLIP_LIMIT, keys.CLAHE_PROBABILITY),
    ]
    return T.AugmentationList(steps)


def build_copy_paste(cfg: CfgNode, rng: np.random.Generator) -> CopyPaste | None:
    """The copy-paste of a config, or None if it asks for none.

    Args:
        cfg: reads ``MITO.AUGMENT`` and ``MITO.MIN_AREA_PX``.
        rng: source of all randomness.
    """
    keys = cfg.MITO.AUGMENT
    if not keys.COPY_PASTE_MAX:
        return None
    orientation = RandomOrientation(rng, keys.QUARTER_TURNS) if keys.ORIENTATIONS else None
    return CopyPaste(
        rng, keys.COPY_PASTE_MAX, keys.COPY_PASTE_SEAM_PX, cfg.MITO.MIN_AREA_PX, orientation
    )


def crop_margin_px(cfg: CfgNode) -> int:
    """Pixels around a crop that a turn or a deformation carries into it; 0 without either.

    Args:
        cfg: reads ``MITO.AUGMENT``.
    """
    keys = cfg.MITO.AUGMENT
    if not keys.ROTATION_DEG and not keys.ELASTIC_PX:
        return 0
    angle = math.radians(keys.ROTATION_DEG)
    turned_px = float(keys.CROP_PX) / 2 * (math.cos(angle) + math.sin(angle) - 1)
    return math.ceil(turned_px + float(keys.ELASTIC_PX)) + 2


def check_augmentations(cfg: CfgNode) -> None:
    """Refuse values that mean nothing, before a worker process meets them.

    Args:
        cfg: reads ``MITO.AUGMENT``.

    Raises:
        ConfigError: names the key, the rule and the value.
    """
    keys = cfg.MITO.AUGMENT
    limits: dict[str, tuple[float, float]] = {
        "CROP_PX": (16, math.inf),
        "CROP_ON_INSTANCE": (0, 1),
        "ROTATION_DEG": (0, MAX_ROTATION_DEG),
        "ELASTIC_CELL_PX": (8, math.inf),
        "ELASTIC_PX": (0, keys.ELASTIC_CELL_PX / 4),
        "ILLUMINATION": (0, 1),
        "BLUR_SIGMA_PX": (0, math.inf),
        "SHOT_NOISE_ELECTRONS": (0, math.inf),
        "NOISE_SIGMA": (0, math.inf),
        "CLAHE_CLIP_LIMIT": (0, 1000),
        "COPY_PASTE_MAX": (0, 1000),
        "COPY_PASTE_SEAM_PX": (0, 32),
        "LOOKALIKE_SHARE": (0, 1),
        **{f"{name}_PROBABILITY": (0, 1) for name in _PROBABILITIES},
    }
    for name, (low, high) in limits.items():
        if not low <= keys[name] <= high:
            bounds = f"from {low:g} to {high:g}" if high < math.inf else f"at least {low:g}"
            remedy = ", a quarter of ELASTIC_CELL_PX" if name == "ELASTIC_PX" else ""
            raise ConfigError(f"MITO.AUGMENT.{name}: must be {bounds}{remedy}, got {keys[name]:g}")
    if len(keys.LOOKALIKES) and not keys.COPY_PASTE_MAX:
        raise ConfigError(
            "MITO.AUGMENT.LOOKALIKES: none is shown while COPY_PASTE_MAX is 0; set it to 1 or more"
        )
    ranges = {
        "SCALE": "two rising numbers above 0",
        "GAMMA": "two rising numbers above 0",
        "CONTRAST": "two rising numbers from 0 on",
        "BRIGHTNESS": "two rising fractions of 255, from -1 to 1",
    }
    for name, rule in ranges.items():
        given = tuple(keys[name])
        is_pair = len(given) == 2 and all(isinstance(value, int | float) for value in given)
        if not is_pair or not given[0] <= given[1] or not _is_in_range(name, given):
            raise ConfigError(f"MITO.AUGMENT.{name}: must be {rule}, got {given}")


def _is_in_range(name: str, bounds: tuple[float, float]) -> bool:
    if name == "BRIGHTNESS":
        return bounds[0] >= -1 and bounds[1] <= 1
    return bounds[0] >= 0 if name == "CONTRAST" else bounds[0] > 0
