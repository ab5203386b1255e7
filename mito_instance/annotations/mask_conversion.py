"""One mask page, or one folder of mask files, to the instances of its image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mito_instance.annotations.conversion import MaskReport
from mito_instance.annotations.mask_options import MaskOptions
from mito_instance.annotations.mask_parts import component_parts, label_parts, part_rles
from mito_instance.annotations.mask_polarity import Foreground, with_ground_at_0
from mito_instance.annotations.mask_repairs import fill_label_pinholes, find_pinholes, fit_size
from mito_instance.annotations.mask_values import MaskReading, read_mask, suggests_labels
from mito_instance.annotations.watershed import watershed_parts
from mito_instance.errors import AnnotationError
from mito_instance.io.images import IMAGE_SUFFIXES, find_images, n_frames
from mito_instance.io.mask_pages import COLOURS, MaskPage, read_mask_pages
from mito_instance.masks import rle as rle_masks
from mito_instance.masks.labels import LabelImage
from mito_instance.masks.rle import RLE

SPECK_PX = 25
"""Smaller instances are counted as specks: 5 x 5 px show nothing of a mitochondrion."""

PINHOLE_PX = 4
"""Holes up to this area are counted as pinholes when none are filled."""

MaskKindChoice = Literal["auto", "binary", "labels"]


@dataclass(frozen=True, slots=True)
class MaskInstances:
    """The instances of one mask page.

    Args:
        masks: N RLEs.
        values: N label values of a label image; None otherwise, and of colours.
        parts: int32 (H, W) with instance number i as i + 1; None where instances may overlap.
        report: what was seen and done.
    """

    masks: tuple[RLE, ...]
    values: npt.NDArray[np.int64] | None
    parts: LabelImage | None
    report: MaskReport

    def without_small(self, min_area_px: int) -> tuple[MaskInstances, npt.NDArray[np.bool_]]:
        """Instances of at least an area, with the report completed; and which were kept.

        Args:
            min_area_px: least area; 1 keeps all.
        """
        areas = np.asarray([rle_masks.area_px(mask) for mask in self.masks], dtype=np.int64)
        kept = areas >= min_area_px
        n_specks = int((areas[kept] < SPECK_PX).sum())
        did = self.report.did
        if not kept.all():
            did = (*did, f"{int((~kept).sum())} under {min_area_px} px dropped")
        report = replace(self.report, did=did, n_instances=int(kept.sum()), n_specks=n_specks)
        masks = tuple(mask for mask, keep in zip(self.masks, kept, strict=True) if keep)
        values = None if self.values is None else self.values[kept]
        return MaskInstances(masks, values, None, report), kept


def convert_mask_page(
    page: MaskPage,
    image_hw: tuple[int, int],
    image: Path,
    options: MaskOptions,
    kind: MaskKindChoice,
) -> MaskInstances:
    """Instances of a binary mask or a label image.

    Args:
        page: the mask.
        image_hw: height and width of its image in pixels.
        image: its image, for messages.
        options: how masks become instances.
        kind: what the mask is; ``auto`` decides by its values.

    Raises:
        AnnotationError: if size or values do not fit.
    """
    reading, did, repairs = _read(page, image_hw, str(image), options, kind)
    report = MaskReport(page.where, f"{page.form}: {reading.saw}", (), ())
    if reading.labels is not None and reading.kind == "labels":
        labels = reading.labels
        parts, values = label_parts(labels, options.connectivity, page.where)
        n_divided = int((np.unique(values, return_counts=True)[1] > 1).sum())
        did += ("labels",)
        if n_divided:
            did += (f"{n_divided} labels in several parts, each an instance",)
        is_of_page = page.form == COLOURS
        if is_of_page and page.n_frames > 1:
            did += ("no track_id: numbers of colours hold for their page alone",)
        done = replace(report, did=did, repairs=repairs)
        rles = tuple(part_rles(parts))
        return MaskInstances(rles, None if is_of_page else values, parts, done)
    if options.instances == "watershed":
        parts, n_cuts = watershed_parts(
            reading.foreground, options.connectivity, options.watershed_depth_px, page.where
        )
        done = replace(report, did=(*did, "watershed"), repairs=repairs, n_cuts=n_cuts)
    else:
        parts = component_parts(reading.foreground, options.connectivity, page.where)
        what = "3D components" if options.instances == "components-3d" else "components"
        done = replace(report, did=(*did, what), repairs=repairs)
    return MaskInstances(tuple(part_rles(parts)), None, parts, done)


def convert_mask_folder(
    folder: Path, image_hw: tuple[int, int], image: Path, options: MaskOptions
) -> MaskInstances:
    """One instance from each mask file of a folder; instances may overlap.

    Args:
        folder: PNG, JPEG, BMP or TIFF files of one page each; others are left alone. An empty
            folder says that the image has no instance.
        image_hw: height and width of the image in pixels.
        image: the image, for messages.
        options: how masks become instances.

    Raises:
        AnnotationError: if a file has another size than the image or several pages, or no file
            is a mask.
    """
    masks: list[RLE] = []
    did: dict[str, list[str]] = {}
    repairs: dict[str, list[str]] = {}
    visible = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    files = [path for path in visible if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()]
    if visible and not files:
        raise AnnotationError(
            f"{folder}: holds no PNG, JPEG, BMP or TIFF but {len(visible)} other files, such as "
            f"{visible[0].name}; save each mask as PNG, or empty the folder if {image} has no "
            "instance"
        )
    for path in find_images(files) if files else []:
        if (n_pages := n_frames(path)) != 1:
            raise AnnotationError(
                f"{path}: has {n_pages} pages, but one file must hold one instance"
            )
        (page,) = read_mask_pages(path)
        reading, steps, mended = _read(page, image_hw, str(image), options, "binary")
        for step in steps:
            did.setdefault(step, []).append(path.name)
        for repair in mended:
            repairs.setdefault(repair.split(" (")[0], []).append(path.name)
        if reading.foreground.any():
            masks.append(rle_masks.encode(reading.foreground))
        else:
            did.setdefault("no instance in", []).append(path.name)
    report = MaskReport(
        str(folder),
        f"folder of {len(files)} files",
        ("files", *(_with_names(what, names) for what, names in did.items())),
        tuple(_with_names(what, names) for what, names in repairs.items()),
    )
    return MaskInstances(tuple(masks), None, None, report)


def read_mask_page(
    page: MaskPage, foreground: Foreground = "auto", kind: MaskKindChoice = "auto"
) -> MaskReading:
    """Understand a page, by `read_mask`; under an inverting lookup table, by what is stored.

    ImageJ stores 255 in the particles of such a mask, and shows them black.

    Args:
        page: the mask.
        foreground: as in `read_mask`; dark and bright are what one sees.
        kind: as in `read_mask`.

    Raises:
        AnnotationError: as `read_mask`.
    """
    page, repair = with_ground_at_0(page)
    by_stored = page.is_inverted and (
        foreground == "auto" or kind == "labels" or suggests_labels(page.stored)
    )

    def read(values: npt.NDArray[Any]) -> MaskReading:
        reading = read_mask(
            values, page.where, is_jpeg=page.is_jpeg, is_colours=page.form == COLOURS,
            foreground=foreground, kind=kind,
        )  # fmt: skip
        return replace(reading, repairs=(repair, *reading.repairs)) if repair else reading

    if by_stored and not (stored := read(page.stored)).is_turned:
        return stored
    return read(page.values)  # other programs store 0 in particles, which look white


def _with_names(what: str, names: list[str]) -> str:
    """What befell some files; names the first."""
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{what}: {names[0]}{more}"


def _read(
    page: MaskPage,
    image_hw: tuple[int, int],
    image: str,
    options: MaskOptions,
    kind: MaskKindChoice,
) -> tuple[MaskReading, tuple[str, ...], tuple[str, ...]]:
    """The mask at its image's size with pinholes filled; what was decided and repaired."""
    reading = read_mask_page(page, options.foreground, kind)
    did, repairs = reading.steps, reading.repairs
    # After reading: the border that is added is background, whatever value that has.
    foreground, off = fit_size(reading.foreground, image_hw, page.where, image)
    labels = reading.labels
    if off:
        repairs += (off,)
        if labels is not None:
            labels, _ = fit_size(labels, image_hw, page.where, image)
    limit = options.fill_pinholes_px
    pinholes, n_pinholes = find_pinholes(foreground, limit or PINHOLE_PX)
    if limit and n_pinholes and labels is not None:
        labels, n_pinholes = fill_label_pinholes(labels, pinholes)
        foreground = labels != 0
    elif limit and n_pinholes:
        foreground = foreground | (pinholes > 0)
    if n_pinholes:
        did += (f"{n_pinholes} pinholes {'filled' if limit else 'kept'}",)
    reading = replace(reading, foreground=foreground, labels=labels)
    return reading, did, repairs
