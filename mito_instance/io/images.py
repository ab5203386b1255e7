"""Find images and read them page by page, in grey and at their own depth."""

from __future__ import annotations

import glob
import logging
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mito_instance.calibration import PixelSize
from mito_instance.errors import ImageError
from mito_instance.io.contrast import stretch_contrast
from mito_instance.io.dm import DmPages
from mito_instance.io.dm_tags import is_dm
from mito_instance.io.mrc import HEADER_BYTES, MRC_SUFFIXES, MrcPages, is_mrc
from mito_instance.io.raster import RasterPage
from mito_instance.io.tiff import TiffPages, is_tiff

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".mrc", ".rec", ".dm3", ".dm4"}
)
SUFFIX_PATTERN = "|".join(
    sorted(suffix.lstrip(".") for suffix in IMAGE_SUFFIXES | MRC_SUFFIXES | {".ome"})
)
"""Endings of image names as a regular expression, without their dot: ``ome.tif`` ends in two."""

_GLOB_SIGNS = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Page:
    """One page of an image file.

    Args:
        path: the file.
        frame: 0-based page.
        n_frames: number of pages of the file.
        pixels: grey levels (H, W) in the file's own depth: integer or float.
        pixel_size: what the file says; None when it does not say, never guessed.
    """

    path: Path
    frame: int
    n_frames: int
    pixels: npt.NDArray[Any]
    pixel_size: PixelSize | None


def find_images(inputs: Sequence[str | Path]) -> list[Path]:
    """Image files that a user named: files, folders and glob patterns, in natural order.

    A file is always taken, whatever its suffix. Of a folder, the files with an image suffix
    (`IMAGE_SUFFIXES`) are taken; others and sub-folders are counted in the log. A file that is
    named twice is taken once.

    Args:
        inputs: paths and patterns; ``**`` in a pattern descends into folders.

    Returns:
        At least one path; ``slice2`` comes before ``slice10``.

    Raises:
        ImageError: if a path does not exist, a folder holds no image, a pattern matches
            nothing, or ``inputs`` is empty.
    """
    if not inputs:
        raise ImageError("no images given; name image files, folders or patterns")
    found: dict[str, Path] = {}  # by real path, which also a circle of links has
    n_twice = 0
    for given in inputs:
        for path in _expand(given):
            n_twice += found.setdefault(os.path.realpath(path), path) is not path
    if n_twice:
        logger.info("%d images are named twice and taken once", n_twice)
    return sorted(found.values(), key=natural_key)


class _Pages(Protocol):
    """An open image file."""

    def __enter__(self) -> _Pages: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def __len__(self) -> int: ...

    def pixels(self, frame: int) -> npt.NDArray[Any]: ...

    def sizes_hw(self) -> list[tuple[int, int]]: ...

    def pixel_size(self, frame: int) -> PixelSize | None: ...


def read_pages(path: Path) -> Iterator[Page]:
    """Pages of an image file, one at a time; a stack is never in memory as a whole.

    PNG, JPEG, BMP, TIFF, MRC, DM3 and DM4 are told apart by their content, not by the suffix.
    Colour becomes grey by Rec. 601 luminance in the file's own depth; alpha and EXIF rotation
    are ignored.

    Args:
        path: the image file.

    Yields:
        Each page; PNG, JPEG and BMP have one.

    Raises:
        ImageError: if the file is missing, empty, damaged, too large, or no such image.
    """
    with _open_pages(path) as pages:
        for frame in range(len(pages)):
            yield Page(path, frame, len(pages), pages.pixels(frame), pages.pixel_size(frame))


def read_page(path: Path, frame: int = 0) -> Page:
    """One page of an image file.

    Args:
        path: the image file.
        frame: 0-based page.

    Raises:
        ImageError: as `read_pages`, or if the file has no such page.
    """
    with _open_pages(path) as pages:
        _check_frame(path, frame, len(pages))
        return Page(path, frame, len(pages), pages.pixels(frame), pages.pixel_size(frame))


def n_frames(path: Path) -> int:
    """Number of pages of an image file, without reading pixels.

    Raises:
        ImageError: if the file is missing, empty, or a damaged TIFF, MRC or DM file.
    """
    with _open_pages(path) as pages:
        return len(pages)


def page_sizes_hw(path: Path) -> list[tuple[int, int]]:
    """Height and width of every page of an image file, without decoding pixels.

    Raises:
        ImageError: if the file is missing, empty, damaged, or no such image.
    """
    with _open_pages(path) as pages:
        return pages.sizes_hw()


def page_headers(path: Path) -> list[tuple[tuple[int, int], PixelSize | None]]:
    """Height and width, and pixel size where it is known, of every page; no pixel is read.

    Unlike `page_sizes_hw` it does not look whether the whole of a PNG or JPEG is there.

    Raises:
        ImageError: if the file is missing, empty, no image, or damaged at its beginning.
    """
    with _open_pages(path) as pages:
        if isinstance(pages, RasterPage):
            return [(pages.header_hw(), None)]
        sizes_hw = pages.sizes_hw()
        return [(size_hw, pages.pixel_size(frame)) for frame, size_hw in enumerate(sizes_hw)]


