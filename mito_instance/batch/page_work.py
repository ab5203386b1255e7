"""What is done with one page: read, predict, measure, draw, keep."""

from __future__ import annotations

import logging
import statistics
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mito_instance.batch.outlined import OutlinedPages
from mito_instance.batch.overlay_files import OverlayFiles
from mito_instance.batch.page_result import PageResult
from mito_instance.batch.page_values import with_values
from mito_instance.batch.result_store import PageKey, ResultStore
from mito_instance.errors import DiskFullError, ImageError, MitoInstanceError, is_out_of_memory
from mito_instance.inference.pipeline import predict_page
from mito_instance.inference.predictor import MaskPredictor, StackPredictor
from mito_instance.instances import ImageInstances
from mito_instance.io.images import Page, n_frames, read_page, to_uint8
from mito_instance.io.pixel_sizes import PixelSizes
from mito_instance.masks.rle import RLE
from mito_instance.measure.groups import PageFigures
from mito_instance.measure.morphology import ObjectShape
from mito_instance.measure.region import region_cells, within
from mito_instance.measure.summary import (
    Extent,
    Row,
    measure_objects,
    object_rows,
    summarise_image,
    whole_image,
)
from mito_instance.visualize.overlay_tiff import EncodedPicture
from mito_instance.visualize.page_pictures import PagePictures, page_pictures

if TYPE_CHECKING:
    from mito_instance.annotations.regions import Regions  # its libraries take time to load

logger = logging.getLogger(__name__)

REPORT_EVERY = 16
"""Tiles between two lines on the progress within one page."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How pages are predicted and measured.

    Args:
        pixel_sizes: of all images.
        score_threshold: None for the model's own.
        tile_px: None for the model's own.
        regions: where instances count; None for everywhere.
        exclude_border: leave instances at the border out of mean and median areas.
    """

    pixel_sizes: PixelSizes = field(default_factory=PixelSizes)
    score_threshold: float | None = None
    tile_px: int | None = None
    regions: Regions | None = None
    exclude_border: bool = False


@dataclass(slots=True)
class Loaded:
    """A page that is ready for the network, or a result that needs none.

    Args:
        key: names the result in the store; None without a store.
        page: the pixels; None where the result is at hand and they are not needed.
        result: what the store holds; None where the page is still to be predicted.
        region: where instances count; None for everywhere.
        seconds: spent on the page so far.
        zoom: factor by which the page was resized for the model.
    """

    key: PageKey | None = None
    page: Page | None = None
    result: PageResult | None = None
    region: RLE | None = None
    seconds: float = 0.0
    zoom: float = 1.0


@dataclass(frozen=True, slots=True)
class Done:
    """A page that is measured.

    Args:
        found: the instances that count.
        row: of ``counts.csv``.
        objects: rows of ``objects.csv``.
        figures: what a summary needs, without the group.
        n_frames: pages of the file.
        pictures: for a report, if they are wanted.
        overlay: file of the overlay; None if none was wanted.
        stack_page: page of the overlay of a stack, to be written; None where it is drawn already.
        is_stored: whether the result was taken from the store.
        seconds: spent on the page.
        zoom: factor by which the page was resized for the model.
        undrawn: why the picture could not be written.
        unkept: why the result could not be stored.
    """

    found: ImageInstances
    row: Row
    objects: list[Row]
    figures: PageFigures
    n_frames: int = 1
    pictures: PagePictures | None = None
    overlay: Path | None = None
    stack_page: EncodedPicture | None = None
    is_stored: bool = False
    seconds: float = 0.0
    zoom: float = 1.0
    undrawn: Exception | None = None
    unkept: Exception | None = None


