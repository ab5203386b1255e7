"""Values of a config that mean nothing: refused by key, rule and value before anything starts."""

from __future__ import annotations

import logging
import math
import reprlib
from collections.abc import Mapping
from functools import reduce
from typing import Any

from detectron2.config import CfgNode, get_cfg

from mito_instance.detection.architectures import MASK_RCNN, SEMANTIC_2D, SEMANTIC_3D
from mito_instance.errors import ConfigError

logger = logging.getLogger(__name__)

LEAST_TILE_PX, LEAST_OVERLAP_PX = 64, 8
"""Those of `inference.tiling`, which this layer does not import; a test compares them."""

_FROM, _ABOVE = "from", "above"
Limits = Mapping[str, tuple[str, float, float]]
_LIMITS: Limits = {
    "MITO.MIN_AREA_PX": (_FROM, 0, math.inf),
    "MITO.MIN_OBJECTNESS": (_FROM, 0, 1),
    "MITO.MIN_PROPOSALS": (_FROM, 0, math.inf),
    "MITO.SCORE_THRESHOLD": (_FROM, 0, 1),
    "MITO.TILE_PX": (_FROM, LEAST_TILE_PX, math.inf),
    "MITO.TILE_OVERLAP_PX": (_FROM, LEAST_OVERLAP_PX, math.inf),
}
_OF_TRAINING: Limits = {
    "DATALOADER.NUM_WORKERS": (_FROM, 0, 256),
    "SOLVER.BASE_LR": (_ABOVE, 0, math.inf),
    "SOLVER.BASE_LR_END": (_FROM, 0, math.inf),
    "SOLVER.CHECKPOINT_PERIOD": (_FROM, 0, math.inf),
    "SOLVER.IMS_PER_BATCH": (_FROM, 1, math.inf),
    "SOLVER.MAX_ITER": (_FROM, 1, math.inf),
    "SOLVER.WARMUP_ITERS": (_FROM, 0, math.inf),
    "TEST.EVAL_PERIOD": (_FROM, 0, math.inf),
    "MITO.EARLY_STOPPING_PATIENCE": (_FROM, 0, math.inf),
    "MITO.FOREGROUND.HARD_PIXEL_FRACTION": (_ABOVE, 0, 1),
    "MITO.FOREGROUND.LOSS_WEIGHT": (_FROM, 0, math.inf),
    "MITO.HARD_BOX_FRACTION": (_ABOVE, 0, 1),
    "MITO.SEMANTIC.HARD_PIXEL_FRACTION": (_ABOVE, 0, 1),
    "MITO.SEMANTIC.BCE_WEIGHT": (_FROM, 0, math.inf),
    "MITO.SEMANTIC.DICE_WEIGHT": (_FROM, 0, math.inf),
}
# Detectron2's third one, WarmupStepWithFixedGammaLR, fails in the last step.
_SCHEDULES = ("WarmupCosineLR", "WarmupMultiStepLR")
_WARMUPS = ("constant", "linear")
_CLIP_TYPES = ("value", "norm")
# Detectron2's keys that nothing here reads, and what does it instead.
_UNREAD = {
    "SOLVER.AMP.ENABLED": "MITO.PRECISION",
    "INPUT.CROP.ENABLED": "MITO.AUGMENT.CROP_PX",
    "INPUT.RANDOM_FLIP": "MITO.AUGMENT.ORIENTATIONS",
    "INPUT.MIN_SIZE_TRAIN": "MITO.PIXEL_SIZE_NM and MITO.AUGMENT.SCALE",
    "INPUT.MAX_SIZE_TRAIN": "MITO.PIXEL_SIZE_NM and MITO.AUGMENT.SCALE",
    "INPUT.MIN_SIZE_TEST": "MITO.PIXEL_SIZE_NM",
    "INPUT.MAX_SIZE_TEST": "MITO.PIXEL_SIZE_NM",
    "DATALOADER.SAMPLER_TRAIN": "MITO.DATASET_REPEATS",
    "DATALOADER.REPEAT_THRESHOLD": "MITO.DATASET_REPEATS",
    "TEST.AUG.ENABLED": "mito quantify --tta",
    "TEST.PRECISE_BN.ENABLED": "",
}
# Those of which we know one value only: it, and what does the rest.
_FIXED: Mapping[str, tuple[Any, str]] = {
    "DATALOADER.FILTER_EMPTY_ANNOTATIONS": (False, "MITO.EMPTY_IMAGE_REPEATS 0"),
    "INPUT.MASK_FORMAT": ("bitmask", ""),
}
_PARTS = {
    "MODEL.ROI_HEADS.NAME": ("MitoROIHeads", "MitoCascadeROIHeads"),
    "MODEL.PROPOSAL_GENERATOR.NAME": ("MitoRPN",),
}
_FEW_STEPS = 10  # below, nobody expects to learn anything
_LEAST_NM, _MOST_NM = 0.01, 1e5


