"""The files that ``evaluate`` writes: metrics, tables, report."""

from __future__ import annotations

import argparse
import hashlib
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import mito_instance
from mito_instance.cli.evaluate_report import TITLE, report
from mito_instance.cli.evaluate_rois import write_error_rois
from mito_instance.errors import ConfigError, MitoInstanceError
from mito_instance.evaluation import tables
from mito_instance.evaluation.evaluate import Metrics
from mito_instance.evaluation.sources import reads_labels
from mito_instance.io.coco import write_coco
from mito_instance.io.files import write_text_atomic
from mito_instance.io.json_file import MARK_OF_EVALUATION

OUTPUT_NAMES = ("metrics.json", "per_image.csv", "associations.csv", "false.json", "report.html")
"""Files that an evaluation writes into its folder, beside the ROI zips of errors."""

ROIS = "rois"
"""The folder of these, in that of the evaluation."""

_MARK_OF_FALSE = "false detections of mito evaluate"

_LIBRARIES = ("numpy", "scipy", "pycocotools", "faster-coco-eval")


def check_folder(folder: Path, read: Sequence[Path]) -> None:
    """Refuse a folder whose files are another command's, or would be read by the next evaluation.

    Trainings write a ``metrics.json`` as well, and ``quantify`` a ``report.html`` where it is told.

    Args:
        folder: where the evaluation is to be written.
        read: files and folders that are read.

    Raises:
        ConfigError: in both cases.
    """
    resolved = folder.resolve()
    for path in read:
        if path.is_dir() and (path.resolve() == resolved or path.resolve() in resolved.parents):
            raise ConfigError(
                f"-o {folder}: lies in {path}, which is read; name a folder outside of it"
            )
        if path.resolve() == resolved / ROIS or path.resolve().parent == resolved / ROIS:
            raise ConfigError(
                f"-o {folder}: {path}, which is read, lies where this writes ROIs; name another "
                "folder"
            )
    is_evaluated = (folder / "metrics.json").exists()
    if not is_evaluated and any((folder / ROIS).glob("*")):
        raise ConfigError(
            f"-o {folder}: its {ROIS} folder is not of mito evaluate, and would be written to; "
            "name another folder"
        )
    marks = {
        "metrics.json": (MARK_OF_EVALUATION,),
        "report.html": (TITLE,),
        # One that another command wrote is a person's; earlier versions wrote no mark.
        "false.json": (_MARK_OF_FALSE, '{"info": {}'),
    }
    for name in OUTPUT_NAMES:
        file = folder / name
        if not file.is_file():
            continue
        content = file.read_bytes() if name in marks else b""
        is_marked = name not in marks or any(mark.encode() in content for mark in marks[name])
        if not (is_evaluated and is_marked):
            raise ConfigError(
                f"-o {folder}: its {name} is not of mito evaluate, and is not replaced; name "
                "another folder"
            )


def write_outputs(
    args: argparse.Namespace,
    metrics: Metrics,
    intervals: Mapping[str, tuple[float, float]],
    n_groups: int,
    pictures: tuple[bool, bool],
) -> None:
    """Write every file of an evaluation into ``args.output``.

    Args:
        args: the command's arguments.
        metrics: what was found.
        intervals: confidence intervals by name.
        n_groups: groups of images that they come from.
        pictures: whether the truth and the prediction name their micrographs.
    """
    folder: Path = args.output
    run = run_record(args)
    document = tables.metrics_document(metrics, run, intervals) | {"n_groups": n_groups}
    about = tables.about_intervals(n_groups, len(metrics.images), bool(intervals))
    tables.write_metrics(folder / "metrics.json", document)
    tables.write_per_image(folder / "per_image.csv", metrics)
    tables.write_associations(folder / "associations.csv", metrics)
    write_error_rois(folder / ROIS, metrics)
    if metrics.truth_incomplete:  # what has no partner may be a mitochondrion, and no look-alike
        (folder / "false.json").unlink(missing_ok=True)
    else:
        write_false(folder / "false.json", metrics, pictures)
    write_text_atomic(folder / "report.html", report(metrics, intervals, about, run, pictures))


def write_false(path: Path, metrics: Metrics, pictures: tuple[bool, bool]) -> None:
    """Write the false detections as COCO JSON: look-alikes that a training can be shown.

    A training needs the micrographs: where neither side names them, a notice says so, and a file
    of an earlier evaluation is removed.

    Args:
        path: the file; images without any are in it as well.
        metrics: of an evaluation.
        pictures: whether the truth and the prediction name their micrographs; the truth's name
            is written where it does.

    Raises:
        ConfigError: if the file cannot be written.
    """
    if not any(pictures):
        path.unlink(missing_ok=True)
        print(
            f"notice: {path} is not written: neither side names the micrographs; give them by "
            "--images",
            file=sys.stderr,
        )
        return
    images = []
    for (truth, pred), result in zip(metrics.pairs, metrics.images, strict=True):
        side = result.pred
        kinds = zip(side.indices, side.kinds, strict=True)
        false = pred.select([index for index, kind in kinds if kind == "false"])
        image = truth.image if pictures[0] else pred.image
        # A training shows look-alikes at its own scale.
        images.append(replace(false, image=image, pixel_size=truth.pixel_size or pred.pixel_size))
    write_coco(path, images, info={"description": _MARK_OF_FALSE})


def run_record(args: argparse.Namespace) -> dict[str, Any]:
    """What is needed to repeat this evaluation."""
    options = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in vars(args).items()
        if name not in ("truth", "pred", "output")
    }
    inputs = {"truth": args.truth, "pred": args.pred}
    if args.region is not None:
        inputs["region"] = args.region
    return {
        "command": "evaluate",
        "options": options,
        "inputs": {
            # A folder of regions may have those of other images as well.
            name: {"path": str(path)}
            | ({} if name == "region" and path.is_dir() else {"sha256": _sha256(path, args.images)})
            for name, path in inputs.items()
        },
        "versions": {
            "mito-instance": mito_instance.__version__,
            "python": platform.python_version(),
            **{library: metadata.version(library) for library in _LIBRARIES},
        },
    }


def _sha256(path: Path, images: Path | None) -> str:
    """Digest of a file, or of the names and contents of the files of a folder that are read.

    A file that cannot be read was named before; its name alone counts.
    """
    digest = hashlib.sha256()
    for file in _files_of(path, images) if path.is_dir() else [path]:
        if path.is_dir():
            digest.update(str(file.relative_to(path)).encode("utf-8", "backslashreplace") + b"\0")
        try:
            with file.open("rb") as stream:
                while chunk := stream.read(1 << 20):
                    digest.update(chunk)
        except OSError:
            digest.update(b"unreadable\0")
    return digest.hexdigest()


def _files_of(folder: Path, images: Path | None) -> list[Path]:
    """Files of a folder of any depth; of one of label images those that lie in it."""
    try:
        is_flat = reads_labels(folder, images)
    except MitoInstanceError:  # micrographs that are gone by now
        is_flat = False
    entries = folder.iterdir() if is_flat else folder.rglob("*")
    return sorted(file for file in entries if file.is_file())
