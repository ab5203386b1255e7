"""PNG, JPEG and BMP: checked by their own structure, then decoded by OpenCV."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from mito_instance.errors import ImageError
from mito_instance.io.grey import to_grey
from mito_instance.io.limits import check_size
from mito_instance.io.opencv import decoders

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_BMP = b"BM"
_JPEG_SIZE_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD8)})
_JPEG_SCAN = 0xDA
_HEAD_BYTES = 1 << 16


class RasterPage:
    """The one page of a PNG, JPEG or BMP file; a context manager like those of stacks.

    Args:
        path: the file; it is checked when it is read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> RasterPage:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Nothing is held open."""

    def __len__(self) -> int:
        """Number of pages: 1."""
        return 1

    def pixels(self, frame: int) -> npt.NDArray[Any]:
        """Grey levels, as `read_raster`."""
        return read_raster(self._path)

    def sizes_hw(self) -> list[tuple[int, int]]:
        """Height and width, as `raster_size_hw`."""
        return [raster_size_hw(self._path)]

    def header_hw(self) -> tuple[int, int]:
        """Height and width from the beginning of the file, whose rest is not looked at.

        Raises:
            ImageError: as `sizes_hw`, of what is wrong at the beginning.
        """
        try:
            with self._path.open("rb") as stream:
                head = stream.read(_HEAD_BYTES)
        except OSError as error:
            raise ImageError(
                f"{self._path}: cannot be read ({error.strerror}); check the path"
            ) from error
        try:
            if head.startswith(_PNG) and head[12:16] == b"IHDR":
                width, height = struct.unpack_from(">II", head, 16)
                return height, width
            if head.startswith(_JPEG):
                width, height, _ = jpeg_header(head)
                return height, width
        except (struct.error, IndexError, ValueError):
            pass  # such as a JPEG with a long preface
        return raster_size_hw(self._path)

    def pixel_size(self, frame: int) -> None:
        """None: these formats state print resolutions at most."""


def read_raster(path: Path) -> npt.NDArray[Any]:
    """Grey levels of a PNG, JPEG or BMP file.

    Args:
        path: the file; the format is told by its content.

    Returns:
        (H, W), uint8 or, for 16-bit PNG, uint16. EXIF rotation is not applied, because
        annotations are made on the unrotated pixels.

    Raises:
        ImageError: if the file is another format, damaged, cut off or too large.
    """
    return to_grey(decode_raster(path), str(path))


def decode_raster(path: Path) -> npt.NDArray[Any]:
    """Stored channels of a PNG, JPEG or BMP file; a palette is resolved to its colours.

    Args:
        path: the file; the format is told by its content.

    Returns:
        (H, W), or (H, W, 3) red, green, blue, or (H, W, 4) with alpha.

    Raises:
        ImageError: as `read_raster`.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    return decode_raster_bytes(path, data)


def decode_raster_bytes(path: Path, data: bytes) -> npt.NDArray[Any]:
    """As `decode_raster`, of the content of a file; ``path`` is for the messages."""
    cv2 = decoders()
    width, height = _checked_size(path, data)
    check_size(str(path), width, height, channels=4, n_bytes=len(data))
    try:
        buffer = np.frombuffer(data, dtype=np.uint8)
        decoded = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    except (cv2.error, MemoryError) as error:
        reason = "not enough memory" if isinstance(error, MemoryError) else error.err
        raise ImageError(
            f"{path}: cannot be decoded ({reason}); save it as TIFF or export it again"
        ) from error
    if decoded is None or decoded.shape[:2] != (height, width):
        raise ImageError(f"{path}: the image is damaged; export it again")
    if decoded.ndim == 3 and decoded.shape[2] >= 3:
        order = [2, 1, 0, 3][: decoded.shape[2]]  # OpenCV gives blue, green, red, alpha
        decoded = decoded[..., order]
    channels: npt.NDArray[Any] = decoded
    return channels


def raster_size_hw(path: Path) -> tuple[int, int]:
    """Height and width of a PNG, JPEG or BMP file, which is checked but not decoded.

    Raises:
        ImageError: if the file is another format, damaged or cut off.
    """
    try:
        width, height = _checked_size(path, path.read_bytes())
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    return height, width


def _checked_size(path: Path, data: bytes) -> tuple[int, int]:
    """Width and height as the header says, once the file is known to be whole."""
    try:
        if data.startswith(_PNG):
            return _png_size(data)
        if data.startswith(_JPEG):
            return _jpeg_size(data)
        if data.startswith(_BMP):
            return _bmp_size(data)
    except (struct.error, IndexError, ValueError) as error:
        raise ImageError(
            f"{path}: the image is damaged or cut off ({error}); copy or export it again"
        ) from error
    raise ImageError(
        f"{path}: not a PNG, JPEG, BMP, TIFF, MRC or DM image; open it in Fiji and save it as TIFF"
    )


def _png_size(data: bytes) -> tuple[int, int]:
    """Size from IHDR; every chunk must be there and have its checksum.

    Source: W3C Portable Network Graphics, 5.3 chunk layout.
    """
    view = memoryview(data)
    position = len(_PNG)
    size = (0, 0)
    while True:
        if position + 12 > len(data):
            raise ValueError("the end of the PNG is missing")
        (length,) = struct.unpack_from(">I", data, position)
        kind = data[position + 4 : position + 8]
        end = position + 12 + length
        if end > len(data):
            raise ValueError("the end of the PNG is missing")
        if zlib.crc32(view[position + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            raise ValueError("a PNG checksum is wrong")
        if kind == b"IHDR":
            size = struct.unpack_from(">II", data, position + 8)
        if kind == b"IEND":
            return size
        position = end


def jpeg_header(data: bytes) -> tuple[int, int, int]:
    """Width and height from the frame header of a JPEG stream, and where its first scan begins.

    Source: ITU-T T.81, annex B.

    Raises:
        ValueError, IndexError, struct.error: if the stream is damaged or ends before its scan.
    """
    position = 2
    width = height = 0
    while True:
        if data[position] != 0xFF:
            raise ValueError("a JPEG marker is missing")
        marker = data[position + 1]
        if marker == 0xFF or marker in _JPEG_BARE_MARKERS:
            position += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", data, position + 2)
        if marker in _JPEG_SIZE_MARKERS:
            height, width = struct.unpack_from(">HH", data, position + 5)
        position += 2 + length
        if marker == _JPEG_SCAN:
            return width, height, position


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Size from the frame header; the end-of-image marker must follow the first scan.

    Source: ITU-T T.81, annex B; in entropy-coded data no FF D9 can occur.
    """
    width, height, scan = jpeg_header(data)
    if data.find(b"\xff\xd9", scan) < 0:
        raise ValueError("the end of the JPEG is missing")
    return width, height


def _bmp_size(data: bytes) -> tuple[int, int]:
    """Size from the header; uncompressed rows must all be there."""
    first_pixel, header = struct.unpack_from("<II", data, 10)
    if header < 40:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
        height = abs(height)  # negative: rows from top to bottom
    if compression == 0 and first_pixel + (width * bits + 31) // 32 * 4 * height > len(data):
        raise ValueError("the end of the BMP is missing")
    return width, height
