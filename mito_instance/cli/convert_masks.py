"""The command ``convert_masks``: mask images to COCO JSON."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mito_instance.calibration import MAX_NM, MIN_NM, PixelSize
from mito_instance.cli.conversion_report import write_conversion
from mito_instance.errors import MitoInstanceError

_DESCRIPTION = """\
Converts mask images to a COCO JSON with one run-length mask for each mitochondrion.

Masks belong to images by name: the same stem, with or without words such as _mask, _labels or
image_, or the number at the end where each side is one numbered series. A mask is either
binary (each connected component is an instance), a label image (each part of each value is an
instance), or a folder named like its image with one file for each instance, which may overlap.
Multi-page images need masks of as many pages."""

_EPILOG = """\
example:
  tools/convert_masks.py --images data/images --masks data/masks -o truth.json

exit status: 0 if every image and mask was converted, 1 if some were not (each is named), 2 if
nothing could be converted"""


def build_parser() -> argparse.ArgumentParser:
    """The arguments of ``convert_masks``."""
    parser = argparse.ArgumentParser(
        prog="convert_masks",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--images", type=Path, required=True, metavar="DIR", help="folder of images, or one image"
    )
    parser.add_argument(
        "--masks",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of masks or of one folder an image, or one mask",
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="JSON", help="COCO JSON to write"
    )
    parser.add_argument(
        "--instances",
        choices=("auto", "components", "labels", "files"),
        default="auto",
        help="what one instance is: a connected component, a value, or a file (default: auto, by "
        "the values of each mask; the summary says what was seen)",
    )
    parser.add_argument(
        "--connectivity",
        type=int,
        choices=(4, 8),
        default=8,
        help="8: pixels that touch at a corner belong together, as in ImageJ (default); 4: not",
    )
    parser.add_argument(
        "--min-area-px",
        type=int,
        default=1,
        metavar="N",
        help="drop instances under N pixels and say how many (default: 1, drop none)",
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

    from mito_instance.annotations.from_masks import MaskOptions, convert_mask_pairs, pair_masks

    options = MaskOptions(args.instances, args.connectivity, args.min_area_px, pixel_size)
    pairing = pair_masks(args.images, args.masks)
    progress = tqdm(pairing.pairs, desc="masks", unit="image", disable=None)
    conversion = convert_mask_pairs(progress, options)
    conversion.failures.extend(pairing.ambiguous)
    conversion.failures.extend(f"{path}: no mask has its name" for path in pairing.images_alone)
    conversion.failures.extend(f"{path}: no image has its name" for path in pairing.partners_alone)
    if not pairing.pairs and not pairing.ambiguous:
        print(
            f"error: {args.masks}: none of {len(pairing.partners_alone)} masks has the name of one "
            f"of the {len(pairing.images_alone)} images in {args.images}; name them alike",
            file=sys.stderr,
        )
        return 2
    return write_conversion(conversion, args.output, "convert_masks")
