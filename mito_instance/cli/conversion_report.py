"""End of every conversion command: write the JSON, say what happened, choose the exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mito_instance.cli.command import plain
from mito_instance.errors import ConfigError

if TYPE_CHECKING:
    from mito_instance.annotations.conversion import Conversion


def check_outputs(
    outputs: Mapping[str, Path | None], inputs: Iterable[Path], *, make_folders: bool = True
) -> None:
    """Refuse to write over what a person made: ``-o rois/*.zip`` names the first for the output.

    Args:
        outputs: files to write, by option.
        inputs: files that are read.
        make_folders: whether their folders are made, so that no work ends at one that cannot be.

    Raises:
        ConfigError: if an output is an input or another output, or named like an image or a ROI
            set, is a folder, or its own folder cannot be made or written.
    """
    from mito_instance.io.files import is_special, make_folder
    from mito_instance.io.images import IMAGE_SUFFIXES

    read = {os.path.realpath(path) for path in inputs}
    written: dict[str, str] = {}
    for option, path in outputs.items():
        if path is None:
            continue
        if path.is_dir():
            raise ConfigError(f"{option} {path}: is a folder; name a file to write to")
        other = written.setdefault(os.path.realpath(path), option)
        if other != option and not is_special(path):
            raise ConfigError(
                f"{path}: would be written by {other} and by {option}; give each a file of its own"
            )
        if os.path.realpath(path) in read:
            raise ConfigError(f"{option} {path}: is one of the files that are read; name another")
        if path.suffix.lower() in IMAGE_SUFFIXES | {".zip", ".roi"}:
            raise ConfigError(
                f"{option} {path}: is named like an image or a ROI set, and is not written to; put "
                f"the name of the file to write behind {option}"
            )
    for path in outputs.values() if make_folders else ():
        if path is not None and not is_special(path):
            make_folder(path.parent)


def say_skipped(conversion: Conversion) -> None:
    """Name the ROIs that are no areas; damaged ones are among the failures.

    Args:
        conversion: what `convert_roi_pairs` made.
    """
    skipped = [roi for roi in conversion.skipped if not roi.is_damaged]
    say_lines("skipped", [f"{roi.source} (ROI {roi.name!r}): {roi.reason}" for roi in skipped])


def write_conversion(conversion: Conversion, output: Path, command: str) -> int:
    """Write what was converted, summarise on stderr, and give the exit status.

    Args:
        conversion: the images and what was noticed.
        output: the COCO JSON.
        command: name of the command, for the file's ``info``.

    Returns:
        0 when nothing failed, 1 when something did, 2 when there is nothing to write.

    Raises:
        ConfigError: if the output cannot be written.
    """
    from mito_instance.io.coco import write_coco

    say_lines("notice", conversion.notices)
    if not conversion.images:
        reason = conversion.failures[0] if conversion.failures else "no image was converted"
        say_lines("failed", conversion.failures[1:])
        print(f"error: {plain(reason)}", file=sys.stderr)
        return 2
    say_lines("failed", conversion.failures)
    write_coco(output, conversion.images, info={"description": f"converted by {command}"})
    n_empty = sum(len(image) == 0 for image in conversion.images)
    parts = [
        f"{conversion.n_instances} instances on {len(conversion.images)} images",
        f"{n_empty} of them empty",
        f"{len(conversion.skipped)} ROIs skipped" if conversion.skipped else "",
        f"{len(conversion.failures)} failures",
    ]
    print(f"{output}: {', '.join(part for part in parts if part)}", file=sys.stderr)
    return 1 if conversion.failures else 0


def say_lines(kind: str, lines: Sequence[str]) -> None:
    """One line on stderr for each message."""
    for line in lines:
        print(f"{kind}: {plain(line)}", file=sys.stderr)
