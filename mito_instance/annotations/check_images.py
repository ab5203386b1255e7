"""Checks of the ``images`` of a COCO JSON: ids, sizes, and the files on the disk."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mito_instance.annotations.findings import LEFT_OUT, Findings, printable
from mito_instance.calibration import PixelSize
from mito_instance.errors import ConfigError, MitoInstanceError
from mito_instance.io.coco import MAX_FRAME, MAX_IMAGE_PX
from mito_instance.io.coco_values import MAX_PATH, Identifier
from mito_instance.io.images import page_sizes_hw


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """One image of the file.

    Args:
        where: the image, for messages.
        image: path of the image file.
        image_hw: height and width in pixels.
        frame: 0-based page.
        pixel_size: None when not given or not usable.
        is_usable: False when a repair has to leave it out, with its annotations.
    """

    where: str
    image: str
    image_hw: tuple[int, int]
    frame: int
    pixel_size: PixelSize | None
    is_usable: bool


def check_images(
    path: Path, entries: Iterable[Any], findings: Findings, mask_sizes: dict[Any, Counter[Any]]
) -> dict[Identifier, ImageEntry]:
    """Every image whose id can be read, by that id.

    Args:
        path: the JSON file; ``file_name`` is seen from its folder.
        entries: ``images`` of the file.
        findings: grows.
        mask_sizes: for each image id, how often its run-length masks have each (height, width).
    """
    images: dict[Identifier, ImageEntry] = {}
    pages: dict[tuple[str, int], Identifier] = {}
    conflicting: set[Identifier] = set()
    sizes: dict[str, list[tuple[int, int]] | tuple[str, str]] = {}
    for position, entry in enumerate(entries):
        where = f"images[{position}]"
        if not isinstance(entry, dict):
            findings.add(
                "entry-type", where, f"must be an object, got {printable(entry)}", LEFT_OUT
            )
            continue
        name = entry.get("file_name")
        where = f"image {printable(entry.get('id'), 40)} ({printable(name)})"
        key = readable_id(entry.get("id"))
        if key is None:
            findings.add(
                "image-id",
                where,
                f"id must be a whole number or a text, got {printable(entry.get('id'))}",
                LEFT_OUT,
            )
            continue
        if key != entry["id"] or type(key) is not type(entry["id"]):
            findings.add("image-id", where, "id is a number with a fraction part", f"read as {key}")
        image = _image(path, entry, key, where, sizes, findings, mask_sizes.get(key, Counter()))
        page = (image.image, image.frame)
        if key in images:
            same = (images[key].image, images[key].frame) == page
            findings.add(
                "image-id-twice",
                where,
                f"id is used by {images[key].where} too"
                + ("; both entries are one image" if same else ""),
                "entries united" if same else "both left out, with their annotations",
            )
            if not same:
                images[key] = _unusable(images[key])
                former = (images[key].image, images[key].frame)
                if pages.get(former) == key:
                    del pages[former]
                conflicting.add(key)
            elif image.is_usable and not images[key].is_usable and key not in conflicting:
                # The other entry states it wrongly.
                images[key] = image
                pages.setdefault(page, key)
            continue
        if image.is_usable and page in pages:
            findings.add(
                "image-twice",
                where,
                f"the same page is listed as {images[pages[page]].where}",
                "left out, with its annotations",
            )
            image = _unusable(image)
            conflicting.add(key)
        if image.is_usable:
            pages.setdefault(page, key)
        images[key] = image
    return images


def readable_id(value: Any) -> Identifier | None:
    """An id as a check repairs it: a whole number or a text; None for anything else."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return None
    return value


