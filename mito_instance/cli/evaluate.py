"""``mito evaluate``: scores predictions against a truth."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mito_instance.cli.command import (
    OK,
    SOME_FAILED,
    CommandParser,
    checked_number,
    plain,
    run,
    whole_number,
)
from mito_instance.cli.image_groups import (
    DEFAULT_RESAMPLES,
    MAX_RESAMPLES,
    MAX_SEED,
    grouping,
)
from mito_instance.io.files import make_folder

if TYPE_CHECKING:
    from mito_instance.evaluation.evaluate import Metrics
    from mito_instance.evaluation.sources import Source
    from mito_instance.instances import ImageInstances
    from mito_instance.masks.rle import RLE

_NAMED = 10
_LOW_SCORE, _LOW_ENOUGH = 0.05, 0.1
_MAX_AREA_PX = 10**9

_DESCRIPTION = """\
Scores predicted mitochondria against a truth and prints a table: COCO AP, F1, PQ, foreground
IoU and Dice, error of the counts and areas, and how many instances were split, merged, missed
or false. With -o it writes a report (report.html) and every number behind it.

Truth and prediction are COCO JSONs, label images (a folder or a TIFF stack of integer labels)
or ImageJ ROIs (a folder of zips; needs --images). Only images in both are scored; they are
paired by path, else by file name, and by page. All categories count as one. A figure that is
not defined, such as the AP of images without mitochondria, is printed as "undefined", null in
JSON and an empty cell in CSV. Square brackets hold 95 % confidence intervals."""

_EXAMPLE = """\
example:
  mito evaluate truth.json pred.json -o results

exit status: 0 if every predicted image has a truth, 1 if some have none or a file could not be
read (each is named), 2 if nothing could be evaluated"""


def build_parser() -> CommandParser:
    """The arguments of ``evaluate``."""
    parser = CommandParser("evaluate", _DESCRIPTION, _EXAMPLE)
    parser.add_argument("truth", type=Path, help="COCO JSON, label images or ROIs of the truth")
    parser.add_argument(
        "pred",
        type=Path,
        help="the same of the predictions; a COCO JSON with a score on each annotation, or a COCO "
        "results list (image_id as in the truth, RLE, score)",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="DIR",
        help="write report.html, metrics.json, per_image.csv, associations.csv, false.json (the "
        "false detections as COCO JSON) and, in rois/, ROI zips for Fiji, coloured by error, there",
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="the micrographs: needed by ROIs, and shown in the report; label images and ROIs "
        "belong to them by name",
    )
    parser.add_argument(
        "--min-area-px",
        type=whole_number(0, _MAX_AREA_PX),
        default=0,
        metavar="N",
        help="leave instances under N pixels out of the truth and out of the predictions; a "
        "prediction whose IoU with a true instance is above 0.5 counts where that does "
        "(default: 0, keep all)",
    )
    parser.add_argument(
        "--score-threshold",
        type=_score,
        default=0.0,
        metavar="S",
        help="everything but AP and AR, which always use all in the file, uses predictions with "
        "score >= S (default: 0, all)",
    )
    parser.add_argument(
        "--pixel-size-nm",
        type=checked_number(1e-3, 1e6),
        metavar="X",
        help="edge of a pixel of every image in nm, for areas in µm²; by default what the files "
        "say, and pixels where one does not",
    )
    parser.add_argument(
        "--region",
        type=Path,
        metavar="PATH",
        help="where the images are annotated: ImageJ ROIs or masks, one for all or a folder "
        "of one an image; instances of which more than half lies inside count",
    )
    parser.add_argument(
        "--truth-incomplete",
        action="store_true",
        help="not every mitochondrion is in the truth: figures that count predictions without a "
        "true partner as errors are left undefined",
    )
    parser.add_argument(
        "--group-regex",
        metavar="RE",
        help="images whose paths match RE with the same first group, such as 'mouse(\\d+)', are of "
        "one group; confidence intervals resample groups (default: each image file by itself)",
    )
    parser.add_argument(
        "--bootstrap",
        type=whole_number(0, MAX_RESAMPLES),
        default=DEFAULT_RESAMPLES,
        metavar="N",
        help=f"resamples for the confidence intervals (default: {DEFAULT_RESAMPLES}; 0 for none)",
    )
    parser.add_argument(
        "--seed", type=whole_number(0, MAX_SEED), default=0, metavar="N", help="default: 0"
    )
    parser.add_argument(
        "--volume",
        action="store_true",
        help="truth and pred are two label stacks of one volume, whose ids run through the pages; "
        "3D instances are compared, by VOI, adapted Rand error, F1 and associations",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments without the program's name; by default those of the process.

    Returns:
        Exit status: 0 all done, 1 some inputs could not be scored, 2 nothing could be done.
    """
    return run(_evaluate, build_parser().parse_args(argv))


