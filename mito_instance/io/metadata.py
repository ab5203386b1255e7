"""Pixel size that an image file states; what is doubtful is unknown, never guessed."""

from __future__ import annotations

import html
import logging
import math
import re
from typing import Any

from mito_instance.calibration import MAX_NM, MIN_NM, PixelSize

logger = logging.getLogger(__name__)

NM_PER_UNIT = {
    "pm": 1e-3,
    "å": 0.1,
    "angstrom": 0.1,
    "nm": 1.0,
    "nanometer": 1.0,
    "nanometre": 1.0,
    "µm": 1e3,
    "um": 1e3,
    "micron": 1e3,
    "microns": 1e3,
    "micrometer": 1e3,
    "micrometre": 1e3,
    "mm": 1e6,
    "millimeter": 1e6,
    "cm": 1e7,
    "centimeter": 1e7,
    "m": 1e9,
    "meter": 1e9,
    "inch": 25.4e6,
    "in": 25.4e6,
    '"': 25.4e6,
}
MAX_PRINT_NM = 1000.0
"""Sizes in inch or cm are taken for print resolution (72, 96, 300 dpi …) beyond 1 µm a pixel.

No electron micrograph of mitochondria has pixels that large, no printer dots that small.
"""
MAX_ANISOTROPY = 0.01
MRC_DEFAULT_NM = 0.1
"""Writers of MRC that know no pixel size put 1 Å; a micrograph of so fine a pixel shows atoms."""
_PRINT_UNITS = frozenset({"inch", "in", '"', "cm", "centimeter"})
_TIFF_UNITS = {2: "inch", 3: "cm"}
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 282, 283, 296


def unit_nm(unit: str) -> float | None:
    r"""Nanometres of a length unit; None for ``pixel`` and all that is no length.

    Both micro signs and ImageJ's escape ``\u00B5m`` are understood.
    """
    text = html.unescape(unit).strip()
    text = re.sub(r"\\u00b5", "µ", text, flags=re.IGNORECASE)
    text = text.replace("\u03bc", "µ").replace("\u212b", "Å")
    return NM_PER_UNIT.get(text.lower())


def tiff_pixel_size(tif: Any, page: Any, where: str) -> PixelSize | None:
    """Pixel size of a TIFF page: OME, microscope maker, ImageJ, resolution tags, in that order.

    Args:
        tif: the open ``tifffile.TiffFile``.
        page: one of its pages.
        where: the file, for the log.

    Returns:
        The size, or None when the file does not say, says it in pixels, says a print
        resolution, or says different sizes in x and y (more than 1 % apart).
    """
    description = tif.pages.first.description
    if tif.is_ome:
        return _from_ome(description, where)
    if tif.is_fei or tif.is_sem:
        return _from_maker(tif, where)
    if description.startswith("ImageJ="):
        return _from_imagej(description, page, where)
    return _from_tags(page, where)


def mrc_pixel_size(edges_angstrom: tuple[float, float], where: str) -> PixelSize | None:
    """Pixel size of an MRC file.

    Args:
        edges_angstrom: length of the cell by its number of intervals, along columns and rows.
        where: the file, for the log.

    Returns:
        The size, or None when it is absent, exactly 1 Å (the default of writers that know
        none), or differs in x and y by more than 1 %.
    """
    x_nm, y_nm = (_scaled(edge, 0.1) for edge in edges_angstrom)
    size = _square(x_nm, y_nm, "mrc", where)
    if size is not None and math.isclose(size.nm, MRC_DEFAULT_NM, rel_tol=1e-5):
        logger.info("%s: a pixel size of exactly 1 Å is a default; it counts as unknown", where)
        return None
    return size


def dm_pixel_size(scales: tuple[Any, Any], units: tuple[str, str], where: str) -> PixelSize | None:
    """Pixel size of a DigitalMicrograph file.

    Args:
        scales: calibrations of the first two dimensions, x and y.
        units: their units.
        where: the file, for the log.

    Returns:
        The size, or None when a unit is no length, such as 1/nm, or the pixels are not square.
    """
    x_nm, y_nm = (_scaled(scale, unit_nm(unit)) for scale, unit in zip(scales, units, strict=True))
    return _square(x_nm, y_nm, "dm", where)


def _scaled(edge: Any, factor: float | None) -> float | None:
    """A positive length times the nanometres of its unit; None where either is unknown."""
    size = _positive(edge)
    return None if size is None or factor is None else size * factor


