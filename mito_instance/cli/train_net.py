"""``mito train-net``: train or evaluate a model, by config."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mito_instance.cli.command import OK, CommandParser, log_to_stderr, run, whole_number
from mito_instance.cli.validation import validation_of
from mito_instance.errors import AnnotationError, ConfigError
from mito_instance.io.files import make_folder, write_text_atomic

if TYPE_CHECKING:
    from mito_instance.detection.model_card import DataFile
    from mito_instance.instances import ImageInstances

logger = logging.getLogger(__name__)

_DESCRIPTION = """\
Trains the model that a config describes, or with --eval-only measures it. DATASETS.TRAIN and
DATASETS.TEST are paths of COCO JSON files; --train and --val set them. Checkpoints, TensorBoard
curves and metrics.json go to OUTPUT_DIR (default: ./output); OUTPUT_DIR/model is what
`mito quantify --weights` takes. KEY VALUE pairs override the config.

With --eval-only, a model folder as MODEL.WEIGHTS brings its own config, and all is measured at
its own thresholds, as `mito quantify` uses them."""

_EXAMPLE = """\
example:
  mito train-net --config-file configs/mask_rcnn_R_50_FPN.yaml \\
      --train train.json --val val.json OUTPUT_DIR runs/first SOLVER.MAX_ITER 3000"""


def build_parser() -> CommandParser:
    """The arguments of ``train-net``."""
    parser = CommandParser("train-net", _DESCRIPTION, _EXAMPLE)
    parser.add_argument(
        "--config-file",
        type=Path,
        metavar="FILE",
        help="of the training; --eval-only needs none where MODEL.WEIGHTS is a model folder",
    )
    parser.add_argument(
        "--train",
        action="append",
        metavar="JSON",
        help="COCO file to train on, again for each further one (sets DATASETS.TRAIN)",
    )
    parser.add_argument(
        "--val",
        action="append",
        metavar="JSON",
        help="COCO file to measure on, again for each further one (sets DATASETS.TEST)",
    )
    parser.add_argument(
        "--resume", action="store_true", help="continue from the last checkpoint in OUTPUT_DIR"
    )
    parser.add_argument(
        "--eval-only", action="store_true", help="measure MODEL.WEIGHTS on the validation files"
    )
    parser.add_argument(
        "--seed", type=whole_number(0, 2**31), default=1, help="of all randomness (default: 1)"
    )
    parser.add_argument(
        "--num-gpus",
        type=whole_number(1, 1024),
        default=1,
        metavar="N",
        help="GPUs a machine, one process each; they share every batch",
    )
    parser.add_argument(
        "--num-machines",
        type=whole_number(1, 4096),
        default=1,
        metavar="N",
        help="machines with as many GPUs each; OUTPUT_DIR on a disk that they share",
    )
    parser.add_argument(
        "--machine-rank",
        type=whole_number(0, 4095),
        default=0,
        metavar="K",
        help="number of this machine, from 0",
    )
    parser.add_argument(
        "--dist-url",
        default="auto",
        metavar="URL",
        help="where the processes meet: tcp://FIRST:PORT of machine 0; auto on one machine",
    )
    parser.add_argument("opts", nargs="*", metavar="KEY VALUE")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments without the program's name; by default those of the process.

    Returns:
        Exit code: 0 done, 2 usage or input error.
    """
    return run(_train, build_parser().parse_intermixed_args(argv))


def _train(args: argparse.Namespace) -> int:
    """Check everything that can be wrong at once, then start the processes."""
    from mito_instance.detection import require_detectron2

    require_detectron2()
    from mito_instance.detection.config_ranges import check_training
    from mito_instance.detection.processes import launch_processes

    cfg = _config(args)
    if not args.eval_only:
        check_training(cfg)
    if args.eval_only and not cfg.DATASETS.TEST:
        raise ConfigError("--eval-only: nothing to measure on; pass --val JSON")
    if args.eval_only and (args.num_gpus > 1 or args.num_machines > 1):
        raise ConfigError(
            f"--eval-only: one process measures, not those of --num-gpus {args.num_gpus} and "
            f"--num-machines {args.num_machines}; leave these out"
        )
    if not args.eval_only and not cfg.DATASETS.TRAIN:
        raise ConfigError("DATASETS.TRAIN: nothing to train on; pass --train JSON")
    if "?" in str(cfg.OUTPUT_DIR) and not args.eval_only:  # where Detectron2 cuts paths off
        raise ConfigError(f"OUTPUT_DIR: must be without ?, got {cfg.OUTPUT_DIR}")
    make_folder(Path(cfg.OUTPUT_DIR))
    launch_processes(
        _worker,
        (args,),
        device=cfg.MODEL.DEVICE,
        num_gpus=args.num_gpus,
        num_machines=args.num_machines,
        machine_rank=args.machine_rank,
        dist_url=args.dist_url,
    )
    return OK


