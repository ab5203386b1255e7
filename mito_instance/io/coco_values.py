"""Single values of a COCO JSON, checked; each error names the entry, the rule and the value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mito_instance.errors import AnnotationError

Identifier = int | str
MAX_NAME = 1000
MAX_PATH = 4096
MAX_GROUP = 65_535


def score(value: Any, where: str) -> float:
    """A score in [0, 1]."""
    result = number(value, f"{where} score")
    if not 0.0 <= result <= 1.0:  # also refuses NaN
        raise AnnotationError(f"{where}: score must lie in [0, 1], got {result}; correct the score")
    return result


def number(value: Any, where: str) -> float:
    """A JSON number as float."""
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
    except OverflowError:
        pass
    raise AnnotationError(f"{where}: must be a number, got {short(value)}; correct the value")


def whole_number(value: Any, where: str, *, minimum: int) -> int:
    """A JSON integer, or a float without fraction."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        raise AnnotationError(
            f"{where}: must be a whole number >= {minimum}, got {short(value)}; correct the value"
        )
    return value


def identifier(value: Any, where: str) -> Identifier:
    """An id: a whole number or a text."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise AnnotationError(
            f"{where}: must be a whole number or a text, got {short(value)}; correct the id"
        )
    return value


def name(value: Any) -> str:
    """A name as one printable line of at most `MAX_NAME` characters; empty for anything else."""
    if not isinstance(value, str):
        return ""
    return "".join(char for char in value[:MAX_NAME] if char.isprintable()).strip()


def is_crowd(entry: Mapping[str, Any], where: str) -> bool:
    """Whether an annotation is a region to ignore, and no single instance."""
    value = entry.get("iscrowd")
    if value is not None and not (isinstance(value, (int, float)) and value in (0, 1)):
        raise AnnotationError(
            f"{where} iscrowd: must be 0 or 1, got {short(value)}; correct the value"
        )
    return bool(value)


def group(value: Any) -> int:
    """A group number of ImageJ, 1 to 65535; 0 (none) for anything else."""
    return value if type(value) is int and 0 < value <= MAX_GROUP else 0


def track_id(value: Any) -> int:
    """Number of a 3D object, 1 to 2^53; 0 (none) for anything else."""
    return value if type(value) is int and 0 < value <= 2**53 else 0


def short(value: Any) -> str:
    """A value as it can stand in one line of an error."""
    if isinstance(value, int) and abs(value) >= 10**20:
        return "a number of more than 20 digits"
    text = type(value).__name__ if isinstance(value, (list, dict)) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
