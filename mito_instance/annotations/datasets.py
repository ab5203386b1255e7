"""Published data sets: where they lie on the disk, and what their parts become."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mito_instance.annotations.conversion import Conversion
from mito_instance.annotations.from_masks import convert_mask_pairs
from mito_instance.annotations.from_rois import convert_roi_pairs
from mito_instance.annotations.mask_options import MaskOptions
from mito_instance.annotations.mask_pairs import pair_masks
from mito_instance.annotations.published import DataSet
from mito_instance.annotations.roi_sets import find_roi_sets, pair_roi_sets
from mito_instance.calibration import PixelSize
from mito_instance.errors import AnnotationError
from mito_instance.io.images import find_images

Progress = Callable[[Sequence[Any]], Iterable[Any]]
_IMAGE_FOLDERS = ("images", "image")


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a data set on the disk.

    Args:
        name: its name in lower case; the JSON is called so.
        images: a folder of images, or one stack.
        partner: a folder of masks or ROIs, or one stack.
        size_phw: published size of the stack; None where it is not known.
    """

    name: str
    images: Path
    partner: Path
    size_phw: tuple[int, int, int] | None = None


def find_parts(source: Path, data_set: DataSet) -> tuple[list[Part], list[str]]:
    """The parts of a data set in a folder.

    A part is a pair of stacks with the published names; or a folder ``images`` beside a folder
    of masks, in the source itself (part ``all``) or in a folder that names the part. Upper and
    lower case are alike.

    Args:
        source: the folder.
        data_set: which set to look for.

    Returns:
        The parts, at least one, and one line for each half of a part.

    Raises:
        AnnotationError: if the folder is absent or holds no part.
    """
    if not source.is_dir():
        raise AnnotationError(
            f"{source}: no such folder; unpack the data set there ({'; '.join(data_set.tree)})"
        )
    parts: list[Part] = []
    notices: list[str] = []
    for stack in data_set.stacks:
        images, masks = source / stack.images, source / stack.masks
        if images.is_file() and masks.is_file():
            parts.append(Part(stack.part, images, masks, stack.size_phw))
        elif images.is_file() or masks.is_file():
            absent = masks if images.is_file() else images
            notices.append(f"{absent}: not there; part {stack.part} is left out")
    folders = sorted(path for path in source.iterdir() if path.is_dir())
    for folder in (source, *folders):
        found_images = _folder(folder, _IMAGE_FOLDERS)
        if found_images is None:
            continue
        partner = _folder(folder, data_set.partner_folders)
        if partner is None:
            names = " or ".join(data_set.partner_folders)
            notices.append(
                f"{folder}: has images but no folder {names}; left out; put what outlines its "
                f"mitochondria into {folder / data_set.partner_folders[0]}"
            )
            continue
        name = "all" if folder == source else folder.name.lower()
        parts.append(Part(name, found_images, partner))
    if not parts:
        more = f" ({notices[0]})" if notices else ""
        raise AnnotationError(
            f"{source}: holds no part of this data set{more}; expected {'; '.join(data_set.tree)}"
        )
    names_used = [part.name for part in parts]
    if len(set(names_used)) < len(names_used):
        raise AnnotationError(
            f"{source}: parts must have different names, got {', '.join(names_used)}; rename a "
            "folder"
        )
    return parts, notices


def convert_part(
    part: Part, data_set: DataSet, options: MaskOptions, progress: Progress
) -> Conversion:
    """Instances of every image of a part; a bad file is named and the others go on.

    Args:
        part: the part.
        data_set: what is known of it.
        options: how masks become instances; of an ROI set, the pixel size alone counts.
        progress: wraps the pairs that are worked on.

    Raises:
        MitoInstanceError: if there is no image or no annotation.
    """
    if data_set.holds_rois:
        return _convert_rois(part, options.pixel_size, progress)
    pairing = pair_masks(part.images, part.partner)
    conversion = convert_mask_pairs(progress(pairing.pairs), options)
    conversion.failures.extend(pairing.ambiguous)
    conversion.failures.extend(f"{path}: no mask has its name" for path in pairing.images_alone)
    conversion.failures.extend(f"{path}: no image has its name" for path in pairing.partners_alone)
    if part.size_phw and conversion.images:
        found = (len(conversion.images), *conversion.images[0].image_hw)
        if found != part.size_phw:
            conversion.notices.append(
                f"{part.images}: has {_size_text(found)}, but {_size_text(part.size_phw)} are "
                "published; check that this is the published file"
            )
    return conversion


def _convert_rois(part: Part, pixel_size: PixelSize | None, progress: Progress) -> Conversion:
    pairing = pair_roi_sets(find_images([part.images]), find_roi_sets([part.partner]))
    conversion = convert_roi_pairs(progress(pairing.pairs), pixel_size)
    conversion.notices[:0] = pairing.notices
    conversion.notices.extend(
        f"{path}: no ROI set has its name; left out" for path in pairing.images_alone
    )
    conversion.failures.extend(pairing.failures)
    return conversion


def _folder(parent: Path, names: Sequence[str]) -> Path | None:
    """The sub-folder with the first of some names that is there."""
    found = {path.name.lower(): path for path in sorted(parent.iterdir()) if path.is_dir()}
    return next((found[name] for name in names if name in found), None)


def _size_text(size_phw: tuple[int, ...]) -> str:
    return f"{size_phw[0]} pages of {size_phw[2]} x {size_phw[1]} px"
