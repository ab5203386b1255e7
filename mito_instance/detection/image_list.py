"""The images that a model learned from and was measured on, as a table beside its card."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from mito_instance.detection.model_card import DataFile, DataPage, sha256
from mito_instance.instances import ImageInstances
from mito_instance.io.tables import write_table

IMAGE_LIST_NAME = "images.csv"
MAX_HASHED_BYTES = 8 << 30
"""Beyond so many bytes of all images none is hashed: reading them once more would take minutes."""

START = "start"
"""Part of the images that the model at the start had learned from."""

WHOLE = "whole"
"""Part of the images that those of the training were cut from."""

_COLUMNS = ("part", "coco_file", "image", "page", "instances", "bytes", "sha256")
_PARTS = ("training", WHOLE, START)


def write_image_list(
    path: Path, files: Sequence[DataFile], before: Sequence[Mapping[str, str]] = ()
) -> None:
    """One row an image or page: part, names without folders, instances, size and SHA-256.

    Args:
        path: the CSV.
        files: the COCO files of the training, with their pages.
        before: rows of what the model at the start had learned (see `learned_images`): the new
            model has, too.

    Raises:
        ConfigError: if it cannot be written.
    """
    rows = ({**row, "part": START} for row in before)
    write_table(path, _COLUMNS, [*_rows(files), *rows])


def add_whole_images(path: Path, images: Sequence[ImageInstances]) -> None:
    """Add what the images of a training were cut from: who measures on those is told, too.

    Args:
        path: the list, which exists.
        images: whole images.

    Raises:
        ConfigError: if it cannot be written.
    """
    pages = tuple(DataPage(image.image, image.frame, len(image)) for image in images)
    with path.open(encoding="utf-8", newline="") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    added = _rows([DataFile("", WHOLE, "", len(pages), 0, pages=pages)])
    # Outlines outside of the part were not learned, and nobody has counted those inside apart.
    write_table(path, _COLUMNS, [*rows, *(row | {"instances": ""} for row in added)])


def learned_images(path: Path) -> list[dict[str, str]]:
    """Rows of the images that a model learned from, by its list; none where that is absent."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row.get("part") in _PARTS]
    except (OSError, ValueError, csv.Error):
        return []
    return [{name: row.get(name) or "" for name in _COLUMNS} for row in rows if row.get("sha256")]


def n_learned_before(
    path: Path, images: Sequence[ImageInstances], whole: Sequence[ImageInstances]
) -> int:
    """How many images a model learned from already, by their bytes and pages.

    Args:
        path: the model's list, which may be absent or damaged.
        images: of the files at hand.
        whole: what each was cut from, or itself.
    """
    learned = {(row["sha256"], row["page"]) for row in learned_images(path)}
    if not learned:
        return 0
    digest_of = cache(_digest)
    return sum(
        any((digest_of(one.image), str(one.frame + 1)) in learned for one in pair)
        for pair in zip(images, whole, strict=True)
    )


def _rows(files: Sequence[DataFile]) -> Iterator[dict[str, Any]]:
    sizes = {page.image: _n_bytes(page.image) for file in files for page in file.pages}
    is_hashed = sum(size or 0 for size in sizes.values()) <= MAX_HASHED_BYTES
    digests: dict[str, str] = {}
    for file in files:
        for page in file.pages:
            size = sizes[page.image]
            if is_hashed and size is not None and page.image not in digests:
                digests[page.image] = _digest(page.image)
            yield {
                "part": file.use,
                "coco_file": file.name,
                "image": Path(page.image).name,
                "page": page.frame + 1,
                "instances": page.n_instances,
                "bytes": "" if size is None else size,
                "sha256": digests.get(page.image, ""),
            }


def _n_bytes(image: str) -> int | None:
    """Size of a file; None if it is no longer there."""
    try:
        return Path(image).stat().st_size
    except OSError:
        return None


def _digest(image: str) -> str:
    try:
        return sha256(Path(image))
    except OSError:
        return ""
