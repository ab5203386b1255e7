"""Bézier curves to the polygons that Java, and so ImageJ, fills in their place."""

from __future__ import annotations

import itertools
import math

Point = tuple[float, float]

_FLATNESS_PX = 0.01
_MAX_HALVINGS = 10


def flattened(control: list[Point]) -> list[Point]:
    """Points of a curve after its first, near enough for lines between them.

    The curve is halved until its control points lie within 0.01 px of its chord, ten times at
    most. Halving, not even spacing, gives the very vertices that ImageJ fills.

    Args:
        control: 3 or 4 control points: a quadratic or a cubic Bézier curve.

    Raises:
        ValueError: if a coordinate is not finite.
    Source: Java's ``FlatteningPathIterator``, with the flatness of ImageJ's ``ShapeRoi``.
    """
    if not all(math.isfinite(value) for point in control for value in point):
        raise ValueError("a coordinate is not a finite number")
    points: list[Point] = []
    pending = [(control, 0)]
    while pending:
        curve, depth = pending.pop()
        if depth >= _MAX_HALVINGS or _is_flat(curve):
            points.append(curve[-1])
            continue
        first, second = _halved(curve)
        pending += [(second, depth + 1), (first, depth + 1)]
    return points


def _halved(curve: list[Point]) -> tuple[list[Point], list[Point]]:
    """Both halves of a curve (de Casteljau)."""
    first, second = [curve[0]], [curve[-1]]
    while len(curve) > 1:
        curve = [
            ((x_1 + x_2) / 2.0, (y_1 + y_2) / 2.0)
            for (x_1, y_1), (x_2, y_2) in itertools.pairwise(curve)
        ]
        first.append(curve[0])
        second.append(curve[-1])
    return first, second[::-1]


def _is_flat(curve: list[Point]) -> bool:
    """Whether all inner control points are near enough to the chord."""
    return all(_distance_sq(point, curve[0], curve[-1]) < _FLATNESS_PX**2 for point in curve[1:-1])


def _distance_sq(point: Point, start: Point, end: Point) -> float:
    """Squared distance of a point from the line segment between two others."""
    x, y = point[0] - start[0], point[1] - start[1]
    along_x, along_y = end[0] - start[0], end[1] - start[1]
    length_sq = along_x**2 + along_y**2
    share = 0.0 if length_sq == 0 else (x * along_x + y * along_y) / length_sq
    share = min(max(share, 0.0), 1.0)
    return (x - share * along_x) ** 2 + (y - share * along_y) ** 2
