"""Which pixel size holds for an image: a list of the user, one for all, or the file's own."""

from __future__ import annotations

import csv
import logging
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from mito_instance.calibration import MAX_NM, MIN_NM, PixelSize
from mito_instance.errors import ConfigError

logger = logging.getLogger(__name__)

MAX_LIST_BYTES = 64 * 1024**2
_DECIMAL_COMMA = re.compile(r'[^;,\t]*([;\t])\s*"?\d+,\d+"?\s*')  # as German Excel writes it
SAME_SIZE = 0.01
"""Sizes that differ by less than this part of the greater one agree."""


class PixelSizes:
    """Chooses the pixel size of each image, and says where two sources disagree.

    The list wins over the size for all images, and both over what the file says.

    Args:
        for_all: size of all images that the list does not name; None for the files' own.
        by_path: sizes by absolute path.
    """

    def __init__(
        self, for_all: PixelSize | None = None, by_path: Mapping[Path, PixelSize] | None = None
    ) -> None:
        self._for_all = for_all
        self._by_path = dict(by_path or {})
        self._noticed: set[Path] = set()

    def of(self, path: Path, from_file: PixelSize | None) -> PixelSize | None:
        """Pixel size of an image.

        Args:
            path: the image.
            from_file: what the file says; None if it does not say.

        Returns:
            The size with its source; None when nobody knows it.
        """
        chosen = self._by_path.get(_absolute(path), self._for_all)
        if chosen is None:
            return from_file
        if from_file is not None and path not in self._noticed:
            difference = abs(chosen.nm - from_file.nm)
            if difference > SAME_SIZE * max(chosen.nm, from_file.nm):
                self._noticed.add(path)
                logger.warning(
                    "%s: pixel size %g nm (%s) is used, but the file says %g nm (%s)",
                    path,
                    chosen.nm,
                    chosen.source,
                    from_file.nm,
                    from_file.source,
                )
        return chosen


def read_pixel_size_list(path: Path, images: Sequence[Path]) -> dict[Path, PixelSize]:
    """Pixel sizes of images from a table of two columns: image, edge of a pixel in nm.

    Separated by commas, semicolons or tabs; one header line is allowed, which names none of the
    images. An image is a file name, or a path seen from the table's folder or from the working
    folder; letters with accents may be composed or not.

    Args:
        path: the table, UTF-8.
        images: the images that sizes are wanted for; the table may name others.

    Returns:
        Sizes with the source ``"csv"`` by absolute path, of those images that are named.

    Raises:
        ConfigError: if the table cannot be read, a line has no name and size, a size is
            impossible, an image is given two sizes, a name fits two images, or all names fit none.
    """
    named = _Named(images)
    sizes: dict[Path, PixelSize] = {}
    unused = []
    for place, (number, name, text, nm) in enumerate(_lines(path)):
        where = f"{path} line {number}"
        image = named.find(name, where, path.parent)
        if image is None and nm is None and place == 0:
            continue  # the header
        if nm is None or not MIN_NM <= nm <= MAX_NM:
            raise ConfigError(
                f"{where}: pixel size must be a number from {MIN_NM:g} to {MAX_NM:g} nm, got "
                f"{text!r:.40}"
            )
        if image is None:
            unused.append(f"{where}: {name}")
            continue
        if sizes.get(image, PixelSize(nm, "csv")).nm != nm:
            raise ConfigError(
                f"{where}: {name} has {nm:g} nm here but {sizes[image].nm:g} nm above; "
                "keep one of the lines"
            )
        sizes[image] = PixelSize(nm, "csv")
    if unused and not sizes:
        raise ConfigError(
            f"{unused[0]} is none of the images, and no other line names one; give file names with "
            "their endings"
        )
    if unused:
        logger.warning("%s: %d lines name none of the images", path, len(unused))
    if len(sizes) < len(named.paths):
        logger.info("%s: %d images are not named", path, len(named.paths) - len(sizes))
    return sizes


