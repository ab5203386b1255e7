"""What a run would read, without a model."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from mito_instance.batch.page_values import with_values
from mito_instance.errors import reason_of
from mito_instance.io.images import n_frames as count_frames
from mito_instance.io.images import read_page
from mito_instance.io.pixel_sizes import PixelSizes
from mito_instance.measure.summary import Row, image_cell

PAGES_NAMES = (
    "image",
    "frame",
    "n_frames",
    "status",
    "width_px",
    "height_px",
    "dtype",
    "pixel_size_nm",
    "pixel_size_source",
    "message",
)
"""Columns of the list: as in ``counts.csv``; ``dtype`` is the type of the grey levels."""


def list_pages(paths: Sequence[Path], pixel_sizes: PixelSizes) -> Iterator[Row]:
    """A row for every page of every image.

    Pages are decoded, so that a damaged one is known before a night's work.

    Args:
        paths: image files.
        pixel_sizes: what the user says of pixel sizes.

    Yields:
        Rows with the columns `PAGES_NAMES`; for a file or page that cannot be read, or that a run
        refuses because it shows nothing, its status is ``error`` and the message says why.
    """
    with logging_redirect_tqdm():
        for path in tqdm(paths, desc="read", unit="file", file=sys.stderr):
            try:
                count = count_frames(path)
            except Exception as error:  # becomes the row of the file
                yield _failed(path, 0, error)
                continue
            for frame in range(count):
                try:
                    yield _row(path, frame, pixel_sizes)
                except Exception as error:
                    yield _failed(path, frame, error)


def _row(path: Path, frame: int, pixel_sizes: PixelSizes) -> Row:
    page = with_values(read_page(path, frame))
    size = pixel_sizes.of(path, page.pixel_size)
    return {
        "image": image_cell(str(path)),
        "frame": frame,
        "n_frames": page.n_frames,
        "status": "ok",
        "width_px": page.pixels.shape[1],
        "height_px": page.pixels.shape[0],
        "dtype": page.pixels.dtype.name,
        "pixel_size_nm": None if size is None else size.nm,
        "pixel_size_source": None if size is None else size.source,
    }


def _failed(path: Path, frame: int, error: BaseException) -> Row:
    return {
        "image": image_cell(str(path)),
        "frame": frame,
        "status": "error",
        "message": reason_of(error, path),
    }
