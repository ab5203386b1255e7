"""The scripts ``datasets/prepare_*.py``: a published data set to COCO JSON."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mito_instance.calibration import MAX_NM, MIN_NM, PixelSize
from mito_instance.cli.command import (
    NOTHING_DONE,
    OK,
    SOME_FAILED,
    CommandParser,
    checked_number,
    run,
    whole_number,
)
from mito_instance.cli.conversion_report import say_lines, say_skipped

if TYPE_CHECKING:
    from mito_instance.annotations.conversion import Conversion
    from mito_instance.annotations.datasets import Part
    from mito_instance.annotations.published import DataSet

DATA_SETS = ("epfl", "snemi", "cdeep3m", "imagej")
_MAX_AREA_PX = 10**9
_NAMED = 10


def build_parser(name: str) -> CommandParser:
    """The arguments of one script.

    Args:
        name: one of `DATA_SETS`.
    """
    data_set = _data_set(name)
    tree = "\n".join(
        f"  SOURCE/{line}".replace("SOURCE/or ", "or SOURCE/") for line in data_set.tree
    )
    parser = CommandParser(
        f"prepare_{name}",
        f"Converts a data set to COCO JSON, one file a part, in one command.\n\n"
        f"{data_set.title}\nterms: {data_set.terms}\ncite: {data_set.citation}\n\n"
        f"expected files:\n{tree}",
        f"example:\n  datasets/prepare_{name}.py datasets/{name}\n\n"
        "exit status: 0 if everything was converted, 1 if some files were not (each is named), "
        "2 if\nnothing could be converted",
    )
    parser.prog = f"prepare_{name}.py"
    parser.add_argument("source", type=Path, metavar="SOURCE", help="folder of the data set")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="folder for the JSONs (default: SOURCE)"
    )
    known = data_set.pixel_size_nm
    parser.add_argument(
        "--pixel-size-nm",
        type=checked_number(MIN_NM, MAX_NM),
        default=known,
        metavar="X",
        help="edge length of a pixel "
        + (f"(default: {known:g})" if known else "(default: what the files say)"),
    )
    if not data_set.holds_rois:
        parser.add_argument(
            "--instances",
            choices=("auto", "components", "components-3d", "watershed", "labels", "files"),
            default="auto",
            help="what one instance is, as in convert-masks (default: auto)",
        )
        parser.add_argument(
            "--min-area-px",
            type=whole_number(1, _MAX_AREA_PX),
            default=data_set.min_area_px,
            metavar="N",
            help=f"drop instances under N pixels and say how many "
            f"(default: {data_set.min_area_px})",
        )
    if data_set.files:
        parser.add_argument(
            "--download",
            action="store_true",
            help="first fetch what is not in SOURCE from " + _server(data_set),
        )
    if name == "snemi":
        _add_clahe(parser)
    return parser


def main(name: str, argv: Sequence[str] | None = None) -> int:
    """Run one script.

    Args:
        name: one of `DATA_SETS`.
        argv: arguments without the program's name; by default those of the process.

    Returns:
        Exit code: 0 all done, 1 some inputs failed, 2 nothing could be done.
    """
    return run(partial(_prepare, name), build_parser(name).parse_args(argv))


def _data_set(name: str) -> DataSet:
    from mito_instance.annotations import published

    data_set: DataSet = getattr(published, name.upper())
    return data_set


def _add_clahe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--clahe",
        action="store_true",
        help="write contrast-equalised copies of the images (CLAHE, OpenCV) to DIR/clahe, and "
        "refer to these",
    )
    parser.add_argument(
        "--clahe-clip-limit",
        type=checked_number(0.01, 1000),
        default=2.0,
        metavar="X",
        help="a grey level may hold X times its fair share of a tile (default: 2)",
    )
    parser.add_argument(
        "--clahe-tiles",
        type=whole_number(1, 256),
        default=8,
        metavar="N",
        help="tiles along each side of the image (default: 8)",
    )


def _server(data_set: DataSet) -> str:
    """Where the files come from, for the help; a percent sign has a meaning in argparse."""
    urls = [file.url for file in data_set.files]
    shared = os.path.commonprefix(urls)  # noqa: RUF071 - of URLs, not of paths
    return shared.rpartition("/")[0].replace("%", "%%") + "/"


def _prepare(name: str, args: argparse.Namespace) -> int:
    from mito_instance.annotations.datasets import find_parts
    from mito_instance.annotations.fetching import fetch
    from mito_instance.io.coco import write_coco

    data_set = _data_set(name)
    print(f"{data_set.title}\nterms: {data_set.terms}\ncite: {data_set.citation}")
    if getattr(args, "download", False):
        fetch(data_set, args.source)
    parts, notices = find_parts(args.source, data_set)
    say_lines("notice", notices)
    n_failures = n_written = 0
    for part in parts:
        conversion = _converted(part, data_set, args)
        say_lines("notice", _masks_seen(conversion, part))
        say_lines("notice", conversion.notices)
        say_skipped(conversion)
        say_lines("failed", conversion.failures)
        n_failures += len(conversion.failures)
        if not conversion.images:
            continue
        output = (args.output or args.source) / f"{part.name}.json"
        if getattr(args, "clahe", False):
            _equalise(conversion, output.parent / "clahe" / part.name, args)
        write_coco(output, conversion.images, info=_record(name, data_set, part))
        n_written += 1
        print(f"{output}: {conversion.n_instances} instances on {len(conversion.images)} images")
    if not n_written:
        print(f"error: {args.source}: no image could be converted", file=sys.stderr)
        return NOTHING_DONE
    return SOME_FAILED if n_failures else OK


def _masks_seen(conversion: Conversion, part: Part) -> list[str]:
    """What the masks hold and what was done with them: one line a fact, numbers added up."""
    n_masks: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    for report in conversion.reports:
        for fact in (f"values {report.saw}", *report.did, *report.repairs):
            number, _, rest = fact.partition(" ")
            is_count = number.isascii() and number.isdigit()
            n_masks[rest if is_count else fact] += 1
            totals[rest if is_count else fact] += int(number) if is_count else 0
    return [
        f"{part.name}: {totals[fact] or ''} {fact} ({count} masks)".replace(":  ", ": ")
        for fact, count in n_masks.most_common(_NAMED)
    ]


def _converted(part: Part, data_set: DataSet, args: argparse.Namespace) -> Conversion:
    from tqdm import tqdm

    from mito_instance.annotations.conversion import Conversion
    from mito_instance.annotations.datasets import convert_part
    from mito_instance.annotations.mask_options import MaskOptions
    from mito_instance.errors import MitoInstanceError

    pixel_size = None if args.pixel_size_nm is None else PixelSize(args.pixel_size_nm, "user")
    options = MaskOptions(pixel_size=pixel_size)
    if not data_set.holds_rois:
        options = replace(options, instances=args.instances, min_area_px=args.min_area_px)
    progress = partial(tqdm, desc=part.name, unit="file", disable=None)
    try:
        return convert_part(part, data_set, options, progress)
    except MitoInstanceError as error:
        return Conversion(failures=[str(error)])


def _equalise(conversion: Conversion, folder: Path, args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from mito_instance.annotations.clahe import Clahe, write_equalised

    clahe = Clahe(args.clahe_clip_limit, args.clahe_tiles)
    progress = tqdm(conversion.images, desc="CLAHE", unit="image", disable=None)
    conversion.images[:] = write_equalised(progress, folder, clahe)


def _record(name: str, data_set: DataSet, part: Part) -> dict[str, object]:
    return {
        "description": f"part {part.name}: {data_set.title}",
        "terms": data_set.terms,
        "citation": data_set.citation,
        "prepared_by": f"datasets/prepare_{name}.py",
    }
