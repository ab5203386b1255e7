"""Spline-fitted selections of ImageJ: control points to the curve that ImageJ draws."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from mito_instance.masks.polygons import Ring

MIN_POINTS = 100
MAX_POINTS = 1_000_000
_PX_A_POINT = 2.0
_OVERLAP_NODES = 7
_MIN_GAP = np.float32(0.001)  # two equal nodes in a row are this far apart along the curve
_CORNER_PX = 2.0 - math.sqrt(2.0)


def closed_spline(nodes_xy: npt.NDArray[np.float32], length_px: float) -> Ring:
    """The curve of a closed spline fit, as the polygon that ImageJ fills.

    A file keeps the control points alone; ImageJ fits the curve anew whenever it opens one. Its
    curve is a cubic spline over the square roots of the distances between nodes, made nearly
    periodic by going on for 7 nodes beyond both ends, and it is sampled at every 2 px of the
    selection's length, at 100 points at least. Numbers are rounded to 32 bit where ImageJ does it.

    Args:
        nodes_xy: float32 (N, 2), N >= 3, x, y in pixel corners.
        length_px: as `control_length` gives it.

    Returns:
        float64 (M, 2), the first point repeated at the end.

    Raises:
        ValueError: if a coordinate is not finite, the selection is longer than 2,000,000 px, or
            nodes are so near to each other that ImageJ finds no curve either.
    Source: behaviour of ImageJ 1.53t (``PolygonRoi.fitSpline``), compared point by point.
    """
    from scipy.interpolate import CubicSpline

    if not np.isfinite(nodes_xy).all():
        raise ValueError("a coordinate is not a finite number")
    n_points = max(int(length_px / _PX_A_POINT), MIN_POINTS)
    if n_points > MAX_POINTS:
        raise ValueError(f"spline of {length_px:.3g} px")
    nodes = (nodes_xy - nodes_xy.min(axis=0)).astype(np.float32)
    steps = _steps(nodes)
    squares = steps[:, 0] * steps[:, 0] + steps[:, 1] * steps[:, 1]
    gaps = np.sqrt(np.sqrt(squares.astype(np.float64))).astype(np.float32)
    gaps = np.maximum(gaps, _MIN_GAP)
    # One by one, as rounding of each sum matters.
    places = np.add.accumulate(np.append(np.float32(0), gaps), dtype=np.float32)
    n_nodes = len(nodes)
    overlap = min(_OVERLAP_NODES, n_nodes)
    numbers = np.arange(-overlap, n_nodes + overlap + 1)
    turn, node = np.divmod(numbers, n_nodes)
    around = places[node] + places[-1] * turn.astype(np.float32)
    if (np.diff(around) <= 0).any():
        raise ValueError("a spline with points too near to each other")
    spline = CubicSpline(
        around.astype(np.float64), nodes[node].astype(np.float64), bc_type="natural"
    )
    samples = np.arange(n_points) * (float(places[-1]) / (n_points - 1))
    curve = spline(samples).astype(np.float32) + nodes_xy.min(axis=0)
    # ImageJ keeps the curve as 32-bit offsets from its own corner.
    low = curve.min(axis=0)
    ring: Ring = (curve - low).astype(np.float64) + low.astype(np.float64)
    return ring


def control_length(nodes_xy: npt.NDArray[np.float32], kind: str, *, is_whole: bool) -> float:
    """Length that ImageJ gives a selection before it fits a curve, in pixels.

    Args:
        nodes_xy: float32 (N, 2), N >= 3, x, y in pixel corners.
        kind: polygon: the sum of the sides; freehand: the same after a running mean of three
            points; traced, and polygons along pixel edges: corners count as diagonals.
        is_whole: whether the file holds whole coordinates only; the length of a traced selection
            with others is not a number for ImageJ, and 0 here.

    Source: ImageJ 1.53t, ``PolygonRoi.getLength``, with whole and with sub-pixel coordinates.
    """
    nodes = nodes_xy - nodes_xy.min(axis=0)
    steps = _steps(nodes).astype(np.float64)
    if kind == "traced":
        return _traced_length(steps) if is_whole else 0.0
    if kind == "polygon" and (steps == 0).any(axis=1).all() and (nodes == np.floor(nodes)).all():
        return _traced_length(steps)
    sides = np.hypot(*steps.T)
    if kind == "freehand":
        means = (nodes[:-2] + nodes[1:-1] + nodes[2:]) / 3.0
        smooth = np.concatenate([nodes[:1], means, nodes[-1:]]).astype(np.float64)
        return float(np.hypot(*np.diff(smooth, axis=0).T).sum() + sides[-1])
    return float(sides.sum())


def _steps(nodes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """From each node to the next, and from the last to the first."""
    steps: npt.NDArray[np.float32] = np.roll(nodes, -1, axis=0) - nodes
    return steps


def _traced_length(steps: npt.NDArray[np.float64]) -> float:
    """Length along the axes, less 2 - √2 for each corner that does not follow a counted one."""
    n_corners, counted = 0, False
    for side in np.roll(np.abs(steps).sum(axis=1), 1).tolist():
        counted = side > 1 or not counted
        n_corners += counted
    return float(np.abs(steps).sum()) - n_corners * _CORNER_PX
