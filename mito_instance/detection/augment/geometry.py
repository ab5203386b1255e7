"""Augmentations that move pixels: image and masks go through one map."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from detectron2.data import transforms as T
from fvcore.transforms.transform import Transform

from mito_instance.io.resizing import resize_image

Image = npt.NDArray[Any]
Coords = npt.NDArray[np.float64]

HALF = 128
"""Of 255 levels: the edge of a resampled mask lies where half of a pixel is covered, so that
areas are neither gained nor lost."""

WARPED_LEVELS = 254
"""Two masks that share a pixel by exact halves (127) both lose it: disjoint masks stay so."""

MAX_ROTATION_DEG = 45.0
COORDS_ITERATIONS = 30


def resize_mask(mask: npt.NDArray[Any], size_wh: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """A mask of 0 and 1 resized like its image: pixels of which more than half is covered."""
    levels = np.asarray(mask, dtype=np.uint8) * np.uint8(WARPED_LEVELS)
    return (resize_image(levels, size_wh) >= HALF).astype(np.uint8)


class OrientationTransform(Transform):
    """Quarter turns counter-clockwise, then an optional left-right flip: exact, no resampling.

    Args:
        quarter_turns: 0 to 3.
        flip: whether to flip after turning.
        image_hw: size of the image that the coordinates belong to, before turning.
    """

    def __init__(self, quarter_turns: int, flip: bool, image_hw: tuple[int, int]) -> None:
        super().__init__()
        self.quarter_turns = quarter_turns
        self.flip = flip
        self.image_hw = image_hw

    def apply_image(self, img: Image) -> Image:
        """Turned and flipped copy of (H, W[, C])."""
        turned = np.rot90(img, self.quarter_turns)
        return np.ascontiguousarray(turned[:, ::-1] if self.flip else turned)

    def apply_segmentation(self, segmentation: Image) -> Image:
        """The same for a mask."""
        return self.apply_image(segmentation)

    def apply_coords(self, coords: Coords) -> Coords:
        """Corner coordinates (N, 2) as x, y in the turned image."""
        height, width = self.image_hw
        x, y = coords[:, 0], coords[:, 1]
        for _ in range(self.quarter_turns):
            x, y = y, width - x
            height, width = width, height
        if self.flip:
            x = width - x
        return np.stack([x, y], axis=1)


class RandomOrientation(T.Augmentation):
    """Flips and turns, each equally likely.

    Args:
        rng: source of randomness.
        quarter_turns: all eight orientations of a square; without, the four that keep its axes:
            flips and the turn by 180°.
    """

    def __init__(self, rng: np.random.Generator, quarter_turns: bool = True) -> None:
        self.rng = rng
        self.quarter_turns = quarter_turns

    def get_transform(self, image: Image) -> Transform:
        """Draw an orientation."""
        choice = int(self.rng.integers(8))
        turns = choice % 4 if self.quarter_turns else choice % 4 // 2 * 2
        return OrientationTransform(turns, choice >= 4, (image.shape[0], image.shape[1]))


class CentreCropTransform(Transform):
    """The middle of an image, at most ``edge_px`` wide and high.

    Args:
        edge_px: of the crop; a shorter side of the image stays as it is.
        image_hw: size of the image.
    """

    def __init__(self, edge_px: int, image_hw: tuple[int, int]) -> None:
        super().__init__()
        height, width = min(edge_px, image_hw[0]), min(edge_px, image_hw[1])
        self.top, self.left = (image_hw[0] - height) // 2, (image_hw[1] - width) // 2
        self.window = (slice(self.top, self.top + height), slice(self.left, self.left + width))

    def apply_image(self, img: Image) -> Image:
        """The middle as a copy."""
        return np.ascontiguousarray(img[self.window])

    def apply_segmentation(self, segmentation: Image) -> Image:
        """The same for a mask."""
        return self.apply_image(segmentation)

    def apply_coords(self, coords: Coords) -> Coords:
        """Corner coordinates (N, 2) as x, y in the crop; those outside stay outside."""
        return coords - np.array([self.left, self.top], dtype=np.float64)


class WarpTransform(Transform):
    """A turn by a small angle about the centre and a smooth displacement, in one resampling.

    Each pixel of the result is looked up at the turned position of its centre plus its
    displacement: cubic in images, to keep their sharpness, linear in masks, whose weights are
    never negative, to keep them disjoint. What lies beyond the image is its mean grey, and no
    mask.

    Args:
        angle_deg: the picture turns counter-clockwise by it, at most 45°.
        displacement_xy: float32 (h, w, 2) in px, added to the source positions; the result has
            its size, and shows the middle of the image.
        image_hw: size of the image, in which the result lies as a centre crop.
    """

    def __init__(
        self,
        angle_deg: float,
        displacement_xy: npt.NDArray[np.float32],
        image_hw: tuple[int, int],
    ) -> None:
        super().__init__()
        self.displacement_xy = displacement_xy
        height, width = displacement_xy.shape[:2]
        corner = np.array([(image_hw[1] - width) // 2, (image_hw[0] - height) // 2])
        cos, sin = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
        # From the result to the source, x to the right and y down.
        self.turn = np.array([[cos, -sin], [sin, cos]])
        self.centre = np.array([width - 1, height - 1]) / 2
        x = np.arange(width, dtype=np.float32) - np.float32(self.centre[0])
        y = (np.arange(height, dtype=np.float32) - np.float32(self.centre[1]))[:, None]
        self.source_centre = self.centre + corner
        turn = self.turn.astype(np.float32)
        self.source_xy = displacement_xy + self.source_centre.astype(np.float32)
        for axis in range(2):
            self.source_xy[..., axis] += turn[axis, 0] * x + turn[axis, 1] * y

    def apply_image(self, img: Image) -> Image:
        """Warped uint8 image (h, w) of (H, W)."""
        everywhere = (slice(None), slice(None))
        return self._sample(img, everywhere, cv2.INTER_CUBIC, float(img.mean()))

    def apply_segmentation(self, segmentation: Image) -> Image:
        """Warped mask (h, w) of 0 and 1: the mask (H, W) as an image, warped and cut at half."""
        warped = np.zeros(self.source_xy.shape[:2], dtype=np.uint8)
        levels = segmentation.astype(np.uint8) * np.uint8(WARPED_LEVELS)
        x, y, width, height = cv2.boundingRect(levels)
        # What is looked up farther from the mask's box meets none of the mask.
        low, high = (
            np.array([x, y], dtype=float) - 1,
            np.array([x + width, y + height], dtype=float),
        )
        reached = cv2.inRange(self.source_xy, (*low, 0.0, 0.0), (*high, 0.0, 0.0))
        left, top, across, down = cv2.boundingRect(reached)
        if width and across:
            window = (slice(top, top + down), slice(left, left + across))
            warped[window] = self._sample(levels, window, cv2.INTER_LINEAR, 0.0) >= HALF
        return warped

    def _sample(
        self, img: Image, window: tuple[slice, slice], interpolation: int, beyond: float
    ) -> Image:
        # OpenCV's stub does not know that a map of pairs comes without a second map.
        sampled = cv2.remap(  # type: ignore[call-overload]
            img,
            self.source_xy[window],
            None,
            interpolation,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=beyond,
        )
        return np.asarray(sampled, dtype=img.dtype)

    def apply_coords(self, coords: Coords) -> Coords:
        """Corner coordinates (N, 2) as x, y in the warped image, by fixed-point iteration."""
        # Corners lie half a pixel from the centres that the map speaks of.
        source = np.asarray(coords, dtype=np.float64) - 0.5
        found = source - self.source_centre + self.centre
        for _ in range(COORDS_ITERATIONS):
            moved = source - self.source_centre - self._displacement_at(found)
            found = moved @ self.turn + self.centre
        return np.asarray(found + 0.5, dtype=np.float64)

    def _displacement_at(self, positions_xy: Coords) -> Coords:
        sampled = cv2.remap(
            self.displacement_xy,
            positions_xy[:, 0].astype(np.float32)[None],
            positions_xy[:, 1].astype(np.float32)[None],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return np.asarray(sampled[0], dtype=np.float64).reshape(-1, 2)


class RandomWarp(T.Augmentation):
    """A small turn, and with a chance an elastic deformation.

    The deformation is a uniform cubic B-spline over a grid of nodes, each moved by up to
    ``elastic_px`` along each axis: no pixel moves further, and as long as that is at most a
    quarter of the cell, nothing folds.

    Args:
        rng: source of randomness.
        max_rotation_deg: the angle is uniform between minus and plus this; at most 45.
        elastic_px: largest displacement along each axis; the strength is uniform up to it.
        cell_px: distance of the nodes.
        elastic_probability: the chance of the deformation.
        edge_px: of the result, cut out of the middle: the margin around it is what turns in.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        max_rotation_deg: float,
        elastic_px: float,
        cell_px: float,
        elastic_probability: float,
        edge_px: int,
    ) -> None:
        self.rng = rng
        self.max_rotation_deg = max_rotation_deg
        self.elastic_px = elastic_px
        self.cell_px = cell_px
        self.elastic_probability = elastic_probability
        self.edge_px = edge_px

    def get_transform(self, image: Image) -> Transform:
        """Draw the angle, and whether and how the image deforms."""
        angle = self.rng.uniform(-self.max_rotation_deg, self.max_rotation_deg)
        deforms = self.elastic_px > 0 and self.rng.random() < self.elastic_probability
        image_hw = (image.shape[0], image.shape[1])
        if not deforms and angle == 0.0:
            return CentreCropTransform(self.edge_px, image_hw)
        height, width = min(self.edge_px, image_hw[0]), min(self.edge_px, image_hw[1])
        displacement = np.zeros((height, width, 2), dtype=np.float32)
        if deforms:
            strength = self.rng.uniform(0, self.elastic_px)
            rows = _spline_weights(height, self.cell_px)
            columns = _spline_weights(width, self.cell_px)
            for axis in range(2):
                nodes = self.rng.uniform(-1, 1, (rows.shape[1], columns.shape[1]))
                moved = (strength * nodes).astype(np.float32)
                displacement[..., axis] = rows @ moved @ columns.T
        return WarpTransform(angle, displacement, image_hw)


def _spline_weights(length_px: int, cell_px: float) -> npt.NDArray[np.float32]:
    """Weights (length_px, nodes) of uniform cubic B-splines; each row sums to 1."""
    positions = np.arange(length_px) / cell_px
    cell = np.floor(positions).astype(int)
    t = positions - cell
    four = np.stack(
        [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1
    )
    weights = np.zeros((length_px, int(cell[-1]) + 4), dtype=np.float32)
    for offset in range(4):
        weights[np.arange(length_px), cell + offset] = four[:, offset] / 6
    return weights
