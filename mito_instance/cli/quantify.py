"""``mito quantify``: the main job, from micrographs to counts, areas, shapes and overlays."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

from mito_instance.calibration import PixelSize
from mito_instance.cli.command import OK, SOME_FAILED, run
from mito_instance.cli.conversion_report import say_lines
from mito_instance.cli.quantify_options import build_parser
from mito_instance.errors import ConfigError, ImageError

if TYPE_CHECKING:
    from mito_instance.annotations.regions import Regions
    from mito_instance.batch.outlined import OutlinedPages
    from mito_instance.batch.page_work import Settings
    from mito_instance.cli.quantify_report import BatchReport
    from mito_instance.inference.predictor import MaskPredictor
    from mito_instance.io.pixel_sizes import PixelSizes
    from mito_instance.io.tables import TableWriter


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments without the program's name; by default those of the process.

    Returns:
        Exit code: 0 all done, 1 some images failed, 2 nothing could be done.
    """
    return run(_quantify, build_parser().parse_args(argv))


def _quantify(args: argparse.Namespace) -> int:
    from mito_instance.batch.run import run_record
    from mito_instance.inference.augmentation import with_augmentation
    from mito_instance.inference.predictor import category_names
    from mito_instance.inference.tiling import MIN_TILE_PX
    from mito_instance.io.images import find_images

    if args.tile_px is not None and args.tile_px < MIN_TILE_PX:
        raise ConfigError(f"--tile-px: must be at least {MIN_TILE_PX}, got {args.tile_px}")
    paths = find_images(args.images)
    if args.dry_run:
        return _list_pages(paths, _pixel_sizes(args, paths))

    def load(settings: Settings) -> tuple[MaskPredictor, dict[str, Any]]:
        predictor = with_augmentation(_load_model(args), args.tta)
        if len(names := category_names(predictor)) > 1:
            print(
                f"warning: the model finds several categories ({', '.join(names.values())}), and "
                "all of them are counted; --coco tells them apart",
                file=sys.stderr,
            )
        return predictor, run_record(predictor, settings)

    return count_pages(args, paths, load)


def count_pages(
    args: argparse.Namespace,
    paths: Sequence[Path],
    load: Callable[[Settings], tuple[MaskPredictor | OutlinedPages, dict[str, Any]]],
    sources: Sequence[Path] = (),
) -> int:
    """Measure every page; print its row, and write what else was asked for.

    Args:
        args: the options of ``quantify``, as far as they are of measuring and of results.
        paths: image files.
        load: gives what finds the instances and its record, after the options were checked.
        sources: further files and folders that are read.

    Returns:
        Exit code, as of `exit_code`.

    Raises:
        MitoInstanceError: if an option is wrong, or nothing could be done.
    """
    from mito_instance.batch.groups import grouping
    from mito_instance.batch.outputs import Outputs
    from mito_instance.batch.page_work import Settings
    from mito_instance.batch.run import Batch, Results
    from mito_instance.io.tables import TableWriter
    from mito_instance.measure.schema import COUNTS_NAMES, REGION_NAMES

    pixel_sizes = _pixel_sizes(args, paths)
    outputs = Outputs(
        objects=args.objects,
        overlays=args.overlays,
        rois=args.rois,
        coco=args.coco,
        summary=_summary_file(args),
        log=args.log,
        report=args.report,
    )
    tables = [path for path in (args.pixel_size_csv, args.region) if path is not None]
    outputs.check(paths, [*sources, *tables])
    group_of = grouping(args.group_by, paths)
    settings = Settings(
        pixel_sizes=pixel_sizes,
        score_threshold=args.score_threshold,
        tile_px=args.tile_px,
        regions=None if args.region is None else _regions(args.region, paths),
        exclude_border=args.exclude_border,
    )
    predictor, record = load(settings)
    report = None if args.report is None else _report(args, record)
    batch = Batch(
        paths, predictor, settings, outputs, args.resume, group_of, args.workers - 1, record,
        on_page=None if report is None else report.add,
    )  # fmt: skip
    columns = COUNTS_NAMES if args.region is None else COUNTS_NAMES + REGION_NAMES
    results = Results()
    try:
        counts = TableWriter(_stdout(), columns)
        batch.run(lambda row: _print_row(counts, row), results)
        if report is not None:
            report.is_complete = True
    except BrokenPipeError:
        if results.n_done and outputs.has_tables:
            print(
                f"error: whoever read the counts left (a pipe such as | head): what was done by "
                f"then, {results.n_done} pages, is all that the other files hold",
                file=sys.stderr,
            )
        raise
    finally:
        # Also after Ctrl-C: what was done is kept. Where nothing was, older files are.
        if results.n_done or results.failures:
            info = {**record, "options": _counting(args)}
            try:
                outputs.write(results.objects, results.instances, results.figures, info)
            finally:
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
    say_lines("failed", failures)
    return SOME_FAILED


def _counting(args: argparse.Namespace) -> dict[str, Any]:
    """The options that say what counts and how large a pixel is; those that were given."""
    names = ("region", "exclude_border", "pixel_size_nm", "pixel_size_csv")
    given = {name: getattr(args, name) for name in names}
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in given.items()
        if value not in (None, False)
    }


def _regions(path: Path, images: Sequence[Path]) -> Regions:
    from mito_instance.annotations.regions import Regions

    return Regions(path, images)


def _report(args: argparse.Namespace, record: Mapping[str, Any]) -> BatchReport:
    from mito_instance.cli.quantify_report import BatchReport

    return BatchReport(args, record)


def _stdout() -> TextIO:
    """Standard output in UTF-8, as all tables: names may be in any script."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    return sys.stdout


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

    table = TableWriter(_stdout(), PAGES_NAMES)
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
