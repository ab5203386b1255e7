"""The files that ``quantify`` writes beside the counts on stdout."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mito_instance.errors import ConfigError
from mito_instance.instances import ImageInstances
from mito_instance.io.coco import write_coco
from mito_instance.io.files import make_folder
from mito_instance.io.imagej_roi_writer import write_roi_zip
from mito_instance.io.tables import write_table
from mito_instance.measure.groups import PageFigures, summary_rows
from mito_instance.measure.schema import OBJECTS_NAMES, SUMMARY_NAMES
from mito_instance.measure.summary import Row


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

    def check(self) -> None:
        """Make the folders, so that an hour of work does not end at a path that cannot be written.

        Raises:
            ConfigError: if a folder cannot be made or written, or a file is a folder.
        """
        folders = [folder for folder in (self.overlays, self.rois) if folder is not None]
        for file in (self.objects, self.coco, self.summary, self.log, self.report):
            if file is None:
                continue
            if file.is_dir():
                raise ConfigError(f"{file}: is a folder; name a file to write to")
            folders.append(file.parent)
        for folder in folders:
            make_folder(folder)

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
            record: what the results were made with, for the JSON's ``info``.

        Raises:
            ConfigError: if a file could not be written.
        """
        with ExitStack() as writes:  # from the last to the first; raises when all were tried
            if self.summary is not None:
                writes.callback(write_table, self.summary, SUMMARY_NAMES, summary_rows(figures))
            if self.coco is not None:
                writes.callback(write_coco, self.coco, instances, info=record)
            if self.objects is not None:
                writes.callback(write_table, self.objects, OBJECTS_NAMES, objects)


class FileNames:
    """Unique file names of results, readable and the same in every run.

    ``image.png`` and ``image.zip`` for ``image.tif``; ``stack.tif`` and ``stack.zip`` for all pages
    of a stack; the folder's name in front where two inputs have one name, then a number.

    Args:
        paths: all inputs.
    """

    def __init__(self, paths: list[Path]) -> None:
        taken: set[str] = set()
        self.stems: dict[Path, str] = {}
        for path in paths:
            number = 2
            stem = path.stem
            if stem in taken:
                stem = f"{path.absolute().parent.name}_{path.stem}"
            candidate = stem
            while candidate in taken:
                candidate = f"{stem}_{number}"
                number += 1
            taken.add(candidate)
            self.stems[path] = candidate

    def overlay(self, path: Path, n_frames: int) -> str:
        """File name of the overlay of an image, or of all pages of a stack."""
        return f"{self.stems[path]}.{'tif' if n_frames > 1 else 'png'}"


@dataclass(slots=True)
class RoiZips:
    """Writes the ROI zip of each image as soon as its last page is done.

    As context manager, it also writes at the end what is there of a stack that was not finished.

    Args:
        folder: None to write nothing.
        names: of all inputs.
    """

    folder: Path | None
    names: FileNames
    _path: Path | None = None
    _is_stack: bool = False
    _pages: list[ImageInstances] = field(default_factory=list)

    def add(self, path: Path, n_frames: int, found: ImageInstances) -> None:
        """Take the instances of a page; pages of one image come one after the other."""
        if self.folder is None:
            return
        if path != self._path:
            self._flush()
        self._path, self._is_stack = path, n_frames > 1
        self._pages.append(found)
        if found.frame == n_frames - 1:
            self._flush()

    def __enter__(self) -> RoiZips:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()

    def _flush(self) -> None:
        if self.folder is not None and self._path is not None and self._pages:
            path = self.folder / f"{self.names.stems[self._path]}.zip"
            pages, self._pages = self._pages, []
            write_roi_zip(path, pages, is_stack=self._is_stack)
