"""Pages of a Gatan DigitalMicrograph file (DM3, DM4), read one at a time."""

from __future__ import annotations

import logging
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from mito_instance.calibration import PixelSize
from mito_instance.errors import ImageError
from mito_instance.io.dm_tags import PIXELS, TagArray, TagGroup, TagReader
from mito_instance.io.grey import to_grey
from mito_instance.io.limits import check_size
from mito_instance.io.metadata import dm_pixel_size

logger = logging.getLogger(__name__)

_TYPES = {
    1: "i2", 2: "f4", 6: "u1", 7: "i4", 9: "i1", 10: "u2", 11: "u4", 12: "f8", 14: "?",
    39: "i8", 40: "u8",
}  # fmt: skip
_COLOUR = frozenset({8, 23})  # four bytes a pixel: blue, green, red, alpha
_BLUE_GREEN_RED = [2, 1, 0]


class DmPages:
    """The planes of the image in one DM3 or DM4 file, as pages; a context manager.

    The file's thumbnail is left out. Where there are several images, the first is taken.

    Args:
        path: the file.

    Raises:
        ImageError: if the file is damaged or cut off, or holds no image: a spectrum, complex
            numbers, or more than three dimensions.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._n_bytes = path.stat().st_size
            with path.open("rb") as stream:
                reader = TagReader(stream, self._n_bytes)
                root = reader.read()
            self._image = _main_image(root)
            self._set_layout(reader.order)
        except OSError as error:
            raise ImageError(
                f"{path}: cannot be read ({error.strerror}); check the path"
            ) from error
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
            raise ImageError(
                f"{path}: the DM file is damaged or holds no image ({error}); open it in "
                "DigitalMicrograph or Fiji and save it as TIFF"
            ) from error

    def __enter__(self) -> DmPages:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Nothing is held open."""

    def __len__(self) -> int:
        """Number of pages."""
        return self._n_pages

    def pixels(self, frame: int) -> npt.NDArray[Any]:
        """Grey levels (H, W) of a page in its own depth.

        Raises:
            ImageError: if the page cannot be read.
        """
        count = int(np.prod(self._shape))
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._offset + frame * count * self._dtype.itemsize)
                values = np.fromfile(stream, dtype=self._dtype, count=count)
        except (OSError, MemoryError) as error:
            reason = "not enough memory" if isinstance(error, MemoryError) else error.strerror
            raise ImageError(f"{self._path}: cannot be read ({reason}); check the file") from error
        if len(values) < count:
            raise ImageError(f"{self._path}: the DM file is cut off; copy or export it again")
        plane = values.reshape(self._shape)
        return to_grey(plane[..., _BLUE_GREEN_RED] if plane.ndim == 3 else plane, str(self._path))

    def sizes_hw(self) -> list[tuple[int, int]]:
        """Height and width of every page."""
        return [(self._shape[0], self._shape[1])] * self._n_pages

    def pixel_size(self, frame: int) -> PixelSize | None:
        """What the calibration says about the size of a pixel; None if it does not say."""
        try:
            axes = self._image["ImageData"]["Calibrations"]["Dimension"]
            x, y = (axes[number] for number in ("0", "1"))
            scales, units = (x["Scale"], y["Scale"]), (str(x["Units"]), str(y["Units"]))
        except (LookupError, TypeError):
            return None
        return dm_pixel_size(scales, units, str(self._path))

    def _set_layout(self, order: str) -> None:
        """Place, size and type of the pixels, once the file is known to hold them."""
        data = self._image["ImageData"]
        lengths = [int(length) for length in data["Dimensions"].values()]
        while len(lengths) > 2 and lengths[-1] == 1:
            lengths.pop()
        if len(lengths) not in (2, 3) or min(lengths) < 1:
            raise ValueError(f"dimensions {lengths}, not those of an image or a stack")
        width, height = lengths[:2]
        self._shape: tuple[int, ...] = (height, width)
        self._n_pages = lengths[2] if len(lengths) == 3 else 1
        kind, place = int(data["DataType"]), data[PIXELS]
        if kind in _COLOUR:
            self._dtype: np.dtype[Any] = np.dtype(np.uint8)
            self._shape += (4,)
        elif kind in _TYPES:
            self._dtype = np.dtype(order + _TYPES[kind])
        else:
            raise ValueError(f"pixels of type {kind}, neither grey nor colour")
        if not isinstance(place, TagArray):
            raise TypeError("no pixels")
        pixel_bytes = self._dtype.itemsize * (4 if kind in _COLOUR else 1)
        check_size(str(self._path), width, height, channels=pixel_bytes, n_bytes=self._n_bytes)
        needed = self._n_pages * width * height * pixel_bytes
        if place.n_bytes < needed:
            raise ValueError(f"{place.n_bytes} bytes of pixels, {needed} are announced")
        self._offset = place.offset


def _main_image(root: TagGroup) -> TagGroup:
    """The first image that is no thumbnail; the thumbnail if there is nothing else."""
    images = {int(number): image for number, image in root["ImageList"].items()}
    thumbnails = {
        int(entry.get("ImageIndex", -1))
        for entry in root.get("Thumbnails", {}).values()
        if isinstance(entry, dict)
    }
    chosen = [image for number, image in images.items() if number not in thumbnails]
    # Some writers leave the list of thumbnails out; thumbnails are in colour, micrographs grey.
    grey = [image for image in chosen if int(image["ImageData"]["DataType"]) not in _COLOUR]
    found: TagGroup = (grey or chosen or list(images.values()))[0]
    return found
