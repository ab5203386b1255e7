"""Everything in a COCO JSON that a trainer would trip over, and what is left after repair."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mito_instance.annotations.check_categories import (
    category_of,
    check_categories,
    check_used_categories,
)
from mito_instance.annotations.check_crowds import is_instance
from mito_instance.annotations.check_ids import check_id, image_of
from mito_instance.annotations.check_images import (
    ImageEntry,
    check_images,
    number,
    readable_id,
)
from mito_instance.annotations.check_masks import check_mask, check_measures
from mito_instance.annotations.check_neighbours import check_neighbours
from mito_instance.annotations.check_scores import check_scores
from mito_instance.annotations.findings import LEFT_OUT, Findings, printable
from mito_instance.errors import AnnotationError
from mito_instance.instances import ImageInstances
from mito_instance.io import coco_values
from mito_instance.io.coco_values import Identifier
from mito_instance.io.json_file import read_json
from mito_instance.masks import rle as rle_masks
from mito_instance.masks.rle import RLE

Progress = Callable[[list[Any], str], Iterable[Any]]
MIN_AREA_PX = 25
"""Below this, an instance counts as a speck unless the user says otherwise."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check yields.

    Args:
        findings: all that was found.
        images: the file after repair, in the form that this toolkit writes.
        n_images: entries in ``images``.
        n_annotations: entries in ``annotations``.
    """

    findings: Findings
    images: tuple[ImageInstances, ...]
    n_images: int
    n_annotations: int


@dataclass(frozen=True, slots=True)
class _Annotation:
    """One annotation that can be kept."""

    where: str
    mask: RLE
    category_id: int
    score: float
    name: str
    group: int
    track_id: int


def check_coco(
    path: Path,
    min_area_px: int = MIN_AREA_PX,
    progress: Progress = lambda items, _: items,
    *,
    crowds_are_instances: bool = False,
) -> CheckResult:
    """Check a COCO JSON, however broken.

    Nothing is invented: a repair converts, removes, or takes from the image file or the mask
    what the JSON itself states otherwise. What cannot be repaired is left out or unchanged.

    Args:
        path: the JSON file.
        min_area_px: instances under this area are noted as specks; they are kept.
        progress: wraps the entries that are worked on; gets their name, too.
        crowds_are_instances: the repair keeps crowd regions, each as a single instance.

    Raises:
        AnnotationError: if the file cannot be read, or is no JSON object.
    """
    document = read_json(path, "COCO JSON")
    if not isinstance(document, dict):
        raise AnnotationError(
            f"{path}: COCO JSON must be an object with images and annotations, got "
            f"{type(document).__name__}; give a COCO JSON"
        )
    findings = Findings()
    image_entries = _entries(document, "images", findings)
    annotations = _entries(document, "annotations", findings)
    category_names = check_categories(document, findings)
    sizes = _mask_sizes(annotations)
    images = check_images(path, progress(image_entries, "images"), findings, sizes)
    is_scored = check_scores(annotations, findings, crowds_are_instances=crowds_are_instances)
    entries = progress(annotations, "annotations")
    kept, regions, lost = _check_annotations(
        entries,
        images,
        set(category_names),
        findings,
        min_area_px,
        is_scored=is_scored,
        crowds_are_instances=crowds_are_instances,
    )
    new_ids = check_used_categories(
        {item.category_id for items in kept.values() for item in items}, category_names, findings
    )
    if new_ids:
        # A class that nobody used must not take the id that a used one gets.
        taken = {*new_ids, *new_ids.values()}
        unused = {key: name for key, name in category_names.items() if key not in taken}
        renamed = {new_ids[key]: category_names[key] for key in new_ids if key in category_names}
        category_names = unused | renamed
    repaired = [
        _instances(image, kept[key], regions[key], new_ids, category_names)
        for key, image in images.items()
        if image.is_usable and key not in lost
    ]
    for key, image in images.items():
        if key in lost:
            text = "none of its annotations can be used; it would pass for one that shows nothing"
            findings.add("image-lost", image.where, text, LEFT_OUT)
        elif not kept[key] and not regions[key] and image.is_usable:
            findings.add("image-empty", image.where, "no mitochondrion is annotated")
    return CheckResult(findings, tuple(repaired), len(image_entries), len(annotations))


def _entries(document: dict[str, Any], name: str, findings: Findings) -> list[Any]:
    entries = document.get(name)
    if isinstance(entries, list):
        if not entries and name == "images":
            findings.add("no-list", "", "the file lists no images")
        return entries
    findings.add("no-list", "", f"the file needs a list {name!r}, got {printable(entries)}")
    return []


def _mask_sizes(annotations: list[Any]) -> dict[Any, Counter[Any]]:
    """For each image id, how often its run-length masks have each (height, width)."""
    sizes: dict[Any, Counter[Any]] = defaultdict(Counter)
    for entry in annotations:
        segmentation = entry.get("segmentation") if isinstance(entry, dict) else None
        size = segmentation.get("size") if isinstance(segmentation, dict) else None
        key = readable_id(entry.get("image_id")) if isinstance(entry, dict) else None
        if key is None:
            continue
        is_size = isinstance(size, list) and len(size) == 2 and all(type(x) is int for x in size)
        sizes[key][tuple(size) if is_size and size else None] += 1
    return sizes


def _check_annotations(
    entries: Iterable[Any],
    images: dict[Identifier, ImageEntry],
    category_ids: set[int],
    findings: Findings,
    min_area_px: int,
    *,
    is_scored: bool,
    crowds_are_instances: bool,
) -> tuple[dict[Identifier, list[_Annotation]], dict[Identifier, list[RLE]], set[Identifier]]:
    """Annotations and crowd regions to keep, by image, and usable images that lose all of both."""
    lossy: set[Identifier] = set()
    regions: dict[Identifier, list[RLE]] = {key: [] for key in images}
    kept: dict[Identifier, list[_Annotation]] = {key: [] for key in images}
    seen: set[Identifier] = set()
    for position, entry in enumerate(entries):
        where = f"annotations[{position}]"
        if not isinstance(entry, dict):
            findings.add(
                "entry-type", where, f"must be an object, got {printable(entry)}", LEFT_OUT
            )
            continue
        where = f"annotation {printable(entry.get('id', where), 40)}"
        check_id(entry, where, seen, findings)
        key = image_of(entry, where, images, findings)
        if key is None:
            continue
        image = images[key]
        where = f"{image.where} {where}"
        if not is_instance(
            entry,
            image,
            where,
            findings,
            regions[key],
            crowds_are_instances=crowds_are_instances,
        ):
            lossy.add(key)
            continue
        if not image.is_usable:
            continue
        mask = check_mask(entry.get("segmentation"), image.image_hw, where, findings)
        if mask is None:
            # Polygons beside the image outline something; a run-length mask may be of nothing.
            is_drawn = isinstance(entry.get("segmentation"), list) and entry["segmentation"]
            if findings.items[-1].severity == "error" or is_drawn:
                lossy.add(key)
            continue
        category = category_of(entry, where, category_ids, findings)
        is_polygon = isinstance(entry.get("segmentation"), list)
        check_measures(entry, mask, where, findings, is_polygon=is_polygon)
        if (area_px := rle_masks.area_px(mask)) < min_area_px:
            findings.add("speck", where, f"has {area_px} px only (under {min_area_px} px)")
        if category is None:
            lossy.add(key)
        else:
            kept[key].append(
                _Annotation(
                    where,
                    mask,
                    category,
                    number(entry.get("score")) if is_scored else math.nan,
                    coco_values.name(entry.get("name")),
                    coco_values.group(entry.get("group")),
                    coco_values.track_id(entry.get("track_id")),
                )
            )
    for key, items in kept.items():
        masks, names = [item.mask for item in items], [item.where for item in items]
        positions = check_neighbours(masks, names, images[key].where, findings)
        kept[key] = [items[i] for i in positions]
    lost = {key for key in lossy if images[key].is_usable and not kept[key] and not regions[key]}
    return kept, regions, lost


def _instances(
    image: ImageEntry,
    annotations: list[_Annotation],
    regions: list[RLE],
    new_ids: dict[int, int],
    category_names: dict[int, str],
) -> ImageInstances:
    """One image as it will be written."""
    scores = np.array([item.score for item in annotations], dtype=np.float64)
    names = tuple(item.name for item in annotations)
    groups = tuple(item.group for item in annotations)
    track_ids = tuple(item.track_id for item in annotations)
    return ImageInstances(
        image=image.image,
        image_hw=image.image_hw,
        masks=tuple(item.mask for item in annotations),
        scores=None if np.isnan(scores).any() or not len(scores) else scores,
        frame=image.frame,
        pixel_size=image.pixel_size,
        category_ids=tuple(new_ids.get(item.category_id, item.category_id) for item in annotations),
        names=names if any(names) else (),
        groups=groups if any(groups) else (),
        track_ids=track_ids if any(track_ids) else (),
        category_names={key: name for key, name in category_names.items() if name},
        crowds=tuple(regions),
    )
