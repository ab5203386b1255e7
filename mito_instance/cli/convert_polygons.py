"""``mito convert-polygons``: Labelme and YOLO segmentation polygons to COCO JSON."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from mito_instance.calibration import MAX_NM, MIN_NM, PixelSize
from mito_instance.cli.command import CommandParser, checked_number, run
from mito_instance.cli.conversion_report import check_outputs, write_conversion
from mito_instance.errors import AnnotationError

_DESCRIPTION = """\
Converts Labelme JSON (.json) and YOLO segmentation polygons (.txt) to a COCO JSON with one
run-length mask for each polygon. Files belong to images by name: cell_01.json to cell_01.tif.

A pixel belongs to a polygon when its centre lies inside, exactly as ImageJ fills it. Labelme's
coordinates are pixel corners (pixel 0 lies between 0 and 1); YOLO's are shares of the image's
width and height and become pixel corners when multiplied by them. Labelme shapes of one label
and one group_id are one instance. Lines and points are never instances. An empty file means an
image without mitochondria; an image without a file is left out."""

_EXAMPLE = """\
example:
  mito convert-polygons annotations/ --images images/ -o truth.json

exit status: 0 if every polygon was converted, 1 if some were not (each is named), 2 if nothing
could be converted"""


def build_parser() -> CommandParser:
    """The arguments of ``convert-polygons``."""
    parser = CommandParser("convert-polygons", _DESCRIPTION, _EXAMPLE)
    parser.add_argument(
        "polygons",
        type=Path,
        nargs="+",
        metavar="PATH",
        help="Labelme .json file, YOLO .txt file, or folder of these",
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="folder of images, or one image (default: the images beside the polygon files)",
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="JSON", help="COCO JSON to write"
    )
    parser.add_argument(
        "--labels",
        nargs="+",
        metavar="LABEL",
        help="Labelme labels or YOLO class numbers that are mitochondria; refused where no "
        "shape has one (default: all)",
    )
    parser.add_argument(
        "--pixel-size-nm",
        type=checked_number(MIN_NM, MAX_NM),
        metavar="X",
        help="edge length of a pixel in nanometres, in place of the files' own",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments without the program's name; by default those of the process.

    Returns:
        Exit code: 0 all done, 1 some inputs failed, 2 nothing could be done.
    """
    return run(_convert, build_parser().parse_args(argv))


def _convert(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from mito_instance.annotations.from_polygons import (
        convert_polygon_pairs,
        find_polygon_files,
        pair_polygon_files,
    )

    found = find_polygon_files(args.polygons)
    earlier = [path for path in found if _is_earlier_output(path, args.output)]
    files = [path for path in found if path not in earlier]
    pairing = pair_polygon_files(files, args.images)
    check_outputs({"-o": args.output}, [*files, *pairing.images_alone])
    if not pairing.pairs and not pairing.ambiguous:
        raise AnnotationError(
            f"{args.polygons[0]}: none of {len(files)} polygon files has the name of one of "
            f"{len(pairing.images_alone)} images; name them alike"
        )
    pixel_size = None if args.pixel_size_nm is None else PixelSize(args.pixel_size_nm, "user")
    progress = tqdm(pairing.pairs, desc="polygons", unit="image", disable=None)
    conversion = convert_polygon_pairs(progress, args.labels, pixel_size)
    conversion.notices.extend(
        f"{path}: no polygon file has its name; left out" for path in pairing.images_alone
    )
    conversion.failures.extend(pairing.ambiguous)
    conversion.failures.extend(f"{path}: no image has its name" for path in pairing.partners_alone)
    return write_conversion(conversion, args.output, "convert_polygons")


def _is_earlier_output(path: Path, output: Path) -> bool:
    """Whether a file is what an earlier run has written to the output."""
    if os.path.realpath(path) != os.path.realpath(output):
        return False
    with path.open("rb") as file:
        return b"converted by convert_polygons" in file.read(200)
