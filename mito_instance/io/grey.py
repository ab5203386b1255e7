"""Colour to grey in the image's own depth."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mito_instance.errors import ImageError

_REC601 = (299, 587, 114)  # thousandths of red, green, blue
_STRIP_PX = 1 << 22


def to_grey(pixels: npt.NDArray[Any], where: str) -> npt.NDArray[Any]:
    """Grey levels of a decoded image.

    Args:
        pixels: (H, W) or (H, W, C) with C = 1 (grey), 2 (grey, alpha), 3 (red, green, blue)
            or 4 (red, green, blue, alpha); bool, integer or float.
        where: the file, for the message.

    Returns:
        (H, W), C-contiguous, in native byte order and the same dtype, but bool becomes uint8
        0/255 and float16 float32. Alpha is ignored. Where red, green and blue are equal, grey
        is that value exactly; integers are rounded half up.

    Raises:
        ImageError: for another number of channels, no pixel, or complex numbers.
    Source: ITU-R BT.601 luma, 0.299 R + 0.587 G + 0.114 B.
    """
    if pixels.dtype.kind not in "buif":
        raise ImageError(
            f"{where}: pixels must be integers or floats, got {pixels.dtype}; save as grey TIFF"
        )
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (1, 2, 3, 4)):
        raise ImageError(
            f"{where}: page must be grey or RGB, got shape {pixels.shape}; save one grey channel"
        )
    if pixels.size == 0:
        raise ImageError(f"{where}: page has no pixel (shape {pixels.shape}); export it again")
    if pixels.ndim == 3:
        pixels = pixels[..., 0] if pixels.shape[2] < 3 else _luminance(pixels)
    if pixels.dtype == bool:
        return pixels.astype(np.uint8) * np.uint8(255)
    if pixels.dtype == np.float16:
        pixels = pixels.astype(np.float32)
    return np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("="))


def _luminance(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Luma of (H, W, 3 or 4) in the same dtype, by strips: sums need more bits than pixels."""
    red, green, blue = (pixels[..., channel] for channel in range(3))
    if np.array_equal(red, green) and np.array_equal(green, blue):
        return red
    luma = np.empty(pixels.shape[:2], dtype=pixels.dtype)
    n_rows = max(1, _STRIP_PX // pixels.shape[1])
    for top in range(0, len(pixels), n_rows):
        luma[top : top + n_rows] = _weighted(pixels[top : top + n_rows])
    return luma


def _weighted(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Weighted sum of red, green and blue, in their dtype."""
    dtype = pixels.dtype
    if dtype.kind == "u" and dtype.itemsize <= 2:
        total = np.full(pixels.shape[:2], 500, dtype=np.uint32)
        for channel, weight in enumerate(_REC601):
            total += pixels[..., channel].astype(np.uint32) * np.uint32(weight)
        return (total // np.uint32(1000)).astype(dtype)
    weighted = np.zeros(pixels.shape[:2], dtype=np.float64)
    for channel, weight in enumerate(_REC601):
        weighted += pixels[..., channel].astype(np.float64) * (weight / 1000)
    if dtype.kind in "ui":
        weighted = np.floor(weighted + 0.5)
    return weighted.astype(dtype)
