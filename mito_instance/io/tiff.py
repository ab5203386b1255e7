"""Pages of a TIFF file, read one at a time."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from mito_instance.calibration import PixelSize
from mito_instance.errors import ImageError
from mito_instance.io.contrast import STRETCHED_NOTE, Stretched
from mito_instance.io.grey import to_grey
from mito_instance.io.limits import check_size
from mito_instance.io.metadata import tiff_pixel_size, warn_once
from mito_instance.io.tiff_chain import full_pages
from mito_instance.io.tiff_open import open_tiff
from mito_instance.io.tiff_palette import (
    is_inverted,
    is_of_colours,
    looked_up,
    numbers_colours,
    shuffled_greys,
    warn_of_colours,
    without_extra,
)
from mito_instance.io.tiff_segments import JPEG_COMPRESSIONS, check_compression, check_segments

logger = logging.getLogger(__name__)
# What tifffile finds wrong comes back as one line of ours, or is harmless.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)

_MAGIC = frozenset({b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"})
_SEPARATED = 5
_STK_PLANES = 33629
"""Tag of MetaMorph's stacks, with an entry a plane."""
_LUMINANCE_FIRST = (6, 8, 9, 10)  # YCbCr, CIELab, ICCLab, ITULab
_MAX_SHAPE_CHARS = 1000
MAX_TILE_PX = 4096**2
"""Tiles may reach beyond a small image, but not far."""


