"""The loop of ``quantify``: each page once, results as they come, failures in their own row."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from mito_instance.batch.outputs import FileNames, Outputs, RoiZips
from mito_instance.calibration import PixelSize
from mito_instance.errors import MitoInstanceError
from mito_instance.inference.pipeline import predict_page
from mito_instance.inference.predictor import MaskPredictor
from mito_instance.instances import ImageInstances
from mito_instance.io.images import Page, n_frames, read_page, to_uint8
from mito_instance.io.tables import TableWriter
from mito_instance.measure.summary import (
    Row,
    failed_row,
    measure_objects,
    object_rows,
    summarise_image,
)
from mito_instance.visualize.overlays import write_overlay

logger = logging.getLogger(__name__)

REPORT_EVERY = 16
"""Tiles between two lines on the progress within one page."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How pages are predicted.

    Args:
        pixel_size: the user's, which overrules the files'; None to take the files'.
        score_threshold: None for the model's own.
        tile_px: None for the model's own.
    """

    pixel_size: PixelSize | None = None
    score_threshold: float | None = None
    tile_px: int | None = None


@dataclass(slots=True)
class Results:
    """What a batch has found so far.

    Args:
        n_done: pages that were measured.
        failures: one line for each file or page that was not.
        objects: rows of ``objects.csv``.
        instances: instances of each page, for the COCO JSON.
    """

    n_done: int = 0
    failures: list[str] = field(default_factory=list)
    objects: list[Row] = field(default_factory=list)
    instances: list[ImageInstances] = field(default_factory=list)


def quantify_all(
    paths: list[Path],
    predictor: MaskPredictor,
    settings: Settings,
    outputs: Outputs,
    counts: TableWriter,
    results: Results,
) -> None:
    """Work through the images; a row of counts for each page, whatever happens to it.

    Args:
        paths: image files.
        predictor: the model.
        settings: how it is used.
        outputs: overlays and ROI zips are written here as pages are done.
        counts: where rows go, one by one.
        results: filled in place, so that an interruption loses nothing that is done.
    """
    names = FileNames(paths)
    pages = list(_pages(paths))
    with (
        logging_redirect_tqdm(),
        RoiZips(outputs.rois, names) as rois,
        tqdm(total=len(pages), desc="quantify", unit="page", file=sys.stderr) as progress,
    ):
        for path, frame, problem in pages:
            try:
                if problem is not None:
                    raise problem
                page = read_page(path, frame)
                row = _quantify_page(page, predictor, settings, outputs, names, rois, results)
                results.n_done += 1
            except (MitoInstanceError, MemoryError, RuntimeError) as error:
                reason = _reason(error, path)
                results.failures.append(reason)
                row = failed_row(str(path), frame, reason)
            counts.write(row)
            sys.stdout.flush()
            progress.update()


def _pages(paths: list[Path]) -> Iterator[tuple[Path, int, MitoInstanceError | None]]:
    """Every page of every file; for a file that cannot be opened, its error instead."""
    for path in paths:
        try:
            count = n_frames(path)
        except MitoInstanceError as error:
            yield path, 0, error
            continue
        for frame in range(count):
            yield path, frame, None


def _quantify_page(
    page: Page,
    predictor: MaskPredictor,
    settings: Settings,
    outputs: Outputs,
    names: FileNames,
    rois: RoiZips,
    results: Results,
) -> Row:
    """Predict, measure and draw one page; its row of counts."""
    if settings.pixel_size is not None:
        page = replace(page, pixel_size=settings.pixel_size)
    found = predict_page(
        predictor,
        page,
        score_threshold=settings.score_threshold,
        tile_px=settings.tile_px,
        on_tile=_tile_reporter(page),
    )
    shapes = measure_objects(found, page.pixels)
    if outputs.overlays is not None:
        name = names.overlay(page.path, page.frame, page.n_frames)
        write_overlay(outputs.overlays / name, to_uint8(page.pixels), found)
    rois.add(page, found)
    if outputs.objects is not None:
        results.objects.extend(object_rows(found, shapes))
    if outputs.coco is not None:
        results.instances.append(found)
    return summarise_image(found, shapes)


def _tile_reporter(page: Page) -> Callable[[int, int], None]:
    """Says from time to time how far a page of many tiles is."""

    def report(done: int, count: int) -> None:
        if count > REPORT_EVERY and done % REPORT_EVERY == 0:
            logger.info("%s: tile %d of %d", page.path.name, done, count)

    return report


def _reason(error: BaseException, path: Path) -> str:
    """One line that names the file."""
    if isinstance(error, MitoInstanceError):
        return " ".join(str(error).split())
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return f"{path}: not enough memory for this image; try a smaller --tile-px"
    return f"{path}: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
