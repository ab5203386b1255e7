"""One page through a model: prepare, cut into tiles, predict, stitch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from mito_instance.inference.predictor import (
    MaskPredictor,
    StackPredictor,
    category_names,
    familiar_px,
    predict_in_batches,
)
from mito_instance.inference.resampling import masks_at_page_size, resize_page, zoom_for
from mito_instance.inference.second_look import Look, best_look
from mito_instance.inference.stitching import Detection, detections_of, stitch
from mito_instance.inference.tiling import checked_tile_px, tiles_of, usable_overlap_px
from mito_instance.instances import ImageInstances
from mito_instance.io.images import Page


def predict_page(
    predictor: MaskPredictor,
    page: Page,
    *,
    score_threshold: float | None = None,
    tile_px: int | None = None,
    on_tile: Callable[[int, int], None] | None = None,
    on_zoom: Callable[[float], None] | None = None,
    on_shortage: Callable[[], None] | None = None,
) -> ImageInstances:
    """Instances of one page of any size.

    A page whose pixel size is known, and differs from the model's by more than a quarter, is
    resampled to the model's; one whose instances are smaller or larger than the model knows is
    looked at again, resized. The masks come back in the page's own pixels.

    Args:
        predictor: the model.
        page: pixels of any real dtype.
        score_threshold: detections below it are no instances; None for the model's own.
        tile_px: edge of the tiles; None for the model's own. A page that is no larger is one
            tile. A model that looks at neighbouring slices cuts them into such tiles, too.
        on_tile: called after each tile with the number done and the number of all; a second look
            begins at 1 again.
        on_zoom: called with the factor by which the page was resized for the result.
        on_shortage: called where the memory did not suffice for a further look at the page.

    Returns:
        The page's instances by falling score; none for a page that shows none.

    Raises:
        ConfigError: if the tiles are too small, or overlap too little to join what they cut.
    """
    threshold = predictor.score_threshold if score_threshold is None else score_threshold
    given_px, tile_px = tile_px, predictor.tile_px if tile_px is None else tile_px
    overlap_px = usable_overlap_px(predictor.tile_overlap_px, tile_px)
    if isinstance(predictor, StackPredictor):
        prepared = predictor.prepare_page(page, checked_tile_px(given_px))
    else:
        prepared = predictor.prepare(page.pixels)
    itself = _empty(page, prepared, category_names(predictor))
    zoom = zoom_for(itself, predictor.pixel_size_nm)

    own = predictor.score_threshold
    sizes_px = familiar_px(predictor)

    def look(zoom: float) -> Look:
        resized = prepared if zoom == 1.0 else resize_page(prepared, zoom)
        image_hw = (resized.shape[0], resized.shape[1])
        tiles = tiles_of(image_hw, tile_px, overlap_px)
        pieces = (np.ascontiguousarray(resized[tile.slices]) for tile in tiles)
        lowest = min(threshold, own) if sizes_px else threshold
        detections: list[Detection] = []
        results = predict_in_batches(predictor, pieces, lowest)
        for number, (tile, found) in enumerate(zip(tiles, results, strict=True), start=1):
            detections += detections_of(found, tile, image_hw)
            if on_tile is not None:
                on_tile(number, len(tiles))

        def of_score(least: float) -> ImageInstances:
            kept = detections
            if least > lowest:
                kept = [detection for detection in detections if detection.score >= least]
            return stitch(kept, replace(itself, image_hw=image_hw), tiles)

        found = of_score(threshold)
        # Which scale is right does not depend on the score that is asked for.
        return Look(zoom, found, of_score(own) if sizes_px and own != threshold else found)

    is_known = itself.pixel_size is not None and predictor.pixel_size_nm is not None
    best = best_look(look, itself, zoom, sizes_px, scale_is_known=is_known, on_shortage=on_shortage)
    if on_zoom is not None:
        on_zoom(best.zoom)
    return best.found if best.zoom == 1.0 else masks_at_page_size(best.found, itself)


def _empty(page: Page, prepared: npt.NDArray[np.uint8], names: Mapping[int, str]) -> ImageInstances:
    """Identity and size of a page."""
    return ImageInstances(
        image=str(page.path),
        image_hw=(int(prepared.shape[0]), int(prepared.shape[1])),
        frame=page.frame,
        pixel_size=page.pixel_size,
        category_names=names,
    )
