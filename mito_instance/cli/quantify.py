"""``mito quantify``: the main job, from micrographs to counts, areas, shapes and overlays."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mito_instance.calibration import PixelSize
from mito_instance.cli.command import (
    OK,
    SOME_FAILED,
    CommandParser,
    checked_number,
    run,
    whole_number,
)
from mito_instance.errors import ConfigError, ImageError

if TYPE_CHECKING:
    from mito_instance.batch.regions import Regions
    from mito_instance.cli.quantify_report import BatchReport
    from mito_instance.inference.predictor import MaskPredictor
    from mito_instance.io.pixel_sizes import PixelSizes
    from mito_instance.io.tables import TableWriter

_DESCRIPTION = """\
Finds every mitochondrion in micrographs. Prints one row an image (or page of a stack) as CSV on
stdout: count, areas, area fraction, density. PNG, JPEG, BMP, TIFF, MRC, DM3 and DM4; 8, 16 or
32 bit; grey or colour; images of any size. An image that cannot be read keeps its row, with the
reason."""

_EXAMPLE = """\
example:
  tools/quantify.py images/ --objects objects.csv --overlays overlays/ > counts.csv

exit status: 0 all images done, 1 some failed (each has a row that says why), 2 none could be
done"""


def build_parser() -> CommandParser:
    """The arguments of ``quantify``."""
    parser = CommandParser("quantify", _DESCRIPTION, _EXAMPLE)
    parser.add_argument("images", nargs="+", help="files, folders or globs")
    results = parser.add_argument_group("results besides counts.csv on stdout")
    results.add_argument(
        "--objects", type=Path, metavar="CSV", help="one row a mitochondrion: area, shape, place"
    )
    results.add_argument(
        "--overlays", type=Path, metavar="DIR", help="a PNG an image with outlines and numbers"
    )
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
    _add_model(parser.add_argument_group("model"))
    _add_measuring(parser.add_argument_group("pixel size and what is counted"))
    work = parser.add_argument_group("work")
    work.add_argument(
        "--resume",
        type=Path,
        metavar="DIR",
        help="keep finished pages in DIR, and take from there what is done already",
    )
    work.add_argument(
        "--workers",
        type=whole_number(1, 64),
        default=2,
        metavar="N",
        help="threads; all but one read, measure and draw beside the network (default: 2)",
    )
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
        "--device", default="auto", help="auto, cpu, cuda, cuda:1, … (default: auto)"
    )
    model.add_argument(
        "--score-threshold",
        type=checked_number(0, 1),
        metavar="S",
        help="detections with a lower score do not count (default: the model's own)",
    )
    model.add_argument(
        "--tile-px",
        type=int,
        metavar="N",
        help="images with a longer edge are cut into overlapping tiles of N px "
        "(default: the model's own)",
    )


def _add_measuring(measuring: argparse._ArgumentGroup) -> None:
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
        help="leave instances that touch the border out of mean and median areas; they count",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments without the program's name; by default those of the process.

    Returns:
        Exit code: 0 all done, 1 some images failed, 2 nothing could be done.
    """
    return run(_quantify, build_parser().parse_args(argv))


