"""Read mask files page by page: palettes by index, colours by number, alpha if it is the mask."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from mito_instance.errors import AnnotationError
from mito_instance.io.grey import to_grey
from mito_instance.io.images import read_page, read_pages
from mito_instance.io.raster import decode_raster, decode_raster_bytes
from mito_instance.io.tiff import TiffPages, is_tiff

_OFF_LINE = 2.0
"""Grey levels by which a mixture of two colours may be rounded."""

MAX_COLOURS = 4096
"""A colour-coded label image has some hundreds of colours, a picture has tens of thousands."""

PALETTE = "palette of colours, by index"
"""Form of a page whose values are the indices of a palette."""

COLOURS = "colours"
"""Form of a page whose values are numbers of colours, which hold for that page alone."""

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_BMP = b"BM"
_COLOUR_TYPE, _INDEXED, _GREY = 25, 3, 0  # byte of IHDR from the start of the file, and values
_DEPTH = 24


@dataclass(frozen=True, slots=True)
class MaskPage:
    """One page of a mask file.

    Args:
        path: the file.
        frame: 0-based page.
        n_frames: number of pages of the file.
        values: (H, W), integer or float; grey levels, palette indices or numbers of colours.
        form: what the file holds, in words, such as ``8-bit`` or ``colours``.
        is_jpeg: whether the values went through JPEG compression.
        is_inverted: whether ``values`` are what is stored, upside down: white is zero, or a palette
            falls from white to black. ImageJ calls this an inverting lookup table.
    """

    path: Path
    frame: int
    n_frames: int
    values: npt.NDArray[Any]
    form: str
    is_jpeg: bool = False
    is_inverted: bool = False

    @property
    def where(self) -> str:
        """File and, of a stack, page, for messages."""
        return f"{self.path} page {self.frame + 1}" if self.n_frames > 1 else str(self.path)

    @property
    def stored(self) -> npt.NDArray[Any]:
        """The values (H, W) as stored, which ImageJ takes for them, however they look."""
        return np.bitwise_not(self.values) if self.is_inverted else self.values


def read_mask_pages(path: Path) -> Iterator[MaskPage]:
    """Pages of a mask file, one at a time.

    A PNG with a palette of colours gives its indices, with a palette of greys the greys. Pages
    in colour (not JPEG, nor TIFF pages compressed as JPEG) give a number for each colour, black
    being 0; two colours with soft edges between them give 0 and 1. Where colour and grey say
    nothing but alpha does, alpha is the mask. All else is as `images.read_pages`.

    Args:
        path: PNG, JPEG, BMP or TIFF, told by its content.

    Yields:
        Each page.

    Raises:
        ImageError: as `images.read_pages`.
        AnnotationError: if a page has more than `MAX_COLOURS` colours.
    """
    head = _head(path)
    if head.startswith(_JPEG):
        for page in read_pages(path):
            yield MaskPage(path, 0, 1, page.pixels, "JPEG", is_jpeg=True)
    elif head.startswith(_PNG) and len(head) > _COLOUR_TYPE:
        is_indexed = head[_COLOUR_TYPE] == _INDEXED
        values, form = _indexed_values(path) if is_indexed else _values(decode_raster(path), path)
        is_inverted = is_indexed and _has_inverting_palette(path.read_bytes())
        yield MaskPage(path, 0, 1, values, form, is_inverted=is_inverted)
    elif head.startswith(_BMP):
        values, form = _values(decode_raster(path), path)
        yield MaskPage(path, 0, 1, values, form)
    elif head and is_tiff(path):
        with TiffPages(path) as pages:
            for frame in range(len(pages)):
                yield _tiff_page(pages, frame, path)
    else:
        for page in read_pages(path):
            yield MaskPage(path, page.frame, page.n_frames, page.pixels, _depth(page.pixels))


def read_stored_page(path: Path, frame: int = 0) -> npt.NDArray[Any]:
    """Grey levels (H, W) of one page, as stored where they are shown upside down.

    The objects of an ImageJ mask with an inverting lookup table look black and are 255.

    Args:
        path: an image file.
        frame: 0-based page.

    Raises:
        ImageError: as `images.read_page`.
    """
    pixels, head = read_page(path, frame).pixels, _head(path)
    is_inverted = head.startswith(_PNG) and _has_inverting_palette(path.read_bytes())
    if is_tiff(path):
        with TiffPages(path) as pages:
            if pixels.dtype.kind in "fi" or pages.is_of_colours(frame):
                return pages.pixels(frame)  # as stored
            is_inverted = _is_turned(pixels, pages.channels(frame))
    return np.bitwise_not(pixels) if is_inverted else pixels


def _tiff_page(pages: TiffPages, frame: int, path: Path) -> MaskPage:
    """One page of a TIFF."""
    if pages.is_jpeg(frame):
        return MaskPage(path, frame, len(pages), pages.pixels(frame), "JPEG", is_jpeg=True)
    channels = pages.channels(frame)
    if channels.ndim == 3:
        values, form = _values(channels, path)
        return MaskPage(path, frame, len(pages), values, form)
    values = pages.pixels(frame)  # the photometric sense counts for grey pages only
    is_inverted = _is_turned(values, channels)
    is_indexed = values.dtype in (np.uint8, np.uint16) and pages.numbers_colours(frame)
    form = PALETTE if is_indexed else _depth(values)
    return MaskPage(path, frame, len(pages), values, form, is_inverted=is_inverted)


def _is_turned(values: npt.NDArray[Any], stored: npt.NDArray[Any]) -> bool:
    """Whether the values of a page are those that are stored, upside down."""
    is_possible = stored.ndim == 2 and values.dtype.kind == "u" and stored.dtype.kind == "u"
    return is_possible and np.array_equal(values, np.bitwise_not(stored))


def _head(path: Path) -> bytes:
    """The first bytes of a file; none if it cannot be read, which `read_pages` then explains."""
    try:
        if not path.is_file():  # a pipe would wait for ever
            return b""
        with path.open("rb") as stream:
            return stream.read(_COLOUR_TYPE + 1)
    except (OSError, ValueError):
        return b""


def _values(channels: npt.NDArray[Any], path: Path) -> tuple[npt.NDArray[Any], str]:
    """Mask values of stored channels, and their form."""
    if channels.ndim == 3 and channels.shape[2] in (2, 4):
        colour, alpha = channels[..., :-1], channels[..., -1]
        if alpha.size and alpha.min() < alpha.max() and _is_constant_where(colour, alpha > 0):
            return to_grey(alpha, str(path)), "alpha channel"
        channels = colour
    if channels.ndim == 2 or channels.shape[2] == 1:
        grey = to_grey(channels, str(path))
        return grey, _depth(grey)
    first = channels[..., :1]
    if channels.shape[2] == 3 and channels.dtype.kind in "bui" and (channels != first).any():
        numbers, colours = _colour_numbers(channels, path)
        soft = _with_soft_edges(numbers, colours)
        return (numbers, COLOURS) if soft is None else (soft, "two colours with soft edges")
    return to_grey(channels, str(path)), f"RGB {_depth(channels)}"


def _is_constant_where(colour: npt.NDArray[Any], visible: npt.NDArray[np.bool_]) -> bool:
    """Whether all visible pixels have one colour, so that alpha alone tells them apart."""
    chosen = colour[visible]
    return bool((chosen == chosen[:1]).all())


def _with_soft_edges(
    numbers: npt.NDArray[np.int64], colours: npt.NDArray[np.int64]
) -> npt.NDArray[np.uint8] | None:
    """0 and 1 (H, W) of a drawing in one colour whose edges fade into the ground; None for others.

    Two colours hold most pixels, all others lie between these, and each of their pixels is at
    most two from a pixel of either kind: labels in shades of one colour are larger.

    Args:
        numbers: (H, W), a number for each colour.
        colours: red, green and blue (N, 3) of each number, from the least number on.
    """
    places = numbers - numbers.min() if numbers.size else numbers
    counts = np.bincount(places.ravel(), minlength=len(colours))
    if len(colours) < 3:
        return None
    ground, ink = np.argsort(-counts, kind="stable")[:2]
    border = np.concatenate([places[0], places[-1], places[:, 0], places[:, -1]])
    on_border = np.bincount(border, minlength=len(colours))[[ground, ink]]
    if not colours[ink].any() and 3 * on_border[1] >= on_border.sum():
        ground, ink = ink, ground  # black, however much of it is drawn on
    way = (colours[ink] - colours[ground]).astype(float)
    share = ((colours - colours[ground]) @ way) / (way @ way)
    off = np.abs(colours - colours[ground] - share[:, None] * way).max(axis=1)
    if off.max() > _OFF_LINE or share.min() < 0 or share.max() > 1:
        return None
    is_pure = np.zeros(len(colours), dtype=bool)
    is_pure[[ground, ink]] = True
    faded = (~is_pure)[places].astype(np.uint8)
    if cv2.erode(faded, np.ones((5, 5), np.uint8)).any():
        return None
    drawn: npt.NDArray[np.uint8] = (share >= 0.5)[places].astype(np.uint8)
    return drawn


def _colour_numbers(
    channels: npt.NDArray[Any], path: Path
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """A number for each colour; black is 0, the others ascend with red, green and blue.

    Returns:
        The numbers (H, W), and red, green and blue (N, 3) of each, in their order.

    Raises:
        AnnotationError: if there are too many colours for a mask.
    """
    key = np.zeros(channels.shape[:2], dtype=np.int64)
    for channel in range(3):
        key = (key << 16) | (channels[..., channel].astype(np.int64) & 0xFFFF)
    colours, numbers = np.unique(key, return_inverse=True)
    if len(colours) > MAX_COLOURS:
        raise AnnotationError(
            f"{path}: a mask in colour may have {MAX_COLOURS} colours, got {len(colours)}; this "
            "looks like a picture, give the mask"
        )
    start = 0 if colours[0] == 0 else 1
    labels: npt.NDArray[np.int64] = numbers.reshape(key.shape).astype(np.int64) + start
    rgb = np.stack([colours >> 32, (colours >> 16) & 0xFFFF, colours & 0xFFFF], axis=1)
    return labels, rgb


def _indexed_values(path: Path) -> tuple[npt.NDArray[Any], str]:
    """Indices of a PNG with a palette of colours; greys of one with a palette of greys."""
    channels = decode_raster(path)  # checks the whole file
    if channels.ndim == 2 or (channels[..., :3] == channels[..., :1]).all():
        return _values(channels, path)[0], "palette of greys"
    # As grey, the decoder gives the indices themselves, spread over 8 bit.
    data = path.read_bytes()
    depth = data[_DEPTH]
    indices = decode_raster_bytes(path, _as_grey_png(data))
    step = {1: 255, 2: 85, 4: 17}.get(depth, 1)
    return to_grey(indices, str(path)) // np.uint8(step), PALETTE


def _as_grey_png(data: bytes) -> bytes:
    """The PNG with its indices declared to be grey levels, without its palette."""
    parts = [_PNG]
    for kind, content in _chunks(data):
        if kind == b"IHDR":
            content = content[:9] + bytes([_GREY]) + content[10:]
        if kind in (b"IHDR", b"IDAT", b"IEND"):
            checksum = struct.pack(">I", zlib.crc32(kind + content))
            parts += [struct.pack(">I", len(content)), kind, content, checksum]
    return b"".join(parts)


def _has_inverting_palette(data: bytes) -> bool:
    """Whether the palette of a PNG is the one that ImageJ writes for an inverting lookup table."""
    falling = bytes(grey for grey in range(255, -1, -1) for _ in range(3))
    chunks = dict(_chunks(data))
    return chunks.get(b"PLTE") == falling and b"tRNS" not in chunks


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each chunk of a PNG."""
    position = len(_PNG)
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        yield data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        position += 12 + length


def _depth(values: npt.NDArray[Any]) -> str:
    """Depth in words."""
    bits = 8 * values.dtype.itemsize
    return f"float {bits}" if values.dtype.kind == "f" else f"{bits}-bit"
