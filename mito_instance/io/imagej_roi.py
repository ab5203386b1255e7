"""ImageJ ROI files: ``.roi``, zips of them and overlays inside TIFFs, read as outlines."""

from __future__ import annotations

import io
import logging
import struct
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import roifile

from mito_instance.errors import AnnotationError
from mito_instance.io.imagej_outline import roi_outline
from mito_instance.io.imagej_position import StackPosition
from mito_instance.io.tiff_open import open_tiff
from mito_instance.io.zip_damage import ZIP_DAMAGE
from mito_instance.masks.polygons import Ring

MAX_ROI_BYTES = 16 * 1024**2
MAX_TOTAL_BYTES = 512 * 1024**2
MAX_ENTRIES = 200_000
MAX_DEPTH = 16  # zips in zips
_LISTED = b"PK\x01\x02"  # what each entry begins with in the list of a zip
NO_ROI_ENTRY = "not an .roi entry"
"""Reason of a `SkippedRoi` that is some other file in a zip."""

# What decoders raise on bytes that are no ROI; none of it may reach the user as a traceback.
_DAMAGE = (
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    RuntimeError,
    struct.error,
)
_ZIP_DAMAGE: tuple[type[Exception], ...] = (*ZIP_DAMAGE, *_DAMAGE)

# What roifile warns of is said better in the record of the ROI.
logging.getLogger("roifile").setLevel(logging.CRITICAL)

_TYPES = roifile.ROI_TYPE
_NO_AREA = {
    _TYPES.LINE: "line",
    _TYPES.FREELINE: "freehand line",
    _TYPES.POLYLINE: "segmented line",
    _TYPES.ANGLE: "angle",
    _TYPES.POINT: "point",
    _TYPES.NOROI: "empty selection",
}
_NO_AREA_SUBTYPES = {
    roifile.ROI_SUBTYPE.TEXT: "text",
    roifile.ROI_SUBTYPE.ARROW: "arrow",
    roifile.ROI_SUBTYPE.IMAGE: "image",
}


@dataclass(frozen=True, slots=True, eq=False)
class ImageJRoi:
    """One area selection.

    Args:
        name: the ROI's name, without control characters; names may repeat.
        kind: as `roi_outline` gives it.
        rings: closed outlines, float64 (N, 2) x, y in pixel corners; even-odd where they
            overlap.
        position: page of the stack, as the file gives it.
        source: file, and entry inside it, for messages.
        group: number of the ROI group; 0 for none.
        stroke_rgba: colour of the outline, each 0 to 255; None for ImageJ's default.
    """

    name: str
    kind: str
    rings: tuple[Ring, ...]
    position: StackPosition
    source: str
    group: int = 0
    stroke_rgba: tuple[int, int, int, int] | None = None


@dataclass(frozen=True, slots=True)
class SkippedRoi:
    """One entry that gives no instance.

    Args:
        name: the ROI's name, without control characters.
        source: file, and entry inside it.
        reason: why there is no instance, and the remedy where there is one.
        is_damaged: True when the entry should have been an ROI but cannot be read or
            converted; False for lines, points and the like, which are never instances.
    """

    name: str
    source: str
    reason: str
    is_damaged: bool


NO_AREA = "selection has no area"
"""How the reason ends of lines (``line`` before it), points and texts."""

_SCALE_BAR = "|SB|"
"""Name of all that Analyze › Tools › Scale Bar draws. Source: ImageJ, ``ScaleBar``."""


MAX_VERTICES = 20_000_000
"""Of all curves of a file: a few bytes stand for an ellipse of millions of corners."""

_CURVED = frozenset({"oval", "ellipse", "rectangle", "spline", "composite"})
"""Kinds whose corners are not all in the file."""


def read_rois(path: Path) -> Iterator[ImageJRoi | SkippedRoi]:
    """Every ROI of a file, in the file's order; the content decides, not the suffix.

    Zips may hold folders of any depth and zips; nothing is extracted to disk. Damaged entries are
    yielded as `SkippedRoi`, so that the others are still read.

    Args:
        path: a ``.roi``, a zip of them, or a TIFF with an ImageJ overlay.

    Raises:
        AnnotationError: if the file cannot be read, is none of these, or its curves have more than
            `MAX_VERTICES` corners.
    """
    yield from read_roi_files([path])


def read_roi_files(paths: Iterable[Path]) -> Iterator[ImageJRoi | SkippedRoi]:
    """Every ROI of files that are held together, as `read_rois` of each.

    Raises:
        AnnotationError: as `read_rois`; the limit of corners is that of all files.
    """
    n_vertices = 0
    for path in paths:
        for roi in _rois_of(path):
            n_vertices += n_in_curves(roi)
            check_n_in_curves(n_vertices, path)
            yield roi


def check_n_in_curves(n_vertices: int, path: Path) -> None:
    """Refuse more than `MAX_VERTICES` corners.

    Raises:
        AnnotationError: names the file.
    """
    if n_vertices > MAX_VERTICES:
        raise AnnotationError(
            f"{path}: curves must have {MAX_VERTICES} corners at most; split the ROI set"
        )