def page_pixel_sizes(path: Path) -> list[PixelSize | None]:
    """Pixel size of every page of an image file, None where unknown, without decoding pixels.

    Raises:
        ImageError: if the file is missing, empty, or a damaged TIFF, MRC or DM file.
    """
    with _open_pages(path) as pages:
        return [pages.pixel_size(frame) for frame in range(len(pages))]


def _open_pages(path: Path) -> _Pages:
    """The file, by the format that its content tells.

    Raises:
        ImageError: as `read_pages`; PNG, JPEG and BMP are checked when they are read.
    """
    _check_file(path)
    if is_tiff(path):
        return TiffPages(path, as_seen=True)
    with path.open("rb") as stream:
        head = stream.read(HEADER_BYTES)
    if is_mrc(head, path):
        return MrcPages(path)
    return DmPages(path) if is_dm(head) else RasterPage(path)


def to_uint8(pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Grey levels as 8 bit, to be looked at.

    Args:
        pixels: (H, W), integer or float; NaN and infinities allowed.

    Returns:
        uint8 (H, W). 8-bit images come back unchanged; others are stretched linearly between
        robust percentiles (`stretch_contrast`), a constant image becomes 128.
    """
    if pixels.dtype == np.uint8:
        return np.asarray(pixels, dtype=np.uint8)
    return stretch_contrast(pixels)


def _check_file(path: Path) -> None:
    """Refuse what cannot be an image before a decoder sees it."""
    try:
        if not path.is_file():
            if path.exists():
                raise ImageError(f"{path}: not a regular file; give an image file")
            raise ImageError(f"{path}: no such file; check the path")
        if path.stat().st_size == 0:
            raise ImageError(f"{path}: the file is empty (0 bytes); copy or export it again")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise ImageError(f"{str(path)!r}: cannot be read ({error}); check the path") from error


def _check_frame(path: Path, frame: int, count: int) -> None:
    if not 0 <= frame < count:
        raise ImageError(
            f"{path}: page must be in 0 … {count - 1}, got {frame}; check that the annotations "
            "belong to this file"
        )


def _expand(given: str | Path) -> list[Path]:
    """Files that one input stands for, at least one."""
    path = Path(given)
    try:
        if path.is_dir():
            files = _images_of_folder(path)
            if not files:
                raise ImageError(
                    f"{path}: folder holds no image ({', '.join(sorted(IMAGE_SUFFIXES))}); "
                    f"for sub-folders give a pattern such as '{path / '**' / '*.tif'}'"
                )
            return files
        if path.exists():
            return [path]
    except (OSError, ValueError) as error:
        raise ImageError(f"{str(path)!r}: cannot be read ({error}); check the path") from error
    if not _GLOB_SIGNS.intersection(str(given)):
        raise ImageError(f"{path}: no such file or folder; check the path")
    matches = _matches(str(given))
    files = [match for match in matches if not match.is_dir()]
    for folder in (match for match in matches if match.is_dir()):
        if "**" not in str(given):
            files += _images_of_folder(folder)
    if not files:
        raise ImageError(f"{given}: pattern matches no image file; check the pattern")
    return files


def _matches(pattern: str) -> list[Path]:
    """What a glob stands for; ``**`` sees each folder once, however many links lead to it."""
    parts = Path(pattern).parts
    if "**" not in parts:
        return [Path(match) for match in glob.glob(pattern)]  # noqa: PTH207 - absolute patterns
    place = parts.index("**")
    before, after = parts[:place], parts[place + 1 :] or ("*",)
    found: list[Path] = []
    seen: set[str] = set()
    for root in _matches(str(Path(*before))) if before else [Path()]:
        for folder, inner, _ in os.walk(root, followlinks=True):
            inner[:] = sorted(name for name in inner if not name.startswith("."))
            if (real := os.path.realpath(folder)) in seen:
                inner.clear()
                continue
            seen.add(real)
            found += _matches(str(Path(glob.escape(folder), *after)))
    return found


def _images_of_folder(folder: Path) -> list[Path]:
    """Files with an image suffix; says how much else is there."""
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        raise ImageError(
            f"{folder}: folder cannot be read ({error.strerror}); check its permissions"
        ) from error
    images = [
        entry
        for entry in entries
        if entry.suffix.lower() in IMAGE_SUFFIXES
        and not entry.name.startswith(".")
        and not entry.is_dir()
    ]
    if len(images) < len(entries):
        logger.info(
            "%s: %d images; %d other files and folders skipped",
            folder,
            len(images),
            len(entries) - len(images),
        )
    return images


def natural_key(path: Path) -> tuple[list[str | int], str]:
    """Sort key under which numbers in names count as numbers."""
    parts = re.split(r"([0-9]+)", str(path).casefold())
    return [int(part) if number % 2 else part for number, part in enumerate(parts)], str(path)
