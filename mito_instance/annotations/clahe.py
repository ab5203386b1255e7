"""Contrast-limited adaptive histogram equalisation of annotated images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from mito_instance.errors import ConfigError, ImageError
from mito_instance.instances import ImageInstances
from mito_instance.io.files import atomic_path
from mito_instance.io.images import read_page, to_uint8

MAX_TILES = 256


@dataclass(frozen=True, slots=True)
class Clahe:
    """Settings of the equalisation, as OpenCV defines them.

    Args:
        clip_limit: a histogram bin may hold this many times its fair share; > 0.
        tiles: the image is divided into tiles x tiles regions, 1 to 256.

    Raises:
        ConfigError: if a value is not usable.
    Source: OpenCV ``createCLAHE``; Zuiderveld 1994, Graphics Gems IV.
    """

    clip_limit: float = 2.0
    tiles: int = 8

    def __post_init__(self) -> None:
        """Refuse values that OpenCV takes without complaint but that mean nothing."""
        if not 0.0 < self.clip_limit <= 1000.0:
            raise ConfigError(f"clip limit must lie in (0, 1000], got {self.clip_limit:g}")
        if not 1 <= self.tiles <= MAX_TILES:
            raise ConfigError(f"tiles must be 1 to {MAX_TILES}, got {self.tiles}")

    def apply(self, pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """The equalised image.

        Args:
            pixels: grey levels (H, W); other depths than 8 bit are stretched to 8 bit first.

        Returns:
            uint8 (H, W).
        """
        equaliser = cv2.createCLAHE(self.clip_limit, (self.tiles, self.tiles))
        return np.asarray(equaliser.apply(to_uint8(pixels)), dtype=np.uint8)


def write_equalised(
    images: Iterable[ImageInstances], folder: Path, clahe: Clahe
) -> list[ImageInstances]:
    """Write an equalised PNG of every image or page, and refer to it instead.

    Args:
        images: annotated images; the files are read.
        folder: where the PNGs go: ``name.png``, or ``name_0007.png`` for a later page.
        clahe: the settings.

    Returns:
        The same instances on the written images, in the same order.

    Raises:
        MitoInstanceError: if an image cannot be read, a PNG cannot be written, or two images
            would have one name.
    """
    written: dict[Path, str] = {}
    result = []
    for image in images:
        page = read_page(Path(image.image), image.frame)
        stem = Path(image.image).stem
        path = folder / (f"{stem}_{page.frame:04d}.png" if page.n_frames > 1 else f"{stem}.png")
        if path in written:
            raise ConfigError(
                f"{image.image}: has the name of {written[path]} but for its suffix; rename one"
            )
        written[path] = image.image
        done, data = cv2.imencode(".png", clahe.apply(page.pixels))
        if not done:
            raise ImageError(f"{image.image}: cannot be encoded as PNG; export it as TIFF")
        with atomic_path(path) as temporary:
            temporary.write_bytes(data.tobytes())
        result.append(replace(image, image=str(path), frame=0))
    return result
