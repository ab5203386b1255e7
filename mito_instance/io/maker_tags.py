"""Edges of a pixel that makers of microscopes write into private tags of a TIFF."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator
from typing import Any

from mito_instance.io.length_units import positive, scaled, unit_nm

logger = logging.getLogger(__name__)

EdgesNm = tuple[float | None, float | None]
"""Width and height of a pixel in nm; None where unknown."""

FIBICS_TAG = 51023
_MAX_FIBICS_CHARS = 1 << 20


def maker_edges(tif: Any, page: Any, where: str) -> Iterator[tuple[str, EdgesNm]]:
    """What the tags of FEI / Thermo Fisher, Zeiss and Fibics say, each with the maker's name.

    Args:
        tif: the open ``tifffile.TiffFile``.
        page: one of its pages.
        where: the file, for the log.
    """
    if tif.is_fei:
        yield "fei", _fei(tif.fei_metadata or {})
    if tif.is_sem:
        yield "zeiss", _zeiss(tif.sem_metadata or {})
    text = page.tags.valueof(FIBICS_TAG, None) or tif.pages.first.tags.valueof(FIBICS_TAG, None)
    if text:
        yield "fibics", _fibics(text, (int(page.imagewidth), int(page.imagelength)), where)


def _fei(metadata: dict[str, Any]) -> EdgesNm:
    """``PixelWidth`` and ``PixelHeight`` of the scan, in metres."""
    scan = metadata.get("Scan", {})
    return scaled(scan.get("PixelWidth"), 1e9), scaled(scan.get("PixelHeight"), 1e9)


def _zeiss(metadata: dict[str, Any]) -> EdgesNm:
    """``AP_IMAGE_PIXEL_SIZE``, or ``AP_PIXEL_SIZE``, with its unit; pixels are square."""
    for key in ("ap_image_pixel_size", "ap_pixel_size"):
        entry = metadata.get(key)
        if isinstance(entry, tuple) and len(entry) == 3:
            edge = scaled(entry[1], unit_nm(str(entry[2])))
            if edge is not None:
                return edge, edge
    return None, None


def _fibics(text: Any, size_wh: tuple[int, int], where: str) -> EdgesNm:
    """Lengths of the scan's two steps, or else the field of view by its number of pixels.

    ``Ux, Uy`` is the step from a pixel to its right neighbour, ``Vx, Vy`` that to the one below;
    in a rotated scan each has two components. They are in the unit of the field of view, µm where
    that has none. Read by pattern, not by an XML parser: nothing in a stranger's file is expanded.

    Args:
        text: content of the tag, text or bytes.
        size_wh: width and height of the page; what describes an image of another size (a resized
            copy that kept the tag) is not taken.
        where: the file, for the log.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    text = str(text)[:_MAX_FIBICS_CHARS]
    if "<Fibics" not in text:
        return None, None
    image, scan = _element(text, "Image"), _element(text, "Scan")
    described = tuple(positive(_element(image, name)) for name in ("Width", "Height"))
    if None not in described and described != size_wh:
        logger.warning(
            "%s: the Fibics tag describes an image of %g x %g px but this one has %d x %d; its "
            "pixel size is not used",
            where,
            *described,
            *size_wh,
        )
        return None, None
    fields = [re.search(rf'<FOV_{axis}(?:\s+units="([^"]*)")?\s*>([^<]*)<', scan) for axis in "XY"]
    factor = unit_nm((fields[0].group(1) if fields[0] else None) or "um")
    steps = [_length(scan, "Ux", "Uy"), _length(scan, "Vx", "Vy")]
    if None in steps:
        steps = [
            None if field is None else _divided(positive(field.group(2)), length)
            for field, length in zip(fields, described, strict=True)
        ]
    return scaled(steps[0], factor), scaled(steps[1], factor)


def _element(text: str, name: str) -> str:
    """Content of the first element of a name; empty if there is none."""
    found = re.search(rf"<{name}(?:\s[^<>]*)?>", text)
    end = text.find(f"</{name}>", found.end()) if found else -1
    return text[found.end() : end] if found and end >= 0 else ""


def _length(scan: str, *names: str) -> float | None:
    """Length of a vector with the given components; None if one is missing, or all are 0."""
    try:
        return positive(math.hypot(*(float(_element(scan, name)) for name in names)))
    except ValueError:
        return None


def _divided(length: float | None, count: float | None) -> float | None:
    return None if length is None or count is None else length / count
