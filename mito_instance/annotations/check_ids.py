"""Checks of the ids of annotations: their own, and that of their image."""

from __future__ import annotations

from typing import Any

from mito_instance.annotations.check_images import ImageEntry, readable_id
from mito_instance.annotations.findings import LEFT_OUT, Findings, printable
from mito_instance.io.coco_values import Identifier


def check_id(entry: dict[str, Any], where: str, seen: set[Identifier], findings: Findings) -> None:
    """Note an id that is none, or that an annotation before it has.

    Args:
        entry: the annotation.
        where: the annotation, for the messages.
        seen: ids of the annotations before it; grows.
        findings: grows.
    """
    given = entry.get("id")
    if isinstance(given, bool) or not isinstance(given, (int, str)):
        findings.add(
            "annotation-id",
            where,
            f"id must be a whole number or a text, got {printable(given)}",
            "numbered anew",
        )
        return
    if given in seen:
        findings.add("annotation-id-twice", where, "the id is used twice", "numbered anew")
    seen.add(given)


def image_of(
    entry: dict[str, Any], where: str, images: dict[Identifier, ImageEntry], findings: Findings
) -> Identifier | None:
    """Id of the image that an annotation belongs to; None when there is no such image.

    Args:
        entry: the annotation.
        where: the annotation, for the messages.
        images: every image by its id.
        findings: grows.
    """
    given = entry.get("image_id")
    key = readable_id(given)
    if key is not None and isinstance(given, float):
        findings.add(
            "annotation-image-id",
            where,
            f"image_id must be a whole number or a text, got {printable(given)}",
            f"read as {key}",
        )
    if key is not None and key not in images:
        other = _other_type(key)
        if other is not None and other in images:
            findings.add(
                "id-type-differs",
                f"{images[other].where} {where}",
                f"image_id is {given!r:.40} but the image's id is {other!r:.40}",
                "taken as equal",
            )
            return other
    if key is None or key not in images:
        findings.add(
            "annotation-without-image",
            where,
            f"image_id {printable(given)} is not among the {len(images)} images",
            LEFT_OUT,
        )
        return None
    return key


def _other_type(key: Identifier) -> Identifier | None:
    """``1`` for ``"1"`` and the other way round; None for other texts and huge numbers."""
    if isinstance(key, int):
        return str(key) if abs(key) < 10**20 else None
    digits = key.strip()
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 20 else None
