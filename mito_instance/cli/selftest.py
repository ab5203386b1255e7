"""``mito selftest``: whether an installation works, checked on an image whose truth is known."""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mito_instance import __version__
from mito_instance.cli.command import OK, SOME_FAILED, CommandParser, run
from mito_instance.errors import MitoInstanceError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from mito_instance.inference.predictor import MaskPredictor
    from mito_instance.instances import ImageInstances

_DESCRIPTION = """\
Checks an installation: prints the versions of the libraries, what the processor can do and in
which arithmetic the network will run; then writes and reads a synthetic micrograph, runs the model
in the package on it and compares the result with its exact truth."""

_EXAMPLE = """\
example:
  mito selftest

exit status: 0 all is well, 1 a check failed"""

PACKAGES = (
    "numpy",
    "scipy",
    "opencv-python-headless",
    "scikit-image",
    "tifffile",
    "imagecodecs",
    "roifile",
    "pycocotools",
    "faster-coco-eval",
    "matplotlib",
    "torch",
    "torchvision",
    "detectron2",
    "safetensors",
)
"""What results depend on most."""

SEED = 0
MIN_F1 = 0.8
COUNT_TOLERANCE = 0.2
AREA_TOLERANCE = 0.25
"""The model's errors on such images are about half of these; a broken one's are far beyond."""


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison.

    Args:
        name: what is compared.
        found: what came out, as text.
        wanted: what is right, as text.
        is_good: whether they agree.
    """

    name: str
    found: str
    wanted: str
    is_good: bool


def build_parser() -> CommandParser:
    """The arguments of ``selftest``."""
    parser = CommandParser("selftest", _DESCRIPTION, _EXAMPLE)
    parser.add_argument(
        "--device", default="auto", help="auto, cpu, cuda, cuda:1, … (default: auto)"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments without the program's name; by default those of the process.

    Returns:
        Exit code: 0 all is well, 1 a check failed, 2 wrong usage.
    """
    return run(_selftest, build_parser().parse_args(argv))


def _selftest(args: argparse.Namespace) -> int:
    start = time.perf_counter()
    _print_rows("versions", _versions())
    try:
        predictor = load_model(args.device)
    except MitoInstanceError as error:
        print(f"\nfailed: no prediction is possible: {' '.join(str(error).split())}")
        return SOME_FAILED
    seconds = time.perf_counter() - start
    _print_rows("\nmachine", [*_machine(predictor), ("start", f"{seconds:.1f} s")])
    checks = list(_checks(predictor))
    _print_checks(checks)
    n_failed = sum(not check.is_good for check in checks)
    print(f"\n{f'failed: {n_failed} of {len(checks)} checks' if n_failed else 'all is well'}")
    return SOME_FAILED if n_failed else OK


def load_model(device: str) -> MaskPredictor:
    """The model in the package, on a device."""
    from mito_instance.api import load_model

    return load_model(device=device)


def _versions() -> list[tuple[str, str]]:
    found = [("python", platform.python_version()), ("mito-instance", __version__)]
    for name in PACKAGES:
        try:
            found.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            found.append((name, "not installed"))
    return found


def _machine(predictor: MaskPredictor) -> list[tuple[str, str]]:
    from mito_instance.detection.machine import cpu_features, gpu_names, n_cpu_threads

    record = predictor.record()
    return [
        ("system", f"{platform.system()} {platform.machine()}"),
        ("processor", " ".join(cpu_features())),
        ("threads", str(n_cpu_threads())),
        ("GPU", "; ".join(gpu_names()) or "none"),
        ("network runs on", f"{record.get('device')}, {record.get('precision')}"),
        ("model", f"{record.get('weights')}, sha256 {str(record.get('weights_sha256'))[:12]}"),
    ]


def _checks(predictor: MaskPredictor) -> Iterator[Check]:
    """Every check, as it is done."""
    import numpy as np

    from mito_instance.synthetic import make_micrograph

    drawn = make_micrograph(np.random.default_rng(SEED), name="selftest.tif")
    yield from _file_checks(drawn.image)
    start = time.perf_counter()
    found = _predict(predictor, drawn.image, drawn.instances)
    seconds = time.perf_counter() - start
    height, width = drawn.image.shape
    yield Check("time", f"{seconds:.2f} s", f"({width} x {height} px, the first image)", True)
    yield from result_checks(drawn.instances, found)


def _predict(
    predictor: MaskPredictor, image: npt.NDArray[np.uint8], truth: ImageInstances
) -> ImageInstances:
    """Instances that the model finds in the image."""
    from mito_instance.inference.pipeline import predict_page
    from mito_instance.io.images import Page

    return predict_page(predictor, Page(Path(truth.image), 0, 1, image, truth.pixel_size))


def _file_checks(image: npt.NDArray[np.uint8]) -> Iterator[Check]:
    """Whether images come back from files as they went in."""
    import cv2
    import numpy as np
    import tifffile

    from mito_instance.io.images import read_page

    with tempfile.TemporaryDirectory() as folder:
        for name, pixels in (("8-bit.png", image), ("16-bit.tif", image.astype(np.uint16) * 257)):
            path = Path(folder) / name
            if path.suffix == ".tif":
                tifffile.imwrite(path, pixels, compression="zlib")
            else:
                path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
            same = bool(np.array_equal(read_page(path).pixels, pixels))
            yield Check(f"file {name}", "the same" if same else "other pixels", "the same", same)


def result_checks(truth: ImageInstances, found: ImageInstances) -> Iterator[Check]:
    """Count, area and outlines of a prediction against the truth.

    Args:
        truth: of one image, at least one instance.
        found: of the same image.
    """
    from mito_instance.evaluation.matching import count_matches
    from mito_instance.masks import rle

    n_true, n_found = len(truth), len(found)
    slack = COUNT_TOLERANCE * n_true
    yield Check(
        "count", str(n_found), f"{n_true} ± {slack:.0f}", abs(n_found - n_true) <= slack + 0.5
    )
    area_true = sum(rle.area_px(mask) for mask in truth.masks)
    area_found = sum(rle.area_px(mask) for mask in found.masks)
    yield Check(
        "total area",
        f"{area_found} px",
        f"{area_true} px ± {AREA_TOLERANCE:.0%}",
        abs(area_found - area_true) <= AREA_TOLERANCE * area_true,
    )
    counts = count_matches(rle.iou_matrix(list(truth.masks), list(found.masks)), 0.5)
    yield Check("F1 at IoU 0.5", f"{counts.f1:.2f}", f">= {MIN_F1}", counts.f1 >= MIN_F1)


def _print_rows(title: str, rows: Sequence[tuple[str, Any]]) -> None:
    width = max(len(name) for name, _ in rows)
    print(title)
    for name, value in rows:
        print(f"  {name.ljust(width)}  {value}")
    sys.stdout.flush()


def _print_checks(checks: Sequence[Check]) -> None:
    names = max(len(check.name) for check in checks)
    found = max(len(check.found) for check in checks)
    print("\nchecks")
    for check in checks:
        state = "ok" if check.is_good else "FAILED"
        values = f"{check.name.ljust(names)}  {check.found.rjust(found)}  {check.wanted}"
        print(f"  {state.ljust(6)}  {values}")
