"""``mito finetune``: a model adapted to a handful of one's own images."""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mito_instance.calibration import MAX_NM, MIN_NM
from mito_instance.cli.command import CommandParser, checked_number, run, whole_number
from mito_instance.cli.outlined_images import add_outlined, read_outlined
from mito_instance.errors import ConfigError
from mito_instance.io.files import make_folder

if TYPE_CHECKING:
    from mito_instance.detection.model_card import DataFile
    from mito_instance.instances import ImageInstances

logger = logging.getLogger(__name__)

_DESCRIPTION = """\
Adapts a model to your tissue and microscope from a few images whose mitochondria are outlined:
ImageJ ROIs drawn by hand, or those of `mito quantify --rois` corrected in Fiji, or a COCO JSON.
Takes minutes to half an hour on a CPU for three images, and cannot be resumed. The output folder
is a model for `mito quantify --weights`.

Every mitochondrion in every image given must be outlined: what is not outlined is learned as
background. Where only a part of an image is outlined, --region gives that part. An ROI set without
any ROI says that its image shows none.

From five images on, about a fifth of them is held back: the best model on these is kept (of a
semantic baseline, the last one), and its score threshold is chosen on them. Of slices of one stack,
and of images with numbered names, which may be such, a neighbour of what is held back is left out:
there it is from six on. With fewer there is no validation, and the score threshold remains that of
the model at the start (a semantic baseline's are chosen on the training images).

With --also, images that were outlined earlier are learned beside yours, so that the network does
not learn these few by heart.

With --cross-validate, two images are enough for a validation: models are trained without one third
of the images each (of two and three, without one each) and measured on it, then the model itself on
all of them. That takes three to four times as long."""

_EXAMPLE = """\
example:
  mito finetune --rois corrected/ --images images/ -o my_model/
  mito quantify more_images/ --weights my_model/ > counts.csv

exit status: 0 done, 1 done but some ROIs or images could not be used (each is named), 2 nothing
could be done"""