def pixel_sizes_by_name(
    given: Mapping[str | Path, float], images: Sequence[Path]
) -> dict[Path, PixelSize]:
    """Pixel sizes that a caller gives by path, or by file name where one image alone has it.

    Args:
        given: edge of a pixel in nm by path, seen from the working folder, or by file name.
        images: the images that sizes are wanted for.

    Returns:
        Sizes with the source ``"user"`` by absolute path.

    Raises:
        ConfigError: if a size is impossible, a name fits two images, an image is given two sizes,
            or all names fit none. Those of several that fit none are said in the log.
    """
    named = _Named(images)
    sizes: dict[Path, PixelSize] = {}
    unused = []
    for name, nm in given.items():
        where = f"pixel_size_nm[{str(name)!r}]"
        image = named.find(str(name), where)
        if image is None:
            unused.append(where)
            continue
        if sizes.get(image, PixelSize(nm, "user")).nm != nm:
            raise ConfigError(
                f"{where}: {nm:g} nm, but {sizes[image].nm:g} nm under another name; give one"
            )
        sizes[image] = PixelSize(nm, "user")
    if unused and not sizes:
        raise ConfigError(f"{unused[0]}: is none of the images; give the path of one")
    if unused:
        logger.warning("%s: is none of the images (%d such)", unused[0], len(unused))
    return sizes


class _Named:
    """Images by their paths and names.

    Args:
        images: all of them.
    """

    def __init__(self, images: Sequence[Path]) -> None:
        self.paths = dict.fromkeys(_absolute(image) for image in images)  # in their order
        self._by_name: dict[str, list[Path]] = {}  # of paths as well
        for path in self.paths:
            for name in (str(path), path.name):
                self._by_name.setdefault(_composed(name), []).append(path)

    def find(self, name: str, where: str, folder: Path | None = None) -> Path | None:
        """Absolute path of the image that a path or a file name means; None if it means none.

        Args:
            name: a path, seen from the folder or from the working folder, or a file name.
            where: what the error begins with.
            folder: None for the working folder alone.

        Raises:
            ConfigError: if a file name fits two images.
        """
        found: list[Path] = []
        for path in ([] if folder is None else [folder / name]) + [Path(name)]:
            if (absolute := _absolute(path)) in self.paths:
                return absolute
            found = found or self._by_name.get(_composed(str(absolute)), [])
        found = found or self._by_name.get(_composed(name), [])
        if len(found) > 1:
            raise ConfigError(
                f"{where}: {name} could be {found[0]} or {found[1]}; give the path, not the name"
            )
        return found[0] if found else None


def _lines(path: Path) -> list[tuple[int, str, str, float | None]]:
    """Line number, name, size as text and as number if it is one, of each line with text."""
    try:
        if path.stat().st_size > MAX_LIST_BYTES:
            raise ConfigError(f"{path}: must be <= {MAX_LIST_BYTES} bytes; is this the right file?")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: cannot read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not a text file in UTF-8; save it as CSV UTF-8") from error
    lines = [line for line in text.splitlines() if line.strip()][:2]  # a header, perhaps
    first = lines[0] if lines else ""
    matches = filter(None, map(_DECIMAL_COMMA.fullmatch, lines))
    decimal = next((match for match in matches if match.group(1) in first), None)
    separator = max(",;\t", key=first.count) if decimal is None else decimal.group(1)
    found = []
    try:
        rows = list(csv.reader(text.splitlines(), delimiter=separator, strict=True))
    except csv.Error as error:
        raise ConfigError(f"{path}: not a CSV table ({error}); save it as CSV UTF-8") from error
    for number, row in enumerate(rows, start=1):
        cells = [value.strip() for value in row]
        if not any(cells):
            continue
        if len(cells) < 2 or any(cells[2:]) or not cells[0]:
            raise ConfigError(
                f"{path} line {number}: must be image and pixel size in nm, got {row!r:.80}"
            )
        nm = _number(cells[1], decimal_comma=separator != ",")
        found.append((number, cells[0], cells[1], nm))
    return found


def _number(text: str, *, decimal_comma: bool) -> float | None:
    """A number; with a comma for a point where commas do not separate columns."""
    try:
        return float(text.replace(",", ".") if decimal_comma else text)
    except ValueError:
        return None


def _composed(text: str) -> str:
    """A name with each accent in one sign with its letter; macOS keeps them apart on disk."""
    return unicodedata.normalize("NFC", text)


def _absolute(path: Path) -> Path:
    """The path without ``..`` and from the root; links are kept."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links
