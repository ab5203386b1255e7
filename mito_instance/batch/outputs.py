"""The files that ``quantify`` writes beside the counts on stdout."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mito_instance.batch.file_names import FileNames
from mito_instance.batch.run_records import RECORD_NAME, write_record
from mito_instance.errors import ConfigError
from mito_instance.instances import ImageInstances
from mito_instance.io.coco import write_coco
from mito_instance.io.files import is_special, make_folder
from mito_instance.io.imagej_roi_writer import (
    is_of_another_image,
    is_untouched,
    write_roi_zip,
)
from mito_instance.io.images import IMAGE_SUFFIXES
from mito_instance.io.tables import write_table
from mito_instance.io.tiff import is_tiff
from mito_instance.measure.groups import PageFigures, summary_rows
from mito_instance.measure.schema import OBJECTS_NAMES, SUMMARY_NAMES
from mito_instance.measure.summary import Row
from mito_instance.visualize.overlay_tiff import first_description
from mito_instance.visualize.overlays import is_overlay

logger = logging.getLogger(__name__)

DRAWN_FROM = "; drawn from "
"""In the description of every page of a TIFF of overlays."""

_NOT_DRAWN = "could not be drawn"

NOT_DRAWN = f"left out, or {_NOT_DRAWN}"
"""At the end of the description of a page that is black."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where results go; None where one is not wanted.

    Args:
        objects: CSV with one row an instance.
        overlays: folder of pictures.
        rois: folder of ImageJ ROI zips.
        coco: COCO JSON.
        summary: CSV with one row a group of images.
        log: JSON lines, one a page.
        report: HTML page of all; the command writes it.
    """

    objects: Path | None = None
    overlays: Path | None = None
    rois: Path | None = None
    coco: Path | None = None
    summary: Path | None = None
    log: Path | None = None
    report: Path | None = None

    def check(self, images: Sequence[Path], sources: Sequence[Path] = ()) -> None:
        """Make the folders, so that an hour of work does not end at a path that cannot be written.

        Nothing that a person made is to be replaced: no image by an overlay or a table, no ROIs
        that were corrected by those that the model finds. A file named like an image may be one
        that is no input: ``--objects *.tif`` takes the first for the table.

        Args:
            images: all inputs.
            sources: further inputs, files or folders of them, that no file may replace.

        Raises:
            ConfigError: if a folder cannot be made or written, a file is a folder, two outputs
                are one file, or one is standard output's, or an output has the place of an image,
                of ROIs that `write_roi_zip` has not written, or of another image's ROIs.
        """
        folders = [folder for folder in (self.overlays, self.rois) if folder is not None]
        options: dict[str, str] = {}
        for name in ("objects", "coco", "summary", "log", "report"):
            file: Path | None = getattr(self, name)
            if file is None:
                continue
            if file.is_dir():
                raise ConfigError(f"{file}: is a folder; name a file to write to")
            if any(_are_same(file, path) or _are_same(file.parent, path) for path in sources):
                raise ConfigError(
                    f"--{name} {file}: is one of the files that are read, or beside outlines; "
                    "write to another folder"
                )
            if _is_image(file, images):
                raise ConfigError(
                    f"--{name} {file}: is one of the images, or named like one, and is not written "
                    f"to; put the name of the file to write behind --{name}"
                )
            other = options.setdefault(os.path.normcase(_target(file)), name)
            if other != name and (file.is_file() or not file.exists()):  # no device
                raise ConfigError(
                    f"{file}: would be written by --{other} and by --{name}; give each a file of "
                    "its own"
                )
            if _is_stdout(file):
                raise ConfigError(
                    f"{file}: would be written by --{name} and by standard output; give --{name} "
                    "a file of its own"
                )
            if not is_special(file):
                folders.append(file.parent)
        stems = FileNames(images).stems
        if self.overlays is not None:
            _check_overlays(self.overlays, images)
            _refuse_pictures(self.overlays, stems.values())
        if self.rois is not None:
            zips = {self.rois / f"{stem}.zip": image for image, stem in stems.items()}
            refuse_changed(zips)
            refuse_others(zips)
        for folder in folders:
            make_folder(folder)

    @property
    def has_tables(self) -> bool:
        """Whether there are files of all pages, that are written at the end."""
        return any((self.objects, self.coco, self.summary, self.report))

    def left_over(self, names: FileNames, failed: Iterable[Path]) -> list[Path]:
        """ROI zips and overlays that lie where those of failed images would.

        Args:
            names: of all inputs.
            failed: images of which no page was measured: this run has written nothing of them.
        """
        places = []
        for path in failed:
            if self.rois is not None:
                places.append(self.rois / f"{names.stems[path]}.zip")
            if self.overlays is not None:  # how many pages a file would have is not known
                places += [self.overlays / names.overlay(path, count) for count in (1, 2)]
        return [place for place in places if place.exists()]

    def write(
        self,
        objects: list[Row],
        instances: list[ImageInstances],
        figures: list[PageFigures],
        record: dict[str, Any],
    ) -> None:
        """Write the files that were asked for, each whole or not at all.

        Where one cannot be written, the others still are.

        Args:
            objects: rows of ``objects.csv``.
            instances: of each page.
            figures: of each page, for ``summary.csv``.
            record: what the results were made with, for the JSON's ``info`` and the file that
                holds it alone.

        Raises:
            ConfigError: if a file could not be written.
        """
        with ExitStack() as writes:  # from the last to the first; raises when all were tried
            if (place := self._record_file()) is not None:
                writes.callback(write_record, place, record)
            if self.summary is not None:
                writes.callback(write_table, self.summary, SUMMARY_NAMES, summary_rows(figures))
            if self.coco is not None:
                writes.callback(write_coco, self.coco, instances, info=record)
            if self.objects is not None:
                writes.callback(write_table, self.objects, OBJECTS_NAMES, objects)

    def _record_file(self) -> Path | None:
        """Where it is told what the table of objects was made with, if there is a place.

        None in folders of pictures: programs that open these whole stumble over other files.
        """
        if self.objects is None or is_special(self.objects):
            return None
        place = self.objects.with_name(f"{self.objects.stem}.{RECORD_NAME}")
        named = (self.coco, self.summary, self.log, self.report)
        taken = {_target(file) for file in named if file is not None}
        return None if _target(place) in taken else place


def _check_overlays(folder: Path, images: Sequence[Path]) -> None:
    """Refuse a folder in which an overlay could replace an image, one of the inputs or not."""
    of_images = {image.parent: image for image in images}
    of_images |= {_target(image).parent: image for image in images if image.is_symlink()}
    places = {_target(parent): image for parent, image in of_images.items()}
    written = [_target(folder)]
    if folder.is_dir():  # overlays follow the links that lie there
        written += [_target(entry).parent for entry in folder.iterdir() if entry.is_symlink()]
    for place in written:
        if place in places:
            raise ConfigError(
                f"--overlays {folder}: an overlay could replace an image in the folder of "
                f"{places[place].name}; choose another folder"
            )


def _is_drawn(description: str) -> bool:
    """Whether the text of a page says that it is an overlay, or stands for one."""
    return DRAWN_FROM in description or description.endswith(_NOT_DRAWN)


def _refuse_pictures(folder: Path, stems: Iterable[str]) -> None:
    """Refuse a folder where pictures that are no overlays lie in the places of overlays."""
    for stem in stems if folder.is_dir() else ():
        png, tiff = folder / f"{stem}.png", folder / f"{stem}.tif"
        found = png if png.exists() and not is_overlay(png) else None
        if tiff.exists() and not (is_tiff(tiff) and _is_drawn(first_description(tiff, DRAWN_FROM))):
            found = tiff
        if found is not None:
            raise ConfigError(
                f"--overlays {folder}: {found.name} is there, was not written by this program, and "
                "could be replaced; choose another folder"
            )


def _is_image(file: Path, images: Sequence[Path]) -> bool:
    """Whether an output has the place of an input, by whatever name, or an image's suffix."""
    if {file.suffix.lower(), _target(file).suffix.lower()} & IMAGE_SUFFIXES:
        return True
    return any(_are_same(file, image) for image in images)


