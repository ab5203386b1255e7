"""How one mitochondrion grows: a centre line inside a cell profile, thickened and trimmed."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mito_instance.synthetic.cells import Cells
from mito_instance.synthetic.fields import FloatImage, smooth_noise

BoolMask = npt.NDArray[np.bool_]
Points = npt.NDArray[np.float64]

MIN_AREA_PX = 25
CLEARANCE_NM = 26.0  # cytoplasm between a mitochondrion and the border of its profile
MIN_RADIUS_NM = 70.0


@dataclass(frozen=True, slots=True)
class Mitochondrion:
    """One shape on the canvas.

    Args:
        x: canvas column of the mask's first pixel.
        y: canvas row of the mask's first pixel.
        mask: bool (h, w), one 4-connected component of at least 25 px; its border runs along
            the middle of the outer membrane.
        axis_nm: float32 (h, w), distance to the centre line.
        arc_nm: float32 (h, w), position along the centre line.
    """

    x: int
    y: int
    mask: BoolMask
    axis_nm: FloatImage
    arc_nm: FloatImage

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the canvas that ``mask`` covers."""
        height, width = self.mask.shape
        return slice(self.y, self.y + height), slice(self.x, self.x + width)


def grow_shape(
    rng: np.random.Generator,
    cells: Cells,
    nm: float,
    start_xy: tuple[int, int],
    radius_nm: float,
    heading: float,
    length_nm: float,
) -> Mitochondrion | None:
    """Grow a centre line from a point, thicken it, and trim it to its cell profile.

    Args:
        rng: source of randomness.
        cells: the profiles; the shape stays in the one that holds the point.
        nm: edge length of one pixel in nanometres.
        start_xy: middle of the centre line, in canvas pixels.
        radius_nm: half the width, before swellings and trimming.
        heading: direction of the centre line in radians.
        length_nm: length of the centre line; a long one may branch.

    Returns:
        The shape, or None when the room is too small.
    """
    line = _walk(rng, cells, nm, start_xy, radius_nm, heading, length_nm / 2)
    back = _walk(rng, cells, nm, start_xy, radius_nm, heading + np.pi, length_nm / 2)
    line = np.vstack([back[::-1], line[1:]])
    arc = np.arange(len(line)) * _step_nm(nm)
    if length_nm > 5 * radius_nm and rng.random() < 0.35:
        root = int(rng.integers(len(line) // 4, 3 * len(line) // 4 + 1))
        side = heading + rng.choice([-1.0, 1.0]) * rng.uniform(0.8, 1.4)
        xy = (int(line[root, 0]), int(line[root, 1]))
        branch = _walk(rng, cells, nm, xy, radius_nm, side, rng.uniform(2, 5) * radius_nm)
        line = np.vstack([line, branch])
        arc = np.append(arc, arc[root] + np.arange(len(branch)) * _step_nm(nm))
    reach = int(np.ceil(1.5 * radius_nm / nm)) + 2
    height, width = cells.labels.shape
    left, top = np.maximum(np.floor(line.min(axis=0)).astype(int) - reach, 0).tolist()
    right = min(width, int(line[:, 0].max()) + reach)
    bottom = min(height, int(line[:, 1].max()) + reach)
    rows, columns = np.mgrid[top:bottom, left:right].astype(np.float32)
    axis = np.full(rows.shape, np.inf, dtype=np.float32)
    nearest = np.zeros(rows.shape, dtype=np.int32)
    for number, (x, y) in enumerate(line.astype(np.float32)):
        distance = (columns - x) ** 2 + (rows - y) ** 2
        closer = distance < axis
        axis[closer] = distance[closer]
        nearest[closer] = number
    axis_nm = np.sqrt(axis) * np.float32(nm)
    box_hw = (bottom - top, right - left)
    swelling = 1 + 0.13 * smooth_noise(rng, box_hw, 1.6 * radius_nm / nm)
    swelling += 0.04 * smooth_noise(rng, box_hw, 0.5 * radius_nm / nm)
    window = slice(top, bottom), slice(left, right)
    home = cells.labels[window] == cells.labels[start_xy[1], start_xy[0]]
    mask = (axis_nm < radius_nm * np.clip(swelling, 0.6, 1.45)) & home
    trimmed = mask & (cells.depth_nm[window] > CLEARANCE_NM)
    mask = largest_part(trimmed, 0.55 * radius_nm / nm)  # round the corners that trimming left
    if int(mask.sum()) * nm**2 < 0.6 * np.pi * MIN_RADIUS_NM**2 or mask.sum() < MIN_AREA_PX:
        return None
    side_nm = (columns - line[nearest, 0]) * np.cos(heading + np.pi / 2)
    side_nm = side_nm + (rows - line[nearest, 1]) * np.sin(heading + np.pi / 2)
    signed_nm = np.where(side_nm < 0, -axis_nm, axis_nm).astype(np.float32)
    beyond_nm = (columns - line[nearest, 0]) * np.cos(heading)
    beyond_nm = (beyond_nm + (rows - line[nearest, 1]) * np.sin(heading)) * nm
    arc_nm = (arc[nearest] + beyond_nm).astype(np.float32)
    return Mitochondrion(left, top, mask, signed_nm, arc_nm)


def _step_nm(nm: float) -> float:
    """Spacing of the points on a centre line: fine enough that no scallops show."""
    return max(15.0, nm)


def _walk(
    rng: np.random.Generator,
    cells: Cells,
    nm: float,
    start_xy: tuple[int, int],
    radius_nm: float,
    heading: float,
    length_nm: float,
) -> Points:
    """Points (N, 2) as x, y of a path that bends and steers away from membranes."""
    height, width = cells.labels.shape
    step_px = _step_nm(nm) / nm
    home = cells.labels[start_xy[1], start_xy[0]]
    points = [np.array(start_xy, dtype=np.float64)]
    bend = rng.normal(0, 0.02)
    for _ in range(int(length_nm / _step_nm(nm))):
        bend = 0.9 * bend + rng.normal(0, 0.012)
        best: tuple[float, float, Points] | None = None
        for turn in (0.0, -0.22, 0.22):
            angle = heading + bend + turn
            candidate = points[-1] + step_px * np.array([np.cos(angle), np.sin(angle)])
            x, y = int(candidate[0]), int(candidate[1])
            if not (0 <= x < width and 0 <= y < height) or cells.labels[y, x] != home:
                continue
            room_nm = min(float(cells.depth_nm[y, x]), radius_nm + CLEARANCE_NM) - 40 * abs(turn)
            if best is None or room_nm > best[0]:
                best = (room_nm, angle, candidate)
        if best is None or best[0] < 0.5 * radius_nm + CLEARANCE_NM:
            break
        heading = best[1]
        points.append(best[2])
    return np.array(points)


def largest_part(mask: BoolMask, opening_px: float) -> BoolMask:
    """The largest 4-connected component after an opening that removes thin spurs."""
    size = 2 * max(1, round(opening_px)) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    padded = np.pad(mask.astype(np.uint8), size)
    opened = cv2.morphologyEx(padded, cv2.MORPH_OPEN, kernel)[size:-size, size:-size]
    n_labels, labels, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=4)
    if n_labels == 1:
        return np.zeros(mask.shape, dtype=bool)
    return np.asarray(labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()))