def whole(value: Any, minimum: int) -> int | None:
    """A whole number of at least ``minimum``, or None."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        return None
    return value


def number(value: Any) -> float:
    """A JSON number; NaN for anything else and for what no float can hold."""
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
    except OverflowError:
        pass
    return math.nan


def _unusable(image: ImageEntry) -> ImageEntry:
    return ImageEntry(
        image.where, image.image, image.image_hw, image.frame, image.pixel_size, is_usable=False
    )


def _image(
    path: Path,
    entry: dict[str, Any],
    key: Identifier,
    where: str,
    sizes: dict[str, list[tuple[int, int]] | tuple[str, str]],
    findings: Findings,
    mask_sizes: Counter[Any],
) -> ImageEntry:
    """One entry, compared with its file."""
    image = _file_of(path, entry.get("file_name"), where, findings)
    frame = whole(entry.get("frame", 0), 0)
    if frame is None or frame > MAX_FRAME:
        frame = None
        findings.add(
            "image-frame",
            where,
            f"frame must be a whole number from 0 to {MAX_FRAME}, got {printable(entry['frame'])}",
            "left out, with its annotations",
        )
    pixel_size = _pixel_size(entry, where, findings)
    height, width = whole(entry.get("height"), 1), whole(entry.get("width"), 1)
    stated = None if height is None or width is None else (height, width)
    if stated is not None and stated[0] * stated[1] > MAX_IMAGE_PX:
        stated = None
    on_disk = _page_size(image, frame, sizes, where, findings) if image else None
    image_hw = _settled_size(entry, stated, on_disk, mask_sizes, where, findings)
    return ImageEntry(
        where,
        image,
        image_hw or stated or (1, 1),
        frame or 0,
        pixel_size,
        is_usable=bool(image) and frame is not None and image_hw is not None,
    )


def _file_of(path: Path, name: Any, where: str, findings: Findings) -> str:
    """Path of the image file; empty when the name is unusable."""
    if not isinstance(name, str) or not 0 < len(name) <= MAX_PATH or "\0" in name:
        findings.add(
            "image-name",
            where,
            f"file_name must be a path, got {printable(name)}",
            "left out, with its annotations",
        )
        return ""
    try:
        if "\\" in name and not (path.parent / name).exists():
            turned = name.replace("\\", "/")
            if (path.parent / turned).exists():
                findings.add(
                    "image-name-form", where, "file_name has backslashes", "slashes turned"
                )
                name = turned
        if Path(name).is_absolute():
            findings.add(
                "image-name-form",
                where,
                "file_name is absolute and found on this machine only",
                "made relative",
            )
    except (OSError, ValueError):
        pass  # the file is then reported as missing
    return str(os.path.normpath(path.parent / name))


def _pixel_size(entry: dict[str, Any], where: str, findings: Findings) -> PixelSize | None:
    value = entry.get("pixel_size_nm")
    if value is None:
        return None
    try:
        return PixelSize(number(value), "coco")
    except ConfigError:
        findings.add(
            "pixel-size",
            where,
            f"pixel_size_nm must be a number of nanometres, got {printable(value)}",
            "removed",
        )
        return None


def _page_size(
    image: str,
    frame: int | None,
    sizes: dict[str, list[tuple[int, int]] | tuple[str, str]],
    where: str,
    findings: Findings,
) -> tuple[int, int] | None:
    """Size of the page on the disk; None when there is none, which is then noted."""
    if image not in sizes:
        try:
            # A name with half a surrogate pair is no file's name.
            if not Path(image).exists():
                sizes[image] = ("image-missing", f"no such file: {printable(image, 200)}")
            else:
                sizes[image] = page_sizes_hw(Path(image))
        except (OSError, ValueError):
            sizes[image] = ("image-missing", f"no such file: {printable(image, 200)}")
        except MitoInstanceError as error:
            sizes[image] = ("image-unreadable", printable(str(error), 300))
    found = sizes[image]
    if isinstance(found, tuple):
        findings.add(found[0], where, found[1])
        return None
    if frame is None:
        return None
    if frame >= len(found):
        findings.add(
            "image-page-missing",
            where,
            f"frame is {printable(frame)} (counted from 0), but the file has {len(found)} pages",
        )
        return None
    return found[frame]


def _settled_size(
    entry: dict[str, Any],
    stated: tuple[int, int] | None,
    on_disk: tuple[int, int] | None,
    mask_sizes: Counter[Any],
    where: str,
    findings: Findings,
) -> tuple[int, int] | None:
    """The size that a repair writes; None when nothing settles it."""
    if stated is None:
        findings.add(
            "image-size",
            where,
            "width and height must be whole numbers >= 1, got "
            f"{printable(entry.get('width'))} x {printable(entry.get('height'))}",
            "taken from the file" if on_disk else "left out, with its annotations",
        )
        return on_disk
    if on_disk is None or on_disk == stated:
        return stated
    if set(mask_sizes) == {on_disk}:
        repair, settled = "width and height taken from the file, as the masks have them", on_disk
    else:
        repair, settled = "left out, with its annotations", None
    findings.add(
        "image-size-differs",
        where,
        f"is listed as {stated[1]} x {stated[0]} px but the file has "
        f"{on_disk[1]} x {on_disk[0]} px",
        repair,
    )
    return settled
