"""``mito quantify``: the main job, from micrographs to counts, areas, shapes and overlays."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mito_instance import __version__
from mito_instance.calibration import PixelSize
from mito_instance.cli.command import OK, SOME_FAILED, CommandParser, checked_number, run
from mito_instance.errors import ConfigError, ImageError

if TYPE_CHECKING:
    from mito_instance.batch.run import Settings
    from mito_instance.detection.predictor import MaskRCNNPredictor

_DESCRIPTION = """\
Finds every mitochondrion in micrographs. Prints one row an image (or page of a stack) as CSV on
stdout: count, areas, area fraction, density. PNG, JPEG, BMP and TIFF; 8, 16 or 32 bit; grey or
colour; images of any size. An image that cannot be read keeps its row, with the reason."""

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
    model = parser.add_argument_group("model")
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
    parser.add_argument(
        "--pixel-size-nm",
        type=checked_number(1e-3, 1e6),
        metavar="X",
        help="edge of a pixel in nm, for all images; overrules what the files say",
    )
    parser.add_argument(
        "--tile-px",
        type=int,
        metavar="N",
        help="images with a longer edge are cut into overlapping tiles of N px "
        "(default: the model's own)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments without the program's name; by default those of the process.

    Returns:
        Exit code: 0 all done, 1 some images failed, 2 nothing could be done.
    """
    return run(_quantify, build_parser().parse_args(argv))


def _quantify(args: argparse.Namespace) -> int:
    from mito_instance.batch.outputs import Outputs
    from mito_instance.batch.run import Results, Settings, quantify_all
    from mito_instance.inference.tiling import MIN_TILE_PX
    from mito_instance.io.images import find_images
    from mito_instance.io.tables import TableWriter
    from mito_instance.measure.schema import COUNTS_NAMES

    if args.tile_px is not None and args.tile_px < MIN_TILE_PX:
        raise ConfigError(f"--tile-px: must be at least {MIN_TILE_PX}, got {args.tile_px}")
    paths = find_images(args.images)
    outputs = Outputs(objects=args.objects, overlays=args.overlays, rois=args.rois, coco=args.coco)
    outputs.check()
    predictor = _load_model(args)
    settings = Settings(
        pixel_size=None if args.pixel_size_nm is None else PixelSize(args.pixel_size_nm, "user"),
        score_threshold=args.score_threshold,
        tile_px=args.tile_px,
    )
    results = Results()
    try:
        counts = TableWriter(sys.stdout, COUNTS_NAMES)
        quantify_all(paths, predictor, settings, outputs, counts, results)
    finally:
        # Also after Ctrl-C: what was done is kept.
        outputs.write(results.objects, results.instances, _run_record(predictor, settings))
    if not results.failures:
        return OK
    if not results.n_done:
        others = len(results.failures) - 1
        more = f" (and {others} more, each with its reason in the table)" if others else ""
        raise ImageError(f"{results.failures[0]}{more}")
    for failure in results.failures:
        print(f"failed: {failure}", file=sys.stderr)
    return SOME_FAILED


def _load_model(args: argparse.Namespace) -> MaskRCNNPredictor:
    from mito_instance.detection import require_detectron2

    require_detectron2()
    from mito_instance.detection.predictor import load_predictor

    return load_predictor(args.weights, args.config_file, ["MODEL.DEVICE", args.device])


def _run_record(predictor: MaskRCNNPredictor, settings: Settings) -> dict[str, Any]:
    """What the masks were made with: enough to make them again."""
    threshold = settings.score_threshold
    return {
        "description": "mitochondria found by mito quantify",
        "mito_instance": __version__,
        **predictor.record(),
        "score_threshold": predictor.score_threshold if threshold is None else threshold,
        "tile_px": predictor.tile_px if settings.tile_px is None else settings.tile_px,
    }