@dataclass(frozen=True, slots=True)
class PageWork:
    """The three steps of a page, which may run in different threads.

    Args:
        predictor: the model, used by as many threads at a time as it says; or outlined pages.
        settings: how it is used.
        overlays: the pictures.
        store: finished pages; None to keep none.
        with_pictures: make the pictures of a report, too; stored pages are read again for them.
    """

    predictor: MaskPredictor | OutlinedPages
    settings: Settings
    overlays: OverlayFiles
    store: ResultStore | None = None
    with_pictures: bool = False

    def load(self, path: Path, frame: int) -> Loaded:
        """Read a page, unless its result is stored and its picture drawn.

        Raises:
            MitoInstanceError: if the page cannot be read.
        """
        start = time.perf_counter()
        if isinstance(self.predictor, OutlinedPages):
            self.predictor.check(path, frame)
        loaded = Loaded()
        if self.store is not None:
            size_nm, beside = self._pixel_size_nm(path), self._beside(path, frame)
            loaded.key = self.store.key(path, frame, size_nm, beside)
            loaded.result = self.store.load(loaded.key)
        if loaded.result is None:
            loaded.page = page = with_values(read_page(path, frame))
            image_hw = (page.pixels.shape[0], page.pixels.shape[1])
            loaded.region = self._region(path, frame, page.n_frames, image_hw)
        else:
            stored = loaded.result
            loaded.region = self._region(path, frame, stored.n_frames, stored.found.image_hw)
            if self.with_pictures or not self._is_drawn(loaded):
                loaded.page = read_page(path, frame)
        loaded.seconds = time.perf_counter() - start
        return loaded

    def _pixel_size_nm(self, path: Path) -> float | None:
        """The user's pixel size, where the model's results depend on it."""
        if self.predictor.pixel_size_nm is None:
            return None
        size = self.settings.pixel_sizes.of(path, None)
        return None if size is None else size.nm

    def _beside(self, path: Path, frame: int) -> list[Path]:
        """Further files that the page's result depends on."""
        if not isinstance(self.predictor, StackPredictor) or frame > 0 or n_frames(path) > 1:
            return []  # the neighbours of a page of several are in its own file
        return self.predictor.files_beside(path)

    def _region(
        self, path: Path, frame: int, n_frames: int, image_hw: tuple[int, int]
    ) -> RLE | None:
        regions = self.settings.regions
        return None if regions is None else regions.mask(path, frame, n_frames, image_hw)

    def predict(self, loaded: Loaded) -> ImageInstances | None:
        """Instances of a page that is not in the store; None for one that is.

        Raises:
            ImageError: if the memory, that of the GPU included, does not suffice.
        """
        if loaded.result is not None or loaded.page is None:
            return None
        start = time.perf_counter()
        of_file = loaded.page.pixel_size
        if isinstance(self.predictor, OutlinedPages):
            outlined = self.predictor.find(loaded.page)
            return replace(outlined, pixel_size=outlined.pixel_size or of_file)
        size = self.settings.pixel_sizes.of(loaded.page.path, of_file)
        try:
            found = predict_page(
                self.predictor,
                replace(loaded.page, pixel_size=size),
                score_threshold=self.settings.score_threshold,
                tile_px=self.settings.tile_px,
                on_tile=_tile_reporter(loaded.page),
                on_zoom=partial(setattr, loaded, "zoom"),
                # Looked at again in the next run, which may have the memory.
                on_shortage=partial(setattr, loaded, "key", None),
            )
        except (MemoryError, RuntimeError) as error:
            if is_out_of_memory(error):
                traceback.clear_frames(error.__traceback__)  # they hold what filled the memory
                blocks = ", or MITO.SEMANTIC.BLOCK_SLICES in the model's config.yaml"
                raise ImageError(
                    f"{loaded.page.path}: not enough memory for the network; try a smaller "
                    f"--tile-px{blocks if hasattr(self.predictor, 'block_slices') else ''}"
                ) from error
            raise
        if isinstance(self.predictor, StackPredictor) and not self.predictor.is_whole(loaded.page):
            loaded.key = None  # what could not be read is tried again in the next run
        loaded.seconds += time.perf_counter() - start
        # The result is kept with the file's own: the user may correct the size later.
        return replace(found, pixel_size=of_file)

    def finish(self, loaded: Loaded, found: ImageInstances | None) -> Done:
        """Measure, draw, keep the result, and make the rows.

        Raises:
            MitoInstanceError: if the page has no region.
            DiskFullError: if the picture or the stored result has no room.
        """
        start = time.perf_counter()
        page, result = loaded.page, loaded.result
        is_stored = result is not None
        if result is None:
            if page is None or found is None:
                raise ValueError("a page without a stored result must be predicted first")
            shapes = tuple(measure_objects(found, page.pixels))
            result = PageResult(page.n_frames, found, shapes, zoom=loaded.zoom)
        stack_page, undrawn, unkept = None, None, None
        try:
            result, stack_page = self._draw(loaded, result)
        except DiskFullError:
            raise
        except Exception as error:  # costs the picture alone
            undrawn = error
        finally:  # what was found outlives a picture that cannot be written
            if self.store is not None and loaded.key is not None and result is not loaded.result:
                unkept = _unkept(self.store, loaded.key, result)
        counted = self._counted(loaded, result)
        pictures = None
        if self.with_pictures and page is not None:
            pictures = page_pictures(to_uint8(page.pixels), counted[0])
        return replace(
            self._rows(*counted),
            n_frames=result.n_frames,
            pictures=pictures,
            overlay=None if undrawn else self.overlays.file(result),
            stack_page=stack_page,
            is_stored=is_stored,
            seconds=loaded.seconds + time.perf_counter() - start,
            zoom=result.zoom,
            undrawn=undrawn,
            unkept=unkept,
        )

    def _counted(
        self, loaded: Loaded, result: PageResult
    ) -> tuple[ImageInstances, list[ObjectShape], Extent]:
        """The instances that count, with the pixel size that holds, their shapes, the extent."""
        found = result.found
        size = self.settings.pixel_sizes.of(Path(found.image), found.pixel_size)
        found = replace(found, pixel_size=size)
        if loaded.region is None:
            return found, list(result.shapes), whole_image(found)
        counts, extent = within(found, loaded.region)
        shapes = [shape for shape, inside in zip(result.shapes, counts, strict=True) if inside]
        return found.select(counts), shapes, extent

    def _rows(self, found: ImageInstances, shapes: list[ObjectShape], extent: Extent) -> Done:
        """Rows and figures of a page; pages of its file and times are filled in later."""
        exclude = self.settings.exclude_border
        remark = ""
        if isinstance(self.predictor, OutlinedPages):
            remark = self.predictor.remark(Path(found.image), found.frame)
        row = summarise_image(found, shapes, remark, extent=extent, exclude_border=exclude)
        if self.settings.regions is not None:
            row = {**row, **region_cells(extent, found.pixel_size)}
        areas = [s.area_px for s in shapes if not (exclude and s.touches_border)]
        figures = PageFigures(
            group="",
            count=len(found),
            area_px=extent.area_px,
            area_fraction=extent.covered_px / extent.area_px,
            area_median_px=float(statistics.median(areas)) if areas else None,
            pixel_size=found.pixel_size,
        )
        return Done(found=found, row=row, objects=object_rows(found, shapes), figures=figures)

    def _draw(self, loaded: Loaded, result: PageResult) -> tuple[PageResult, EncodedPicture | None]:
        """Draw the picture of a page unless it is drawn already; the result knows of it."""
        if loaded.page is None or self._is_drawn(loaded):
            return result, None
        counted, _, _ = self._counted(loaded, result)
        return self.overlays.draw(loaded.page.pixels, result, counted)

    def _is_drawn(self, loaded: Loaded) -> bool:
        """Whether the picture of a stored result lies where it should, as it should be."""
        if self.overlays.folder is None:
            return True
        if loaded.result is None:
            return False
        return self.overlays.is_drawn(loaded.result, self._counted(loaded, loaded.result)[0])


def _unkept(store: ResultStore, key: PageKey, result: PageResult) -> Exception | None:
    """Store a result; why it could not be, which costs the next run the page and this one nothing.

    Raises:
        DiskFullError: if there is no room.
    """
    try:
        store.save(key, result)
    except DiskFullError:
        raise
    except MitoInstanceError as error:
        return error
    return None


def _tile_reporter(page: Page) -> Callable[[int, int], None]:
    """Says from time to time how far a page of many tiles is."""

    def report(done: int, count: int) -> None:
        if count > REPORT_EVERY and done % REPORT_EVERY == 0:
            logger.info("%s: tile %d of %d", page.path.name, done, count)

    return report
