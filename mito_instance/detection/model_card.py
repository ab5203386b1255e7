"""The card of a trained model: what it learned from, how well it did, what made it."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import detectron2
import torch
from detectron2.config import CfgNode
from safetensors import safe_open

from mito_instance import __version__
from mito_instance.annotations.image_files import page_of
from mito_instance.detection.architectures import MASK_RCNN, SEMANTIC_2D, SEMANTIC_3D
from mito_instance.instances import ImageInstances

_CHUNK_BYTES = 1 << 20


CROSS_VALIDATED = (
    "Figures and thresholds are of a cross-validation: each of the images above was predicted by a "
    "model that was trained like this one, but without it; this one was trained on all of them."
)
"""A note of a training whose figures are of others like it."""

LOOKALIKES = "look-alikes"
"""Use of a file of what only resembles a mitochondrion."""


class DataPage(NamedTuple):
    """One image or page of a training: the file, its 0-based page, and how much is outlined."""

    image: str
    frame: int
    n_instances: int


@dataclass(frozen=True, slots=True)
class DataFile:
    """One COCO file of a training.

    Args:
        name: the file's name, without its folder.
        use: ``"training"``, ``"look-alikes"`` or ``"validation"``.
        sha256: of the JSON file; those of the images stand in the list beside the card.
        n_images: images, empty ones included.
        n_instances: annotated instances.
        n_unsized: images whose pixel size is not known.
        pages: its images.
    """

    name: str
    use: str
    sha256: str
    n_images: int
    n_instances: int
    n_unsized: int = 0
    pages: tuple[DataPage, ...] = ()

    @classmethod
    def describe(cls, path: Path, use: str, images: Sequence[ImageInstances]) -> DataFile:
        """Hash a file whose content has been read.

        Args:
            path: the JSON file.
            use: ``"training"``, ``"look-alikes"`` or ``"validation"``.
            images: its content.
        """
        n_unsized = sum(image.pixel_size is None for image in images)
        pages = tuple(DataPage(image.image, image.frame, len(image)) for image in images)
        n_instances = sum(map(len, images))
        return cls(path.name, use, sha256(path), len(images), n_instances, n_unsized, pages)


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """What is known of a training.

    Args:
        files: its data.
        start: name of the weights that it began with; empty for random ones.
        seed: of all randomness.
        step: number of steps behind the exported weights.
        steps_planned: length of the schedule.
        steps_done: number of steps so far.
        validation: figures of the exported weights; empty without validation.
        notes: further sentences.
    """

    files: tuple[DataFile, ...]
    start: str
    seed: int
    step: int
    steps_planned: int
    steps_done: int
    validation: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def model_card(cfg: CfgNode, weights: Path, config: Path, record: TrainingRecord | None) -> str:
    """The card as Markdown; it names files, never the folders of the user's machine.

    Args:
        cfg: the model's config.
        weights: its safetensors file.
        config: its YAML file.
        record: what is known of the training; None says that nothing is.
    """
    nm = float(cfg.MITO.PIXEL_SIZE_NM)
    rows = [
        ("network", f"{cfg.MODEL.META_ARCHITECTURE}, {_backbone(cfg)}"),
        ("parameters", f"{_n_values(weights):,}"),
        ("pixel size", _pixel_size(nm, record)),
        ("score threshold", f"{float(cfg.MITO.SCORE_THRESHOLD):g} {_origin(record)}"),
        *([("classes", ", ".join(cfg.MITO.CLASS_NAMES))] if cfg.MITO.CLASS_NAMES else []),
        *_semantic_rows(cfg),
        ("weights", f"`{weights.name}`, SHA-256 `{sha256(weights)}`"),
        ("config", f"`{config.name}`, SHA-256 `{sha256(config)}`"),
        ("made with", _versions()),
    ]
    parts = [
        "# Model card",
        "Finds mitochondria in electron micrographs, one mask each. Use: "
        "`mito quantify IMAGES --weights FOLDER`, with this folder.",
        _table(("", ""), rows),
    ]
    if record is None:
        parts.append("Nothing is recorded of its training.")
    else:
        parts += _training(cfg, record)
    return "\n\n".join(parts) + "\n"


def n_learned_from(
    images: Sequence[ImageInstances], files: Sequence[DataFile], uses: Sequence[str]
) -> int:
    """How many images are among the pages that a training learns from.

    Args:
        images: those that it is measured on.
        files: of the training.
        uses: of these files that count; one with look-alikes counts for the pages that have any.
    """
    pages = {
        (Path(page.image).resolve(), page.frame)
        for file in files
        for page in file.pages
        if file.use in uses and (file.use != LOOKALIKES or page.n_instances)
    }
    return sum(page_of(image) in pages for image in images)


def sha256(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def start_name(weights: str) -> str:
    """What the card calls ``MODEL.WEIGHTS``: addresses as they are, paths without folders.

    Examples:
        >>> start_name("/home/ada/models/first/")
        'first'
        >>> start_name("shipped://mask_rcnn_light")
        'shipped://mask_rcnn_light'
    """
    return weights if "://" in weights else Path(weights).name


def _training(cfg: CfgNode, record: TrainingRecord) -> list[str]:
    crop = int(cfg.MITO.AUGMENT.CROP_PX)
    steps = f"{record.steps_done} of {record.steps_planned}"
    if record.step != record.steps_done:
        steps += f"; the weights are those of step {record.step}, the best on validation"
    rows = [
        ("start", f"`{start_name(record.start)}`" if record.start else "random weights"),
        ("steps", steps),
        ("a step", f"{cfg.SOLVER.IMS_PER_BATCH} crops of {crop}×{crop} px"),
        ("learning rate", f"{cfg.SOLVER.BASE_LR:g}, {cfg.SOLVER.LR_SCHEDULER_NAME}"),
        ("running mean of weights", f"{cfg.MITO.EMA_DECAY:g}" if cfg.MITO.EMA_DECAY else "no"),
        ("seed", str(record.seed)),
    ]
    given = _without_repeats(record.files)
    is_held_out = _is_held_out(record)
    files = [
        (f"`{file.name}`", file.use, str(file.n_images), str(file.n_instances), f"`{file.sha256}`")
        for file in given
    ]
    totals = []
    for use in ("training", "validation") if is_held_out else ("training",):
        chosen = [file for file in given if file.use == use]
        n_images = sum(file.n_images for file in chosen)
        n_instances = sum(file.n_instances for file in chosen)
        totals.append((use, str(n_images), str(n_instances)))
    parts = [
        "## Training",
        _table(("", ""), rows),
        "## Data",
        _table(("part", "images", "instances"), totals),
        _table(("COCO file", "part", "images", "instances", "SHA-256"), files),
        *(
            ["`images.csv`, written at the end, lists the images of each part with their SHA-256."]
            if _has_pages(record)
            else []
        ),
        "## Validation",
    ]
    if record.validation:
        figures = [(name, f"{value:.4g}") for name, value in record.validation.items()]
        parts.append(_table(("figure", "value"), figures))
        if int(cfg.MODEL.ROI_HEADS.NUM_CLASSES) > 1:
            parts.append("All classes count as one in these figures.")
        if not is_held_out and CROSS_VALIDATED not in record.notes:
            parts.append("These are of images that were trained on, and say little of others.")
        elif is_held_out and (what := _chosen(cfg, record.validation)):
            parts.append(
                f"The validation images chose {what}, so these figures are "
                "a little too good; images that nothing was chosen on tell more."
            )
        if "score_threshold" not in record.validation:
            parts.append(
                "No prediction on the validation images was right, so the score threshold is not "
                "chosen: judge it by eye."
            )
    else:
        parts.append(
            "None: the model was not measured. Compare its results with outlines of your own, "
            "on images that are not in the training data (`mito evaluate`)."
        )
    return [*parts, *record.notes]


def _without_repeats(files: Sequence[DataFile]) -> list[DataFile]:
    """Files of a training without those of a validation that it learns from: none are held out."""
    learned = {file.sha256 for file in files if file.use == "training"}
    return [file for file in files if file.use != "validation" or file.sha256 not in learned]


def _is_held_out(record: TrainingRecord) -> bool:
    return len(_without_repeats(record.files)) == len(record.files)


def _has_pages(record: TrainingRecord) -> bool:
    return any(file.pages for file in record.files)


def _chosen(cfg: CfgNode, figures: Mapping[str, float]) -> str:
    """What validation decided: several measurements in a training choose the step, too."""
    thresholds = ("foreground threshold", "score threshold")
    what = [f"the {name}" for name in thresholds if name.replace(" ", "_") in figures]
    if 0 < cfg.TEST.EVAL_PERIOD < cfg.SOLVER.MAX_ITER and "ap" in figures:
        what.append("the step")
    return " and ".join(what) if len(what) < 3 else f"{what[0]}, {what[1]} and {what[2]}"


def _origin(record: TrainingRecord | None) -> str:
    if record is None:
        return ""
    if "score_threshold" not in record.validation:
        return "(not chosen on this data)"
    if CROSS_VALIDATED in record.notes:
        return "(chosen by cross-validation)"
    return (
        "(chosen on validation)"
        if _is_held_out(record)
        else "(chosen on the images of the training)"
    )


def _pixel_size(nm: float, record: TrainingRecord | None) -> str:
    """What images are brought to, and how much of the training could be."""
    if not nm:
        return "as in the images; none is resampled"
    files = [] if record is None else [file for file in record.files if file.use == "training"]
    n_unsized = sum(file.n_unsized for file in files)
    if not n_unsized:
        return f"{nm:g} nm"
    n_images = sum(file.n_images for file in files)
    return f"{nm:g} nm; {n_unsized} of {n_images} training images stated none: taken as they are"


def _semantic_rows(cfg: CfgNode) -> list[tuple[str, str]]:
    """How a semantic network's map becomes instances; nothing for Mask R-CNN."""
    if cfg.MODEL.META_ARCHITECTURE == MASK_RCNN:
        return []
    keys = cfg.MITO.SEMANTIC
    return [
        ("foreground threshold", f"{float(keys.FOREGROUND_THRESHOLD):g}"),
        (
            "instances",
            f"watershed from seeds of probability {float(keys.SEED_THRESHOLD):g} and more",
        ),
    ]


def _backbone(cfg: CfgNode) -> str:
    keys = cfg.MITO.SEMANTIC
    if cfg.MODEL.META_ARCHITECTURE == SEMANTIC_2D:
        return f"{keys.NETWORK} with a {keys.ENCODER} encoder"
    if cfg.MODEL.META_ARCHITECTURE == SEMANTIC_3D:
        channels = ", ".join(map(str, keys.CHANNELS_3D))
        return f"U-Net of {channels} channels on patches of {keys.PATCH_SLICES} slices"
    return f"ResNet-{cfg.MODEL.RESNETS.DEPTH} with a {cfg.MODEL.FPN.OUT_CHANNELS}-channel FPN"


def _n_values(weights: Path) -> int:
    with safe_open(str(weights), framework="np") as file:
        shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118
    return sum(_product(shape) for shape in shapes)


def _product(shape: Sequence[int]) -> int:
    product = 1
    for length in shape:
        product *= length
    return product


def _versions() -> str:
    return (
        f"mito-instance {__version__}, torch {torch.__version__.split('+')[0]}, "
        f"Detectron2 {detectron2.__version__}, Python {platform.python_version()}"
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )
