"""Mitochondria: shapes that grow inside one cell profile, and how their inside looks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mito_instance.synthetic.cells import Cells
from mito_instance.synthetic.fields import FloatImage, smooth_noise

BoolMask = npt.NDArray[np.bool_]
Points = npt.NDArray[np.float64]

MIN_AREA_PX = 25
_CLEARANCE_NM = 26.0
_MIN_RADIUS_NM = 70.0


@dataclass(frozen=True, slots=True)
class Mitochondrion:
    """One shape on the canvas.

    Args:
        x: canvas column of the mask's first pixel.
        y: canvas row of the mask's first pixel.
        mask: bool (h, w), one 4-connected component of at least 25 px, outer membrane included.
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


def place_mitochondria(
    rng: np.random.Generator,
    cells: Cells,
    nm: float,
    *,
    count: int,
    margin_px: int,
    touching_fraction: float,
) -> list[Mitochondrion]:
    """Place up to ``count`` mitochondria that do not overlap; some pairs share a border.

    Args:
        rng: source of randomness.
        cells: the profiles that they live in.
        nm: edge length of one pixel in nanometres.
        count: how many to place inside the picture; fewer when there is no room.
        margin_px: width of the canvas rim that is cut off later; a shape that would leave a
            piece under 25 px inside the picture is not placed.
        touching_fraction: share of them, in [0, 1], that is placed against another.

    Returns:
        The shapes, in the order of placing; empty for ``count`` 0.
    """
    placed: list[Mitochondrion] = []
    if count == 0:
        return placed
    occupied = np.zeros(cells.labels.shape, dtype=np.uint8)
    n_inside = 0
    for _ in range(count * 12):
        if n_inside >= count:
            break
        touching = bool(placed) and rng.random() < touching_fraction * 2.0
        grow = _grow_against if touching else _grow_alone
        shape = grow(rng, cells, nm, placed, occupied)
        if shape is None:
            continue
        pieces = list(pieces_inside(shape, margin_px, cells.labels.shape))
        if any(int(piece.sum()) < MIN_AREA_PX for _, _, piece in pieces):
            continue
        placed.append(shape)
        occupied[shape.window] |= shape.mask.astype(np.uint8)
        n_inside += len(pieces)
    return placed


def pieces_inside(
    shape: Mitochondrion, margin_px: int, canvas_hw: tuple[int, ...]
) -> Iterator[tuple[int, int, BoolMask]]:
    """Parts of a shape that lie in the picture, as picture column, row and bool mask.

    A shape that the picture's edge cuts in two is two instances of that picture.
    """
    top, left = max(0, margin_px - shape.y), max(0, margin_px - shape.x)
    bottom = min(shape.mask.shape[0], canvas_hw[0] - margin_px - shape.y)
    right = min(shape.mask.shape[1], canvas_hw[1] - margin_px - shape.x)
    if bottom <= top or right <= left:
        return
    inside = shape.mask[top:bottom, left:right].astype(np.uint8)
    n_labels, labels, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=4)
    for number in range(1, n_labels):
        x, y, width, height = stats[number, :4].tolist()
        yield (
            shape.x + left + x - margin_px,
            shape.y + top + y - margin_px,
            labels[y : y + height, x : x + width] == number,
        )


def draw_mitochondrion(
    rng: np.random.Generator,
    canvas: FloatImage,
    texture: FloatImage,
    shape: Mitochondrion,
    nm: float,
    *,
    matrix_grey: float,
    membrane_grey: float,
) -> None:
    """Paint one mitochondrion into ``canvas``: two membranes, a dark matrix, cristae.

    Args:
        rng: source of randomness.
        canvas: float32 (H, W), changed inside the mask only.
        texture: float32 (H, W) with standard deviation 1.
        shape: what to paint.
        nm: edge length of one pixel in nanometres.
        matrix_grey: grey level of the matrix.
        membrane_grey: grey level of the outer membrane.
    """
    mask_hw = (shape.mask.shape[0], shape.mask.shape[1])
    padded = np.pad(shape.mask.astype(np.uint8), 1)
    depth_px = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1] - 0.5
    depth_nm = depth_px * nm

    period_nm = rng.uniform(34.0, 48.0)
    transverse = rng.random() < 0.35
    tilt = rng.uniform(-0.35, 0.35)
    first, second = (shape.arc_nm, shape.axis_nm) if transverse else (shape.axis_nm, shape.arc_nm)
    if not transverse and rng.random() < 0.3:
        first = np.asarray(depth_nm, dtype=np.float32)  # cristae that follow the envelope
    phase = (first + tilt * second) / period_nm + 0.55 * smooth_noise(rng, mask_hw, 70.0 / nm)
    wave = np.sin(2 * np.pi * phase)
    patches = np.clip(0.65 + 0.5 * smooth_noise(rng, mask_hw, 90.0 / nm), 0.1, 1.3)
    grey = matrix_grey + rng.normal(0, 4) + 9.0 * texture[shape.window]
    grey = grey + rng.uniform(24.0, 46.0) * patches * np.where(wave > 0, wave, 0.8 * wave)

    inner = np.clip(0.75 + 0.2 * smooth_noise(rng, mask_hw, 100.0 / nm), 0.2, 1.0)
    rim = np.maximum(
        np.exp(-0.5 * ((depth_nm - 8.0) / 7.5) ** 2),
        inner * np.exp(-0.5 * ((depth_nm - 25.0) / 6.5) ** 2),
    )
    grey = grey * (1 - rim) + membrane_grey * rim
    canvas[shape.window][shape.mask] = grey[shape.mask]