def check_ranges(cfg: CfgNode) -> None:
    """Refuse values out of range of the keys that every use of a model reads.

    Args:
        cfg: with all overrides.

    Raises:
        ConfigError: names the key, the rule and the value.
    """
    _check(cfg, _LIMITS)
    pixel_nm = cfg.MITO.PIXEL_SIZE_NM
    if pixel_nm != 0 and not _LEAST_NM <= pixel_nm <= _MOST_NM:
        raise ConfigError(
            f"MITO.PIXEL_SIZE_NM: must be nanometres from {_LEAST_NM:g} to {_MOST_NM:g}, or 0 to "
            f"resample nothing, got {pixel_nm:g}"
        )
    sizes = tuple(cfg.MITO.FAMILIAR_PX)
    if sizes and not (_are_two_numbers(sizes) and 0 < 2 * sizes[0] <= sizes[1] < math.inf):
        raise ConfigError(
            "MITO.FAMILIAR_PX: must be two sizes in pixels, the larger one at least twice the "
            f"smaller, such as (28, 90), or none, got {reprlib.repr(sizes)[:80]}"
        )
    limits = tuple(cfg.MITO.FOREGROUND.OUTLINE_LIMITS)
    if limits and not (_are_two_numbers(limits) and 0 <= limits[0] <= limits[1] <= 1):
        raise ConfigError(
            "MITO.FOREGROUND.OUTLINE_LIMITS: must be two ascending probabilities from 0 to 1, such "
            f"as (0.4, 0.6), or none, got {reprlib.repr(limits)[:80]}"
        )
    levels = tuple(cfg.MITO.CONTRAST_PERCENTILES)
    if not _are_two_numbers(levels) or not 0 <= levels[0] < 50 < levels[1] <= 100:
        raise ConfigError(
            "MITO.CONTRAST_PERCENTILES: must be two percentages, one below and one above 50, such "
            f"as (0.5, 99.5), got {reprlib.repr(levels)[:80]}"
        )


