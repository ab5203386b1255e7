"""Rows of ``counts.csv`` and ``objects.csv`` for one image."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

import numpy.typing as npt

from mito_instance.instances import ImageInstances
from mito_instance.masks import rle as rle_masks
from mito_instance.measure.morphology import ObjectShape, measure_object
from mito_instance.measure.schema import COUNTS_NAMES, OBJECTS_NAMES

Value = str | int | float | bool | None
Row = Mapping[str, Value]
"""A row by column name; None where a value is unknown or undefined."""


@dataclasses.dataclass(frozen=True, slots=True)
class Extent:
    """The part of an image in which instances are counted.

    Args:
        area_px: its pixels, at least 1.
        covered_px: those of them that lie in any instance, each once.
    """

    area_px: int
    covered_px: int


def whole_image(instances: ImageInstances) -> Extent:
    """All pixels of an image, and those in any of its instances."""
    height, width = instances.image_hw
    covered = rle_masks.union(list(instances.masks), instances.image_hw)
    return Extent(height * width, rle_masks.area_px(covered))


def measure_objects(
    instances: ImageInstances, grey: npt.NDArray[Any] | None = None
) -> list[ObjectShape]:
    """Shape of every instance of an image, in its order.

    Args:
        instances: N instances.
        grey: the image (H, W) in its own grey levels, or None.

    Returns:
        N shapes; an empty list for an image without instances.
    """
    return [measure_object(mask, grey) for mask in instances.masks]


def object_rows(instances: ImageInstances, shapes: Sequence[ObjectShape]) -> list[Row]:
    """Rows of ``objects.csv``.

    Args:
        instances: N instances.
        shapes: what `measure_objects` found for them.

    Returns:
        N rows with the columns `OBJECTS_NAMES`; µm columns are None when the pixel size is
        unknown.
    """
    pixel_size = instances.pixel_size
    rows: list[Row] = []
    for number, shape in enumerate(shapes):
        row: dict[str, Value] = dict.fromkeys(OBJECTS_NAMES)
        row |= dataclasses.asdict(shape)
        row |= {
            "image": image_cell(instances.image),
            "frame": instances.frame,
            "object_id": number + 1,
            "score": None if instances.scores is None else float(instances.scores[number]),
        }
        if pixel_size is not None:
            row["area_um2"] = pixel_size.area_um2(shape.area_px)
            for name in ("perimeter", "feret_max", "feret_min"):
                row[f"{name}_um"] = pixel_size.length_um(getattr(shape, f"{name}_px"))
        rows.append(row)
    return rows


def summarise_image(
    instances: ImageInstances,
    shapes: Sequence[ObjectShape] | None = None,
    message: str = "",
    *,
    extent: Extent | None = None,
    exclude_border: bool = False,
) -> Row:
    """Row of ``counts.csv`` for an image that was measured.

    Args:
        instances: N instances, N may be 0.
        shapes: what `measure_objects` found, if it is at hand; it saves decoding the masks.
        message: a remark for the last column.
        extent: what was searched and what is covered; None for the whole image.
        exclude_border: leave instances that touch the border out of mean and median area,
            because only a part of them is seen. They stay in counts, totals and fractions.

    Returns:
        A row with the columns `COUNTS_NAMES`. Without instances the count, total area, area
        fraction and density are 0, and means and medians are None. Overlapping pixels count
        in each instance's area, but once in ``area_fraction``. µm columns are None when the
        pixel size is unknown.
    """
    height, width = instances.image_hw
    masks = list(instances.masks)
    if shapes is None:
        areas = [rle_masks.area_px(mask) for mask in masks]
        touching = [_touches_border(mask) for mask in masks]
    else:
        areas = [shape.area_px for shape in shapes]
        touching = [shape.touches_border for shape in shapes]
    seen = extent or whole_image(instances)
    whole = [
        area
        for area, at_border in zip(areas, touching, strict=True)
        if not (exclude_border and at_border)
    ]
    scores = instances.scores
    row: dict[str, Value] = dict.fromkeys(COUNTS_NAMES)
    row |= {
        "image": image_cell(instances.image),
        "frame": instances.frame,
        "status": "ok",
        "width_px": width,
        "height_px": height,
        "count": len(masks),
        "count_touching_border": sum(touching),
        "area_total_px": sum(areas),
        "area_fraction": seen.covered_px / seen.area_px,
        "score_mean": float(scores.mean()) if scores is not None and len(scores) else None,
        "message": message,
    }
    pixel_size = instances.pixel_size
    if pixel_size is not None:
        row |= {
            "pixel_size_nm": pixel_size.nm,
            "pixel_size_source": pixel_size.source,
            "area_total_um2": pixel_size.area_um2(sum(areas)),
            "density_per_um2": len(masks) / pixel_size.area_um2(seen.area_px),
        }
        if whole:
            row["area_mean_um2"] = pixel_size.area_um2(statistics.fmean(whole))
            row["area_median_um2"] = pixel_size.area_um2(statistics.median(whole))
    return row


def failed_row(image: str, frame: int, message: str) -> Row:
    """Row of ``counts.csv`` for an image or page that could not be measured.

    Args:
        image: the file, as it was given.
        frame: 0-based page; 0 where the file as a whole failed.
        message: the reason, one line.

    Returns:
        A row with the columns `COUNTS_NAMES`; no count, because none is known.
    """
    row: dict[str, Value] = dict.fromkeys(COUNTS_NAMES)
    row |= {
        "image": image_cell(image),
        "frame": frame,
        "status": "error",
        "message": " ".join(message.split()),
    }
    return row


def image_cell(image: str) -> str:
    """An image's name as it stands in a table.

    A relative name that a spreadsheet would take for a formula (``=1+1.png``) gets ``./`` in
    front: it is still the same path, but no formula.
    """
    is_formula = image.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"./{image}" if is_formula and not PurePath(image).is_absolute() else image


def _touches_border(mask: rle_masks.RLE) -> bool:
    """Whether a pixel of the mask lies in the outermost rows or columns of the image."""
    x, y, width, height = rle_masks.box_xywh(mask)
    image_height, image_width = mask["size"]
    at_border = x == 0 or y == 0 or x + width == image_width or y + height == image_height
    return bool(width > 0 and at_border)
