"""ImageJ ROI sets to instances of the images they were drawn on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
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

_Failures = dict[int | None, str]
"""Pages of which an ROI cannot be used, with the first reason; None: the page is not known."""


def convert_roi_pairs(
    pairs: Iterable[tuple[Path, RoiSet]],
    pixel_size: PixelSize | None = None,
    is_empty: Callable[[Path, int], bool] | None = None,
    *,
    keeps_doubtful: bool = False,
) -> Conversion:
    """Instances of every image of the pairs; a bad ROI or file is named and the others go on.

    Pages of a stack without any ROI are left out: nobody said that they are empty.

    Args:
        pairs: image and ROI set.
        pixel_size: of all images, in place of what the files say.
        is_empty: whether a 0-based page of an image is one without instances, where it carries no
            ROI; None: no page is. A page of which an ROI failed is none.
        keeps_doubtful: whether such a page is also kept where an ROI failed whose page is not
            known, as incomplete.
    """
    conversion = Conversion()
    for image, roi_set in pairs:
        failed: _Failures = {}
        try:
            images_hw, pixel_sizes = page_sizes_hw(image), page_pixel_sizes(image)
            rois = _read_set(roi_set, conversion, failed)
        except MitoInstanceError as error:
            conversion.failures.append(str(error))
            conversion.unusable[image, 0] = str(error)
            continue
        by_page = _by_page(image, rois, images_hw, conversion, failed)
        if failed and not by_page:
            # Every ROI failed and is named; that is not an image without instances.
            conversion.unusable[image, 0] = next(iter(failed.values()))
            continue
        if not rois:
            conversion.notices.append(f"{roi_set.name}: holds no area ROI; {image} has no instance")
        pages = range(len(images_hw))
        if len(pages) > 1 and is_empty is not None and (keeps_doubtful or None not in failed):
            bare = [p for p in pages if p not in by_page.keys() | failed and is_empty(image, p)]
            by_page.update((page, []) for page in bare)
            if bare:
                doubt = (
                    ", though an ROI that cannot be used may be theirs" if None in failed else ""
                )
                conversion.notices.append(
                    f"{image}: {len(bare)} pages carry no ROI; nothing was found there{doubt}"
                )
        if len(pages) == 1:
            by_page.setdefault(0, [])
        elif n_bare := len(set(pages) - by_page.keys() - failed.keys()):
            conversion.notices.append(
                f"{image}: {n_bare} of {len(pages)} pages carry no ROI; left out"
            )
        for page, reason in failed.items():
            for hit in by_page if page is None else [page]:
                of_page = conversion.incomplete if hit in by_page else conversion.unusable
                of_page[image, hit] = failed.get(hit, reason)
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


def _read_set(roi_set: RoiSet, conversion: Conversion, failed: _Failures) -> list[ImageJRoi]:
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
                    _note_skipped(roi, None, conversion, failed)
                else:
                    rois.append(roi)
        except MitoInstanceError as error:
            if len(roi_set.files) == 1:
                raise
            conversion.failures.append(str(error))
            failed.setdefault(None, str(error))
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
    failed: _Failures,
) -> dict[int, list[tuple[RLE, ImageJRoi]]]:
    """Masks and their ROIs of each page that has any, in the order of the ROIs."""
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
            skipped = SkippedRoi(roi.name, roi.source, str(error), is_damaged=True)
            _note_skipped(skipped, page, conversion, failed)
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
    return by_page


def _n_parts(rle: RLE) -> int:
    """Number of connected parts of a mask."""
    return len(component_rles(rle_masks.crop(rle, rle_masks.box_xywh(rle))))


def _note_skipped(
    roi: SkippedRoi, page: int | None, conversion: Conversion, failed: _Failures
) -> None:
    """Record an ROI that gave no instance; a damaged one is a failure."""
    conversion.skipped.append(roi)
    if roi.is_damaged:
        line = roi.reason if roi.reason.startswith(roi.source) else f"{roi.source}: {roi.reason}"
        conversion.failures.append(line)
        failed.setdefault(page, line)
