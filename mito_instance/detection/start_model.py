"""A training that starts from a model folder must feed the network as that model was fed."""

from __future__ import annotations

import logging
from functools import reduce
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode

from mito_instance.detection.architectures import MASK_RCNN, SEMANTIC_2D
from mito_instance.detection.config import load_config
from mito_instance.detection.image_list import IMAGE_LIST_NAME
from mito_instance.detection.weights import CONFIG_NAME, WEIGHTS_NAME, resolve_weights
from mito_instance.errors import ConfigError, MitoInstanceError, WeightsError

logger = logging.getLogger(__name__)

_FEEDS = ("MODEL.PIXEL_MEAN", "MODEL.PIXEL_STD")
_STRIDE = "MODEL.RESNETS.STRIDE_IN_1X1"
_SHAPES = (
    "MODEL.ANCHOR_GENERATOR.SIZES",
    "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS",
    "MITO.CONTRAST_PERCENTILES",
)
_LEAST_BOTTLENECKS = 50  # ResNets with fewer layers have none, and no stride to move


def start_folder(weights: str) -> Path | None:
    """The model folder that ``MODEL.WEIGHTS`` names; None where it is a file of another kind."""
    try:
        path = resolve_weights(weights)
    except WeightsError:  # none are named, or there are none of that name: said when they load
        return None
    is_model = path.name == WEIGHTS_NAME and path.with_name(CONFIG_NAME).is_file()
    return path.parent if is_model else None


def start_images(weights: str) -> Path | None:
    """The list of images that the model at the start learned from, which may be absent."""
    folder = start_folder(weights)
    return None if folder is None else folder / IMAGE_LIST_NAME


def check_start(cfg: CfgNode, *, warns: bool = True) -> None:
    """Refuse a model folder at the start whose network was fed in another way.

    All tensors would load, and its features be noise without an error. Other anchors and other
    grey levels are learned again; a warning says so.

    Args:
        cfg: of the training that begins.
        warns: whether this process says what is not refused.

    Raises:
        ConfigError: if grey levels are divided otherwise, or bottlenecks halve the resolution in
            another layer.
    """
    folder = start_folder(cfg.MODEL.WEIGHTS)
    if folder is None:
        return
    try:
        start = load_config(folder / CONFIG_NAME)
    except MitoInstanceError as error:
        if warns:
            logger.warning("%s; whether the training fits this start is not known", error)
        return
    if start.MODEL.META_ARCHITECTURE != cfg.MODEL.META_ARCHITECTURE:
        return
    wrong = _differing(start, cfg, (*_FEEDS, _STRIDE) if _has_bottlenecks(cfg) else _FEEDS)
    if wrong:
        raise ConfigError(
            f"{folder}: its network is fed otherwise than this config does; add {' '.join(wrong)}"
        )
    if warns and (others := _differing(start, cfg, _SHAPES)):
        logger.warning(
            "%s: differs from this config and has to be learned again; to keep it, add %s",
            folder,
            " ".join(others),
        )


def _has_bottlenecks(cfg: CfgNode) -> bool:
    """Whether the network has blocks whose stride can be in one layer or another."""
    if cfg.MODEL.META_ARCHITECTURE == MASK_RCNN:
        return int(cfg.MODEL.RESNETS.DEPTH) >= _LEAST_BOTTLENECKS
    depth = int(cfg.MITO.SEMANTIC.ENCODER.removeprefix("resnet"))
    return cfg.MODEL.META_ARCHITECTURE == SEMANTIC_2D and depth >= _LEAST_BOTTLENECKS


def _differing(start: CfgNode, cfg: CfgNode, keys: tuple[str, ...]) -> list[str]:
    """Those keys that the start has otherwise, with its values as they are typed."""
    has_channels = cfg.MODEL.META_ARCHITECTURE == MASK_RCNN
    return [
        f"{key} {_typed(_value(start, key))}"
        for key in keys
        if _plain(_value(start, key), has_channels) != _plain(_value(cfg, key), has_channels)
    ]


def _typed(value: Any) -> str:
    return f"'{value}'" if isinstance(value, list | tuple) else str(value)


def _plain(value: Any, has_channels: bool) -> Any:
    """Lists and tuples alike; of grey levels of three channels their mean, where one is fed."""
    if not isinstance(value, list | tuple):
        return value
    if not has_channels and all(isinstance(one, int | float) for one in value):
        return sum(value) / max(1, len(value))
    return [_plain(one, has_channels) for one in value]


def _value(cfg: CfgNode, key: str) -> Any:
    return reduce(getattr, key.split("."), cfg)
