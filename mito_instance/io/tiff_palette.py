"""Which grey level a stored value of a TIFF stands for."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mito_instance.errors import ImageError
from mito_instance.io.grey import to_grey
from mito_instance.io.metadata import warn_once

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _PALETTE = 0, 1, 3
_PHOTOMETRIC = 262
_STRIP_PX = 1 << 22
_NEAR_GREY = 1 / 16
_NEARLY_ALL = 0.8


def is_inverted(page: Any) -> bool:
    """Whether greater values are darker: white is zero, or a falling grey palette.

    Args:
        page: a ``tifffile.TiffPage``; 1-bit pages are masks, never inverted.
    """
    if page.bitspersample == 1:
        return False
    if _sense(page) == _WHITE_IS_ZERO:
        return True
    greys = _grey_palette(page)
    return greys is not None and bool(greys[0] > greys[-1])


def shuffled_greys(page: Any) -> npt.NDArray[np.unsignedinteger[Any]] | None:
    """Grey level of each value of a page, where they neither rise nor fall with the values.

    Programs that reduce a picture to 256 colours number these in any order. A few may be true
    colours, as of a red scale bar on a grey micrograph: they count as the grey of their luma.

    Args:
        page: a ``tifffile.TiffPage``.

    Returns:
        uint8 (2^bits,), or uint16 where a value has more than 8 bits; None where the page has no
        palette, one of colours, a damaged one, or one whose greys are in order (with red and blue
        ends, as ImageJ marks saturated pixels, too).
    """
    palette, n_bits = _palette(page), page.bitspersample
    if palette is None or not isinstance(n_bits, int) or palette.shape[1] != 1 << n_bits:
        return None
    is_near = _near_grey(palette)
    if is_near is None:
        return None
    greys: npt.NDArray[np.unsignedinteger[Any]] = to_grey(palette.T[None], "palette")[0]
    steps = np.diff(greys[is_near].astype(np.int64))
    if (steps >= 0).all() or ((steps <= 0).all() and _grey_palette(page) is not None):
        return None  # of falling ones, those of greys alone are `is_inverted`
    if n_bits > 8:
        return greys.astype(np.uint16)
    # Some writers give 8 bit where the format has 16.
    shift = np.uint16(8 if palette.max() > 255 else 0)
    seen: npt.NDArray[np.uint8] = (greys >> shift).astype(np.uint8)
    return seen


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


def without_extra(page: Any, channels: npt.NDArray[Any], where: str) -> npt.NDArray[Any]:
    """The pixels of a page, of samples that the file does not call colours or alpha the first.

    Args:
        page: a ``tifffile.TiffPage``.
        channels: its pixels, (H, W) or (H, W, C).
        where: the page, for the message.

    Raises:
        ImageError: if the other samples hold another picture, as of several detectors.
    """
    sense, further = _sense(page), page.extrasamples
    if channels.ndim != 3 or sense not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, None):
        return channels
    n_unnamed = 0 if sense is None else channels.shape[-1] - 1 - len(further)
    if 0 not in further and n_unnamed <= 0:
        return channels  # the file says what each further sample is
    first: npt.NDArray[Any] = channels[..., 0]
    others = np.moveaxis(channels, -1, 0)[1:]
    if not all(_says_nothing(other, first) for other in others):
        raise ImageError(
            f"{where}: holds {1 + len(others)} channels that are no colours; save one grey channel"
        )
    return first


def _sense(page: Any) -> int | None:
    """What the file says that its values mean; None if it does not, as tags may be left out."""
    # tifffile takes white for zero then, ImageJ and libtiff black.
    return page.photometric if _PHOTOMETRIC in page.keyframe.tags else None


def _says_nothing(sample: npt.NDArray[Any], first: npt.NDArray[Any]) -> bool:
    """Whether a sample (H, W) is the first once more, or the same number everywhere."""
    for one in (first, sample[:1, :1]):
        is_same = sample == one
        if sample.dtype.kind == "f":
            is_same |= np.isnan(sample) & np.isnan(one)
        if is_same.all():
            return True
    return False


def numbers_colours(page: Any) -> bool:
    """Whether the values of a page number colours in no order, as drawings have them.

    ImageJ's lookup tables, and palettes that rise or fall, paint grey values.

    Args:
        page: a ``tifffile.TiffPage``.
    """
    palette = _palette(page)
    if palette is None or page.is_imagej or _near_grey(palette) is not None:
        return False
    steps = np.diff(to_grey(palette.T[None], "palette")[0].astype(np.int64))
    return bool((steps < 0).any() and (steps > 0).any())


def is_of_colours(page: Any) -> bool:
    """Whether a page has a palette with a colour in it.

    Args:
        page: a ``tifffile.TiffPage``.
    """
    return _palette(page) is not None and _grey_palette(page) is None


def warn_of_colours(page: Any, n_pages: int, path: str) -> None:
    """Say once of a file that its grey levels may not be what its author meant.

    Args:
        page: a ``tifffile.TiffPage``.
        n_pages: of the file.
        path: of the file, for the message.
    """
    if numbers_colours(page):
        warn_once(
            "%s: its values number colours in no order of brightness, and are read as grey "
            "levels; save as grey TIFF if they are not",
            (path,),
        )
    # tifffile stores a stack of three or four slices so, unless told that it is grey.
    if page.axes == "SYX" and n_pages == 1 and page.is_shaped:
        warn_once(
            "%s: is read as one colour image; if its %d planes are slices, save them with "
            "photometric='minisblack'",
            (path, int(page.samplesperpixel)),
        )


def _near_grey(palette: npt.NDArray[Any]) -> npt.NDArray[np.bool_] | None:
    """Which entries (N,) of (3, N) are nearly grey; None where these are not nearly all of them.

    Entries alike count once: those that a picture of few colours does not use are black.
    """
    spread = np.ptp(palette.astype(np.int64), axis=0)
    is_near: npt.NDArray[np.bool_] = spread <= _NEAR_GREY * max(1, int(palette.max()))
    _, first = np.unique(palette, axis=1, return_index=True)
    return is_near if is_near[first].mean() >= _NEARLY_ALL else None


def _grey_palette(page: Any) -> npt.NDArray[np.unsignedinteger[Any]] | None:
    """The palette of a page; None where it has none, or one of colours or a damaged one."""
    palette = _palette(page)
    if palette is None:
        return None
    red, green, blue = palette
    is_grey = np.array_equal(red, green) and np.array_equal(green, blue)
    return red if is_grey else None


def _palette(page: Any) -> npt.NDArray[np.unsignedinteger[Any]] | None:
    """Red, green and blue (3, N) of a page's values; None where it has none, or a damaged one."""
    if page.photometric != _PALETTE or page.colormap is None:
        return None
    palette = np.asarray(page.colormap)
    return palette if palette.ndim == 2 and len(palette) == 3 and palette.shape[1] > 1 else None
