"""Binary masks and label images to instances and back, one box at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from mito_instance.errors import AnnotationError
from mito_instance.masks import rle as rle_masks
from mito_instance.masks.rle import RLE

LabelImage = npt.NDArray[np.int32]
"""int32 (H, W), 0 is background."""


def component_rles(mask: npt.NDArray[Any], connectivity: int = 8) -> list[RLE]:
    """Connected components of a mask, ordered by the first pixel of each, row by row.

    Args:
        mask: bool or 0/non-zero (H, W). Holes stay holes.
        connectivity: 8 (pixels that touch at a corner belong together, as in ImageJ's Analyze
            Particles) or 4.

    Returns:
        One RLE for each component; none for an empty mask.
    """
    binary = np.ascontiguousarray(np.asarray(mask) != 0, dtype=np.uint8)
    n_labels, labels, stats, _ = cv2.connectedComponentsWithStats(
        binary, connectivity=connectivity, ltype=cv2.CV_32S
    )
    image_hw = (int(binary.shape[0]), int(binary.shape[1]))
    found: list[tuple[int, int, RLE]] = []
    for label in range(1, n_labels):
        x, y, width, height = (int(value) for value in stats[label, :4])
        inside = labels[y : y + height, x : x + width] == label
        first_column = x + int(np.argmax(inside[0]))
        found.append((y, first_column, rle_masks.place(inside, x, y, image_hw)))
    return [rle for _, _, rle in sorted(found, key=lambda item: item[:2])]


def label_rles(labels: npt.NDArray[Any], connectivity: int = 8) -> tuple[list[RLE], int]:
    """Instances of a label image: each connected part of each value other than 0.

    A section through one branched organelle can carry one value in several places; in two
    dimensions these are several instances.

    Args:
        labels: integer (H, W), 0 is background; values need not be consecutive.
        connectivity: 8 or 4, as in `component_rles`.

    Returns:
        RLEs, ordered by value, and the number of values that had more than one part.

    Raises:
        AnnotationError: if ``labels`` does not hold integers.
    """
    from scipy import ndimage  # slow to import

    compact = compact_labels(labels)
    image_hw = (int(labels.shape[0]), int(labels.shape[1]))
    rles: list[RLE] = []
    n_divided = 0
    for number, box in enumerate(ndimage.find_objects(compact), start=1):
        rows, columns = box
        inside = compact[rows, columns] == number
        n_parts, parts = cv2.connectedComponents(
            inside.astype(np.uint8), connectivity=connectivity, ltype=cv2.CV_32S
        )
        n_divided += n_parts > 2
        rles.extend(
            rle_masks.place(parts == part, columns.start, rows.start, image_hw)
            for part in range(1, n_parts)
        )
    return rles, n_divided


def compact_labels(labels: npt.NDArray[Any]) -> LabelImage:
    """The same label image with the values 1 to N in the order of the given values.

    Args:
        labels: integer (H, W), 0 is background.

    Raises:
        AnnotationError: if ``labels`` does not hold integers.
    """
    if not (np.issubdtype(labels.dtype, np.integer) or labels.dtype == bool):
        raise AnnotationError(
            f"a label image must hold integers, got {labels.dtype}; save it as 16 or 32 bit"
        )
    values, positions = np.unique(labels, return_inverse=True)
    numbers = np.zeros(len(values), dtype=np.int32)
    numbers[values != 0] = np.arange(1, 1 + int((values != 0).sum()), dtype=np.int32)
    compact: LabelImage = numbers[positions].reshape(labels.shape)
    return compact


def label_image(masks: Sequence[RLE], image_hw: tuple[int, int], where: str) -> LabelImage:
    """Label image of instances: mask number i gets the value i + 1.

    Args:
        masks: RLEs of one image.
        image_hw: height and width in pixels.
        where: the image, for the message.

    Returns:
        int32 (H, W); all 0 without masks.

    Raises:
        AnnotationError: if two masks share a pixel, which a label image cannot hold.
    """
    labels = np.zeros(image_hw, dtype=np.int32)
    for number, rle in enumerate(masks, start=1):
        x, y, width, height = box = rle_masks.box_xywh(rle)
        if width == 0:
            continue
        window = labels[y : y + height, x : x + width]
        inside = rle_masks.crop(rle, box)
        if (taken := window[inside]).any():
            other = int(taken[taken > 0][0])
            raise AnnotationError(
                f"{where}: instances {other} and {number} share {int((taken == other).sum())} px, "
                "which a label image cannot hold; write COCO JSON or ROIs instead"
            )
        window[inside] = number
    return labels
