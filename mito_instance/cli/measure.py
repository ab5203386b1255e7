"""``mito measure``: the tables of ``quantify`` of mitochondria that were outlined by hand."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mito_instance.cli.command import CommandParser, run
from mito_instance.cli.conversion_report import say_lines
from mito_instance.cli.outlined_images import add_outlined, read_outlined
from mito_instance.cli.quantify import count_pages
from mito_instance.cli.quantify_options import add_measuring, add_results, add_workers
from mito_instance.errors import ConfigError

_DESCRIPTION = """\
Counts and measures mitochondria that are outlined already, by hand or by `mito quantify --rois`
and corrected in Fiji: the same tables, with the same columns, as `mito quantify`. No model is
needed. Prints one row an image (or page of a stack) as CSV on stdout.

An image without outlines is left out. An ROI set without any ROI says that its image shows none;
a page of a stack on which no ROI of the stack's set lies shows none, too, unless
--only-outlined-pages leaves it out. A COCO JSON lists its pages. All categories count,
unless --category names those that do."""

_EXAMPLE = """\
example:
  mito measure --rois corrected/ --images images/ --objects objects.csv > counts.csv
  mito measure --coco truth.json > counts.csv

exit status: 0 all done, 1 some ROIs or images could not be used (each is named), 2 nothing could
be done"""


def build_parser() -> CommandParser:
    """The arguments of ``measure``."""
    parser = CommandParser("measure", _DESCRIPTION, _EXAMPLE)
    data = parser.add_argument_group("outlined images (one of the two)")
    # args.rois and args.coco are outputs where pages are counted.
    add_outlined(data, rois="outlines", coco="json_files")
    data.add_argument(
        "--only-outlined-pages",
        action="store_true",
        help="leave out the pages of a stack that carry no ROI: nobody has looked at them",
    )
    add_results(parser.add_argument_group("results besides counts.csv on stdout"))
    add_measuring(parser.add_argument_group("pixel size and what is counted"))
    add_workers(parser.add_argument_group("work"), "all read, measure and draw")
    # Options of quantify that need a model, or write what is given here.
    parser.set_defaults(
        rois=None, coco=None, report=None, resume=None, score_threshold=None, tile_px=None
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments without the program's name; by default those of the process.

    Returns:
        Exit code: 0 all done, 1 something could not be used, 2 nothing could be done.
    """
    return run(_measure, build_parser().parse_args(argv))


def _measure(args: argparse.Namespace) -> int:
    from mito_instance import __version__
    from mito_instance.batch.outlined import OutlinedPages

    if args.outlines is not None and args.json_files is not None:
        raise ConfigError("--rois and --coco: give one of the two, and measure the others apart")
    # The user's pixel size comes in when pages are measured, as in quantify.
    outlined = read_outlined(
        argparse.Namespace(
            rois=args.outlines,
            images=args.images,
            coco=args.json_files,
            category=args.category,
            pixel_size_nm=None,
        ),
        all_or_none=False,
        whole_stacks=not args.only_outlined_pages,
        one_category=False,
    )
    # One file may have several names.
    named: dict[Path, Path] = {}
    for file in dict.fromkeys(outlined.files):
        if (first := named.setdefault(file.resolve(), file)) != file:
            say_lines("notice", [f"{file}: is {first}, and measured under that name"])
    paths = list(named.values())
    pages = OutlinedPages(outlined.images, outlined.unusable, outlined.incomplete)
    record = {
        "description": "outlined mitochondria, measured by mito measure",
        "mito_instance": __version__,
    }
    sources = args.json_files or args.outlines
    return max(outlined.status, count_pages(args, paths, lambda _: (pages, record), sources))
