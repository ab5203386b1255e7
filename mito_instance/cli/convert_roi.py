"""The command ``convert_roi``: ImageJ ROIs to COCO JSON."""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mito_instance.calibration import MAX_NM, MIN_NM, PixelSize
from mito_instance.cli.conversion_report import say_lines, write_conversion
from mito_instance.errors import MitoInstanceError

if TYPE_CHECKING:
    from mito_instance.io.imagej_roi import SkippedRoi

_DESCRIPTION = """\
Converts ImageJ and Fiji ROIs to a COCO JSON with one run-length mask for each area ROI, pixel
by pixel as ImageJ fills it.

ROI sets belong to images by name: cell_01.zip, cell_01_rois.zip, RoiSet_cell_01.zip or a folder
cell_01 of .roi files belong to cell_01.tif. ROIs of a stack belong to the page of their slice
position. Lines, points, angles and text are never instances; they are skipped and listed."""

_EPILOG = """\
example:
  tools/convert_roi.py rois/ --images images/ -o truth.json --report skipped.csv

exit status: 0 if every area ROI was converted, 1 if some were not (each is named), 2 if nothing
could be converted or, with --strict, if anything was left out"""


def build_parser() -> argparse.ArgumentParser:
    """The arguments of ``convert_roi``."""
    parser = argparse.ArgumentParser(
        prog="convert_roi",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "rois",
        type=Path,
        nargs="+",
        metavar="ROI",
        help=".roi file, .zip of them, TIFF with an overlay, or folder of these",
    )
    parser.add_argument(
        "--images", type=Path, required=True, metavar="DIR", help="folder of images, or one image"
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
        "--pixel-size-nm",
        type=float,
        metavar="X",
        help=f"edge length of a pixel, {MIN_NM:g} to {MAX_NM:g} nm, in place of the files' own",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Convert; see `build_parser` for the arguments and the exit status."""
    args = build_parser().parse_args(argv)
    try:
        return _convert(args)
    except (MitoInstanceError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _convert(args: argparse.Namespace) -> int:
    """Pair, convert with progress, write and report."""
    pixel_size = None if args.pixel_size_nm is None else PixelSize(args.pixel_size_nm, "user")
    from tqdm import tqdm

    from mito_instance.annotations.from_rois import (
        convert_roi_pairs,
        find_roi_sets,
        pair_roi_sets,
    )
    from mito_instance.io.images import find_images

    pairing = pair_roi_sets(find_images([args.images]), find_roi_sets(args.rois))
    progress = tqdm(pairing.pairs, desc="ROI sets", unit="image", disable=None)
    conversion = convert_roi_pairs(progress, pixel_size)
    conversion.notices[:0] = pairing.notices
    conversion.notices.extend(
        f"{path}: no ROI set has its name; left out" for path in pairing.images_alone
    )
    conversion.failures.extend(pairing.failures)
    if args.report is not None:
        _write_report(args.report, conversion.skipped)
    else:
        say_lines("skipped", [_line(roi) for roi in conversion.skipped if not roi.is_damaged])
    if args.strict and (conversion.skipped or conversion.failures):
        say_lines("failed", conversion.failures)
        lines = [_line(roi) for roi in conversion.skipped] or conversion.failures
        print(f"error: --strict: nothing written, because of {lines[0]}", file=sys.stderr)
        return 2
    return write_conversion(conversion, args.output, "convert_roi")


def _line(roi: SkippedRoi) -> str:
    """A skipped ROI in one line."""
    return f"{roi.source} (ROI {roi.name!r}): {roi.reason}"


def _write_report(path: Path, skipped: Sequence[SkippedRoi]) -> None:
    """Write the skipped ROIs as CSV; the header alone when there are none."""
    from mito_instance.io.files import write_text_atomic

    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["source", "name", "damaged", "reason"])
    for roi in skipped:
        writer.writerow([roi.source, roi.name, "yes" if roi.is_damaged else "no", roi.reason])
    write_text_atomic(path, table.getvalue())
