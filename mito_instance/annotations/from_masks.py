"""Mask files to instances: pairs of image and mask, one after another, stacks linked in depth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mito_instance.annotations.conversion import Conversion
from mito_instance.annotations.mask_conversion import (
    SPECK_PX,
    MaskInstances,
    MaskKindChoice,
    convert_mask_folder,
    convert_mask_page,
    read_mask_page,
)
from mito_instance.annotations.mask_options import MaskOptions
from mito_instance.annotations.mask_values import is_full_scale
from mito_instance.annotations.series import Slice, slices_of
from mito_instance.annotations.slice_tracks import SliceTracks
from mito_instance.annotations.threads import in_order
from mito_instance.errors import AnnotationError, MitoInstanceError
from mito_instance.instances import ImageInstances
from mito_instance.io.images import Page, n_frames, read_pages
from mito_instance.io.mask_pages import MaskPage, read_mask_pages

N_THREADS = 2
"""Masks converted at a time: decoding is most of it, and more would hold more images."""


def convert_mask_pairs(pairs: Iterable[tuple[Path, Path]], options: MaskOptions) -> Conversion:
    """Instances of every image of the pairs; a bad file is named and the others go on.

    Masks are converted several at a time; results are in the order of the pairs. With
    ``components-3d``, the pages of a stack are linked, and so are single images that are numbered
    one after another (``z_009.png``, ``z_010.png``).

    Args:
        pairs: image, and its mask file or folder of mask files.
        options: how masks become instances.

    Raises:
        AnnotationError: if a mask needs a repair and the options are strict.
    """
    conversion = Conversion()
    volume = _Volume(options.connectivity)
    work = partial(_converted, options=options)
    for (_, mask), converted in in_order(pairs, work, N_THREADS):
        try:
            pages, stack = converted.result()
        except MitoInstanceError as error:
            conversion.failures.append(str(error))
            continue
        except OSError as error:
            conversion.failures.append(f"{mask}: cannot be read ({error}); check the path")
            continue
        for instances, found, kept in pages:
            if options.strict and found.report.repairs:
                raise AnnotationError(
                    f"{found.report.where}: needs a repair, which --strict refuses: "
                    f"{'; '.join(found.report.repairs)}; correct the mask or leave out --strict"
                )
            if options.instances == "components-3d":
                volume.add(instances, stack, found, kept, conversion)
            conversion.images.append(instances)
            conversion.reports.append(found.report)
    volume.close(conversion)
    _note_sums(conversion, options)
    return conversion


@dataclass(slots=True)
class _Linked:
    """Slices that are linked in depth; of each, the positions of the components that are kept."""

    tracks: SliceTracks
    positions: list[npt.NDArray[np.int64]] = field(default_factory=list)

    def add(self, found: MaskInstances, kept: npt.NDArray[np.bool_]) -> None:
        """Link the next slice."""
        if found.parts is not None:
            first, end = self.tracks.add_slice(found.parts)
            self.positions.append(np.arange(first, end)[kept])


def _converted(
    pair: tuple[Path, Path], options: MaskOptions
) -> tuple[list[tuple[ImageInstances, MaskInstances, npt.NDArray[np.bool_]]], _Linked | None]:
    """What comes of one image and its mask; pages of a stack linked, if they shall be.

    These are linked here, so that not all of their label images are held.
    """
    pages = []
    is_stack = options.instances == "components-3d" and n_frames(pair[0]) > 1
    stack = _Linked(SliceTracks(options.connectivity)) if is_stack else None
    for instances, found, kept in _pages_with_instances(*pair, options):
        if stack is not None:
            stack.add(found, kept)
            found = replace(found, parts=None)
        pages.append((instances, found, kept))
    return pages, stack


def _note_sums(conversion: Conversion, options: MaskOptions) -> None:
    """What matters over all masks."""
    reports = conversion.reports
    n_inverted = sum(any("inverted" in repair for repair in item.repairs) for item in reports)
    if 0 < n_inverted < sum(item.n_instances > 0 for item in reports):
        conversion.notices.append(
            f"{n_inverted} of {len(reports)} masks were inverted; if all are alike, give "
            "--foreground bright or dark"
        )
    n_specks = sum(item.n_specks for item in reports)
    if n_specks:
        conversion.notices.append(
            f"{n_specks} instances are specks under {SPECK_PX} px and are kept; "
            f"--min-area-px {SPECK_PX} drops them"
        )
    n_cuts = sum(item.n_cuts or 0 for item in reports)
    if options.instances == "watershed":
        conversion.notices.append(f"{n_cuts} cuts through touching objects; see --preview")


def _pages_with_instances(
    image: Path, mask: Path, options: MaskOptions
) -> Iterator[tuple[ImageInstances, MaskInstances, npt.NDArray[np.bool_]]]:
    """The instances of each page of an image, those before small ones went, and who is kept.

    Raises:
        AnnotationError: if pages or sizes do not fit.
    """
    if mask.is_dir() and options.instances not in ("auto", "files"):
        raise AnnotationError(
            f"{mask}: is a folder, but --instances {options.instances} needs one mask file "
            "an image; give --instances files"
        )
    if not mask.is_dir() and options.instances == "files":
        raise AnnotationError(
            f"{mask}: --instances files needs a folder of masks for each image; "
            "give --instances components or labels"
        )
    for page, found in _matched_pages(image, mask, options):
        whole, kept = found.without_small(options.min_area_px)
        track_ids: tuple[int, ...] = ()
        if page.n_frames > 1 and whole.values is not None:
            track_ids = tuple(int(value) for value in whole.values)
        instances = ImageInstances(
            image=str(image),
            image_hw=_size_hw(page.pixels),
            masks=whole.masks,
            frame=page.frame,
            pixel_size=options.pixel_size or page.pixel_size,
            track_ids=track_ids,
        )
        needs_parts = options.instances == "components-3d"
        yield instances, replace(whole, parts=found.parts if needs_parts else None), kept


def _matched_pages(
    image: Path, mask: Path, options: MaskOptions
) -> Iterator[tuple[Page, MaskInstances]]:
    """Each page of the image with its instances before small ones are dropped."""
    is_folder = mask.is_dir()
    kind: MaskKindChoice = "auto" if is_folder else _kind_of_file(mask, options)
    mask_pages: Iterator[MaskPage] = iter(()) if is_folder else read_mask_pages(mask)
    for page in read_pages(image):
        if is_folder:
            if page.n_frames > 1:
                raise AnnotationError(
                    f"{image}: has {page.n_frames} pages, but {mask} is a folder of mask files, "
                    "which fit a single image; save the pages as single images"
                )
            yield page, convert_mask_folder(mask, _size_hw(page.pixels), image, options)
            continue
        mask_page = next(mask_pages, None)
        if mask_page is None or mask_page.n_frames != page.n_frames:
            n_pages = 0 if mask_page is None else mask_page.n_frames
            raise AnnotationError(
                f"{mask}: has {n_pages} pages but {image} has {page.n_frames}; "
                "check that they belong together"
            )
        yield page, convert_mask_page(mask_page, _size_hw(page.pixels), image, options, kind)


def _kind_of_file(mask: Path, options: MaskOptions) -> MaskKindChoice:
    """What all pages of a mask file are: a stack with one page of labels is a stack of labels."""
    if options.instances == "labels":
        return "labels"
    if options.instances != "auto":
        return "binary"
    if n_frames(mask) == 1:
        return "auto"
    values: set[int] = set()
    for page in read_mask_pages(mask):
        if read_mask_page(page).kind == "labels":
            return "labels"
        values |= _value_of(page)
    is_foreground = all(value == 1 or is_full_scale(value) for value in values)
    is_told = options.foreground != "auto"
    return "auto" if len(values) < 2 or is_foreground or is_told else "labels"


def _value_of(page: MaskPage) -> set[int]:
    """The one whole number of a page besides 0; none where there are more, or others."""
    pixels = page.stored
    if pixels.dtype.kind not in "ui" or not pixels.size:
        return set()
    value = int(pixels.max())
    is_other = pixels != value
    return {value} if value > 0 and is_other.any() and not pixels[is_other].any() else set()


@dataclass(slots=True)
class _Volume:
    """The slices that are being linked in depth."""

    connectivity: int
    linked: _Linked | None = None
    first_image: int = 0
    next_id: int = 1
    following: Slice | None = None

    def add(
        self,
        instances: ImageInstances,
        stack: _Linked | None,
        found: MaskInstances,
        kept: npt.NDArray[np.bool_],
        conversion: Conversion,
    ) -> None:
        """Link the next page; a stack, or a name out of the series, begins a new volume."""
        place = Slice(instances.image, instances.frame)
        if stack is None:
            (place,) = slices_of([instances])
        if self.linked is None or place != self.following:
            self.close(conversion)
            self.linked = stack or _Linked(SliceTracks(self.connectivity))
            self.first_image = len(conversion.images)
        if stack is None:
            self.linked.add(found, kept)
        self.following = Slice(place.stack, place.number + 1)

    def close(self, conversion: Conversion) -> None:
        """Give the instances of the volume their numbers."""
        if self.linked is None:
            return
        ids = self.linked.tracks.track_ids(self.next_id)
        used = {int(ids[i]) for positions in self.linked.positions for i in positions}
        for number, positions in enumerate(self.linked.positions, start=self.first_image):
            page = conversion.images[number]
            track_ids = tuple(int(ids[position]) for position in positions)
            conversion.images[number] = replace(page, track_ids=track_ids)
        first = Path(conversion.images[self.first_image].image).name
        conversion.notices.append(
            f"{first}: {len(used)} 3D components in {len(self.linked.positions)} slices (track_id)"
        )
        self.next_id = max(self.next_id, int(ids.max(initial=0)) + 1)
        self.linked = self.following = None


def _size_hw(pixels: npt.NDArray[Any]) -> tuple[int, int]:
    """Height and width."""
    return (int(pixels.shape[0]), int(pixels.shape[1]))
