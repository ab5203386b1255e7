"""The command ``convert_roi``: ImageJ ROIs to COCO JSON."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mito_instance.calibration import MAX_NM, MIN_NM, PixelSize
from mito_instance.cli.command import CommandParser, checked_number, plain, run
from mito_instance.cli.conversion_report import (
    check_outputs,
    say_lines,
    say_skipped,
    write_conversion,
)
from mito_instance.errors import ConfigError

if TYPE_CHECKING:
    from mito_instance.annotations.roi_sets import RoiPairing
    from mito_instance.io.imagej_roi import SkippedRoi

_DESCRIPTION = """\
Converts ImageJ and Fiji ROIs to a COCO JSON with one run-length mask for each area ROI, pixel
by pixel as ImageJ fills it.

ROI sets belong to images by name: cell_01.zip, cell_01_rois.zip, RoiSet_cell_01.zip,
cell_01/RoiSet.zip or a folder cell_01 of .roi files belong to cell_01.tif. --image names the one
image of all ROIs, --pairs a table. ROIs of a stack belong to the page of their slice position.
Names and groups are kept.
Lines, points, angles and text are never instances; they are skipped and listed."""

_EPILOG = """\
example:
  mito convert-roi rois/ --images images/ -o truth.json --report skipped.csv
  mito convert-roi RoiSet.zip --image cell_01.tif -o truth.json
  mito convert-roi --pairs pairs.csv -o truth.json

exit status: 0 if every area ROI was converted, 1 if some were not (each is named), 2 if nothing
could be converted or, with --strict, if an ROI was skipped or anything failed"""


def build_parser() -> CommandParser:
    """The arguments of ``convert_roi``."""
    parser = CommandParser("convert-roi", _DESCRIPTION, _EPILOG)
    parser.add_argument(
        "rois",
        type=Path,
        nargs="*",
        metavar="ROI",
        help=".roi file, .zip of them, TIFF with an overlay, or folder of these",
    )
    images = parser.add_mutually_exclusive_group(required=True)
    images.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="folder of images, one image, or a pattern in quotes for several folders "
        "('images/*/*.tif'); paired by name",
    )
    images.add_argument(
        "--image", type=Path, metavar="FILE", help="the image that all the ROIs belong to"
    )
    images.add_argument(
        "--pairs",
        type=Path,
        metavar="CSV",
        help="two columns: image and its ROI set, seen from the folder of the table",
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="JSON", help="COCO JSON to write"
    )
    parser.add_argument(
        "--report", type=Path, metavar="CSV", help="list the skipped ROIs and the reasons there"
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="write no JSON if any ROI is skipped, a line or a point included, or anything fails",
    )
    parser.add_argument(
        "--category-from",
        choices=("group", "name"),
        help="several categories: by ROI group (group 1 is category 2), or by name up to its first "
        "-, _ or digit (dark-3 is dark); without either, category 1, mitochondrion",
    )
    parser.add_argument(
        "--pixel-size-nm",
        type=checked_number(MIN_NM, MAX_NM),
        metavar="X",
        help=f"edge length of a pixel, {MIN_NM:g} to {MAX_NM:g} nm, in place of the files' own",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Convert; see `build_parser` for the arguments and the exit status."""
    return run(_convert, build_parser().parse_args(argv))


def _convert(args: argparse.Namespace) -> int:
    """Pair, convert with progress, write and report."""
    pixel_size = None if args.pixel_size_nm is None else PixelSize(args.pixel_size_nm, "user")
    from tqdm import tqdm

    from mito_instance.annotations.from_rois import convert_roi_pairs
    from mito_instance.annotations.roi_categories import (
        categories_from_group,
        categories_from_name,
    )

    pairing = _pair(args)
    files = [file for image, rois in pairing.pairs for file in (image, *rois.files)]
    files += [args.pairs] if args.pairs is not None else []
    check_outputs({"-o": args.output, "--report": args.report}, files)
    progress = tqdm(pairing.pairs, desc="ROI sets", unit="image", disable=None)
    conversion = convert_roi_pairs(progress, pixel_size)
    if args.category_from is not None:
        by_group = args.category_from == "group"
        categorise = categories_from_group if by_group else categories_from_name
        conversion.images = categorise(conversion.images)
    conversion.notices[:0] = pairing.notices
    conversion.notices.extend(
        f"{path}: no ROI set has its name; left out" for path in pairing.images_alone
    )
    conversion.failures.extend(pairing.failures)
    if args.report is not None:
        _write_report(args.report, conversion.skipped)
    else:
        say_skipped(conversion)
    if args.strict and (conversion.skipped or conversion.failures):
        say_lines("failed", conversion.failures)
        lines = [_line(roi) for roi in conversion.skipped] or conversion.failures
        print(f"error: --strict: nothing written, because of {plain(lines[0])}", file=sys.stderr)
        return 2
    return write_conversion(conversion, args.output, "convert_roi")


def _pair(args: argparse.Namespace) -> RoiPairing:
    """Which ROI set belongs to which image, in the way that the user chose."""
    from mito_instance.annotations.pairs_table import read_pairs
    from mito_instance.annotations.roi_sets import (
        find_roi_sets,
        pair_by_table,
        pair_roi_sets,
        pair_with_image,
    )
    from mito_instance.io.images import find_images

    if args.pairs is not None:
        if args.rois:
            raise ConfigError(f"{args.rois[0]}: --pairs names the ROI sets; leave this one out")
        return pair_by_table(read_pairs(args.pairs))
    if not args.rois:
        raise ConfigError("no ROIs given; name .roi files, zips or folders of these")
    if args.image is None:
        return pair_roi_sets(find_images([args.images]), find_roi_sets(args.rois))
    if args.image.is_dir():
        raise ConfigError(f"{args.image}: is a folder; give --images for a folder of images")
    return pair_with_image(args.image, find_roi_sets(args.rois))


def _line(roi: SkippedRoi) -> str:
    """A skipped ROI in one line."""
    return f"{roi.source} (ROI {roi.name!r}): {roi.reason}"


def _write_report(path: Path, skipped: Sequence[SkippedRoi]) -> None:
    """Write the skipped ROIs as CSV; the header alone when there are none."""
    from mito_instance.io.tables import write_table

    rows = [
        {
            "source": roi.source,
            "name": roi.name,
            "damaged": "yes" if roi.is_damaged else "no",
            "reason": roi.reason,
        }
        for roi in skipped
    ]
    write_table(path, ("source", "name", "damaged", "reason"), rows)