def is_tiff(path: Path) -> bool:
    """Whether the file begins as a TIFF or BigTIFF does.

    Raises:
        ImageError: if the file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return stream.read(4) in _MAGIC
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror}); check the path") from error


class TiffPages:
    """The full-size pages of one TIFF; a context manager that holds the file open.

    Thumbnails (reduced-resolution pages) and transparency masks are no pages of a micrograph
    and are skipped. ImageJ's stacks beyond 4 GB have one directory for all pages; they are
    read at their offsets.

    Args:
        path: the file.
        as_seen: give the greys of a palette whose greys are in no order, and turn fractions and
            numbers with a sign round where white is zero, as a micrograph needs them; not the
            stored values, which may be labels.

    Raises:
        ImageError: if the file is damaged or has no page.
    """

    def __init__(self, path: Path, *, as_seen: bool = False) -> None:
        self._path = path
        self._as_seen = as_seen
        try:
            stat = path.stat()
            self._n_bytes = stat.st_size
            self._tif = open_tiff(path)
        except OSError as error:  # gone or locked since it was listed
            reason = error.strerror or _one_line(error)
            raise ImageError(f"{path}: cannot be read ({reason}); check the path") from error
        except Exception as error:  # a hostile file can raise anything inside the parser
            raise self._damaged(error) from error
        try:
            self._indices = full_pages(self._tif, path, stat)
            self._n_contiguous = self._contiguous_planes()
        except Exception as error:
            self._tif.close()
            raise self._damaged(error) from error
        if not self._indices:
            self._tif.close()
            raise ImageError(f"{path}: TIFF holds no full-size page; export it again")

    def __enter__(self) -> TiffPages:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._tif.close()

    def __len__(self) -> int:
        """Number of pages."""
        return max(len(self._indices), self._n_contiguous)

    def pixels(self, frame: int) -> npt.NDArray[Any]:
        """Grey levels (H, W) of a page in its own depth.

        Where the file says that white is zero, the values are inverted, so that greater is
        always brighter; fractions (their sign changes) and numbers with a sign only if the pages
        are wanted as seen. But 1-bit pages are masks, of which a stored 1 is the foreground and
        becomes 255. A colour palette is ignored (it paints ImageJ's grey values); so is one of
        greys in no order, unless the pages are wanted as seen. Those of a part that `crop_image`
        wrote are `Stretched` then.

        Raises:
            ImageError: if the page is damaged, too large, in CMYK, or compressed in an unknown
                way.
        """
        where, channels = self._where(frame), self.channels(frame)
        page = self._page(frame)  # is whole: its channels came
        grey = to_grey(without_extra(page, channels, where), where)
        if self._as_seen and self._tif.pages.first.description == STRETCHED_NOTE:
            return grey.view(Stretched) if grey.dtype == np.uint8 else grey
        if self._as_seen:
            warn_of_colours(page, len(self._indices), str(self._path))
            greys = shuffled_greys(page) if grey.dtype.kind == "u" else None
            if greys is not None:
                return looked_up(grey, greys)
        return _invert(grey, as_seen=self._as_seen) if is_inverted(page) else grey

    def channels(self, frame: int) -> npt.NDArray[Any]:
        """A page as stored: (H, W) or (H, W, C); palette and photometric sense are ignored.

        Raises:
            ImageError: as `pixels`.
        """
        where = self._where(frame)
        try:
            page = self._page(frame)
            self._check_page(page, where)
            array = self._decode(page, frame)
            axes = str(page.axes)
        except ImageError:
            raise
        except Exception as error:
            raise self._damaged(error, where) from error
        if array.ndim == 3 and axes == "SYX" and array.shape == tuple(page.shape):
            array = np.moveaxis(array, 0, -1)
        return array

    def is_of_colours(self, frame: int) -> bool:
        """Whether the values of a page number colours.

        Raises:
            ImageError: if its directory is damaged.
        """
        return self._told(frame, is_of_colours)

    def numbers_colours(self, frame: int) -> bool:
        """Whether the values of a page number colours in no order.

        Raises:
            ImageError: if its directory is damaged.
        """
        return self._told(frame, numbers_colours)

    def is_jpeg(self, frame: int) -> bool:
        """Whether the values of a page went through JPEG compression.

        Raises:
            ImageError: if its directory is damaged.
        """
        return self._told(frame, lambda page: int(page.compression) in JPEG_COMPRESSIONS)

    def _told(self, frame: int, tell: Callable[[Any], bool]) -> bool:
        """What the directory of a page tells.

        Raises:
            ImageError: if it is damaged.
        """
        try:
            return tell(self._page(frame))
        except Exception as error:
            raise self._damaged(error, self._where(frame)) from error

    def _where(self, frame: int) -> str:
        """The page, for messages."""
        return f"{self._path} page {frame + 1}" if len(self) > 1 else str(self._path)

    def sizes_hw(self) -> list[tuple[int, int]]:
        """Height and width of every page, as the directories say.

        Raises:
            ImageError: if a directory is damaged.
        """
        try:
            pages = [self._page(frame) for frame in range(len(self))]
            return [(int(page.imagelength), int(page.imagewidth)) for page in pages]
        except Exception as error:
            raise self._damaged(error) from error

    def pixel_size(self, frame: int) -> PixelSize | None:
        """What the file says about the size of a pixel; None if it does not say."""
        try:
            return tiff_pixel_size(self._tif, self._page(frame), str(self._path))
        except Exception as error:  # a damaged tag is no reason to lose the image
            logger.warning("%s: pixel size is unreadable (%s)", self._path, type(error).__name__)
            return None

    def _page(self, frame: int) -> Any:
        """The directory that describes a page."""
        return self._tif.pages[self._indices[0 if self._n_contiguous else frame]]

    def _contiguous_planes(self) -> int:
        """Number of planes that follow one directory without their own; 0 if each has one."""
        description = self._tif.pages.first.description
        page = self._tif.pages.first
        if len(self._indices) != 1:
            return 0
        if description.startswith("ImageJ="):
            images = (self._tif.imagej_metadata or {}).get("images", 1)
        elif (planes := page.tags.get(_STK_PLANES)) is not None:
            images = planes.count
        else:
            images = _truncated_planes(page)
        if not isinstance(images, int) or images < 2 or page.compression != 1:
            return 0
        n_held = (self._n_bytes - page.dataoffsets[0]) // max(1, page.nbytes)
        if n_held == 1:
            warn_once(
                "%s: is read as one page; its description, of a stack of %s, is of another file",
                (str(self._path), images),
            )
            return 0
        if n_held < images:
            raise ValueError(f"{images} planes are announced but the file is too short")
        return images

    def _check_page(self, page: Any, where: str) -> None:
        """Colours, size, compression and completeness, before memory is given."""
        if page.photometric == _SEPARATED:
            raise ImageError(f"{where}: colours are CMYK, those of print; save as grey TIFF")
        is_jpeg = int(page.compression) in JPEG_COMPRESSIONS  # its decoder gives red, green, blue
        if page.photometric in _LUMINANCE_FIRST and not is_jpeg:
            raise ImageError(
                f"{where}: colours are lightness and two differences (YCbCr or Lab), which are not "
                "read; save as grey TIFF"
            )
        n_bytes = max(1, int(page.bitspersample if isinstance(page.bitspersample, int) else 8) // 8)
        check_size(
            where,
            int(page.imagewidth),
            int(page.imagelength),
            channels=n_bytes * max(1, int(page.samplesperpixel)),
            n_bytes=self._n_bytes,
        )
        tile_px = int(page.tilewidth) * int(page.tilelength)
        if tile_px > max(MAX_TILE_PX, 4 * int(page.imagewidth) * int(page.imagelength)):
            raise ImageError(
                f"{where}: a tile of {page.tilewidth} x {page.tilelength} px is larger than its "
                "image; the file is damaged, export it again"
            )
        if page.is_tiled:
            check_size(
                where,
                int(page.tilewidth),
                int(page.tilelength),
                channels=n_bytes * max(1, int(page.samplesperpixel)) * max(1, int(page.tiledepth)),
                n_bytes=self._n_bytes,
            )
        if int(page.imagedepth) > 1:
            raise ImageError(f"{where}: a page must be one plane, got a volume; save as a stack")
        ends = [
            offset + count
            for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)
            if count
        ]
        n_expected = math.prod(page.chunked)
        if not ends or max(ends) > self._n_bytes or len(page.dataoffsets) < n_expected:
            raise ImageError(f"{where}: the TIFF is cut off; copy or export it again")
        check_compression(page, where)
        check_segments(page, self._tif.filehandle, where, self._n_bytes)

    def _decode(self, page: Any, frame: int) -> npt.NDArray[Any]:
        """The page as stored."""
        if self._n_contiguous:
            stream = self._tif.filehandle
            stream.seek(page.dataoffsets[0] + frame * page.nbytes)
            dtype = np.dtype(page.dtype).newbyteorder(self._tif.byteorder)
            plane = np.frombuffer(stream.read(page.nbytes), dtype=dtype).reshape(page.shape).copy()
            return np.moveaxis(plane, 0, -1) if page.axes == "SYX" else plane
        return np.asarray(page.asarray())

    def _damaged(self, error: Exception, where: str | None = None) -> ImageError:
        """One line for whatever a damaged file made the parser raise."""
        reason = "not enough memory" if isinstance(error, MemoryError) else _one_line(error)
        return ImageError(
            f"{where or self._path}: the TIFF is damaged or cut off ({reason}); "
            "copy or export it again"
        )


def _truncated_planes(page: Any) -> int:
    """Planes that tifffile wrote behind one directory (``truncate=True``); 1 for other files."""
    text = page.shaped_description or ""
    try:
        metadata = json.loads(text) if len(text) < _MAX_SHAPE_CHARS else {}
    except (ValueError, RecursionError):
        return 1
    if not isinstance(metadata, dict) or not metadata.get("truncated"):
        return 1
    shape, n_px = metadata.get("shape"), math.prod(page.shape)
    if not isinstance(shape, list) or not n_px:
        return 1
    if not all(type(length) is int and 0 < length < 1 << 31 for length in shape):
        return 1
    n_planes: int = math.prod(shape) // n_px
    return n_planes


def _invert(pixels: npt.NDArray[Any], *, as_seen: bool) -> npt.NDArray[Any]:
    """Pixels upside down; those that are fractions or have a sign may be labels, and stay."""
    kind = pixels.dtype.kind
    if kind == "f":
        return -pixels if as_seen else pixels
    return np.bitwise_not(pixels) if kind == "u" or as_seen else pixels


def _one_line(error: BaseException) -> str:
    """The first line of an error, short."""
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:100]
