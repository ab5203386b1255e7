"""Pages of label images: one integer an instance, as they are stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mito_instance.annotations.mask_polarity import background_value, with_ground_at_0
from mito_instance.annotations.mask_values import integer_labels, refuse_micrograph
from mito_instance.errors import AnnotationError
from mito_instance.io.mask_pages import COLOURS, MaskPage, read_mask_pages
from mito_instance.masks.histogram import value_counts

_JPEG_SUFFIXES = frozenset({".jpg", ".jpeg"})


def read_label_pages(
    path: Path, notices: list[str], background_of: Callable[[], int | None] | None = None
) -> Iterator[tuple[MaskPage, npt.NDArray[np.int64]]]:
    """Pages of a label image, one at a time, with the labels of each.

    Labels are what `read_mask_pages` gives, as in ``mito convert-masks``: of a palette of colours
    the indices, of a page in colour a number for each colour, which holds for that page alone.
    Under an inverting lookup table they are the values that are stored. Where no pixel is 0 (of the
    page in colours, of the whole file or stack otherwise), the value that surrounds the rest is the
    background (`background_value`).

    Args:
        path: PNG, BMP or TIFF.
        notices: grows by a line if a page had no 0.
        background_of: asked for the background if a page has no 0; by default
            `background_of_files` of this file, whose labels are then its own.

    Yields:
        Each page and its labels (H, W); 0 is background.

    Raises:
        MitoInstanceError: if a page cannot be read, was compressed as JPEG, holds no integers, or
            looks like a micrograph.
    """
    if path.suffix.lower() in _JPEG_SUFFIXES:
        raise _changed_by_jpeg(str(path))
    without_zero: list[str] = []
    of_file: int | None = None
    is_known = False
    for page in read_mask_pages(path):
        if page.is_jpeg:
            raise _changed_by_jpeg(page.where)
        page, repair = with_ground_at_0(page)
        if repair:
            notices.append(f"{page.where}: {repair}")
        labels = integer_labels(page.stored, page.where)
        if np.count_nonzero(labels) > labels.size / 2:  # specks on an empty page are labels
            refuse_micrograph(labels, page.where, len(value_counts(page.stored)[0]))
        if page.form == COLOURS:
            background = _surrounding(labels)
        elif labels.all() and not is_known:
            background = of_file = background_of() if background_of else background_of_files([path])
            is_known = True
        else:
            background = of_file
        if background:
            labels[labels == background] = 0
            without_zero.append(page.where)
        yield page, labels
    if without_zero:
        more = f" and {len(without_zero) - 1} more pages" if len(without_zero) > 1 else ""
        notices.append(
            f"{without_zero[0]}{more}: no pixel is 0; the value that surrounds the rest is "
            "background"
        )


def _surrounding(labels: npt.NDArray[np.int64]) -> int | None:
    """The label that surrounds the rest of a page without 0; None if there is none."""
    return (background_value(labels, *value_counts(labels)) or None) if labels.all() else None


def background_of_files(paths: Sequence[Path]) -> int | None:
    """What surrounds the rest on most pages of files without 0; None where a page has a 0.

    Args:
        paths: files whose labels have one meaning.
    """
    found: Counter[int] = Counter()
    for page in chain.from_iterable(map(read_mask_pages, paths)):
        labels = integer_labels(page.stored, page.where)
        if not labels.all():
            return None
        if value := _surrounding(labels):
            found[value] += 1
    return found.most_common(1)[0][0] if found else None


def _changed_by_jpeg(where: str) -> AnnotationError:
    return AnnotationError(
        f"{where}: JPEG changes the values of a label image; save it as PNG, or as TIFF without "
        "JPEG compression"
    )
