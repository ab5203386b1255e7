"""Outlined images of a command: from ROI sets or COCO files."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from mito_instance.calibration import PixelSize
from mito_instance.cli.command import OK, SOME_FAILED
from mito_instance.cli.conversion_report import say_lines, say_skipped
from mito_instance.errors import AnnotationError, ConfigError, ImageError
from mito_instance.io.pixel_sizes import PixelSizes, read_pixel_size_list

if TYPE_CHECKING:
    from mito_instance.instances import ImageInstances


def add_outlined(data: argparse._ArgumentGroup, rois: str = "rois", coco: str = "coco") -> None:
    """The options that name outlined images.

    Args:
        data: where they stand in the help.
        rois: attribute for the value of ``--rois``.
        coco: attribute for that of ``--coco``.
    """
    data.add_argument(
        "--rois",
        type=Path,
        nargs="+",
        metavar="ROI",
        dest=rois,
        help=".roi files, .zip of them, TIFFs with an overlay, or folders of these; paired with "
        "the images by name, as in convert-roi",
    )
    data.add_argument(
        "--images", type=Path, nargs="+", metavar="IMAGE", help="images of --rois, or folders"
    )
    data.add_argument(
        "--coco",
        type=Path,
        nargs="+",
        metavar="JSON",
        dest=coco,
        help="COCO JSON files; of a stack, the pages that they list",
    )
    data.add_argument(
        "--category",
        nargs="+",
        metavar="NAME",
        help="only masks of these categories of the COCO files are mitochondria",
    )


@dataclass(slots=True)
class Outlined:
    """What `read_outlined` found.

    Args:
        images: the outlined pages.
        status: exit status so far.
        unusable: file and page of the outlines that could not be used, and why not; the first page
            for an ROI set of which nothing could.
        incomplete: file and page of those of which an outline could not be used, and why not.
        files: all of these, in the order of the images, or of the JSON.
    """

    images: list[ImageInstances] = field(default_factory=list)
    status: int = OK
    unusable: dict[tuple[Path, int], str] = field(default_factory=dict)
    incomplete: dict[tuple[Path, int], str] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)


def read_outlined(
    args: argparse.Namespace,
    *,
    all_or_none: bool = True,
    whole_stacks: bool = False,
    one_category: bool = True,
) -> Outlined:
    """All outlined images, their masks as mitochondria and nothing else.

    Args:
        args: ``rois``, ``images``, ``coco``, ``category``, ``pixel_size_nm`` and, where images are
            all or none, ``pixel_size_csv``.
        all_or_none: whether an image of a JSON that cannot be used is an error, and one of an ROI
            set is named on stderr; if not, the caller names what is unusable, and the others go on.
        whole_stacks: whether pages of a stack that carry no ROI show nothing; if not, they are
            left out.
        one_category: whether masks of several categories are an error; if not, all count.

    Raises:
        MitoInstanceError: if nothing can be used, or an image is given twice.
    """
    from mito_instance.annotations.image_files import match_files, page_of

    if args.rois is None and args.coco is None:
        raise ConfigError("no outlined images; give --rois with --images, or --coco")
    if (args.rois is None) != (args.images is None):
        raise ConfigError("--rois and --images belong together; give both")
    # Fine-tuning has further COCO files.
    listed = args.coco or getattr(args, "val", None) or getattr(args, "also", None)
    if args.category is not None and not listed:
        raise ConfigError(
            "--category: names categories of COCO files, and none is given; leave it out"
        )
    outlined = Outlined() if args.rois is None else _read_rois(args, whole_stacks, all_or_none)
    pixel_size = None if args.pixel_size_nm is None else PixelSize(args.pixel_size_nm, "user")
    if args.coco is not None:
        found = read_categories(args.coco, args.category, alone=one_category)
        if not all_or_none:
            _say_scores(found)
        outlined.images += found if all_or_none else _of_size(found, pixel_size)
        outlined.files += [Path(i.image) for i in found]
    seen = set()
    for image in outlined.images:
        page = page_of(image)
        if page in seen:
            raise AnnotationError(
                f"{image.image}: page {image.frame + 1} is given twice; leave one out"
            )
        seen.add(page)
    if all_or_none:
        if outlined.incomplete:
            say_lines(
                "warning",
                [
                    f"{len(outlined.incomplete)} images or pages lack outlines that could not be "
                    "used, and what these enclose is learned as background: correct them, or "
                    f"leave the images out, first {next(iter(outlined.incomplete.values()))}"
                ],
            )
        table = getattr(args, "pixel_size_csv", None)
        images = with_sizes(match_files(outlined.images), pixel_size, table)
        outlined.images = [as_mitochondria(image) for image in images]
        return outlined
    matched: list[ImageInstances] = []
    for name, pages in groupby(outlined.images, key=lambda image: image.image):
        of_file = list(pages)
        try:
            matched += match_files(of_file)
        except (AnnotationError, ImageError):
            outlined.status = SOME_FAILED
            matched += _matched_singly(Path(name), of_file, outlined.unusable)
    if not matched:
        raise AnnotationError(next(iter(outlined.unusable.values()), "no image is outlined"))
    outlined.images = [as_mitochondria(image) for image in matched]
    return outlined


def _say_scores(images: Sequence[ImageInstances]) -> None:
    """Say that detections count whatever their score is."""
    scores = [i.scores for i in images if i.scores is not None and len(i)]
    if scores:
        line = (
            f"{sum(map(len, scores))} masks are detections, with scores from "
            f"{min(float(s.min()) for s in scores):.2f} on; all of them count"
        )
        say_lines("notice", [line])


def _of_size(images: Sequence[ImageInstances], size: PixelSize | None) -> list[ImageInstances]:
    return [replace(image, pixel_size=size or image.pixel_size) for image in images]


def with_sizes(
    images: Sequence[ImageInstances], pixel_size: PixelSize | None, table: Path | None = None
) -> list[ImageInstances]:
    """Images with the user's pixel sizes, if there are any; says where files state others.

    Args:
        images: whose files exist.
        pixel_size: of all that the table does not name.
        table: see `read_pixel_size_list`.

    Raises:
        ConfigError: if the table is not usable.
    """
    files = [Path(image.image) for image in images]
    sizes = PixelSizes(pixel_size, None if table is None else read_pixel_size_list(table, files))
    return [replace(i, pixel_size=sizes.of(Path(i.image), i.pixel_size)) for i in images]


def _matched_singly(
    path: Path, pages: list[ImageInstances], unusable: dict[tuple[Path, int], str]
) -> list[ImageInstances]:
    """The pages of a file that can be used; the others are noted.

    Args:
        path: the file.
        pages: its annotated pages.
        unusable: grows by pages that the file has; others have no row anywhere, and are named.
    """
    from mito_instance.annotations.image_files import match_page
    from mito_instance.io.images import page_headers

    try:
        headers = page_headers(path)
    except ImageError as error:
        unusable[path, 0] = str(error)
        return []
    matched = []
    for page in pages:
        try:
            matched.append(match_page(page, headers))
        except AnnotationError as error:
            if page.frame < len(headers):
                unusable[path, page.frame] = str(error)
            else:
                say_lines("failed", [str(error)])
    return matched


def read_categories(
    paths: Sequence[Path], categories: Sequence[str] | None, *, alone: bool = True
) -> list[ImageInstances]:
    """Images of COCO files with the masks of some categories.

    Args:
        paths: COCO JSON files.
        categories: their names; None for all masks.
        alone: whether several categories in one file are refused where none is named.

    Raises:
        AnnotationError: if a file cannot be read, has masks of several categories of which none
            is named, or the files have masks but none of those that are.
    """
    from mito_instance.io.coco import read_coco
    from mito_instance.io.coco_categories import category_entries

    chosen: list[ImageInstances] = []
    seen: Counter[str] = Counter()
    for path in paths:
        images = read_coco(path)
        name_of = {entry["id"]: entry["name"] for entry in category_entries(images)}
        names = [[name_of[number] for number in image.category_ids] for image in images]
        counts = Counter(name for of_image in names for name in of_image)
        seen += counts
        if categories is None and alone and len(counts) > 1:
            raise AnnotationError(
                f"{path}: masks of {len(counts)} categories, {_counted(counts)}: name those that "
                "are mitochondria with --category"
            )
        if categories is not None and counts and not counts.keys() & set(categories):
            say_lines(
                "warning",
                [
                    f"{path}: no mask is of --category {' '.join(categories)}; there are "
                    f"{_counted(counts)}: its images count as without mitochondria"
                ],
            )
        chosen += [
            image if categories is None else image.select([n in categories for n in of_image])
            for image, of_image in zip(images, names, strict=True)
        ]
    if categories is not None and seen and not seen.keys() & set(categories):
        raise AnnotationError(
            f"{paths[0]}: --category {' '.join(categories)}: no mask is of it; there are "
            f"{_counted(seen)}"
        )
    return chosen


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in sorted(counts.items()))


def as_mitochondria(image: ImageInstances) -> ImageInstances:
    """The image with its masks as mitochondria, and nothing else: no score of a prediction."""
    return replace(image, category_ids=(1,) * len(image), category_names={}, scores=None)


def _read_rois(args: argparse.Namespace, whole_stacks: bool, all_or_none: bool) -> Outlined:
    """Images of ``--rois``; says what could not be used, but for what the caller does."""
    from mito_instance.annotations.from_rois import convert_roi_pairs
    from mito_instance.annotations.roi_sets import find_roi_sets, pair_roi_sets
    from mito_instance.io.images import find_images

    pairing = pair_roi_sets(find_images(args.images), find_roi_sets(args.rois))
    given = None if args.pixel_size_nm is None else PixelSize(args.pixel_size_nm, "user")
    pixel_size = None if all_or_none else given  # for a training, it is compared with the files'
    is_empty = (lambda _image, _page: True) if whole_stacks else None
    conversion = convert_roi_pairs(pairing.pairs, pixel_size, is_empty, keeps_doubtful=True)
    say_lines("notice", [*pairing.notices, *conversion.notices])
    say_lines("notice", [f"{path}: no ROI set; left out" for path in pairing.images_alone])
    say_skipped(conversion)
    failures = [*pairing.failures, *conversion.failures]
    if not conversion.images:
        reason = failures[0] if failures else "no image has an ROI set of its name"
        raise AnnotationError(f"--rois: nothing can be used: {reason}")
    unusable = conversion.unusable
    left_to_caller = [] if all_or_none else list(unusable.values())
    say_lines("failed", [failure for failure in failures if failure not in left_to_caller])
    files = [image for image, _ in pairing.pairs]
    status = SOME_FAILED if failures else OK
    return Outlined(conversion.images, status, unusable, conversion.incomplete, files)
