"""Which page of a stack an ImageJ ROI belongs to."""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mito_instance.errors import AnnotationError, OutsideError
from mito_instance.io.ome import ome_dimensions
from mito_instance.io.tiff_open import open_tiff

_AXES = "CZT"

# ImageJ names ROIs slice-y-x ("0003-0102-0045") when they are drawn on a stack.
_SLICE_IN_NAME = re.compile(r"(\d{4,})-\d{4,}-\d{4,}(?:-\d+)?")

_DAMAGE = (OSError, ValueError, TypeError, KeyError, IndexError, OverflowError, struct.error)


class StackDimensions(NamedTuple):
    """How the pages of a hyperstack are counted.

    Args:
        channels: number of channels.
        slices: number of slices (z).
        frames: number of time points.
        order: what changes from page to page first, second and last.
    """

    channels: int
    slices: int
    frames: int
    order: str = "CZT"

    @property
    def is_shuffled(self) -> bool:
        """Whether ImageJ, which counts C, Z, T, gives the pages other numbers than the file."""
        sizes = self[:3]
        moving = [axis for axis in self.order if sizes[_AXES.index(axis)] > 1]
        return moving != sorted(moving, key=_AXES.index)

    def fits(self, n_pages: int) -> bool:
        """Whether a file has as many pages as it says; one that was cut off has not."""
        return math.prod(self[:3]) == n_pages

    def numbers(self, page: int) -> tuple[int, int, int]:
        """Channel, slice and time, from 1, of a 0-based page."""
        sizes, found = self[:3], [1, 1, 1]
        for axis in self.order:
            number = _AXES.index(axis)
            page, rest = divmod(page, sizes[number])
            found[number] = rest + 1
        return found[0], found[1], found[2]


@dataclass(frozen=True, slots=True)
class StackPosition:
    """Position of an ROI as its file gives it; every number is 1-based, 0 means not set.

    Args:
        index: position in a simple stack.
        channel: channel of a hyperstack.
        z: slice of a hyperstack.
        time: time point of a hyperstack.
    """

    index: int = 0
    channel: int = 0
    z: int = 0
    time: int = 0

    @classmethod
    def from_name(cls, name: str) -> StackPosition:
        """The slice that ImageJ wrote into an ROI's name; not set for other names."""
        found = _SLICE_IN_NAME.fullmatch(name)
        return cls(index=int(found.group(1)[:9])) if found else cls()

    @property
    def is_set(self) -> bool:
        """Whether the ROI names a page at all."""
        return max(self.index, self.channel, self.z, self.time) > 0

    def page(self, n_pages: int, dimensions: StackDimensions | None, where: str) -> int:
        """0-based page of a stack; a single image has page 0 whatever the ROI says.

        Channel, slice and time win over the index when any of them is set.

        Args:
            n_pages: number of pages of the image.
            dimensions: of the image; where they are unknown, or the file has as many pages as one
                channel or time point alone, only one of channel, slice and time may be above 1.
            where: file and ROI, for the message.

        Raises:
            OutsideError: if the ROI names a page that the image does not have.
            AnnotationError: if it names no page, or one that cannot be told.
        Source: ImageJ 1.53t, ``RoiDecoder`` and ``ImagePlus.getStackIndex`` (order C, Z, T).
        """
        if n_pages == 1:
            return 0
        if not self.is_set:
            raise AnnotationError(
                f"{where}: has no slice position but its image has {n_pages} pages; "
                "set the position in Fiji (Image > Overlay or ROI Properties)"
            )
        page = self.index - 1
        if max(self.channel, self.z, self.time) > 0:
            page = self._hyperstack_page(n_pages, dimensions, where)
        if not 0 <= page < n_pages:
            raise OutsideError(
                f"{where}: lies on page {page + 1} but its image has {n_pages} pages; "
                "check that this ROI set belongs to this image"
            )
        return page

    def is_on(
        self, page: int, n_pages: int, dimensions: StackDimensions | None, where: str
    ) -> bool:
        """Whether it lies on a 0-based page; one without a channel lies on all of its slice.

        ImageJ leaves the channel open where all of them are shown together.

        Args:
            page: of the image.
            n_pages: as of `page`.
            dimensions: as of `page`.
            where: as of `page`.

        Raises:
            AnnotationError: as `page`.
        """
        found = self.page(n_pages, dimensions, where)
        is_of_all = self.channel == 0 and max(self.z, self.time) > 0
        if not is_of_all or dimensions is None or not dimensions.fits(n_pages):
            return found == page
        return dimensions.numbers(found)[1:] == dimensions.numbers(page)[1:]

    def _hyperstack_page(self, n_pages: int, dimensions: StackDimensions | None, where: str) -> int:
        """0-based page from channel, slice and time; -1 or >= n_pages when out of range."""
        position = [max(value, 1) - 1 for value in (self.channel, self.z, self.time)]
        if dimensions is None or _is_of_a_part(n_pages, dimensions):
            # The index of a place in all axes is that of the page in the whole.
            is_whole = self.index > 0 and min(self.channel, self.z, self.time) > 0
            is_of_another = dimensions is None and is_whole and self.index != sum(position) + 1
            if is_of_another or sum(value > 0 for value in position) > 1:
                raise AnnotationError(
                    f"{where}: position is channel {self.channel}, slice {self.z}, time {self.time}"
                    f" but the dimensions of its image are unknown ({n_pages} pages); "
                    "save the image from Fiji as TIFF"
                )
            return sum(position)
        for name, value, size in zip(
            ("slice", "time"), (self.z, self.time), dimensions[1:3], strict=True
        ):
            if value <= 0 and size > 1:
                raise AnnotationError(
                    f"{where}: has no {name} position but its image has {size}; "
                    "set the position in Fiji (ROI Properties)"
                )
        if any(value >= size for value, size in zip(position, dimensions[:3], strict=True)):
            return n_pages + sum(position)
        page, step = 0, 1
        for axis in dimensions.order:
            number = _AXES.index(axis)
            page += position[number] * step
            step *= dimensions[:3][number]
        return page


def _is_of_a_part(n_pages: int, dimensions: StackDimensions) -> bool:
    """Whether a file may be a part that was saved apart, with the description of the whole.

    One that was cut off while it was saved has another number of pages.
    """
    channels, slices, frames, _ = dimensions
    parts = {slices * frames, channels * slices, channels * frames, channels, slices, frames}
    return not dimensions.fits(n_pages) and n_pages in parts


def is_ome(path: Path) -> bool:
    """Whether a file is an OME-TIFF; False for what is no TIFF."""
    try:
        with open_tiff(path) as tiff:
            return bool(tiff.is_ome)
    except _DAMAGE:
        return False


def stack_dimensions(path: Path) -> StackDimensions | None:
    """What ImageJ or OME wrote into a TIFF; None when neither did, or OME of other pages."""
    try:
        with open_tiff(path) as tiff:
            if tiff.is_ome:
                sizes_and_order = ome_dimensions(tiff.pages.first.description, len(tiff.pages))
                return None if sizes_and_order is None else StackDimensions(*sizes_and_order)
            metadata = tiff.imagej_metadata or {}
            sizes = [int(metadata.get(key, 1)) for key in ("channels", "slices", "frames")]
    except _DAMAGE:
        return None
    if not metadata or min(sizes) < 1:
        return None
    order = "ZCT" if str(metadata.get("order", "")).lower() == "zct" else "CZT"
    return StackDimensions(sizes[0], sizes[1], sizes[2], order)
