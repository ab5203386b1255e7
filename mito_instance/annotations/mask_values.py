"""What the values of a mask mean: foreground and background, or one value an instance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mito_instance.annotations.mask_edges import has_soft_edges
from mito_instance.annotations.mask_polarity import (
    Foreground,
    background_value,
    is_surrounding,
)
from mito_instance.errors import AnnotationError
from mito_instance.masks.histogram import value_counts
from mito_instance.masks.rle import BoolMask

MaskKind = Literal["empty", "binary", "labels"]

# Lossy compression spreads 0 and 255 over their neighbours; both ends stay far from the middle.
_JPEG_THRESHOLD = 127
_JPEG_NOISE = 16
_NEAR_END = 0.1
_NOISY_SHARE = 0.75
_MIN_HIGH_SHARE = 0.5
_MOST_MIDWAY = 0.5
_FULL_SCALE = ((250, 255), (65000, 65535))
_MANY_VALUES = 32
_MIN_SMOOTHNESS = 0.5
_NO_JPEG = "labels do not survive JPEG, save the mask as PNG or TIFF"
_PICTURE = "this looks like a micrograph, give the mask"


@dataclass(frozen=True, slots=True)
class MaskReading:
    """One mask, understood.

    Args:
        kind: empty, binary or labels.
        foreground: bool (H, W).
        labels: int64 (H, W), 0 is background; None unless the kind is labels.
        saw: the values in words.
        steps: what was decided, in words.
        repairs: what had to be changed, in words; a strict conversion refuses these.
        is_turned: whether the rule turned the mask over, as bright surrounded the rest.
    """

    kind: MaskKind
    foreground: BoolMask
    labels: npt.NDArray[np.int64] | None
    saw: str
    steps: tuple[str, ...] = ()
    repairs: tuple[str, ...] = ()
    is_turned: bool = False


@dataclass(frozen=True, slots=True)
class _Values:
    """The values of a mask, each with its number of pixels, ascending."""

    values: npt.NDArray[Any]
    counts: npt.NDArray[np.int64]

    @property
    def ends(self) -> tuple[float, float]:
        return float(self.values[0]), float(self.values[-1])

    def n_px(self, chosen: npt.NDArray[np.bool_]) -> int:
        """Number of pixels with the chosen values."""
        return int(self.counts[chosen].sum())


def read_mask(
    mask: npt.NDArray[Any],
    where: str,
    *,
    is_jpeg: bool = False,
    is_colours: bool = False,
    foreground: Foreground = "auto",
    kind: Literal["auto", "binary", "labels"] = "auto",
) -> MaskReading:
    """Understand a mask by its values.

    At most two values: binary, the greater is the foreground. Three colours or more: a label image.
    JPEG: binary, cut at half. More
    values are binary with noise when the greatest is full scale (250 … 255, 65000 … 65535) or
    the least is not 0, nearly all pixels lie within a tenth of the range from either end, and
    three quarters of what is not near the least lie near the greatest, or what is between 0 and
    full scale are soft edges (`has_soft_edges`). Fractions are binary, cut at half of their range,
    or at 0.5 if all are in [0, 1]. All else is a label image.

    A binary mask is turned over when its foreground surrounds the rest (`is_surrounding`); in
    a label image without 0, the value that does so is the background.

    Args:
        mask: numbers (H, W).
        where: the mask, for messages.
        is_jpeg: whether the values went through JPEG compression.
        is_colours: whether they are numbers of colours, of which none is nearer to another.
        foreground: ``dark`` or ``bright`` in place of the rule above, for binary masks.
        kind: in place of what the values suggest. A label image read as binary has every
            value but the background's as foreground.

    Raises:
        AnnotationError: if the values are infinite, no labels, labels that went through JPEG, or
            those of a micrograph.
    """
    mask, repairs = _without_nan(mask, where)
    found = _Values(*value_counts(mask))
    low, high = found.ends
    if is_jpeg and kind == "labels" and high > 0:
        raise AnnotationError(f"{where}: {_NO_JPEG}")
    if (is_jpeg and high <= _JPEG_NOISE) or low == high == 0:
        saw = f"noise to {high:g}" if high else "only 0"
        nothing = np.zeros(mask.shape, dtype=bool)
        if foreground == "dark" and kind != "labels":
            return MaskReading("binary", ~nothing, None, saw, ("dark is foreground",), repairs)
        return MaskReading("empty", nothing, None, saw, (), repairs)
    is_labelled = is_colours and len(found.values) > 2
    seen = "labels" if is_labelled else _suggested_kind(found, is_jpeg=is_jpeg)
    if seen == "labels" and not is_labelled and _are_edges(mask, found):
        seen = "binary"
    if kind == "labels" or (kind == "auto" and seen == "labels"):
        if kind != "labels":
            refuse_micrograph(mask, where, len(found.values))
        return _label_reading(mask, found, where, repairs)
    if seen == "labels":
        if np.count_nonzero(mask) > mask.size / 2:  # faded objects on a page are a mask
            refuse_micrograph(mask, where, len(found.values))
        saw = f"{len(found.values)} values {low:g}-{high:g}"
        ground = None if low == 0 else background_value(mask, found.values, found.counts)
        step = f"every value but {ground or 0} is foreground"
        inside = mask != (ground or 0)
    else:
        is_told = kind == "binary"
        inside, saw, step, noise = _cut(mask, found, where, is_jpeg=is_jpeg, is_told=is_told)
        repairs += noise
    steps = (step,) if step else ()
    return _turned(inside, foreground, saw, steps, repairs)


def suggests_labels(mask: npt.NDArray[Any]) -> bool:
    """Whether whole numbers (H, W) look like one value an instance, by the rule of `read_mask`."""
    return _suggested_kind(_Values(*value_counts(mask)), is_jpeg=False) == "labels"


def is_soft_binary(labels: npt.NDArray[Any]) -> bool:
    """Whether whole numbers (H, W) of three values or more are, by that rule, no labels."""
    found = _Values(*value_counts(labels))
    return len(found.values) > 2 and (
        _suggested_kind(found, is_jpeg=False) != "labels" or _are_edges(labels, found)
    )


def _turned(
    inside: BoolMask,
    foreground: Foreground,
    saw: str,
    steps: tuple[str, ...],
    repairs: tuple[str, ...],
) -> MaskReading:
    """A binary mask, turned over if that was asked for or the rule says so."""
    is_turned = False
    if foreground == "dark":
        inside, steps = ~inside, (*steps, "dark is foreground")
    elif foreground == "auto" and is_surrounding(inside):
        share = float(inside.mean())
        inside = ~inside
        repairs = (*repairs, f"inverted: bright is {share:.0%} and surrounds the rest")
        is_turned = True
    kind: MaskKind = "binary" if inside.any() else "empty"
    return MaskReading(kind, inside, None, saw, steps, repairs, is_turned)


def is_full_scale(value: float) -> bool:
    """Whether a value is (nearly) the greatest of 8 or 16 bit, as the foreground of masks is."""
    return any(least <= value <= most for least, most in _FULL_SCALE)


def _are_edges(mask: npt.NDArray[Any], found: _Values) -> bool:
    """Whether the values between 0 and full scale are those of soft edges."""
    low, high = found.ends
    return low == 0 and is_full_scale(high) and has_soft_edges(mask, high)


def _suggested_kind(found: _Values, *, is_jpeg: bool) -> MaskKind:
    """Binary or labels, by the values alone."""
    if len(found.values) <= 2 or is_jpeg or _has_fractions(found):
        return "binary"
    low, high = found.ends
    if low == 0 and not is_full_scale(high):
        return "labels"
    margin = _NEAR_END * (high - low)
    near_low, near_high = found.values <= low + margin, found.values >= high - margin
    n_above = found.n_px(~near_low) if low > 0 else found.n_px(found.values > 0)
    if found.n_px(near_high) >= _NOISY_SHARE * n_above:
        return "binary"
    return "labels"


def _cut(
    mask: npt.NDArray[Any], found: _Values, where: str, *, is_jpeg: bool, is_told: bool
) -> tuple[BoolMask, str, str, tuple[str, ...]]:
    """Foreground, what was seen, what was decided and what was repaired, of a binary mask."""
    low, high = found.ends
    if len(found.values) == 1:
        return np.ones(mask.shape, dtype=bool), f"only {low:g}", "", ()
    if len(found.values) == 2:
        step = "" if low == 0 else f"{high:g} is foreground"
        return mask > low, f"{low:g} and {high:g}", step, ()
    if is_jpeg and high > _JPEG_THRESHOLD > low + _JPEG_NOISE:
        threshold = float(_JPEG_THRESHOLD)
    elif _has_fractions(found) and low >= 0 and high <= 1:
        threshold = 0.5
    else:
        threshold = (low + high) / 2 if low > _JPEG_NOISE or low < 0 else high / 2
    if is_jpeg:
        margin = (high - low) / 4
        n_ends = found.n_px((found.values <= low + margin) | (found.values >= high - margin))
        if n_ends < _NOISY_SHARE * mask.size:
            raise AnnotationError(
                f"{where}: {1 - n_ends / mask.size:.0%} of the pixels of a JPEG mask lie midway "
                f"between {low:g} and {high:g}, at most 25% may; {_PICTURE}"
            )
        n_above = found.n_px(found.values > low + margin)
        n_high = found.n_px(found.values >= high - margin)
        if high < _FULL_SCALE[0][0] and n_high < _MIN_HIGH_SHARE * n_above:
            raise AnnotationError(
                f"{where}: of the pixels of a JPEG mask above {low + margin:g}, "
                f"{n_high / n_above:.0%} lie near the greatest value {high:g}, at least 50% must; "
                f"{_NO_JPEG}"
            )
    if not is_told and _has_fractions(found) and len(found.values) >= _MANY_VALUES:
        margin = (high - low) / 4
        n_midway = found.n_px((found.values > low + margin) & (found.values < high - margin))
        if n_midway > _MOST_MIDWAY * mask.size:
            raise AnnotationError(
                f"{where}: {n_midway / mask.size:.0%} of the pixels lie midway between {low:g} and "
                f"{high:g}, at most 50% may in a mask of fractions; {_PICTURE}, or --instances "
                "components if it is a map of probabilities"
            )
    n_stray = found.n_px((found.values != low) & (found.values != high))
    saw = f"{len(found.values)} values {low:g}-{high:g}"
    return (
        mask > threshold,
        saw,
        "",
        (
            f"cut at {threshold:g} ({n_stray} px of stray values"
            f"{', NONE ABOVE IT' if high <= threshold else ''})",
        ),
    )


def _label_reading(
    mask: npt.NDArray[Any], found: _Values, where: str, repairs: tuple[str, ...]
) -> MaskReading:
    """A label image; where no pixel is 0, the surrounding value is the background."""
    labels = integer_labels(mask, where)
    steps: tuple[str, ...] = ()
    if not (found.values == 0).any():
        background = background_value(labels, found.values, found.counts)
        if background is not None:
            labels[labels == background] = 0
            repairs = (*repairs, f"no 0: {background}, which surrounds the rest, is background")
        else:
            steps = ("no background: every pixel belongs to an instance",)
    n_labels = len(found.values) - 1 if not steps else len(found.values)
    foreground = labels != 0
    saw = f"{n_labels} labels to {found.ends[1]:g}"
    kind: MaskKind = "labels" if foreground.any() else "empty"
    return MaskReading(kind, foreground, labels, saw, steps, repairs)


def refuse_micrograph(mask: npt.NDArray[Any], where: str, n_values: int) -> None:
    """Labels are flat; the greys of a micrograph change from pixel to pixel.

    Args:
        mask: labels (H, W), 0 is background.
        where: the mask, for the message.
        n_values: how many values there are.

    Raises:
        AnnotationError: if most neighbours of many values differ.
    """
    if n_values < _MANY_VALUES or min(mask.shape) < 2:
        return
    flat = [mask[:, 1:] == mask[:, :-1], mask[1:] == mask[:-1]]
    inside = [mask[:, 1:] != 0, mask[1:] != 0]
    n_flat = sum(int((same & here).sum()) for same, here in zip(flat, inside, strict=True))
    n_inside = sum(int(here.sum()) for here in inside)
    if n_flat < _MIN_SMOOTHNESS * n_inside:
        raise AnnotationError(
            f"{where}: {n_values} values, of which neighbouring pixels share "
            f"{n_flat / max(1, n_inside):.0%}, at least 50% must in a label image; {_PICTURE}"
        )


def _without_nan(mask: npt.NDArray[Any], where: str) -> tuple[npt.NDArray[Any], tuple[str, ...]]:
    """NaN as background; says how many.

    Raises:
        AnnotationError: if a value is infinite.
    """
    if mask.dtype.kind != "f":
        return mask, ()
    if np.isinf(mask).any():
        raise AnnotationError(
            f"{where}: mask values must be finite, got infinity; save the mask as 8-bit"
        )
    is_nan = np.isnan(mask)
    if not is_nan.any():
        return mask, ()
    return np.where(is_nan, 0, mask), (f"{int(is_nan.sum())} px of NaN as background",)


def _has_fractions(found: _Values) -> bool:
    """Whether a value is no whole number."""
    return found.values.dtype.kind == "f" and bool((found.values != np.floor(found.values)).any())


def integer_labels(mask: npt.NDArray[Any], where: str) -> npt.NDArray[np.int64]:
    """A label image as integers; whole numbers stored as floats are accepted.

    Raises:
        AnnotationError: if a value is negative, not finite or no whole number.
    """
    limit = 2**53  # beyond, a float no longer tells whole numbers apart
    if mask.size and not (np.isfinite(mask).all() and mask.min() >= 0 and mask.max() < limit):
        raise AnnotationError(
            f"{where}: label values must be whole numbers >= 0, got {mask.min()} to {mask.max()}; "
            "save the label image as 16 or 32 bit integers"
        )
    labels: npt.NDArray[np.int64] = mask.astype(np.int64)
    if mask.dtype.kind == "f" and (labels != mask).any():
        raise AnnotationError(
            f"{where}: label values must be whole numbers, got fractions; "
            "give --instances components if this is a mask of foreground and background"
        )
    return labels
