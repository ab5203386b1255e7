"""The ``categories`` of a COCO JSON: ids and names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mito_instance.instances import ImageInstances
from mito_instance.io import coco_values as values

MITOCHONDRION: dict[str, Any] = {"id": 1, "name": "mitochondrion"}


def category_entries(images: Sequence[ImageInstances]) -> list[dict[str, Any]]:
    """The ``categories`` entry: all that are named or used, category 1 always."""
    names = {MITOCHONDRION["id"]: MITOCHONDRION["name"]}
    for image in images:
        names.update(image.category_names)
    for used in {category for image in images for category in image.category_ids}:
        names.setdefault(used, f"category {used}")
    return [{"id": int(key), "name": names[key]} for key in sorted(names)]


def category_names_of(document: dict[str, Any]) -> dict[int, str]:
    """Names of the categories, as far as the file gives usable ones."""
    entries = document.get("categories")
    named = entries if isinstance(entries, list) else []
    return {
        entry["id"]: name
        for entry in named
        if isinstance(entry, dict)
        and type(entry.get("id")) is int
        and (name := values.name(entry.get("name")))
    }
