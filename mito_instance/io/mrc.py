"""Pages of an MRC file (MRC2014, IMOD, CCP4), read one at a time."""

from __future__ import annotations

import logging
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from mito_instance.calibration import PixelSize
from mito_instance.errors import ImageError
from mito_instance.io.grey import to_grey
from mito_instance.io.limits import check_size
from mito_instance.io.metadata import mrc_pixel_size

logger = logging.getLogger(__name__)

HEADER_BYTES = 1024
MRC_SUFFIXES = frozenset({".mrc", ".mrcs", ".rec", ".st", ".ali"})
_MAP_OFFSET = 208
_MAX_MODE = 101
_IMOD_STAMP, _STAMP_WORD, _FLAGS_WORD, _SIGNED_BYTES = 1146047817, 38, 39, 1


def is_mrc(head: bytes, path: Path) -> bool:
    """Whether a file is an MRC file.

    Args:
        head: its first 1024 bytes.
        path: the file. Files older than the year 2000 lack the mark ``MAP``; of those with a
            suffix of the format (`MRC_SUFFIXES`), the header must make sense.
    """
    if len(head) < HEADER_BYTES:
        return False
    if head[_MAP_OFFSET : _MAP_OFFSET + 3] == b"MAP":
        return True
    return path.suffix.lower() in MRC_SUFFIXES and _header(head) is not None


class MrcPages:
    """The sections of one MRC file, as pages; a context manager.

    The first row of a section is the lowest one of the picture, as the format defines it and
    IMOD and Fiji show it.

    Args:
        path: the file.

    Raises:
        ImageError: if the header is damaged, its pixels are of an unknown type, or the file is
            shorter than the header says.
    Source: Cheng et al. 2015, MRC2014; bytes are signed unless IMOD's stamp or the greatest
        value in the header says otherwise.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._n_bytes = path.stat().st_size
            with path.open("rb") as stream:
                head = stream.read(HEADER_BYTES)
        except OSError as error:
            raise ImageError(
                f"{path}: cannot be read ({error.strerror}); check the path"
            ) from error
        header = _header(head)
        if header is None:
            raise ImageError(f"{path}: the MRC header is damaged; copy or export it again")
        self._header = header
        self._dtype = self._pixel_type(head)
        self._width, self._height = int(header["nx"]), int(header["ny"])
        self._n_pages = int(header["nz"])
        self._offset = HEADER_BYTES + int(header["nsymbt"])
        self._check_length()

    def __enter__(self) -> MrcPages:
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
        """Grey levels (H, W) of a page in its own depth, the top row first.

        Raises:
            ImageError: if the page cannot be read.
        """
        count = self._width * self._height
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._offset + frame * count * self._dtype.itemsize)
                values = np.fromfile(stream, dtype=self._dtype, count=count)
        except (OSError, MemoryError) as error:
            reason = "not enough memory" if isinstance(error, MemoryError) else error.strerror
            raise ImageError(f"{self._path}: cannot be read ({reason}); check the file") from error
        if len(values) < count:
            raise ImageError(f"{self._path}: the MRC file is cut off; copy or export it again")
        return to_grey(values.reshape(self._height, self._width)[::-1], str(self._path))

    def sizes_hw(self) -> list[tuple[int, int]]:
        """Height and width of every page."""
        return [(self._height, self._width)] * self._n_pages

    def pixel_size(self, frame: int) -> PixelSize | None:
        """What the header says about the size of a pixel; None if it does not say."""
        cell, intervals = self._header["cella"], (self._header[name] for name in ("mx", "my", "mz"))
        along = dict(zip((1, 2, 3), zip(cell.tolist(), intervals, strict=True), strict=True))
        axes = (int(self._header["mapc"]), int(self._header["mapr"]))
        if sorted(axes) not in ([1, 2], [1, 3], [2, 3]):
            axes = (1, 2)
        edges = [
            length / int(count) if int(count) > 0 else 0.0
            for length, count in (along[axis] for axis in axes)
        ]
        return mrc_pixel_size((edges[0], edges[1]), str(self._path))

    def _pixel_type(self, head: bytes) -> np.dtype[Any]:
        """Type of the values in the file, with their byte order."""
        from mrcfile.utils import dtype_from_mode

        mode = int(self._header["mode"])
        try:
            dtype: np.dtype[Any] = np.dtype(dtype_from_mode(mode))
        except ValueError as error:
            raise ImageError(
                f"{self._path}: MRC mode {mode} cannot be read; save as 8 or 16 bit "
                "(IMOD: newstack -mode 1)"
            ) from error
        order = self._header.dtype["nx"].byteorder
        if dtype == np.int8 and _has_unsigned_bytes(self._header, head, order):
            dtype = np.dtype(np.uint8)
        found: np.dtype[Any] = dtype.newbyteorder(order)
        return found

    def _check_length(self) -> None:
        """The file must hold what its header announces, before memory is given."""
        where, itemsize = str(self._path), self._dtype.itemsize
        check_size(where, self._width, self._height, channels=itemsize, n_bytes=self._n_bytes)
        needed = self._offset + self._n_pages * self._width * self._height * itemsize
        if self._offset < HEADER_BYTES or needed > self._n_bytes:
            raise ImageError(
                f"{where}: the header announces {self._n_pages} pages of {self._width} x "
                f"{self._height} px, {needed} bytes, but the file has {self._n_bytes}; "
                "copy or export it again"
            )


def _header(head: bytes) -> Any:
    """The header in the byte order in which it makes sense; None if it does in neither.

    The machine stamp is believed first, because it is wrong in some files only.
    """
    from mrcfile.dtypes import HEADER_DTYPE
    from mrcfile.utils import byte_order_from_machine_stamp

    if len(head) < HEADER_BYTES:
        return None
    try:
        first = byte_order_from_machine_stamp(head[212:216])
    except ValueError:
        first = "<"
    for order in (first, "<" if first == ">" else ">"):
        header = np.frombuffer(head, HEADER_DTYPE.newbyteorder(order), count=1)[0]
        sizes = [int(header[name]) for name in ("nx", "ny", "nz")]
        if 0 <= int(header["mode"]) <= _MAX_MODE and min(sizes) > 0:
            return header
    return None


def _has_unsigned_bytes(header: Any, head: bytes, order: str) -> bool:
    """Whether bytes are unsigned: IMOD's stamp says so, or the greatest value is above 127."""
    words = np.frombuffer(head, np.dtype(f"{order}i4"))
    if int(words[_STAMP_WORD]) == _IMOD_STAMP:
        return not int(words[_FLAGS_WORD]) & _SIGNED_BYTES
    return float(header["dmin"]) >= 0 and float(header["dmax"]) > np.iinfo(np.int8).max
