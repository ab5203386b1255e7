"""Checks of one annotation's mask, in whatever form it was written."""

from __future__ import annotations

from typing import Any

from mito_instance.annotations.check_images import number
from mito_instance.annotations.findings import LEFT_OUT, Findings, printable
from mito_instance.errors import MitoInstanceError
from mito_instance.io import coco_polygons
from mito_instance.masks import rle as rle_masks
from mito_instance.masks.rle import RLE

_CUT_TOLERANCE_PX = 1.0
"""Drawing tools put the outermost points up to a pixel outside of the image."""


def check_mask(
    segmentation: Any, image_hw: tuple[int, int], where: str, findings: Findings
) -> RLE | None:
    """The mask of an annotation, or None when there is none or it has no pixel.

    Args:
        segmentation: what the file holds.
        image_hw: height and width of the image in pixels.
        where: the annotation, for the messages.
        findings: grows.
    """
    if segmentation is None or segmentation in ([], {}, ""):
        findings.add(
            "mask-missing", where, "has no mask; a box alone cannot train a mask", LEFT_OUT
        )
        return None
    if isinstance(segmentation, list):
        mask = _polygon_mask(segmentation, image_hw, where, findings)
    else:
        mask = _rle_mask(segmentation, image_hw, where, findings)
    if mask is not None and rle_masks.area_px(mask) == 0:
        findings.add("mask-empty", where, "the mask has no pixel inside of the image", LEFT_OUT)
        return None
    return mask


def check_measures(
    entry: dict[str, Any], mask: RLE, where: str, findings: Findings, *, is_polygon: bool
) -> None:
    """Compare ``area`` and ``bbox`` with the mask.

    What stands beside a run-length mask must be exact, within half a pixel. Beside polygons,
    area and box usually describe the drawn outline: half the box's perimeter, or 2 px in the
    box, are allowed there.
    """
    box = rle_masks.box_xywh(mask)
    area_px = rle_masks.area_px(mask)
    if entry.get("area") is None or entry.get("bbox") is None:
        findings.add("box-or-area-missing", where, "area or bbox is missing", "computed from mask")
    if entry.get("area") is not None:
        tolerance = 1.0 + box[2] + box[3] if is_polygon else 0.5
        if not abs(number(entry["area"]) - area_px) <= tolerance:
            findings.add(
                "area-differs",
                where,
                f"area is {printable(entry['area'], 30)} but the mask has {area_px} px",
                "computed from mask",
            )
    if entry.get("bbox") is not None:
        difference = _box_difference(entry["bbox"], box, 2.0 if is_polygon else 0.5)
        if difference:
            findings.add("box-differs", where, difference, "computed from mask")


def _box_difference(given: Any, box: tuple[int, int, int, int], tolerance_px: float) -> str:
    """How a box disagrees with the mask's; empty when it does not."""
    if not isinstance(given, list) or len(given) != 4:
        return f"bbox must be [x, y, width, height], got {printable(given)}"
    values = [number(value) for value in given]

    def agrees(expected: tuple[int, ...]) -> bool:
        return all(
            abs(value - other) <= tolerance_px
            for value, other in zip(values, expected, strict=True)
        )

    if agrees(box):
        return ""
    x, y, width, height = box
    text = "[" + ", ".join(f"{value:g}" for value in values) + "]"
    if agrees((x, y, x + width, y + height)):
        return f"bbox {text} holds two corners, not x, y, width, height"
    return f"bbox is {text} but the mask's is {list(box)}"


def _rle_mask(
    segmentation: Any, image_hw: tuple[int, int], where: str, findings: Findings
) -> RLE | None:
    try:
        mask = rle_masks.check(segmentation, image_hw, "segmentation")
    except MitoInstanceError as error:
        findings.add("mask-damaged", where, _reason(error), LEFT_OUT)
        return None
    if isinstance(segmentation["counts"], list):
        findings.add("uncompressed-rle", where, "the run lengths are not compressed", "compressed")
    return mask


def _polygon_mask(
    polygons: list[Any], image_hw: tuple[int, int], where: str, findings: Findings
) -> RLE | None:
    """Union of an annotation's polygons, mended where there is only one way to mend them."""
    parts = _in_coco_form(polygons, where, findings)
    kept = [part for part in parts if not (isinstance(part, list) and len(part) in (0, 2, 4))]
    if len(kept) < len(parts) and kept:
        findings.add(
            "polygon-part",
            where,
            f"{len(parts) - len(kept)} of {len(parts)} polygons have fewer than 3 points",
            "these parts removed",
        )
    masks = []
    for part in kept or parts:
        try:
            masks.append(coco_polygons.rasterise([part], image_hw, "segmentation"))
        except MitoInstanceError as error:
            findings.add("mask-damaged", where, _reason(error), LEFT_OUT)
            return None
    findings.add("polygon", where, "the mask is a polygon", "converted to run lengths")
    _check_bounds(kept, image_hw, where, findings)
    _check_holes(masks, where, findings)
    return masks[0] if len(masks) == 1 else rle_masks.union(masks, image_hw)


def _in_coco_form(polygons: list[Any], where: str, findings: Findings) -> list[Any]:
    """``[[x, y, x, y, …], …]``, also where the brackets are set otherwise."""
    if all(type(value) in (int, float) for value in polygons):
        form, parts = "[x, y, x, y, …]", [polygons]
    elif len(polygons) >= 3 and all(_is_point(value) for value in polygons):
        form, parts = "[[x, y], [x, y], …]", [[x for point in polygons for x in point]]
    else:
        return polygons
    findings.add(
        "polygon-form",
        where,
        f"a single polygon is written as {form}, not [[x, y, x, y, …]]",
        "brackets set",
    )
    return parts


def _is_point(value: Any) -> bool:
    return (
        isinstance(value, list) and len(value) == 2 and all(type(x) in (int, float) for x in value)
    )


def _check_bounds(
    parts: list[list[Any]], image_hw: tuple[int, int], where: str, findings: Findings
) -> None:
    """Note how far the points lie outside of the image."""
    height, width = image_hw
    outside = max(
        (
            max(-float(value), float(value) - (height if position % 2 else width))
            for part in parts
            for position, value in enumerate(part)
        ),
        default=0.0,
    )
    if outside > _CUT_TOLERANCE_PX:
        findings.add(
            "mask-out-of-bounds",
            where,
            f"the polygon reaches {outside:g} px beyond the image",
            "cut at the border",
        )


def _check_holes(masks: list[RLE], where: str, findings: Findings) -> None:
    """Note a polygon inside another one: COCO unites them, it makes no hole."""
    if len(masks) < 2:
        return
    largest = max(masks, key=rle_masks.area_px)
    for mask in masks:
        area_px = rle_masks.area_px(mask)
        if mask is not largest and area_px and rle_masks.intersection_px(mask, largest) == area_px:
            findings.add(
                "polygon-hole",
                where,
                f"a polygon of {area_px} px lies inside another; COCO unites polygons, so it is "
                "no hole; if a hole is meant, convert the masks to run lengths",
            )
            return


def _reason(error: MitoInstanceError) -> str:
    return printable(str(error).removeprefix("segmentation: "), 300)
