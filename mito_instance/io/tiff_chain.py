"""Which directories of a TIFF are pages of the micrograph."""

from __future__ import annotations

import logging
import os
import struct
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import tifffile

from mito_instance.io.files import is_settled

logger = logging.getLogger(__name__)

MAX_REMEMBERED = 64
"""Files whose pages are remembered, so that a stack can be read page by page."""

_lock = threading.Lock()
_remembered: OrderedDict[tuple[str, int, int], Sequence[int]] = OrderedDict()
_said: set[str] = set()


def full_pages(tif: tifffile.TiffFile, path: Path, stat: os.stat_result) -> Sequence[int]:
    """Positions of the directories that are no thumbnail and no transparency mask.

    All directories are read, which takes time in proportion to their number; for a file that is
    opened again unchanged, the answer is remembered.

    Args:
        tif: the open file.
        path: its path.
        stat: its size and times, from before it was opened.

    Raises:
        ValueError: if the chain of directories breaks off; anything tifffile raises.
    """
    key = (str(path.absolute()), stat.st_size, stat.st_mtime_ns)
    with _lock:
        if key in _remembered:
            _remembered.move_to_end(key)
            return _remembered[key]
    kept = _find(tif, path)
    if is_settled(stat.st_mtime_ns):
        with _lock:
            _remembered[key] = kept
            while len(_remembered) > MAX_REMEMBERED:
                _remembered.popitem(last=False)
    return kept


def _find(tif: tifffile.TiffFile, path: Path) -> Sequence[int]:
    """As `full_pages`, from the file."""
    _check_chain(tif)
    kept = []
    for index, page in enumerate(tif.pages):
        if not isinstance(page, tifffile.TiffPage):
            kept.append(index)
            continue
        kind = page.subfiletype
        # Some microscopes end their files with a directory that says nothing.
        if page.tags and not kind & 0b101:
            kept.append(index)
    n_skipped = len(tif.pages) - len(kept)
    if n_skipped == 0:
        return range(len(kept))
    with _lock:
        is_new = str(path) not in _said
        _said.add(str(path))
    if is_new:
        logger.info("%s: %d thumbnail, mask or empty pages skipped", path, n_skipped)
    return tuple(kept)


def _check_chain(tif: tifffile.TiffFile) -> None:
    """The last directory must say that it is the last; otherwise pages are missing.

    Source: TIFF 6.0, image file directory: count, entries, offset of the next or 0.
    """
    form = tif.tiff
    if len(tif.pages) == 0:
        raise ValueError("no page can be found")
    directory = tif.pages[len(tif.pages) - 1].offset
    tif.filehandle.seek(directory)
    (n_tags,) = struct.unpack(form.tagnoformat, tif.filehandle.read(form.tagnosize))
    tif.filehandle.seek(directory + form.tagnosize + n_tags * form.tagsize)
    (following,) = struct.unpack(form.offsetformat, tif.filehandle.read(form.offsetsize))
    if following != 0:
        raise ValueError(f"only {len(tif.pages)} pages can be found, more are announced")