def _is_stdout(file: Path) -> bool:
    """Whether the counts are redirected into this very file, which a table would replace."""
    try:
        return file.is_file() and os.path.samestat(file.stat(), os.fstat(sys.stdout.fileno()))
    except (OSError, ValueError):  # standard output is none of the system's
        return False


def _are_same(file: Path, image: Path) -> bool:
    try:
        return file.samefile(image)
    except OSError:  # one of them is not there
        return False


def _target(path: Path) -> Path:
    """What a path leads to; also where links go round in a circle."""
    return Path(os.path.realpath(path))


def refuse_changed(zips: Iterable[Path]) -> None:
    """Refuse to write ROI zips where others lie than `write_roi_zip` has written.

    Args:
        zips: where they would be written.

    Raises:
        ConfigError: names the first of them.
    """
    found = [path for path in zips if path.exists() and not is_untouched(path)]
    if found:
        others = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise ConfigError(
            f"{found[0]}{others}: was not written by this program, or changed since, and would be "
            "replaced; keep corrected ROIs in another folder, such as corrected/, or write to "
            "another one"
        )


def refuse_others(zips: Mapping[Path, Path]) -> None:
    """Refuse to replace what was found in another image of the same name.

    Args:
        zips: the image of each zip that would be written.

    Raises:
        ConfigError: names the first of them.
    """
    found = [path for path, image in zips.items() if is_of_another_image(path, image)]
    if found:
        others = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise ConfigError(
            f"{found[0]}{others}: holds the outlines of another image of the name "
            f"{zips[found[0]].name}, which would be replaced; write to another folder, or name the "
            "images of both folders in one command"
        )


