"""At what scale a training shows its images: said once, with what is probably wrong."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from detectron2.config import CfgNode

from mito_instance.calibration import FAR
from mito_instance.instances import ImageInstances

logger = logging.getLogger(__name__)


def report_pixel_sizes(
    cfg: CfgNode, records: Sequence[ImageInstances], lookalikes: Sequence[ImageInstances]
) -> None:
    """Say at what scale images of known and of unknown pixel size are learned.

    Args:
        cfg: reads ``MITO.PIXEL_SIZE_NM`` and ``MITO.AUGMENT.SCALE``.
        records: all images of the training; nothing is said of none.
        lookalikes: the images of ``MITO.AUGMENT.LOOKALIKES``.
    """
    model_nm = float(cfg.MITO.PIXEL_SIZE_NM)
    if not model_nm or not records:
        return
    low, high = tuple(cfg.MITO.AUGMENT.SCALE)
    n_unknown = sum(record.pixel_size is None for record in records)
    if n_unknown < len(records):
        logger.info(
            "crops show %g to %g nm a pixel (MITO.PIXEL_SIZE_NM %g, MITO.AUGMENT.SCALE %g to %g)",
            model_nm / high,
            model_nm / low,
            model_nm,
            low,
            high,
        )
        if sizeless := [record.image for record in lookalikes if record.pixel_size is None]:
            logger.warning(
                "%d of %d images of MITO.AUGMENT.LOOKALIKES state no pixel size (first: %s): what "
                "they show is pasted as large as it is in the file; convert or predict them with "
                "--pixel-size-nm",
                len(sizeless),
                len(lookalikes),
                sizeless[0],
            )
    far: dict[float, list[str]] = {}
    for record in records:
        nm = model_nm if record.pixel_size is None else record.pixel_size.nm
        if not 1 / FAR <= nm / model_nm <= FAR:
            far.setdefault(nm, []).append(record.image)
    for nm, images in far.items():
        logger.warning(
            "%d of %d training images state %g nm a pixel (first: %s), but MITO.PIXEL_SIZE_NM is "
            "%g nm: learned resized by a factor of %.3g; if that is wrong, convert them with "
            "--pixel-size-nm",
            len(images),
            len(records),
            nm,
            images[0],
            model_nm,
            nm / model_nm,
        )
    if n_unknown == len(records):
        logger.warning(
            "none of %d training images has a known pixel size: taken as they are, and the model "
            "will state none and resample nothing; convert them with --pixel-size-nm",
            n_unknown,
        )
        if sized := [record.image for record in lookalikes if record.pixel_size is not None]:
            logger.warning(
                "%d of %d images of MITO.AUGMENT.LOOKALIKES state a pixel size (first: %s), and no "
                "training image does: what they show is pasted resized to MITO.PIXEL_SIZE_NM "
                "(%g nm), beside mitochondria that are not",
                len(sized),
                len(lookalikes),
                sized[0],
                model_nm,
            )
    elif n_unknown:
        logger.warning(
            "%d of %d training images have no known pixel size: taken as they are, as if it were "
            "MITO.PIXEL_SIZE_NM (%g nm); convert them with --pixel-size-nm",
            n_unknown,
            len(records),
            model_nm,
        )
