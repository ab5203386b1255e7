"""``mito demo``: the whole way from micrographs to counts, on synthetic or own images."""

from __future__ import annotations

import argparse
import contextlib
import csv
import importlib
import io
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from mito_instance.cli.command import OK, SOME_FAILED, CommandParser, run
from mito_instance.errors import ConfigError
from mito_instance.io.files import write_text_atomic

MAX_IMAGES = 1000
_DRAWN = re.compile(r"synthetic_\d{3}\.tif")
_EXAMPLE = """example:
  mito demo -o demo             four synthetic micrographs: draw, count, compare with the truth
  mito demo --images scans/     the same on your own micrographs, without a truth
"""
_COLUMNS = ("image", "count", "area_total_um2", "area_mean_um2", "area_fraction", "status")


def build_parser() -> CommandParser:
    """The command line of ``mito demo``."""
    parser = CommandParser(
        "demo", "Count and measure mitochondria in a few micrographs, start to end.", _EXAMPLE
    )
    parser.add_argument(
        "--images",
        nargs="+",
        metavar="PATH",
        help="own micrographs: files, folders or globs; without it, synthetic ones are drawn",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("mito_demo"),
        metavar="DIR",
        help="folder for all results (default: %(default)s)",
    )
    parser.add_argument(
        "--n-images",
        type=int,
        default=4,
        metavar="N",
        help="how many synthetic micrographs (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="the same seed draws the same micrographs (default: %(default)s)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demonstration.

    Args:
        argv: arguments without the program's name; by default those of the process.

    Returns:
        0 all done, 1 some images failed, 2 nothing could be done (one line on stderr says why).
    """
    return run(_demo, build_parser().parse_args(argv))


def _demo(args: argparse.Namespace) -> int:
    """Draw or take images, quantify, compare with the truth if there is one, name the files."""
    images: list[str] | None = args.images
    output: Path = args.output
    n_images: int = args.n_images
    if output.exists() and not output.is_dir():
        raise ConfigError(f"{output}: output must be a folder, but this is a file; choose another")
    truth: Path | None = None
    if images is None:
        if not 1 <= n_images <= MAX_IMAGES:
            raise ConfigError(
                f"--n-images: must be in [1, {MAX_IMAGES}], got {n_images}; ask for fewer or more"
            )
        from mito_instance.synthetic import write_dataset

        _check_ours(output / "images")
        print(f"drawing {n_images} synthetic micrographs …", file=sys.stderr)
        truth = write_dataset(output / "images", n_images, args.seed)
        images = sorted(str(path) for path in _listed(output / "images", n_images))
    status = _quantify(images, output)
    if status not in (OK, SOME_FAILED):
        return status
    print(_table(output / "counts.csv"))
    if truth is not None:
        arguments = [str(truth), str(output / "pred.json"), "-o", str(output / "evaluation")]
        print("\ncompared with the truth:")
        compared = _command("evaluate")(arguments)
        if compared not in (OK, SOME_FAILED):
            return compared
        status = max(status, compared)
    files = {
        "overlays": "the micrographs with every outline and its number",
        "counts.csv": "one row an image",
        "objects.csv": "one row a mitochondrion, with the same numbers",
    }
    if truth is not None:  # of images of the user, an earlier run's would lie there
        files["evaluation/report.html"] = "how well the outlines match the truth"
    print("\nopen these:")
    for name, what in files.items():
        if (output / name).exists():
            print(f"  {output / name}   {what}")
    return status


def _check_ours(folder: Path) -> None:
    """Refuse a folder of images that an earlier demonstration has not drawn."""
    from mito_instance.synthetic import TRUTH_NAME

    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    of_system = {"thumbs.db", "desktop.ini", "icon\r"}
    names = [n for n in names if not n.startswith(".") and n.casefold() not in of_system]
    others = [name for name in names if not _DRAWN.fullmatch(name) and name != TRUTH_NAME]
    if others or (TRUTH_NAME in names and len(names) == 1):
        raise ConfigError(
            f"{folder}: holds other files than the demonstration's ({(others or names)[0]}), and "
            "is not written to; choose another output folder"
        )


def _listed(folder: Path, n_images: int) -> list[Path]:
    """The images just written, and none that an earlier run may have left."""
    return [folder / f"synthetic_{number:03d}.tif" for number in range(n_images)]


def _quantify(images: list[str], output: Path) -> int:
    """Run ``quantify`` with its results in ``output``; its counts go to ``counts.csv``."""
    counts = io.StringIO()
    arguments = [
        *images,
        *("--objects", str(output / "objects.csv")),
        *("--overlays", str(output / "overlays")),
        *("--coco", str(output / "pred.json")),
    ]
    with contextlib.redirect_stdout(counts):
        status = _command("quantify")(arguments)
    if status != 2:
        write_text_atomic(output / "counts.csv", counts.getvalue())
    return status


def _command(name: str) -> Callable[[Sequence[str]], int]:
    """``main`` of another command, loaded only now: ``--help`` must not wait for a detector."""
    command: Callable[[Sequence[str]], int] = importlib.import_module(
        f"mito_instance.cli.{name}"
    ).main
    return command


def _table(counts: Path) -> str:
    """The main columns of ``counts.csv``, aligned for reading."""
    with counts.open(newline="", encoding="utf-8") as stream:
        rows = [[row.get(name) or "-" for name in _COLUMNS] for row in csv.DictReader(stream)]
    for row in rows:
        row[0] = Path(row[0]).name
        row[2:5] = [_shortened(value) for value in row[2:5]]
    lines = [list(_COLUMNS), *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_COLUMNS))]
    return "\n".join(
        "  ".join(
            value.ljust(width) if column == 0 else value.rjust(width)
            for column, (value, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def _shortened(value: str) -> str:
    """A number with four digits; other text as it is."""
    try:
        return f"{float(value):.4g}"
    except ValueError:
        return value
