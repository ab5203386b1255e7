"""Length units and positive numbers as image files write them."""

from __future__ import annotations

import html
import math
import re
from typing import Any

_NM_PER_PREFIX = {"pico": 1e-3, "nano": 1.0, "micro": 1e3, "milli": 1e6, "centi": 1e7, "": 1e9}
_NM_PER_SYMBOL = {
    "pm": 1e-3,
    "å": 0.1,
    "nm": 1.0,
    "µm": 1e3,
    "um": 1e3,
    "mm": 1e6,
    "cm": 1e7,
    "m": 1e9,
    "in": 25.4e6,
    '"': 25.4e6,
    "inch": 25.4e6,
    "inches": 25.4e6,
}
_NM_PER_WORD = {
    **{f"{prefix}meter": nm for prefix, nm in _NM_PER_PREFIX.items()},
    **{f"{prefix}metre": nm for prefix, nm in _NM_PER_PREFIX.items()},
    "angstrom": 0.1,
    "micron": 1e3,
}
NM_PER_UNIT = {
    **_NM_PER_SYMBOL,
    **_NM_PER_WORD,
    **{f"{word}s": nm for word, nm in _NM_PER_WORD.items()},
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
