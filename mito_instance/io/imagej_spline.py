"""Spline-fitted selections of ImageJ: control points to the curve that ImageJ draws."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mito_instance.masks.polygons import Ring

MIN_POINTS = 100
MAX_POINTS = 1_000_000
_PX_A_POINT = 2.0
_OVERLAP_NODES = 7


def closed_spline(nodes_xy: npt.NDArray[np.float32]) -> Ring:
    """The curve of a closed spline fit, as the polygon that ImageJ fills.

    A file keeps the control points alone; ImageJ fits the curve anew whenever it opens one. Its
    curve is a cubic spline over the square roots of the distances between nodes, made nearly
    periodic by going on for 7 nodes beyond both ends, and it is sampled at every 2 px of the
    control polygon, at 100 points at least. Numbers are rounded to 32 bit where ImageJ does it.

    Args:
        nodes_xy: float32 (N, 2), N >= 3, x, y in pixel corners.

    Returns:
        float64 (M, 2), the first point repeated at the end.

    Raises:
        ValueError: if a coordinate is not finite, the polygon is longer than 2,000,000 px, or
            neighbouring nodes are equal, where ImageJ finds no curve either.
    Source: behaviour of ImageJ 1.53t (``PolygonRoi.fitSpline``), compared point by point.
    """
    from scipy.interpolate import CubicSpline

    if not np.isfinite(nodes_xy).all():
        raise ValueError("a coordinate is not a finite number")
    corner = nodes_xy.min(axis=0)
    nodes = (nodes_xy - corner).astype(np.float32)
    steps = np.roll(nodes, -1, axis=0) - nodes
    lengths_px = np.hypot(*steps.astype(np.float64).T)
    length_px = float(lengths_px.sum())
    n_points = max(int(length_px / _PX_A_POINT), MIN_POINTS)
    if n_points > MAX_POINTS:
        raise ValueError(f"spline of {length_px:.3g} px")
    gaps = np.sqrt(lengths_px).astype(np.float32)
    if not gaps.all():
        raise ValueError("a spline with two equal points in a row")
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
    curve = spline(samples).astype(np.float32) + corner
    # ImageJ keeps the curve as 32-bit offsets from its own corner.
    low = curve.min(axis=0)
    ring: Ring = (curve - low).astype(np.float64) + low.astype(np.float64)
    return ring
