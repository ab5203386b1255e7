"""ImageJ ROI sets to instances of the images they were drawn on."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mito_instance.annotations.conversion import Conversion
from mito_instance.annotations.pairing import names_only_its_content, pair_by_name
from mito_instance.calibration import PixelSize
from mito_instance.errors import AnnotationError, MitoInstanceError
from mito_instance.instances import ImageInstances
from mito_instance.io.imagej_position import StackPosition, stack_dimensions
from mito_instance.io.imagej_roi import NO_ROI_ENTRY, ImageJRoi, SkippedRoi, has_overlay, read_rois
from mito_instance.io.images import natural_key, page_pixel_sizes, page_sizes_hw
from mito_instance.masks import rle as rle_masks
from mito_instance.masks.labels import component_rles
from mito_instance.masks.polygons import rasterise
from mito_instance.masks.rle import RLE


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
    like an image. That comes before a folder's number alone decides. A single set and a single
    image are paired whatever their names.

    Args:
        images: image files.
        sets: what `find_roi_sets` found.
    """
    if len(images) == len(sets) == 1:
        fits = bool(pair_by_name(images, [sets[0].name]).pairs)
        note = f"{sets[0].name}: taken as the ROI set of {images[0]}, the only image"
        return RoiPairing(((images[0], sets[0]),), (), (), () if fits else (note,))
    by_name = _by_name(sets)
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


def _by_folder_or_file(images: Sequence[Path], whole: dict[Path, RoiSet]) -> dict[Path, RoiSet]:
    """The sets by name, of folders that fit no image file by file."""
    exact = pair_by_name(images, list(whole), loosely=False)
    apart = _taken_apart(whole, exact.partners_alone)
    if len(pair_by_name(images, list(apart), loosely=False).pairs) > len(exact.pairs):
        return apart
    # No file is named like an image: the number of its folder may decide.
    return _taken_apart(whole, pair_by_name(images, list(whole)).partners_alone)


def _taken_apart(by_name: Mapping[Path, RoiSet], alone: Sequence[Path]) -> dict[Path, RoiSet]:
    """The sets by name, those of folders without an image file by file."""
    folders = {name for name in alone if name.is_dir()}
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


def convert_roi_pairs(
    pairs: Iterable[tuple[Path, RoiSet]],
    pixel_size: PixelSize | None = None,
    empty_pages: Collection[tuple[str, int]] | None = (),
) -> Conversion:
    """Instances of every image of the pairs; a bad ROI or file is named and the others go on.

    Pages of a stack without any ROI are left out: nobody said that they are empty.

    Args:
        pairs: image and ROI set.
        pixel_size: of all images, in place of what the files say.
        empty_pages: name without suffix and 0-based page of those that are without instances where
            they carry no ROI, unless an ROI failed that is theirs, or may be, as its page is not
            known. None: all pages are.
    """
    conversion = Conversion()
    for image, roi_set in pairs:
        n_failures = len(conversion.failures)
        try:
            images_hw, pixel_sizes = page_sizes_hw(image), page_pixel_sizes(image)
            rois = _read_set(roi_set, conversion)
        except MitoInstanceError as error:
            conversion.failures.append(str(error))
            conversion.unusable[image] = str(error)
            continue
        has_unread = len(conversion.failures) > n_failures
        by_page, failed = _by_page(image, rois, images_hw, conversion)
        has_failures = len(conversion.failures) > n_failures
        if has_failures and not by_page:
            # Every ROI failed and is named; that is not an image without instances.
            conversion.unusable[image] = conversion.failures[n_failures]
            continue
        if not rois:
            conversion.notices.append(f"{roi_set.name}: holds no area ROI; {image} has no instance")
        if not has_unread and None not in failed and len(images_hw) > 1:
            pages = {
                page
                for page in range(len(images_hw))
                if page not in failed and (empty_pages is None or (image.stem, page) in empty_pages)
            }
            if found_nothing := pages - by_page.keys():
                by_page.update((page, []) for page in found_nothing)
                conversion.notices.append(
                    f"{image}: {len(found_nothing)} pages carry no ROI; nothing was found there"
                )
        if len(images_hw) == 1:
            by_page.setdefault(0, [])
        elif len(by_page) < len(images_hw):
            conversion.notices.append(
                f"{image}: {len(images_hw) - len(by_page)} of {len(images_hw)} pages carry no ROI; "
                "left out"
            )
        conversion.images.extend(
            ImageInstances(
                image=str(image),
                image_hw=images_hw[page],
                masks=tuple(mask for mask, _ in found),
                frame=page,
                pixel_size=pixel_size or pixel_sizes[page],
                names=tuple(roi.name for _, roi in found),
                groups=tuple(roi.group for _, roi in found),
            )
            for page, found in sorted(by_page.items())
        )
    return conversion


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


