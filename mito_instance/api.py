"""Use from Python: the model and the loop of the command ``quantify``, results in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mito_instance.calibration import PixelSize
from mito_instance.errors import ConfigError
from mito_instance.inference.copies import CopiesPredictor
from mito_instance.inference.predictor import MaskPredictor
from mito_instance.inference.tiling import checked_tile_px
from mito_instance.instances import ImageInstances
from mito_instance.io.pixel_sizes import PixelSizes, pixel_sizes_by_name
from mito_instance.measure.summary import Row

if TYPE_CHECKING:
    from mito_instance.annotations.regions import Regions


@dataclass(frozen=True, slots=True)
class Quantification:
    """What was found in a number of images.

    Args:
        counts: a row an image or page, as in ``counts.csv``; None where a value is unknown.
        objects: a row an instance, as in ``objects.csv``.
        instances: masks, scores and pixel size of each page that was measured.
        failures: one line for each page that could not be measured; its row says so, too.
    """

    counts: list[Row]
    objects: list[Row]
    instances: list[ImageInstances]
    failures: list[str]


def load_model(
    weights: str | Path | None = None,
    *,
    config_file: str | Path | None = None,
    device: str = "auto",
) -> MaskPredictor:
    """Load a model, once for any number of images.

    Args:
        weights: model folder or weights file; None for the model that ships with the package.
        config_file: config of a weights file; a folder brings its own.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, …; several with commas between them
            (``cuda:0,cuda:1``) share the work.

    Raises:
        MissingDependencyError: if PyTorch or Detectron2 is not installed.
        WeightsError: if the weights are missing or do not fit.
        ConfigError: if there is no config for them, a device is none, or a model that looks
            at neighbouring slices is given several.
    """
    from mito_instance.detection import require_detectron2

    require_detectron2()
    from mito_instance.detection.start import import_quickly

    import_quickly()
    from mito_instance.detection.predictor import load_predictor

    copies = [
        load_predictor(
            None if weights is None else Path(weights),
            None if config_file is None else Path(config_file),
            ["MODEL.DEVICE", one.strip()],
        )
        for one in device.split(",")
    ]
    return copies[0] if len(copies) == 1 else CopiesPredictor(copies)


def quantify(
    images: str | Path | Sequence[str | Path],
    model: MaskPredictor | None = None,
    *,
    pixel_size_nm: float | Mapping[str | Path, float] | None = None,
    score_threshold: float | None = None,
    tile_px: int | None = None,
    tta: int | None = None,
    regions: str | Path | None = None,
    exclude_border: bool = False,
    resume: str | Path | None = None,
    n_threads: int = 1,
) -> Quantification:
    """Find, count and measure mitochondria, as the command ``quantify`` does.

    Args:
        images: file, folder or glob, or several of them.
        model: from `load_model`; None for the model that ships with the package.
        pixel_size_nm: edge of a pixel of all images, or of each image by its path, or by its
            file name where no other has it; None for what the files say.
        score_threshold: detections with a lower score do not count; None for the model's own.
        tile_px: images with a longer edge are cut into tiles; None for the model's own.
        tta: test-time augmentation: 4 to see each tile in its four flips, 8 to see it turned by
            90° as well, and to merge what is found; None for neither.
        regions: ImageJ ROIs that restrict where instances count; None for everywhere.
        exclude_border: leave instances at the border out of mean and median areas.
        resume: folder that keeps finished pages; None to keep none.
        n_threads: that read and measure beside the network; 0 for none.

    Returns:
        Rows and instances of all pages. An image that fails keeps its row.

    Raises:
        ImageError: if a path names no image. One that cannot be read is no error.
        ConfigError: if a setting is out of its range, or a pixel size names no image.
    """
    from mito_instance.batch.page_work import Settings
    from mito_instance.batch.run import Batch, Results, run_record
    from mito_instance.inference.augmentation import with_augmentation
    from mito_instance.inference.orientations import orientations
    from mito_instance.io.images import find_images

    if score_threshold is not None and not 0 <= score_threshold <= 1:
        raise ConfigError(f"score_threshold: must be in [0, 1], got {score_threshold}")
    if tta is not None:
        orientations(tta)
    if n_threads < 0:
        raise ConfigError(f"n_threads: must be >= 0, got {n_threads}")
    paths = find_images([images] if isinstance(images, str | Path) else images)
    model = with_augmentation(load_model() if model is None else model, tta)
    settings = Settings(
        pixel_sizes=_pixel_sizes(pixel_size_nm, paths),
        score_threshold=None if score_threshold is None else float(score_threshold),
        tile_px=checked_tile_px(tile_px),
        regions=None if regions is None else _regions(Path(regions), paths),
        exclude_border=exclude_border,
    )
    batch = Batch(
        paths,
        model,
        settings,
        resume=None if resume is None else Path(resume),
        n_threads=n_threads,
        record=run_record(model, settings),
        keep_all=True,
    )
    counts: list[Row] = []
    results = Results()
    batch.run(counts.append, results)
    return Quantification(counts, results.objects, results.instances, results.failures)


def _regions(path: Path, images: Sequence[Path]) -> Regions:
    from mito_instance.annotations.regions import Regions  # its libraries take time to load

    return Regions(path, images)


def _pixel_sizes(
    given: float | Mapping[str | Path, float] | None, images: Sequence[Path]
) -> PixelSizes:
    """The sizes that the caller knows."""
    if given is None:
        return PixelSizes()
    if isinstance(given, Mapping):
        return PixelSizes(by_path=pixel_sizes_by_name(given, images))
    return PixelSizes(PixelSize(given, "user"))
