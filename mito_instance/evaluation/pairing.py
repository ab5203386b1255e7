"""Pairs the images of a truth with those of a prediction."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from mito_instance.errors import AnnotationError
from mito_instance.instances import ImageInstances

ImagePair = tuple[ImageInstances, ImageInstances]
"""The truth and the prediction of one image."""

_Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Pairing:
    """Which images stand in both files.

    Args:
        pairs: (truth, prediction) of each image in both, in the order of the truth.
        unpaired_true: true images without a prediction, in their order.
        unpaired_pred: predicted images without a truth, in their order.
    """

    pairs: tuple[ImagePair, ...]
    unpaired_true: tuple[ImageInstances, ...]
    unpaired_pred: tuple[ImageInstances, ...]


def pair_images(
    images_true: Sequence[ImageInstances], images_pred: Sequence[ImageInstances]
) -> Pairing:
    """Pair images of a truth and a prediction; the frame must always agree.

    Three rules in turn, each for what the one before left over: the same resolved path, the
    same file name, the same file name without its suffix. A name pairs two images only if it
    is unique in the whole truth and in the whole prediction; one that could pair, but is not
    unique, is an error and never a guess.

    Args:
        images_true: images of the truth, in any order.
        images_pred: images of the prediction, in any order.

    Returns:
        The pairs and what is left over on either side; all empty for empty input.

    Raises:
        AnnotationError: if a name is ambiguous, or paired images differ in size.
    """
    partner: dict[int, int] = {}
    for rule, key in (("path", _path_key), ("file name", _name_key), ("name", _stem_key)):
        partner |= _pair_by(images_true, images_pred, partner, rule, key)
    taken = set(partner.values())
    pairs = tuple((images_true[i], images_pred[partner[i]]) for i in sorted(partner))
    for truth, pred in pairs:
        if truth.image_hw != pred.image_hw:
            raise AnnotationError(
                f"{pred.image}: the prediction is {pred.image_hw} (height, width) but the truth "
                f"of {truth.image} is {truth.image_hw}; check that both belong to the same image"
            )
    return Pairing(
        pairs=pairs,
        unpaired_true=tuple(t for i, t in enumerate(images_true) if i not in partner),
        unpaired_pred=tuple(p for i, p in enumerate(images_pred) if i not in taken),
    )


def _pair_by(
    images_true: Sequence[ImageInstances],
    images_pred: Sequence[ImageInstances],
    partner: dict[int, int],
    rule: str,
    key: Callable[[ImageInstances], _Key],
) -> dict[int, int]:
    """Position in the truth → position in the prediction, for what ``partner`` left over."""
    by_key_true = _group(images_true, key)
    by_key_pred = _group(images_pred, key)
    taken = set(partner.values())
    found: dict[int, int] = {}
    for name, all_true in by_key_true.items():
        all_pred = by_key_pred.get(name, [])
        if all(i in partner for i in all_true) or all(i in taken for i in all_pred):
            continue
        if len(all_true) > 1 or len(all_pred) > 1:
            raise AnnotationError(
                f"{images_pred[all_pred[0]].image}: the {rule} {name[0]!r} (frame {name[1]}) must "
                f"be unique to pair images, but {len(all_true)} true and {len(all_pred)} predicted "
                "images have it; evaluate one folder at a time, or keep the images' paths"
            )
        found[all_true[0]] = all_pred[0]
    return found


def _group(
    images: Sequence[ImageInstances], key: Callable[[ImageInstances], _Key]
) -> dict[_Key, list[int]]:
    """Positions of the images under each key."""
    groups: dict[_Key, list[int]] = {}
    for position, image in enumerate(images):
        groups.setdefault(key(image), []).append(position)
    return groups


def _path_key(image: ImageInstances) -> _Key:
    try:
        return (os.path.realpath(image.image), image.frame)
    except (OSError, ValueError):  # a name that no file system accepts can still be compared
        return (image.image, image.frame)


def _name_key(image: ImageInstances) -> _Key:
    return (PurePath(image.image).name, image.frame)


def _stem_key(image: ImageInstances) -> _Key:
    return (PurePath(image.image).stem, image.frame)
