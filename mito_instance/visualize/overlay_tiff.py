"""Overlays of a stack as one TIFF in colour, compressed, written page by page."""

from __future__ import annotations

import logging
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt
import tifffile

from mito_instance.io.tiff_open import open_tiff
from mito_instance.visualize.overlays import ColourImage

logger = logging.getLogger(__name__)

STRIP_BYTES = 1 << 18
LEVEL = 1
"""Noise compresses to a half at any level; this one is eight times as fast as the usual one."""
_MAX_CLASSIC_BYTES = 4_000_000_000
_ZLIB = tifffile.COMPRESSION.ADOBE_DEFLATE


@dataclass(frozen=True, slots=True)
class EncodedPicture:
    """A compressed page, ready to be written; small enough to wait for its turn.

    Args:
        image_hw: height and width in pixels.
        strips: zlib-compressed rows, from top to bottom.
        description: text of the page, ASCII.
    """

    image_hw: tuple[int, int]
    strips: tuple[bytes, ...]
    description: str = ""


def encode_picture(picture: ColourImage, description: str = "") -> EncodedPicture:
    """Compress a page.

    Args:
        picture: RGB uint8 (H, W, 3).
        description: ASCII text to go with it.

    Returns:
        The same bytes for the same picture. Pixels are not replaced by differences (a
        "predictor"): that gains nothing here, and ImageJ 1.53 does not undo it.
    """
    n_rows = _rows_a_strip(picture.shape[1])
    strips = tuple(
        zlib.compress(picture[top : top + n_rows].tobytes(), LEVEL)
        for top in range(0, picture.shape[0], n_rows)
    )
    return EncodedPicture((picture.shape[0], picture.shape[1]), strips, description)


def blank_picture(image_hw: tuple[int, int], description: str = "") -> EncodedPicture:
    """A black page, in place of one that could not be drawn."""
    black: npt.NDArray[np.uint8] = np.zeros((*image_hw, 3), dtype=np.uint8)
    return encode_picture(black, description)


class OverlayTiff:
    """A TIFF that is being written; a context manager.

    Args:
        path: the file; it is replaced.
        n_pages: how many there will be.
        image_hw: size of the largest. Where pages of this size may take more than 4 GB, the file
            is a BigTIFF.
    """

    def __init__(self, path: Path, n_pages: int, image_hw: tuple[int, int]) -> None:
        n_bytes = 3 * image_hw[0] * image_hw[1] * n_pages
        self._writer = tifffile.TiffWriter(path, bigtiff=n_bytes > _MAX_CLASSIC_BYTES)

    def __enter__(self) -> OverlayTiff:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._writer.close()

    def add(self, page: EncodedPicture) -> None:
        """Write the next page."""
        self._writer.write(
            iter(page.strips),
            shape=(*page.image_hw, 3),
            dtype=np.uint8,
            photometric="rgb",
            compression="zlib",
            rowsperstrip=_rows_a_strip(page.image_hw[1]),
            description=page.description,
            metadata=None,
            software=False,
        )


def descriptions(path: Path) -> tuple[str, ...]:
    """Texts of the pages of a TIFF of overlays, up to the first that is not whole.

    None for a file that is absent or something else.
    """
    texts: list[str] = []
    try:
        n_bytes = path.stat().st_size
        with open_tiff(path) as tif:
            for entry in tif.pages:
                page = entry.aspage()
                ends = map(sum, zip(page.dataoffsets, page.databytecounts, strict=True))
                is_ours = page.compression == _ZLIB and page.samplesperpixel == 3
                if not is_ours or max(ends) > n_bytes:
                    break
                texts.append(str(page.description))
    except Exception:  # whatever lies there, it was not written here
        logger.debug("%s: no overlays", path, exc_info=True)
    return tuple(texts)


def first_description(path: Path, default: str) -> str:
    """The text of the first page of any TIFF.

    Args:
        path: the file.
        default: returned for a file that is no TIFF, or too damaged to tell.
    """
    try:
        with open_tiff(path) as tif:
            return str(tif.pages.first.description)
    except Exception:
        logger.debug("%s: no TIFF", path, exc_info=True)
        return default


def copied_page(path: Path, frame: int) -> EncodedPicture:
    """A page of a TIFF of overlays as it was written, byte by byte.

    Args:
        path: a file that `OverlayTiff` wrote.
        frame: 0-based page.
    """
    with open_tiff(path) as tif:
        page = tif.pages[frame].aspage()
        strips = []
        for offset, n_bytes in zip(page.dataoffsets, page.databytecounts, strict=True):
            tif.filehandle.seek(offset)
            strips.append(tif.filehandle.read(n_bytes))
        image_hw = (int(page.imagelength), int(page.imagewidth))
        return EncodedPicture(image_hw, tuple(strips), str(page.description))


def _rows_a_strip(width: int) -> int:
    """So many rows that strips are read at ease."""
    return max(1, STRIP_BYTES // (3 * width))
