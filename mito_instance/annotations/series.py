"""Which images are slices of one stack, and at which place, told by their names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from mito_instance.instances import ImageInstances
from mito_instance.io.images import SUFFIX_PATTERN

_SUFFIX = re.compile(rf"\.(?:{SUFFIX_PATTERN})$", re.IGNORECASE)
_NUMBERED = re.compile(r"^(.*?)([0-9]+)$", re.DOTALL)
_MAX_DIGITS = 40


@dataclass(frozen=True, slots=True)
class Slice:
    """Place of an image in its stack.

    Args:
        stack: what all slices of the stack share: a file, or a folder and a name without the
            trailing number.
        number: the page, or the trailing number of the name; neighbours differ by 1.
    """

    stack: str
    number: int


def slices_of(images: Sequence[ImageInstances]) -> list[Slice]:
    """The stack and place of each image.

    Pages of one file are one stack. Of files with one page, those in one folder are one stack
    whose names are equal but for the number at the end (``z001.png``, ``z002.png``); a name
    without such a number is a stack of its own.

    Args:
        images: images or pages; may be empty.
    """
    n_entries = Counter(image.image for image in images)
    return [_slice(image, n_entries[image.image] > 1 or image.frame > 0) for image in images]


def _slice(image: ImageInstances, is_page: bool) -> Slice:
    if is_page:
        return Slice(image.image, image.frame)
    path = PurePath(image.image)
    name = path.name
    while (shorter := _SUFFIX.sub("", name)) not in (name, ""):
        name = shorter
    found = _NUMBERED.match(name)
    if not found or len(found.group(2)) > _MAX_DIGITS:
        return Slice(image.image, 0)
    return Slice(str(path.with_name(f"{found.group(1)}#")), int(found.group(2)))
