"""Overlays: crisp outlines, object numbers and a scale bar on the micrograph."""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from mito_instance.calibration import PixelSize
from mito_instance.errors import ImageError
from mito_instance.instances import ImageInstances
from mito_instance.io.files import atomic_path
from mito_instance.masks import rle

ColourImage = npt.NDArray[np.uint8]

COLOURS = (
    (255, 225, 25),
    (0, 200, 255),
    (255, 105, 180),
    (80, 220, 60),
    (255, 140, 0),
    (150, 130, 255),
    (0, 230, 170),
    (255, 80, 70),
)
"""RGB colours that are told apart on grey, in the order in which they are tried."""

_HALO = (20, 20, 20)
_WHITE = (255, 255, 255)
_NEIGHBOUR_PX = 40
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_BAR_STEPS = (1.0, 2.0, 5.0)
_END_OF_HEADER = 33  # signature and IHDR


def _text_chunk(keyword: str, text: str) -> bytes:
    """A PNG's tEXt chunk. Source: PNG specification, 11.3.4.3."""
    content = b"tEXt" + keyword.encode("latin-1") + b"\0" + text.encode("latin-1")
    return struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))


_MARK = _text_chunk("Software", "mito-instance overlay")


@dataclass(frozen=True, slots=True)
class _Label:
    """A number; the innermost point of its object and the room there; its two tips, in pixels."""

    text: str
    centre_xy: tuple[float, float]
    room_px: float
    top_xy: tuple[float, float]
    bottom_xy: tuple[float, float]


def draw_overlay(
    image: npt.NDArray[np.uint8],
    instances: ImageInstances,
    *,
    show_ids: bool = True,
    line_px: int | None = None,
) -> ColourImage:
    """Outline every instance on its micrograph.

    The outline is the outermost ring of the mask's own pixels (1 px wide up to 900 px of image,
    at most 4 px), with an equally thin dark halo outside; no halo covers an outline. Objects
    near each other get different colours. Memory beyond the picture is that of the largest
    object's box.

    Args:
        image: grey uint8 (H, W).
        instances: N instances of this image; 0 gives the plain picture.
        show_ids: write the number of each instance, from 1 in their order, on or beside it.
        line_px: width of the outlines; None for one that suits the image.

    Returns:
        RGB uint8 (H, W, 3), with a scale bar when the pixel size is known.

    Raises:
        ImageError: if the image is not grey uint8, or is not of the instances' size.
    """
    if image.ndim != 2 or image.dtype != np.uint8:
        raise ImageError(
            f"{instances.image}: an overlay needs a grey uint8 image (H, W), "
            f"got {image.dtype} {image.shape}; convert the image first"
        )
    if image.shape != instances.image_hw:
        raise ImageError(
            f"{instances.image}: image is {image.shape} (height, width) but its instances are "
            f"for {instances.image_hw}; check that both belong together"
        )
    picture: ColourImage = np.repeat(image[:, :, None], 3, axis=2)
    boxes = [rle.box_xywh(mask) for mask in instances.masks]
    colours = [COLOURS[number] for number in _colour_numbers(boxes)]
    if line_px is None:
        line_px = min(4, max(1, round(min(instances.image_hw) / 600)))
    _draw_halos(picture, instances, boxes, line_px)
    if instances.pixel_size is not None:  # before the outlines, which its ground would darken
        _draw_scale_bar(picture, instances.pixel_size, boxes)
    labels = []
    for number, (mask, box) in enumerate(zip(instances.masks, boxes, strict=True)):
        if box[2] == 0:
            continue
        inside = rle.crop(mask, box)
        window = _window(box)
        picture[window][_border(inside, line_px)] = colours[number]
        labels.append(_label(str(number + 1), inside, box))
    if show_ids:
        _draw_labels(picture, labels)
    return picture


def write_overlay(
    path: Path,
    image: npt.NDArray[np.uint8],
    instances: ImageInstances,
    *,
    show_ids: bool = True,
) -> None:
    """Write the overlay of one image as PNG; the file is either whole or not there.

    Args:
        path: the PNG file; its folder is made if absent.
        image: grey uint8 (H, W).
        instances: N instances of this image.
        show_ids: as in `draw_overlay`.

    Raises:
        ImageError: as in `draw_overlay`.
        ConfigError: if the file cannot be written.
    """
    picture = draw_overlay(image, instances, show_ids=show_ids)
    _, data = cv2.imencode(".png", picture[:, :, ::-1])
    png = data.tobytes()
    with atomic_path(path) as temporary:
        temporary.write_bytes(png[:_END_OF_HEADER] + _MARK + png[_END_OF_HEADER:])