@dataclass(slots=True)
class RoiZips:
    """Writes the ROI zip of each image at its end.

    As context manager, it also writes at the end what is there of a stack that was not finished.

    Args:
        folder: None to write nothing.
        names: of all inputs.
    """

    folder: Path | None
    names: FileNames
    _path: Path | None = None
    _n_frames: int = 1
    _pages: list[ImageInstances] = field(default_factory=list)

    def add(self, path: Path, n_frames: int, found: ImageInstances) -> None:
        """Take the instances of a page; pages of one image come one after the other."""
        if self.folder is None:
            return
        if path != self._path:
            self._flush()
        self._path, self._n_frames = path, n_frames
        self._pages.append(found)

    def end(self, path: Path) -> None:
        """Write the zip of an image all of whose pages have come, or failed."""
        if path == self._path:
            self._flush()

    def __enter__(self) -> RoiZips:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()

    def _flush(self) -> None:
        if self.folder is not None and self._path is not None and self._pages:
            path = self.folder / f"{self.names.stems[self._path]}.zip"
            pages = self._pages
            if path.exists() and not is_untouched(path):
                logger.warning(
                    "%s: was changed since this run began; it is kept, and what was found now is "
                    "not in it",
                    path,
                )
                self._pages = []
                return
            try:
                write_roi_zip(path, pages, is_stack=self._n_frames > 1)
            except Exception:
                self._pages = []
                raise
            self._pages = []  # after a Ctrl-C in the writing, the next flush does it
            if missing := sorted(set(range(self._n_frames)) - {page.frame for page in pages}):
                logger.warning(
                    "%s: lacks page %s of %d, which failed or were not reached; mito measure "
                    "--rois takes pages without an ROI for pages without mitochondria, unless "
                    "--only-outlined-pages leaves them out",
                    path,
                    _as_ranges(missing),
                    self._n_frames,
                )


def _as_ranges(frames: Sequence[int]) -> str:
    """Page numbers from 1 of rising 0-based pages: ``3, 7-9``."""
    ranges: list[list[int]] = []
    for frame in frames:
        if ranges and frame == ranges[-1][1] + 1:
            ranges[-1][1] = frame
        else:
            ranges.append([frame, frame])
    return ", ".join(f"{a + 1}" if a == b else f"{a + 1}-{b + 1}" for a, b in ranges)
