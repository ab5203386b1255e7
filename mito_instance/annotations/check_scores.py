"""Checks of the scores of annotations."""

from __future__ import annotations

from typing import Any

from mito_instance.annotations.check_crowds import crowd_mark
from mito_instance.annotations.check_images import number
from mito_instance.annotations.findings import Findings, printable


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
