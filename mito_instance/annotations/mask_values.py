"""What the values of a mask mean: foreground and background, or one value an instance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mito_instance.errors import AnnotationError
from mito_instance.masks.rle import BoolMask

MaskKind = Literal["empty", "components", "labels"]

# Lossy compression spreads 0 and 255 over their neighbours; both ends stay far from the middle.
_JPEG_THRESHOLD = 127
_JPEG_NOISE = 16
_NEAR_MAX = 0.9
_NOISY_SHARE = 0.75
_MIN_NOISY_MAX = 200


@dataclass(frozen=True, slots=True)
class MaskValues:
    """What was seen in one mask.

    Args:
        kind: empty, components (foreground and background) or labels (one value an instance).
        n_values: number of distinct values.
        maximum: largest value.
        is_noisy: whether values between background and foreground occur, as JPEG leaves them.
    """

    kind: MaskKind
    n_values: int
    maximum: float
    is_noisy: bool


def inspect_mask(mask: npt.NDArray[Any], *, is_jpeg: bool) -> MaskValues:
    """Decide whether a mask is binary or a label image.

    At most two values, or a JPEG, is binary. Otherwise it is binary with noise when three
    quarters of what is not background lie within 10 % of the maximum and the maximum is 200 or
    more; else each value is an instance. Fractions (float masks) are never labels.

    Args:
        mask: numbers (H, W).
        is_jpeg: whether the file is a JPEG.
    """
    values, counts = _value_counts(mask)
    maximum = float(values[-1])
    if maximum <= 0 or (is_jpeg and maximum <= _JPEG_NOISE):
        return MaskValues("empty", len(values), maximum, is_jpeg and maximum > 0)
    if len(values) <= 2:
        return MaskValues("components", len(values), maximum, is_noisy=False)
    foreground = values > 0
    n_foreground = int(counts[foreground].sum())
    n_near_max = int(counts[values >= _NEAR_MAX * maximum].sum())
    is_fraction = bool((values != np.floor(values)).any())
    looks_noisy = maximum >= _MIN_NOISY_MAX and n_near_max >= _NOISY_SHARE * n_foreground
    if is_jpeg or is_fraction or looks_noisy:
        return MaskValues("components", len(values), maximum, is_noisy=True)
    return MaskValues("labels", len(values), maximum, is_noisy=False)


def _value_counts(mask: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """The values of a mask in ascending order and how often each occurs."""
    if mask.dtype in (np.uint8, np.uint16):  # ten times faster than sorting
        counts = np.bincount(mask.ravel())
        values = np.flatnonzero(counts)
        return values, counts[values]
    return np.unique(mask, return_counts=True)


def binary_mask(mask: npt.NDArray[Any], *, is_jpeg: bool) -> BoolMask:
    """Foreground of a binary mask: above half of the maximum.

    In a JPEG above 127, unless the maximum itself is not above that. All background when the
    mask is empty or, in a JPEG, holds nothing but noise near 0.

    Args:
        mask: numbers (H, W), foreground brighter than background.
        is_jpeg: whether the file is a JPEG.
    """
    maximum = float(mask.max()) if mask.size else 0.0
    if maximum <= 0 or (is_jpeg and maximum <= _JPEG_NOISE):
        return np.zeros(mask.shape, dtype=bool)
    threshold = _JPEG_THRESHOLD if is_jpeg and maximum > _JPEG_THRESHOLD else maximum / 2.0
    foreground: BoolMask = mask > threshold
    return foreground


def integer_labels(mask: npt.NDArray[Any], where: str) -> npt.NDArray[np.int64]:
    """A label image as integers; whole numbers stored as floats are accepted.

    Raises:
        AnnotationError: if a value is negative, not finite or no whole number.
    """
    if mask.dtype == bool or np.issubdtype(mask.dtype, np.unsignedinteger):
        return mask.astype(np.int64)
    if mask.size and not (np.isfinite(mask).all() and mask.min() >= 0 and mask.max() < 2**53):
        raise AnnotationError(
            f"{where}: label values must be whole numbers >= 0, got {mask.min()} to {mask.max()}; "
            "save the label image as 16 or 32 bit integers"
        )
    labels = mask.astype(np.int64)
    if (labels != mask).any():
        raise AnnotationError(
            f"{where}: label values must be whole numbers, got fractions; "
            "give --instances components if this is a mask of foreground and background"
        )
    return labels
