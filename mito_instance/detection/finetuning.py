"""Adapting a model to a handful of images: what is learned, how long, and from which start."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.engine import HookBase
from tqdm import tqdm

from mito_instance.detection.architectures import MASK_RCNN
from mito_instance.detection.config import load_config
from mito_instance.detection.weights import CONFIG_NAME, WEIGHTS_NAME, shipped_model
from mito_instance.errors import ConfigError, WeightsError
from mito_instance.io.coco import read_coco

STEPS_BASE = 300
STEPS_PER_IMAGE = 40
MOST_STEPS = 800
WARMUP_STEPS = 20
N_VALIDATIONS = 4
"""Of a Mask R-CNN, the last one at the end. A semantic baseline has that one alone: by the AP of
two images, a worse step than the last was kept (Dice 0.69 instead of 0.73 after ten images)."""
SEMANTIC_ADAMW_LR = 0.001
ADAMW_LR = 0.0001
"""Its steps are as long as its rate, whatever the gradients: SGD's would be far too long. A Mask
R-CNN from ImageNet learns at twice that rate."""

# The early stages see edges and textures that tissues share; a few images would only spoil them.
_DEFAULTS = {
    "MODEL.BACKBONE.FREEZE_AT": 2,
    "MITO.SEMANTIC.FREEZE_ENCODER": False,
    "SOLVER.IMS_PER_BATCH": 4,
    "SOLVER.BASE_LR": 0.005,
    "SOLVER.LR_SCHEDULER_NAME": "WarmupCosineLR",
    "SOLVER.CHECKPOINT_PERIOD": 0,
    # Of a start that several GPUs trained, or whose rate did not fall to 0.
    "SOLVER.REFERENCE_WORLD_SIZE": 0,
    "SOLVER.BASE_LR_END": 0.0,
    "MITO.EMA_DECAY": 0.98,
    "MITO.EARLY_STOPPING_PATIENCE": 0,
    "MITO.EMPTY_IMAGE_REPEATS": 1.0,
    "MITO.AUGMENT.SCALE": "(0.75, 1.35)",
    "MITO.AUGMENT.CONTRAST": "(0.7, 1.3)",
    "MITO.AUGMENT.BRIGHTNESS": "(-0.1, 0.1)",
    "MITO.AUGMENT.GAMMA": "(0.7, 1.4)",
    "MITO.AUGMENT.BLUR_SIGMA_PX": 1.0,
    "MITO.AUGMENT.NOISE_SIGMA": 12.0,
    "MITO.AUGMENT.CROP_ON_INSTANCE": 0.5,
}

# A semantic baseline tells myelin and dark bodies by how dark they are: changing grey levels much
# unlearns that. A Mask R-CNN is not hurt by it.
_SEMANTIC_DEFAULTS = {
    "MITO.AUGMENT.CONTRAST": "(0.92, 1.08)",
    "MITO.AUGMENT.BRIGHTNESS": "(-0.03, 0.03)",
    "MITO.AUGMENT.GAMMA": "(0.92, 1.08)",
}


def model_folder(weights: Path | None) -> Path:
    """The folder of the model to start from.

    Args:
        weights: a model folder; None for the model that ships with the package.

    Raises:
        WeightsError: if the folder holds no model with its config.
    """
    if weights is None:
        return shipped_model()
    for name in (WEIGHTS_NAME, CONFIG_NAME):
        if not (weights / name).is_file():
            raise WeightsError(
                f"{weights}: no {name} in it; name a model folder, as mito train-net and "
                "mito finetune leave it"
            )
    return weights


def draws_from_probability(cfg: CfgNode) -> bool:
    """Whether a model is a semantic baseline: thresholds on its map decide what an instance is.

    Args:
        cfg: the model's config.
    """
    return bool(cfg.MODEL.META_ARCHITECTURE != MASK_RCNN)


def check_one_class(cfg: CfgNode, start: Path) -> None:
    """Refuse a model that tells kinds apart: a fine-tuning would teach it that all are the first.

    Args:
        cfg: the model's config.
        start: its folder, for the message.

    Raises:
        ConfigError: if it has several classes.
    """
    n_classes = int(cfg.MODEL.ROI_HEADS.NUM_CLASSES)
    if n_classes > 1 and not draws_from_probability(cfg):
        raise ConfigError(
            f"{start}: is a model of {n_classes} classes, and mito finetune knows mitochondria "
            f"alone; use mito train-net with MODEL.WEIGHTS {start}"
        )


def n_steps(n_images: int) -> int:
    """Length of the schedule: more images hold more to learn, up to a bound.

    Args:
        n_images: images to train on.

    Examples:
        >>> n_steps(3)
        420
        >>> n_steps(1000)
        800
    """
    return min(STEPS_BASE + STEPS_PER_IMAGE * n_images, MOST_STEPS)


def equal_shares(n_images: Sequence[int]) -> tuple[float, ...]:
    """How often an epoch shows the images of each part, so that all parts fill the same share.

    Args:
        n_images: images of each part, one or more.

    Returns:
        A number of at least 1 a part.

    Examples:
        >>> equal_shares([3, 12])
        (4.0, 1.0)
    """
    return tuple(max(n_images) / n for n in n_images)


def finetuning_config(
    start: Path,
    output: Path,
    train: Sequence[Path],
    val: Path | None,
    steps: int,
    overrides: Sequence[str] = (),
) -> CfgNode:
    """Config of a fine-tuning: the model's own architecture, and a short and gentle schedule.

    Args:
        start: model folder to start from.
        output: where logs go.
        train: COCO JSON files to train on; of several, each fills the same share of an epoch.
        val: COCO JSON to validate on, or None. A Mask R-CNN is measured on it several times, a
            semantic baseline at the end alone: its last step is the one to keep.
        steps: length of the schedule, unless an override tells it.
        overrides: ``KEY VALUE`` pairs that win.

    Raises:
        ConfigError: if the model's config or an override is not usable.
    """
    given = load_config(start / CONFIG_NAME, overrides)
    is_semantic = draws_from_probability(given)
    steps = int(given.SOLVER.MAX_ITER) if "SOLVER.MAX_ITER" in overrides[::2] else steps
    keys: dict[str, Any] = {
        **_DEFAULTS,
        **(_SEMANTIC_DEFAULTS if is_semantic else {}),
        "MODEL.WEIGHTS": start,
        "OUTPUT_DIR": output,
        "DATASETS.TRAIN": repr(tuple(map(str, train))),
        "MITO.DATASET_REPEATS": repr(equal_shares([len(read_coco(path)) for path in train])),
        # Those of the model's own training may lie on another machine.
        "MITO.AUGMENT.LOOKALIKES": "()",
        "DATASETS.TEST": repr((str(val),) if val is not None else ()),
        "SOLVER.MAX_ITER": steps,
        "SOLVER.WARMUP_ITERS": min(WARMUP_STEPS, steps // 5),
        "TEST.EVAL_PERIOD": 0 if is_semantic else max(1, steps // N_VALIDATIONS),
    }
    if given.MITO.OPTIMIZER == "adamw":
        keys["SOLVER.BASE_LR"] = SEMANTIC_ADAMW_LR if is_semantic else ADAMW_LR
    words = [str(word) for pair in keys.items() for word in pair]
    return load_config(start / CONFIG_NAME, [*words, *overrides])


class ProgressBar(HookBase):
    """Steps, time left and loss on stderr.

    Args:
        label: what is going on.
    """

    def __init__(self, label: str) -> None:
        self.label = label
        self.bar: Any = None

    def before_train(self) -> None:
        """Start the clock."""
        trainer = self.trainer
        self.bar = tqdm(
            total=trainer.max_iter,
            initial=trainer.start_iter,
            desc=self.label,
            unit="step",
            file=sys.stderr,
            mininterval=0.5 if sys.stderr.isatty() else 10.0,
        )

    def after_step(self) -> None:
        """One step further."""
        loss = self.trainer.storage.history("total_loss").avg(20)
        self.bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)
        self.bar.update()

    def after_train(self) -> None:
        """Leave the bar as it is."""
        if self.bar is not None:
            self.bar.close()
