"""Annotated images to training, validation and test parts that share nothing."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

import numpy as np
import numpy.typing as npt

from mito_instance.annotations.assignment import assign_groups
from mito_instance.annotations.series import Slice, number_span, series_of, slices_of
from mito_instance.errors import ConfigError
from mito_instance.instances import ImageInstances

GroupBy = Literal["specimen", "stack", "image"]
GROUPINGS: tuple[GroupBy, ...] = ("specimen", "stack", "image")
DEFAULT_GAP = 10
_MIN_SLICES_PER_GAP = 4  # a stack is cut when the gaps cost less than a quarter of it


@dataclass(frozen=True, slots=True)
class SplitOptions:
    """How images are split.

    Args:
        val: share of the validation part, in (0, 1).
        test: share of the test part, in [0, 1); 0 makes none.
        by: what is never divided: a specimen (the image's folder, or what ``group_pattern``
            finds), a stack, or a single image. With ``image``, stacks are cut into runs of
            neighbouring slices, unless the gap is 0.
        gap: slices of different parts of one stack differ by more than this number.
        group_pattern: regular expression for the specimen, searched in the path of the image
            with forward slashes; its first group, or else the whole match, names the specimen.

    Raises:
        ConfigError: if a value is not usable.
    """

    val: float = 0.2
    test: float = 0.0
    by: GroupBy = "stack"
    gap: int = DEFAULT_GAP
    group_pattern: str | None = None

    def __post_init__(self) -> None:
        """Refuse values that leave a part empty or mean nothing."""
        if not (0.0 < self.val < 1.0 and 0.0 <= self.test < 1.0 and self.val + self.test < 1.0):
            raise ConfigError(
                f"shares must satisfy 0 < val, 0 <= test and val + test < 1, got val {self.val:g} "
                f"and test {self.test:g}; leave some images to train on"
            )
        if self.by not in GROUPINGS:
            raise ConfigError(f"by must be one of {', '.join(GROUPINGS)}, got {self.by!r}")
        if self.gap < 0:
            raise ConfigError(f"gap must be >= 0 slices, got {self.gap}")
        if self.group_pattern is not None:
            if self.by != "specimen":
                raise ConfigError("a group pattern names specimens; split by specimen to use it")
            try:
                re.compile(self.group_pattern)
            except (re.error, RecursionError, OverflowError) as error:
                raise ConfigError(
                    f"group pattern {self.group_pattern!r} is no regular expression ({error})"
                ) from error

    @property
    def shares(self) -> dict[str, float]:
        """Share of each part, the training part first."""
        shares = {"train": 1.0 - self.val - self.test, "val": self.val}
        return {**shares, "test": self.test} if self.test else shares


@dataclass(frozen=True, slots=True)
class Split:
    """Images by part.

    Args:
        parts: images of each part, in the given order; no part is empty.
        n_groups: number of groups of each part.
        left_out: slices that lie in a gap.
    """

    parts: Mapping[str, tuple[ImageInstances, ...]]
    n_groups: Mapping[str, int]
    left_out: tuple[ImageInstances, ...]


def split_images(
    images: Sequence[ImageInstances], options: SplitOptions, rng: np.random.Generator
) -> Split:
    """Split images so that no group and no neighbourhood crosses the parts.

    The parts come as near to their shares of the instances as whole groups allow. Slices of a
    stack that are nearer than the gap to a slice of another part are left out: of the training
    part if it is one of the two, else of the validation part.

    Args:
        images: images or pages, each once.
        options: shares, groups and gap.
        rng: source of the draw; equal state and images give equal parts.

    Raises:
        ConfigError: if there are fewer groups than parts, or the gap leaves a part empty.
    """
    is_by_specimen = options.by == "specimen"
    slices = _within_specimens(images, options) if is_by_specimen else series_of(images)
    groups = _groups(images, slices, options)
    if options.by == "image" and options.gap:
        parts = _cut_stacks(images, slices, groups, options, rng)
    else:
        _check_enough(groups, options)
        parts = _assigned(images, list(groups.values()), options, rng)
    kept = _without_gaps(slices, parts, options.gap)
    names = list(options.shares)
    chosen = {name: tuple(images[i] for i in sorted(kept) if parts[i] == name) for name in names}
    for name, members in chosen.items():
        if not members:
            raise ConfigError(
                f"part {name}: a gap of {options.gap} slices leaves no image; give a smaller gap"
            )
    group_of = {i: key for key, members in groups.items() for i in members}
    n_groups = {
        name: len({i if options.by == "image" else group_of[i] for i in kept if parts[i] == name})
        for name in names
    }
    return Split(
        chosen,
        n_groups,
        tuple(image for i, image in enumerate(images) if i not in kept),
    )


def _groups(
    images: Sequence[ImageInstances], slices: Sequence[Slice], options: SplitOptions
) -> dict[str, list[int]]:
    """Positions of the images of each group, slices in order."""
    groups: dict[str, list[int]] = defaultdict(list)
    for position, (image, place) in enumerate(zip(images, slices, strict=True)):
        if options.by == "specimen":
            key = _specimen(image.image, options.group_pattern)
        elif options.by == "image" and not options.gap:
            key = f"{image.image}:{image.frame}"
        else:
            key = place.stack
        groups[key].append(position)
    for members in groups.values():
        members.sort(key=lambda i: slices[i].number)
    return dict(groups)


def _within_specimens(images: Sequence[ImageInstances], options: SplitOptions) -> list[Slice]:
    """The stack and place of each image, where names of specimens have numbers, too.

    Only a number at the end is a slice's, and that only if it does not name the specimen.
    """
    slices = slices_of(images)
    if options.group_pattern is None:
        return slices
    for position, (image, place) in enumerate(zip(images, slices, strict=True)):
        path = PurePath(image.image)
        found, number = re.search(options.group_pattern, path.as_posix()), number_span(path.name)
        if place.stack.startswith(image.image) or found is None or number is None:
            continue  # a page of a file, or without a number
        start, stop = found.span(1 if found.re.groups else 0)
        name_at = len(path.as_posix()) - len(path.name)
        if start <= name_at + number[0] and name_at + number[1] <= stop:
            slices[position] = Slice(image.image, 0)
    return slices


def _specimen(image: str, pattern: str | None) -> str:
    """Name of the specimen of an image."""
    if pattern is None:
        return str(PurePath(image).parent)
    path = PurePath(image).as_posix()
    found = re.search(pattern, path)
    name = (found.group(1) if found.re.groups else found.group(0)) if found else None
    if not name:
        raise ConfigError(
            f"{image}: group pattern {pattern!r} matches nothing in this path; every image needs "
            "a specimen"
        )
    return name


def _assigned(
    images: Sequence[ImageInstances],
    groups: Sequence[Sequence[int]],
    options: SplitOptions,
    rng: np.random.Generator,
) -> dict[int, str]:
    """The part of each image, by whole groups."""
    names, shares = list(options.shares), list(options.shares.values())
    n_instances = [sum(len(images[i]) for i in group) for group in groups]
    chosen = assign_groups(n_instances, [len(group) for group in groups], shares, rng)
    return {
        i: names[part] for group, part in zip(groups, chosen.tolist(), strict=True) for i in group
    }


def _check_enough(groups: Collection[str], options: SplitOptions) -> None:
    """Refuse fewer groups than parts; the error says what a group is and which there are."""
    n_parts = len(options.shares)
    if len(groups) >= n_parts:
        return
    mice = "--group-regex '(mouse[0-9]+)'"
    kind, remedy = "", "annotate more images"
    if options.by == "stack":
        kind = "a multi-page file, or a folder's images whose names are equal but for numbers"
        remedy = (
            f"give --by image --gap N to cut stacks into runs of slices, --by specimen {mice} if "
            "the names tell specimens, or --by image --gap 0 if these are unrelated images"
        )
    elif options.by == "specimen":
        pattern = options.group_pattern
        kind = "a folder" if pattern is None else f"what {pattern!r} finds in the path"
        remedy = f"give {mice} for what the names call specimens, or --by image --gap N"
    meaning = f" ({kind}; here {', '.join(groups)})" if kind and groups else ""
    raise ConfigError(
        f"{n_parts} parts need as many groups, got {len(groups)} by {options.by}{meaning}; {remedy}"
    )


def _cut_stacks(
    images: Sequence[ImageInstances],
    slices: Sequence[Slice],
    stacks: Mapping[str, list[int]],
    options: SplitOptions,
    rng: np.random.Generator,
) -> dict[int, str]:
    """The part of each image: long stacks are cut into runs, short ones stay whole."""
    shares = options.shares
    n_gaps = len(shares) - 1
    least = max(_MIN_SLICES_PER_GAP * options.gap * n_gaps, n_gaps)
    long: list[list[int]] = []
    short: list[list[int]] = []
    for members in stacks.values():
        n_slices = len({slices[i].number for i in members})
        (long if n_slices > least else short).append(members)
    if not long and len(short) < len(shares):  # too few to fill every part: they are cut
        long, short = short, []
    if not short and max((len(members) for members in long), default=0) < len(shares):
        _check_enough([""] * len(long), options)
        return _assigned(images, long, options, rng)
    parts: dict[int, str] = {}
    for members in long:
        parts.update(_cut(images, members, shares, rng))
    if len(short) >= len(shares):
        parts.update(_assigned(images, short, options, rng))
    else:
        parts.update({i: "train" for members in short for i in members})
    return parts


def _cut(
    images: Sequence[ImageInstances],
    members: Sequence[int],
    shares: Mapping[str, float],
    rng: np.random.Generator,
) -> dict[int, str]:
    """One run of slices a part, with the training part in the middle of three.

    Each cut falls where the instances before it come nearest to the share.
    """
    order = ["val", "train", "test"] if "test" in shares else ["val", "train"]
    if rng.random() < 0.5:
        order.reverse()
    weights = np.array([len(images[i]) for i in members], dtype=np.float64)
    if not weights.sum():
        weights += 1.0
    reached = np.cumsum(weights) / weights.sum()
    parts: dict[int, str] = {}
    start, share = 0, 0.0
    for rank, name in enumerate(order):
        share += shares[name]
        n_after = len(order) - rank - 1
        stop = len(members)
        if n_after:
            stop = 1 + int(np.argmin(np.abs(reached - share)))
            stop = max(min(stop, len(members) - n_after), min(start + 1, len(members)))
        parts.update(dict.fromkeys(members[start:stop], name))
        start = stop
    return parts


def _without_gaps(slices: Sequence[Slice], parts: Mapping[int, str], gap: int) -> set[int]:
    """Positions of the images that are farther than the gap from all other parts."""
    kept = set(parts)
    if not gap:
        return kept
    stacks: dict[str, list[int]] = defaultdict(list)
    for position in parts:
        stacks[slices[position].stack].append(position)
    for members in stacks.values():
        for name in ("train", "val"):
            later = {"train": ("val", "test"), "val": ("test",)}[name]
            others = np.sort(_numbers(slices, (i for i in members if parts[i] in later)))
            if not len(others):
                continue
            mine = [i for i in members if parts[i] == name]
            numbers = _numbers(slices, mine)
            after = np.searchsorted(others, numbers)
            distance = np.minimum(
                np.abs(numbers - others[np.maximum(after - 1, 0)]),
                np.abs(numbers - others[np.minimum(after, len(others) - 1)]),
            )
            kept -= {i for i, near in zip(mine, (distance <= gap).tolist(), strict=True) if near}
    return kept


def _numbers(slices: Sequence[Slice], positions: Iterable[int]) -> npt.NDArray[np.object_]:
    """Slice numbers; whole numbers of any length."""
    return np.array([slices[i].number for i in positions], dtype=object)
