"""``mito preview``: what a network would see in training, on one contact sheet."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mito_instance.cli.command import OK, CommandParser, run, whole_number
from mito_instance.errors import ConfigError

_DESCRIPTION = """\
Draws the first examples of a training on one sheet: crops as the config's augmentations leave
them, outlined by the instances that they teach. Nothing is trained. A training with the same
config, files and seed starts with these examples."""

_EXAMPLE = """\
example:
  mito preview --config-file configs/mask_rcnn_light.yaml --train train.json -o sheet.png
  … MITO.AUGMENT.ELASTIC_PX 8   the same with an elastic deformation"""

_MAX_SIDE = 30
_MAX_SEED = 2**31 - 1


def build_parser() -> CommandParser:
    """The arguments of ``preview``."""
    parser = CommandParser("preview", _DESCRIPTION, _EXAMPLE)
    parser.add_argument("--config-file", type=Path, required=True, metavar="FILE")
    parser.add_argument(
        "--train",
        action="append",
        metavar="JSON",
        help="COCO file to train on, again for each further one (sets DATASETS.TRAIN)",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="the sheet: .png or .jpg",
    )
    parser.add_argument(
        "--seed",
        type=whole_number(0, _MAX_SEED),
        default=1,
        metavar="S",
        help="of all randomness, as in training (default: 1)",
    )
    for name, default in (("rows", 3), ("columns", 4)):
        parser.add_argument(
            f"--{name}",
            type=whole_number(1, _MAX_SIDE),
            default=default,
            metavar="N",
            help=f"of the sheet, at most {_MAX_SIDE} (default: %(default)s)",
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
    return run(_preview, build_parser().parse_intermixed_args(argv))


def _preview(args: argparse.Namespace) -> int:
    from mito_instance.detection import require_detectron2
    from mito_instance.visualize.contact_sheet import check_sheet_path, draw_sheet, write_sheet

    check_sheet_path(args.output)
    require_detectron2()

    from tqdm import tqdm

    from mito_instance.detection.config import load_config
    from mito_instance.detection.config_ranges import check_training
    from mito_instance.detection.data import load_records
    from mito_instance.detection.preview import describe_augmentation, first_examples
    from mito_instance.visualize.overlays import draw_overlay

    overrides = list(args.opts)
    if args.train:
        overrides += ["DATASETS.TRAIN", repr(tuple(args.train))]
    cfg = load_config(args.config_file, ["MODEL.DEVICE", "cpu", *overrides])
    check_training(cfg)
    if not cfg.DATASETS.TRAIN:
        raise ConfigError("DATASETS.TRAIN: nothing to show; pass --train JSON")
    count = args.rows * args.columns
    records = load_records(cfg.DATASETS.TRAIN, cfg)
    if args.output.resolve() in {Path(record.image).resolve() for record in records}:
        raise ConfigError(f"-o {args.output}: is one of the images; name another file")
    examples = first_examples(cfg, records, args.seed, count)
    pictures, captions = [], []
    for example in tqdm(examples, desc="preview", total=count, unit="crop", file=sys.stderr):
        pictures.append(draw_overlay(example.image, example.instances, show_ids=False))
        captions.append(example.caption)
    title = f"{args.config_file.name}, seed {args.seed}: {', '.join(describe_augmentation(cfg))}"
    write_sheet(args.output, draw_sheet(pictures, captions, args.columns, title))
    print(args.output)
    return OK
