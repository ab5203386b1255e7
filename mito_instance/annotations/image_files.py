"""Annotations and the image files that they name: the same size, and the size of a pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mito_instance.calibration import PixelSize
from mito_instance.errors import AnnotationError, MitoInstanceError
from mito_instance.instances import ImageInstances
from mito_instance.io.images import n_frames, page_headers


def match_files(images: Sequence[ImageInstances]) -> list[ImageInstances]:
    """Compare annotations with the headers of their image files; no pixel is decoded.

    A pixel size that the annotation lacks is taken from the file, as prediction takes it: a
    model must not learn at one scale what it is later shown at another.

    Args:
        images: annotated images, whose files exist; may be empty.

    Returns:
        The same in the same order.

    Raises:
        ImageError: if a file is damaged at its beginning, or no image.
        AnnotationError: if a file has no such page, or one of another size.
    """
    headers: dict[str, list[tuple[tuple[int, int], PixelSize | None]]] = {}
    matched = []
    for image in images:
        if image.image not in headers:
            headers[image.image] = page_headers(Path(image.image))
        matched.append(match_page(image, headers[image.image]))
    return matched


def match_page(
    image: ImageInstances, pages: Sequence[tuple[tuple[int, int], PixelSize | None]]
) -> ImageInstances:
    """Compare one annotated page with its file's headers, as `match_files`.

    Args:
        image: the annotated page.
        pages: size and pixel size of each page of its file, from `page_headers`.

    Raises:
        AnnotationError: if the file has no such page, or one of another size.
    """
    if image.frame >= len(pages):
        raise AnnotationError(
            f"{image.image}: page must be in 0 … {len(pages) - 1}, got {image.frame}; check "
            "that the annotations belong to this file"
        )
    size_hw, of_file = pages[image.frame]
    if size_hw != image.image_hw:
        raise AnnotationError(
            f"{image.image}: image is {size_hw} (height, width) but its annotation says "
            f"{image.image_hw}; convert the annotations anew"
        )
    known = image.pixel_size or of_file
    return image if known is image.pixel_size else replace(image, pixel_size=known)


def page_of(image: ImageInstances) -> tuple[Path, int]:
    """What tells whether two annotations are of the same page: file and page."""
    return Path(image.image).resolve(), image.frame


def is_of_stack(path: Path, frame: int) -> bool | None:
    """Whether a page is one of several; None if the file cannot be asked.

    Args:
        path: the image file, which may be absent.
        frame: 0-based page. Of a stack, an annotation may list the first page alone.
    """
    if frame > 0:
        return True
    try:
        return n_frames(path) > 1 or None
    except MitoInstanceError:
        return None
