"""Overlays as files: a PNG an image, a TIFF a stack; drawn again only where that is needed."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Any

import numpy.typing as npt

from mito_instance import __version__
from mito_instance.batch.file_names import FileNames
from mito_instance.batch.outputs import DRAWN_FROM, NOT_DRAWN
from mito_instance.batch.page_result import PageResult
from mito_instance.errors import MitoInstanceError
from mito_instance.instances import ImageInstances
from mito_instance.io.files import atomic_path
from mito_instance.io.images import page_sizes_hw, to_uint8
from mito_instance.visualize.overlay_tiff import (
    EncodedPicture,
    OverlayTiff,
    blank_picture,
    copied_page,
    descriptions,
    encode_picture,
)
from mito_instance.visualize.overlays import draw_overlay, write_overlay

logger = logging.getLogger(__name__)

_NO_SIZE = (64, 64)


@dataclass(frozen=True, slots=True)
class OverlayFiles:
    """Where overlays lie, what they show, and how they are drawn; used by several threads.

    Args:
        folder: None for no overlays.
        names: of all inputs.
    """

    folder: Path | None
    names: FileNames
    _old_pages: dict[Path, tuple[str, ...]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def file(self, result: PageResult) -> Path | None:
        """The file of a page; that of a stack is one for all of its pages."""
        if self.folder is None:
            return None
        return self.folder / self.names.overlay(Path(result.found.image), result.n_frames)

    def is_drawn(self, result: PageResult, counted: ImageInstances) -> bool:
        """Whether the picture of a stored result lies where it should, as it should be.

        Args:
            result: of the page.
            counted: its instances that count, with the pixel size that holds.
        """
        file = self.file(result)
        if file is None:
            return True
        if result.n_frames == 1:
            return result.overlay != "" and result.overlay == _fingerprint(file, counted)
        old = self._old(file)
        frame = counted.frame
        return frame < len(old) and old[frame] == _description(result, counted)

    def draw(
        self, pixels: npt.NDArray[Any], result: PageResult, counted: ImageInstances
    ) -> tuple[PageResult, EncodedPicture | None]:
        """Draw a page that is not drawn yet.

        Args:
            pixels: of the page.
            result: of the page.
            counted: its instances that count.

        Returns:
            The result, which knows of a picture that has been written; and the page of a
            stack, to be written by `StackOverlays`; None for a single image.

        Raises:
            ConfigError: if the file cannot be written.
        """
        file = self.file(result)
        if file is None:
            return result, None
        if result.n_frames == 1:
            write_overlay(file, to_uint8(pixels), counted)
            return replace(result, overlay=_fingerprint(file, counted)), None
        picture = draw_overlay(to_uint8(pixels), counted)
        return result, encode_picture(picture, _description(result, counted))

    def _old(self, file: Path) -> tuple[str, ...]:
        """What the pages of a TIFF say that lay there when the run came to its stack."""
        with self._lock:
            if file not in self._old_pages:
                self._old_pages[file] = descriptions(file)
            return self._old_pages[file]


class StackOverlays:
    """Writes the TIFF of each stack, page after page, and puts it in place with the last.

    A page that is drawn already is copied from the file that lies there; where all are, the
    file is left alone. A page that failed is black, so that pages keep their numbers. As a
    context manager, it also puts in place what is there of a stack that was not finished.

    Args:
        files: names of the files.
    """

    def __init__(self, files: OverlayFiles) -> None:
        self._files = files
        self._path: Path | None
        self._is_broken: bool
        self._pages: list[EncodedPicture | int | None]  # not written yet; int: in the old file
        self._size: tuple[int, int]
        self._tiff: OverlayTiff | None
        self._file: Path
        self._exits: ExitStack
        self._begin(None)

    def __enter__(self) -> StackOverlays:
        return self

    def __exit__(self, *_: object) -> None:
        self._finish()

    def add(self, path: Path, frame: int, n_frames: int, picture: EncodedPicture | None) -> None:
        """Take a page; pages of one image come one after the other, in their order.

        Args:
            path: the image.
            frame: 0-based page.
            n_frames: pages of the image; of single images nothing is kept.
            picture: None for a page that is drawn already.

        Raises:
            ConfigError: if the file cannot be written; its other pages are then left out.
        """
        if self._files.folder is None or n_frames == 1:
            return
        self._continue(path)
        if self._is_broken:
            return
        with self._whole_or_not():
            if picture is not None and self._tiff is None:
                self._open(path, n_frames, picture.image_hw)
            self._pages.append(frame if picture is None else picture)
            self._write_pages()

    def add_failed(self, path: Path) -> None:
        """Take a page that could not be read or measured."""
        self._continue(path)
        self._pages.append(None)

    def end(self, path: Path) -> None:
        """Put the file of an image in place, all of whose pages have come, or failed."""
        if path == self._path:
            with self._whole_or_not():
                self._finish()

    @contextmanager
    def _whole_or_not(self) -> Iterator[None]:
        """Nothing is put in place where the file cannot be written; its other pages are left."""
        try:
            yield
        except BaseException:
            self._is_broken, self._tiff, self._pages = True, None, []
            with self._exits:
                raise

    def _continue(self, path: Path) -> None:
        if path != self._path:
            self._finish()
            self._begin(path)

    def _begin(self, path: Path | None) -> None:
        self._path, self._is_broken = path, False
        self._pages = []
        self._size = _NO_SIZE
        self._tiff = None
        self._file = Path()
        self._exits = ExitStack()

    def _open(self, path: Path, n_frames: int, image_hw: tuple[int, int]) -> None:
        folder = self._files.folder or Path()
        self._file = folder / self._files.names.overlay(path, n_frames)
        temporary = self._exits.enter_context(atomic_path(self._file))
        largest_hw = max([image_hw, *_page_sizes(path)], key=lambda size: size[0] * size[1])
        self._tiff = self._exits.enter_context(OverlayTiff(temporary, n_frames, largest_hw))
        self._size = image_hw

    def _write_pages(self) -> None:
        """Write what has come, once there is something new to write."""
        if self._tiff is None:
            return
        pages, self._pages = self._pages, []
        for page in pages:
            if isinstance(page, int):
                page = self._copy(page)
            if page is None:
                page = blank_picture(self._size, NOT_DRAWN)
            self._size = page.image_hw
            self._tiff.add(page)

    def _copy(self, frame: int) -> EncodedPicture | None:
        try:
            return copied_page(self._file, frame)
        except Exception as error:  # the file was taken away or damaged since it was looked at
            logger.warning("%s: page %d is lost (%s)", self._file, frame + 1, error)
            return None

    def _finish(self) -> None:
        """Put the file in place; pages that failed at the end belong to it."""
        if self._tiff is not None:
            self._write_pages()
            self._tiff = None
            self._exits.close()
        self._pages = []


def _page_sizes(path: Path) -> list[tuple[int, int]]:
    """Sizes of the pages of an image; none where it cannot tell any more."""
    try:
        return page_sizes_hw(path)
    except MitoInstanceError:
        return []


def _fingerprint(picture: Path, found: ImageInstances) -> str:
    """A hash of what was drawn and of the file that came of it; empty without a file."""
    try:
        status = picture.stat()
    except OSError:
        return ""
    size = None if found.pixel_size is None else found.pixel_size.nm
    drawn = (picture.absolute(), status.st_size, status.st_mtime_ns, size, found.masks)
    return hashlib.sha256(repr(drawn).encode("utf-8", "backslashreplace")).hexdigest()


def _description(result: PageResult, counted: ImageInstances) -> str:
    """What a page of a stack shows, and a hash of all that it was drawn from."""
    try:
        status = Path(counted.image).stat()
        image = (status.st_size, status.st_mtime_ns)
    except OSError:
        image = (0, 0)
    size = None if counted.pixel_size is None else counted.pixel_size.nm
    masks = [_text(mask["counts"]) for mask in counted.masks]
    drawn = (__version__, image, counted.frame, result.n_frames, counted.image_hw, size, masks)
    digest = hashlib.sha256(repr(drawn).encode()).hexdigest()[:32]
    n_found = f"{len(counted)} instance{'' if len(counted) == 1 else 's'}"
    return f"page {counted.frame + 1} of {result.n_frames}: {n_found}{DRAWN_FROM}{digest}"


def _text(counts: str | bytes) -> str:
    return counts.decode() if isinstance(counts, bytes) else counts
