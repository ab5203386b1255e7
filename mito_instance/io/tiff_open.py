"""Opens TIFFs whose directories come to an end."""

from __future__ import annotations

import struct
from functools import lru_cache
from pathlib import Path

import tifffile

from mito_instance.io.files import is_settled

_FORMS = {
    b"II*\0": ("<", 4, "I", "H", 12),
    b"MM\0*": (">", 4, "I", "H", 12),
    b"II+\0": ("<", 8, "Q", "Q", 20),
    b"MM\0+": (">", 8, "Q", "Q", 20),
}
"""Of each beginning: byte order, place and form of offsets, form of counts, bytes of an entry."""


def open_tiff(path: Path) -> tifffile.TiffFile:
    """The file, once its chain of directories is known to end: tifffile follows some circles.

    Args:
        path: of anything that may be a TIFF.

    Raises:
        ValueError: if a directory leads back to one before it; anything that tifffile raises.
        OSError: if the file cannot be read.
    """
    stat = path.stat()
    # A stack is opened for each of its pages; a file that is being written may change unseen.
    check = _check_ends if is_settled(stat.st_mtime_ns) else _check_ends.__wrapped__
    check(path.absolute(), stat.st_size, stat.st_mtime_ns)
    return tifffile.TiffFile(path)


@lru_cache(maxsize=64)
def _check_ends(path: Path, n_bytes: int, changed_ns: int) -> None:
    """Refuse a chain of directories that is a circle; what breaks off is tifffile's to tell.

    Args:
        path: the file.
        n_bytes: its size, which with the time tells whether it is known already.
        changed_ns: its time of change.

    Source: TIFF 6.0, image file directory: count, entries, offset of the next or 0.
    """
    del n_bytes, changed_ns
    with path.open("rb") as stream:
        form = _FORMS.get(stream.read(4))
        if form is None:
            return
        order, place, offset_form, count_form, entry_bytes = form
        offset_bytes, count_bytes = struct.calcsize(offset_form), struct.calcsize(count_form)
        stream.seek(place)
        seen: set[int] = set()
        while len(data := stream.read(offset_bytes)) == offset_bytes:
            (offset,) = struct.unpack(order + offset_form, data)
            if offset == 0:
                return
            if offset in seen:
                raise ValueError("its directories lead back to one before")
            seen.add(offset)
            stream.seek(offset)
            if len(data := stream.read(count_bytes)) < count_bytes:
                return
            (n_entries,) = struct.unpack(order + count_form, data)
            following = offset + count_bytes + n_entries * entry_bytes
            if following >= 1 << 63:
                return
            stream.seek(following)
