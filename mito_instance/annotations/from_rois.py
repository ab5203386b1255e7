"""ImageJ ROI sets to instances of the images they were drawn on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from mito_instance.annotations.conversion import Conversion
from mito_instance.annotations.roi_sets import RoiSet
from mito_instance.calibration import PixelSize
from mito_instance.errors import AnnotationError, MitoInstanceError
from mito_instance.instances import ImageInstances
from mito_instance.io.imagej_position import StackPosition, stack_dimensions
from mito_instance.io.imagej_roi import (
    NO_ROI_ENTRY,
    ImageJRoi,
    SkippedRoi,
    check_n_in_curves,
    n_in_curves,
    read_rois,
)
from mito_instance.io.images import page_pixel_sizes, page_sizes_hw
from mito_instance.masks import rle as rle_masks
from mito_instance.masks.labels import component_rles
from mito_instance.masks.polygons import rasterise
from mito_instance.masks.rle import RLE


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
        if has_failures:
            pages = by_page.keys() if has_unread or None in failed else by_page.keys() & failed
            first = conversion.failures[n_failures]
            conversion.incomplete.update(((image, page), first) for page in pages)
        if not rois:
            conversion.notices.append(f"{roi_set.name}: holds no area ROI; {image} has no instance")
        if not has_unread and None not in failed and len(images_hw) > 1:
            empty = {
                page
                for page in range(len(images_hw))
                if page not in failed and (empty_pages is None or (image.stem, page) in empty_pages)
            }
            if found_nothing := empty - by_page.keys():
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


def _read_set(roi_set: RoiSet, conversion: Conversion) -> list[ImageJRoi]:
    """The area ROIs of a set; the others are noted."""
    rois: list[ImageJRoi] = []
    n_vertices = 0
    for file in roi_set.files:
        try:
            found = list(read_rois(file))
            _check_holds_rois(file, found)
            n_curved = sum(map(n_in_curves, found))
            check_n_in_curves(n_vertices + n_curved, file)
            n_vertices += n_curved
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
