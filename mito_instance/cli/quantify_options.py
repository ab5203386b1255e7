"""The options of ``mito quantify``."""

from __future__ import annotations

import argparse
from pathlib import Path

from mito_instance.cli.command import CommandParser, checked_number, whole_number

_DESCRIPTION = """\
Finds every mitochondrion in micrographs. Prints one row an image (or page of a stack) as CSV on
stdout: count, areas, area fraction, density. PNG, JPEG, BMP, TIFF, MRC, DM3 and DM4; 8, 16 or
32 bit; grey or colour; images of any size. An image that cannot be read keeps its row, with the
reason."""

_EXAMPLE = """\
example:
  mito quantify images/ --objects objects.csv --overlays overlays/ > counts.csv

exit status: 0 all images done, 1 some failed (a row says why; files that could not be
written are named on stderr), 2 none could be done"""


def build_parser() -> CommandParser:
    """The arguments of ``quantify``."""
    parser = CommandParser("quantify", _DESCRIPTION, _EXAMPLE)
    parser.add_argument("images", nargs="+", help="files, folders or globs")
    results = parser.add_argument_group("results besides counts.csv on stdout")
    add_results(results)
    results.add_argument(
        "--rois", type=Path, metavar="DIR", help="an ImageJ ROI zip an image, to correct in Fiji"
    )
    results.add_argument(
        "--coco", type=Path, metavar="JSON", help="the masks as COCO JSON, with scores"
    )
    results.add_argument(
        "--report",
        type=Path,
        metavar="HTML",
        help="all results, with pictures and plots, in one file for a browser",
    )
    _add_model(parser.add_argument_group("model"))
    add_measuring(parser.add_argument_group("pixel size and what is counted"))
    work = parser.add_argument_group("work")
    work.add_argument(
        "--resume",
        type=Path,
        metavar="DIR",
        help="keep finished pages in DIR, and take from there what is done already "
        "(same image paths, model, settings and kind of device)",
    )
    add_workers(work)
    work.add_argument(
        "--dry-run",
        action="store_true",
        help="only read the images, and print their pages, sizes and pixel sizes as CSV",
    )
    return parser


def _add_model(model: argparse._ArgumentGroup) -> None:
    model.add_argument(
        "--weights",
        type=Path,
        metavar="PATH",
        help="model folder or weights file (default: the model that ships with the package)",
    )
    model.add_argument("--config-file", type=Path, metavar="YAML", help="config of a weights file")
    model.add_argument(
        "--device",
        default="auto",
        metavar="NAME",
        help="auto, cpu, cuda, cuda:1, …, or several that share the work: cuda:0,cuda:1 "
        "(default: auto)",
    )
    model.add_argument(
        "--score-threshold",
        type=checked_number(0, 1),
        metavar="S",
        help="detections with a lower score do not count (default: the model's own; a Mask R-CNN "
        "finds none below its MODEL.ROI_HEADS.SCORE_THRESH_TEST, 0.05)",
    )
    model.add_argument(
        "--tile-px",
        type=int,
        metavar="N",
        help="images with a longer edge are cut into overlapping tiles of N px "
        "(default: the model's own)",
    )
    model.add_argument(
        "--tta",
        type=_orientations,
        nargs="?",
        const=4,
        metavar="N",
        help="test-time augmentation: see each tile in its 4 flips, or in all 8 orientations, and "
        "merge what is found; takes 4 or 8 times as long (--tta alone: 4; default: off)",
    )


def _orientations(text: str) -> int:
    if text not in ("4", "8"):
        raise argparse.ArgumentTypeError(
            f"must be 4 or 8, got {text[:40]!r}; write --tta=4, or --tta after the images"
        )
    return int(text)


def add_results(results: argparse._ArgumentGroup) -> None:
    """The tables and pictures of instances, wherever these come from."""
    results.add_argument(
        "--objects", type=Path, metavar="CSV", help="one row a mitochondrion: area, shape, place"
    )
    results.add_argument(
        "--overlays",
        type=Path,
        metavar="DIR",
        help="a PNG an image, a TIFF a stack, with outlines and numbers",
    )
    results.add_argument(
        "--summary",
        type=Path,
        metavar="CSV",
        help="one row a group of images: means and standard deviations over images",
    )
    results.add_argument(
        "--group-by",
        metavar="RULE",
        help="groups of the summary: 'folder', or a regular expression with one group that is "
        "searched in the path, such as '(wt|ko)_' (default: one group; the summary goes to "
        "summary.csv beside the objects)",
    )
    results.add_argument("--log", type=Path, metavar="FILE", help="JSON lines, one a page")


def add_workers(
    work: argparse._ArgumentGroup,
    what: str = "all but one read, measure and draw beside the network; with "
    "several GPUs give some for each",
) -> None:
    """How many threads there are, and what they do."""
    work.add_argument(
        "--workers",
        type=whole_number(1, 64),
        default=2,
        metavar="N",
        help=f"threads; {what} (default: 2)",
    )


def add_measuring(measuring: argparse._ArgumentGroup) -> None:
    """What is counted, and how large a pixel is."""
    measuring.add_argument(
        "--pixel-size-nm",
        type=checked_number(1e-3, 1e6),
        metavar="X",
        help="edge of a pixel in nm, for all images; overrules what the files say",
    )
    measuring.add_argument(
        "--pixel-size-csv",
        type=Path,
        metavar="CSV",
        help="pixel sizes by image, two columns: name or path, nm; overrules files and option",
    )
    measuring.add_argument(
        "--region",
        type=Path,
        metavar="PATH",
        help="ImageJ ROIs of the cells or tissue to count in: a .roi or .zip for all images, or a "
        "folder of them by image name",
    )
    measuring.add_argument(
        "--exclude-border",
        action="store_true",
        help="leave instances that touch the border out of mean and median areas, and of the "
        "distributions of a report; they count",
    )
