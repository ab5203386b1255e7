"""What the network and the measurement found on one page, and its form on disk."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mito_instance.calibration import PixelSize
from mito_instance.errors import AnnotationError
from mito_instance.instances import ImageInstances
from mito_instance.masks import rle as rle_masks
from mito_instance.masks.rle import RLE
from mito_instance.measure.morphology import ObjectShape

_SHAPE_FIELDS: dict[str, Callable[[Any], Any]] = {
    name: type(value) for name, value in dataclasses.asdict(ObjectShape()).items()
}


@dataclass(frozen=True, slots=True)
class PageResult:
    """A page that is done: all that any table needs, without its pixels.

    Args:
        n_frames: pages of the file.
        found: the instances, with the pixel size that the file states.
        shapes: one for each instance.
        overlay: fingerprint of the picture drawn for this page; empty if none was.
        zoom: factor by which the page was resized for the model.
    """

    n_frames: int
    found: ImageInstances
    shapes: tuple[ObjectShape, ...]
    overlay: str = ""
    zoom: float = 1.0

    def to_json(self) -> dict[str, Any]:
        """JSON values from which `from_json` makes an equal result; floats keep all digits."""
        found, size = self.found, self.found.pixel_size
        return {
            "n_frames": self.n_frames,
            "image_hw": [int(length) for length in found.image_hw],
            "pixel_size": None if size is None else [size.nm, size.source],
            "masks": [_ascii(mask["counts"]) for mask in found.masks],
            "scores": None if found.scores is None else [float(score) for score in found.scores],
            "category_ids": [int(number) for number in found.category_ids],
            "category_names": list(found.category_names.items()),
            "shapes": [
                [kind(getattr(shape, name)) for name, kind in _SHAPE_FIELDS.items()]
                for shape in self.shapes
            ],
            "overlay": self.overlay,
            "zoom": self.zoom,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any], path: Path, frame: int) -> PageResult:
        """The result that `to_json` described.

        Args:
            values: JSON values, from a file that may be damaged.
            path: the image, as the user names it now.
            frame: 0-based page.

        Raises:
            AnnotationError: if the values are not those of a result.
        """
        try:
            height, width = (int(length) for length in values["image_hw"])
            size, scores = values["pixel_size"], values["scores"]
            found = ImageInstances(
                image=str(path),
                image_hw=(height, width),
                masks=tuple(
                    _checked({"size": [height, width], "counts": str(counts)}, str(path))
                    for counts in values["masks"]
                ),
                scores=None if scores is None else np.array(scores, dtype=np.float64),
                frame=frame,
                pixel_size=None if size is None else PixelSize(float(size[0]), str(size[1])),
                category_ids=tuple(int(number) for number in values["category_ids"]),
                category_names={
                    int(key): str(name) for key, name in values.get("category_names", ())
                },
            )
            shapes = tuple(
                ObjectShape(
                    **{
                        name: kind(value)
                        for (name, kind), value in zip(_SHAPE_FIELDS.items(), row, strict=True)
                    }
                )
                for row in values["shapes"]
            )
            if len(shapes) != len(found):
                raise ValueError(f"{len(found)} masks but {len(shapes)} shapes")
            overlay, zoom = str(values["overlay"]), float(values["zoom"])
            return cls(int(values["n_frames"]), found, shapes, overlay, zoom)
        except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
            raise AnnotationError(f"{path}: no stored result ({error})") from error


def _checked(mask: RLE, where: str) -> RLE:
    """The mask as it was written, once it is known to be one."""
    height, width = mask["size"]
    rle_masks.check(mask, (height, width), where)
    return mask


def _ascii(counts: str | bytes) -> str:
    return counts.decode() if isinstance(counts, bytes) else counts
