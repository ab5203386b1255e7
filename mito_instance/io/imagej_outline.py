"""Area selections of ImageJ as closed outlines, each kind as ImageJ itself rebuilds it."""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt
import roifile

from mito_instance.io.imagej_path import path_rings
from mito_instance.io.imagej_spline import closed_spline, control_length
from mito_instance.masks.polygons import (
    Ring,
    ellipse_outline,
    rectangle_outline,
    rounded_rectangle_outline,
)

MAX_SIDE_PX = 1_000_000

_TYPES = roifile.ROI_TYPE
_SUBTYPES = roifile.ROI_SUBTYPE
_OUTLINES = {
    _TYPES.POLYGON: "polygon",
    _TYPES.FREEHAND: "freehand",
    _TYPES.TRACED: "traced",
}
_N_ELLIPSE_VERTICES = 72
_FIRST_VERSION_WITH_OPTIONS = 218


def roi_outline(roi: roifile.ImagejRoi, data: bytes) -> tuple[str, tuple[Ring, ...]]:
    """Kind and rings of an area selection.

    Args:
        roi: the decoded file.
        data: its bytes, for a field that ``roi`` does not give as ImageJ reads it.

    Returns:
        polygon, freehand, traced, spline, ellipse, rotated rectangle, rectangle, oval or
        composite; and closed outlines, float64 (N, 2) x, y in pixel corners, even-odd where
        they overlap.

    Raises:
        ValueError: if the kind is unknown, or the file's numbers make no sense.
    Source: ImageJ 1.53t, ``RoiDecoder`` (compared pixel by pixel in development).
    """
    if roi.composite:
        if roi.multi_coordinates is None:
            raise ValueError("a composite of another type than rectangle")
        return "composite", tuple(path_rings(roi.multi_coordinates))
    if roi.roitype in _OUTLINES:
        return _vertex_outline(roi, data)
    if roi.roitype not in (_TYPES.RECT, _TYPES.OVAL):
        raise ValueError(f"unknown type {roi.roitype.value}")
    x, y, width, height = _box(roi)
    if roi.roitype == _TYPES.OVAL:
        return "oval", (ellipse_outline(x, y, width, height),)
    if roi.rounded_rect_arc_size > 0:
        arc = roi.rounded_rect_arc_size
        return "rectangle", (rounded_rectangle_outline(x, y, width, height, arc),)
    return "rectangle", (rectangle_outline(x, y, width, height),)


def _vertex_outline(roi: roifile.ImagejRoi, data: bytes) -> tuple[str, tuple[Ring, ...]]:
    """Kind and ring of a selection that lists its vertices."""
    if roi.roitype == _TYPES.FREEHAND and roi.subtype == _SUBTYPES.ELLIPSE:
        return "ellipse", (_in_32_bit(_ellipse(roi, _aspect_or_width(data))),)
    if roi.roitype == _TYPES.FREEHAND and roi.subtype == _SUBTYPES.ROTATED_RECT:
        return "rotated rectangle", (_in_32_bit(_rotated(roi, _aspect_or_width(data))),)
    is_spline = roi.options & roifile.ROI_OPTIONS.SPLINE_FIT
    if is_spline and roi.version >= _FIRST_VERSION_WITH_OPTIONS:
        nodes = np.asarray(roi.coordinates(), dtype=np.float32)
        length_px = control_length(
            nodes, _OUTLINES[roi.roitype], is_whole=roi.subpixel_coordinates is None
        )
        return "spline", (closed_spline(nodes, length_px),)
    points = np.asarray(roi.coordinates())
    if roi.subpixel_coordinates is None or not len(points):
        return _OUTLINES[roi.roitype], (points.astype(np.float64),)
    # ImageJ keeps 32-bit offsets from the corner of the vertices.
    points = points.astype(np.float32)
    corner = points.min(axis=0)
    ring = (points - corner).astype(np.float64) + corner.astype(np.float64)
    return _OUTLINES[roi.roitype], (ring,)


def _in_32_bit(points_xy: npt.NDArray[np.float64]) -> Ring:
    """Vertices that ImageJ computes itself, rounded as it does: 32-bit offsets from its box."""
    if not np.isfinite(points_xy).all():
        raise ValueError("a coordinate is not a finite number")
    points = points_xy.astype(np.float32)
    corner = np.floor(points.min(axis=0))
    ring: Ring = (points - corner).astype(np.float64) + corner.astype(np.float64)
    return ring


def _aspect_or_width(data: bytes) -> float:
    """Aspect ratio of an ellipse or width of a rotated rectangle."""
    value: float = struct.unpack(">f", data[52:56])[0]
    return value


def _ellipse(roi: roifile.ImagejRoi, aspect: float) -> npt.NDArray[np.float64]:
    """Vertices of an ellipse, from the ends of its major axis."""
    angles = np.arange(_N_ELLIPSE_VERTICES) * (2.0 * np.pi / _N_ELLIPSE_VERTICES)
    along = np.array([roi.x2 - roi.x1, roi.y2 - roi.y1]) / 2.0
    across = np.array([-along[1], along[0]]) * aspect
    middle = np.array([roi.x1 + roi.x2, roi.y1 + roi.y2]) / 2.0
    points: npt.NDArray[np.float64] = (
        middle + np.outer(np.cos(angles), along) + np.outer(np.sin(angles), across)
    )
    return points


def _rotated(roi: roifile.ImagejRoi, width_px: float) -> npt.NDArray[np.float64]:
    """Corners of a rectangle from its middle line and its width."""
    start, end = np.array([roi.x1, roi.y1]), np.array([roi.x2, roi.y2])
    length_px = float(np.hypot(*(end - start)))
    if length_px == 0:
        raise ValueError("a rotated rectangle of length 0")
    along = (end - start) / length_px
    across = np.array([-along[1], along[0]]) * (width_px / 2.0)
    return np.stack([start + across, start - across, end - across, end + across])


def _box(roi: roifile.ImagejRoi) -> tuple[int, int, int, int]:
    """x, y, width, height of a rectangle or oval, in the whole pixels that ImageJ uses."""
    if roi.subpixelrect:
        # The header's 16-bit box wraps beyond 65,535 px; the floats do not.
        x, y = int(roi.xd), int(roi.yd)
        width, height = int(np.ceil(roi.widthd)), int(np.ceil(roi.heightd))
    else:
        x, y = roi.left, roi.top
        width, height = roi.right - roi.left, roi.bottom - roi.top
    if not (1 <= width <= MAX_SIDE_PX and 1 <= height <= MAX_SIDE_PX):
        raise ValueError(f"box of {width} x {height} px")
    return x, y, width, height
