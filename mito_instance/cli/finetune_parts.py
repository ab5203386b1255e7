"""What a fine-tuning learns from and what it is measured on: images, files, and their names."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from mito_instance.annotations.cropping import crop_image, rectangle_of
from mito_instance.annotations.holdout import hold_out, not_beside
from mito_instance.annotations.image_files import match_files, page_of
from mito_instance.annotations.regions import Regions
from mito_instance.calibration import PixelSize
from mito_instance.cli.command import SOME_FAILED
from mito_instance.cli.conversion_report import say_lines
from mito_instance.cli.outlined_images import as_mitochondria, read_categories, with_sizes
from mito_instance.errors import AnnotationError, ConfigError, ImageError
from mito_instance.instances import ImageInstances
from mito_instance.io.coco import write_coco
from mito_instance.io.files import make_folder
from mito_instance.io.hyperstacks import hyperstack, place_in
from mito_instance.io.images import n_frames

logger = logging.getLogger(__name__)

_MOST_NAMES = 50
PARTS = ("train", "val", "also")
PageOf = tuple[Path, int]
"""A page, as `page_of` gives it."""


def check_instances(images: Sequence[ImageInstances]) -> None:
    """Refuse images that show nothing.

    Args:
        images: all outlined images.

    Raises:
        AnnotationError: if none has an instance.
    """
    if not any(map(len, images)):
        raise AnnotationError(
            f"{len(images)} images without any outlined mitochondrion: nothing to learn from; "
            "outline all mitochondria of at least one image"
        )


def check_neighbours(images: Sequence[ImageInstances], n_outlined: int) -> None:
    """Refuse a part of a cross-validation from which a 3D network cannot learn.

    Args:
        images: what the part would learn from.
        n_outlined: all outlined images.

    Raises:
        ConfigError: if no two of them are neighbours.
    """
    from mito_instance.semantic.stacks import runs_of

    if max(map(len, runs_of(images)), default=0) < 2:
        raise ConfigError(
            f"--cross-validate: a part of the {n_outlined} images would hold no two neighbouring "
            "slices for a 3D network to learn from; outline more consecutive slices, or leave it "
            "out"
        )


def cut_to_regions(
    region: Path,
    images: list[ImageInstances],
    folder: Path,
    status: int,
    percentiles: tuple[float, float],
) -> tuple[list[ImageInstances], list[ImageInstances], int]:
    """The outlined part of each image, written as TIFF; names the images that have none.

    Parts that lie at one place of the pages of a file (of one channel and time point), or of the
    files of one folder and format, are in a folder of their own, with the number of the slice or
    the name of the file: what were neighbours are neighbours still, pixel upon pixel.

    Args:
        region: as ``mito quantify --region``: a file for all images, or a folder.
        images: with their instances.
        folder: for the folders of the TIFFs; those of an earlier run stay as they are.
        status: the exit status so far.
        percentiles: grey levels at these percentiles of the whole image become 0 and 255.

    Returns:
        The parts, the images that they are of, and the exit status.

    Raises:
        AnnotationError: if no part is left.
        ConfigError: if the folder cannot be written.
    """
    regions = Regions(region, list(dict.fromkeys(Path(image.image) for image in images)))
    folders: dict[tuple[object, ...], Path] = {}
    parts, sources, failures = [], [], []
    sizes_of = cache(hyperstack)  # asked for each page
    for image in images:
        path = Path(image.image)
        try:
            n_pages = n_frames(path)
            mask = regions.mask(path, image.frame, n_pages, image.image_hw)
            box = rectangle_of(mask, image.image)
            stack: tuple[object, ...] = (path.parent, path.suffix)
            page = ""
            if n_pages > 1:
                sizes = sizes_of(path, n_pages)
                run, number = place_in(sizes, image.frame)
                stack = (path, run)
                page = f"_{number + (sizes is None):04d}"
            key = (*stack, box)
            if key not in folders:
                folders[key] = _new_folder(folder)
            target = folders[key] / f"{path.stem}{page}.tif"
            parts.append(crop_image(image, box, target, percentiles))
            sources.append(image)
        except (AnnotationError, ImageError) as error:
            failures.append(str(error))
    say_lines("failed", failures)
    if not parts:
        raise AnnotationError(f"--region: nothing to learn from: {failures[0]}")
    return parts, sources, SOME_FAILED if failures else status


def warn_of_lost_neighbours() -> None:
    """Say that parts of outlined slices alone lack the neighbours that a prediction has."""
    logger.warning(
        "--region: only outlined slices are cut out, so that this network sees none of those "
        "between and beside them, as it does in a prediction: figures are too low, and "
        "thresholds may be off; outline consecutive slices, or whole images without --region"
    )


def divide(
    args: argparse.Namespace,
    images: list[ImageInstances],
    pages: Collection[PageOf],
    sources: Sequence[ImageInstances] | None = None,
) -> tuple[list[ImageInstances], list[ImageInstances]]:
    """Images to train on and to validate on; says which.

    Args:
        args: ``val``, ``category``, ``seed``, ``pixel_size_nm``.
        images: all outlined images.
        pages: the pages that they are of, or were cut from.
        sources: what each was cut from, if they are parts.

    Returns:
        Training and validation images; the latter are empty where there are too few to spare.

    Raises:
        AnnotationError: if an image of ``val`` is one of them.
    """
    if args.val is not None:
        given = None if args.pixel_size_nm is None else PixelSize(args.pixel_size_nm, "user")
        judged = match_files(read_categories([args.val], args.category))
        judged = [as_mitochondria(image) for image in with_sizes(judged, given)]
        _check_apart(judged, pages, "--val and among the images to adapt to", "measured")
        whole = images if sources is None else sources
        if n_beside := len(whole) - len(not_beside(whole, judged)):
            logger.warning(
                "--val: %d of the images to adapt to may be neighbours of those in it, in a stack "
                "or by their names; if they are, the figures are too good",
                n_beside,
            )
        return images, judged
    train, val, reason = hold_out(images, np.random.default_rng(args.seed), sources)
    if val:
        names = ", ".join(Path(image.image).name for image in val[:5])
        more = f" and {len(val) - 5} more" if len(val) > 5 else ""
        logger.info("validation on %d of %d images: %s%s", len(val), len(images), names, more)
    else:
        logger.info("no validation (%s); check the first results by eye", reason)
    return train, val


def read_others(
    paths: Sequence[Path], pages: Collection[PageOf], args: argparse.Namespace
) -> list[ImageInstances]:
    """Images of ``--also``, their masks as mitochondria and nothing else.

    Args:
        paths: COCO JSON files.
        pages: those to adapt to or to validate on; no other may be among them, or what is held
            out would be learned.
        args: ``category``; ``pixel_size_nm`` for those that know none.

    Raises:
        AnnotationError: if a file is not usable, there are files but no instance in them, or an
            image is among both.
    """
    found = read_categories(paths, args.category)
    size = None if args.pixel_size_nm is None else PixelSize(args.pixel_size_nm, "user")
    others = [
        replace(as_mitochondria(image), pixel_size=image.pixel_size or size)
        for image in match_files(found)
    ]
    seen: set[PageOf] = set()
    for image in others:
        if (page := page_of(image)) in seen:
            raise AnnotationError(
                f"{image.image}: page {image.frame + 1} is given twice with --also; leave one out"
            )
        seen.add(page)
    if paths and not any(map(len, others)):
        raise AnnotationError(f"{paths[0]}: --also: no outlined mitochondrion in it; leave it out")
    _check_apart(
        others, pages, "--also and among the images to adapt to or to validate on", "held out"
    )
    return others


def check_not_overwritten(folder: Path, given: Sequence[Path]) -> None:
    """Refuse files to read that would be written.

    Args:
        folder: where the parts of the training go.
        given: files that the user named.

    Raises:
        ConfigError: if one is among the parts.
    """
    written = {(folder / f"{name}.json").resolve() for name in PARTS}
    for path in given:
        if path.resolve() in written:
            raise ConfigError(f"{path}: would be overwritten; give another folder with -o")


def write_parts(
    folder: Path,
    train: list[ImageInstances],
    judged: list[ImageInstances],
    others: list[ImageInstances],
) -> tuple[list[Path], Path | None]:
    """COCO JSON of each part.

    Args:
        folder: for the files.
        train: images to train on.
        judged: those to measure on, which may be the same list; may be empty.
        others: those to learn beside ``train``; may be empty.

    Returns:
        Files to train on, ``train`` first, and the one to measure on, if any.
    """
    images = (train, [] if judged is train else judged, others)
    parts = dict(zip(PARTS, images, strict=True))
    paths = {name: folder / f"{name}.json" for name in parts}
    for name, part in parts.items():
        paths[name].unlink(missing_ok=True)
        if part:
            write_coco(paths[name], part, info={"description": f"{name} part of mito finetune"})
    learned = [paths["train"], *([paths["also"]] if others else [])]
    if not judged:
        return learned, None
    return learned, paths["train" if judged is train else "val"]


def notes_of_learned(n_learned: int, n_judged: int, start: Path) -> tuple[str, ...]:
    """Say how many images that are measured on the model at the start learned from.

    Args:
        n_learned: how many.
        n_judged: images that are measured on.
        start: folder of the model.

    Returns:
        A sentence for the model card; none where there are no such images.
    """
    if not n_learned:
        return ()
    text = (
        f"{n_learned} of {n_judged} images that are measured on are among those that the model "
        "at the start learned from: figures, best model and score threshold are too good."
    )
    logger.warning("%s: %s", start, text)
    return (text,)


def notes_of(
    train: list[ImageInstances], val: list[ImageInstances], others: list[ImageInstances]
) -> tuple[str, ...]:
    """Names of the images for the model card.

    Args:
        train: images to train on.
        val: images to validate on; may be empty.
        others: images learned beside ``train``; may be empty.

    Returns:
        One sentence for each part that is not empty.
    """
    notes = []
    for use, images in (
        ("Trained on", train),
        ("Learned beside these, half of what was shown", others),
        ("Validated on", val),
    ):
        names = [f"`{Path(image.image).name}` ({len(image)})" for image in images[:_MOST_NAMES]]
        if len(images) > _MOST_NAMES:
            names.append(f"and {len(images) - _MOST_NAMES} more")
        if names:
            notes.append(f"{use} (instances): {', '.join(names)}.")
    return tuple(notes)


def _new_folder(parent: Path) -> Path:
    """An empty folder: other images in it would pass for neighbours."""
    number = 0
    while (folder := parent / f"{number:03d}").exists():
        number += 1
    make_folder(folder)
    return folder


def _check_apart(
    images: Sequence[ImageInstances], pages: Collection[PageOf], where: str, use: str
) -> None:
    """Refuse an image on both sides: what is learned must not be what the model is judged by."""
    for image in images:
        if page_of(image) in pages:
            raise AnnotationError(
                f"{image.image}: is in {where}; leave it out of one, or what is {use} would be "
                "learned"
            )