def _evaluate(args: argparse.Namespace) -> int:
    """Read, score, write and print."""
    from mito_instance.cli.conversion_report import check_outputs, say_lines
    from mito_instance.cli.evaluate_outputs import OUTPUT_NAMES, check_folder, write_outputs
    from mito_instance.evaluation import tables
    from mito_instance.evaluation.bootstrap import n_distinct
    from mito_instance.evaluation.evaluate import differing_pixel_sizes, evaluate
    from mito_instance.evaluation.regions import read_regions
    from mito_instance.evaluation.sources import named_like, read_source

    group_of = grouping(args.group_regex)
    if args.output is not None:
        read = [path for path in (args.truth, args.pred, args.region) if path is not None]
        for name in OUTPUT_NAMES:
            check_outputs({"-o": args.output / name}, read, make_folders=False)
        check_folder(args.output, read)
        make_folder(args.output)
    if args.volume:
        from mito_instance.cli.evaluate_volume import evaluate_volume

        return evaluate_volume(args)
    truth = read_source(args.truth, args.images)
    images_true = _calibrated(truth, args.pixel_size_nm)
    pred = read_source(args.pred, args.images, args.truth, images_true)
    if args.truth.is_file() or args.pred.is_file():
        pred = named_like(pred, truth)
    regions: dict[tuple[str, int], RLE] = {}
    without_region: list[str] = []
    not_scored: set[tuple[str, int]] = set()
    not_scored |= pred.incomplete if args.truth_incomplete else pred.incomplete | truth.incomplete
    if not_scored:
        pages = {(Path(image).stem, frame) for image, frame in not_scored}
        line = f"{len(pages)} images or pages of which an ROI cannot be used are not scored"
        say_lines("warning", [line])
    if args.region is not None:
        regions, without_region = read_regions(args.region, images_true)
        pages = {(image.image, image.frame) for image in images_true}
        not_scored |= pages - regions.keys()
    failures = (*truth.failures, *pred.failures, *without_region)
    say_lines("error", failures)
    metrics = evaluate(
        images_true,
        _calibrated(pred, args.pixel_size_nm),
        min_area_px=args.min_area_px,
        score_threshold=args.score_threshold,
        regions=regions,
        not_scored=not_scored,
        truth_incomplete=args.truth_incomplete,
        progress=sys.stderr.isatty(),
    )
    for image in differing_pixel_sizes(metrics):
        line = f"{image}: truth and prediction state two pixel sizes; the truth's is used"
        say_lines("warning", [line])
    groups = [group_of(image.image) for image in metrics.images]
    intervals = _intervals(metrics, groups, args)
    if args.output is not None:
        pictures = truth.names_pictures, pred.names_pictures
        write_outputs(args, metrics, intervals, n_distinct(groups), pictures)
    print(tables.format_table(metrics.summary(), intervals))
    say_lines("notice", [*truth.notices, *pred.notices, *_cut_scores(metrics)])
    return max(_report_unpaired(metrics), SOME_FAILED if failures else OK)


def _cut_scores(metrics: Metrics) -> list[str]:
    """What to know of predictions from which the low scores have been left out already."""
    from mito_instance.evaluation.evaluate import lowest_score

    lowest = lowest_score(metrics.pairs)
    if not lowest >= _LOW_ENOUGH:
        return []
    return [
        f"the predictions have scores from {lowest:.2f} on: AP and the best score threshold are of "
        f"these; to see lower ones, predict with mito quantify --score-threshold {_LOW_SCORE:g}"
    ]


def _calibrated(source: Source, pixel_size_nm: float | None) -> list[ImageInstances]:
    """The images with the pixel size that the user gave, if one was given."""
    from dataclasses import replace

    from mito_instance.calibration import PixelSize

    if pixel_size_nm is None:
        return list(source.images)
    size = PixelSize(pixel_size_nm, "user")
    return [replace(image, pixel_size=size) for image in source.images]


def _intervals(
    metrics: Metrics, groups: Sequence[str], args: argparse.Namespace
) -> dict[str, tuple[float, float]]:
    """Confidence intervals; none with fewer than two groups of images."""
    import numpy as np

    from mito_instance.evaluation.bootstrap import (
        intervals,
        n_distinct,
        resample_weights,
        resampled_figures,
    )
    from mito_instance.evaluation.figures import INTEGERS

    if n_distinct(groups) < 2 or args.bootstrap == 0:
        return {}
    weights = resample_weights(groups, args.bootstrap, np.random.default_rng(args.seed))
    samples = resampled_figures(
        metrics.tallies(),
        [image.detections for image in metrics.images],
        weights,
        metrics.unit,
        incomplete=metrics.truth_incomplete,
    )
    # The numbers of instances are those of these images, not an estimate of anything.
    return intervals({n: v for n, v in samples.items() if not n.startswith(INTEGERS)})


def _report_unpaired(metrics: Metrics) -> int:
    """Name the images that were not scored; 1 if predictions were among them."""
    if metrics.unpaired_true:
        names = [_page(*page) for page in metrics.unpaired_true]
        shown = ", ".join(names[:_NAMED])
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        print(
            f"notice: true images without a prediction, not scored ({len(names)}): {shown}{more}",
            file=sys.stderr,
        )
    for page in metrics.unpaired_pred:
        print(f"warning: {_page(*page)}: predicted, but not in the truth", file=sys.stderr)
    return SOME_FAILED if metrics.unpaired_pred else OK


def _page(image: str, frame: int) -> str:
    name = plain(image)
    return f"{name} (frame {frame})" if frame else name


def _score(text: str) -> float:
    """A score in [0, 1]."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be a number in [0, 1], got {text!r}")
    return value


if __name__ == "__main__":
    raise SystemExit(main())
