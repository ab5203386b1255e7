"""Which images are slices of one stack, and at which place, told by their names."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePath

from mito_instance.instances import ImageInstances
from mito_instance.io.hyperstacks import hyperstack, place_in
from mito_instance.io.imagej_position import StackDimensions
from mito_instance.io.images import SUFFIX_PATTERN

_SUFFIX = re.compile(rf"\.(?:{SUFFIX_PATTERN})$", re.IGNORECASE)
_NUMBERED = re.compile(r"^(.*?)([0-9]+)$", re.DOTALL)
_MAX_DIGITS = 40
_NUMBER = re.compile(rf"(?<![0-9])[0-9]{{1,{_MAX_DIGITS}}}(?![0-9])")


@dataclass(frozen=True, slots=True)
class Slice:
    """Place of an image in its stack.

    Args:
        stack: what all slices of the stack share: a file, or a folder and a name without its
            number.
        number: the page, or the number in the name; neighbours differ by 1.
    """

    stack: str
    number: int


def slices_of(images: Sequence[ImageInstances]) -> list[Slice]:
    """The stack and place of each image.

    Pages of one file are one stack, those of a hyperstack one for each channel and time point. Of
    files with one page, those in one folder are one stack
    whose names are equal but for the number at the end (``z001.png``, ``z002.png``); a name
    without such a number is a stack of its own.

    This is for what must be neighbours for certain, as what a network sees side by side; where
    none may be overlooked, `series_of` is.

    Args:
        images: images or pages; may be empty.
    """
    pages = _places_of_pages(images)
    return [
        _slice(image) if page is None else page for image, page in zip(images, pages, strict=True)
    ]


def series_of(images: Sequence[ImageInstances], *, apart: bool = False) -> list[Slice]:
    """The stack and place of each image, wherever in its name the number is.

    Pages of one file are one stack, in which those of one slice of a hyperstack have its number,
    whatever their channel and time point. Of files with one page, those in one folder are one stack
    whose names are equal but for numbers (``z001_em.png``, ``z002_em.png``). Of several numbers,
    that with the most different values is the slice's; of equals the one whose values lie closest
    together, as a time does not, and of such the last. Names that differ in another number as
    well (``z001_x0_y1.png``) are tiles or channels of a slice, or other specimens: names do not
    tell. They are one stack, in which those of one slice have its number.

    Args:
        images: images or pages; may be empty.
        apart: whether names that differ in another number as well are stacks of their own, unless
            that runs with the slices, as a time does.
    """
    pages = _places_of_pages(images)
    found = [
        Slice(image.image, image.frame if page is None else page.number)
        for image, page in zip(images, pages, strict=True)
    ]
    paths = [PurePath(image.image) for image in images]
    names = [_without_suffix(path.name) for path in paths]
    alike: dict[tuple[PurePath, str], list[int]] = defaultdict(list)
    for position, page in enumerate(pages):
        if page is None and _NUMBER.search(names[position]):
            pattern = _NUMBER.sub("\0", names[position])
            alike[paths[position].parent, pattern].append(position)
    for (folder, pattern), members in alike.items():
        numbers = [[int(number) for number in _NUMBER.findall(names[i])] for i in members]
        columns = list(zip(*numbers, strict=True))
        place = max(range(len(columns)), key=lambda column: (*_variety(columns[column]), column))
        running = _running(columns, place) if apart else set(range(len(columns)))
        for position, number in zip(members, columns[place], strict=True):
            texts = _NUMBER.findall(names[position])
            kept = ("#" if column in running else text for column, text in enumerate(texts))
            before, *after = pattern.split("\0")
            name = before + "".join(map("".join, zip(kept, after, strict=True)))
            found[position] = Slice(str(folder / name), number)
    return found


def _running(columns: Sequence[Sequence[int]], place: int) -> set[int]:
    """Columns of numbers that run with the slices, as times and depths do, and that of the slices.

    Each slice has a value of its own there, and they rise or fall with the slices.
    """
    slices = columns[place]
    running = {place}
    for column, numbers in enumerate(columns):
        pairs = sorted(set(zip(slices, numbers, strict=True)))
        steps = {second > first for (_, first), (_, second) in pairwise(pairs)}
        n_values = {len(pairs), len(set(slices)), len(set(numbers))}
        if len(steps) == 1 and len(n_values) == 1 and len(pairs) > 2:
            running.add(column)
    return running


def _places_of_pages(images: Sequence[ImageInstances]) -> list[Slice | None]:
    """Place in its run of neighbours of each page of a file of several; None for other images."""
    n_entries = Counter(image.image for image in images)
    sizes: dict[str, StackDimensions | None] = {}
    places: list[Slice | None] = []
    for image in images:
        name = image.image
        if n_entries[name] == 1 and image.frame == 0:
            places.append(None)
            continue
        if name not in sizes:
            sizes[name] = hyperstack(Path(name))
        run, number = place_in(sizes[name], image.frame)
        places.append(Slice(name if run is None else f"{name}#{run}", number))
    return places


def _variety(numbers: Sequence[int]) -> tuple[int, int]:
    """How many values there are, and how close together (0 where all are equal)."""
    return len(set(numbers)), min(numbers) - max(numbers)


def _without_suffix(name: str) -> str:
    """Name of a file without its endings."""
    while (shorter := _SUFFIX.sub("", name)) not in (name, ""):
        name = shorter
    return name


def number_span(name: str) -> tuple[int, int] | None:
    """Where in the name of a file the number of a slice is, at its end; None if there is none."""
    found = _NUMBERED.match(_without_suffix(name))
    return None if found is None or len(found.group(2)) > _MAX_DIGITS else found.span(2)


def _slice(image: ImageInstances) -> Slice:
    path = PurePath(image.image)
    span = number_span(path.name)
    if span is None:
        return Slice(image.image, 0)
    return Slice(str(path.with_name(f"{path.name[: span[0]]}#")), int(path.name[slice(*span)]))
