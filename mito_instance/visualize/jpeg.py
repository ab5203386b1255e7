"""Small pictures, kept compressed."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

QUALITY = 82


@dataclass(frozen=True, slots=True)
class Jpeg:
    """A picture as the bytes of a JPEG file.

    Args:
        data: the file.
        width_px: width of the picture.
        height_px: height of the picture.
    """

    data: bytes
    width_px: int
    height_px: int

    @classmethod
    def of(cls, pixels: npt.NDArray[np.uint8], quality: int = QUALITY) -> Jpeg:
        """Compress a picture.

        Args:
            pixels: uint8, grey (H, W) or RGB (H, W, 3).
            quality: of the compression, from 1 to 100.
        """
        bgr = pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[:, :, ::-1])
        full_colour = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444  # else thin outlines turn grey
        options = [cv2.IMWRITE_JPEG_QUALITY, quality]
        options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, full_colour]
        _, data = cv2.imencode(".jpg", bgr, options)
        return cls(data.tobytes(), width_px=pixels.shape[1], height_px=pixels.shape[0])

    def shrunk(self, side_px: int) -> Jpeg:
        """The picture with its longer side at most ``side_px``; itself where it is no longer."""
        longer = max(self.width_px, self.height_px)
        if longer <= side_px:
            return self
        data = np.frombuffer(self.data, dtype=np.uint8)
        pixels = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)[:, :, ::-1]
        width = max(1, round(self.width_px * side_px / longer))
        height = max(1, round(self.height_px * side_px / longer))
        small = cv2.resize(
            np.ascontiguousarray(pixels), (width, height), interpolation=cv2.INTER_AREA
        )
        return Jpeg.of(np.asarray(small, dtype=np.uint8))
