"""``mito check``: what a trainer would trip over in a COCO JSON, and its repair."""

from __future__ import annotations

import argparse
import io
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mito_instance import __version__
from mito_instance.cli.command import OK, SOME_FAILED, CommandParser, run, whole_number
from mito_instance.cli.conversion_report import check_outputs
from mito_instance.errors import ConfigError

if TYPE_CHECKING:
    from mito_instance.annotations.checks import CheckResult
    from mito_instance.annotations.findings import Finding

_DESCRIPTION = """\
Checks a COCO JSON, however broken, and prints one line for each thing found: the severity, the
kind, the image and the annotation, and what is wrong. Ids, image sizes against the files on the
disk, missing images, damaged, empty and out-of-bounds masks, polygons, repeated and overlapping
masks, crowd regions, categories, specks, and areas and boxes that disagree with their masks.

error: training stops, or an image or instance is unusable; warning: training runs, but not on
what was meant; notice: no problem, but good to know."""

_EXAMPLE = """\
example:
  mito check truth.json --fix repaired.json

exit status: 0 no error and no warning, 1 problems found (also when --fix repaired them),
2 the file cannot be read or the repaired one cannot be written"""

_MAX_AREA_PX = 10**9


def build_parser() -> CommandParser:
    """The arguments of ``check``."""
    parser = CommandParser("check", _DESCRIPTION, _EXAMPLE)
    parser.add_argument("json", type=Path, metavar="JSON", help="COCO JSON to check")
    parser.add_argument(
        "--fix",
        type=Path,
        metavar="OUT.json",
        help="write a repaired JSON there and say what was repaired; nothing is invented: what "
        "cannot be repaired is left out, each case named, or left as it is",
    )
    parser.add_argument(
        "--crowds-are-instances",
        action="store_true",
        help="with --fix: write each crowd region (iscrowd 1) as a single instance; CVAT marks "
        "masks of its brush as crowd regions (default: they stay crowd regions)",
    )
    parser.add_argument(
        "--min-area-px",
        type=whole_number(0, _MAX_AREA_PX),
        default=25,
        metavar="N",
        help="call instances under N pixels specks; they are kept (default: 25)",
    )
    parser.add_argument(
        "--max-lines",
        type=whole_number(0, _MAX_AREA_PX),
        default=10,
        metavar="N",
        help="print at most N lines of each kind, and how many there are in all (default: 10; "
        "0: all)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments without the program's name; by default those of the process.

    Returns:
        Exit code: 0 clean, 1 problems found, 2 unreadable.
    """
    return run(_check, build_parser().parse_args(argv))


def _check(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from mito_instance.annotations.checks import check_coco

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names may be in any script
    path: Path = args.json
    check_outputs({"--fix": args.fix}, [path])
    if args.crowds_are_instances and args.fix is None:
        raise ConfigError(
            "--crowds-are-instances says what --fix writes; give --fix OUT.json as well"
        )
    result = check_coco(
        path,
        args.min_area_px,
        lambda items, what: tqdm(items, desc=what, disable=None),
        crowds_are_instances=args.crowds_are_instances,
    )
    _print_findings(result, args.max_lines)
    _print_summary(path, result)
    if args.fix is not None:
        _write_repaired(args.fix, path, result)
    findings = result.findings
    return SOME_FAILED if findings.count("error") or findings.count("warning") else OK


def _print_findings(result: CheckResult, max_lines: int) -> None:
    """One line for each finding, the gravest first, capped by kind."""
    from mito_instance.annotations.findings import KINDS

    by_kind: dict[str, list[Finding]] = {kind: [] for kind in KINDS}
    for item in result.findings.items:
        by_kind[item.kind].append(item)
    for kind, items in by_kind.items():
        shown = items[:max_lines] if max_lines else items
        for item in shown:
            place = f"{item.where}: " if item.where else ""
            print(f"{item.severity} {kind}: {place}{item.message}")
        if len(shown) < len(items):
            print(f"{KINDS[kind]} {kind}: … {len(items)} in all, {len(shown)} shown")


def _print_summary(path: Path, result: CheckResult) -> None:
    from mito_instance.annotations.findings import SEVERITIES

    counts = [f"{result.findings.count(severity)} {severity}s" for severity in SEVERITIES]
    print(
        f"{path}: {result.n_images} images, {result.n_annotations} annotations: "
        + ", ".join(counts)
    )


def _write_repaired(output: Path, source: Path, result: CheckResult) -> None:
    """Write what is left after repair, and say what became of the rest."""
    from mito_instance.io.coco import write_coco

    if not result.images:
        raise ConfigError(f"{output}: not written, because {source} has no usable image")
    repairs = result.findings.repairs()
    record: dict[str, Any] = {
        "description": "repaired by mito check",
        "mito_instance": __version__,
        "repairs": {f"{kind}: {repair}": n for (kind, repair), n in sorted(repairs.items())},
    }
    write_coco(output, result.images, info=record)
    for (kind, repair), n_times in repairs.items():
        print(f"repaired {kind}: {repair} ({n_times})")
    unrepaired = Counter(
        item.kind for item in result.findings.items if not item.repair and item.severity != "notice"
    )
    for kind, n_times in unrepaired.items():
        print(f"not repaired {kind}: left as it is ({n_times})")
    n_kept = sum(len(image) + len(image.crowds) for image in result.images)
    print(
        f"{output}: {len(result.images)} of {result.n_images} images, "
        f"{n_kept} of {result.n_annotations} annotations"
    )