def _config(args: argparse.Namespace) -> Any:
    from mito_instance.detection.config import load_config
    from mito_instance.detection.weights import CONFIG_NAME, resolve_weights

    overrides = list(args.opts)
    for key, paths in (("DATASETS.TRAIN", args.train), ("DATASETS.TEST", args.val)):
        if paths:
            overrides += [key, repr(tuple(paths))]
    cfg = load_config(args.config_file, overrides)
    if args.eval_only and cfg.MODEL.WEIGHTS and not Path(cfg.MODEL.WEIGHTS).is_file():
        own = resolve_weights(cfg.MODEL.WEIGHTS).with_name(CONFIG_NAME)
        if own.is_file():
            of_run = {"MODEL.WEIGHTS": cfg.MODEL.WEIGHTS, "OUTPUT_DIR": cfg.OUTPUT_DIR}
            of_run["DATASETS.TEST"] = repr(tuple(cfg.DATASETS.TEST))
            words = [word for pair in of_run.items() for word in pair]
            return load_config(own, [*words, *overrides])
    if args.config_file is None:
        given = f" (MODEL.WEIGHTS {cfg.MODEL.WEIGHTS!r} is none)" if args.eval_only else ""
        raise ConfigError(
            "--config-file: give the config of the training; only --eval-only of a model folder "
            f"needs none{given}"
        )
    return cfg


def _worker(args: argparse.Namespace) -> None:
    """Training in one process; with several GPUs, each runs this."""
    from detectron2.utils import comm

    from mito_instance.detection.data import load_records
    from mito_instance.detection.trainer import Trainer, seed_everything

    level = logging.INFO if comm.is_main_process() else logging.WARNING
    log_to_stderr(level)
    logging.getLogger("detectron2").setLevel(level)
    cfg = _config(args)
    truth = load_records(cfg.DATASETS.TEST, cfg) if cfg.DATASETS.TEST else []
    _check_given_once(truth)
    output = Path(cfg.OUTPUT_DIR)
    if args.eval_only:
        results = _evaluate_weights(cfg, truth)
        write_text_atomic(output / "validation.json", json.dumps(results, indent=1) + "\n")
        print("\n".join(f"{name}\t{value:.4f}" for name, value in results.items()))
        return
    if truth and cfg.MODEL.ROI_HEADS.NUM_CLASSES > 1:
        logger.warning(
            "validation counts the %d classes as one: a mistaken class is no error in its figures, "
            "nor in what is taken for the best model",
            cfg.MODEL.ROI_HEADS.NUM_CLASSES,
        )
    seed_everything(args.seed)
    trainer = Trainer(cfg, validation_of(truth) if truth else None, args.seed)
    trainer.notes += _notes_of_learned(cfg, truth, trainer.files)
    trainer.resume_or_load(resume=args.resume)
    trainer.train()
    if comm.is_main_process():
        folder = trainer.save_final_model()
        threshold = trainer.best_score_threshold
        logger.info("model saved in %s, score threshold %.2f", folder, threshold)
        print(folder)


def _check_given_once(truth: Sequence[ImageInstances]) -> None:
    """Refuse a page that two validation files list, before the first validation would."""
    from mito_instance.annotations.image_files import page_of

    seen = set()
    for image in truth:
        if (page := page_of(image)) in seen:
            raise AnnotationError(
                f"{image.image}: page {image.frame + 1} is given twice with --val "
                "(DATASETS.TEST); leave one out"
            )
        seen.add(page)


def _notes_of_learned(
    cfg: Any, truth: Sequence[ImageInstances], files: Sequence[DataFile]
) -> tuple[str, ...]:
    """Say, in the log and for the card, how many images are learned from and measured on.

    Look-alikes are learned as well, and so is what the model at the start had learned.
    """
    from mito_instance.cli.finetune_parts import notes_of_learned
    from mito_instance.detection.image_list import n_learned_before
    from mito_instance.detection.model_card import LOOKALIKES, n_learned_from
    from mito_instance.detection.start_model import start_images

    notes: tuple[str, ...] = ()
    if n_shared := n_learned_from(truth, files, ("training", LOOKALIKES)):
        text = (
            f"{n_shared} of {len(truth)} validation images are trained on too: figures, best "
            "model and score threshold say little about new images."
        )
        logger.warning("%s", text)
        notes = (text,)
    if (start := start_images(cfg.MODEL.WEIGHTS)) is not None:
        n_before = n_learned_before(start, truth, truth)
        notes += notes_of_learned(n_before, len(truth), start.parent)
    return notes


def _evaluate_weights(cfg: Any, truth: list[ImageInstances]) -> dict[str, float]:
    from mito_instance.detection.architectures import build_predictor
    from mito_instance.detection.model import build_network
    from mito_instance.detection.weights import load_for_prediction, resolve_weights

    network = build_network(cfg)
    load_for_prediction(network, resolve_weights(cfg.MODEL.WEIGHTS))
    return validation_of(truth, calibrate=False)(build_predictor(cfg, network))