def _read_set(roi_set: RoiSet, conversion: Conversion) -> list[ImageJRoi]:
    """The area ROIs of a set; the others are noted."""
    rois: list[ImageJRoi] = []
    for file in roi_set.files:
        try:
            found = list(read_rois(file))
            _check_holds_rois(file, found)
            for roi in found:
                if isinstance(roi, SkippedRoi):
                    _note_skipped(roi, conversion)
                else:
                    rois.append(roi)
        except MitoInstanceError as error:
            if len(roi_set.files) == 1:
                raise
            conversion.failures.append(str(error))
    return rois


def _check_holds_rois(file: Path, found: Sequence[ImageJRoi | SkippedRoi]) -> None:
    """Refuse a zip of other files; an empty one says that the image has no instance."""
    others = [roi for roi in found if isinstance(roi, SkippedRoi) and roi.reason == NO_ROI_ENTRY]
    others = [roi for roi in others if not roi.name.startswith(".")]  # what systems leave behind
    if others and len(others) == sum(not roi.name.startswith(".") for roi in found):
        entry = others[0].source.removeprefix(f"{file}: ")
        raise AnnotationError(
            f"{file}: holds no .roi entry but {len(others)} other files, such as {entry}; give a "
            "zip that Fiji's ROI Manager saved, or masks to convert-masks"
        )


def _by_page(
    image: Path,
    rois: Sequence[ImageJRoi],
    images_hw: Sequence[tuple[int, int]],
    conversion: Conversion,
) -> tuple[dict[int, list[tuple[RLE, ImageJRoi]]], set[int | None]]:
    """Masks and their ROIs of each page that has any, in the order of the ROIs.

    Also the pages of ROIs that cannot be used; None stands for a page that is not known.
    """
    failed: set[int | None] = set()
    by_page: dict[int, list[tuple[RLE, ImageJRoi]]] = {}
    dimensions = stack_dimensions(image) if len(images_hw) > 1 else None
    n_slices = len({roi.position for roi in rois if roi.position.is_set})
    if len(images_hw) == 1 and n_slices > 1:
        conversion.notices.append(
            f"{image}: has one page but its ROIs carry {n_slices} slice positions; all are taken "
            "as drawn on it; check that this ROI set belongs to this image"
        )
    seen: set[tuple[int, StackPosition, str | bytes]] = set()
    twice: list[str] = []
    for roi in rois:
        where = f"{roi.source} (ROI {roi.name!r})"
        page = None
        try:
            page = roi.position.page(len(images_hw), dimensions, where)
            raster = rasterise(roi.rings, images_hw[page], where)
        except AnnotationError as error:
            failed.add(page)
            _note_skipped(SkippedRoi(roi.name, roi.source, str(error), is_damaged=True), conversion)
            continue
        if (key := (page, roi.position, raster.rle["counts"])) in seen:
            twice.append(where)
            continue
        seen.add(key)
        if raster.is_clipped:
            conversion.notices.append(f"{where}: reaches beyond its image; cut at the border")
        if len(roi.rings) > 1 and (n_parts := _n_parts(raster.rle)) > 1:
            conversion.notices.append(
                f"{where}: has {n_parts} separate parts and counts as one instance; "
                "split it in Fiji (ROI Manager > More > Split) if these are several"
            )
        by_page.setdefault(page, []).append((raster.rle, roi))
    if twice:
        conversion.notices.append(
            f"{image}: {len(twice)} ROIs repeat an outline of the same page exactly, and do not "
            f"count again: {', '.join(twice[:3])}{' …' if len(twice) > 3 else ''}"
        )
    return by_page, failed


def _n_parts(rle: RLE) -> int:
    """Number of connected parts of a mask."""
    return len(component_rles(rle_masks.crop(rle, rle_masks.box_xywh(rle))))


def _note_skipped(roi: SkippedRoi, conversion: Conversion) -> None:
    """Record an ROI that gave no instance; a damaged one is a failure."""
    conversion.skipped.append(roi)
    if roi.is_damaged:
        line = roi.reason if roi.reason.startswith(roi.source) else f"{roi.source}: {roi.reason}"
        conversion.failures.append(line)
