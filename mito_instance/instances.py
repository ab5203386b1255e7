"""ImageInstances: the instances of one image, the one currency between all stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mito_instance.calibration import PixelSize
from mito_instance.errors import AnnotationError


@dataclass(frozen=True, slots=True)
class ImageInstances:
    """Instances of one image, or of one page of a stack.

    Args:
        image: identity of the image, as the user gave it (a path) or as a COCO ``file_name``.
        image_hw: height and width in pixels.
        masks: N compressed COCO RLEs of size ``image_hw``.
        scores: N scores in [0, 1], or None for annotations made by a person.
        frame: 0-based page of a stack.
        pixel_size: None when unknown; never guessed.
        category_ids: N category ids; by default all 1 (mitochondrion).
        names: N names that a person gave, ``""`` for none; or empty when no instance has one.
        groups: N group numbers of ImageJ, 0 for none; or empty when no instance has one.
        track_ids: N numbers of the 3D object that an instance is a section of; or empty.
        category_names: names of categories by id; category 1 is a mitochondrion by default.
        crowds: regions in which nobody outlined single instances (COCO's ``iscrowd`` 1), as RLEs;
            evaluation alone looks at them.

    Raises:
        AnnotationError: if lengths, sizes or score range do not agree.
    """

    image: str
    image_hw: tuple[int, int]
    masks: tuple[dict[str, Any], ...] = ()
    scores: npt.NDArray[np.float64] | None = None
    frame: int = 0
    pixel_size: PixelSize | None = None
    category_ids: tuple[int, ...] = field(default=())
    names: tuple[str, ...] = ()
    groups: tuple[int, ...] = ()
    track_ids: tuple[int, ...] = ()
    category_names: Mapping[int, str] = field(default_factory=dict)
    crowds: tuple[dict[str, Any], ...] = ()

    def __post_init__(self) -> None:
        """Check that every part speaks of the same N instances of the same image."""
        if min(self.image_hw) < 1:
            raise AnnotationError(f"{self.image}: image size must be >= 1 px, got {self.image_hw}")
        for number, rle in enumerate(self.masks):
            if tuple(rle["size"]) != self.image_hw:
                raise AnnotationError(
                    f"{self.image}: mask {number} is {tuple(rle['size'])} (height, width) "
                    f"but the image is {self.image_hw}"
                )
        if self.scores is not None:
            if self.scores.shape != (len(self.masks),):
                raise AnnotationError(
                    f"{self.image}: {len(self.masks)} masks need {len(self.masks)} scores, "
                    f"got shape {self.scores.shape}"
                )
            if len(self.scores) and not (self.scores.min() >= 0 and self.scores.max() <= 1):
                raise AnnotationError(f"{self.image}: scores must lie in [0, 1]")
        if not self.category_ids:
            object.__setattr__(self, "category_ids", (1,) * len(self.masks))
        elif len(self.category_ids) != len(self.masks):
            raise AnnotationError(
                f"{self.image}: {len(self.masks)} masks but {len(self.category_ids)} category ids"
            )
        for what, values in (
            ("names", self.names),
            ("groups", self.groups),
            ("track ids", self.track_ids),
        ):
            if values and len(values) != len(self.masks):
                raise AnnotationError(
                    f"{self.image}: {len(self.masks)} masks but {len(values)} {what}"
                )

    def __len__(self) -> int:
        """Number of instances."""
        return len(self.masks)

    def select(self, indices: Sequence[int] | npt.NDArray[Any]) -> ImageInstances:
        """A new object with the chosen instances, in the given order.

        Args:
            indices: positions, or a bool array of length N.
        """
        chosen = np.asarray(indices)
        if chosen.dtype == bool:
            chosen = np.flatnonzero(chosen)
        chosen = chosen.astype(int)
        return replace(
            self,
            masks=tuple(self.masks[i] for i in chosen),
            scores=None if self.scores is None else self.scores[chosen],
            category_ids=tuple(self.category_ids[i] for i in chosen),
            names=tuple(self.names[i] for i in chosen) if self.names else (),
            groups=tuple(self.groups[i] for i in chosen) if self.groups else (),
            track_ids=tuple(self.track_ids[i] for i in chosen) if self.track_ids else (),
        )
