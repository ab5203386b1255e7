"""Stacks of slices: which images are neighbours, in a training's files and on disk."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mito_instance.annotations.image_files import is_of_stack
from mito_instance.annotations.series import slices_of
from mito_instance.errors import MitoInstanceError
from mito_instance.instances import ImageInstances
from mito_instance.io.files import is_settled
from mito_instance.io.hyperstacks import hyperstack, place_in
from mito_instance.io.images import IMAGE_SUFFIXES, Page, read_page

logger = logging.getLogger(__name__)

MAX_INTERLEAVED = 4

Place = tuple[Path, int]
"""A file and a 0-based page of it."""


def runs_of(images: Sequence[ImageInstances], *, asks_files: bool = True) -> list[list[int]]:
    """Indices of images that follow each other without a gap, as in one stack.

    Pages k and k + 1 of one file are neighbours, in a hyperstack slices of one channel and time
    (see `SeriesOnDisk.around`); so are files of one folder whose names are
    equal but for the number at their end, if these numbers are neighbours and none is a stack of
    which only the first page is given. All images of a run have one size.

    Args:
        images: in any order; may be empty.
        asks_files: whether files are asked for their pages, for which they must be there.

    Returns:
        Runs in slice order; every image is in exactly one.
    """
    stacks: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    n_entries = Counter(image.image for image in images)
    for index, (image, place) in enumerate(zip(images, slices_of(images), strict=True)):
        path = Path(image.image)
        is_file = n_entries[image.image] == 1 and image.frame == 0
        is_first = asks_files and is_file and is_of_stack(path, 0)
        stack = image.image if is_first else place.stack
        stacks[stack, path.suffix].append((place.number, index))
    runs: list[list[int]] = []
    for members in stacks.values():
        previous: tuple[int, int] | None = None
        for number, index in sorted(members):
            follows = (
                previous is not None
                and number == previous[0] + 1
                and images[index].image_hw == images[previous[1]].image_hw
            )
            if follows:
                runs[-1].append(index)
            else:
                runs.append([index])
            previous = (number, index)
    return runs


@dataclass(frozen=True, slots=True)
class Series:
    """The slices around a page, and where in them it is.

    Args:
        places: files and pages in slice order, without gaps.
        position: index of the page among them.
    """

    places: tuple[Place, ...]
    position: int

    @property
    def n_interleaved(self) -> int:
        """Series whose pages take turns in a file, as the channels of a hyperstack do.

        Predictors keep maps of each; 1 where these would be too many.
        """
        (path, first), (other, second) = self.places[0], self.places[min(1, len(self.places) - 1)]
        step = second - first if path == other else 1
        return step if 1 <= step <= MAX_INTERLEAVED else 1


@dataclass(frozen=True, slots=True)
class _Folder:
    """The images of one suffix in a folder, as they were when it was listed.

    Args:
        changed_ns: time of change of the folder; None where it must be listed again, because a
            file that came right afterwards might not change that time.
        names: of the images.
        series: of each of them.
    """

    changed_ns: int | None
    names: frozenset[str]
    series: dict[Place, Series]


class SeriesOnDisk:
    """Finds the neighbours of pages; a folder is listed again when its files have changed."""

    def __init__(self) -> None:
        self._folders: dict[tuple[Path, str], _Folder] = {}
        self._files: dict[tuple[Path, int], dict[int, Series]] = {}

    def around(self, path: Path, frame: int, n_frames: int) -> Series:
        """The series that a page belongs to, by the rule of `runs_of`.

        Files beside it are not opened: stacks among them are found out where they are read.

        Args:
            path: image file.
            frame: 0-based page.
            n_frames: pages of the file; the neighbours of a page are looked for in its file, if
                it has several, else among the files beside it. In a hyperstack they are of the
                page's own channel and time; of its channel, where slices are called time points,
                and all pages are slices where they are called channels.
        """
        if n_frames > 1:
            key = (path, n_frames)
            if key not in self._files:
                runs = [
                    tuple((path, page) for page in pages)
                    for pages in _runs_of_pages(path, n_frames)
                ]
                self._files[key] = {
                    page: Series(places, position)
                    for places in runs
                    for position, (_, page) in enumerate(places)
                }
            return self._files[key][frame]
        return self._series_beside(path).get((path, 0), Series(((path, 0),), 0))

    def _series_beside(self, path: Path) -> dict[Place, Series]:
        """The series of the images beside a file."""
        key = (path.parent, path.suffix)
        known = self._folders.get(key)
        try:
            changed_ns = path.parent.stat().st_mtime_ns
        except OSError:
            changed_ns = 0
        if known is not None and known.changed_ns == changed_ns:
            return known.series
        settled = is_settled(changed_ns)  # before the folder is listed
        images = _images_beside(path)
        names = frozenset(image.name for image in images)
        series = known.series if known is not None and known.names == names else _series_of(images)
        self._folders[key] = _Folder(changed_ns if settled else None, names, series)
        return series


def _runs_of_pages(path: Path, n_frames: int) -> list[list[int]]:
    """The pages of a file that follow each other in depth: all, but of a hyperstack."""
    sizes = hyperstack(path, n_frames)
    runs: dict[object, list[tuple[int, int]]] = {}
    for page in range(n_frames):
        run, number = place_in(sizes, page)
        runs.setdefault(run, []).append((number, page))
    return [[page for _, page in sorted(run)] for run in runs.values()]


def file_states(places: Iterable[Place]) -> tuple[tuple[int, int], ...]:
    """Size and time of change of the files of slices: what is kept of a file holds for one state.

    Args:
        places: the slices; a file that is gone has the state (0, 0).
    """
    states = []
    for path in dict.fromkeys(path for path, _ in places):
        try:
            status = path.stat()
            states.append((status.st_size, status.st_mtime_ns))
        except OSError:
            states.append((0, 0))
    return tuple(states)


def read_slice(
    place: Place, page: Page, unread: set[Place] | None = None
) -> npt.NDArray[Any] | None:
    """Grey levels (H, W) of a slice in the stack of a page that was read, or of the page itself.

    Args:
        place: the slice; the page itself is not read again.
        page: tells the size.
        unread: grows by the slice if it cannot be read.

    Returns:
        None if the slice cannot be read or has another size than the page (the log says so), or
        is a page of another stack.
    """
    if place == (page.path, page.frame):
        return page.pixels
    try:
        neighbour = read_page(*place)
    except MitoInstanceError as error:
        logger.warning("%s; its neighbours are predicted without it", error)
        if unread is not None:
            unread.add(place)
        return None
    pixels = neighbour.pixels
    if neighbour.path != page.path and neighbour.n_frames > 1:
        return None  # the first page of a stack, and no slice of this one
    if pixels.shape != page.pixels.shape:
        logger.warning(
            "%s: page %d is %s (height, width), its neighbour %s: predicted without it",
            place[0], place[1] + 1, pixels.shape, page.pixels.shape,
        )  # fmt: skip
        return None
    return pixels


def is_blank(pixels: npt.NDArray[Any]) -> bool:
    """Whether a slice shows nothing, and so is no evidence against what its neighbours show."""
    shown = pixels[np.isfinite(pixels)] if pixels.dtype.kind == "f" else pixels
    return not shown.size or bool(shown.min() == shown.max())


def _images_beside(path: Path) -> list[Path]:
    """Images in the same folder with the same suffix."""
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        return [path]
    try:
        return [other for other in path.parent.iterdir() if other.suffix == path.suffix]
    except OSError:
        return [path]


def _series_of(paths: Iterable[Path]) -> dict[Place, Series]:
    # Sizes are not known yet: the reader of a series finds out.
    images = [ImageInstances(str(path), (1, 1)) for path in paths]
    found = {}
    for run in runs_of(images, asks_files=False):
        places = tuple((Path(images[index].image), 0) for index in run)
        for position, place in enumerate(places):
            found[place] = Series(places, position)
    return found
