"""The command ``convert_masks``: mask images to COCO JSON."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mito_instance.calibration import MAX_NM, MIN_NM, PixelSize
from mito_instance.cli.command import NOTHING_DONE, OK, SOME_FAILED, CommandParser, plain, run
from mito_instance.cli.conversion_report import check_outputs, say_lines, write_conversion
from mito_instance.errors import ConfigError
from mito_instance.io.files import make_folder

if TYPE_CHECKING:
    from mito_instance.annotations.conversion import Conversion
    from mito_instance.annotations.mask_options import MaskOptions

_DESCRIPTION = """\
Converts mask images to a COCO JSON with one run-length mask for each mitochondrion, and prints
a table of what each mask holds and what was done with it.

Masks belong to images by name: the same stem, with or without words such as _mask, _labels or
image_, one text before or behind all names, or the number at the end where each side is one
numbered series. A mask is either binary (0/1, 0/255, two greys, inverted, JPEG, 1-bit, float),
a label image (8 to 32 bit, colours or a palette: each part of each value is an instance), or a
folder named like its image with one file for each instance, which may overlap. Multi-page
images need masks of as many pages.

Repairs that need no option, each named in the table: JPEG noise and stray values are cut at
half; a mask whose bright side surrounds the rest is inverted; NaN is background; a mask up to
8 px off its image's size is cropped or padded at the bottom and the right."""

_EXAMPLE = """\
example:
  mito convert-masks --images data/images --masks data/masks -o truth.json
  mito convert-masks --images data/images --masks data/masks --instances watershed \\
      --preview cuts -o truth.json

exit status: 0 if every image and mask was converted, 1 if some were not (each is named), 2 if
nothing could be converted"""


def build_parser() -> CommandParser:
    """The arguments of ``convert_masks``."""
    parser = CommandParser("convert-masks", _DESCRIPTION, _EXAMPLE)
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
    parser.add_argument("-o", "--output", type=Path, metavar="JSON", help="COCO JSON to write")
    parser.add_argument(
        "--dry-run", action="store_true", help="print the table, write no JSON; -o is not needed"
    )
    parser.add_argument(
        "--strict", action="store_true", help="refuse everything at the first mask to be repaired"
    )
    parser.add_argument(
        "--pair-by",
        choices=("name", "order"),
        default="name",
        help="order: the first mask belongs to the first image, and so on (default: name)",
    )
    _add_instance_arguments(parser)
    parser.add_argument(
        "--pixel-size-nm",
        type=float,
        metavar="X",
        help=f"edge length of a pixel, {MIN_NM:g} to {MAX_NM:g} nm, in place of the files' own",
    )
    parser.add_argument(
        "--preview",
        type=Path,
        metavar="DIR",
        help="write pictures with outlines, and in red rings the lines where instances were cut "
        "apart or touch",
    )
    return parser


