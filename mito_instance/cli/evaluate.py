"""``mito evaluate``: scores predictions against a truth."""

from __future__ import annotations

import argparse
import hashlib
import math
import platform
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mito_instance
from mito_instance.cli.command import OK, SOME_FAILED, CommandParser, run
from mito_instance.errors import ConfigError

if TYPE_CHECKING:
    from mito_instance.evaluation.evaluate import Metrics

_NAMED = 10
_LIBRARIES = ("numpy", "scipy", "pycocotools", "faster-coco-eval")

_DESCRIPTION = """\
Scores predicted mitochondria against a truth and prints a table: COCO AP, F1, PQ, foreground
IoU and Dice, error of the counts, and how many instances were split, merged, missed or false.
Only images in both files are scored; they are paired by path, else by file name, and by frame.
All categories count as one. A figure that is not defined, such as the AP of images without
mitochondria, is printed as "undefined", null in JSON and an empty cell in CSV."""

_EXAMPLE = """\
example:
  tools/evaluate.py truth.json pred.json -o results

exit status: 0 if every predicted image has a truth, 1 if some have none (each is named),
2 if nothing could be evaluated"""


def build_parser() -> CommandParser:
    """The arguments of ``evaluate``."""
    parser = CommandParser("evaluate", _DESCRIPTION, _EXAMPLE)
    parser.add_argument("truth", type=Path, help="COCO JSON of the truth")
    parser.add_argument(
        "pred",
        type=Path,
        help="COCO JSON with a score on each annotation, or a COCO results list (image_id as in "
        "the truth, RLE, score)",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="DIR",
        help="write metrics.json, per_image.csv and associations.csv there",
    )
    parser.add_argument(
        "--min-area-px",
        type=_area,
        default=0,
        metavar="N",
        help="leave instances under N pixels out of the truth and out of the predictions "
        "(default: 0, keep all)",
    )
    parser.add_argument(
        "--score-threshold",
        type=_score,
        default=0.0,
        metavar="S",
        help="F1, PQ, foreground, counts and associations use predictions with score >= S; AP "
        "and AR always use all in the file (default: 0, all)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments without the program's name; by default those of the process.

    Returns:
        Exit status: 0 all done, 1 a predicted image has no truth, 2 nothing could be done.
    """
    return run(_evaluate, build_parser().parse_args(argv))


def _evaluate(args: argparse.Namespace) -> int:
    """Read, score, write and print."""
    from mito_instance.evaluation import tables
    from mito_instance.evaluation.evaluate import evaluate
    from mito_instance.evaluation.results_list import read_predictions
    from mito_instance.io.coco import read_coco

    if args.output is not None:
        _make_folder(args.output)
    truth = read_coco(args.truth)
    pred = read_predictions(args.pred, args.truth)
    metrics = evaluate(
        truth,
        pred,
        min_area_px=args.min_area_px,
        score_threshold=args.score_threshold,
        progress=sys.stderr.isatty(),
    )
    if args.output is not None:
        tables.write_metrics(args.output / "metrics.json", metrics, _run_record(args))
        tables.write_per_image(args.output / "per_image.csv", metrics)
        tables.write_associations(args.output / "associations.csv", metrics)
    print(tables.format_table(metrics.summary()))
    return _report_unpaired(metrics)


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
    return f"{image} (frame {frame})" if frame else image


def _run_record(args: argparse.Namespace) -> dict[str, Any]:
    """What is needed to repeat this evaluation."""
    return {
        "command": "evaluate",
        "options": {"min_area_px": args.min_area_px, "score_threshold": args.score_threshold},
        "inputs": {
            name: {"path": str(path), "sha256": _sha256(path)}
            for name, path in (("truth", args.truth), ("pred", args.pred))
        },
        "versions": {
            "mito-instance": mito_instance.__version__,
            "python": platform.python_version(),
            **{library: metadata.version(library) for library in _LIBRARIES},
        },
    }


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _make_folder(folder: Path) -> None:
    """Make the output folder before the work, so that a bad one is noticed at once."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(
            f"{folder}: cannot make the output folder ({reason}); choose another folder"
        ) from error


def _area(text: str) -> int:
    """An area in pixels, >= 0."""
    try:
        value = int(text)
    except ValueError:
        value = -1
    if value < 0:
        raise argparse.ArgumentTypeError(f"must be a whole number of pixels >= 0, got {text!r}")
    return value


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
