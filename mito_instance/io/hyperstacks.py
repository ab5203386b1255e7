"""Where in a hyperstack a page lies: pages of one file need not be neighbours in depth."""

from __future__ import annotations

from pathlib import Path

from mito_instance.errors import MitoInstanceError
from mito_instance.io.imagej_position import StackDimensions, stack_dimensions
from mito_instance.io.images import n_frames as count_frames

Run = tuple[int, int]
"""What the slices of a run have in common: channel and time point."""


def hyperstack(path: Path, n_frames: int | None = None) -> StackDimensions | None:
    """How the pages of a file are counted, if they have more than one axis.

    Args:
        path: an image file, which need not be there.
        n_frames: its pages, if they are known.

    Returns:
        None as well where the file has other pages than it says, as one that was cut off.
    """
    sizes = stack_dimensions(path)
    if sizes is None or sum(size > 1 for size in sizes[:3]) < 2:
        return None
    try:
        n_frames = count_frames(path) if n_frames is None else n_frames
    except MitoInstanceError:
        return None
    return sizes if sizes.fits(n_frames) else None


def place_in(sizes: StackDimensions | None, page: int) -> tuple[Run | None, int]:
    """What the neighbours of a page have in common in its file, and its number among them.

    Args:
        sizes: of the file, by `hyperstack`; None where all pages follow each other.
        page: 0-based.
    """
    if sizes is None:
        return None, page
    channel, number, time = sizes.numbers(page)
    # ImageJ often takes the slices of a series for time points.
    return (channel, time if sizes.slices > 1 else 0), number if sizes.slices > 1 else time
