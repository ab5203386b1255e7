"""Checks of crowd regions: where nobody outlined single instances (COCO's ``iscrowd`` 1)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mito_instance.annotations.check_images import ImageEntry
from mito_instance.annotations.check_masks import check_mask
from mito_instance.annotations.findings import LEFT_OUT, Finding, Findings, printable
from mito_instance.errors import AnnotationError
from mito_instance.io import coco_values
from mito_instance.io.coco_crowds import CVAT_MARKS_THEM, may_be_brush_mask
from mito_instance.masks.rle import RLE

_SINGLE = "written as single instances"
_KEPT = "kept as a crowd region"
_WRITTEN_AS_TEXT = {"0": False, "1": True}


def crowd_mark(entry: dict[str, Any]) -> bool | None:
    """Whether an annotation is marked as a crowd region; None when the mark cannot be read."""
    try:
        return coco_values.is_crowd(entry, "")
    except AnnotationError:
        given = entry["iscrowd"]
        return _WRITTEN_AS_TEXT.get(given) if isinstance(given, str) else None


def is_instance(
    entry: dict[str, Any],
    image: ImageEntry,
    where: str,
    findings: Findings,
    regions: list[RLE],
    *,
    crowds_are_instances: bool,
) -> bool:
    """Whether an annotation is of a single instance; crowd regions, and what may be one, are not.

    Args:
        entry: the annotation.
        image: its image.
        where: the annotation, for the messages.
        findings: grows.
        regions: grows by the mask of a crowd region that a repair keeps.
        crowds_are_instances: whether a repair keeps crowd regions as single instances.
    """
    is_crowd = crowd_mark(entry)
    given = entry.get("iscrowd")
    if is_crowd is None or isinstance(given, str):
        findings.add(
            "crowd-mark",
            where,
            f"iscrowd must be 0 or 1, got {printable(coco_values.short(given))}",
            LEFT_OUT if is_crowd is None else f"read as {int(is_crowd)}",
        )
    if is_crowd is False:
        return True
    is_kept = is_crowd and crowds_are_instances
    mask, problems = (None, []) if is_kept else _region(entry, image, where)
    if is_crowd:
        text = "a crowd region is no single instance"
        if may_be_brush_mask(entry.get("segmentation"), image.image_hw):
            text += f"; {CVAT_MARKS_THEM}: if it is one, give --fix and --crowds-are-instances"
        repair = _SINGLE if is_kept else LEFT_OUT if mask is None else _KEPT
        findings.add("crowd", where, text, repair)
        if mask is not None:
            regions.append(mask)
    findings.items += problems
    return bool(is_kept)


def _region(
    entry: dict[str, Any], image: ImageEntry, where: str
) -> tuple[RLE | None, list[Finding]]:
    """The mask of what is no single instance, and what makes it unreadable."""
    if not entry.get("segmentation") or not image.is_usable:
        return None, []
    found = Findings()
    mask = check_mask(entry["segmentation"], image.image_hw, where, found)
    return mask, [replace(i, repair=LEFT_OUT) for i in found.items if i.severity == "error"]
