"""Augmentations that change grey levels and move no pixel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from detectron2.data import transforms as T
from fvcore.transforms.transform import Transform

from mito_instance.annotations.clahe import MAX_TILES, Clahe
from mito_instance.detection.augment.draws import log_uniform

Image = npt.NDArray[Any]
Grey = npt.NDArray[np.float32]

CLAHE_TILE_PX = 80
MOST_ELECTRONS = 8.0


class GreyTransform(Transform):
    """A change of grey levels that moves no pixel.

    Args:
        change: maps a float32 image (H, W) in [0, 255] to another.
    """

    def __init__(self, change: Callable[[Grey], npt.NDArray[Any]]) -> None:
        super().__init__()
        self.change = change

    def apply_image(self, img: Image) -> Image:
        """Changed copy, clipped to [0, 255] and rounded, in the image's dtype."""
        changed = np.rint(np.clip(self.change(img.astype(np.float32)), 0, 255))
        return np.asarray(changed.astype(img.dtype))

    def apply_segmentation(self, segmentation: Image) -> Image:
        """Masks stay as they are."""
        return segmentation

    def apply_coords(self, coords: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Coordinates stay as they are."""
        return coords


class RandomGreyLevels(T.Augmentation):
    """Gamma, then contrast around the mean, then brightness, with a chance.

    Args:
        rng: source of randomness.
        contrast: range of the factor.
        brightness: range of the shift, in fractions of 255.
        gamma: range of the exponent, log-uniform.
        probability: chance that an image is changed at all.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        contrast: tuple[float, float],
        brightness: tuple[float, float],
        gamma: tuple[float, float],
        probability: float = 1.0,
    ) -> None:
        self.rng = rng
        self.contrast = contrast
        self.brightness = brightness
        self.gamma = gamma
        self.probability = probability

    def get_transform(self, image: Image) -> Transform:
        """Draw whether, and the three numbers."""
        if self.probability < 1 and self.rng.random() >= self.probability:
            return T.NoOpTransform()
        exponent = log_uniform(self.rng, self.gamma)
        factor = self.rng.uniform(*self.contrast)
        shift = 255.0 * self.rng.uniform(*self.brightness)

        def change(grey: Grey) -> npt.NDArray[Any]:
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
        sigma = self.rng.uniform(min(0.3, self.max_sigma_px), self.max_sigma_px)
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

        def change(grey: Grey) -> npt.NDArray[Any]:
            noise: npt.NDArray[Any] = self.rng.standard_normal(grey.shape, dtype=np.float32)
            if correlated:
                noise = cv2.GaussianBlur(noise, (0, 0), 0.8)
                noise = noise / max(float(noise.std()), 1e-6)
            changed: npt.NDArray[Any] = grey + sigma * noise
            return changed

        return GreyTransform(change)


class RandomShotNoise(T.Augmentation):
    """Noise of counting electrons (Poisson), with a chance: its variance grows with brightness.

    Args:
        rng: source of randomness.
        min_electrons: the fewest electrons that a white pixel stands for, so that its noise has
            a standard deviation of 255 / √electrons; drawn log-uniform from it to 8 times it.
            0: no noise.
        probability: the chance.
    """

    def __init__(self, rng: np.random.Generator, min_electrons: float, probability: float) -> None:
        self.rng = rng
        self.min_electrons = min_electrons
        self.probability = probability

    def get_transform(self, image: Image) -> Transform:
        """Draw whether, and how many electrons."""
        if self.min_electrons <= 0 or self.rng.random() >= self.probability:
            return T.NoOpTransform()
        low = self.min_electrons
        gain = 255.0 / log_uniform(self.rng, (low, MOST_ELECTRONS * low))

        def change(grey: Grey) -> npt.NDArray[Any]:
            counted: npt.NDArray[Any] = self.rng.poisson(np.clip(grey, 0, 255) / gain) * gain
            return counted

        return GreyTransform(change)


class RandomIllumination(T.Augmentation):
    """A slow change of brightness over the crop, with a chance: a slope plus a shallow bowl.

    Args:
        rng: source of randomness.
        max_amplitude: largest departure from the mean anywhere in the crop, as a fraction
            of 255; 0: none.
        probability: the chance.
    """

    def __init__(self, rng: np.random.Generator, max_amplitude: float, probability: float) -> None:
        self.rng = rng
        self.max_amplitude = max_amplitude
        self.probability = probability

    def get_transform(self, image: Image) -> Transform:
        """Draw whether, how strong, which way and how bent."""
        if self.max_amplitude <= 0 or self.rng.random() >= self.probability:
            return T.NoOpTransform()
        amplitude = 255.0 * self.rng.uniform(0, self.max_amplitude)
        direction = self.rng.uniform(0, 2 * np.pi)
        bend = self.rng.uniform(-1, 1)
        field = _slow_field((image.shape[0], image.shape[1]), direction, bend)
        return GreyTransform(lambda grey: grey + np.float32(amplitude) * field)


def _slow_field(image_hw: tuple[int, int], direction: float, bend: float) -> Grey:
    """A slope along ``direction`` (radians) plus ``bend`` times a bowl: mean 0, at most ±1."""
    y = np.linspace(-1, 1, image_hw[0], dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, image_hw[1], dtype=np.float32)[None, :]
    field = np.cos(direction) * x + np.sin(direction) * y + bend * (x * x + y * y)
    field = field - field.mean()
    largest = float(np.abs(field).max())
    return np.asarray(field / largest if largest else field, dtype=np.float32)


class RandomClahe(T.Augmentation):
    """Contrast-limited adaptive histogram equalisation, with a chance.

    Args:
        rng: source of randomness.
        max_clip_limit: drawn log-uniform from 1 (hardly any change) to this; 0: none.
        probability: the chance.
    Source: Zuiderveld 1994, Graphics Gems IV; see ``annotations.clahe``.
    """

    def __init__(self, rng: np.random.Generator, max_clip_limit: float, probability: float) -> None:
        self.rng = rng
        self.max_clip_limit = max_clip_limit
        self.probability = probability

    def get_transform(self, image: Image) -> Transform:
        """Draw whether and how much."""
        if self.max_clip_limit <= 0 or self.rng.random() >= self.probability:
            return T.NoOpTransform()
        limit = log_uniform(self.rng, (1.0, max(1.0, self.max_clip_limit)))
        tiles = min(MAX_TILES, max(1, round(max(image.shape[:2]) / CLAHE_TILE_PX)))
        equalise = Clahe(limit, tiles).apply
        return GreyTransform(lambda grey: equalise(grey.astype(np.uint8)))
