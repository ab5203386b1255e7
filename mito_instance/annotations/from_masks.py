"""Mask files to instances: binary masks, label images and folders of one mask an instance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mito_instance.annotations.conversion import Conversion
from mito_instance.annotations.mask_values import binary_mask, inspect_mask, integer_labels
from mito_instance.annotations.pairing import Pairing, pair_by_name
from mito_instance.calibration import PixelSize
from mito_instance.errors import AnnotationError, ConfigError, MitoInstanceError
from mito_instance.instances import ImageInstances
from mito_instance.io.images import IMAGE_SUFFIXES, Page, find_images, read_pages
from mito_instance.masks import rle as rle_masks
from mito_instance.masks.labels import component_rles, label_rles
from mito_instance.masks.rle import RLE

InstanceMode = Literal["auto", "components", "labels", "files"]
INSTANCE_MODES: tuple[InstanceMode, ...] = ("auto", "components", "labels", "files")


@dataclass(frozen=True, slots=True)
class MaskOptions:
    """How masks become instances.

    Args:
        instances: ``components`` (connected foreground), ``labels`` (one value an instance),
            ``files`` (one file an instance, in a folder for each image) or ``auto``.
        connectivity: 8 or 4; with 8, pixels that touch at a corner belong together.
        min_area_px: smaller instances are dropped, and counted.
        pixel_size: of all images, in place of what the files say.

    Raises:
        ConfigError: if a value is not usable.
    """

    instances: InstanceMode = "auto"
    connectivity: int = 8
    min_area_px: int = 1
    pixel_size: PixelSize | None = None

    def __post_init__(self) -> None:
        """Refuse values that would give wrong instances."""
        if self.instances not in INSTANCE_MODES:
            raise ConfigError(
                f"instances must be one of {', '.join(INSTANCE_MODES)}, got {self.instances!r}"
            )
        if self.connectivity not in (4, 8):
            raise ConfigError(f"connectivity must be 4 or 8, got {self.connectivity}")
        if self.min_area_px < 1:
            raise ConfigError(f"min_area_px must be >= 1 px, got {self.min_area_px}")


def pair_masks(images: Path, masks: Path) -> Pairing:
    """Images with their mask files or folders of mask files.

    Args:
        images: a folder of images, or one image.
        masks: a folder of mask files or of one folder an image, or one mask.

    Raises:
        MitoInstanceError: if one of them is absent or holds no image, or both are one folder.
    """
    if images.is_dir() and images.resolve() == masks.resolve():
        raise ConfigError(
            f"{masks}: images and masks are the same folder; put the masks in a folder of their own"
        )
    image_paths = [path for path in find_images([images]) if masks not in path.parents]
    if masks.is_dir():
        # Folder before files: what lies in a folder named like an image belongs to that image.
        folders = sorted(path for path in masks.iterdir() if path.is_dir())
        named = pair_by_name(image_paths, folders)
        if named.pairs:
            return named
        mask_paths = [path for path in find_images([masks]) if path not in set(image_paths)]
    else:
        mask_paths = find_images([masks])
        if len(image_paths) == len(mask_paths) == 1:
            return Pairing(((image_paths[0], mask_paths[0]),), (), (), ())
    return pair_by_name(image_paths, mask_paths)


def convert_mask_pairs(pairs: Iterable[tuple[Path, Path]], options: MaskOptions) -> Conversion:
    """Instances of every image of the pairs; a bad file is named and the others go on.

    Args:
        pairs: image, and its mask file or folder of mask files.
        options: how masks become instances.
    """
    conversion = Conversion()
    seen: Counter[str] = Counter()
    for image, mask in pairs:
        try:
            pages = list(_pages_with_instances(image, mask, options, conversion.notices, seen))
        except MitoInstanceError as error:
            conversion.failures.append(str(error))
            continue
        conversion.images.extend(pages)
    if seen:
        summary = ", ".join(f"{count} {what}" for what, count in sorted(seen.items()))
        conversion.notices.insert(0, f"masks read as: {summary}")
    return conversion


def _pages_with_instances(
    image: Path, mask: Path, options: MaskOptions, notices: list[str], seen: Counter[str]
) -> Iterator[ImageInstances]:
    """The instances of each page of an image.

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
    for page, rles in _matched_pages(image, mask, options, notices, seen):
        yield ImageInstances(
            image=str(image),
            image_hw=_size_hw(page.pixels),
            masks=tuple(_without_specks(rles, options, f"{mask}{_page_name(page)}", notices)),
            frame=page.frame,
            pixel_size=options.pixel_size or page.pixel_size,
        )