def _grow_alone(
    rng: np.random.Generator,
    cells: Cells,
    nm: float,
    placed: list[Mitochondrion],
    occupied: npt.NDArray[np.uint8],
) -> Mitochondrion | None:
    """A shape that keeps its distance from all others, or None when the place is taken."""
    radius_nm = float(np.clip(rng.lognormal(np.log(125.0), 0.3), _MIN_RADIUS_NM, 260.0))
    for _ in range(30):
        y, x = (int(rng.integers(length)) for length in cells.labels.shape)
        if cells.inner_radius_nm[cells.labels[y, x]] < _MIN_RADIUS_NM + _CLEARANCE_NM:
            continue
        depth_nm = float(cells.depth_nm[y, x])
        if depth_nm < 0.7 * _MIN_RADIUS_NM + _CLEARANCE_NM:
            continue
        radius_nm = min(radius_nm, max(_MIN_RADIUS_NM, 1.1 * (depth_nm - _CLEARANCE_NM)))
        shape = _grow(rng, cells, nm, (x, y), radius_nm, rng.uniform(0, 2 * np.pi))
        if shape is None:
            return None
        gap = 2 * max(1, round(15.0 / nm)) + 1
        around = cv2.dilate(np.pad(shape.mask.astype(np.uint8), gap), np.ones((gap, gap), np.uint8))
        rows, columns = shape.window
        near = np.pad(occupied, gap)[
            rows.start : rows.stop + 2 * gap, columns.start : columns.stop + 2 * gap
        ]
        return None if bool((around & near).any()) else shape
    return None


def _grow_against(
    rng: np.random.Generator,
    cells: Cells,
    nm: float,
    placed: list[Mitochondrion],
    occupied: npt.NDArray[np.uint8],
) -> Mitochondrion | None:
    """A shape that shares a border with one already placed, or None when there is no room."""
    partner = placed[int(rng.integers(len(placed)))]
    rows, columns = np.nonzero(partner.mask)
    centre = np.array([columns.mean() + partner.x, rows.mean() + partner.y])
    edge = partner.mask & ~cv2.erode(np.pad(partner.mask.astype(np.uint8), 1), np.ones((3, 3)))[
        1:-1, 1:-1
    ].astype(bool)
    edge_rows, edge_columns = np.nonzero(edge)
    pick = int(rng.integers(len(edge_rows)))
    point = np.array([edge_columns[pick] + partner.x, edge_rows[pick] + partner.y])
    outward = (point - centre) / max(float(np.hypot(*(point - centre))), 1.0)
    radius_nm = float(np.clip(rng.lognormal(np.log(110.0), 0.2), _MIN_RADIUS_NM, 200.0))
    x, y = np.rint(point + outward * 0.9 * radius_nm / nm).astype(int).tolist()
    if not (0 <= y < cells.labels.shape[0] and 0 <= x < cells.labels.shape[1]):
        return None
    py, px = int(point[1]), int(point[0])
    if cells.labels[y, x] != cells.labels[py, px] or cells.depth_nm[y, x] < _CLEARANCE_NM + 40.0:
        return None
    heading = float(np.arctan2(outward[1], outward[0])) + np.pi / 2
    shape = _grow(rng, cells, nm, (x, y), radius_nm, heading)
    if shape is None:
        return None
    free = _largest(shape.mask & (occupied[shape.window] == 0), 15.0 / nm)
    around_partner = cv2.dilate(occupied, np.ones((3, 3), np.uint8))[shape.window]
    shared_px = int((free & (around_partner > 0)).sum())
    if free.sum() < 0.55 * shape.mask.sum() or shared_px < 60.0 / nm:
        return None
    return Mitochondrion(shape.x, shape.y, free, shape.axis_nm, shape.arc_nm)


def _grow(
    rng: np.random.Generator,
    cells: Cells,
    nm: float,
    start_xy: tuple[int, int],
    radius_nm: float,
    heading: float,
) -> Mitochondrion | None:
    """Grow a centre line from a point, thicken it, and trim it to its cell profile."""
    length_nm = radius_nm * float(
        rng.choice(
            [rng.uniform(0.1, 1.2), rng.uniform(1.5, 6.0), rng.uniform(7.0, 16.0)],
            p=[0.45, 0.42, 0.13],
        )
    )
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
    trimmed = mask & (cells.depth_nm[window] > _CLEARANCE_NM)
    mask = _largest(trimmed, 0.55 * radius_nm / nm)  # round the corners that trimming left
    if int(mask.sum()) * nm**2 < 0.6 * np.pi * _MIN_RADIUS_NM**2 or mask.sum() < MIN_AREA_PX:
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
            room_nm = min(float(cells.depth_nm[y, x]), radius_nm + _CLEARANCE_NM) - 40 * abs(turn)
            if best is None or room_nm > best[0]:
                best = (room_nm, angle, candidate)
        if best is None or best[0] < 0.5 * radius_nm + _CLEARANCE_NM:
            break
        heading = best[1]
        points.append(best[2])
    return np.array(points)


def _largest(mask: BoolMask, opening_px: float) -> BoolMask:
    """The largest 4-connected component after an opening that removes thin spurs."""
    size = 2 * max(1, round(opening_px)) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    padded = np.pad(mask.astype(np.uint8), size)
    opened = cv2.morphologyEx(padded, cv2.MORPH_OPEN, kernel)[size:-size, size:-size]
    n_labels, labels, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=4)
    if n_labels == 1:
        return np.zeros(mask.shape, dtype=bool)
    return np.asarray(labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()))
