"""Augmentations for electron micrographs, as Detectron2 ``Augmentation``s with their own rng."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from fvcore.transforms.transform import Transform

Image = npt.NDArray[Any]


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

    def apply_coords(self, coords: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Corner coordinates (N, 2) as x, y in the turned image."""
        height, width = self.image_hw
        x, y = coords[:, 0], coords[:, 1]
        for _ in range(self.quarter_turns):
            x, y = y, width - x
            height, width = width, height
        if self.flip:
            x = width - x
        return np.stack([x, y], axis=1)


class GreyTransform(Transform):
    """A change of grey levels that moves no pixel.

    Args:
        change: maps a float32 image (H, W) in [0, 255] to another.
    """

    def __init__(self, change: Callable[[npt.NDArray[np.float32]], npt.NDArray[Any]]) -> None:
        super().__init__()
        self.change = change

    def apply_image(self, img: Image) -> Image:
        """Changed copy, clipped to [0, 255], in the image's dtype."""
        changed: Image = np.clip(self.change(img.astype(np.float32)), 0, 255).astype(img.dtype)
        return changed

    def apply_segmentation(self, segmentation: Image) -> Image:
        """Masks stay as they are."""
        return segmentation

    def apply_coords(self, coords: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Coordinates stay as they are."""
        return coords


class RandomOrientation(T.Augmentation):
    """One of the eight orientations of a square, each equally likely."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def get_transform(self, image: Image) -> Transform:
        """Draw an orientation."""
        choice = int(self.rng.integers(8))
        return OrientationTransform(choice % 4, choice >= 4, (image.shape[0], image.shape[1]))


class RandomGreyLevels(T.Augmentation):
    """Gamma, then contrast around the mean, then brightness.

    Args:
        rng: source of randomness.
        contrast: range of the factor.
        brightness: range of the shift, in fractions of 255.
        gamma: range of the exponent, log-uniform.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        contrast: tuple[float, float],
        brightness: tuple[float, float],
        gamma: tuple[float, float],
    ) -> None:
        self.rng = rng
        self.contrast = contrast
        self.brightness = brightness
        self.gamma = gamma

    def get_transform(self, image: Image) -> Transform:
        """Draw the three numbers."""
        exponent = log_uniform(self.rng, self.gamma)
        factor = self.rng.uniform(*self.contrast)
        shift = 255.0 * self.rng.uniform(*self.brightness)

        def change(grey: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
            if exponent != 1.0:
                grey = 255.0 * (grey / 255.0) ** np.float32(exponent)
            mean = grey.mean()
            changed: npt.NDArray[Any] = (grey - mean) * factor + (mean + shift)
            return changed

        return GreyTransform(change)


class RandomBlur(T.Augmentation):
    """Gaussian blur with a sigma up to ``max_sigma_px``, with a chance."""

    def __init__(self, rng: np.random.Generator, max_sigma_px: float, probability: float) -> None:
        self.rng = rng
        self.max_sigma_px = max_sigma_px
        self.probability = probability

    def get_transform(self, image: Image) -> Transform:
        """Draw whether and how much."""
        if self.max_sigma_px <= 0 or self.rng.random() >= self.probability:
            return T.NoOpTransform()
        sigma = self.rng.uniform(0.3, max(0.3, self.max_sigma_px))
        return GreyTransform(lambda grey: cv2.GaussianBlur(grey, (0, 0), sigma))


class RandomNoise(T.Augmentation):
    """Gaussian noise, white or a little correlated as after resampling, with a chance."""

    def __init__(self, rng: np.random.Generator, max_sigma: float, probability: float) -> None:
        self.rng = rng
        self.max_sigma = max_sigma
        self.probability = probability

    def get_transform(self, image: Image) -> Transform:
        """Draw whether, how strong and how coarse."""
        if self.max_sigma <= 0 or self.rng.random() >= self.probability:
            return T.NoOpTransform()
        sigma = self.rng.uniform(0, self.max_sigma)
        correlated = self.rng.random() < 0.5

        def change(grey: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
            noise: npt.NDArray[Any] = self.rng.standard_normal(grey.shape, dtype=np.float32)
            if correlated:
                noise = cv2.GaussianBlur(noise, (0, 0), 0.8)
                noise = noise / max(float(noise.std()), 1e-6)
            changed: npt.NDArray[Any] = grey + sigma * noise
            return changed

        return GreyTransform(change)


def build_augmentations(cfg: CfgNode, rng: np.random.Generator) -> T.AugmentationList:
    """What happens to a crop after it has been cut out and zoomed, in order.

    Args:
        cfg: reads ``MITO.AUGMENT``.
        rng: source of all randomness.
    """
    keys = cfg.MITO.AUGMENT
    steps: list[T.Augmentation] = [RandomOrientation(rng)] if keys.ORIENTATIONS else []
    steps += [
        RandomBlur(rng, keys.BLUR_SIGMA_PX, keys.BLUR_PROBABILITY),
        RandomGreyLevels(rng, tuple(keys.CONTRAST), tuple(keys.BRIGHTNESS), tuple(keys.GAMMA)),
        RandomNoise(rng, keys.NOISE_SIGMA, keys.NOISE_PROBABILITY),
    ]
    return T.AugmentationList(steps)


def log_uniform(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    """A number whose logarithm is uniform between the logarithms of ``bounds``."""
    return float(np.exp(rng.uniform(np.log(bounds[0]), np.log(bounds[1]))))
