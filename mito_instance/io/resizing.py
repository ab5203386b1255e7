"""Grey images at another size, alike in training and prediction."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt


def resize_image(image: npt.NDArray[np.uint8], size_wh: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """A grey image (H, W) at another size: averaged when shrunk, linear when enlarged."""
    shrinks = size_wh[0] < image.shape[1] or size_wh[1] < image.shape[0]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size_wh, interpolation=interpolation), dtype=np.uint8)