def _matched_pages(
    image: Path, mask: Path, options: MaskOptions, notices: list[str], seen: Counter[str]
) -> Iterator[tuple[Page, list[RLE]]]:
    """Each page of the image with its instances before small ones are dropped."""
    mask_pages = None if mask.is_dir() else read_pages(mask)
    for page in read_pages(image):
        if mask_pages is None:
            if page.n_frames > 1:
                raise AnnotationError(
                    f"{image}: has {page.n_frames} pages, but {mask} is a folder of mask files, "
                    "which fit a single image; save the pages as single images"
                )
            seen["folders of one file an instance"] += 1
            yield page, _file_rles(mask, _size_hw(page.pixels), notices)
            continue
        mask_page = next(mask_pages, None)
        if mask_page is None or mask_page.n_frames != page.n_frames:
            n_pages = 0 if mask_page is None else mask_page.n_frames
            raise AnnotationError(
                f"{mask}: has {n_pages} pages but {image} has {page.n_frames}; "
                "check that they belong together"
            )
        where = f"{mask}{_page_name(mask_page)}"
        _check_size(mask_page.pixels, _size_hw(page.pixels), where, image)
        yield page, _page_rles(mask_page, options, where, notices, seen)


def _page_rles(
    page: Page, options: MaskOptions, where: str, notices: list[str], seen: Counter[str]
) -> list[RLE]:
    """Instances of one mask, in the way that was asked for or that its values suggest."""
    is_jpeg = _is_jpeg(page.path)
    values = inspect_mask(page.pixels, is_jpeg=is_jpeg)
    kind = values.kind if options.instances == "auto" else options.instances
    if kind == "empty" or values.kind == "empty":
        seen["empty"] += 1
        return []
    if kind == "labels":
        seen["label images"] += 1
        labels = integer_labels(page.pixels, where)
        rles, n_divided = label_rles(labels, options.connectivity)
        if n_divided:
            notices.append(
                f"{where}: {n_divided} label values lie in several parts; each part is an instance"
            )
        return rles
    seen["binary, with noise" if values.is_noisy else "binary"] += 1
    return component_rles(binary_mask(page.pixels, is_jpeg=is_jpeg), options.connectivity)


def _file_rles(folder: Path, image_hw: tuple[int, int], notices: list[str]) -> list[RLE]:
    """One instance from each mask file of a folder; instances may overlap.

    Raises:
        AnnotationError: if a file has another size than the image or several pages.
    """
    rles: list[RLE] = []
    for path in _image_files(folder):
        pages = list(read_pages(path))
        if len(pages) != 1:
            raise AnnotationError(
                f"{path}: has {len(pages)} pages, but one file must hold one instance"
            )
        _check_size(pages[0].pixels, image_hw, str(path), folder)
        foreground = binary_mask(pages[0].pixels, is_jpeg=_is_jpeg(path))
        if foreground.any():
            rles.append(rle_masks.encode(foreground))
        else:
            notices.append(f"{path}: holds no instance; left out")
    return rles


def _image_files(folder: Path) -> list[Path]:
    """Mask files directly in a folder, in natural order; none for an empty folder."""
    files = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
    return find_images(files) if files else []


def _without_specks(
    rles: Sequence[RLE], options: MaskOptions, where: str, notices: list[str]
) -> list[RLE]:
    """Instances of at least the smallest area; says how many were dropped."""
    kept = [rle for rle in rles if rle_masks.area_px(rle) >= options.min_area_px]
    if len(kept) < len(rles):
        notices.append(
            f"{where}: {len(rles) - len(kept)} of {len(rles)} instances are smaller than "
            f"{options.min_area_px} px; dropped"
        )
    return kept


def _check_size(
    mask: npt.NDArray[Any], image_hw: tuple[int, int], where: str, partner: Path
) -> None:
    """Refuse a mask of another size than its image."""
    height, width = mask.shape
    if (height, width) != image_hw:
        raise AnnotationError(
            f"{where}: mask is {width} x {height} px but its image ({partner}) is "
            f"{image_hw[1]} x {image_hw[0]} px; check that they belong together"
        )


def _size_hw(pixels: npt.NDArray[np.generic]) -> tuple[int, int]:
    """Height and width."""
    return (int(pixels.shape[0]), int(pixels.shape[1]))


def _page_name(page: Page) -> str:
    """The page, for messages; nothing for a single image."""
    return f" page {page.frame + 1}" if page.n_frames > 1 else ""


def _is_jpeg(path: Path) -> bool:
    """Whether the file's values went through lossy compression."""
    return path.suffix.lower() in (".jpg", ".jpeg")