def n_in_curves(roi: ImageJRoi | SkippedRoi) -> int:
    """Corners of an ROI whose file does not hold them all; 0 for others."""
    if not isinstance(roi, ImageJRoi) or roi.kind not in _CURVED:
        return 0
    return sum(map(len, roi.rings))


def _rois_of(path: Path) -> Iterator[ImageJRoi | SkippedRoi]:
    """The ROIs of a file, however many corners they have."""
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        reason = error.strerror or str(error)
        raise AnnotationError(f"{path}: cannot read ({reason}); check the path") from error
    if start == b"Iout":
        yield _single(path)
    elif start[:2] == b"PK":
        yield from _zip_rois(path)
    elif start in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        yield from _overlay_rois(path)
    else:
        raise AnnotationError(
            f"{path}: not an ImageJ ROI, a zip of ROIs or a TIFF (starts with {start!r}); "
            "save the ROIs from Fiji's ROI Manager (More > Save)"
        )


def has_overlay(path: Path, *, or_selection: bool = False) -> bool:
    """Whether a file is a TIFF in which ImageJ saved an overlay.

    Args:
        path: the file.
        or_selection: whether a selection counts too. ImageJ saves the one that is left of a zoom or
            a crop with any image.
    """
    try:
        items = _overlay_items(path, or_selection=or_selection)
        return any(not _is_scale_bar(item) for item in items)
    except (OSError, *_DAMAGE):
        return False


def decode_roi(data: bytes, name: str, source: str) -> ImageJRoi | SkippedRoi:
    """One ROI from its bytes.

    Args:
        data: content of a ``.roi`` file.
        name: used where the ROI carries no name.
        source: file, and entry inside it, for messages.
    """
    try:
        roi = roifile.ImagejRoi.frombytes(data)
        name = _printable(roi.name) or name
        czt = (roi.c_position, roi.z_position, roi.t_position)
        position = StackPosition(*(max(int(value), 0) for value in (roi.position, *czt)))
        if not position.is_set:
            position = StackPosition.from_name(name)
        kind = _NO_AREA_SUBTYPES.get(roi.subtype) or _NO_AREA.get(roi.roitype)
        if name == _SCALE_BAR:
            return SkippedRoi(name, source, "scale bar of ImageJ, no outline", is_damaged=False)
        if kind is not None:
            return SkippedRoi(name, source, f"{kind} {NO_AREA}", is_damaged=False)
        with np.errstate(all="ignore"):  # a NaN is refused when the outline is filled
            kind, rings = roi_outline(roi, data)
    except (*_DAMAGE, MemoryError) as error:
        reason = f"damaged ROI ({_printable(str(error))[:120]}); save it anew from Fiji"
        return SkippedRoi(name, source, reason, is_damaged=True)
    return ImageJRoi(name, kind, rings, position, source, int(roi.group), _stroke(roi))


def _stroke(roi: roifile.ImagejRoi) -> tuple[int, int, int, int] | None:
    """Colour of the outline; files hold alpha first, and 0 for none."""
    alpha, red, green, blue = roi.stroke_color
    return (red, green, blue, alpha) if any(roi.stroke_color) else None


def _single(path: Path) -> ImageJRoi | SkippedRoi:
    """The ROI of a ``.roi`` file."""
    with path.open("rb") as file:
        data = file.read(MAX_ROI_BYTES + 1)
    name, source = _printable(path.stem), _printable(str(path))
    if len(data) > MAX_ROI_BYTES:
        return _too_large(name, source)
    return decode_roi(data, name, source)


@dataclass(slots=True)
class _Unpacked:
    """How much of a zip, and of the zips in it, has been read."""

    n_entries: int = 0
    n_bytes: int = 0

    def add(self, path: Path, n_entries: int, n_bytes: int) -> None:
        """Count; limits hold for what is unpacked, whatever the zip declares."""
        self.n_entries += n_entries
        self.n_bytes += n_bytes
        if self.n_entries > MAX_ENTRIES:
            raise AnnotationError(
                f"{path}: a zip may hold {MAX_ENTRIES} ROIs, got {self.n_entries}; split it"
            )
        if self.n_bytes > MAX_TOTAL_BYTES:
            raise AnnotationError(
                f"{path}: unpacks to more than {MAX_TOTAL_BYTES} bytes; split the ROI set"
            )


def _zip_rois(path: Path) -> Iterator[ImageJRoi | SkippedRoi]:
    """The ROIs of a zip."""
    try:
        archive = zipfile.ZipFile(path)
    except _ZIP_DAMAGE as error:
        raise AnnotationError(
            f"{path}: damaged zip ({_printable(str(error))[:120]}); save the ROIs anew from Fiji"
        ) from error
    with archive:
        yield from _archive_rois(archive, path, "", _Unpacked(), depth=0)


