"""Grey levels of any depth brought to the range that a network or an eye expects."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

STRETCHED_NOTE = "mito_instance: grey levels stretched as of the whole page"
"""Description of a TIFF whose pixels are read as `Stretched`."""

MAX_SAMPLE = 1 << 20
MAX_STRIP_PX = 1 << 22
"""Pixels that are stretched at a time: floats of a whole large image would take gigabytes."""


class Stretched(np.ndarray[Any, np.dtype[np.uint8]]):
    """Grey levels of a part of a page, stretched as the whole page is: they are left as they are.

    The percentiles of the part would be others, and the same grey would look different there.
    """


def stretch_contrast(
    pixels: npt.NDArray[Any], percentiles: tuple[float, float] = (0.5, 99.5)
) -> npt.NDArray[np.uint8]:
    """Linear stretch of an image's grey levels to 0 … 255.

    The limits are percentiles of the whole image, so that a few hot pixels do not matter and
    8-bit, 16-bit and float versions of one micrograph give the same result.

    Args:
        pixels: (H, W), any real dtype; NaN and infinities are ignored and become 0. `Stretched`
            ones come back unchanged.
        percentiles: grey levels at these percentiles become 0 and 255.

    Returns:
        uint8 (H, W); 128 everywhere where the image is constant or holds no finite value.
    """
    if isinstance(pixels, Stretched):
        return np.asarray(pixels)
    step = max(1, int(np.sqrt(pixels.size / MAX_SAMPLE)))
    with np.errstate(invalid="ignore"):  # signalling NaN
        sample = np.asarray(pixels[::step, ::step], dtype=np.float64)
    finite = sample[np.isfinite(sample)]
    low, high = np.percentile(finite, percentiles) if finite.size else (0.0, 0.0)
    if not high > low:
        low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
        if not high > low:
            return np.full(pixels.shape, 128, dtype=np.uint8)
    if pixels.dtype == np.uint8:
        import cv2

        levels = np.arange(256, dtype=np.uint8)[None]
        return np.asarray(cv2.LUT(pixels, _stretched(levels, low, high)), dtype=np.uint8)
    return _stretched(pixels, low, high)


def _stretched(pixels: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[np.uint8]:
    """Grey levels (H, W) of any dtype from ``low`` … ``high`` to 0 … 255."""
    # float32 tells all grey levels of 16 bit apart, but not those of more bits far from 0.
    is_deep = pixels.dtype.itemsize > 4 or (pixels.dtype.kind in "iu" and pixels.dtype.itemsize > 2)
    dtype = np.float64 if is_deep else np.float32
    stretched = np.empty(pixels.shape, dtype=np.uint8)
    n_rows = max(1, MAX_STRIP_PX // max(1, pixels.shape[1]))
    with np.errstate(all="ignore"):  # NaN and infinities are dealt with below
        scale = dtype(255.0 / (high - low))
        for top in range(0, pixels.shape[0], n_rows):
            part = np.subtract(pixels[top : top + n_rows], dtype(low), dtype=dtype)
            np.multiply(part, scale, out=part)
            np.rint(part, out=part)
            np.nan_to_num(part, copy=False, nan=0.0, posinf=255, neginf=0)
            stretched[top : top + n_rows] = np.clip(part, 0, 255, out=part)
    return stretched
