"""How masks become instances: the choices that a user has."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from mito_instance.annotations.mask_polarity import FOREGROUNDS, Foreground
from mito_instance.annotations.watershed import DEFAULT_DEPTH_PX
from mito_instance.calibration import PixelSize
from mito_instance.errors import ConfigError

InstanceMode = Literal["auto", "components", "components-3d", "watershed", "labels", "files"]
INSTANCE_MODES: tuple[InstanceMode, ...] = (
    "auto",
    "components",
    "components-3d",
    "watershed",
    "labels",
    "files",
)


@dataclass(frozen=True, slots=True)
class MaskOptions:
    """How masks become instances.

    Args:
        instances: ``components`` (connected foreground), ``components-3d`` (the same, linked
            from slice to slice), ``watershed`` (components, cut at narrow necks), ``labels``
            (one value an instance), ``files`` (one file an instance, in a folder for each
            image) or ``auto``: files, labels or components, by what a mask is.
        connectivity: 8 or 4; with 8, pixels that touch at a corner belong together.
        min_area_px: smaller instances are dropped, and counted.
        pixel_size: of all images, in place of what the files say.
        foreground: which side of a binary mask is the foreground.
        fill_pinholes_px: holes of up to so many pixels are filled; 0 fills none.
        watershed_depth_px: least depth of a neck that is cut.
        strict: refuse a mask that needs a repair.

    Raises:
        ConfigError: if a value is not usable.
    """

    instances: InstanceMode = "auto"
    connectivity: int = 8
    min_area_px: int = 1
    pixel_size: PixelSize | None = None
    foreground: Foreground = "auto"
    fill_pinholes_px: int = 0
    watershed_depth_px: float = DEFAULT_DEPTH_PX
    strict: bool = False

    def __post_init__(self) -> None:
        """Refuse values that would give wrong instances."""
        if self.instances not in INSTANCE_MODES:
            raise ConfigError(
                f"instances must be one of {', '.join(INSTANCE_MODES)}, got {self.instances!r}"
            )
        if self.foreground not in FOREGROUNDS:
            raise ConfigError(
                f"foreground must be one of {', '.join(FOREGROUNDS)}, got {self.foreground!r}"
            )
        if self.connectivity not in (4, 8):
            raise ConfigError(f"connectivity must be 4 or 8, got {self.connectivity}")
        if self.min_area_px < 1:
            raise ConfigError(f"min_area_px must be >= 1 px, got {self.min_area_px}")
        if self.fill_pinholes_px < 0:
            raise ConfigError(f"fill_pinholes_px must be >= 0 px, got {self.fill_pinholes_px}")
        if not (math.isfinite(self.watershed_depth_px) and self.watershed_depth_px > 0):
            raise ConfigError(f"watershed_depth_px must be > 0 px, got {self.watershed_depth_px}")
