"""Contact sheet: many small pictures with captions on one page."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from mito_instance.errors import ConfigError
from mito_instance.io.files import atomic_path
from mito_instance.visualize.overlays import ColourImage

MAX_CELL_PX = 400
_MIN_CELL_PX = 120
_GAP_PX = 8
_CAPTION_PX = 18
_LINE_PX = 20
_PAPER = 255
_INK = (30, 30, 30)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_CAPTION_SCALE = 0.4
_TITLE_SCALE = 0.45
_JPEG_QUALITY = 82
_LETTER_PX = 7.6
"""Mean width of a letter at the captions' scale, for line breaks and cuts."""

SUFFIXES = (".png", ".jpg", ".jpeg")


def draw_sheet(
    pictures: Sequence[ColourImage], captions: Sequence[str], columns: int, title: str = ""
) -> ColourImage:
    """Pictures in rows, each with its caption underneath.

    Args:
        pictures: N RGB uint8 (h, w, 3); sizes may differ. Longer sides than 400 px are shrunk to
            that.
        captions: N texts; what is too long for its picture is cut.
        columns: pictures a row, at least 1.
        title: written above all, broken into lines.

    Returns:
        RGB uint8; just the title where N is 0.
    """
    shown = [_shrunk(picture) for picture in pictures]
    cell_w = max([_MIN_CELL_PX, *(picture.shape[1] for picture in shown)])
    width = _GAP_PX + min(columns, max(1, len(shown))) * (cell_w + _GAP_PX)
    lines = textwrap.wrap(title, max(20, int(width / _LETTER_PX))) if title else []
    rows = [shown[start : start + columns] for start in range(0, len(shown), columns)]
    tops, top = [], _GAP_PX + len(lines) * _LINE_PX
    for row in rows:
        tops.append(top)
        top += max(picture.shape[0] for picture in row) + _CAPTION_PX + _GAP_PX
    sheet = np.full((top + _GAP_PX, width, 3), _PAPER, dtype=np.uint8)
    for number, line in enumerate(lines):
        _write(sheet, line, (_GAP_PX, _GAP_PX + (number + 1) * _LINE_PX - 6), _TITLE_SCALE)
    for number, picture in enumerate(shown):
        row_number, column = divmod(number, columns)
        left = _GAP_PX + column * (cell_w + _GAP_PX)
        height = picture.shape[0]
        sheet[tops[row_number] : tops[row_number] + height, left : left + picture.shape[1]] = (
            picture
        )
        below = tops[row_number] + max(one.shape[0] for one in rows[row_number])
        caption = captions[number][: int(cell_w / _LETTER_PX * 1.1)]
        _write(sheet, caption, (left, below + _CAPTION_PX - 5), _CAPTION_SCALE)
    return sheet


def check_sheet_path(path: Path) -> None:
    """Refuse an output whose format is not one of a contact sheet's, before any work.

    Raises:
        ConfigError: names the formats.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{path}: must end in one of {', '.join(SUFFIXES)}; choose another name")


def write_sheet(path: Path, sheet: npt.NDArray[np.uint8]) -> None:
    """Write a sheet as PNG or JPEG, by its suffix, atomically.

    Args:
        path: see `check_sheet_path`; its folder is made if absent.
        sheet: RGB uint8 (h, w, 3).

    Raises:
        ConfigError: for another suffix, or if the file cannot be written.
    """
    check_sheet_path(path)
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    _, data = cv2.imencode(path.suffix.lower(), np.ascontiguousarray(sheet[..., ::-1]), quality)
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.tobytes())


def _shrunk(picture: ColourImage) -> ColourImage:
    scale = MAX_CELL_PX / max(picture.shape[:2])
    if scale >= 1:
        return picture
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _write(sheet: ColourImage, text: str, corner_xy: tuple[int, int], scale: float) -> None:
    """Text from its lower left corner; OpenCV's font knows ASCII only."""
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(sheet, plain, corner_xy, _FONT, scale, _INK, 1, cv2.LINE_AA)