def build_parser() -> CommandParser:
    """The arguments of ``finetune``."""
    parser = CommandParser("finetune", _DESCRIPTION, _EXAMPLE)
    data = parser.add_argument_group("outlined images (one of the two, or both)")
    add_outlined(data)
    data.add_argument(
        "--also",
        type=Path,
        nargs="+",
        metavar="JSON",
        help="COCO JSON files of other outlined images, as of a similar tissue, that are learned "
        "beside yours: half of what is shown; none of them is measured on",
    )
    data.add_argument(
        "--region",
        type=Path,
        metavar="ROI",
        help="the part that is outlined, one rectangle an image: a .roi for all images, or a "
        "folder of one each with the image's name; the rest, and images without one, are not used",
    )
    validation = data.add_mutually_exclusive_group()
    validation.add_argument(
        "--val", type=Path, metavar="JSON", help="COCO JSON to validate on; nothing is held back"
    )
    validation.add_argument(
        "--cross-validate",
        action="store_true",
        help="hold out each image once; figures and score threshold come from these",
    )
    data.add_argument(
        "--pixel-size-nm",
        type=checked_number(MIN_NM, MAX_NM),
        metavar="X",
        help=f"edge length of a pixel, {MIN_NM:g} to {MAX_NM:g} nm, in place of the files' own "
        "(of --also: where a file says none)",
    )
    data.add_argument(
        "--pixel-size-csv",
        type=Path,
        metavar="CSV",
        help="pixel sizes of the images of --rois and --coco, as for `mito quantify`",
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="folder of the new model"
    )
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="DIR",
        help="model folder to start from (default: the model in the package)",
    )
    parser.add_argument(
        "--steps",
        type=whole_number(1, 1_000_000),
        metavar="N",
        help="training steps (default: 340 to 800, by the number of images)",
    )
    parser.add_argument(
        "--seed", type=whole_number(0, 2**31), default=1, help="of all randomness (default: 1)"
    )
    parser.add_argument(
        "--set",
        nargs=2,
        action="append",
        default=[],
        metavar=("KEY", "VALUE"),
        dest="overrides",
        help="any key of the config, such as --set SOLVER.BASE_LR 0.002; may be repeated",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments without the program's name; by default those of the process.

    Returns:
        Exit code: 0 done, 1 done without some of the input, 2 nothing could be done.
    """
    return run(_finetune, build_parser().parse_args(argv))


def _finetune(args: argparse.Namespace) -> int:
    """Read and split the images, train, and leave the model in the output folder."""
    from mito_instance.detection import require_detectron2

    require_detectron2()
    from mito_instance.annotations.holdout import not_beside
    from mito_instance.annotations.image_files import page_of
    from mito_instance.cli.cross_validation import cross_validate
    from mito_instance.cli.finetune_parts import (
        check_instances,
        check_neighbours,
        check_not_overwritten,
        cut_to_regions,
        divide,
        notes_of,
        notes_of_learned,
        read_others,
        warn_of_lost_neighbours,
        write_parts,
    )
    from mito_instance.cli.validation import validation_of
    from mito_instance.detection.architectures import SEMANTIC_3D, sees_neighbours
    from mito_instance.detection.config import load_config
    from mito_instance.detection.finetuning import (
        check_one_class,
        draws_from_probability,
        finetuning_config,
        model_folder,
        n_steps,
    )
    from mito_instance.detection.image_list import (
        IMAGE_LIST_NAME,
        add_whole_images,
        n_learned_before,
    )
    from mito_instance.detection.model_card import CROSS_VALIDATED
    from mito_instance.detection.weights import CONFIG_NAME

    start = model_folder(args.weights)
    if args.output.exists() and start.resolve() == args.output.resolve():
        raise ConfigError(f"{args.output}: is the model to start from; give another folder with -o")
    if (args.output / "training").resolve() in start.resolve().parents:
        raise ConfigError(
            f"{start}: lies in {args.output / 'training'}, which this run writes over; give "
            "another folder with -o"
        )
    overrides = [word for pair in args.overrides for word in pair]
    start_cfg = load_config(start / CONFIG_NAME, overrides)
    check_one_class(start_cfg, start)
    logs = args.output / "training"
    tables = [path for path in (args.val, args.pixel_size_csv) if path is not None]
    given = [*(args.coco or ()), *(args.also or ()), *tables]
    check_not_overwritten(logs, given)
    outlined = read_outlined(args)
    images, status = outlined.images, outlined.status
    pages = {page_of(image) for image in images}
    make_folder(logs)
    sources = images
    if args.region is not None:
        percentiles = start_cfg.MITO.CONTRAST_PERCENTILES
        images, sources, status = cut_to_regions(
            args.region, images, logs / "images", status, tuple(percentiles)
        )
        if sees_neighbours(start_cfg):
            warn_of_lost_neighbours()
    check_instances(images)
    train, val = (images, []) if args.cross_validate else divide(args, images, pages, sources)
    others = read_others(args.also or (), pages | {page_of(image) for image in val}, args)
    source_of = {page_of(part): page for part, page in zip(images, sources, strict=True)}

    def others_for(held_out: list[ImageInstances]) -> list[ImageInstances]:
        """Those of ``--also`` that are no neighbours of what is held out here."""
        pages_of = [source_of.get(page_of(image), image) for image in held_out]
        apart = not_beside(others, pages_of)
        if len(apart) < len(others):
            logger.info(
                "--also: %d of %d images may be neighbours of what is measured on, and are left "
                "out there",
                len(others) - len(apart),
                len(others),
            )
        return apart

    others = others_for(val)
    notes = notes_of(train, val, others)
    judged = val
    validate = validation_of(val) if val else None
    steps = args.steps or n_steps(len(train) + len(others))
    if args.cross_validate:
        overrides += ["TEST.EVAL_PERIOD", "0"]

    def fit(
        folder: Path,
        parts: tuple[list[ImageInstances], list[ImageInstances]],
        beside: list[ImageInstances],
        validate: Any,
        label: str,
    ) -> Any:
        """A trainer at its end; logs and the COCO JSON of both parts are in the folder."""
        learned, val_json = write_parts(folder, *parts, beside)
        cfg = finetuning_config(start, folder, learned, val_json, steps, overrides)
        # Thresholds that are chosen on the training images are told so elsewhere.
        held_out = parts[1] if args.cross_validate or parts[1] is not parts[0] else []
        whole = [source_of.get(page_of(image), image) for image in held_out]
        return _train(
            cfg, validate, args.seed, notes, label, whole, keeps_unmeasured=folder == logs
        )

    if args.cross_validate:

        def fit_part(
            rest: list[ImageInstances], held_out: list[ImageInstances], label: str, validate: Any
        ) -> None:
            with TemporaryDirectory(dir=logs, ignore_cleanup_errors=True) as folder:
                fit(Path(folder), (rest, held_out), others_for(held_out), validate, label)

        def check_part(rest: list[ImageInstances], held_out: list[ImageInstances]) -> None:
            if start_cfg.MODEL.META_ARCHITECTURE == SEMANTIC_3D:
                check_neighbours([*rest, *others_for(held_out)], len(images))

        judged = train
        validate = cross_validate(images, fit_part, sources, check_part)
        notes += (CROSS_VALIDATED,)
    elif not val and draws_from_probability(start_cfg):
        # Those at its start are for the probabilities of another tissue: most would be lost.
        judged = train
        validate = validation_of(train)
        logger.info("thresholds are chosen on the training images")
        notes += (
            "No image is held out: figures and thresholds are those on the training images, "
            "and too good.",
        )
    elif not val:
        logger.info("the score threshold remains that of the model at the start")
    if args.cross_validate or val:
        whole_pages = [source_of.get(page_of(image), image) for image in judged]
        n_learned = n_learned_before(start / IMAGE_LIST_NAME, judged, whole_pages)
        notes += notes_of_learned(n_learned, len(judged), start)
    _move_model(fit(logs, (train, judged), others, validate, "fine-tune"), args.output)
    if args.region is not None:
        whole_pages = [source_of[page_of(image)] for image in train]
        add_whole_images(args.output / IMAGE_LIST_NAME, whole_pages)
    print(args.output)
    return status


def _train(
    cfg: Any,
    validate: Any,
    seed: int,
    notes: tuple[str, ...],
    label: str,
    held_out: Sequence[ImageInstances],
    *,
    keeps_unmeasured: bool,
) -> Any:
    """The trainer after its last step."""
    from mito_instance.detection.finetuning import ProgressBar
    from mito_instance.detection.trainer import Trainer, seed_everything

    for name in ("detectron2", "fvcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    seed_everything(seed)
    trainer = Trainer(cfg, validate, seed, notes)
    trainer.notes += _notes_of_lookalikes(held_out, trainer.files)
    trainer.register_hooks([ProgressBar(label)])
    trainer.can_resume = False
    trainer.keeps_unmeasured = keeps_unmeasured
    trainer.resume_or_load(resume=False)
    trainer.train()
    return trainer


def _notes_of_lookalikes(
    judged: Sequence[ImageInstances], files: Sequence[DataFile]
) -> tuple[str, ...]:
    """Say how many images that are measured on give look-alikes to the training."""
    from mito_instance.detection.model_card import LOOKALIKES, n_learned_from

    if n_shared := n_learned_from(judged, files, (LOOKALIKES,)):
        text = (
            f"MITO.AUGMENT.LOOKALIKES: {n_shared} of {len(judged)} images that are measured on "
            "give look-alikes to the training: figures, best model and score threshold say little "
            "about new images."
        )
        logger.warning("%s", text)
        return (text,)
    return ()


def _move_model(trainer: Any, output: Path) -> None:
    """The model, the best on the judged images, into the output folder."""
    from mito_instance.detection.trainer import UNMEASURED

    logs = Path(trainer.cfg.OUTPUT_DIR)
    shutil.rmtree(logs / UNMEASURED, ignore_errors=True)  # of an earlier run
    folder = trainer.save_final_model()
    for path in folder.iterdir():
        path.replace(output / path.name)
    folder.rmdir()
    origin = "chosen" if trainer.has_chosen_threshold else "of the start"
    logger.info("score threshold %.2f (%s)", trainer.best_score_threshold, origin)
    print(f"curves: {logs / 'metrics.json'}", file=sys.stderr)
