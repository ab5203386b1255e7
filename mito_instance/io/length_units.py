"""Length units and positive numbers as image files write them."""

from __future__ import annotations

import html
import math
import re
from typing import Any

NM_PER_UNIT = {
    "pm": 1e-3,
    "å": 0.1,
    "angstrom": 0.1,
    "angstroms": 0.1,
    "nm": 1.0,
    "nanometer": 1.0,
    "nanometre": 1.0,
    "nanometers": 1.0,
    "nanometres": 1.0,
    "µm": 1e3,
    "um": 1e3,
    "micron": 1e3,
    "microns": 1e3,
    "micrometer": 1e3,
    "micrometre": 1e3,
    "micrometers": 1e3,
    "micrometres": 1e3,
    "mm": 1e6,
    "millimeter": 1e6,
    "cm": 1e7,
    "centimeter": 1e7,
    "m": 1e9,
    "meter": 1e9,
    "inch": 25.4e6,
    "inches": 25.4e6,
    "in": 25.4e6,
    '"': 25.4e6,
}


def unit_nm(unit: str) -> float | None:
    r"""Nanometres of a length unit; None for ``pixel`` and all that is no length.

    Both micro signs and ImageJ's escapes (``\u00B5m``, ``\u00C5``) are understood.
    """
    text = html.unescape(unit).strip()
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found.group(1), 16)), text)
    text = text.replace("\u03bc", "µ").replace("\u212b", "Å")
    return NM_PER_UNIT.get(text.lower())


def positive(value: Any) -> float | None:
    """A finite number above 0, or None."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def scaled(edge: Any, factor: float | None) -> float | None:
    """A positive length times the nanometres of its unit; None where either is unknown."""
    size = positive(edge)
    return None if size is None or factor is None else size * factor