def _quantify(args: argparse.Namespace) -> int:
    from mito_instance.batch.groups import grouping
    from mito_instance.batch.outputs import Outputs
    from mito_instance.batch.page_work import Settings
    from mito_instance.batch.run import Batch, Results, run_record
    from mito_instance.inference.tiling import MIN_TILE_PX
    from mito_instance.io.images import find_images
    from mito_instance.io.tables import TableWriter
    from mito_instance.measure.schema import COUNTS_NAMES, REGION_NAMES

    if args.tile_px is not None and args.tile_px < MIN_TILE_PX:
        raise ConfigError(f"--tile-px: must be at least {MIN_TILE_PX}, got {args.tile_px}")
    paths = find_images(args.images)
    pixel_sizes = _pixel_sizes(args, paths)
    if args.dry_run:
        return _list_pages(paths, pixel_sizes)
    outputs = Outputs(
        objects=args.objects,
        overlays=args.overlays,
        rois=args.rois,
        coco=args.coco,
        summary=_summary_file(args),
        log=args.log,
        report=args.report,
    )
    outputs.check()
    group_of = grouping(args.group_by, paths)
    settings = Settings(
        pixel_sizes=pixel_sizes,
        score_threshold=args.score_threshold,
        tile_px=args.tile_px,
        regions=None if args.region is None else _regions(args.region, paths),
        exclude_border=args.exclude_border,
    )
    predictor = _load_model(args)
    record = run_record(predictor, settings)
    report = None if args.report is None else _report(args, record)
    batch = Batch(
        paths, predictor, settings, outputs, args.resume, group_of, args.workers - 1, record,
        on_page=None if report is None else report.add,
    )  # fmt: skip
    columns = COUNTS_NAMES if args.region is None else COUNTS_NAMES + REGION_NAMES
    results = Results()
    try:
        counts = TableWriter(sys.stdout, columns)
        batch.run(lambda row: _print_row(counts, row), results)
        if report is not None:
            report.is_complete = True
    finally:
        # Also after Ctrl-C: what was done is kept.
        outputs.write(results.objects, results.instances, results.figures, record)
        if report is not None:
            report.write(args.report)
    return exit_code(results.n_done, results.failures)


def exit_code(n_done: int, failures: Sequence[str]) -> int:
    """Name what failed on stderr.

    Raises:
        ImageError: if nothing could be done.
    """
    if not failures:
        return OK
    if not n_done:
        others = len(failures) - 1
        more = f" (and {others} more, each with its reason in the table)" if others else ""
        raise ImageError(f"{failures[0]}{more}")
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    return SOME_FAILED


def _regions(path: Path, images: Sequence[Path]) -> Regions:
    from mito_instance.batch.regions import Regions

    return Regions(path, images)


def _report(args: argparse.Namespace, record: Mapping[str, Any]) -> BatchReport:
    from mito_instance.cli.quantify_report import BatchReport

    return BatchReport(args, record)


def _print_row(counts: TableWriter, row: Mapping[str, Any]) -> None:
    counts.write(row)
    sys.stdout.flush()


def _pixel_sizes(args: argparse.Namespace, paths: Sequence[Path]) -> PixelSizes:
    from mito_instance.io.pixel_sizes import PixelSizes, read_pixel_size_list

    for_all = None if args.pixel_size_nm is None else PixelSize(args.pixel_size_nm, "user")
    table = args.pixel_size_csv
    return PixelSizes(for_all, None if table is None else read_pixel_size_list(table, paths))


def _summary_file(args: argparse.Namespace) -> Path | None:
    """Where the summary goes: as asked for, or beside the table of objects."""
    if args.summary is not None or args.group_by is None:
        return cast("Path | None", args.summary)
    if args.objects is None:
        raise ConfigError("--group-by: needs a file for the summary; give --summary FILE")
    return cast("Path", args.objects.parent / "summary.csv")


def _list_pages(paths: Sequence[Path], pixel_sizes: PixelSizes) -> int:
    """Print what would be read."""
    from mito_instance.batch.dry_run import PAGES_NAMES, list_pages
    from mito_instance.io.tables import TableWriter

    table = TableWriter(sys.stdout, PAGES_NAMES)
    n_done, failures = 0, []
    for row in list_pages(paths, pixel_sizes):
        _print_row(table, row)
        if row["status"] == "ok":
            n_done += 1
        else:
            failures.append(str(row["message"]))
    return exit_code(n_done, failures)


def _load_model(args: argparse.Namespace) -> MaskPredictor:
    from mito_instance.api import load_model

    return load_model(args.weights, config_file=args.config_file, device=args.device)
