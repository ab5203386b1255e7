"""Preview of converted masks: outlines, and in red rings where two were cut apart or touch."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from mito_instance.instances import ImageInstances
from mito_instance.io.files import atomic_path
from mito_instance.io.images import read_page, to_uint8
from mito_instance.masks import rle
from mito_instance.visualize.overlays import ColourImage, draw_overlay

CUT_RGB = (255, 0, 0)
_RING_MARGIN_PX = 3
_NEAR_PX = 5
_PX_A_LINE = 1000  # of image, for each pixel of a ring's width


def draw_cuts(image: npt.NDArray[np.uint8], instances: ImageInstances) -> ColourImage:
    """Outline every instance; where two of them touch, draw a line in red and a ring around it.

    The line may be a few pixels long; the ring makes it found in a whole micrograph.

    Args:
        image: grey uint8 (H, W).
        instances: N instances of this image; 0 gives the plain picture.

    Returns:
        RGB uint8 (H, W, 3).

    Raises:
        ImageError: as `overlays.draw_overlay`.
    """
    picture = draw_overlay(image, instances, show_ids=False)
    lines = contact_lines(instances)
    picture[lines] = CUT_RGB
    width_px = math.ceil(max(image.shape) / _PX_A_LINE)
    # Pieces of one contact lie near each other: one ring for them.
    near = cv2.dilate(lines.astype(np.uint8), np.ones((2 * _NEAR_PX + 1,) * 2, np.uint8))
    n_contacts, _, boxes, _ = cv2.connectedComponentsWithStats(near, connectivity=8)
    for x, y, width, height in boxes[1:n_contacts, :4].tolist():
        radius = round(math.hypot(width, height) / 2 + _RING_MARGIN_PX * width_px)
        centre = (x + width // 2, y + height // 2)
        cv2.circle(picture, centre, radius, CUT_RGB, width_px)
    return picture


def contact_lines(instances: ImageInstances) -> npt.NDArray[np.bool_]:
    """Pixels of instances that have a pixel of another instance at a side or a corner.

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
    whole, later, earlier = slice(None), slice(1, None), slice(None, -1)
    for here, there in (
        ((whole, later), (whole, earlier)),
        ((later, whole), (earlier, whole)),
        ((later, later), (earlier, earlier)),
        ((later, earlier), (earlier, later)),
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
    page = read_page(Path(instances.image), instances.frame)
    picture = draw_cuts(to_uint8(page.pixels), instances)
    name = f"{number:04d}_{Path(instances.image).stem[:100]}_{instances.frame + 1}.png"
    path = folder / name
    _, data = cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]))
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.tobytes())
    return path
