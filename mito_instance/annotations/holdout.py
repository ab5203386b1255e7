"""A few annotated images: which of them to train on, and which to measure on."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mito_instance.annotations.series import Slice, series_of
from mito_instance.annotations.splits import SplitOptions, split_images
from mito_instance.errors import AnnotationError, ConfigError
from mito_instance.instances import ImageInstances

logger = logging.getLogger(__name__)

LEAST_IMAGES = 5
LEAST_TO_TRAIN_ON = LEAST_IMAGES - 1
VAL_SHARE = 0.2
MOST_FOLDS = 3
_GAP = 1
_DRAWS = 20

Images = Sequence[ImageInstances]


def hold_out(
    images: Images, rng: np.random.Generator, sources: Images | None = None
) -> tuple[list[ImageInstances], list[ImageInstances], str]:
    """Training and validation images; the latter are empty where there are too few to spare.

    Single images are drawn alone, and stacks stay whole. One stack alone is cut in two runs of
    slices with one slice left out between them, and so are files whose names are numbered:
    unrelated ones lose one image by that.

    Args:
        images: annotated images or pages.
        rng: source of the draw.
        sources: pages that the images are parts of, in the same order, if they are: these tell
            what is a stack.

    Returns:
        Images to train on, images to validate on, and why there are none of the latter (empty if
        there are). Both parts show at least one instance, and at least `LEAST_TO_TRAIN_ON` images
        are trained on, or nothing is held out.
    """
    n_shown = sum(map(bool, map(len, images)))
    shown = f"mitochondria in {n_shown} of {len(images)} images, too few to train and to measure on"
    reason = ""
    train: Images = ()
    val: Images = ()
    if len(images) < LEAST_IMAGES:
        reason = f"{len(images)} images, {LEAST_IMAGES} would be needed, or --cross-validate"
    elif n_shown < 2:
        reason = shown
    else:
        named = [
            replace(image, image=source.image, frame=source.frame)
            for image, source in zip(images, _by_one_name(sources or images), strict=True)
        ]
        part_of = {
            (image.image, image.frame): part for image, part in zip(named, images, strict=True)
        }
        train, val = (
            [part_of[image.image, image.frame] for image in part] for part in _divided(named, rng)
        )
        if len(train) < LEAST_TO_TRAIN_ON:
            reason = (
                f"{len(train)} of {len(images)} images would be left to train on, "
                f"{LEAST_TO_TRAIN_ON} would be needed, or --cross-validate"
            )
        elif not (sum(map(len, train)) and sum(map(len, val))):
            reason = shown
    return (list(images), [], reason) if reason else (list(train), list(val), "")


def _divided(images: Images, rng: np.random.Generator) -> tuple[Images, Images]:
    """Training and validation images; none where a gap would leave none."""
    files = {image.image for image in images}
    options = SplitOptions(val=VAL_SHARE, by="stack")
    if len(files) == 1:
        return _divided_series(images, rng)
    if len(files) == len(images):
        if len({place.stack for place in series_of(images, apart=True)}) < len(images):
            return _divided_series(images, rng)
        options = SplitOptions(val=VAL_SHARE, by="image", gap=0)
    try:
        parts = split_images(images, options, rng).parts
    except ConfigError:
        return (), ()
    return parts["train"], parts["val"]


def _divided_series(images: Images, rng: np.random.Generator) -> tuple[Images, Images]:
    """Training and validation images of numbered series.

    The series are lined up in random order, each forwards or backwards, and the line is cut in
    two where the instances before it come nearest to the share; images beside those before the cut
    are left out. Of several such draws, the one that comes nearest and leaves out least is taken,
    among those that leave enough to train on and instances on both sides, if there are any.
    """
    places = series_of(images, apart=True)
    series: dict[str, list[int]] = defaultdict(list)
    for position in sorted(range(len(images)), key=lambda position: places[position].number):
        series[places[position].stack].append(position)
    members = list(series.values())
    weights = np.array([len(image) for image in images]) / sum(map(len, images))
    best: tuple[float, list[int], list[int]] = (np.inf, [], [])
    for _ in range(_DRAWS):
        line = [
            position
            for number in rng.permutation(len(members))
            for position in members[number][:: int(rng.choice((1, -1)))]
        ]
        reached = np.cumsum(weights[line])[:-1]
        for n_val in (1 + np.argsort(np.abs(reached - VAL_SHARE), kind="stable")).tolist():
            train = _apart(line[n_val:], line[:n_val], places)
            n_left_out = len(line) - n_val - len(train)
            is_usable = (
                len(train) >= LEAST_TO_TRAIN_ON
                and reached[n_val - 1] > 0
                and weights[train].sum() > 0
            )
            cost = abs(float(reached[n_val - 1]) - VAL_SHARE) + n_left_out / len(line)
            cost += 2 * (not is_usable)  # taken only where no draw is usable
            if cost < best[0]:
                best = (cost, sorted(train), sorted(line[:n_val]))
            if is_usable:
                break
    _, train, val = best
    return [images[position] for position in train], [images[position] for position in val]


def _apart(positions: Iterable[int], held_out: Iterable[int], places: Sequence[Slice]) -> list[int]:
    """Those of the positions that are not beside what is held out, in a stack."""
    beside = {
        (places[position].stack, places[position].number + step)
        for position in held_out
        for step in range(-_GAP, _GAP + 1)
    }
    return [i for i in positions if (places[i].stack, places[i].number) not in beside]


def _by_one_name(images: Images) -> list[ImageInstances]:
    """The images, each file under the first of its names, which a link need not share."""
    names: dict[Path, str] = {}
    found = []
    for image in images:
        path = Path(image.image)
        name = str(path.parent.resolve() / path.name)
        found.append(replace(image, image=names.setdefault(path.resolve(), name)))
    return found


def not_beside(images: Images, held_out: Images) -> list[ImageInstances]:
    """The images that are no neighbours, in a stack or a numbered series, of what is held out.

    Args:
        images: further images to learn from; may be empty.
        held_out: what is measured on, none of them among the images; may be empty.
    """
    places = series_of(_by_one_name([*images, *held_out]), apart=True)
    n_images = len(images)
    return [images[i] for i in _apart(range(n_images), range(n_images, len(places)), places)]


def folds(
    images: Sequence[ImageInstances], sources: Images | None = None
) -> list[tuple[list[ImageInstances], list[ImageInstances]]]:
    """The parts of a cross-validation: each image is held out once.

    Two or three images are held out one by one, more in three parts: of two or more stacks whole
    ones, where enough remain to train on, else runs of neighbours. Of slices of one stack, and
    of images with numbered names, which may be such, those beside what is held out are left out
    where enough remain to train on; a warning says where they do not.

    Args:
        images: annotated images or pages, in order.
        sources: pages that the images are parts of, as in `hold_out`.

    Returns:
        (images to train on, images held out) of each part.

    Raises:
        AnnotationError: if there are fewer than two images, or a part would learn from images
            without any instance.
    """
    if len(images) < 2:
        raise AnnotationError(
            f"{len(images)} outlined image: a cross-validation needs 2 or more; outline another one"
        )
    places = series_of(_by_one_name(sources or images), apart=True)
    parts, n_beside = [], 0
    for held_out in _whole_stacks(images, places) or _runs(places):
        others = sorted({*range(len(images))} - {*held_out})
        apart = _apart(others, held_out, places)
        is_enough = len(apart) >= LEAST_TO_TRAIN_ON and any(len(images[i]) for i in apart)
        n_beside += 0 if is_enough else len(others) - len(apart)
        rest = [images[i] for i in (apart if is_enough else others)]
        if not any(map(len, rest)):
            names = ", ".join(images[i].image for i in held_out[:3])
            raise AnnotationError(
                f"{names}: all outlined mitochondria are there, so a cross-validation could learn "
                "from nothing else; outline other images as well"
            )
        parts.append((rest, [images[i] for i in held_out]))
    if n_beside:
        logger.warning(
            "cross-validation of few images whose names are numbered like slices of one stack: %d "
            "are learned beside one that is measured on; if they are such slices, the figures are "
            "too good",
            n_beside,
        )
    return parts


def _runs(places: Sequence[Slice]) -> list[list[int]]:
    """Positions in runs of neighbours, stack after stack."""
    stacks = {stack: i for i, stack in enumerate(dict.fromkeys(place.stack for place in places))}
    order = sorted(range(len(places)), key=lambda i: (stacks[places[i].stack], places[i].number))
    parts = np.array_split(order, min(len(order), MOST_FOLDS))
    return [sorted(part.tolist()) for part in parts]


def _whole_stacks(images: Images, places: Sequence[Slice]) -> list[list[int]]:
    """Positions in parts of whole stacks, none larger than the rest; none where that cannot be."""
    stacks: dict[str, list[int]] = defaultdict(list)
    for position, place in enumerate(places):
        stacks[place.stack].append(position)
    if not 2 <= len(stacks) < len(places):
        return []
    parts: list[list[int]] = [[] for _ in range(min(len(stacks), MOST_FOLDS))]
    for members in sorted(stacks.values(), key=len, reverse=True):
        min(parts, key=len).extend(members)
    for held_out in parts:
        rest = [images[i] for i in {*range(len(images))} - {*held_out}]
        if len(rest) < max(LEAST_TO_TRAIN_ON, len(held_out)) or not any(map(len, rest)):
            return []
    return [sorted(part) for part in parts]
