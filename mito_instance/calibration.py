"""Pixel size: the only place where pixels become nanometres or micrometres."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mito_instance.errors import ConfigError

MIN_NM = 1e-3
MAX_NM = 1e6

FAR = 4.0
"""Pixel sizes beyond this factor of a model's are taken as they are told, but doubted."""


@dataclass(frozen=True, slots=True)
class PixelSize:
    """Edge length of one square pixel, and where the number came from.

    Args:
        nm: edge length in nanometres, in [0.001, 1,000,000].
        source: ``"user"``, ``"csv"``, ``"imagej"``, ``"ome"``, ``"fei"``, ``"zeiss"``,
            ``"fibics"``, ``"tiff-resolution"``, ``"mrc"``, ``"dm"``, ``"coco"``, ``"synthetic"`` or
            ``"report"``.

    Raises:
        ConfigError: if ``nm`` is not a finite number in that range.
    """

    nm: float
    source: str

    def __post_init__(self) -> None:
        """Refuse sizes that no electron microscope has."""
        if not (math.isfinite(self.nm) and MIN_NM <= self.nm <= MAX_NM):
            raise ConfigError(
                f"pixel size ({self.source}): must be between {MIN_NM} and {MAX_NM:.0f} nm, "
                f"got {self.nm!r}; give the edge length of one pixel in nanometres"
            )
        object.__setattr__(self, "nm", float(self.nm))  # numpy's are no JSON, and 5 is 5.0

    def length_um(self, length_px: float) -> float:
        """Length in µm of ``length_px`` pixels."""
        return length_px * self.nm / 1000.0

    def area_um2(self, area_px: float) -> float:
        """Area in µm² of ``area_px`` pixels."""
        return area_px * (self.nm / 1000.0) ** 2
