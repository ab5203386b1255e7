"""``mito export-roi``: COCO JSON to ImageJ ROI zips."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mito_instance.cli.command import OK, CommandParser, run
from mito_instance.errors import ConfigError

_DESCRIPTION = """\
Writes the instances of a COCO JSON as ImageJ ROI zips, one for each image, pixel by pixel: holes
and separate parts become composite ROIs. A stack gives one zip whose ROIs carry their slice.
ROIs keep the names of the annotations, or are named by number and score (0001-0.97)."""

_EXAMPLE = """\
example:
  mito export-roi pred.json -o rois/
  (correct rois/cell_01.zip in Fiji's ROI Manager, save it in corrected/, then:)
  mito convert-roi corrected/ --images images/ -o corrected.json

exit status: 0 all done, 2 nothing could be done"""


def build_parser() -> CommandParser:
    """The arguments of ``export_roi``."""
    parser = CommandParser("export-roi", _DESCRIPTION, _EXAMPLE)
    parser.add_argument("coco", type=Path, metavar="JSON", help="COCO JSON of instances")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="folder for the zips"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments without the program's name; by default those of the process.

    Returns:
        Exit code: 0 all done, 2 nothing could be done.
    """
    return run(_export, build_parser().parse_args(argv))


def _check_groups(path: Path, categories: set[int]) -> None:
    """Refuse categories that ROI groups cannot tell apart."""
    from mito_instance.io.imagej_roi_writer import category_style

    first: dict[int, int] = {}
    for number in sorted(categories):
        other = first.setdefault(category_style(number).group, number)
        if other != number:
            raise ConfigError(
                f"{path}: categories {other} and {number} would be one ROI group; number the "
                "categories from 1 to 65536"
            )


def _export(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from mito_instance.annotations.image_files import is_of_stack
    from mito_instance.batch.file_names import FileNames
    from mito_instance.batch.outputs import refuse_changed, refuse_others
    from mito_instance.instances import ImageInstances
    from mito_instance.io.coco import read_coco
    from mito_instance.io.imagej_roi_writer import write_roi_zip

    if args.output.exists() and not args.output.is_dir():
        raise ConfigError(f"{args.output}: is a file; name a folder for the zips")
    images: dict[Path, list[ImageInstances]] = {}
    listed = read_coco(args.coco)
    _check_groups(args.coco, {number for image in listed for number in image.category_ids})
    for image in listed:
        images.setdefault(Path(image.image), []).append(image)
    stems = FileNames(list(images)).stems
    zips = {path: args.output / f"{stem}.zip" for path, stem in stems.items()}
    refuse_changed(zips.values())
    refuse_others({zips[path]: path for path in images})
    n_rois = 0
    for path, pages in tqdm(images.items(), desc="ROI zips", unit="image", disable=None):
        n_rois += write_roi_zip(zips[path], pages, is_stack=is_of_stack(path, pages[0].frame))
    print(f"{args.output}: {n_rois} ROIs in {len(images)} zips", file=sys.stderr)
    return OK