def _add_instance_arguments(parser: argparse.ArgumentParser) -> None:
    """What becomes an instance, and how."""
    parser.add_argument(
        "--instances",
        choices=("auto", "components", "components-3d", "watershed", "labels", "files"),
        default="auto",
        help="what one instance is: a connected component; the same, linked from slice to slice "
        "by a track_id; a component cut at its necks; a value; or a file (default: auto: files, "
        "labels or components, by what each mask is)",
    )
    parser.add_argument(
        "--foreground",
        choices=("auto", "bright", "dark"),
        default="auto",
        help="which side of a binary mask is mitochondrion (default: auto: bright, unless bright "
        "covers over half of the image, of its outermost pixels, some of each border, and is one "
        "piece by nine tenths)",
    )
    parser.add_argument(
        "--connectivity",
        type=int,
        choices=(4, 8),
        default=8,
        help="8: pixels that touch at a corner belong together, as in ImageJ (default); 4: not",
    )
    parser.add_argument(
        "--watershed-depth",
        type=float,
        default=2.0,
        metavar="PX",
        help="cut a neck whose half-width is at least PX pixels less than that of the thinner "
        "lobe, and less than 0.55 of it (default: 2)",
    )
    parser.add_argument(
        "--fill-pinholes",
        type=int,
        default=0,
        metavar="N",
        help="fill holes of up to N pixels (default: 0, fill none)",
    )
    parser.add_argument(
        "--min-area-px",
        type=int,
        default=1,
        metavar="N",
        help="drop instances under N pixels and say how many (default: 1, drop none)",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Convert; see `build_parser` for the arguments and the exit status."""
    return run(_convert, build_parser().parse_args(argv))


def _convert(args: argparse.Namespace) -> int:
    """Pair, convert with progress, write and report."""
    if args.output is None and not args.dry_run:
        raise ConfigError("-o JSON is missing: name the COCO JSON to write, or give --dry-run")
    options = _options(args)
    from tqdm import tqdm

    from mito_instance.annotations.from_masks import convert_mask_pairs
    from mito_instance.annotations.mask_pairs import pair_masks
    from mito_instance.cli.mask_table import mask_table

    pairing = pair_masks(args.images, args.masks, args.pair_by)
    output = None if args.dry_run else args.output
    files = [file for pair in pairing.pairs for file in pair]
    check_outputs({"-o": output}, files)
    if args.preview is not None and not args.dry_run:
        read = {(file if file.is_dir() else file.parent).resolve() for file in files}
        if args.preview.resolve() in read:
            raise ConfigError(
                f"--preview {args.preview}: images or masks lie there, and its pictures would be "
                "taken for such; name another folder"
            )
        make_folder(args.preview)
    progress = tqdm(pairing.pairs, desc="masks", unit="image", disable=None)
    conversion = convert_mask_pairs(progress, options)
    conversion.failures.extend(pairing.ambiguous)
    conversion.failures.extend(f"{path}: no mask has its name" for path in pairing.images_alone)
    conversion.failures.extend(f"{path}: no image has its name" for path in pairing.partners_alone)
    if not pairing.pairs and not pairing.ambiguous:
        raise ConfigError(
            f"{args.masks}: none of {len(pairing.partners_alone)} masks has the name of one "
            f"of the {len(pairing.images_alone)} images in {args.images}; name them alike (one "
            "file an instance: in a folder named like the image), or give --pair-by order"
        )
    for line in mask_table(conversion.reports, args.masks):
        print(plain(line), file=sys.stderr)
    if args.dry_run:
        return _report_only(conversion)
    status = write_conversion(conversion, args.output, "convert_masks")
    if args.preview is not None:
        _write_previews(conversion, args.preview)
    return status


def _options(args: argparse.Namespace) -> MaskOptions:
    """The arguments as checked options."""
    from mito_instance.annotations.mask_options import MaskOptions

    return MaskOptions(
        instances=args.instances,
        connectivity=args.connectivity,
        min_area_px=args.min_area_px,
        pixel_size=None if args.pixel_size_nm is None else PixelSize(args.pixel_size_nm, "user"),
        foreground=args.foreground,
        fill_pinholes_px=args.fill_pinholes,
        watershed_depth_px=args.watershed_depth,
        strict=args.strict,
    )


def _write_previews(conversion: Conversion, folder: Path) -> None:
    """One picture for each image or page."""
    from tqdm import tqdm

    from mito_instance.visualize.cut_preview import write_cut_preview

    for number, instances in enumerate(tqdm(conversion.images, desc="preview", disable=None), 1):
        write_cut_preview(folder, number, instances)
    print(f"{folder}: {len(conversion.images)} previews", file=sys.stderr)


def _report_only(conversion: Conversion) -> int:
    """Say what a conversion would do, and give its exit status."""
    say_lines("notice", conversion.notices)
    say_lines("failed", conversion.failures)
    print(
        f"dry run, nothing written: {conversion.n_instances} instances on "
        f"{len(conversion.images)} images, {len(conversion.failures)} failures",
        file=sys.stderr,
    )
    if not conversion.images:
        return NOTHING_DONE
    return SOME_FAILED if conversion.failures else OK
