"""Annotations and the image files that they name: the same size, and the size of a pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mito_instance.calibration import PixelSize
from mito_instance.errors import AnnotationError
from mito_instance.instances import ImageInstances
from mito_instance.io.images import page_pixel_sizes, page_sizes_hw


def match_files(images: Sequence[ImageInstances]) -> list[ImageInstances]:
    """Compare annotations with the headers of their image files; no pixel is decoded.

    A pixel size that the annotation lacks is taken from the file, as prediction takes it: a
    model must not learn at one scale what it is later shown at another.

    Args:
        images: annotated images, whose files exist; may be empty.

    Returns:
        The same in the same order.

    Raises:
        ImageError: if a file is damaged or no image.
        AnnotationError: if a file has no such page, or one of another size.
    """
    headers: dict[str, tuple[list[tuple[int, int]], list[PixelSize | None]]] = {}
    matched = []
    for image in images:
        if image.image not in headers:
            path = Path(image.image)
            headers[image.image] = page_sizes_hw(path), page_pixel_sizes(path)
        sizes_hw, pixel_sizes = headers[image.image]
        if image.frame >= len(sizes_hw):
            raise AnnotationError(
                f"{image.image}: page must be in 0 … {len(sizes_hw) - 1}, got {image.frame}; check "
                "that the annotations belong to this file"
            )
        if sizes_hw[image.frame] != image.image_hw:
            raise AnnotationError(
                f"{image.image}: image is {sizes_hw[image.frame]} (height, width) but its "
                f"annotation says {image.image_hw}; convert the annotations anew"
            )
        known = image.pixel_size or pixel_sizes[image.frame]
        matched.append(image if known is image.pixel_size else replace(image, pixel_size=known))
    return matched


def page_of(image: ImageInstances) -> tuple[Path, int]:
    """What tells whether two annotations are of the same page: file and page."""
    return Path(image.image).resolve(), image.frame
