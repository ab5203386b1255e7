"""Grey levels of any depth brought to the range that a network or an eye expects."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

MAX_SAMPLE = 1 << 20


def stretch_contrast(
    pixels: npt.NDArray[Any], percentiles: tuple[float, float] = (0.5, 99.5)
) -> npt.NDArray[np.uint8]:
    """Linear stretch of an image's grey levels to 0 … 255.

    The limits are percentiles of the whole image, so that a few hot pixels do not matter and
    8-bit, 16-bit and float versions of one micrograph give the same result.

    Args:
        pixels: (H, W), any real dtype; NaN and infinities are ignored and become 0.
        percentiles: grey levels at these percentiles become 0 and 255.

    Returns:
        uint8 (H, W); 128 everywhere where the image is constant or holds no finite value.
    """
    step = max(1, int(np.sqrt(pixels.size / MAX_SAMPLE)))
    sample = np.asarray(pixels[::step, ::step], dtype=np.float64)
    finite = sample[np.isfinite(sample)]
    low, high = np.percentile(finite, percentiles) if finite.size else (0.0, 0.0)
    if not high > low:
        low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
        if not high > low:
            return np.full(pixels.shape, 128, dtype=np.uint8)
    scaled = (pixels.astype(np.float32) - np.float32(low)) * np.float32(255.0 / (high - low))
    whole = np.nan_to_num(np.rint(scaled), nan=0.0, posinf=255, neginf=0)
    stretched: npt.NDArray[np.uint8] = np.clip(whole, 0, 255).astype(np.uint8)
    return stretched
