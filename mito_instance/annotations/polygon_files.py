"""Shapes of Labelme JSON and YOLO segmentation files, as outlines in pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mito_instance.annotations.findings import printable
from mito_instance.errors import AnnotationError
from mito_instance.io.json_file import read_json
from mito_instance.masks.polygons import Ring

MAX_TEXT_BYTES = 256 * 1024**2
_MAX_PX = 1e7
_MAX_NORMALISED = 2.0
_AREA_TYPES = ("polygon", "rectangle", "circle")
_OTHER_TYPES = ("line", "linestrip", "point", "points")


@dataclass(frozen=True, slots=True)
class Shape:
    """One outlined area.

    Args:
        where: file and shape, for messages.
        label: the class, as the file names it.
        group: shapes of one group are one instance; ``""`` for none.
        ring: closed outline (N, 2) in pixel corners.
    """

    where: str
    label: str
    group: str
    ring: Ring


class FailedShape(NamedTuple):
    """A shape that cannot be used.

    Args:
        label: its class; None where it is not known.
        reason: file, shape and why.
    """

    label: str | None
    reason: str


@dataclass(slots=True)
class Shapes:
    """What one file holds.

    Args:
        shapes: the areas.
        image_hw: height and width in pixels that the file states, or None.
        skipped: number of shapes that are no area, by type.
        failures: the shapes that cannot be used.
    """

    shapes: list[Shape] = field(default_factory=list)
    image_hw: tuple[int, int] | None = None
    skipped: dict[str, int] = field(default_factory=dict)
    failures: list[FailedShape] = field(default_factory=list)


def read_labelme(path: Path) -> Shapes:
    """Shapes of a Labelme JSON.

    Labelme's points are pixel corners: pixel (0, 0) lies between 0 and 1. Polygons, rectangles
    (two or four corners) and circles (centre and a point on the edge) are areas; lines and
    points are counted in ``skipped``. Shapes of one label and one ``group_id`` are one
    instance. Shapes of type ``mask`` are not read and reported as failures.

    Raises:
        AnnotationError: if the file is no Labelme JSON.
    """
    document = read_json(path, "Labelme JSON")
    entries = document.get("shapes") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise AnnotationError(f"{path}: Labelme JSON needs a list 'shapes'; give a Labelme JSON")
    height, width = document.get("imageHeight"), document.get("imageWidth")
    found = Shapes(image_hw=(height, width) if type(height) is int and type(width) is int else None)
    for position, entry in enumerate(entries):
        where = f"{path}: shapes[{position}]"
        if not isinstance(entry, dict):
            reason = f"{where}: must be an object, got {printable(entry, 40)}"
            found.failures.append(FailedShape(None, reason))
            continue
        kind = "polygon" if entry.get("shape_type") is None else entry["shape_type"]
        if kind in _OTHER_TYPES:
            found.skipped[kind] = found.skipped.get(kind, 0) + 1
            continue
        label = printable(entry.get("label"))
        try:
            if kind not in _AREA_TYPES:
                raise AnnotationError(
                    f"{where}: shape_type {printable(kind, 40)} is not read; draw a polygon"
                )
            ring = _labelme_ring(kind, entry.get("points"), where)
        except AnnotationError as error:
            found.failures.append(FailedShape(label, str(error)))
            continue
        group = entry.get("group_id")
        found.shapes.append(
            Shape(where, label, "" if group is None else f"{label} {printable(group)}", ring)
        )
    return found


def read_yolo(path: Path, image_hw: tuple[int, int]) -> Shapes:
    """Shapes of a YOLO segmentation file: ``class x1 y1 x2 y2 …`` in each line.

    Coordinates are shares of the image's width and height, 0 at the first pixel's outer edge
    and 1 at the last one's: multiplied by width and height they are pixel corners.

    Args:
        path: the text file; an empty one has no shapes.
        image_hw: height and width of the image in pixels.

    Raises:
        AnnotationError: if the file cannot be read as text.
    """
    found = Shapes()
    try:
        if path.stat().st_size > MAX_TEXT_BYTES:
            raise AnnotationError(f"{path}: must be <= {MAX_TEXT_BYTES} bytes; split the file")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise AnnotationError(
            f"{path}: cannot be read as text ({printable(str(error))}); check the file"
        ) from error
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words:
            continue
        where, label = f"{path}: line {number}", class_number(words[0])
        try:
            ring = _yolo_ring(words[1:], image_hw, where)
        except AnnotationError as error:
            found.failures.append(FailedShape(label, str(error)))
            continue
        found.shapes.append(Shape(where, label, "", ring))
    return found


def class_number(word: str) -> str:
    """A class of YOLO, which some programs write as ``0.0`` or ``0.000000e+00``."""
    try:
        value = float(word)
    except ValueError:
        return printable(word)
    return str(int(value)) if value.is_integer() and abs(value) < 1e9 else printable(word)


def _labelme_ring(kind: str, points: Any, where: str) -> Ring:
    """Outline of a shape that is an area."""
    ring = _checked_points(points, where)
    n_expected = {"rectangle": (2, 4), "circle": (2,)}.get(kind)
    if n_expected and len(ring) not in n_expected:
        raise AnnotationError(
            f"{where}: a {kind} needs {' or '.join(map(str, n_expected))} points, got "
            f"{len(ring)}; draw it anew"
        )
    if kind == "rectangle" and len(ring) == 2:
        (left, top), (right, bottom) = ring
        return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    if kind == "circle":
        radius_px = math.dist(ring[0], ring[1])
        # Chords stay within a twentieth of a pixel of the circle.
        n_corners = int(min(20_000, max(64, 10 * math.sqrt(radius_px))))
        angles = np.arange(n_corners) * (2 * np.pi / n_corners)
        corners = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        return np.asarray(ring[0] + radius_px * corners)
    return ring


def _checked_points(points: Any, where: str) -> Ring:
    """Points (N, 2) that are finite numbers of a plausible size."""
    if not isinstance(points, list) or not all(
        isinstance(point, list) and len(point) == 2 and all(type(x) in (int, float) for x in point)
        for point in points
    ):
        raise AnnotationError(f"{where}: points must be a list of [x, y]; draw the shape anew")
    try:
        ring = np.array(points, dtype=np.float64).reshape(-1, 2)
    except OverflowError:
        ring = np.full((1, 2), np.inf)
    if not (np.abs(ring) <= _MAX_PX).all():  # also refuses NaN
        raise AnnotationError(
            f"{where}: coordinates must lie within {_MAX_PX:g} px; draw the shape anew"
        )
    return ring


def _yolo_ring(words: list[str], image_hw: tuple[int, int], where: str) -> Ring:
    """Outline of one line, in pixels."""
    if len(words) == 4:
        raise AnnotationError(
            f"{where}: holds a box (4 numbers), which has no outline; export segmentation polygons"
        )
    if len(words) < 6 or len(words) % 2:
        raise AnnotationError(
            f"{where}: must hold a class and x, y pairs of >= 3 points, got {len(words)} numbers "
            "after the class; export it again"
        )
    try:
        ring = np.array([float(word) for word in words], dtype=np.float64).reshape(-1, 2)
    except ValueError:
        ring = np.full((1, 2), np.nan)
    if not (np.abs(ring) <= _MAX_NORMALISED).all():
        raise AnnotationError(
            f"{where}: coordinates must be shares of width and height, 0 to 1; export it again"
        )
    return ring * np.array([image_hw[1], image_hw[0]], dtype=np.float64)
