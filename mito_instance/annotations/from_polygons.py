"""Labelme and YOLO segmentation polygons to instances of the images they were drawn on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from mito_instance.annotations.conversion import Conversion
from mito_instance.annotations.pairing import Pairing, pair_by_name
from mito_instance.annotations.polygon_files import (
    Shape,
    Shapes,
    class_number,
    read_labelme,
    read_yolo,
)
from mito_instance.calibration import PixelSize
from mito_instance.errors import AnnotationError, MitoInstanceError
from mito_instance.instances import ImageInstances
from mito_instance.io.images import find_images, read_page
from mito_instance.masks import rle as rle_masks
from mito_instance.masks.polygons import rasterise
from mito_instance.masks.rle import RLE

POLYGON_SUFFIXES = (".json", ".txt")
_CLASS_LISTS = frozenset({"classes.txt", "labels.txt", "notes.json"})
"""Files that annotation tools put beside the annotations."""


def find_polygon_files(inputs: Sequence[Path]) -> list[Path]:
    """Labelme (``.json``) and YOLO (``.txt``) files of files and folders, in order of names.

    Lists of classes that annotation tools add (``classes.txt``) are no annotations.

    Args:
        inputs: files, and folders, which are not descended into.

    Raises:
        AnnotationError: if an input is absent, of another kind, or a folder without such files.
    """
    files: dict[Path, None] = {}
    for given in inputs:
        if given.is_dir():
            found = sorted(
                path
                for path in given.iterdir()
                if path.suffix.lower() in POLYGON_SUFFIXES
                and path.name.lower() not in _CLASS_LISTS
                and not path.name.startswith(".")
                and path.is_file()
            )
            if not found:
                raise AnnotationError(
                    f"{given}: folder holds no Labelme .json and no YOLO .txt file; check the path"
                )
            files.update(dict.fromkeys(found))
        elif not given.exists():
            raise AnnotationError(f"{given}: no such file or folder; check the path")
        elif given.suffix.lower() not in POLYGON_SUFFIXES:
            raise AnnotationError(
                f"{given}: must be a Labelme .json or a YOLO .txt file, got {given.suffix!r}; "
                "other forms have commands of their own"
            )
        else:
            files[given] = None
    return list(files)


def pair_polygon_files(files: Sequence[Path], images: Path | None) -> Pairing:
    """Images with the polygon files of their name.

    Args:
        files: what `find_polygon_files` found.
        images: folder of images, or one image; None for the images beside the files.

    Raises:
        MitoInstanceError: if there are no images.
    """
    folders = dict.fromkeys(file.parent for file in files)
    paths = find_images([images] if images is not None else list(folders))
    return pair_by_name(paths, files)


def convert_polygon_pairs(
    pairs: Iterable[tuple[Path, Path]],
    labels: Collection[str] | None = None,
    pixel_size: PixelSize | None = None,
) -> Conversion:
    """Instances of every image of the pairs; a bad shape or file is named and the others go on.

    A pixel belongs to a polygon when its centre lies inside, as in ImageJ
    (`mito_instance.masks.polygons.rasterise`). A file without shapes gives an image without
    instances; one all of whose shapes failed gives none.

    Args:
        pairs: image and polygon file.
        labels: Labelme labels or YOLO class numbers that are mitochondria; None for all.
        pixel_size: of all images, in place of what the files say.

    Raises:
        AnnotationError: if no shape at all has one of the labels, though all could be read.
    """
    wanted = None if labels is None else {*labels, *map(class_number, labels)}
    conversion = Conversion()
    skipped: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    n_unread = 0
    used: Counter[str] = Counter()
    for image, file in pairs:
        try:
            page = read_page(image)
            if page.n_frames > 1:
                raise AnnotationError(
                    f"{image}: has {page.n_frames} pages, but {file} fits a single image; save "
                    "the pages as single images"
                )
            image_hw = (int(page.pixels.shape[0]), int(page.pixels.shape[1]))
            found = _shapes(file, image_hw)
        except MitoInstanceError as error:
            conversion.failures.append(str(error))
            n_unread += 1
            continue
        skipped.update(found.skipped)
        conversion.failures.extend(shape.reason for shape in found.failures)
        n_failures = len(conversion.failures)
        shapes = [shape for shape in found.shapes if wanted is None or shape.label in wanted]
        skipped.update({"of other labels": len(found.shapes) - len(shapes)})
        seen.update(shape.label for shape in found.shapes)
        used.update(shape.label for shape in shapes)
        masks = tuple(_masks(shapes, image_hw, conversion))
        unread = [
            shape
            for shape in found.failures
            if wanted is None or shape.label is None or shape.label in wanted
        ]
        n_unread += len(unread)
        if not masks and (unread or len(conversion.failures) > n_failures):
            continue  # every shape failed and is named; that is not an image without instances
        conversion.images.append(
            ImageInstances(
                image=str(image),
                image_hw=image_hw,
                masks=masks,
                pixel_size=pixel_size or page.pixel_size,
            )
        )
    if labels is not None and seen and not used and not n_unread:
        raise AnnotationError(
            f"no shape has the label {' or '.join(sorted(labels))}; there are {_counts(seen)}: "
            "choose with --labels"
        )
    conversion.notices[:0] = [*_label_notice(used), *_skipped_notice(skipped)]
    return conversion


def _shapes(file: Path, image_hw: tuple[int, int]) -> Shapes:
    """Shapes of a file, which must be of the image's size where it says so."""
    if file.suffix.lower() == ".txt":
        return read_yolo(file, image_hw)
    found = read_labelme(file)
    if found.image_hw is not None and found.image_hw != image_hw:
        height, width = found.image_hw
        raise AnnotationError(
            f"{file}: was drawn on an image of {width} x {height} px but the image has "
            f"{image_hw[1]} x {image_hw[0]} px; check that they belong together"
        )
    return found


def _masks(shapes: Sequence[Shape], image_hw: tuple[int, int], conversion: Conversion) -> list[RLE]:
    """One mask for each shape or group of shapes, in the order of the file."""
    groups: dict[str, list[RLE]] = {}
    for number, shape in enumerate(shapes):
        try:
            raster = rasterise([shape.ring], image_hw, shape.where)
        except AnnotationError as error:
            conversion.failures.append(str(error))
            continue
        if raster.is_clipped:
            conversion.notices.append(f"{shape.where}: reaches beyond its image; cut at the border")
        key = f"group {shape.group}" if shape.group else f"shape {number}"
        groups.setdefault(key, []).append(raster.rle)
    return [
        masks[0] if len(masks) == 1 else rle_masks.union(masks, image_hw)
        for masks in groups.values()
    ]


def _label_notice(used: Counter[str]) -> list[str]:
    """Say so when several labels were taken as mitochondria."""
    if len(used) < 2:
        return []
    return [
        f"shapes of several labels are taken as mitochondria: {_counts(used)}; choose with --labels"
    ]


def _counts(labels: Counter[str]) -> str:
    return ", ".join(f"{label} ({count})" for label, count in sorted(labels.items())[:10])


def _skipped_notice(skipped: Counter[str]) -> list[str]:
    text = ", ".join(f"{count} {what}" for what, count in sorted(skipped.items()) if count)
    return [f"shapes that are no instances, left out: {text}"] if text else []