def _archive_rois(
    archive: zipfile.ZipFile, path: Path, inside: str, unpacked: _Unpacked, depth: int
) -> Iterator[ImageJRoi | SkippedRoi]:
    """The ROIs of an open zip; ``inside`` is its place in the file ``path``."""
    # Not entry.is_dir(): it fails on an empty name.
    entries = [entry for entry in archive.infolist() if not entry.filename.endswith("/")]
    if depth == 0:  # those of inner zips are counted before they are listed
        unpacked.add(path, len(entries), 0)
    for entry in entries:
        name, source = _entry_names(path, inside + entry.filename)
        lower = entry.filename.lower()
        is_zip = lower.endswith(".zip")
        if is_zip and depth >= MAX_DEPTH:
            reason = f"zips may lie {MAX_DEPTH} deep in each other, this one lies deeper; unpack it"
            yield SkippedRoi(name, source, reason, is_damaged=True)
            continue
        is_hidden = PurePosixPath(entry.filename).name.startswith("._")
        is_left_behind = is_hidden or "__MACOSX" in entry.filename
        if not (lower.endswith(".roi") or is_zip) or is_left_behind:
            yield SkippedRoi(name, source, NO_ROI_ENTRY, is_damaged=False)
            continue
        limit = MAX_TOTAL_BYTES - unpacked.n_bytes if is_zip else MAX_ROI_BYTES
        limit = min(limit, entry.file_size)  # beyond what it states, it is damaged
        n_read = limit if entry.compress_type == zipfile.ZIP_DEFLATED else 0  # even if it fails
        try:
            data = _content_of(archive, entry, limit)
            n_read = 0
            unpacked.add(path, data.count(_LISTED) if is_zip else 0, len(data))
            inner = zipfile.ZipFile(io.BytesIO(data)) if is_zip and len(data) <= limit else None
        except _ZIP_DAMAGE as error:
            unpacked.add(path, 0, n_read)
            reason = f"damaged zip entry ({_printable(str(error))[:120]}); save it anew"
            yield SkippedRoi(name, source, reason, is_damaged=True)
            continue
        if inner is not None:
            yield from _archive_rois(
                inner, path, f"{inside}{entry.filename}: ", unpacked, depth + 1
            )
        elif len(data) > MAX_ROI_BYTES:
            yield _too_large(name, source)
        else:
            yield decode_roi(data, name, source)


def _content_of(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limit: int) -> bytes:
    """Up to ``limit`` + 1 bytes of an entry.

    Raises:
        ValueError: for compressions that unpack without a limit; ImageJ writes none of these.
    """
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"compression {entry.compress_type} is not read")
    with archive.open(entry) as file:
        return file.read(limit + 1)


def _overlay_rois(path: Path) -> Iterator[ImageJRoi | SkippedRoi]:
    """The overlay that ImageJ saved in a TIFF, or its single active selection."""
    try:
        items = _overlay_items(path)
    except (OSError, *_DAMAGE) as error:
        raise AnnotationError(
            f"{path}: damaged TIFF ({_printable(str(error))[:120]}); save it anew from Fiji"
        ) from error
    if not items:
        raise AnnotationError(
            f"{path}: TIFF holds no ImageJ overlay; give the ROI set, or save it as overlay"
        )
    for number, data in enumerate(items, start=1):
        name, source = f"overlay {number}", _printable(f"{path}: overlay {number}")
        if not isinstance(data, bytes) or len(data) > MAX_ROI_BYTES:
            yield _too_large(name, source)
            continue
        yield decode_roi(data, name, source)


def _overlay_items(path: Path, *, or_selection: bool = True) -> list[Any]:
    """The ROIs in ImageJ's private TIFF tag, as bytes; none in other TIFFs.

    Args:
        path: the TIFF.
        or_selection: whether a selection stands for an overlay that the file lacks.
    """
    with open_tiff(path) as tiff:
        metadata = tiff.imagej_metadata or {}
    overlay = metadata.get("Overlays", metadata.get("ROI", []) if or_selection else [])
    return [overlay] if isinstance(overlay, bytes) else list(overlay)


def _is_scale_bar(item: Any) -> bool:
    """Whether an overlay's element is a part of ImageJ's scale bar, by its name."""
    is_roi = isinstance(item, bytes) and item[:4] == b"Iout"
    return is_roi and _SCALE_BAR.encode("utf-16-be") in item


def _entry_names(path: Path, entry: str) -> tuple[str, str]:
    """Name of the ROI and of its place, from a path inside a zip that is never opened as one."""
    return _printable(PurePosixPath(entry).stem), _printable(f"{path}: {entry}")


def _too_large(name: str, source: str) -> SkippedRoi:
    """The record of an entry beyond the size limit."""
    reason = f"ROI must be <= {MAX_ROI_BYTES} bytes; this is no ROI of ImageJ"
    return SkippedRoi(name, source, reason, is_damaged=True)


def _printable(text: str) -> str:
    """The text in one line, without characters that could steer a terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
