"""``mito split``: a COCO JSON to training, validation and test parts."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mito_instance import __version__
from mito_instance.cli.command import OK, CommandParser, checked_number, run, whole_number
from mito_instance.errors import ConfigError

if TYPE_CHECKING:
    from mito_instance.annotations.splits import Split, SplitOptions
    from mito_instance.instances import ImageInstances

_DESCRIPTION = """\
Splits annotated images into train.json, val.json and, with --test, test.json, so that what is
validated on was not trained on.

--by specimen never divides a specimen: the folder of the image, or what --group-regex finds in
its path. --by stack never divides a stack: a multi-page file, or the images of a folder whose
names are equal but for numbers (z001_em.png; z001_x0_y1.png with all tiles). --by image cuts each
long stack into one run of slices a part, and draws short stacks and single images; with --gap 0
every image is drawn alone.

Neighbouring slices are almost copies: slices of one stack that differ by --gap or less in their
number never come into different parts; those in between are left out and counted. The parts come
as near to their shares of the instances as whole groups allow."""

_EXAMPLE = """\
example:
  mito split truth.json --val 0.2 --test 0.2 --by specimen -o split/

exit status: 0 done, 2 the file cannot be read or cannot be split so"""

_MAX_GAP = 10**9
_MAX_SEED = 2**32 - 1


def build_parser() -> CommandParser:
    """The arguments of ``split``."""
    parser = CommandParser("split", _DESCRIPTION, _EXAMPLE)
    parser.add_argument("json", type=Path, metavar="JSON", help="COCO JSON to split")
    parser.add_argument(
        "--val",
        type=checked_number(0, 1),
        default=0.2,
        metavar="F",
        help="share of the instances to validate on (default: 0.2)",
    )
    parser.add_argument(
        "--test",
        type=checked_number(0, 1),
        default=0.0,
        metavar="F",
        help="share of the instances to test on (default: 0, no test part)",
    )
    parser.add_argument(
        "--by",
        choices=("specimen", "stack", "image"),
        default="stack",
        help="what is never divided (default: stack)",
    )
    parser.add_argument(
        "--group-regex",
        metavar="REGEX",
        help="with --by specimen: names the specimen in the path of the image; its first group "
        "counts, if it has one: '(mouse[0-9]+)'",
    )
    parser.add_argument(
        "--gap",
        type=whole_number(0, _MAX_GAP),
        default=10,
        metavar="N",
        help="slices between two parts of one stack that are left out (default: 10)",
    )
    parser.add_argument(
        "--seed",
        type=whole_number(0, _MAX_SEED),
        default=0,
        metavar="S",
        help="equal seeds give equal parts (default: 0)",
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="folder for the parts"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments without the program's name; by default those of the process.

    Returns:
        Exit code: 0 done, 2 nothing could be done.
    """
    return run(_split, build_parser().parse_args(argv))


def _split(args: argparse.Namespace) -> int:
    import numpy as np

    from mito_instance.annotations.splits import SplitOptions, split_images
    from mito_instance.io.coco import read_coco, write_coco

    options = SplitOptions(args.val, args.test, args.by, args.gap, args.group_regex)
    for name in options.shares:
        if os.path.realpath(_part_path(args.output, name)) == os.path.realpath(args.json):
            raise ConfigError(f"{args.json}: would be overwritten; give another folder with -o")
    for name in {"val", "test"} - set(options.shares):
        if _part_path(args.output, name).exists():
            raise ConfigError(
                f"{_part_path(args.output, name)}: is of an earlier split, and would share images "
                "with this one; remove it, or give another folder with -o"
            )
    split = split_images(read_coco(args.json), options, np.random.default_rng(args.seed))
    for name, images in split.parts.items():
        write_coco(_part_path(args.output, name), images, info=_record(args, options, name))
    print(_table(split, args.output))
    return OK


def _part_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"


def _record(args: argparse.Namespace, options: SplitOptions, name: str) -> dict[str, object]:
    """Enough to make the same split again."""
    return {
        "description": f"part {name} of {args.json.name}, by mito split",
        "mito_instance": __version__,
        "shares": {key: round(share, 12) for key, share in options.shares.items()},
        "by": options.by,
        "group_regex": options.group_pattern,
        "gap": options.gap,
        "seed": args.seed,
    }


def _table(split: Split, folder: Path) -> str:
    """Images, instances and groups of each part, in aligned columns."""
    total = sum(_n_instances(images) for images in split.parts.values())
    rows: list[tuple[str, ...]] = [("part", "images", "instances", "share", "groups", "file")]
    for name, images in split.parts.items():
        n = _n_instances(images)
        share = f"{n / total:.3f}" if total else ""
        row = (name, len(images), n, share, split.n_groups[name], _part_path(folder, name))
        rows.append(tuple(map(str, row)))
    left_out = (str(len(split.left_out)), str(_n_instances(split.left_out)))
    rows.append(("left out", *left_out, "", "", ""))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if 0 < column < 5 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _n_instances(images: Iterable[ImageInstances]) -> int:
    return sum(len(image) for image in images)
