"""The annotated part of images that are not annotated as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mito_instance.annotations.from_rois import RoiSet, find_roi_sets
from mito_instance.annotations.pairing import pair_by_name
from mito_instance.errors import AnnotationError
from mito_instance.instances import ImageInstances
from mito_instance.io.imagej_roi import SkippedRoi, read_rois
from mito_instance.io.images import find_images, read_pages
from mito_instance.masks import rle
from mito_instance.masks.polygons import rasterise

_ROI_SUFFIXES = (".zip", ".roi")
_Regions = dict[tuple[str, int], rle.RLE]


def read_regions(path: Path, images: Sequence[ImageInstances]) -> tuple[_Regions, list[str]]:
    """Regions of the images that have one.

    ImageJ ROIs (a ``.roi``, a zip, or a folder of these) or binary masks (a file or a folder).
    Several ROIs are united; a mask's region is what is brighter than half of its maximum. Files
    belong to images by name, but a single zip or mask applies to every image. A one-page mask,
    and an ROI without a slice position, applies to every page.

    Args:
        path: where the regions are.
        images: the images of the truth.

    Returns:
        The region by (image, frame), and one line for each image without a region. Such an
        image is not to be scored: nobody said that all of it is annotated.

    Raises:
        MitoInstanceError: if a region cannot be read or does not fit its image.
    """
    files, is_roi = _region_files(path)
    regions: _Regions = {}
    without: list[str] = []
    if len(files) == 1:
        partners = dict.fromkeys({Path(image.image) for image in images}, next(iter(files)))
    else:
        pairing = pair_by_name(sorted({Path(image.image) for image in images}), list(files))
        if pairing.ambiguous:
            raise AnnotationError(pairing.ambiguous[0])
        partners = dict(pairing.pairs)
    for image in images:
        name = partners.get(Path(image.image))
        if name is None:
            without.append(f"{image.image}: no region in {path} has this name; not scored")
        else:
            region = _roi_region(files[name], image) if is_roi else _mask_region(name, image)
            if rle.area_px(region):
                regions[image.image, image.frame] = region
            else:
                where = f"page {image.frame + 1} of {image.image}"
                without.append(f"{name}: the region has no pixel on {where}; not scored")
    return regions, without


def _region_files(path: Path) -> tuple[Mapping[Path, RoiSet], bool]:
    """Region files by the path whose name tells the image, and whether they are ROIs."""
    if not path.exists():
        raise AnnotationError(f"{path}: no such file or folder; check the path of the region")
    inside = path.rglob("*") if path.is_dir() else [path]
    if any(file.suffix.lower() in _ROI_SUFFIXES for file in inside):
        return {roi_set.name: roi_set for roi_set in find_roi_sets([path])}, True
    return {file: RoiSet(file, (file,)) for file in find_images([path])}, False


def _roi_region(roi_set: RoiSet, image: ImageInstances) -> rle.RLE:
    """Union of the area ROIs that lie on the page of an image."""
    parts: list[rle.RLE] = []
    for file in roi_set.files:
        for roi in read_rois(file):
            if isinstance(roi, SkippedRoi):
                if roi.is_damaged:
                    raise AnnotationError(f"{roi.source}: {roi.reason}")
                continue
            page = max(roi.position.index, roi.position.z, roi.position.time) - 1
            if page in (-1, image.frame):
                where = f"{roi.source} (ROI {roi.name!r})"
                parts.append(rasterise(roi.rings, image.image_hw, where).rle)
    return rle.union(parts, image.image_hw)


def _mask_region(path: Path, image: ImageInstances) -> rle.RLE:
    """Foreground of a mask's page."""
    for page in read_pages(path):
        if page.n_frames > 1 and page.frame != image.frame:
            continue
        height, width = page.pixels.shape
        if (height, width) != image.image_hw:
            raise AnnotationError(
                f"{path}: the region is {width} x {height} px but {image.image} is "
                f"{image.image_hw[1]} x {image.image_hw[0]} px; check that they belong together"
            )
        # Half of the maximum, because JPEG spreads both values over their neighbours.
        return rle.encode(page.pixels > max(float(page.pixels.max()) / 2, 0.0))
    raise AnnotationError(
        f"{path}: the region has no page {image.frame + 1}, which {image.image} has; "
        "save one page for each page of the image, or a single one for all"
    )
