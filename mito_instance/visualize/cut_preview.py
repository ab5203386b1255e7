"""Preview of converted masks: outlines, and in red where two instances were cut apart or touch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from mito_instance.instances import ImageInstances
from mito_instance.io.files import atomic_path
from mito_instance.io.images import read_page, to_uint8
from mito_instance.masks import rle
from mito_instance.visualize.overlays import ColourImage, draw_overlay

CUT_RGB = (255, 0, 0)


def draw_cuts(image: npt.NDArray[np.uint8], instances: ImageInstances) -> ColourImage:
    """Outline every instance, and draw a line in red where two of them touch.

    Args:
        image: grey uint8 (H, W).
        instances: N instances of this image; 0 gives the plain picture.

    Returns:
        RGB uint8 (H, W, 3).

    Raises:
        ImageError: as `overlays.draw_overlay`.
    """
    picture = draw_overlay(image, instances, show_ids=False)
    picture[contact_lines(instances)] = CUT_RGB
    return picture


def contact_lines(instances: ImageInstances) -> npt.NDArray[np.bool_]:
    """Pixels of instances that have a pixel of another instance beside, above or below them.

    Args:
        instances: N instances; where they overlap, the later counts.

    Returns:
        bool (H, W).
    """
    owners = np.zeros(instances.image_hw, dtype=np.int32)
    for number, mask in enumerate(instances.masks, start=1):
        x, y, width, height = box = rle.box_xywh(mask)
        if width:
            owners[y : y + height, x : x + width][rle.crop(mask, box)] = number
    lines = np.zeros(instances.image_hw, dtype=bool)
    for here, there in (
        ((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
        ((slice(1, None), slice(None)), (slice(None, -1), slice(None))),
    ):
        meet = (owners[here] != owners[there]) & (owners[here] > 0) & (owners[there] > 0)
        lines[here] |= meet
        lines[there] |= meet
    return lines


def write_cut_preview(folder: Path, number: int, instances: ImageInstances) -> Path:
    """Read an image, draw its instances and write a PNG, atomically.

    Args:
        folder: where the PNG goes; made if absent.
        number: put before the image's name, so that equal names do not meet.
        instances: of one page.

    Returns:
        The PNG.

    Raises:
        MitoInstanceError: if the image cannot be read or the PNG cannot be written.
    """
    import cv2

    page = read_page(Path(instances.image), instances.frame)
    picture = draw_cuts(to_uint8(page.pixels), instances)
    name = f"{number:04d}_{Path(instances.image).stem[:100]}_{instances.frame + 1}.png"
    path = folder / name
    _, data = cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]))
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.tobytes())
    return path
