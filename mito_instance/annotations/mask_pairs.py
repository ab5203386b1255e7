"""Which mask file, or folder of masks, is that of which image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from mito_instance.annotations.pairing import Pairing, pair_by_name, pair_by_order
from mito_instance.errors import ConfigError
from mito_instance.io.images import IMAGE_SUFFIXES, find_images

PairBy = Literal["name", "order"]


def pair_masks(images: Path, masks: Path, by: PairBy = "name") -> Pairing:
    """Images with their mask files or folders of mask files.

    Args:
        images: a folder of images, or one image.
        masks: a folder of mask files or of one folder an image, or one mask.
        by: ``name``, or ``order``: the first mask to the first image, and so on.

    Raises:
        MitoInstanceError: if one of them is absent or holds no image, both are one folder, or
            their numbers differ where the order shall decide.
    """
    if images.is_dir() and images.resolve() == masks.resolve():
        raise ConfigError(
            f"{masks}: images and masks are the same folder; put the masks in a folder of their own"
        )
    pair = pair_by_order if by == "order" else pair_by_name
    image_paths = find_images([images])
    if images.is_dir():  # the masks may lie in it
        place = masks.resolve()
        image_paths = [
            path
            for path in image_paths
            if place not in ((resolved := path.resolve()), *resolved.parents)
        ]
    if masks.is_dir():
        # Folder before files: what lies in a folder named like an image belongs to that image.
        folders = sorted(
            path for path in masks.iterdir() if path.is_dir() and not path.name.startswith(".")
        )
        mask_paths = _loose_masks(masks, image_paths)
        if by == "name" and folders:
            named = _by_folder(image_paths, folders, mask_paths)
            if named.pairs or (named.ambiguous and not mask_paths):
                return _with_loose(named, mask_paths)
        if not mask_paths:
            find_images([masks])  # says that there are none
    else:
        mask_paths = find_images([masks])
        if len(image_paths) == len(mask_paths) == 1:
            return Pairing(((image_paths[0], mask_paths[0]),), (), (), ())
    return pair(image_paths, mask_paths)


def _loose_masks(masks: Path, image_paths: Sequence[Path]) -> list[Path]:
    """Mask files that lie in the folder itself; none is no error here."""
    if not _pictures(masks):
        return []
    return [path for path in find_images([masks]) if path not in set(image_paths)]


def _by_folder(
    images: Sequence[Path], folders: Sequence[Path], mask_paths: Sequence[Path]
) -> Pairing:
    """Images with folders of masks.

    A folder ``v1`` is not that of ``cell_1`` where masks in it, or beside it, are named like
    images. Names that are numbers alone are borne by chance.
    """
    exact = pair_by_name(images, folders, loosely=False)
    if exact.pairs or exact.ambiguous:
        return exact
    loose = pair_by_name(images, folders)
    if not loose.pairs:
        return loose
    named = [image for image in images if not image.stem.isdecimal()]
    inside = [path for folder in folders for path in _pictures(folder)]
    within = pair_by_name(named, inside, loosely=False)
    folder_of = dict(loose.pairs)
    is_contradicted = (
        within.ambiguous
        or any(folder_of.get(image) != path.parent for image, path in within.pairs)
        or pair_by_name(images, mask_paths, loosely=False).pairs
    )
    return exact if is_contradicted else loose


def _pictures(folder: Path) -> list[Path]:
    """The image files that lie in a folder itself."""
    return [
        path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in IMAGE_SUFFIXES
        and path.is_file()
        and not path.name.startswith(".")
    ]


def _with_loose(named: Pairing, mask_paths: Sequence[Path]) -> Pairing:
    """What folders of masks left over, with the files beside these folders."""
    if not mask_paths or not named.images_alone:
        return named  # pictures beside the folders, which nothing asks for
    in_folders = {image.stem.casefold() for image, _ in named.pairs}
    others = [path for path in mask_paths if path.stem.casefold() not in in_folders]
    rest = pair_by_name(named.images_alone, others)
    return Pairing(
        (*named.pairs, *rest.pairs),
        rest.images_alone,
        (*named.partners_alone, *rest.partners_alone),
        (*named.ambiguous, *rest.ambiguous),
    )
