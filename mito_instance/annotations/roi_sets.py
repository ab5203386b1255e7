"""Which ImageJ ROI files are the set of which image."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mito_instance.annotations.pairing import (
    names_another,
    names_only_its_content,
    pair_by_name,
    plain_names,
)
from mito_instance.errors import AnnotationError
from mito_instance.io.imagej_roi import has_overlay
from mito_instance.io.images import natural_key


@dataclass(frozen=True, slots=True)
class RoiSet:
    """The ROI files of one image.

    Args:
        name: path whose name tells the image: a zip, a TIFF, a ``.roi`` or a folder of these.
        files: the files to read, in natural order.
    """

    name: Path
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class RoiPairing:
    """ROI sets with their images.

    Args:
        pairs: image and ROI set, in the order of the images.
        images_alone: images without an ROI set.
        failures: one line for each ROI set without an image, or with several.
        notices: one line for a pair that was not made by name.
    """

    pairs: tuple[tuple[Path, RoiSet], ...]
    images_alone: tuple[Path, ...]
    failures: tuple[str, ...]
    notices: tuple[str, ...]


def find_roi_sets(inputs: Sequence[Path], *, or_selections: bool = False) -> list[RoiSet]:
    """ROI sets of files and folders.

    Each zip and each TIFF with an overlay is a set. The ``.roi`` files of one folder are a set
    with the name of the folder.

    Args:
        inputs: files, and folders of any depth.
        or_selections: whether a TIFF in a folder is a set also by the selection saved with it.

    Raises:
        AnnotationError: if an input is absent, or a folder holds no ROI file.
    """
    files: dict[Path, None] = {}  # ordered, and each file once
    for path in inputs:
        if not path.exists():
            raise AnnotationError(f"{path}: no such file or folder; check the path")
        found = _files_in_folder(path, or_selections) if path.is_dir() else [path]
        if not found:
            raise AnnotationError(
                f"{path}: holds no .roi, no .zip and no TIFF with an overlay; give a folder of ROIs"
            )
        files.update(dict.fromkeys(found))
    sets: dict[Path, list[Path]] = {}
    for file in files:
        sets.setdefault(file.parent if file.suffix.lower() == ".roi" else file, []).append(file)
    return [RoiSet(name, tuple(members)) for name, members in sets.items()]


def pair_roi_sets(images: Sequence[Path], sets: Sequence[RoiSet]) -> RoiPairing:
    """Pair ROI sets with images by name, as `pair_by_name`.

    A file such as ``RoiSet.zip`` that is alone of its kind in its folder goes by the name of the
    folder. A folder of ``.roi`` files that fits no image is taken apart: each file may be named
    like an image, by more than a number that only the ROIs have. That comes before a folder's
    number alone decides. A single set and a single image are paired whatever their names, unless
    the set has that of another image of a series (``cell_01.zip`` and ``cell_02.tif``), or is a
    folder of files that all have such names.

    Args:
        images: image files.
        sets: what `find_roi_sets` found.
    """
    by_name = _by_name(sets)
    if len(images) == len(sets) == 1 and _may_belong(images[0], next(iter(by_name)), sets[0]):
        fits = bool(pair_by_name(images, [sets[0].name]).pairs)
        note = f"{sets[0].name}: taken as the ROI set of {images[0]}, the only image"
        return RoiPairing(((images[0], sets[0]),), (), (), () if fits else (note,))
    if any(name.is_dir() for name in by_name):
        by_name = _by_folder_or_file(images, by_name)
    pairing = pair_by_name(images, list(by_name))
    alone = tuple(
        f"{name}: no image has this name; name the ROI set like its image"
        for name in pairing.partners_alone
    )
    return RoiPairing(
        tuple((image, by_name[name]) for image, name in pairing.pairs),
        pairing.images_alone,
        (*pairing.ambiguous, *alone),
        (),
    )


def _may_belong(image: Path, name: Path, roi_set: RoiSet) -> bool:
    """Whether the only ROI set is the only image's, by what their names say against it.

    The set of a folder is not if each file in it is named like an image of its series. Numbers
    alone do not say so: they may be those of the ROIs.

    Args:
        image: the only image.
        name: the path whose name tells the image of the set.
        roi_set: the only set.
    """
    if names_another(image, name):
        return False
    if not roi_set.name.is_dir() or not any(letter.isalpha() for letter in image.stem):
        return True
    own = {file for _, file in pair_by_name([image], roi_set.files, loosely=False).pairs}
    return not all(file in own or names_another(image, file) for file in roi_set.files)


def _by_folder_or_file(images: Sequence[Path], whole: dict[Path, RoiSet]) -> dict[Path, RoiSet]:
    """The sets by name, of folders that fit no image file by file."""
    exact = pair_by_name(images, list(whole), loosely=False)
    apart = _taken_apart(images, whole, exact.partners_alone)
    if len(pair_by_name(images, list(apart), loosely=False).pairs) > len(exact.pairs):
        return apart
    # No file is named like an image: the number of its folder may decide.
    return _taken_apart(images, whole, pair_by_name(images, list(whole)).partners_alone)


def _numbers_only(roi_set: RoiSet, images: Sequence[Path]) -> bool:
    """Whether its files are named by numbers, of the ROIs, and no image bears one of these."""
    names = plain_names(roi_set.files)
    return all(map(str.isdecimal, names)) and not names & plain_names(images)


def _taken_apart(
    images: Sequence[Path], by_name: Mapping[Path, RoiSet], alone: Sequence[Path]
) -> dict[Path, RoiSet]:
    """The sets by name, those of folders without an image file by file."""
    folders = {name for name in alone if name.is_dir() and not _numbers_only(by_name[name], images)}
    apart: dict[Path, RoiSet] = {}
    for name, roi_set in by_name.items():
        if name in folders:
            apart.update({file: RoiSet(file, (file,)) for file in roi_set.files})
        else:
            apart[name] = roi_set
    return apart


def _by_name(sets: Sequence[RoiSet]) -> dict[Path, RoiSet]:
    """The sets by the path whose name tells the image: their own, or that of their folder."""
    names = {roi_set.name for roi_set in sets}
    nameless = [roi_set.name for roi_set in sets if _is_nameless(roi_set)]
    folders = Counter(name.parent for name in nameless)
    alone = {name for name in nameless if folders[name.parent] == 1 and name.parent not in names}
    return {
        roi_set.name.parent if roi_set.name in alone else roi_set.name: roi_set for roi_set in sets
    }


def _is_nameless(roi_set: RoiSet) -> bool:
    """Whether a set is one file whose name says nothing of the image."""
    return roi_set.files == (roi_set.name,) and names_only_its_content(roi_set.name)


def pair_with_image(image: Path, sets: Sequence[RoiSet]) -> RoiPairing:
    """All ROI sets as those of one image, whatever their names.

    Args:
        image: the image file.
        sets: at least one; their ROIs are put together.
    """
    files = tuple(file for roi_set in sets for file in roi_set.files)
    return RoiPairing(((image, RoiSet(sets[0].name, files)),), (), (), ())


def pair_by_table(pairs: Sequence[tuple[Path, Path]]) -> RoiPairing:
    """ROI sets and images as a table of pairs gives them.

    Args:
        pairs: image and ROI set, as `read_pairs` gives them; several sets of one image are put
            together.
    """
    by_image: dict[Path, list[RoiSet]] = {}
    spelled: dict[str, Path] = {}
    failures: list[str] = []
    for image, rois in pairs:
        try:
            same = spelled.setdefault(os.path.realpath(image), image)
            by_image.setdefault(same, []).extend(find_roi_sets([rois]))
        except AnnotationError as error:
            failures.append(str(error))
    found = [pair_with_image(image, sets).pairs[0] for image, sets in by_image.items() if sets]
    return RoiPairing(tuple(found), (), tuple(failures), ())


def _files_in_folder(folder: Path, or_selections: bool) -> list[Path]:
    """The ROI files of a folder and of the folders in it; hidden ones are none."""
    return [
        path
        for path in sorted(folder.rglob("*"), key=natural_key)
        if path.is_file()
        and not path.name.startswith(".")
        and (
            path.suffix.lower() in (".roi", ".zip")
            or (
                path.suffix.lower() in (".tif", ".tiff")
                and has_overlay(path, or_selection=or_selections)
            )
        )
    ]
