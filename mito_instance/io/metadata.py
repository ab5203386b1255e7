"""Pixel size that an image file states; what is doubtful is unknown, never guessed."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from typing import Any

from mito_instance.calibration import MAX_NM, MIN_NM, PixelSize
from mito_instance.io.length_units import NM_PER_UNIT, positive, scaled, unit_nm
from mito_instance.io.maker_tags import EdgesNm, maker_edges
from mito_instance.io.ome import ome_edges

logger = logging.getLogger(__name__)

MAX_PRINT_NM = 1000.0
"""Sizes in inch or cm are taken for print resolution (72, 96, 300 dpi …) beyond 1 µm a pixel.

No electron micrograph of mitochondria has pixels that large, no printer dots that small.
"""
MAX_FILE_NM = 20_000.0
"""Larger sizes in a file, in whatever unit, are print resolutions that a program converted.

72 dpi is 352,778 nm a pixel, 600 dpi 42,333; an overview photograph in a microscope has a few
thousand.
"""
MAX_ANISOTROPY = 0.01
MRC_DEFAULT_NM = 0.1
"""Writers of MRC that know no pixel size put 1 Å; a micrograph of so fine a pixel shows atoms."""
_PRINT_UNITS = frozenset(
    {"inch", "inches", "in", '"', "cm", "centimeter", "centimeters", "centimetre", "centimetres"}
)
_NO_LENGTHS = frozenset({"", "pixel", "pixels", "px"})
_TIFF_UNITS = {2: "inch", 3: "cm"}
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 282, 283, 296

_said: set[tuple[str, tuple[Any, ...]]] = set()
"""Warnings that were given in this process."""


def tiff_pixel_size(tif: Any, page: Any, where: str) -> PixelSize | None:
    """Pixel size of a TIFF page: OME, microscope maker, ImageJ, resolution tags, in that order.

    Args:
        tif: the open ``tifffile.TiffFile``.
        page: one of its pages.
        where: the file, for the log.

    Returns:
        What the first of them says that states both edges. None when none does, when they are
        more than 1 % apart, or when the file says pixels or a print resolution. Where a later
        one disagrees by more than 1 %, a warning names both.
    """
    stated = [
        (source, x_nm, y_nm)
        for source, (x_nm, y_nm) in _tiff_edges(tif, page, where)
        if x_nm is not None and y_nm is not None
    ]
    if not stated:
        return None
    # A print resolution hides no size that another place states.
    stated = [place for place in stated if max(place[1:]) <= MAX_FILE_NM] or stated
    (source, *edges), *others = stated
    for other, *other_edges in others:
        pairs = zip(edges, other_edges, strict=True)
        if not all(math.isclose(*pair, rel_tol=MAX_ANISOTROPY) for pair in pairs):
            warn_once(
                "%s: pixel size is %.6g x %.6g nm in one place (%s) and %.6g x %.6g nm in another "
                "(%s); the first is used",
                (where, *edges, source, *other_edges, other),
            )
    return _square(edges[0], edges[1], source, where)


def _tiff_edges(tif: Any, page: Any, where: str) -> Iterator[tuple[str, EdgesNm]]:
    """Edges of a pixel from every place of a TIFF that may state them, the best first."""
    description = tif.pages.first.description
    if tif.is_ome:
        edges = ome_edges(description, page.index)
        if len(edges) > 1:
            _warn_of_images(edges, where)
        elif edges:
            yield "ome", edges[0]
    yield from maker_edges(tif, page, where)
    units_xy = _imagej_units(description)
    if units_xy is not None:
        for unit in units_xy:
            if unit_nm(unit) is None and unit.strip().lower() not in _NO_LENGTHS:
                warn_once(
                    "%s: its unit of length is %r, which is not known here; the pixel size counts "
                    "as unknown, give it",
                    (where, unit.strip()[:40]),
                )
        yield "imagej", _resolution_edges(tif, page, units_xy, where)
    unit = _TIFF_UNITS.get(_calibrated(tif, page).tags.valueof(_RESOLUTION_UNIT, 2), "")
    if units_xy is None or unit_nm(units_xy[0]) is not None:  # "pixel" means unknown
        yield "tiff-resolution", _resolution_edges(tif, page, (unit, unit), where)


def mrc_pixel_size(edges_angstrom: tuple[float, float], where: str) -> PixelSize | None:
    """Pixel size of an MRC file.

    Args:
        edges_angstrom: length of the cell by its number of intervals, along columns and rows.
        where: the file, for the log.

    Returns:
        The size, or None when it is absent, exactly 1 Å (the default of writers that know
        none), or differs in x and y by more than 1 %.
    """
    x_nm, y_nm = (scaled(edge, 0.1) for edge in edges_angstrom)
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
    x_nm, y_nm = (scaled(scale, unit_nm(unit)) for scale, unit in zip(scales, units, strict=True))
    return _square(x_nm, y_nm, "dm", where)


def _imagej_units(description: str) -> tuple[str, str] | None:
    """Units of x and y in ImageJ's description; None without one, or where it names no unit.

    ImageJ writes pixels per unit into the resolution tags, ``unit=`` into the description, and
    ``yunit=`` only where it differs. Without a unit the tags alone decide.
    """
    if not description.startswith("ImageJ="):
        return None
    entries = dict(line.split("=", 1) for line in description.splitlines() if "=" in line)
    unit = entries.get("unit", "")
    return (unit, entries.get("yunit", unit)) if unit.strip() else None


def _calibrated(tif: Any, page: Any) -> Any:
    """The page or, where its tags say nothing, the first one of the same size.

    Some writers calibrate the first page of a stack alone, and give the others 1 pixel a pixel.
    """
    ratios = [_ratio(page.tags.valueof(code, None)) for code in (_X_RESOLUTION, _Y_RESOLUTION)]
    has_unit = page.tags.valueof(_RESOLUTION_UNIT, 1) in _TIFF_UNITS
    says_nothing = ratios == [None, None] or (ratios == [1.0, 1.0] and not has_unit)
    first = tif.pages.first
    return first if says_nothing and page.shape == first.shape else page


def _resolution_edges(tif: Any, page: Any, units_xy: tuple[str, str], where: str) -> EdgesNm:
    """Edges from the resolution tags, which hold pixels per unit; None for print resolutions."""
    edges: list[float | None] = []
    codes = (_X_RESOLUTION, _Y_RESOLUTION)
    page = _calibrated(tif, page)
    for code, unit in zip(codes, units_xy, strict=True):
        factor = unit_nm(unit)
        per_unit = _ratio(page.tags.valueof(code, None))
        edge = None if factor is None or per_unit is None else factor / per_unit
        if edge is not None and unit.strip().lower() in _PRINT_UNITS and edge > MAX_PRINT_NM:
            logger.debug("%s: resolution in %s is a print resolution, ignored", where, unit)
            edge = None
        edges.append(edge)
    return edges[0], edges[1]


def _square(x_nm: float | None, y_nm: float | None, source: str, where: str) -> PixelSize | None:
    """The size of a square pixel, if it is known and square.

    Rounded to 6 digits: TIFF and ImageJ store the reciprocal as a rounded fraction.
    """
    if x_nm is None or y_nm is None:
        return None
    if abs(x_nm - y_nm) > MAX_ANISOTROPY * min(x_nm, y_nm):
        warn_once(
            "%s: pixels are not square (%.6g x %.6g nm); the pixel size counts as unknown, "
            "resample the image or give the size",
            (where, x_nm, y_nm),
        )
        return None
    edge_nm = float(f"{math.sqrt(x_nm * y_nm):.6g}")  # so that areas are right
    if not MIN_NM <= edge_nm <= MAX_NM:
        logger.warning("%s: pixel size %.6g nm is impossible; it counts as unknown", where, edge_nm)
        return None
    if edge_nm > MAX_FILE_NM:
        warn_once(
            "%s: a pixel size of %.6g nm (%.0f dpi) is a print resolution; it counts as unknown, "
            "give the size",
            (where, edge_nm, NM_PER_UNIT["inch"] / edge_nm),
        )
        return None
    return PixelSize(edge_nm, source)


def _warn_of_images(edges: list[EdgesNm], where: str) -> None:
    """Say that OME's images differ and that none of them is known to be the page."""
    first, second = (
        "unknown" if x_nm is None or y_nm is None else f"{x_nm:.6g} x {y_nm:.6g} nm"
        for x_nm, y_nm in edges[:2]
    )
    warn_once(
        "%s: the OME description has images of several pixel sizes (%s, %s) and does not say which "
        "pages are whose; they do not count, give the size",
        (where, first, second),
    )


def _ratio(value: Any) -> float | None:
    """A TIFF rational (numerator, denominator) as a number above 0, or None."""
    if not isinstance(value, tuple) or len(value) != 2:
        return positive(value)
    numerator, denominator = positive(value[0]), positive(value[1])
    return None if numerator is None or denominator is None else numerator / denominator


def warn_once(message: str, values: tuple[Any, ...]) -> None:
    """Warn of a file, not of each of its pages and not each time that it is opened.

    Args:
        message: with a ``%s`` for each value.
        values: the file and what is said of it.
    """
    if (message, values) not in _said:
        _said.add((message, values))
        logger.warning(message, *values)
