"""Checks of the ``categories`` of a COCO JSON and of their use."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from mito_instance.annotations.check_images import whole
from mito_instance.annotations.findings import LEFT_OUT, Findings, printable
from mito_instance.io import coco_values
from mito_instance.io.coco_categories import MITOCHONDRION


def check_categories(document: dict[str, Any], findings: Findings) -> dict[int, str]:
    """Names of the categories by id; an empty name where the file gives none."""
    entries = document.get("categories")
    if not isinstance(entries, list) or not entries:
        findings.add("category-entry", "", "the file lists no categories", "mitochondrion listed")
        return {}
    names: dict[int, str] = {}
    for position, entry in enumerate(entries):
        where = f"categories[{position}]"
        key = whole(entry.get("id"), 0) if isinstance(entry, dict) else None
        if key is None:
            findings.add(
                "category-entry", where, "a category needs an id that is a whole number", LEFT_OUT
            )
            continue
        name = coco_values.name(entry.get("name"))
        if key in names:
            findings.add("category-entry", where, f"id {printable(key)} is used twice", LEFT_OUT)
            continue
        if not name:
            findings.add("category-entry", where, f"category {printable(key)} has no name")
        names[key] = name
    return names


def category_of(
    entry: dict[str, Any], where: str, category_ids: Collection[int], findings: Findings
) -> int | None:
    """The category; None when it cannot be read."""
    if entry.get("category_id") is None:
        findings.add("category-id", where, "has no category_id", "taken as 1, mitochondrion")
        return int(MITOCHONDRION["id"])
    category = whole(entry["category_id"], 0)
    if category is None:
        findings.add(
            "category-id",
            where,
            f"category_id must be a whole number >= 0, got {printable(entry['category_id'])}",
            LEFT_OUT,
        )
        return None
    if category_ids and category not in category_ids:
        findings.add(
            "category-unknown",
            where,
            f"category {printable(category)} is not among the file's categories",
            "category listed",
        )
    return category


def check_used_categories(
    used_ids: Iterable[int], names: Mapping[int, str], findings: Findings
) -> dict[int, int]:
    """New ids of categories: a file's only category becomes 1.

    Args:
        used_ids: categories of the annotations.
        names: the file's categories.
        findings: grows.
    """
    used = sorted(set(used_ids))
    for key in sorted(set(names) - set(used)) if used else ():
        text = f"category {printable(key)} ({printable(names[key])}) has no annotation"
        findings.add("category-unused", "", text)
    if not used or (used[0] >= 1 and used[-1] <= len(used)):
        return {}
    text = f"categories must be numbered from 1, got {', '.join(printable(i) for i in used[:5])}"
    if len(used) == 1:
        findings.add("category-number", "", text, "the only category numbered 1")
        return {used[0]: 1}
    findings.add("category-number", "", text)
    return {}
