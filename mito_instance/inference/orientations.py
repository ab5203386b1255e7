"""The ways to look at a tile: flips and turns, each undone exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from mito_instance.errors import ConfigError

FLIPS = 4
FLIPS_AND_TURNS = 8

Pixel = TypeVar("Pixel", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Orientation:
    """One way to look at a tile: rows and columns swapped, then reversed.

    Args:
        swap: rows become columns.
        rows: the order of the rows is reversed.
        columns: the order of the columns is reversed.
    """

    swap: bool = False
    rows: bool = False
    columns: bool = False

    def apply(self, array: npt.NDArray[Pixel]) -> npt.NDArray[Pixel]:
        """The array (..., H, W) as it looks in this orientation: (..., W, H) when swapped."""
        turned = np.swapaxes(array, -1, -2) if self.swap else array
        return np.ascontiguousarray(self._reversed(turned))

    def undo(
        self, part: npt.NDArray[Pixel], x: int, y: int, seen_hw: tuple[int, int]
    ) -> tuple[npt.NDArray[Pixel], int, int]:
        """A part of the tile, as seen in this orientation, where it lies in the tile itself.

        Args:
            part: (..., h, w), any part of what `apply` gave.
            x: column of its first pixel there.
            y: row of its first pixel there.
            seen_hw: height and width of what `apply` gave.

        Returns:
            The same pixels in the tile's own orientation, with the column and row of the first.
        """
        height, width = part.shape[-2:]
        if self.rows:
            y = seen_hw[0] - y - height
        if self.columns:
            x = seen_hw[1] - x - width
        own = self._reversed(part)
        return (np.swapaxes(own, -1, -2), y, x) if self.swap else (own, x, y)

    def _reversed(self, array: npt.NDArray[Pixel]) -> npt.NDArray[Pixel]:
        return array[..., :: -1 if self.rows else 1, :: -1 if self.columns else 1]


def orientations(count: int) -> tuple[Orientation, ...]:
    """The four flips of a picture, or all eight of its orientations; its own is the first.

    Raises:
        ConfigError: if the count is neither 4 nor 8.
    """
    if count not in (FLIPS, FLIPS_AND_TURNS):
        raise ConfigError(f"tta: must be {FLIPS} or {FLIPS_AND_TURNS} orientations, got {count}")
    return tuple(
        Orientation(swap, rows, columns)
        for swap in ((False,) if count == FLIPS else (False, True))
        for rows in (False, True)
        for columns in (False, True)
    )
