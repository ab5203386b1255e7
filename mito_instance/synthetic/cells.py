"""Cell profiles: a warped, weighted partition of the field with membranes between."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mito_instance.synthetic.fields import FloatImage, smooth_noise

_SIZES_NM = ((1300.0, 2400.0, 3), (380.0, 700.0, 14), (110.0, 290.0, 6000))
"""Smallest and largest radius of a profile, and how many tries to place one."""


@dataclass(frozen=True, slots=True)
class Cells:
    """A partition of the canvas into cell profiles.

    Args:
        labels: int32 (H, W), 0 … ``count`` - 1; every pixel belongs to one profile.
        depth_nm: float32 (H, W), distance to the nearest border between two profiles.
        inner_radius_nm: float64 (count,), greatest depth of each profile.
    """

    labels: npt.NDArray[np.int32]
    depth_nm: FloatImage
    inner_radius_nm: npt.NDArray[np.float64]

    @property
    def count(self) -> int:
        """Number of profiles."""
        return len(self.inner_radius_nm)


def grow_cells(rng: np.random.Generator, canvas_hw: tuple[int, int], nm: float) -> Cells:
    """Partition a canvas into profiles from 0.2 µm to several µm wide.

    Args:
        rng: source of randomness.
        canvas_hw: height and width in pixels.
        nm: edge length of one pixel in nanometres.

    Returns:
        The partition; a canvas smaller than one profile is one profile.
    """
    step = max(1, round(20.0 / nm))
    coarse_hw = (-(-canvas_hw[0] // step) + 1, -(-canvas_hw[1] // step) + 1)
    labels = _smooth_labels(_coarse_labels(rng, coarse_hw, nm * step), step, canvas_hw)
    border = np.ones(canvas_hw, dtype=np.uint8)
    border[:, :-1][labels[:, :-1] != labels[:, 1:]] = 0
    border[:-1, :][labels[:-1, :] != labels[1:, :]] = 0
    if border.all():
        depth_nm = np.full(canvas_hw, min(canvas_hw) * nm / 2, dtype=np.float32)
    else:
        depth_nm = np.asarray(cv2.distanceTransform(border, cv2.DIST_L2, 5) * nm, dtype=np.float32)
    inner_radius_nm = np.zeros(int(labels.max()) + 1)
    np.maximum.at(inner_radius_nm, labels.ravel(), depth_nm.ravel())
    return Cells(labels, depth_nm, inner_radius_nm)


def membrane_darkness(rng: np.random.Generator, cells: Cells, nm: float) -> FloatImage:
    """How dark the cell membranes make each pixel: float32 (H, W) in [0, 1].

    Two membranes face each other over a cleft; where the cut runs obliquely through them
    they look wide and faint.
    """
    image_hw = (cells.labels.shape[0], cells.labels.shape[1])
    offset = 7.5 + 3.5 * np.tanh(smooth_noise(rng, image_hw, 300.0 / nm))
    oblique = np.clip(smooth_noise(rng, image_hw, 280.0 / nm) - 0.6, 0.0, 1.3)
    width = 7.5 + 24.0 * oblique
    strength = (1.0 - 0.3 * oblique) * np.clip(
        0.97 + 0.1 * smooth_noise(rng, image_hw, 120.0 / nm), 0.6, 1.0
    )
    darkness = strength * np.exp(-0.5 * ((cells.depth_nm - offset) / width) ** 2)
    return np.asarray(darkness, dtype=np.float32)


def _coarse_labels(
    rng: np.random.Generator, coarse_hw: tuple[int, int], nm: float
) -> npt.NDArray[np.int32]:
    """Nearest profile of each coarse pixel, by distance in units of the profile's own axes."""
    extent_yx = np.array(coarse_hw) * nm
    centres, radii = _pack_centres(rng, extent_yx)
    rows, columns = np.meshgrid(
        np.arange(coarse_hw[0], dtype=np.float32) * nm,
        np.arange(coarse_hw[1], dtype=np.float32) * nm,
        indexing="ij",
    )
    for scale_nm, shift_nm in ((900.0, 130.0), (260.0, 34.0)):
        rows = rows + shift_nm * smooth_noise(rng, coarse_hw, scale_nm / nm)
        columns = columns + shift_nm * smooth_noise(rng, coarse_hw, scale_nm / nm)
    labels = np.zeros(coarse_hw, dtype=np.int32)
    nearest = np.full(coarse_hw, np.inf, dtype=np.float32)
    for number, ((y, x), radius) in enumerate(zip(centres, radii, strict=True)):
        angle = rng.uniform(0, np.pi)
        stretch = np.exp(rng.uniform(0.0, 0.55))
        along = (columns - x) * np.cos(angle) + (rows - y) * np.sin(angle)
        across = (rows - y) * np.cos(angle) - (columns - x) * np.sin(angle)
        distance = np.hypot(along / stretch, across * stretch) / radius
        closer = distance < nearest
        labels[closer] = number
        nearest[closer] = distance[closer]
    return labels


def _pack_centres(
    rng: np.random.Generator, extent_yx: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Centres (N, 2) as y, x and radii (N,) in nm; large profiles first, the rest fill up."""
    area_scale = float(extent_yx.prod()) / 25e6
    centres = np.empty((0, 2))
    radii = np.empty(0)
    for smallest, largest, tries_per_25um2 in _SIZES_NM:
        tries = rng.poisson(tries_per_25um2 * area_scale)
        for centre, radius in zip(
            rng.uniform(0, 1, (tries, 2)) * extent_yx,
            rng.uniform(smallest, largest, tries),
            strict=True,
        ):
            gap = np.hypot(*(centres - centre).T) - 0.8 * (radii + radius)
            if len(radii) == 0 or gap.min() > 0:
                centres = np.vstack([centres, centre])
                radii = np.append(radii, radius)
    if len(radii) == 0:
        return extent_yx[None, :] / 2, np.array([_SIZES_NM[0][1]])
    return centres, radii


def _smooth_labels(
    coarse: npt.NDArray[np.int32], step: int, canvas_hw: tuple[int, int]
) -> npt.NDArray[np.int32]:
    """Enlarge a label image ``step`` times with smooth borders: the greatest blurred vote wins.

    Labels that vanish are closed up, so that the result counts from 0 without holes.
    """
    enlarged_hw = (coarse.shape[0] * step, coarse.shape[1] * step)
    best = np.zeros(enlarged_hw, dtype=np.float32)
    labels = np.zeros(enlarged_hw, dtype=np.int32)
    margin = 5
    for number in np.unique(coarse).tolist():
        rows, columns = np.nonzero(coarse == number)
        top, left = max(0, rows.min() - margin), max(0, columns.min() - margin)
        bottom, right = rows.max() + margin + 1, columns.max() + margin + 1
        vote = (coarse[top:bottom, left:right] == number).astype(np.float32)
        vote = cv2.GaussianBlur(vote, (0, 0), 1.3, borderType=cv2.BORDER_REPLICATE)
        size_wh = (vote.shape[1] * step, vote.shape[0] * step)
        vote = cv2.resize(vote, size_wh, interpolation=cv2.INTER_LINEAR)
        place = (
            slice(top * step, top * step + vote.shape[0]),
            slice(left * step, left * step + vote.shape[1]),
        )
        wins = vote > best[place]
        labels[place][wins] = number
        best[place][wins] = vote[wins]
    _, closed_up = np.unique(labels[: canvas_hw[0], : canvas_hw[1]], return_inverse=True)
    return closed_up.reshape(canvas_hw).astype(np.int32)
