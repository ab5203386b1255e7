"""Categories of instances from what ImageJ keeps of an ROI: its group or its name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from mito_instance.instances import ImageInstances

MITOCHONDRION = "mitochondrion"
_PREFIX = re.compile(r"[^-_0-9]*")


def categories_from_group(images: Sequence[ImageInstances]) -> list[ImageInstances]:
    """The same instances with category = group + 1; without a group, category 1.

    The numbers depend on nothing else, so that files converted one by one agree.

    Args:
        images: instances with ``groups``.
    """
    used = {group for image in images for group in image.groups if group}
    names = {1: MITOCHONDRION, **{group + 1: f"group {group}" for group in sorted(used)}}
    return [
        replace(
            image,
            category_ids=tuple(group + 1 for group in image.groups or (0,) * len(image)),
            category_names=names,
        )
        for image in images
    ]


def categories_from_name(images: Sequence[ImageInstances]) -> list[ImageInstances]:
    """The same instances with a category for each `name_prefix`, numbered in alphabetic order.

    Category 1 is that of instances without a prefix, and of the prefix ``mitochondrion``. The
    numbers depend on which prefixes occur: files that belong together are converted together.

    Args:
        images: instances with ``names``.
    """
    prefixes = [
        [name_prefix(name) for name in image.names or ("",) * len(image)] for image in images
    ]
    others = sorted({prefix for names in prefixes for prefix in names} - {"", MITOCHONDRION})
    numbers = {"": 1, MITOCHONDRION: 1, **{name: i for i, name in enumerate(others, start=2)}}
    names = {1: MITOCHONDRION, **{numbers[name]: name for name in others}}
    return [
        replace(
            image,
            category_ids=tuple(numbers[prefix] for prefix in of_image),
            category_names=names,
        )
        for image, of_image in zip(images, prefixes, strict=True)
    ]


def name_prefix(name: str) -> str:
    """The name up to its first hyphen, underscore or digit, in lower case; ``dark-3`` is dark."""
    found = _PREFIX.match(name)
    return found.group().strip().casefold() if found else ""
