"""Pixel sizes in the OME description of a TIFF, which may tell of several images."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from mito_instance.io.length_units import scaled, unit_nm
from mito_instance.io.maker_tags import EdgesNm

_ROOT = re.compile(r'<(?:\w+:)?OME\b[^<>]*\bUUID\s*=\s*"([^"]*)"')
_PIXELS = re.compile(r"<(?:\w+:)?Pixels\b([^<>]*)>")
_PLANES = re.compile(
    r"<(?:\w+:)?TiffData\b([^<>]*)>(?:\s*<(?:\w+:)?UUID\b[^<>]*>\s*([^<>\s]*))?",
)


@dataclass(frozen=True, slots=True)
class _Image:
    """One ``<Pixels>`` of the description.

    Args:
        edges: of its pixels.
        planes: directories of this file that hold it.
    """

    edges: EdgesNm
    planes: tuple[range, ...]


def ome_edges(description: str, directory: int) -> list[EdgesNm]:
    """Edges of a pixel from ``PhysicalSizeX`` and ``Y``; the default unit is µm.

    Read by pattern, not by an XML parser: nothing in a stranger's file is expanded.

    Args:
        description: of the file's first page.
        directory: 0-based position of a page's directory in the file.

    Returns:
        What is said of the image that has the page. Where the file does not say which of its
        images that is (``TiffData`` with ``IFD``), each size that it gives, once. Nothing where
        no image is described.
    """
    images = _images(description)
    sizes = _distinct(images)
    if len(sizes) < 2:
        return sizes
    holders = [image for image in images if any(directory in span for span in image.planes)]
    return _distinct(holders) or sizes


def ome_dimensions(description: str, n_pages: int) -> tuple[int, int, int, str] | None:
    """Channels, slices, time points and order (such as ``"CZT"``) of the only image described.

    Args:
        description: of the file's first page.
        n_pages: directories of the file.

    Returns:
        None where several images are described, a number is missing, or they do not make up the
        pages: a file of a set, or samples of colours.
    """
    found = _PIXELS.findall(description)
    if len(found) != 1:
        return None
    attributes = _attributes(found[0])
    sizes = [_whole(attributes.get(f"Size{axis}", "")) for axis in "CZT"]
    order = attributes.get("DimensionOrder", "")[2:]
    if None in sizes or sorted(order) != ["C", "T", "Z"]:
        return None
    channels, slices, frames = (size or 0 for size in sizes)
    if channels * slices * frames != n_pages:
        return None
    return channels, slices, frames, order


@lru_cache(maxsize=4)
def _images(description: str) -> tuple[_Image, ...]:
    """All images of a description; remembered, as each page of a file asks for them."""
    root = _ROOT.search(description)
    own = root.group(1) if root else ""
    found = list(_PIXELS.finditer(description))
    ends = [pixels.start() for pixels in found[1:]] + [len(description)]
    return tuple(
        _Image(_edges(pixels.group(1)), tuple(_planes(description[pixels.end() : end], own)))
        for pixels, end in zip(found, ends, strict=True)
    )


def _edges(text: str) -> EdgesNm:
    attributes = _attributes(text)
    x_nm, y_nm = (
        scaled(
            attributes.get(f"PhysicalSize{axis}"),
            unit_nm(attributes.get(f"PhysicalSize{axis}Unit", "µm")),
        )
        for axis in "XY"
    )
    return x_nm, y_nm


def _planes(text: str, own: str) -> Iterator[range]:
    """Directories of this file, not of others of its set, that belong to an image.

    Source: OME schema, TiffData: all directories without ``IFD``; with it one, or as many as
    ``PlaneCount`` says.
    """
    for found in _PLANES.finditer(text):
        if found.group(2) not in (None, own):
            continue
        attributes = _attributes(found.group(1))
        first = _whole(attributes.get("IFD", ""))
        if first is None:
            yield range(sys.maxsize)
        else:
            count = _whole(attributes.get("PlaneCount", ""))
            yield range(first, first + (1 if count is None else count))


def _attributes(text: str) -> dict[str, str]:
    """Attributes of a tag; from each word one bounded step, so that none takes long."""
    return dict(re.findall(r'\b(\w{1,64})\s{0,8}=\s{0,8}"([^"]{0,256})"', text))


def _whole(text: str) -> int | None:
    """A whole number of reasonable length; None for all else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _distinct(images: Iterable[_Image]) -> list[EdgesNm]:
    """The sizes of images, each once."""
    by_digits: dict[tuple[str | None, ...], EdgesNm] = {}
    for image in images:
        digits = tuple(None if edge is None else f"{edge:.9g}" for edge in image.edges)
        by_digits.setdefault(digits, image.edges)
    return list(by_digits.values())
