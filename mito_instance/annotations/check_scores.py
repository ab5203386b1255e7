"""Checks of the scores of annotations, and of the mark of crowd regions."""

from __future__ import annotations

from typing import Any

from mito_instance.annotations.check_images import number
from mito_instance.annotations.findings import LEFT_OUT, Findings, printable
from mito_instance.errors import AnnotationError
from mito_instance.io import coco_values
from mito_instance.io.coco_crowds import CVAT_MARKS_THEM, may_be_brush_mask

_SINGLE = "written as single instances"
_WRITTEN_AS_TEXT = {"0": False, "1": True}


def check_scores(entries: list[Any], findings: Findings, *, crowds_are_instances: bool) -> bool:
    """Whether every annotation carries a usable score; crowd regions need none.

    Args:
        entries: ``annotations`` of the file.
        findings: grows.
        crowds_are_instances: whether crowd regions are annotations as all others.
    """
    objects = [
        entry
        for entry in entries
        if isinstance(entry, dict) and (crowds_are_instances or not crowd_mark(entry))
    ]
    scored = [entry for entry in objects if entry.get("score") is not None]
    is_usable = bool(scored)
    for entry in objects:
        where = f"annotation {printable(entry.get('id'), 40)}"
        if "score" in entry and entry["score"] is None:
            findings.add("score", where, "score must be a number or absent, got null", "removed")
        elif "score" in entry and not 0.0 <= number(entry["score"]) <= 1.0:
            findings.add(
                "score",
                where,
                f"score must lie in [0, 1], got {printable(entry['score'])}",
                "all scores removed",
            )
            is_usable = False
    if scored and len(scored) < len(objects):
        findings.add(
            "score-partial",
            "",
            f"{len(scored)} of {len(objects)} annotations carry a score",
            "all scores removed",
        )
        is_usable = False
    return is_usable


def crowd_mark(entry: dict[str, Any]) -> bool | None:
    """Whether an annotation is marked as a crowd region; None when the mark cannot be read."""
    try:
        return coco_values.is_crowd(entry, "")
    except AnnotationError:
        given = entry["iscrowd"]
        return _WRITTEN_AS_TEXT.get(given) if isinstance(given, str) else None


def check_crowd(
    entry: dict[str, Any],
    image_hw: tuple[int, int],
    where: str,
    findings: Findings,
    *,
    crowds_are_instances: bool,
) -> bool:
    """Whether an annotation is left out for being a crowd region, or perhaps one.

    Args:
        entry: the annotation.
        image_hw: height and width of its image in pixels.
        where: the annotation, for the messages.
        findings: grows.
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
    if is_crowd:
        text = "a crowd region is no single instance"
        if may_be_brush_mask(entry.get("segmentation"), image_hw):
            text += f"; {CVAT_MARKS_THEM}: if it is one, give --fix and --crowds-are-instances"
        findings.add("crowd", where, text, _SINGLE if crowds_are_instances else LEFT_OUT)
    return is_crowd is None or (is_crowd and not crowds_are_instances)
