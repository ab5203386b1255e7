"""Pages of label images: one integer an instance, as they are stored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mito_instance.annotations.mask_values import integer_labels
from mito_instance.errors import AnnotationError
from mito_instance.io.mask_pages import MaskPage, read_mask_pages

_JPEG_SUFFIXES = frozenset({".jpg", ".jpeg"})


def read_label_pages(path: Path) -> Iterator[tuple[MaskPage, npt.NDArray[np.int64]]]:
    """Pages of a label image, one at a time, with the labels of each.

    Labels are what `read_mask_pages` gives, as in ``mito convert-masks``: of a palette of colours
    the indices, of a page in colour a number for each colour, which holds for that page alone.

    Args:
        path: PNG, BMP or TIFF.

    Yields:
        Each page and its labels (H, W); 0 is background.

    Raises:
        MitoInstanceError: if a page cannot be read, was compressed as JPEG, or holds no integers.
    """
    if path.suffix.lower() in _JPEG_SUFFIXES:
        raise _changed_by_jpeg(str(path))
    for page in read_mask_pages(path):
        if page.is_jpeg:
            raise _changed_by_jpeg(page.where)
        yield page, integer_labels(page.values, page.where)


def _changed_by_jpeg(where: str) -> AnnotationError:
    return AnnotationError(
        f"{where}: JPEG changes the values of a label image; save it as PNG, or as TIFF without "
        "JPEG compression"
    )
