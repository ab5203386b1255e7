"""Mitochondria: shapes that grow inside one cell profile, and how their inside looks."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from mito_instance.synthetic.cells import Cells
from mito_instance.synthetic.fields import FloatImage, smooth_noise
from mito_instance.synthetic.growth import (
    CLEARANCE_NM,
    MIN_AREA_PX,
    MIN_RADIUS_NM,
    BoolMask,
    Mitochondrion,
    grow_shape,
    largest_part,
)


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
    single: list[Mitochondrion] = []  # those that may still get a partner
    if count == 0:
        return placed
    occupied = np.zeros(cells.labels.shape, dtype=np.uint8)
    n_inside = n_touching = 0
    for _ in range(count * 12):
        if n_inside >= count:
            break
        touching = bool(single) and n_touching < touching_fraction * count and rng.random() < 0.5
        partner = int(rng.integers(len(single))) if touching else -1
        if touching:
            shape = _grow_against(rng, cells, nm, single[partner], occupied)
        else:
            shape = _grow_alone(rng, cells, nm, occupied)
        if shape is None:
            continue
        pieces = list(pieces_inside(shape, margin_px, cells.labels.shape))
        if any(int(piece.sum()) < MIN_AREA_PX for _, _, piece in pieces):
            continue
        placed.append(shape)
        if touching:
            single.pop(partner)
            n_touching += 1
        else:
            single.append(shape)
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
    grey = grey + rng.uniform(14.0, 36.0) * patches * np.where(wave > 0, wave, 0.8 * wave)

    inner = np.clip(0.75 + 0.2 * smooth_noise(rng, mask_hw, 100.0 / nm), 0.2, 1.0)
    rim = np.maximum(
        outer_membrane(depth_nm),
        inner * np.exp(-0.5 * ((depth_nm - 17.0) / 6.5) ** 2),
    )
    grey = grey * (1 - rim) + membrane_grey * rim
    canvas[shape.window][shape.mask] = grey[shape.mask]


def outer_membrane(distance_nm: FloatImage) -> FloatImage:
    """How much of a pixel the outer membrane covers, by its distance from the mask's border.

    The border runs along the middle of the membrane, where annotators draw it.

    Args:
        distance_nm: distance in nanometres, inside or outside.

    Returns:
        float32 in [0, 1].
    """
    return np.asarray(np.exp(-0.5 * (distance_nm / 8.0) ** 2), dtype=np.float32)


def _grow_alone(
    rng: np.random.Generator,
    cells: Cells,
    nm: float,
    occupied: npt.NDArray[np.uint8],
) -> Mitochondrion | None:
    """A shape that keeps its distance from all others, or None when the place is taken."""
    radius_nm = float(np.clip(rng.lognormal(np.log(125.0), 0.3), MIN_RADIUS_NM, 260.0))
    for _ in range(30):
        y, x = (int(rng.integers(length)) for length in cells.labels.shape)
        if cells.inner_radius_nm[cells.labels[y, x]] < MIN_RADIUS_NM + CLEARANCE_NM:
            continue
        depth_nm = float(cells.depth_nm[y, x])
        if depth_nm < 0.7 * MIN_RADIUS_NM + CLEARANCE_NM:
            continue
        radius_nm = min(radius_nm, max(MIN_RADIUS_NM, 1.1 * (depth_nm - CLEARANCE_NM)))
        length_nm = radius_nm * float(
            rng.choice(
                [rng.uniform(0.1, 1.2), rng.uniform(1.5, 6.0), rng.uniform(7.0, 16.0)],
                p=[0.45, 0.42, 0.13],
            )
        )
        heading = rng.uniform(0, 2 * np.pi)
        shape = grow_shape(rng, cells, nm, (x, y), radius_nm, heading, length_nm)
        if shape is None:
            return None
        gap = 2 * max(1, round(15.0 / nm)) + 1
        around = cv2.dilate(np.pad(shape.mask.astype(np.uint8), gap), np.ones((gap, gap), np.uint8))
        rows, columns = shape.window
        near = np.pad(occupied, gap)[
            rows.start : rows.stop + 2 * gap, columns.start : columns.stop + 2 * gap
        ]
        return None if bool(near[around > 0].any()) else shape
    return None


def _grow_against(
    rng: np.random.Generator,
    cells: Cells,
    nm: float,
    partner: Mitochondrion,
    occupied: npt.NDArray[np.uint8],
) -> Mitochondrion | None:
    """A shape that shares a border with the partner, or None when there is no room."""
    rows, columns = np.nonzero(partner.mask)
    centre = np.array([columns.mean() + partner.x, rows.mean() + partner.y])
    edge = partner.mask & ~cv2.erode(np.pad(partner.mask.astype(np.uint8), 1), np.ones((3, 3)))[
        1:-1, 1:-1
    ].astype(bool)
    edge_rows, edge_columns = np.nonzero(edge)
    pick = int(rng.integers(len(edge_rows)))
    point = np.array([edge_columns[pick] + partner.x, edge_rows[pick] + partner.y])
    outward = (point - centre) / max(float(np.hypot(*(point - centre))), 1.0)
    radius_nm = float(np.clip(rng.lognormal(np.log(110.0), 0.2), MIN_RADIUS_NM, 200.0))
    x, y = np.rint(point + outward * 0.9 * radius_nm / nm).astype(int).tolist()
    if not (0 <= y < cells.labels.shape[0] and 0 <= x < cells.labels.shape[1]):
        return None
    py, px = int(point[1]), int(point[0])
    if cells.labels[y, x] != cells.labels[py, px] or cells.depth_nm[y, x] < CLEARANCE_NM + 40.0:
        return None
    heading = float(np.arctan2(outward[1], outward[0])) + np.pi / 2
    length_nm = radius_nm * rng.uniform(0.1, 3.5)
    shape = grow_shape(rng, cells, nm, (x, y), radius_nm, heading, length_nm)
    if shape is None:
        return None
    free = largest_part(shape.mask & (occupied[shape.window] == 0), 15.0 / nm)
    around_partner = cv2.dilate(occupied, np.ones((3, 3), np.uint8))[shape.window]
    shared_px = int((free & (around_partner > 0)).sum())
    if free.sum() < 0.55 * shape.mask.sum() or shared_px < 60.0 / nm:
        return None
    return Mitochondrion(shape.x, shape.y, free, shape.axis_nm, shape.arc_nm)
