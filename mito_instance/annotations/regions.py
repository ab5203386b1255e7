"""The part of an image that the user outlined in ImageJ: cells, tissue, or what is annotated."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from mito_instance.annotations.roi_sets import RoiSet, find_roi_sets, pair_roi_sets
from mito_instance.errors import AnnotationError, OutsideError
from mito_instance.io.imagej_position import stack_dimensions
from mito_instance.io.imagej_roi import NO_AREA, ImageJRoi, read_roi_files
from mito_instance.masks import rle as rle_masks
from mito_instance.masks.polygons import rasterise
from mito_instance.masks.rle import RLE

logger = logging.getLogger(__name__)


class Regions:
    """The region of every image.

    A file (``.roi``, a zip of them, or a TIFF with an overlay) holds for all images; the files
    of a folder hold each for the image of its name. Several outlines of an image are one region
    together. In a stack, an outline with a slice position holds for that page, one without a
    channel for all channels of its slice, one without any position for
    all pages.

    Args:
        path: file or folder.
        images: the images.

    Raises:
        AnnotationError: if the path is absent, holds no ROI, or the file for all images cannot
            be read. A file of a folder that cannot be read is an error of its image alone.
    """

    def __init__(self, path: Path, images: Sequence[Path]) -> None:
        self._path = path
        self._is_for_all = not path.is_dir()
        sets = find_roi_sets([path], or_selections=True)
        if not self._is_for_all:
            pairing = pair_roi_sets(images, sets)
            for line in (*pairing.notices, *pairing.failures):
                logger.warning("%s", line)
            self._sets = dict(pairing.pairs)
        else:
            self._sets = dict.fromkeys(images, sets[0])
            if len(images) > 1:
                logger.info(
                    "%s: holds for all %d images; for regions of their own give a folder with a "
                    "file for each, by name",
                    path,
                    len(images),
                )
        self._rois: dict[Path, list[ImageJRoi]] = {}
        self._failures: dict[Path, str] = {}
        self._said: set[Path] = set()
        for roi_set in {id(roi_set): roi_set for roi_set in self._sets.values()}.values():
            try:
                self._rois[roi_set.name] = _outlines(roi_set)
            except AnnotationError as error:
                if not path.is_dir():
                    raise
                self._failures[roi_set.name] = str(error)

    def mask(self, path: Path, frame: int, n_frames: int, image_hw: tuple[int, int]) -> RLE:
        """The region of one page.

        Args:
            path: the image.
            frame: 0-based page.
            n_frames: pages of the image.
            image_hw: height and width of the page; the region is cut at its border.

        Raises:
            AnnotationError: if the page has no region, or none inside the page. It is not
                counted as a whole then: nobody said that all of it should count.
        """
        if path not in self._sets:
            raise AnnotationError(f"{path}: no region in {self._path} has the name of this image")
        name = self._sets[path].name
        if name in self._failures:
            raise AnnotationError(f"{path}: its region cannot be read: {self._failures[name]}")
        dimensions = stack_dimensions(path) if n_frames > 1 else None
        if n_frames == 1:
            self._warn_of_slices(name, path)
        masks, outside, beyond = [], [], []
        for roi in self._rois[name]:
            where = f"{roi.source} (ROI {roi.name!r})"
            try:
                if roi.position.is_set and not roi.position.is_on(
                    frame, n_frames, dimensions, where
                ):
                    continue
            except OutsideError as error:
                if not self._is_for_all:
                    raise
                beyond.append(error)  # drawn on a longer stack
                continue
            try:
                masks.append(rasterise(roi.rings, image_hw, where).rle)
            except OutsideError as error:  # one for all images may be of a larger one
                outside.append(error)
        if outside and not masks:
            raise outside[0]
        if (left_out := [*outside, *beyond]) and path not in self._said:  # of a stack once
            self._said.add(path)
            logger.warning("%s: the region is that of the other outlines; %s", path, left_out[0])
        if not masks:
            raise AnnotationError(
                f"{path}: no region in {name} is for page {frame + 1}; "
                "outline one, or give an outline without a position, which is for all pages"
            )
        return rle_masks.union(masks, image_hw)

    def _warn_of_slices(self, name: Path, path: Path) -> None:
        """Say once that outlines of several slices are one region of a single image."""
        slices = {roi.position for roi in self._rois[name] if roi.position.is_set}
        if len(slices) > 1 and name not in self._said:
            self._said.add(name)
            logger.warning(
                "%s: has one page but the outlines of %s carry %d slice positions; all of them "
                "are its region; give a file for each image, by name",
                path,
                name,
                len(slices),
            )


def _outlines(roi_set: RoiSet) -> list[ImageJRoi]:
    """The area ROIs of a set; one that is damaged must not silently make the region smaller."""
    rois, lines = [], []
    for roi in read_roi_files(roi_set.files):
        if isinstance(roi, ImageJRoi):
            rois.append(roi)
        elif roi.is_damaged:
            raise AnnotationError(f"{roi.source}: {roi.reason}")
        elif roi.reason.endswith(f"line {NO_AREA}"):  # points and texts enclose nothing
            lines.append(roi)
    if not rois:
        raise AnnotationError(f"{roi_set.name}: holds no area ROI; outline the region in Fiji")
    if lines:
        logger.warning(
            "%s: %d lines are no part of the region, first %s: %s; draw areas in Fiji",
            roi_set.name,
            len(lines),
            lines[0].name,
            lines[0].reason,
        )
    return rois