def check_training(cfg: CfgNode) -> None:
    """Refuse values out of range of the keys that trainings alone read, and what does nothing.

    A model predicts whatever they say. ``MITO.AUGMENT`` has a check of its own,
    ``check_augmentations``.

    Args:
        cfg: with all overrides.

    Raises:
        ConfigError: names the key, the rule and the value.
    """
    _check(cfg, _OF_TRAINING)
    if not 0 <= cfg.MITO.EMA_DECAY < 1:
        raise ConfigError(
            "MITO.EMA_DECAY: must be from 0 to below 1 (such as 0.999; 0: no running mean), got "
            f"{cfg.MITO.EMA_DECAY:g}"
        )
    if cfg.SOLVER.LR_SCHEDULER_NAME not in _SCHEDULES:
        raise ConfigError(
            f"SOLVER.LR_SCHEDULER_NAME: must be one of {', '.join(_SCHEDULES)}, got "
            f"{cfg.SOLVER.LR_SCHEDULER_NAME!r}"
        )
    if cfg.SOLVER.WARMUP_METHOD not in _WARMUPS:
        raise ConfigError(
            f"SOLVER.WARMUP_METHOD: must be {' or '.join(_WARMUPS)}, got "
            f"{cfg.SOLVER.WARMUP_METHOD!r}"
        )
    _check_schedule(cfg)
    is_cosine = cfg.SOLVER.LR_SCHEDULER_NAME == "WarmupCosineLR"
    if is_cosine and cfg.SOLVER.BASE_LR_END > cfg.SOLVER.BASE_LR:
        raise ConfigError(
            "SOLVER.BASE_LR_END: must be at most SOLVER.BASE_LR "
            f"({cfg.SOLVER.BASE_LR:g}), got {cfg.SOLVER.BASE_LR_END:g}"
        )
    _check_elements(cfg, "MITO.DATASET_REPEATS", (int, float), "numbers")
    for key in ("DATASETS.TRAIN", "DATASETS.TEST", "MITO.AUGMENT.LOOKALIKES"):
        _check_elements(cfg, key, (str,), "file names in quotes")
    clipping = cfg.SOLVER.CLIP_GRADIENTS
    if clipping.ENABLED and clipping.CLIP_TYPE not in _CLIP_TYPES:
        raise ConfigError(
            f"SOLVER.CLIP_GRADIENTS.CLIP_TYPE: must be {' or '.join(_CLIP_TYPES)}, got "
            f"{clipping.CLIP_TYPE!r}"
        )
    head = cfg.MODEL.ROI_BOX_HEAD
    if cfg.MITO.HARD_BOX_FRACTION < 1 and (head.USE_SIGMOID_CE or head.USE_FED_LOSS):
        raise ConfigError(
            "MITO.HARD_BOX_FRACTION: must be 1 with MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE or "
            f"USE_FED_LOSS, for it learns a softmax, got {cfg.MITO.HARD_BOX_FRACTION:g}"
        )
    if cfg.SEED >= 0:
        raise ConfigError(f"SEED {cfg.SEED}: is not read here; pass --seed {cfg.SEED} instead")
    classes = cfg.MODEL.ROI_HEADS.NUM_CLASSES
    if classes > 1 and cfg.MODEL.META_ARCHITECTURE != MASK_RCNN:
        raise ConfigError(
            "MODEL.ROI_HEADS.NUM_CLASSES: must be 1, got "
            f"{classes}: a semantic network learns one foreground; give a file with the "
            "mitochondria alone"
        )
    semantic = cfg.MITO.SEMANTIC
    if cfg.MODEL.META_ARCHITECTURE != MASK_RCNN and not semantic.BCE_WEIGHT + semantic.DICE_WEIGHT:
        raise ConfigError(
            "MITO.SEMANTIC.BCE_WEIGHT, DICE_WEIGHT: one must be above 0, got 0 and 0: nothing "
            "would be learned"
        )
    if cfg.MODEL.META_ARCHITECTURE == SEMANTIC_3D:
        if cfg.MITO.AUGMENT.COPY_PASTE_MAX:
            raise ConfigError(
                "MITO.AUGMENT.COPY_PASTE_MAX: nothing is pasted into the patches of a 3D network; "
                "set it to 0"
            )
        if cfg.MITO.SEMANTIC.FREEZE_ENCODER:
            raise ConfigError(
                "MITO.SEMANTIC.FREEZE_ENCODER: a 3D network has no encoder of its own to freeze; "
                "set it to False"
            )


def _check_schedule(cfg: CfgNode) -> None:
    """Refuse what Detectron2 would stop at without a word that helps."""
    solver = cfg.SOLVER
    steps = tuple(solver.STEPS)
    if solver.LR_SCHEDULER_NAME == "WarmupMultiStepLR":
        is_whole = all(type(step) is int and 0 < step != solver.MAX_ITER for step in steps)
        if not is_whole or sorted(set(steps)) != list(steps):
            raise ConfigError(
                "SOLVER.STEPS: must be rising steps above 0, none of them SOLVER.MAX_ITER "
                f"({solver.MAX_ITER}), got {reprlib.repr(steps)[:80]}"
            )
    world = solver.REFERENCE_WORLD_SIZE
    if world and (world < 0 or solver.IMS_PER_BATCH % world):
        raise ConfigError(
            "SOLVER.REFERENCE_WORLD_SIZE: must be 0, or divide SOLVER.IMS_PER_BATCH "
            f"({solver.IMS_PER_BATCH}), got {world}"
        )


