"""Rows of ``summary.csv``: groups of images, with the image as the unit that is sampled."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mito_instance.calibration import PixelSize
from mito_instance.measure.schema import SUMMARY_NAMES
from mito_instance.measure.summary import Row, Value

_PX_PER_MPX = 1e6


@dataclass(frozen=True, slots=True)
class PageFigures:
    """What a summary needs to know of one image, or page of a stack.

    Args:
        group: the group that it belongs to.
        is_failed: True where the page could not be measured; all else is then meaningless.
        count: number of instances.
        area_px: pixels that were searched: of the image, or of its region.
        area_fraction: of these pixels, the part that lies in instances.
        area_median_px: median area of an instance; None without one.
        pixel_size: None when unknown.
    """

    group: str
    is_failed: bool = False
    count: int = 0
    area_px: int = 1
    area_fraction: float = 0.0
    area_median_px: float | None = None
    pixel_size: PixelSize | None = None


def summary_rows(pages: Iterable[PageFigures]) -> list[Row]:
    """Rows of ``summary.csv``, one a group, in the order in which groups first occur.

    Every value is the mean over images of the image's own value, with the sample standard
    deviation (n - 1) beside it; objects are never pooled, because objects of one image are no
    independent samples of the group. Failed images are counted and enter nothing else.

    Args:
        pages: figures of all pages; may be empty.

    Returns:
        Rows with the columns `SUMMARY_NAMES`. µm columns are None unless every measured image
        of the group has a pixel size; a mean without a value is None, and so is a standard
        deviation of fewer than two values.
    """
    groups: dict[str, list[PageFigures]] = {}
    for page in pages:
        groups.setdefault(page.group, []).append(page)
    return [_summary_row(group, members) for group, members in groups.items()]


def _summary_row(group: str, members: Sequence[PageFigures]) -> Row:
    pages = [page for page in members if not page.is_failed]
    sizes = [page.pixel_size for page in pages if page.pixel_size is not None]
    row: dict[str, Value] = dict.fromkeys(SUMMARY_NAMES)
    row |= {
        "group": group,
        "n_images": len(members),
        "n_failed": len(members) - len(pages),
        "n_with_objects": sum(page.count > 0 for page in pages),
        "n_objects": sum(page.count for page in pages),
    }
    if sizes:
        row["pixel_size_nm_min"] = min(size.nm for size in sizes)
        row["pixel_size_nm_max"] = max(size.nm for size in sizes)
    medians = [page.area_median_px for page in pages if page.area_median_px is not None]
    row |= _mean_and_sd("count", [page.count for page in pages])
    row |= _mean_and_sd(
        "density_per_mpx", [page.count / page.area_px * _PX_PER_MPX for page in pages]
    )
    row |= _mean_and_sd("area_fraction", [page.area_fraction for page in pages])
    row |= _mean_and_sd("area_median_px", medians)
    if len(sizes) == len(pages):
        sized = list(zip(pages, sizes, strict=True))
        row |= _mean_and_sd(
            "density_per_um2", [page.count / size.area_um2(page.area_px) for page, size in sized]
        )
        row |= _mean_and_sd(
            "area_median_um2",
            [
                size.area_um2(page.area_median_px)
                for page, size in sized
                if page.area_median_px is not None
            ],
        )
    return row


def _mean_and_sd(name: str, values: Sequence[float]) -> dict[str, Value]:
    return {
        f"{name}_mean": statistics.fmean(values) if values else None,
        f"{name}_sd": statistics.stdev(values) if len(values) > 1 else None,
    }