def is_overlay(path: Path) -> bool:
    """Whether a PNG was written by `write_overlay`.

    Args:
        path: a file, of any kind.
    """
    try:
        with path.open("rb") as file:
            return file.read(_END_OF_HEADER + len(_MARK)).endswith(_MARK)
    except OSError:
        return False


def scale_bar_nm(width_px: int, pixel_size: PixelSize) -> float:
    """Length of the scale bar: the largest 1, 2 or 5 × 10ⁿ nm within a fifth of the width.

    Args:
        width_px: width of the picture.
        pixel_size: edge length of one pixel.
    """
    most_nm = width_px * pixel_size.nm / 5
    decade = 10.0 ** math.floor(math.log10(most_nm))
    most_nm *= 1 + 1e-9  # a decade that rounding has put just above
    return max(step * decade for step in _BAR_STEPS if step * decade <= most_nm)


def _window(box: tuple[int, int, int, int]) -> tuple[slice, slice]:
    """Rows and columns of a box (x, y, width, height)."""
    x, y, width, height = box
    return slice(y, y + height), slice(x, x + width)


def _border(inside: npt.NDArray[np.bool_], line_px: int) -> npt.NDArray[np.bool_]:
    """Pixels of the mask within ``line_px`` of its outside; the box edge counts as outside."""
    padded = np.pad(inside.astype(np.uint8), line_px)
    kernel = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    core = cv2.erode(padded, kernel, iterations=line_px)[line_px:-line_px, line_px:-line_px]
    return np.asarray(inside & (core == 0), dtype=bool)


def _colour_numbers(boxes: list[tuple[int, int, int, int]]) -> list[int]:
    """A colour for each box that no earlier box near it has, while there are enough."""
    placed = np.array(boxes, dtype=np.int64).reshape(-1, 4)
    left, top = placed[:, 0] - _NEIGHBOUR_PX, placed[:, 1] - _NEIGHBOUR_PX
    right, bottom = placed[:, 0] + placed[:, 2], placed[:, 1] + placed[:, 3]
    numbers: list[int] = []
    for number in range(len(boxes)):
        before = slice(0, number)
        near = (
            (left[before] <= right[number])
            & (right[before] >= left[number])
            & (top[before] <= bottom[number])
            & (bottom[before] >= top[number])
        )
        taken = {numbers[other] for other in np.flatnonzero(near)}
        # Start at another colour each time, so that lone objects differ as well.
        order = [(number + step) % len(COLOURS) for step in range(len(COLOURS))]
        numbers.append(next((colour for colour in order if colour not in taken), order[0]))
    return numbers


def _draw_halos(
    picture: ColourImage,
    instances: ImageInstances,
    boxes: list[tuple[int, int, int, int]],
    line_px: int,
) -> None:
    """Darken the pixels just outside each mask; outlines are drawn over them later."""
    height, width = instances.image_hw
    kernel = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    for mask, (x, y, w, h) in zip(instances.masks, boxes, strict=True):
        if w == 0:
            continue
        left, top = max(0, x - line_px), max(0, y - line_px)
        right, bottom = min(width, x + w + line_px), min(height, y + h + line_px)
        box = (left, top, right - left, bottom - top)
        inside = rle.crop(mask, box).astype(np.uint8)
        halo = (cv2.dilate(inside, kernel, iterations=line_px) > 0) & (inside == 0)
        part = picture[_window(box)]
        part[halo] = (0.35 * part[halo] + 0.65 * np.array(_HALO)).astype(np.uint8)


def _label(text: str, inside: npt.NDArray[np.bool_], box: tuple[int, int, int, int]) -> _Label:
    """Where the number of a mask, cropped to its box, can stand."""
    x, y, _, height = box
    depth = cv2.distanceTransform(np.pad(inside.astype(np.uint8), 1), cv2.DIST_L2, 3)
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    top_x, bottom_x = (float(x + np.flatnonzero(line).mean()) for line in inside[[0, -1]])
    return _Label(
        text,
        centre_xy=(float(x + column - 1), float(y + row - 1)),
        room_px=float(depth.max()),
        top_xy=(top_x, float(y)),
        bottom_xy=(bottom_x, float(y + height)),
    )


