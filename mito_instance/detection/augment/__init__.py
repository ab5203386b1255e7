"""Augmentations for electron micrographs, each with its own source of randomness."""

from mito_instance.detection.augment.copy_paste import CopyPaste, Crop, Cutting
from mito_instance.detection.augment.draws import log_uniform
from mito_instance.detection.augment.geometry import (
    CentreCropTransform,
    OrientationTransform,
    RandomOrientation,
    RandomWarp,
    WarpTransform,
    resize_mask,
)
from mito_instance.detection.augment.grey import (
    GreyTransform,
    RandomBlur,
    RandomClahe,
    RandomGreyLevels,
    RandomIllumination,
    RandomNoise,
    RandomShotNoise,
)
from mito_instance.detection.augment.sequence import (
    build_augmentations,
    build_copy_paste,
    check_augmentations,
    crop_margin_px,
)

__all__ = [
    "CentreCropTransform",
    "CopyPaste",
    "Crop",
    "Cutting",
    "GreyTransform",
    "OrientationTransform",
    "RandomBlur",
    "RandomClahe",
    "RandomGreyLevels",
    "RandomIllumination",
    "RandomNoise",
    "RandomOrientation",
    "RandomShotNoise",
    "RandomWarp",
    "WarpTransform",
    "build_augmentations",
    "build_copy_paste",
    "check_augmentations",
    "crop_margin_px",
    "log_uniform",
    "resize_mask",
]
