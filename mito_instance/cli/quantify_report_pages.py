"""What the report of a batch keeps of each page while the batch runs: little, and bounded."""

from __future__ import annotations

import heapq
import os
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from mito_instance.measure.summary import Row
from mito_instance.visualize.jpeg import Jpeg
from mito_instance.visualize.page_pictures import N_CROPS, Crop, PagePictures

MAX_PICTURE_BYTES = 12_000_000
"""Of all thumbnails; embedded, they take a third more: a report stays well below 20 MB."""

_SIDES_PX = (640, 448, 320, 256)
"""Thumbnails shrink in these steps before any is left out."""


@dataclass(slots=True)
class ReportPage:
    """One page of the report.

    Args:
        row: of ``counts.csv``.
        thumbnail: None where the page failed, or the thumbnails had no room left.
        overlay: file of the full-size overlay; None if there is none.
    """

    row: Row
    thumbnail: Jpeg | None = None
    overlay: Path | None = None


@dataclass(slots=True)
class ObjectValues:
    """Values of the objects of a batch, in one order; NaN where one is undefined.

    Args:
        exclude_border: leave objects that touch the border out, because only a part of them is
            measured; they are counted.
    """

    exclude_border: bool = False
    area_px: array[float] = field(default_factory=lambda: array("d"))
    area_um2: array[float] = field(default_factory=lambda: array("d"))
    aspect_ratio: array[float] = field(default_factory=lambda: array("d"))
    circularity: array[float] = field(default_factory=lambda: array("d"))
    n_touching_border: int = 0

    def __len__(self) -> int:
        """Number of objects that have values here."""
        return len(self.area_px)

    @property
    def n_objects(self) -> int:
        """Number of all objects."""
        return len(self) + (self.n_touching_border if self.exclude_border else 0)

    def add(self, row: Row) -> None:
        """Take one row of ``objects.csv``."""
        self.n_touching_border += bool(row["touches_border"])
        if self.exclude_border and row["touches_border"]:
            return
        self.area_px.append(_float(row["area_px"]))
        self.area_um2.append(_float(row["area_um2"]))
        self.aspect_ratio.append(_float(row["aspect_ratio"]))
        self.circularity.append(_float(row["circularity"]))


class ReportPages:
    """Collects pages in their order; memory is that of the thumbnails, at most some 12 MB.

    When the thumbnails get too large together, all of them shrink; when they are smallest,
    those of further pages are left out and counted.

    Args:
        exclude_border: leave objects at the border out of the distributions.
    """

    def __init__(self, *, exclude_border: bool = False) -> None:
        self.pages: list[ReportPage] = []
        self.values = ObjectValues(exclude_border)
        self.n_left_out = 0
        self._crops: list[tuple[float, int, int, Crop]] = []
        self._step = 0
        self._n_bytes = 0

    @property
    def side_px(self) -> int:
        """Longer side of the thumbnails at most."""
        return _SIDES_PX[self._step]

    def add(
        self,
        row: Row,
        objects: Sequence[Row] = (),
        pictures: PagePictures | None = None,
        overlay: Path | None = None,
    ) -> None:
        """Take a page.

        Args:
            row: of ``counts.csv``.
            objects: rows of ``objects.csv`` of this page.
            pictures: of this page; None where it failed.
            overlay: file of the full-size overlay.
        """
        position = len(self.pages)
        self.pages.append(ReportPage(row, overlay=overlay))
        for values in objects:
            self.values.add(values)
        if pictures is None:
            return
        for crop in pictures.crops:
            # The heap holds the lowest scores; its first is the highest of them.
            entry = (-crop.score, -position, -crop.number, crop)
            if len(self._crops) < N_CROPS:
                heapq.heappush(self._crops, entry)
            else:
                heapq.heappushpop(self._crops, entry)
        self._add_thumbnail(pictures.thumbnail)

    def crops(self) -> list[tuple[ReportPage, Crop]]:
        """The objects with the lowest scores, lowest first, with their pages."""
        ordered = sorted(self._crops, reverse=True)
        return [(self.pages[-position], crop) for _, position, _, crop in ordered]

    def _add_thumbnail(self, picture: Jpeg) -> None:
        if self.n_left_out:  # also a small one: those that are shown are the first ones
            self.n_left_out += 1
            return
        page = self.pages[-1]
        page.thumbnail = picture.shrunk(self.side_px)
        self._n_bytes += len(page.thumbnail.data)
        while self._n_bytes > MAX_PICTURE_BYTES and self._step + 1 < len(_SIDES_PX):
            self._step += 1
            self._shrink_all()
        if self._n_bytes > MAX_PICTURE_BYTES:
            self._n_bytes -= len(page.thumbnail.data)
            page.thumbnail = None
            self.n_left_out += 1

    def _shrink_all(self) -> None:
        self._n_bytes = 0
        for page in self.pages:
            if page.thumbnail is not None:
                page.thumbnail = page.thumbnail.shrunk(self.side_px)
                self._n_bytes += len(page.thumbnail.data)


def _float(value: Any) -> float:
    return float("nan") if value is None else float(value)


def names_of_files(images: Sequence[str]) -> dict[str, str]:
    """Names of image files below their common folder: files of one name stay apart.

    Args:
        images: paths, of stacks several times.
    """
    common = common_folder([{"image": image} for image in images])
    names = {}
    for image in images:
        path = PurePath(image)
        # Of a path with two slashes in front, the common folder has one.
        is_below = bool(common) and path.is_relative_to(common)
        names[image] = path.relative_to(common).as_posix() if is_below else str(path)
    return names


def page_names(rows: Sequence[Row]) -> list[str]:
    """Names of pages below their common folder; the number where a file has several."""
    files = names_of_files([str(row["image"]) for row in rows])
    stacks = {row["image"] for row in rows if row["frame"]}
    names = []
    for row in rows:
        name = files[str(row["image"])]
        names.append(
            f"{name}, page {int(row['frame'] or 0) + 1}" if row["image"] in stacks else name
        )
    return names


def common_folder(rows: Sequence[Row]) -> str:
    """The folder that all images lie in, as they were given; empty if there is none."""
    parents = {str(PurePath(str(row["image"])).parent) for row in rows}
    try:
        common = os.path.commonpath(parents) if parents else ""
    except ValueError:  # absolute and relative paths, or several drives
        return ""
    return "" if common in {".", PurePath(common).anchor} else common


def many(number: int, word: str) -> str:
    """``1 page``, ``2 pages``."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
