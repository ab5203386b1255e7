"""COCO JSON: read what strangers wrote, write the one form that this toolkit uses."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mito_instance.calibration import PixelSize
from mito_instance.errors import AnnotationError, ConfigError
from mito_instance.instances import ImageInstances
from mito_instance.io import coco_values as values
from mito_instance.io.coco_categories import MITOCHONDRION, category_entries, category_names_of
from mito_instance.io.coco_crowds import crowd_warning, may_be_brush_mask
from mito_instance.io.coco_polygons import rasterise
from mito_instance.io.coco_values import Identifier
from mito_instance.io.files import write_text_atomic
from mito_instance.io.json_file import read_json
from mito_instance.masks import rle as rle_masks
from mito_instance.masks.rle import RLE

logger = logging.getLogger(__name__)

MAX_FRAME = 2**31 - 2
"""0-based; ImageJ counts pages from 1 in 32 bit."""

MAX_IMAGE_PX = 4_000_000_000  # run lengths of pycocotools are 32 bit


def write_coco(
    path: Path, images: Sequence[ImageInstances], *, info: Mapping[str, Any] | None = None
) -> None:
    """Write instances as COCO JSON, atomically; equal input gives equal bytes.

    ``file_name`` is relative to the folder of ``path``, with forward slashes. Images and
    annotations are numbered from 1 in the given order.

    Args:
        path: the JSON file.
        images: instances of each image or page; may be empty, as may each image.
        info: content of the ``info`` entry; JSON values only.

    Raises:
        ConfigError: if the file cannot be written.
    """
    folder = os.path.abspath(path.parent)  # noqa: PTH100 - links in the path are kept as they are
    image_entries: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, instances in enumerate(images, start=1):
        image_entries.append(_image_entry(image_id, instances, folder))
        for position, mask in enumerate(instances.masks):
            annotation = _annotation_entry(len(annotations) + 1, image_id, mask)
            annotation["category_id"] = int(instances.category_ids[position])
            if instances.names and instances.names[position]:
                annotation["name"] = instances.names[position]
            if instances.groups and instances.groups[position]:
                annotation["group"] = int(instances.groups[position])
            if instances.track_ids and instances.track_ids[position]:
                annotation["track_id"] = int(instances.track_ids[position])
            if instances.scores is not None:
                annotation["score"] = float(instances.scores[position])
            annotations.append(annotation)
        for mask in instances.crowds:
            entry = _annotation_entry(len(annotations) + 1, image_id, mask)
            annotations.append(entry | {"iscrowd": 1})
    document = {
        "info": dict(info or {}),
        "images": image_entries,
        "categories": category_entries(images),
        "annotations": annotations,
    }
    write_text_atomic(path, json.dumps(document, allow_nan=False) + "\n")


def read_coco(path: Path, *, by_id: bool = False) -> list[ImageInstances]:
    """Instances of every image of a COCO JSON, in the order of its ``images``.

    Compressed and uncompressed RLE and polygons are accepted. Polygons are in COCO's
    pixel-corner convention (pixel (0, 0) lies between 0 and 1), are cut at the image border
    and rasterised as pycocotools does; several polygons of one annotation are united, so a
    polygon cannot describe a hole. Annotations with ``iscrowd`` 1 (regions to ignore) are no
    instances but ``crowds``, which is told (see `crowd_warning`); empty masks are left out, with
    a warning.

    Args:
        path: the JSON file.
        by_id: the images in the order of their ids instead, as pycocotools takes them.

    Returns:
        One `ImageInstances` for each image, also for those without annotations. ``image`` is
        the path of the image file (``file_name`` seen from the folder of the JSON),
        ``category_ids`` and ``category_names`` are the file's, ``scores`` are given when every
        annotation of the file carries one, ``names``, ``groups`` and ``track_ids`` where any of
        an image's annotations does, and the pixel size has the source ``"coco"``.

    Raises:
        AnnotationError: if the file is not such a JSON, or an entry breaks a rule.
    """
    document = _load(path)
    images = _images_by_id(path, document)
    annotations = _list_of_objects(path, document, "annotations")
    is_crowd = [values.is_crowd(e, f"{path}: annotations[{i}]") for i, e in enumerate(annotations)]
    single = [entry for entry, crowd in zip(annotations, is_crowd, strict=True) if not crowd]
    scored = bool(single) and all("score" in entry for entry in single)
    if not scored and any("score" in entry for entry in single):
        logger.warning("%s: only some annotations carry a score; all scores are ignored", path)
    masks: dict[Identifier, list[RLE]] = {key: [] for key in images}
    crowds: dict[Identifier, list[RLE]] = {key: [] for key in images}
    scores: dict[Identifier, list[float]] = {key: [] for key in images}
    categories: dict[Identifier, list[int]] = {key: [] for key in images}
    names: dict[Identifier, list[str]] = {key: [] for key in images}
    groups: dict[Identifier, list[int]] = {key: [] for key in images}
    track_ids: dict[Identifier, list[int]] = {key: [] for key in images}
    category_names = category_names_of(document)
    seen: set[Identifier] = set()
    n_crowd = n_brush = n_empty = 0
    for position, entry in enumerate(annotations):
        where = f"{path}: annotations[{position}]"
        if "id" in entry and values.identifier(entry["id"], f"{where} id") in seen:
            raise AnnotationError(f"{where}: id {entry['id']!r} is used twice; ids must be unique")
        seen.add(entry.get("id", f"annotations[{position}]"))
        key = values.identifier(entry.get("image_id"), f"{where} image_id")
        if key not in images:
            raise AnnotationError(
                f"{where}: image_id {values.short(key)} is not among the {len(images)} images; "
                "list the image or remove the annotation"
            )
        segmentation = entry.get("segmentation")
        if is_crowd[position]:
            n_crowd += 1
            n_brush += may_be_brush_mask(segmentation, images[key].image_hw)
            if segmentation:
                mask = _mask(segmentation, images[key].image_hw, f"{where} segmentation")
                crowds[key].append(mask)
            continue
        mask = _mask(segmentation, images[key].image_hw, f"{where} segmentation")
        score = values.score(entry["score"], where) if scored else 0.0
        category = values.whole_number(
            entry.get("category_id", 1), f"{where} category_id", minimum=0
        )
        if rle_masks.area_px(mask) == 0:
            n_empty += 1
            continue
        masks[key].append(mask)
        scores[key].append(score)
        categories[key].append(category)
        names[key].append(values.name(entry.get("name")))
        groups[key].append(values.group(entry.get("group")))
        track_ids[key].append(values.track_id(entry.get("track_id")))
    if n_crowd:
        logger.warning("%s", crowd_warning(path, n_crowd, n_brush))
    if n_empty:
        logger.warning("%s: %d annotations have no pixel in the image, left out", path, n_empty)
    return [
        ImageInstances(
            image=image.image,
            image_hw=image.image_hw,
            masks=tuple(masks[key]),
            scores=np.asarray(scores[key], dtype=np.float64) if scored else None,
            frame=image.frame,
            pixel_size=image.pixel_size,
            category_ids=tuple(categories[key]),
            names=tuple(names[key]) if any(names[key]) else (),
            groups=tuple(groups[key]) if any(groups[key]) else (),
            track_ids=tuple(track_ids[key]) if any(track_ids[key]) else (),
            category_names=category_names,
            crowds=tuple(crowds[key]),
        )
        for key, image in (sorted(images.items(), key=_by_id) if by_id else images.items())
    ]


def _by_id(entry: tuple[Identifier, ImageInstances]) -> tuple[bool, int, str]:
    """Numbers before texts."""
    key = entry[0]
    return (True, 0, key) if isinstance(key, str) else (False, int(key), "")


def _image_entry(image_id: int, instances: ImageInstances, folder: str) -> dict[str, Any]:
    """The ``images[]`` entry; keys in a fixed order."""
    try:
        name = os.path.relpath(instances.image, folder)
    except ValueError:  # another drive on Windows
        name = os.path.abspath(instances.image)  # noqa: PTH100
    entry: dict[str, Any] = {
        "id": image_id,
        "file_name": name.replace(os.sep, "/"),
        "width": int(instances.image_hw[1]),
        "height": int(instances.image_hw[0]),
        "frame": int(instances.frame),
    }
    if instances.pixel_size is not None:
        entry["pixel_size_nm"] = float(instances.pixel_size.nm)
    return entry


def _annotation_entry(annotation_id: int, image_id: int, mask: RLE) -> dict[str, Any]:
    """The ``annotations[]`` entry of a mask, without category and score."""
    counts = mask["counts"]
    text = counts.decode("ascii") if isinstance(counts, bytes) else counts
    height, width = (int(length) for length in mask["size"])
    return {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": MITOCHONDRION["id"],
        "segmentation": {"size": [height, width], "counts": text},
        "area": rle_masks.area_px(mask),
        "bbox": list(rle_masks.box_xywh(mask)),
        "iscrowd": 0,
    }


def _load(path: Path) -> dict[str, Any]:
    """The JSON object of a file, or one line that says why there is none."""
    document = read_json(path, "COCO JSON")
    if not isinstance(document, dict):
        raise AnnotationError(
            f"{path}: COCO JSON must be an object with images and annotations, "
            f"got {type(document).__name__}; a bare result list lacks the image sizes"
        )
    return document


def _list_of_objects(path: Path, document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The entries of ``document[name]``."""
    entries = document.get(name)
    if not isinstance(entries, list):
        raise AnnotationError(f"{path}: COCO JSON needs a list {name!r}; give a COCO JSON")
    for position, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise AnnotationError(
                f"{path}: {name}[{position}] must be an object, got {type(entry).__name__}; "
                "give a COCO JSON"
            )
    return entries


