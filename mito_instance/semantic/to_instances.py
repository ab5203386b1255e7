"""From a foreground probability map to instances: seeds, then a watershed among them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from detectron2.config import CfgNode
from scipy import ndimage

from mito_instance.annotations.watershed import watershed_parts
from mito_instance.errors import ConfigError
from mito_instance.instances import ImageInstances
from mito_instance.masks import rle

_EIGHT = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True, slots=True)
class InstanceRule:
    """How a foreground map is divided.

    Args:
        foreground_threshold: pixels of at least this probability are foreground, in (0, 1].
        seed_threshold: pixels of at least this probability are seeds, not below the former.
        seed_min_area_px: smaller seeds are none.
        neck_depth_px: seeds are cut at necks this much narrower than their lobes; 0: are not.
        min_area_px: smaller instances are specks and left out.

    Raises:
        ConfigError: if a number is out of its range.
    """

    foreground_threshold: float = 0.5
    seed_threshold: float = 0.8
    seed_min_area_px: int = 25
    neck_depth_px: float = 3.0
    min_area_px: int = 25

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("foreground_threshold", "seed_threshold"):
            value = getattr(self, name)
            if not 0 < value <= 1:
                raise ConfigError(f"MITO.SEMANTIC.{name.upper()}: must be in (0, 1], got {value}")
        for name in ("seed_min_area_px", "neck_depth_px", "min_area_px"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name.upper()}: must be 0 or more, got {getattr(self, name)}")

    @classmethod
    def from_config(cls, cfg: CfgNode) -> InstanceRule:
        """The rule of ``MITO.SEMANTIC`` and ``MITO.MIN_AREA_PX``."""
        keys = cfg.MITO.SEMANTIC
        return cls(
            float(keys.FOREGROUND_THRESHOLD),
            float(keys.SEED_THRESHOLD),
            int(keys.SEED_MIN_AREA_PX),
            float(keys.NECK_DEPTH_PX),
            int(cfg.MITO.MIN_AREA_PX),
        )


def to_instances(probability: npt.NDArray[np.float32], rule: InstanceRule) -> ImageInstances:
    """Instances of a foreground probability map.

    Seeds are components of the sure foreground, cut at their necks; the foreground goes to the
    seed from which a flood from high to low probability reaches it first. A component of the
    foreground without any seed is one instance: its score says how sure it is.

    Args:
        probability: (H, W) in [0, 1].
        rule: thresholds and areas.

    Returns:
        Instances by falling score, the mean probability inside; disjoint; none for an empty
        map. The image's name is ``tile``.

    Source: Meyer 1991, flooding from markers.
    """
    image_hw = (probability.shape[0], probability.shape[1])
    foreground = probability >= rule.foreground_threshold
    labels = _divide(probability, foreground, rule)
    masks, scores = [], []
    for number, window in enumerate(ndimage.find_objects(labels), start=1):
        if window is None:
            continue
        inside = labels[window] == number
        if np.count_nonzero(inside) < max(1, rule.min_area_px):
            continue
        masks.append(rle.place(inside, window[1].start, window[0].start, image_hw))
        scores.append(float(probability[window][inside].mean(dtype=np.float64)))
    order = np.argsort(-np.asarray(scores), kind="stable")
    return ImageInstances(
        image="tile",
        image_hw=image_hw,
        masks=tuple(masks[index] for index in order),
        scores=np.clip(np.asarray(scores, dtype=np.float64)[order], 0, 1),
    )


def _divide(
    probability: npt.NDArray[np.float32], foreground: npt.NDArray[np.bool_], rule: InstanceRule
) -> npt.NDArray[np.int32]:
    """Label image (H, W) of the instances, from 1."""
    seeds = _seeds(probability, foreground, rule)
    # Components without a seed seed themselves.
    components, n_components = ndimage.label(foreground, structure=_EIGHT)
    seeded = np.unique(components[seeds > 0])
    lonely = np.setdiff1d(np.arange(1, n_components + 1), seeded)
    new_numbers = np.zeros(n_components + 1, dtype=np.int32)
    new_numbers[lonely] = np.arange(1, len(lonely) + 1) + seeds.max(initial=0)
    seeds = np.where(seeds > 0, seeds, new_numbers[components])
    if not seeds.any():
        return seeds
    from skimage.segmentation import watershed

    labels: npt.NDArray[np.int32] = watershed(-probability, seeds, mask=foreground, connectivity=2)
    return labels.astype(np.int32)


def _seeds(
    probability: npt.NDArray[np.float32], foreground: npt.NDArray[np.bool_], rule: InstanceRule
) -> npt.NDArray[np.int32]:
    """Seeds (H, W), from 1; 0 elsewhere."""
    sure = foreground & (probability >= rule.seed_threshold)
    if rule.neck_depth_px > 0:
        labels, _ = watershed_parts(sure, 8, rule.neck_depth_px, "foreground map")
    else:
        labels = ndimage.label(sure, structure=_EIGHT)[0]
    areas = np.bincount(labels.ravel())
    is_kept = areas >= max(1, rule.seed_min_area_px)
    is_kept[0] = False
    numbers = np.where(is_kept, np.cumsum(is_kept), 0).astype(np.int32)
    return np.asarray(numbers[labels], dtype=np.int32)
