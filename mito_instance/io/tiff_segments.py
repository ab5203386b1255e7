"""Compressed parts of a TIFF page: of a known kind, and no larger than the page says."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import tifffile

from mito_instance.errors import ImageError
from mito_instance.io.limits import check_size
from mito_instance.io.raster import jpeg_header
from mito_instance.io.tiff_lzw import check_lzw

JPEG_COMPRESSIONS = frozenset({6, 7, 33007, 34892})
"""Values of the tag Compression that stand for lossy JPEG."""

_LZW = 5
_LOW_BITS_FIRST = 2
_JPEG2000_COMPRESSIONS = frozenset({33003, 33004, 33005, 34712})
_JPEG_START = b"\xff\xd8"
_JPEG2000_START = b"\xff\x4f\xff\x51"
_HEADER_BYTES = 1 << 16


def check_compression(page: Any, where: str) -> None:
    """Refuse a page that cannot be decompressed here.

    Formats that decode to a size of their own are read where that size can be asked before:
    JPEG and JPEG 2000.

    Args:
        page: tifffile's page.
        where: the file and page, for the message.

    Raises:
        ImageError: with the name of the compression.
    """
    code = int(page.compression)
    bounded = JPEG_COMPRESSIONS | _JPEG2000_COMPRESSIONS
    has_own_size = code in tifffile.TIFF.IMAGE_COMPRESSIONS and code not in bounded
    if has_own_size or code not in tifffile.TIFF.DECOMPRESSORS:
        raise ImageError(
            f"{where}: TIFF compression {_name(code)} cannot be read; save the image uncompressed"
        )


def check_segments(page: Any, stream: Any, where: str, n_bytes: int) -> None:
    """Refuse a page whose strips or tiles would decode to more than the page has, or crash.

    Args:
        page: tifffile's page.
        stream: tifffile's file handle.
        where: the file and page, for the message.
        n_bytes: size of the file.

    Raises:
        ImageError: if a strip or tile is too wide or larger than the file can honestly hold.
        ValueError, IndexError, struct.error: if its header is damaged.
    """
    code = int(page.compression)
    if code not in {_LZW, *JPEG_COMPRESSIONS, *_JPEG2000_COMPRESSIONS}:
        return
    parts = {*zip(page.dataoffsets, page.databytecounts, strict=False)}
    if sum(count for _, count in parts) > n_bytes:
        raise ImageError(
            f"{where}: its strips or tiles share their bytes; the file is damaged, export it again"
        )
    if code == _LZW:
        n_decoded = math.prod(page.chunks) * int(page.dtype.itemsize)
        for offset, count in parts:
            stream.seek(offset)
            data = stream.read(count)
            if page.fillorder == _LOW_BITS_FIRST:
                eights = np.unpackbits(np.frombuffer(data, np.uint8)).reshape(-1, 8)
                data = np.packbits(eights[:, ::-1]).tobytes()
            check_lzw(data, n_decoded)
        return
    size_of = _jpeg_size if code in JPEG_COMPRESSIONS else _jpeg2000_size
    allowed = int(page.tilewidth) if page.is_tiled else int(page.imagewidth)
    for offset, count in parts:
        if not count:
            continue
        stream.seek(offset)
        width, height = size_of(stream.read(min(count, _HEADER_BYTES)))
        if width > allowed:
            raise ImageError(
                f"{where}: a part of the page is {width} px wide but may have {allowed} px; the "
                "file is damaged, export it again"
            )
        # A last strip with more rows than are left is common; the rest is cut off.
        check_size(where, width, height, channels=4, n_bytes=n_bytes)


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Width and height from the frame header."""
    if not data.startswith(_JPEG_START):
        raise ValueError("the JPEG header of a strip or tile is missing")
    width, height, _ = jpeg_header(data)
    return width, height


def _jpeg2000_size(data: bytes) -> tuple[int, int]:
    """Width and height from the SIZ marker that the code stream begins with.

    Source: ITU-T T.800, annex A.5.1.
    """
    if not data.startswith(_JPEG2000_START) or len(data) < 24:
        raise ValueError("the JPEG 2000 header of a strip or tile is missing")
    right, lower, left, upper = struct.unpack_from(">IIII", data, 8)
    return right - left, lower - upper


def _name(code: int) -> str:
    """The compression in words and as the number in the file."""
    try:
        return f"{tifffile.COMPRESSION(code).name} ({code})"
    except ValueError:
        return f"number {code}"
