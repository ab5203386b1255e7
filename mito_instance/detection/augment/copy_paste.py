"""Copy-paste: instances of the training images put elsewhere, with the truth kept exact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from mito_instance.detection.augment.geometry import RandomOrientation

Mask = npt.NDArray[np.uint8]

RING_PX = 3
"""Width of the surroundings whose grey levels are compared before and after."""

MAX_SHIFT = 12.0
"""Of 255 grey levels. Images have the same range by then, so that a mitochondrion of another image
is about as dark as it should be; a cutting that took over the grey of its surroundings would not
be: a dark one turns pale on bright cytosol."""

MAX_HIDDEN = 0.5
ATTEMPTS = 8


@dataclass(frozen=True, slots=True)
class Crop:
    """A training crop: grey uint8 (h, w), its N masks of 0 and 1 (h, w) and their N classes."""

    image: npt.NDArray[np.uint8]
    masks: list[Mask]
    classes: list[int]


@dataclass(frozen=True, slots=True)
class Cutting:
    """An instance with some surroundings: grey uint8 (h, w), mask of 0 and 1 (h, w), class.

    The class is None for a look-alike: it is shown, but is no instance.
    """

    image: npt.NDArray[np.uint8]
    mask: Mask
    category: int | None


class CopyPaste:
    """Pastes cuttings into crops at random places.

    A place is refused where an instance beneath would fall into parts or lose more than half of
    itself, where more than half of the cutting would lie on others, and where it would not lie
    inside the crop as a whole. So a pasted instance is one instance, beside others rather than
    in them, and what it hides in part remains one.

    Args:
        rng: source of randomness.
        max_instances: how many are pasted into a crop at most; the number is uniform from 0.
        seam_px: half the width of the zone in which the two images blend.
        min_area_px: smaller rests of an instance are specks, and dropped.
        orientation: draws how a cutting is turned; None for as it is.
    Source: Ghiasi et al. 2021, Simple Copy-Paste.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        max_instances: int,
        seam_px: float,
        min_area_px: int,
        orientation: RandomOrientation | None,
    ) -> None:
        self.rng = rng
        self.max_instances = max_instances
        self.seam_px = seam_px
        self.min_area_px = min_area_px
        self.orientation = orientation

    @property
    def margin_px(self) -> int:
        """Surroundings that a cutting needs around its mask's box."""
        return int(np.ceil(self.seam_px)) + RING_PX

    def draw_count(self) -> int:
        """How many instances the next crop gets."""
        return int(self.rng.integers(self.max_instances + 1)) if self.max_instances else 0

    def __call__(self, crop: Crop, cutting: Cutting) -> Crop:
        """The crop with the cutting at a place that fits, or as it is where none was found."""
        if self.orientation is not None:
            turn = self.orientation.get_transform(cutting.image)
            cutting = Cutting(
                turn.apply_image(cutting.image),
                turn.apply_segmentation(cutting.mask),
                cutting.category,
            )
        rows = crop.image.shape[0] - cutting.image.shape[0]
        columns = crop.image.shape[1] - cutting.image.shape[1]
        if rows < 0 or columns < 0 or cutting.mask.sum() < max(1, self.min_area_px):
            return crop
        for _ in range(ATTEMPTS):
            top, left = int(self.rng.integers(rows + 1)), int(self.rng.integers(columns + 1))
            uncovered = _uncovered(crop, cutting, (top, left), self.min_area_px)
            if uncovered is not None:
                masks, classes = uncovered
                image, mask = blend(crop.image, cutting, (top, left), self.seam_px)
                if cutting.category is None:
                    return Crop(image, masks, classes)
                return Crop(image, [*masks, mask], [*classes, cutting.category])
        return crop


def blend(
    image: npt.NDArray[np.uint8], cutting: Cutting, top_left: tuple[int, int], seam_px: float
) -> tuple[npt.NDArray[np.uint8], Mask]:
    """Put a cutting's instance onto an image.

    Its grey levels are shifted a little towards those of its new place; the two images weigh the
    same along the outline.

    Args:
        image: (h, w); the cutting lies inside it.
        cutting: the instance.
        top_left: row and column of the cutting's first pixel.
        seam_px: half the width of the zone of transition; 0 for a hard edge.

    Returns:
        A new image and the mask (h, w) of the instance on it, exactly the cutting's.
    """
    height, width = cutting.mask.shape
    window = (
        slice(top_left[0], top_left[0] + height),
        slice(top_left[1], top_left[1] + width),
    )
    below = image[window].astype(np.float32)
    above = cutting.image.astype(np.float32)
    kernel = np.ones((2 * RING_PX + 1, 2 * RING_PX + 1), dtype=np.uint8)
    ring = (cv2.dilate(cutting.mask, kernel) > 0) & (cutting.mask == 0)
    if ring.any():
        above = above + np.clip(below[ring].mean() - above[ring].mean(), -MAX_SHIFT, MAX_SHIFT)
    share = _share(cutting.mask, seam_px)
    pasted = image.copy()
    mixed = np.clip(share * above + (1 - share) * below, 0, 255)
    pasted[window] = np.where(share > 0, np.rint(mixed), below).astype(np.uint8)
    mask = np.zeros(image.shape, dtype=np.uint8)
    mask[window] = cutting.mask
    return pasted, mask


def _share(mask: Mask, seam_px: float) -> npt.NDArray[np.float32]:
    """Weight of the pasted image: from 1 inside to 0 outside, a half on the outline."""
    if seam_px <= 0:
        return mask.astype(np.float32)
    inside = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    outside = cv2.distanceTransform(1 - mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # Distances count from pixel centre to pixel centre; the outline lies half a pixel before.
    distance = np.where(mask > 0, inside - 0.5, 0.5 - outside)
    return np.clip(0.5 + distance / (2 * seam_px), 0, 1).astype(np.float32)


def _uncovered(
    crop: Crop, cutting: Cutting, top_left: tuple[int, int], min_area_px: int
) -> tuple[list[Mask], list[int]] | None:
    """What remains visible of the crop's instances; None where the place does not fit."""
    height, width = cutting.mask.shape
    window = (
        slice(top_left[0], top_left[0] + height),
        slice(top_left[1], top_left[1] + width),
    )
    masks: list[Mask] = []
    classes: list[int] = []
    on_others_px = 0
    for mask, category in zip(crop.masks, crop.classes, strict=True):
        hidden_px = int(cv2.countNonZero(mask[window] & cutting.mask))
        rest = mask
        if hidden_px:
            on_others_px += hidden_px
            if hidden_px > MAX_HIDDEN * cv2.countNonZero(
                mask
            ) or on_others_px > MAX_HIDDEN * cv2.countNonZero(cutting.mask):
                return None
            rest = mask.copy()
            rest[window] &= 1 - cutting.mask
            rest, n_parts = _without_specks(rest, min_area_px)
            if n_parts > _without_specks(mask, min_area_px)[1]:
                return None
            if not n_parts:
                continue
        masks.append(rest)
        classes.append(category)
    return masks, classes


def _without_specks(mask: Mask, min_area_px: int) -> tuple[Mask, int]:
    """The mask without its parts smaller than ``min_area_px``, and the number of those left."""
    count, labels, table, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    kept: npt.NDArray[Any] = table[:, cv2.CC_STAT_AREA] >= max(1, min_area_px)
    kept[0] = False
    if int(kept.sum()) == count - 1:
        return mask, count - 1
    return kept[labels].astype(np.uint8), int(kept.sum())
