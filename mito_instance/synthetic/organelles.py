"""Everything that is not a mitochondrion: vesicles, tubes, densities, dense bodies, myelin."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from mito_instance.synthetic.cells import Cells
from mito_instance.synthetic.fields import FloatImage, smooth_noise

_SHIFT = 4  # OpenCV's fixed-point bits: sub-pixel positions of small circles


def draw_vesicles(
    rng: np.random.Generator, canvas: FloatImage, cells: Cells, nm: float, grey: float
) -> None:
    """Fill some mid-sized profiles with clusters of 40 nm vesicles, others with a few dots."""
    dark = np.zeros(canvas.shape, dtype=np.float32)
    haze = np.zeros(canvas.shape, dtype=np.float32)
    for number, inner_nm in enumerate(cells.inner_radius_nm.tolist()):
        if inner_nm < 60.0:
            continue
        bouton = 140.0 < inner_nm < 520.0 and rng.random() < 0.4
        inside = (cells.labels == number) & (cells.depth_nm > 36.0)
        rows, columns = np.nonzero(inside)
        if len(rows) == 0:
            continue
        area_um2 = len(rows) * (nm / 1000) ** 2
        n_vesicles = rng.poisson(area_um2 * (620.0 if bouton else 10.0))
        chosen = rng.integers(len(rows), size=n_vesicles)
        points_xy = np.stack([columns[chosen], rows[chosen]], axis=1).astype(np.float64)
        if bouton:
            # Vesicles crowd around one or two points of the bouton.
            crowd = points_xy[: rng.integers(1, 3)]
            if len(crowd):
                away_px = np.min(
                    np.hypot(*(points_xy[:, None] - crowd[None]).transpose(2, 0, 1)), axis=1
                )
                keep = rng.random(n_vesicles) < np.exp(-((away_px * nm / (0.75 * inner_nm)) ** 2))
                points_xy = _spread(points_xy[keep], 33.0 / nm)
        for x, y in points_xy.tolist():
            radius_nm = float(rng.normal(15.0, 2.0)) if bouton else float(rng.uniform(8.0, 22.0))
            _ring(dark, x, y, max(radius_nm, 6.0) / nm, max(1, round(9.0 / nm)))
            if bouton:
                cv2.circle(haze, (int(x), int(y)), max(1, round(26.0 / nm)), (1.0,), -1)
    soft = cv2.GaussianBlur(haze, (0, 0), max(0.5, 10.0 / nm))
    _darken(canvas, np.asarray(0.42 * soft, dtype=np.float32), grey + 25.0)
    _darken(canvas, dark * 0.72, grey)


def draw_tubes(
    rng: np.random.Generator, canvas: FloatImage, cells: Cells, nm: float, grey: float
) -> None:
    """Thin dark-walled tubes and flat cisterns, as endoplasmic reticulum looks in section."""
    height, width = canvas.shape
    walls = np.zeros(canvas.shape, dtype=np.float32)
    lumen = np.zeros(canvas.shape, dtype=np.float32)
    for _ in range(rng.poisson(55 * height * width * nm**2 / 25e6)):
        x, y = float(rng.integers(width)), float(rng.integers(height))
        home = cells.labels[int(y), int(x)]
        if cells.depth_nm[int(y), int(x)] < 70.0 or cells.inner_radius_nm[home] < 150.0:
            continue
        heading = rng.uniform(0, 2 * np.pi)
        points = []
        for _ in range(int(rng.integers(4, 26))):
            column, row = int(x), int(y)
            if not (0 <= column < width and 0 <= row < height):
                break
            if cells.labels[row, column] != home or cells.depth_nm[row, column] < 35.0:
                break
            points.append((x, y))
            heading += rng.normal(0, 0.16)
            x += 20.0 / nm * np.cos(heading)
            y += 20.0 / nm * np.sin(heading)
        if len(points) < 3:
            continue
        line = np.rint(np.array(points) * 2**_SHIFT).astype(np.int32)[:, None, :]
        outer = max(2, round(rng.uniform(24.0, 44.0) / nm))
        inner = outer - 2 * max(1, round(9.0 / nm))
        cv2.polylines(walls, [line], False, (1.0,), outer, cv2.LINE_AA, _SHIFT)
        if inner > 0:
            cv2.polylines(lumen, [line], False, (1.0,), inner, cv2.LINE_AA, _SHIFT)
    _darken(canvas, np.asarray(np.clip(walls - 0.55 * lumen, 0, 1) * 0.85, np.float32), grey)


def draw_densities(
    rng: np.random.Generator, canvas: FloatImage, cells: Cells, nm: float, grey: float
) -> None:
    """Synaptic densities: fuzzy dark plaques on one side of a membrane."""
    height, width = canvas.shape
    rows, columns = np.nonzero(cells.depth_nm < nm * 1.5)
    if len(rows) == 0:
        return
    cloud = 1 + 0.25 * smooth_noise(rng, (height, width), 18.0 / nm)
    for _ in range(rng.poisson(14 * height * width * nm**2 / 25e6)):
        pick = int(rng.integers(len(rows)))
        y, x = int(rows[pick]), int(columns[pick])
        half = max(2, round(rng.uniform(90.0, 210.0) / nm))
        window = slice(max(0, y - half), y + half + 1), slice(max(0, x - half), x + half + 1)
        labels = cells.labels[window]
        away = np.hypot(
            *np.mgrid[
                window[0].start - y : window[0].start - y + labels.shape[0],
                window[1].start - x : window[1].start - x + labels.shape[1],
            ]
        )
        depth = cells.depth_nm[window]
        fade = np.clip((half - away) / (0.25 * half), 0, 1)
        reach_nm = np.where(labels == labels.flat[labels.size // 2], 38.0, 14.0)
        dark = 0.9 * fade * np.exp(-((depth / reach_nm) ** 2)) * cloud[window]
        part = canvas[window]
        _darken(part, np.asarray(np.clip(dark, 0, 0.95), dtype=np.float32), grey - 8.0)


def draw_dense_bodies(
    rng: np.random.Generator,
    canvas: FloatImage,
    cells: Cells,
    occupied: npt.NDArray[np.bool_],
    nm: float,
    grey: float,
) -> None:
    """Lysosomes and multivesicular bodies: dark or mottled blobs without cristae."""
    height, width = canvas.shape
    for _ in range(rng.poisson(9 * height * width * nm**2 / 25e6)):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        radius_px = rng.uniform(45.0, 110.0) / nm
        half = int(1.4 * radius_px) + 2
        if cells.depth_nm[y, x] < radius_px * nm + 20.0:
            continue
        window = slice(max(0, y - half), y + half + 1), slice(max(0, x - half), x + half + 1)
        if occupied[window].any():
            continue
        part = canvas[window]
        part_hw = (part.shape[0], part.shape[1])
        away = np.hypot(
            *np.mgrid[
                window[0].start - y : window[0].start - y + part_hw[0],
                window[1].start - x : window[1].start - x + part_hw[1],
            ]
        )
        edge = (radius_px * (1 + 0.15 * smooth_noise(rng, part_hw, radius_px)) - away) * nm
        body = np.clip(edge / 8.0 + 0.5, 0, 1)
        if rng.random() < 0.5:  # multivesicular: pale, with a wall and little vesicles
            wall = np.exp(-0.5 * ((edge - 8.0) / 6.0) ** 2)
            dots = np.zeros(part_hw, dtype=np.float32)
            for _ in range(int(radius_px * nm / 9)):
                angle, distance = rng.uniform(0, 2 * np.pi), radius_px * rng.uniform(0, 0.7)
                _ring(
                    dots,
                    x - window[1].start + distance * np.cos(angle),
                    y - window[0].start + distance * np.sin(angle),
                    14.0 / nm,
                    max(1, round(8.0 / nm)),
                )
            dark = np.maximum(0.9 * wall, body * np.maximum(0.25, 0.75 * dots))
        else:
            mottle = smooth_noise(rng, part_hw, 30.0 / nm)
            dark = body * np.clip(0.85 + 0.22 * mottle, 0.3, 1.05)
        _darken(part, np.asarray(np.clip(dark, 0, 1), dtype=np.float32), grey - 6.0)


def draw_myelin(
    rng: np.random.Generator, canvas: FloatImage, cells: Cells, nm: float, grey: float
) -> npt.NDArray[np.bool_]:
    """Wrap a few profiles in myelin: a thick dark band with fine layers.

    Returns:
        bool (H, W), true on the myelin.
    """
    covered = np.zeros(canvas.shape, dtype=bool)
    for number, inner_nm in enumerate(cells.inner_radius_nm.tolist()):
        if not (200.0 < inner_nm < 420.0) or rng.random() > 0.06:
            continue
        thick_nm = rng.uniform(60.0, 0.4 * inner_nm)
        band = (cells.labels == number) & (cells.depth_nm < thick_nm)
        layers = 0.9 + 0.1 * np.sin(2 * np.pi * cells.depth_nm[band] / 17.0)
        canvas[band] += (grey - 18.0 - canvas[band]) * layers
        covered |= band
    return covered


def draw_nuclei(
    rng: np.random.Generator, canvas: FloatImage, cells: Cells, nm: float, grey: float
) -> npt.NDArray[np.bool_]:
    """Give some very large profiles a nucleus: an envelope and clumps of chromatin.

    Returns:
        bool (H, W), true on the nuclei.
    """
    covered = np.zeros(canvas.shape, dtype=bool)
    for number, inner_nm in enumerate(cells.inner_radius_nm.tolist()):
        if inner_nm < 900.0 or rng.random() > 0.35:
            continue
        inset_nm = rng.uniform(0.3, 0.5) * inner_nm
        inside = (
            cells.depth_nm
            - inset_nm
            + 30 * smooth_noise(rng, (canvas.shape[0], canvas.shape[1]), 300.0 / nm)
        )
        nucleus = (cells.labels == number) & (inside > -15.0)
        clumps = smooth_noise(rng, (canvas.shape[0], canvas.shape[1]), 130.0 / nm)
        clumps = clumps + 0.5 * smooth_noise(rng, (canvas.shape[0], canvas.shape[1]), 45.0 / nm)
        chromatin = np.clip(clumps - 0.9, 0, 0.8) + 0.5 * np.exp(-np.clip(inside, 0, None) / 60.0)
        envelope = np.exp(-0.5 * (np.abs(np.abs(inside) - 11.0) / 6.0) ** 2)
        dark = np.clip(np.maximum(0.6 * chromatin, 0.85 * envelope), 0, 0.9)
        canvas[nucleus] += (grey + 10.0 - canvas[nucleus]) * dark[nucleus]
        covered |= nucleus
    return covered


def _ring(layer: FloatImage, x: float, y: float, radius_px: float, thickness_px: int) -> None:
    """One small ring at a sub-pixel position."""
    scale = 2**_SHIFT
    centre = (round(x * scale), round(y * scale))
    cv2.circle(layer, centre, round(radius_px * scale), (1.0,), thickness_px, cv2.LINE_AA, _SHIFT)


def _spread(points_xy: npt.NDArray[np.float64], gap_px: float) -> npt.NDArray[np.float64]:
    """Points with the later of any two closer than ``gap_px`` left out."""
    kept: list[npt.NDArray[np.float64]] = []
    for point in points_xy:
        if all(np.hypot(*(point - other)) >= gap_px for other in kept):
            kept.append(point)
    return np.array(kept).reshape(-1, 2)


def _darken(canvas: FloatImage, amount: FloatImage, grey: float) -> None:
    """Pull pixels towards ``grey`` by ``amount`` in [0, 1], in place."""
    canvas += (np.float32(grey) - canvas) * np.clip(amount, 0, 1)