def _images_by_id(path: Path, document: dict[str, Any]) -> dict[Identifier, ImageInstances]:
    """Every image of the file, still without instances."""
    entries = _list_of_objects(path, document, "images")
    if not entries:
        raise AnnotationError(f"{path}: COCO JSON lists no images; give at least one")
    images: dict[Identifier, ImageInstances] = {}
    pages: set[tuple[str, int]] = set()
    for position, entry in enumerate(entries):
        where = f"{path}: images[{position}]"
        key = values.identifier(entry.get("id"), f"{where} id")
        if key in images:
            raise AnnotationError(
                f"{where}: id {values.short(key)} is used twice; ids must be unique"
            )
        image = _image(path, entry, where)
        if (image.image, image.frame) in pages:
            raise AnnotationError(
                f"{where}: {image.image} page {image.frame} is listed twice; list each page once"
            )
        pages.add((image.image, image.frame))
        images[key] = image
    return images


def _image(path: Path, entry: dict[str, Any], where: str) -> ImageInstances:
    """One image without instances."""
    name = entry.get("file_name")
    if not isinstance(name, str) or not 0 < len(name) <= values.MAX_PATH or "\0" in name:
        raise AnnotationError(
            f"{where}: file_name must be a path, got {values.short(name)}; name the image"
        )
    height = values.whole_number(entry.get("height"), f"{where} height", minimum=1)
    width = values.whole_number(entry.get("width"), f"{where} width", minimum=1)
    if height * width > MAX_IMAGE_PX:
        raise AnnotationError(
            f"{where}: image must have <= {MAX_IMAGE_PX} px, got {values.short(width)} x "
            f"{values.short(height)}; correct width and height"
        )
    frame = values.whole_number(entry.get("frame", 0), f"{where} frame", minimum=0)
    if frame > MAX_FRAME:
        raise AnnotationError(f"{where} frame: must be <= {MAX_FRAME}, got {frame}")
    pixel_size = None
    if entry.get("pixel_size_nm") is not None:
        number = values.number(entry["pixel_size_nm"], f"{where} pixel_size_nm")
        try:
            pixel_size = PixelSize(number, "coco")
        except ConfigError as error:
            raise AnnotationError(f"{where}: {error}") from error
    return ImageInstances(
        image=os.path.normpath(path.parent / name),
        image_hw=(height, width),
        frame=frame,
        pixel_size=pixel_size,
    )


def _mask(segmentation: Any, image_hw: tuple[int, int], where: str) -> RLE:
    """The mask of an annotation, whatever the form."""
    if isinstance(segmentation, dict):
        return rle_masks.check(segmentation, image_hw, where)
    if isinstance(segmentation, list):
        return rasterise(segmentation, image_hw, where)
    raise AnnotationError(
        f"{where}: must be an RLE or a list of polygons, got {type(segmentation).__name__}; "
        "an annotation with a box alone has no mask"
    )