def warn_of_idle_keys(cfg: CfgNode, *, has_validation: bool) -> None:
    """Say which keys of a training were set in vain, or nearly so.

    Args:
        cfg: with all overrides.
        has_validation: whether there is anything to measure on.
    """
    patience = cfg.MITO.EARLY_STOPPING_PATIENCE
    if patience and not (has_validation and cfg.TEST.EVAL_PERIOD):
        logger.warning(
            "MITO.EARLY_STOPPING_PATIENCE %d: ends no training without validations on the way; "
            "pass --val and TEST.EVAL_PERIOD, or set it to 0",
            patience,
        )
    if 2 * cfg.SOLVER.WARMUP_ITERS > cfg.SOLVER.MAX_ITER > _FEW_STEPS:
        logger.warning(
            "SOLVER.WARMUP_ITERS %d of SOLVER.MAX_ITER %d steps: the rate hardly rises before it "
            "falls, and little is learned; lower it to a tenth of the steps",
            cfg.SOLVER.WARMUP_ITERS,
            cfg.SOLVER.MAX_ITER,
        )
    semantic, maps = cfg.MITO.SEMANTIC, cfg.MITO.FOREGROUND
    if semantic.NEIGHBOUR_WEIGHT and cfg.MODEL.META_ARCHITECTURE != SEMANTIC_2D:
        logger.warning(
            "MITO.SEMANTIC.NEIGHBOUR_WEIGHT %g: only 2D semantic networks average over slices, and "
            "%s is none: it does nothing; set it to 0",
            semantic.NEIGHBOUR_WEIGHT,
            cfg.MODEL.META_ARCHITECTURE,
        )
    if (maps.COARSE_SHARE or tuple(maps.OUTLINE_LIMITS)) and not maps.ENABLED:
        logger.warning(
            "MITO.FOREGROUND.COARSE_SHARE, OUTLINE_LIMITS: do nothing without "
            "MITO.FOREGROUND.ENABLED True"
        )
    usual = get_cfg()
    meant: dict[str, tuple[Any, str]] = dict(_FIXED)
    meant |= {key: (_value(usual, key), other) for key, other in _UNREAD.items()}
    idle = [
        key + (f" (instead: {other})" if other else "")
        for key, (value, other) in meant.items()
        if _value(cfg, key) != value
    ]
    if idle:
        logger.warning("keys of Detectron2 that are not read here: %s", ", ".join(idle))
    for key, ours in _PARTS.items():
        name = _value(cfg, key)
        if cfg.MODEL.META_ARCHITECTURE == MASK_RCNN and name not in ours:
            logger.warning(
                "%s %s: knows none of our keys (MITO.HARD_BOX_FRACTION, MITO.MIN_OBJECTNESS, …); "
                "take %s",
                key,
                name,
                " or ".join(ours),
            )


def warn_of_frozen_noise(cfg: CfgNode) -> None:
    """Say that layers with random weights stay as they are in the training that begins.

    Args:
        cfg: with all overrides.
    """
    stages = cfg.MODEL.BACKBONE.FREEZE_AT
    if stages and not cfg.MODEL.WEIGHTS and cfg.MODEL.META_ARCHITECTURE == MASK_RCNN:
        logger.warning(
            "MODEL.WEIGHTS '': the first layers are random and, with MODEL.BACKBONE.FREEZE_AT %d, "
            "stay so; set it to 0",
            stages,
        )


def _are_two_numbers(values: tuple[Any, ...]) -> bool:
    return len(values) == 2 and all(isinstance(value, int | float) for value in values)


def _value(cfg: CfgNode, key: str) -> Any:
    return reduce(getattr, key.split("."), cfg)


def _check_elements(cfg: CfgNode, key: str, kinds: tuple[type, ...], what: str) -> None:
    wrong = [value for value in _value(cfg, key) if type(value) not in kinds]
    if wrong:
        raise ConfigError(f"{key}: must hold {what}, got {reprlib.repr(wrong[0])[:80]}")


def _shown(value: float) -> str:
    """A number for a message; whole ones may be too large for a float."""
    return "a number of more than 20 digits" if abs(value) >= 10**20 else f"{value:g}"


def _check(cfg: CfgNode, limits: Limits) -> None:
    for key, (kind, low, high) in limits.items():
        value = _value(cfg, key)
        if not (value > low if kind == _ABOVE else value >= low) or not value <= high:
            bounds = f"{kind} {low:g}" + (f" to {high:g}" if high < math.inf else " on")
            raise ConfigError(f"{key}: must be {bounds}, got {_shown(value)}")
