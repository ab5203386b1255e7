"""What a training that goes on must have in common with the one that a checkpoint is of."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode

from mito_instance.errors import ConfigError

logger = logging.getLogger(__name__)

_NOT_OF_A_STEP = (
    *("MITO.CLASS_NAMES", "MITO.EARLY_STOPPING_PATIENCE", "MITO.OPTIMIZER"),
    *("MODEL.WEIGHTS", "MODEL.DEVICE"),
)
_OF_THE_SOLVER = (
    *("SOLVER.IMS_PER_BATCH", "SOLVER.MOMENTUM", "SOLVER.NESTEROV", "SOLVER.CLIP_GRADIENTS."),
    *("SOLVER.WEIGHT_DECAY", "SOLVER.BIAS_LR_FACTOR"),
)
_MOST_NAMED = 5


def check_origin(saved: Mapping[str, Any], now: Mapping[str, Any], folder: str) -> None:
    """Refuse to go on with what a checkpoint does not fit, and say what has changed.

    Args:
        saved: seed, optimizer, number of steps, processes (0 where they do not matter), settings,
            training files and look-alikes (SHA-256) of the checkpoint's training; older
            checkpoints do not tell all.
        now: the same of this training.
        folder: ``OUTPUT_DIR``, for messages.

    Raises:
        ConfigError: for another seed or optimizer, or another number of processes where steps are
            counted by it.
    """
    if saved["seed"] != now["seed"]:
        raise ConfigError(
            f"{folder}: its checkpoint was made with --seed {saved['seed']}, not {now['seed']}; "
            "resume with that one"
        )
    if saved.get("optimizer", now["optimizer"]) != now["optimizer"]:
        raise ConfigError(
            f"{folder}: its checkpoint was made with MITO.OPTIMIZER {saved['optimizer']}, not "
            f"{now['optimizer']}; resume with that one"
        )
    if saved.get("processes", now["processes"]) != now["processes"]:
        raise ConfigError(
            f"{folder}: SOLVER.REFERENCE_WORLD_SIZE: steps are counted by the number of processes; "
            f"its checkpoint was made with {saved['processes'] or 'the key 0'}, not "
            f"{now['processes'] or 'the key 0'}; resume with as many"
        )
    if saved.get("steps", now["steps"]) != now["steps"]:
        logger.warning(
            "%s: was to end after %d steps, now after %d: from here on the learning rate is "
            "that of the longer or shorter schedule",
            folder,
            saved["steps"],
            now["steps"],
        )
    uses = ("files", "look-alikes")
    if any(list(saved.get(use, now[use])) != list(now[use]) for use in uses):
        logger.warning(
            "%s: the training files differ from those of the steps so far; it goes on with "
            "these, and the model card names these alone",
            folder,
        )
    before = dict(saved.get("settings", now["settings"]))
    changed = [
        f"{key} ({before[key]}, now {value})"
        for key, value in now["settings"].items()
        if key in before and before[key] != value
    ]
    if changed:
        more = f" and {len(changed) - _MOST_NAMED} more" if len(changed) > _MOST_NAMED else ""
        logger.warning(
            "%s: settings differ from those of the steps so far: %s%s; it goes on with these, and "
            "figures of before may not compare with those to come",
            folder,
            ", ".join(changed[:_MOST_NAMED]),
            more,
        )


def settings_of(cfg: CfgNode) -> dict[str, str]:
    """What a step does by the config, besides rates and files, as text by key.

    Args:
        cfg: of the training.
    """
    keys = dict(_leaves(cfg, ""))
    return {
        key: value
        for key, value in keys.items()
        if key.startswith(("MITO.", "MODEL.", *_OF_THE_SOLVER))
        and key not in _NOT_OF_A_STEP
        and not key.endswith(("LOOKALIKES", "_TEST"))
    }


def _leaves(node: CfgNode, prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in node.items():
        if isinstance(value, CfgNode):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(list(value) if isinstance(value, tuple) else value)


def check_steps_left(n_done: int, cfg: CfgNode) -> None:
    """Refuse to go on where the schedule's steps have no place for those that are done.

    Args:
        n_done: steps of the checkpoint.
        cfg: reads ``SOLVER``.

    Raises:
        ConfigError: if it is a schedule of steps that ends before.
    """
    solver = cfg.SOLVER
    if solver.LR_SCHEDULER_NAME == "WarmupMultiStepLR" and n_done > solver.MAX_ITER:
        raise ConfigError(
            f"SOLVER.MAX_ITER: must be at least the {n_done} steps that are done, got "
            f"{solver.MAX_ITER}"
        )


def check_best_stays(best: Mapping[str, Any] | None, weights: Path) -> None:
    """Refuse to go on without a validation where the one before left a model.

    At its end, such a training would put its last weights in the place of the best ones.

    Args:
        best: what the checkpoint's validation found best, if anything.
        weights: of the model folder.

    Raises:
        ConfigError: if they are there.
    """
    if best is not None and weights.is_file():
        raise ConfigError(
            f"{weights.parent}: holds the best model on validation (step {best['step']}), and "
            "without a validation the last weights would replace it; resume with --val, or move "
            "it away first"
        )
