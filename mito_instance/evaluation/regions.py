"""The annotated part of images that are not annotated as a whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from mito_instance.annotations.mask_values import read_mask, refuse_micrograph
from mito_instance.annotations.pairing import names_another, pair_by_name
from mito_instance.annotations.regions import Regions
from mito_instance.annotations.roi_sets import find_roi_sets
from mito_instance.errors import AnnotationError, MitoInstanceError
from mito_instance.instances import ImageInstances
from mito_instance.io.imagej_roi import has_overlay
from mito_instance.io.images import find_images, n_frames
from mito_instance.io.mask_pages import read_stored_page
from mito_instance.masks import rle

_ROI_SUFFIXES = frozenset({".zip", ".roi"})
_JPEG_SUFFIXES = frozenset({".jpg", ".jpeg"})
_ANY_NUMBER_OF_PAGES = 2**31
"""Of a stack whose file is not there: an outline may lie on a page that the truth does not list."""

_Regions = dict[tuple[str, int], rle.RLE]


def read_regions(path: Path, images: Sequence[ImageInstances]) -> tuple[_Regions, list[str]]:
    """Regions of the images that have one.

    ImageJ ROIs (a ``.roi``, a zip, a TIFF with an overlay, or a folder of these) or binary masks (a
    file or a folder). A file applies to every image; the files of a folder belong to images by
    name. Several ROIs are united; a mask's region is what is brighter than half of its maximum,
    under an inverting lookup table what ImageJ takes for selected, though it looks black.
    A one-page mask, and an ROI without a slice position, applies to every page; a single image
    has one page whatever its ROIs say.

    Args:
        path: where the regions are.
        images: the images of the truth.

    Returns:
        The region by (image, frame), and one line for each image without a region. Such an
        image is not to be scored: nobody said that all of it is annotated.

    Raises:
        MitoInstanceError: if the path is absent or a file for all images cannot be read, or no
            image has a region.
    """
    if not path.exists():
        raise AnnotationError(f"{path}: no such file or folder; check the path of the region")
    region_of = _rois(path, images) if _holds_rois(path) else _masks(path, images)
    regions: _Regions = {}
    without: list[str] = []
    for image in images:
        try:
            regions[image.image, image.frame] = region_of(image)
        except MitoInstanceError as error:
            without.append(f"{error}; not scored")
    if not regions and without:
        raise AnnotationError(f"{path}: no image of the truth has a region there; {without[0]}")
    return regions, without


def _holds_rois(path: Path) -> bool:
    """Whether the regions are ImageJ ROIs, and not masks."""
    if not path.is_dir():
        return path.suffix.lower() in _ROI_SUFFIXES or _outline(path) in ("drawn", "on nothing")
    try:
        sets = find_roi_sets([path], or_selections=True)
    except AnnotationError:
        return False
    files = [file for roi_set in sets for file in roi_set.files]
    if any(file.suffix.lower() in _ROI_SUFFIXES for file in files):
        return True
    outlines = {_outline(file) for file in files}
    # A blank mask beside others is one of them: its image has no annotated part.
    is_blank = outlines == {"on nothing"} and set(find_images([path])) <= set(files)
    return "drawn" in outlines or is_blank


def _outline(path: Path) -> Literal["drawn", "on nothing", "left over", "none"]:
    """What a TIFF's overlay, or else its selection, is: drawn on a micrograph, left over on a mask.

    ImageJ saves the selection that is left of a wand or a crop with any image, masks too.
    """
    if has_overlay(path):
        return "drawn"
    if not has_overlay(path, or_selection=True):
        return "none"
    try:
        for page in range(n_frames(path)):
            pixels = read_stored_page(path, page)
            if not pixels.any():
                continue
            if pixels.dtype.kind == "f":  # fractions are no labels, and not checked as such
                refuse_micrograph(np.nan_to_num(pixels), str(path), len(np.unique(pixels)))
            read_mask(pixels, str(path))
            return "left over"
    except MitoInstanceError:  # a micrograph
        return "drawn"
    return "on nothing"


def _rois(path: Path, images: Sequence[ImageInstances]) -> Callable[[ImageInstances], rle.RLE]:
    """How to get the region of an image from ROIs."""
    files = {Path(image.image): 1 for image in images}
    for image in images:
        file = Path(image.image)
        files[file] = max(files[file], image.frame + 1)
    regions = Regions(path, sorted(files))
    n_pages = {file: _n_pages(file, n_listed) for file, n_listed in files.items()}

    def region_of(image: ImageInstances) -> rle.RLE:
        file = Path(image.image)
        return regions.mask(file, image.frame, n_pages[file], image.image_hw)

    return region_of


def _n_pages(path: Path, n_listed: int) -> int:
    """Pages of an image file, as far as that can be known."""
    try:
        return n_frames(path)
    except MitoInstanceError:
        return 1 if n_listed == 1 else _ANY_NUMBER_OF_PAGES


def _masks(path: Path, images: Sequence[ImageInstances]) -> Callable[[ImageInstances], rle.RLE]:
    """How to get the region of an image from mask files."""
    files = sorted({Path(image.image) for image in images})
    if path.is_dir():
        masks = find_images([path])
        pairing = pair_by_name(files, masks)
        if pairing.ambiguous:
            raise AnnotationError(pairing.ambiguous[0])
        partners = dict(pairing.pairs)
        if len(files) == len(masks) == 1 and not names_another(files[0], masks[0]):
            partners = {files[0]: masks[0]}
    else:
        partners = dict.fromkeys(files, path)
    return partial(_mask_region, path, partners)


def _mask_region(folder: Path, partners: dict[Path, Path], image: ImageInstances) -> rle.RLE:
    """Foreground of the page of a mask that belongs to an image."""
    path = partners.get(Path(image.image))
    if path is None:
        raise AnnotationError(f"{image.image}: no region in {folder} has the name of this image")
    n_pages = n_frames(path)
    if n_pages > 1 and image.frame >= n_pages:
        raise AnnotationError(
            f"{path}: the region has no page {image.frame + 1}, which {image.image} has; "
            "save one page for each page of the image, or a single one for all"
        )
    pixels = read_stored_page(path, image.frame if n_pages > 1 else 0)
    height, width = pixels.shape
    if (height, width) != image.image_hw:
        raise AnnotationError(
            f"{path}: the region is {width} x {height} px but {image.image} is "
            f"{image.image_hw[1]} x {image.image_hw[0]} px; check that they belong together"
        )
    # Half of the maximum, because JPEG spreads both values over their neighbours.
    least = max(float(pixels.max()) / 2, 0.0)
    is_jpeg = path.suffix.lower() in _JPEG_SUFFIXES
    inside = pixels > least
    if not is_jpeg and (labels := read_mask(pixels, str(path))).kind == "labels":
        inside = labels.foreground  # each label is a part of the region
    region = rle.encode(inside)
    if not rle.area_px(region):
        raise AnnotationError(
            f"{path}: the region has no pixel on page {image.frame + 1} of {image.image}"
        )
    return region