def _from_ome(description: str, where: str) -> PixelSize | None:
    """``PhysicalSizeX`` and ``Y`` of the first image; the default unit is µm.

    Read by pattern, not by an XML parser: nothing in a stranger's file is expanded.
    """
    pixels = re.search(r"<(?:\w+:)?Pixels\b([^>]*)>", description)
    attributes = dict(re.findall(r'(\w+)\s*=\s*"([^"]*)"', pixels.group(1))) if pixels else {}
    edges = []
    for axis in ("X", "Y"):
        factor = unit_nm(attributes.get(f"PhysicalSize{axis}Unit", "µm"))
        size = _positive(attributes.get(f"PhysicalSize{axis}"))
        edges.append(None if factor is None or size is None else size * factor)
    return _square(edges[0], edges[1], "ome", where)


def _from_maker(tif: Any, where: str) -> PixelSize | None:
    """Private tags of FEI / Thermo Fisher (metres) and Zeiss (value and unit)."""
    if tif.is_fei:
        scan = (tif.fei_metadata or {}).get("Scan", {})
        edges = [_positive(scan.get(key)) for key in ("PixelWidth", "PixelHeight")]
        x_nm, y_nm = (None if edge is None else edge * 1e9 for edge in edges)
        return _square(x_nm, y_nm, "fei", where)
    for key in ("ap_image_pixel_size", "ap_pixel_size"):
        entry = (tif.sem_metadata or {}).get(key)
        if isinstance(entry, tuple) and len(entry) == 3:
            factor, size = unit_nm(str(entry[2])), _positive(entry[1])
            if factor is not None and size is not None:
                return _square(size * factor, size * factor, "zeiss", where)
    return None


def _from_imagej(description: str, page: Any, where: str) -> PixelSize | None:
    """Resolution tags in the unit of ImageJ's description, which overrules the unit tag.

    ImageJ writes pixels per unit into the resolution tags, ``unit=`` into the description, and
    ``yunit=`` only where it differs. Without a unit the tags alone decide.
    """
    entries = dict(line.split("=", 1) for line in description.splitlines() if "=" in line)
    unit = entries.get("unit", "")
    if not unit.strip():
        return _from_tags(page, where)
    return _from_resolution(page, (unit, entries.get("yunit", unit)), "imagej", where)


def _from_tags(page: Any, where: str) -> PixelSize | None:
    """Plain TIFF resolution, taken only where it cannot be a print resolution."""
    unit = _TIFF_UNITS.get(page.tags.valueof(_RESOLUTION_UNIT, 2), "")
    return _from_resolution(page, (unit, unit), "tiff-resolution", where)


def _from_resolution(
    page: Any, units_xy: tuple[str, str], source: str, where: str
) -> PixelSize | None:
    """Size from the resolution tags, which hold pixels per unit."""
    edges: list[float | None] = []
    for code, unit in zip((_X_RESOLUTION, _Y_RESOLUTION), units_xy, strict=True):
        factor = unit_nm(unit)
        per_unit = _ratio(page.tags.valueof(code, None))
        edge = None if factor is None or per_unit is None else factor / per_unit
        if edge is not None and unit.strip().lower() in _PRINT_UNITS and edge > MAX_PRINT_NM:
            logger.debug("%s: resolution in %s is a print resolution, ignored", where, unit)
            edge = None
        edges.append(edge)
    return _square(edges[0], edges[1], source, where)


def _square(x_nm: float | None, y_nm: float | None, source: str, where: str) -> PixelSize | None:
    """The size of a square pixel, if it is known and square.

    Rounded to 6 digits: TIFF and ImageJ store the reciprocal as a rounded fraction.
    """
    if x_nm is None or y_nm is None:
        return None
    if abs(x_nm - y_nm) > MAX_ANISOTROPY * min(x_nm, y_nm):
        logger.warning(
            "%s: pixels are not square (%.6g x %.6g nm); the pixel size counts as unknown, "
            "resample the image or give the size",
            where,
            x_nm,
            y_nm,
        )
        return None
    edge_nm = float(f"{x_nm:.6g}")
    if not MIN_NM <= edge_nm <= MAX_NM:
        logger.warning("%s: pixel size %.6g nm is impossible; it counts as unknown", where, edge_nm)
        return None
    return PixelSize(edge_nm, source)


def _positive(value: Any) -> float | None:
    """A finite number above 0, or None."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def _ratio(value: Any) -> float | None:
    """A TIFF rational (numerator, denominator) as a number above 0, or None."""
    if not isinstance(value, tuple) or len(value) != 2:
        return _positive(value)
    numerator, denominator = _positive(value[0]), _positive(value[1])
    return None if numerator is None or denominator is None else numerator / denominator
