"""Random fields: smooth variation, power-law texture and streaks, all from one ``rng``."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import scipy.fft

FloatImage = npt.NDArray[np.float32]


def smooth_noise(
    rng: np.random.Generator, image_hw: tuple[int, int], scale_px: float
) -> FloatImage:
    """Smooth random field with zero mean and a standard deviation near 1.

    Args:
        rng: source of randomness.
        image_hw: height and width in pixels.
        scale_px: distance over which values change, at least 1 px.

    Returns:
        float32 (H, W).
    """
    height, width = image_hw
    step = max(1.0, scale_px)
    grid = rng.standard_normal((int(height / step) + 4, int(width / step) + 4), dtype=np.float32)
    # Sample the grid at a fixed pitch, so that the scale does not depend on the image size.
    rows = (np.arange(height, dtype=np.float32) / step + 1.0)[:, None]
    columns = (np.arange(width, dtype=np.float32) / step + 1.0)[None, :]
    field = cv2.remap(
        grid,
        np.broadcast_to(columns, image_hw).astype(np.float32),
        np.broadcast_to(rows, image_hw).astype(np.float32),
        cv2.INTER_CUBIC,
    )
    return np.asarray(field, dtype=np.float32)


def power_noise(
    rng: np.random.Generator, image_hw: tuple[int, int], exponent: float, coarsest_px: float
) -> FloatImage:
    """Random texture whose power falls with frequency; zero mean, standard deviation 1.

    Args:
        rng: source of randomness.
        image_hw: height and width in pixels.
        exponent: power is proportional to frequency ** -exponent.
        coarsest_px: wavelengths above this are damped.

    Returns:
        float32 (H, W).
    """
    height, width = (scipy.fft.next_fast_len(length, real=True) for length in image_hw)
    spectrum = scipy.fft.rfft2(rng.standard_normal((height, width), dtype=np.float32))
    frequency = np.hypot(
        scipy.fft.fftfreq(height)[:, None], scipy.fft.rfftfreq(width)[None, :]
    ).astype(np.float32)
    corner = np.float32(1.0 / coarsest_px)
    spectrum *= (frequency**2 + corner**2) ** np.float32(-exponent / 4)
    spectrum[0, 0] = 0
    field = scipy.fft.irfft2(spectrum, s=(height, width))[: image_hw[0], : image_hw[1]]
    return np.asarray(field / max(float(field.std()), 1e-6), dtype=np.float32)


def streaks(
    rng: np.random.Generator, image_hw: tuple[int, int], angle_rad: float, length_px: float
) -> FloatImage:
    """Fine streaks along one direction, as microtubules look; standard deviation 1.

    Args:
        rng: source of randomness.
        image_hw: height and width in pixels.
        angle_rad: direction, counted from the x axis towards the y axis.
        length_px: typical length of a streak.

    Returns:
        float32 (H, W).
    """
    radius = max(2, round(length_px / 2))
    kernel = np.zeros((2 * radius + 1, 2 * radius + 1), dtype=np.float32)
    reach = np.array([np.cos(angle_rad), np.sin(angle_rad)]) * radius
    start, stop = np.rint(radius - reach).astype(int), np.rint(radius + reach).astype(int)
    cv2.line(kernel, start.tolist(), stop.tolist(), (1.0,), 1, cv2.LINE_AA)
    field = cv2.filter2D(rng.standard_normal(image_hw, dtype=np.float32), -1, kernel)
    field = cv2.GaussianBlur(field, (0, 0), 1.0)
    return np.asarray(field / max(float(field.std()), 1e-6), dtype=np.float32)
