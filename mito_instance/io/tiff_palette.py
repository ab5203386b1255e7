"""Which grey level a stored value of a TIFF stands for."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_WHITE_IS_ZERO, _PALETTE = 0, 3
_STRIP_PX = 1 << 22


def is_inverted(page: Any) -> bool:
    """Whether greater values are darker: white is zero, or a falling grey palette.

    Args:
        page: a ``tifffile.TiffPage``; 1-bit pages are masks, never inverted.
    """
    if page.bitspersample == 1:
        return False
    if page.photometric == _WHITE_IS_ZERO:
        return True
    greys = _grey_palette(page)
    return greys is not None and bool(greys[0] > greys[-1])


def shuffled_greys(page: Any) -> npt.NDArray[np.unsignedinteger[Any]] | None:
    """Grey level of each value of a page, where they neither rise nor fall with the values.

    Args:
        page: a ``tifffile.TiffPage``.

    Returns:
        uint8 (2^bits,), or uint16 where a value has more than 8 bits; None where the page has no
        palette, one of colours, a damaged one, or one whose greys are in order.
    """
    greys, n_bits = _grey_palette(page), page.bitspersample
    if greys is None or not isinstance(n_bits, int) or len(greys) != 1 << n_bits:
        return None
    steps = np.diff(greys.astype(np.int64))
    if (steps >= 0).all() or (steps <= 0).all():
        return None
    if n_bits > 8:
        return greys.astype(np.uint16)
    # Some writers give 8 bit where the format has 16.
    return (greys >> 8 if greys.max() > 255 else greys).astype(np.uint8)


def looked_up(
    values: npt.NDArray[Any], greys: npt.NDArray[np.unsignedinteger[Any]]
) -> npt.NDArray[np.unsignedinteger[Any]]:
    """Grey levels of a page by strips: numpy needs 8 bytes for each index.

    Args:
        values: unsigned integers (H, W); beyond the last grey they count as the last.
        greys: of each value, from `shuffled_greys`.
    """
    seen = np.empty(values.shape, dtype=greys.dtype)
    n_rows = max(1, _STRIP_PX // values.shape[1])
    for top in range(0, len(values), n_rows):
        seen[top : top + n_rows] = greys.take(values[top : top + n_rows], mode="clip")
    return seen


def _grey_palette(page: Any) -> npt.NDArray[np.unsignedinteger[Any]] | None:
    """The palette of a page; None where it has none, or one of colours or a damaged one."""
    if page.photometric != _PALETTE or page.colormap is None:
        return None
    palette = np.asarray(page.colormap)
    if palette.ndim != 2 or len(palette) != 3 or palette.shape[1] < 2:
        return None  # ignored, as a palette of colours is
    red, green, blue = palette
    is_grey = np.array_equal(red, green) and np.array_equal(green, blue)
    return red if is_grey else None