def _draw_labels(picture: ColourImage, labels: list[_Label]) -> None:
    """Write the numbers: on objects with room for them, else beside, never off the picture."""
    height, width = picture.shape[:2]
    scale, thickness = _text_size(picture)
    for label in labels:
        (text_width, text_height), _ = cv2.getTextSize(label.text, _FONT, scale, thickness)
        x, y = label.centre_xy[0] - text_width / 2, label.centre_xy[1] + text_height / 2
        if label.room_px < 0.5 * math.hypot(text_width, text_height):
            above = label.top_xy[1] - 4 > text_height + 2
            x = (label.top_xy if above else label.bottom_xy)[0] - text_width / 2
            y = label.top_xy[1] - 4 if above else label.bottom_xy[1] + text_height + 4
        x = min(max(round(x), 2), max(2, width - text_width - 2))
        y = min(max(round(y), text_height + 2), max(text_height + 2, height - 3))
        _write(picture, label.text, (x, y), scale, thickness)


def _text_size(picture: ColourImage) -> tuple[float, int]:
    """Font scale and stroke width that suit the picture."""
    scale = min(2.0, max(0.38, min(picture.shape[:2]) / 1300))
    return scale, max(1, round(1.4 * scale))


def _write(
    picture: ColourImage, text: str, origin_xy: tuple[int, int], scale: float, thickness: int
) -> None:
    """White text with a dark rim, readable on any ground."""
    rim = thickness + max(2, round(3 * scale))
    cv2.putText(picture, text, origin_xy, _FONT, scale, _HALO, rim, cv2.LINE_AA)
    cv2.putText(picture, text, origin_xy, _FONT, scale, _WHITE, thickness, cv2.LINE_AA)


def _draw_scale_bar(
    picture: ColourImage, pixel_size: PixelSize, boxes: list[tuple[int, int, int, int]]
) -> None:
    """A white bar with its length, on a darkened ground in the emptier lower corner."""
    height, width = picture.shape[:2]
    length_nm = scale_bar_nm(width, pixel_size)
    length_px = max(1, round(length_nm / pixel_size.nm))
    text = f"{length_nm / 1000:g} um" if length_nm >= 1000 else f"{length_nm:g} nm"
    scale, thickness = _text_size(picture)
    (text_width, text_height), _ = cv2.getTextSize(text, _FONT, scale, thickness)
    pad = max(3, round(8 * scale))
    bar_px = max(2, round(6 * scale))
    box_width = max(length_px, text_width) + 2 * pad
    box_height = text_height + bar_px + 3 * pad
    top = max(0, height - box_height - pad)
    low = [box for box in boxes if box[1] + box[3] > top]
    n_right = sum(x + w > width - box_width - pad for x, _, w, _ in low)
    n_left = sum(x < box_width + pad for x, _, _, _ in low)
    left = max(0, width - box_width - pad) if n_right <= n_left else min(pad, width - 1)
    ground = picture[top : top + box_height, left : left + box_width]
    ground[:] = (0.25 * ground).astype(np.uint8)
    bar_left = left + (box_width - length_px) // 2
    bar_top = top + box_height - pad - bar_px
    picture[bar_top : bar_top + bar_px, max(0, bar_left) : bar_left + length_px] = 255
    origin = (left + (box_width - text_width) // 2, top + pad + text_height)
    if text.endswith("um"):
        _write_micro(picture, text, origin, scale, thickness)
    else:
        cv2.putText(picture, text, origin, _FONT, scale, _WHITE, thickness, cv2.LINE_AA)


def _write_micro(
    picture: ColourImage, text: str, origin_xy: tuple[int, int], scale: float, thickness: int
) -> None:
    """Write ``um`` as µm: OpenCV's font has no µ, so the u gets its stroke down by hand."""
    cv2.putText(picture, text, origin_xy, _FONT, scale, _WHITE, thickness, cv2.LINE_AA)
    (before_px, _), _ = cv2.getTextSize(text[:-2], _FONT, scale, thickness)
    x = round(origin_xy[0] + before_px + 4 * scale)
    top, bottom = origin_xy[1] - round(10 * scale), origin_xy[1] + round(7 * scale)
    cv2.line(picture, (x, top), (x, bottom), _WHITE, thickness, cv2.LINE_AA)
