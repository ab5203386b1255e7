"""A folder of synthetic micrographs with their truth as COCO JSON."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import tifffile

from mito_instance.errors import ConfigError
from mito_instance.io.coco import write_coco
from mito_instance.io.files import atomic_path
from mito_instance.synthetic.micrograph import make_micrograph

TRUTH_NAME = "truth.json"


def write_dataset(
    folder: Path,
    n_images: int,
    seed: int,
    *,
    image_hw: tuple[int, int] = (768, 1024),
    pixel_size_nm: float = 5.0,
    count: int | None = None,
    touching_fraction: float = 0.15,
    noise: float = 14.0,
    image_format: str = "tif",
) -> Path:
    """Write ``synthetic_000.tif`` … and ``truth.json`` into a folder.

    Image k depends on ``seed`` and k alone: asking for more images keeps the first ones.
    TIFF files carry the pixel size as ImageJ writes it; PNG files carry none.

    Args:
        folder: made if absent; files of the same name are replaced.
        n_images: at least 1.
        seed: a whole number >= 0.
        image_hw: height and width in pixels, each at least 32.
        pixel_size_nm: edge length of one pixel, in [1, 40] nm.
        count: mitochondria an image, as in `make_micrograph`.
        touching_fraction: as in `make_micrograph`.
        noise: as in `make_micrograph`.
        image_format: ``"tif"`` or ``"png"``.

    Returns:
        Path of the truth, whose ``file_name`` entries are relative to its folder.

    Raises:
        ConfigError: if an argument is out of range or the folder cannot be written.
    """
    if n_images < 1:
        raise ConfigError(f"{folder}: n_images must be >= 1, got {n_images}; ask for an image")
    if seed < 0:
        raise ConfigError(f"{folder}: seed must be >= 0, got {seed}; give a whole number")
    if image_format not in ("tif", "png"):
        raise ConfigError(
            f"{folder}: image_format must be 'tif' or 'png', got {image_format!r}; choose one"
        )
    truth = []
    for number in range(n_images):
        path = folder / f"synthetic_{number:03d}.{image_format}"
        micrograph = make_micrograph(
            np.random.default_rng([seed, number]),
            image_hw,
            pixel_size_nm,
            count,
            touching_fraction=touching_fraction,
            noise=noise,
            name=str(path),
        )
        with atomic_path(path) as temporary:
            _write_image(temporary, micrograph.image, pixel_size_nm)
        truth.append(micrograph.instances)
    truth_path = folder / TRUTH_NAME
    write_coco(truth_path, truth, info={"description": "synthetic micrographs", "seed": seed})
    return truth_path


def _write_image(path: Path, image: npt.NDArray[np.uint8], pixel_size_nm: float) -> None:
    """A PNG, or a TIFF with the resolution where ImageJ looks for it."""
    if path.suffix == ".png":
        _, data = cv2.imencode(".png", image)
        path.write_bytes(data.tobytes())
        return
    per_um = 1000.0 / pixel_size_nm
    tifffile.imwrite(path, image, imagej=True, resolution=(per_um, per_um), metadata={"unit": "um"})
