"""A trained network as a model folder: weights, config and card, all that prediction needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from detectron2.config import CfgNode
from torch import nn

from mito_instance.detection.model_card import TrainingRecord, model_card
from mito_instance.detection.weights import CONFIG_NAME, WEIGHTS_NAME, save_model
from mito_instance.instances import ImageInstances
from mito_instance.io.coco_categories import MITOCHONDRION
from mito_instance.io.files import atomic_path, write_text_atomic

CARD_NAME = "MODEL_CARD.md"


def export_model(
    cfg: CfgNode,
    network: nn.Module,
    folder: Path,
    score_threshold: float,
    record: TrainingRecord | None = None,
) -> None:
    """Write weights, config and card of a network as a model folder, each file atomically.

    Args:
        cfg: the config that it was trained with.
        network: its weights are stored in fp16.
        folder: made if absent.
        score_threshold: the score from which a detection counts, stored in the config.
        record: what the card tells of the training; None leaves that out.

    Raises:
        ConfigError: if the folder cannot be written.
    """
    with atomic_path(folder / WEIGHTS_NAME) as temporary:
        save_model(network, temporary)
        # safetensors lets nobody else read it, which is wrong for a folder shared in a lab.
        temporary.chmod(0o644)
    write_text_atomic(folder / CONFIG_NAME, _portable(cfg, score_threshold).dump())
    write_card(cfg, folder, score_threshold, record)


def write_card(
    cfg: CfgNode, folder: Path, score_threshold: float, record: TrainingRecord | None
) -> None:
    """Write the card of a model folder whose weights and config are there.

    Args:
        cfg: the config that it was trained with.
        folder: holds ``model.safetensors`` and ``config.yaml``.
        score_threshold: the score from which a detection counts.
        record: what is known of the training.
    """
    portable = _portable(cfg, score_threshold)
    text = model_card(portable, folder / WEIGHTS_NAME, folder / CONFIG_NAME, record)
    # Names of files need not be UTF-8.
    readable = text.encode("utf-8", "backslashreplace").decode("utf-8")
    write_text_atomic(folder / CARD_NAME, readable)


def with_choices(cfg: CfgNode, figures: Mapping[str, float]) -> CfgNode:
    """The config with what a validation chose besides the score threshold.

    Args:
        cfg: the config of the training.
        figures: of the validation; ``foreground_threshold`` is taken over.
    """
    if "foreground_threshold" not in figures:
        return cfg
    chosen = cfg.clone()
    chosen.defrost()
    chosen.MITO.SEMANTIC.FOREGROUND_THRESHOLD = float(figures["foreground_threshold"])
    chosen.freeze()
    return chosen


def with_data(cfg: CfgNode, images: Sequence[ImageInstances]) -> CfgNode:
    """The config of a model that learned from these images: its classes' names, its pixel size.

    Images without a pixel size are learned as they are. Where no image has one, the model knows
    the pixels of these images, whatever they are, and none that can be stated.

    Args:
        cfg: the config of the training.
        images: what was trained on.
    """
    known = {1: str(MITOCHONDRION["name"])}
    known.update(enumerate(map(str, cfg.MITO.CLASS_NAMES), start=1))
    for image in images:
        if len(image):  # others may come from a file without any, whose names say nothing
            known.update(image.category_names)
    numbers = range(1, int(cfg.MODEL.ROI_HEADS.NUM_CLASSES) + 1)
    names = [known.get(number, f"category {number}") for number in numbers]
    learned = cfg.clone()
    learned.defrost()
    learned.MITO.CLASS_NAMES = tuple(names)
    # Those of another model: it has learned the sizes that these images show.
    learned.MITO.FAMILIAR_PX = ()
    if images and all(image.pixel_size is None for image in images):
        learned.MITO.PIXEL_SIZE_NM = 0.0
    learned.freeze()
    return learned


def _portable(cfg: CfgNode, score_threshold: float) -> CfgNode:
    """The config without what belongs to the machine and the run."""
    portable = cfg.clone()
    portable.defrost()
    portable.MODEL.DEVICE = "auto"
    # Each keeps images in memory; a laptop has little of it.
    portable.DATALOADER.NUM_WORKERS = min(portable.DATALOADER.NUM_WORKERS, 1)
    portable.MODEL.WEIGHTS = ""
    if portable.MITO.PRECISION != "fp32":  # which every machine has
        portable.MITO.PRECISION = "auto"
    portable.MITO.SCORE_THRESHOLD = score_threshold
    portable.OUTPUT_DIR = "./output"
    portable.DATASETS.TRAIN = ()
    portable.DATASETS.TEST = ()
    # One number for each training file, and files of false detections: of no use elsewhere.
    portable.MITO.DATASET_REPEATS = ()
    portable.MITO.AUGMENT.LOOKALIKES = ()
    return portable
