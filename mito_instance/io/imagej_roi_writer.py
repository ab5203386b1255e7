"""ImageJ ROI zips: every mask as an ROI that ImageJ fills with exactly the mask's pixels."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import roifile

from mito_instance.instances import ImageInstances
from mito_instance.io.files import atomic_path
from mito_instance.io.hyperstacks import hyperstack
from mito_instance.io.imagej_position import StackDimensions, is_ome
from mito_instance.io.imagej_roi import MAX_ENTRIES
from mito_instance.masks.contours import Outline, rle_outlines

logger = logging.getLogger(__name__)

# Beyond these, ImageJ's 16-bit fields wrap: such outlines are written as paths of floats.
_MAX_COORDINATE_PX = 32_767
_MAX_VERTICES = 65_535
_MOVE, _LINE, _CLOSE = 0.0, 1.0, 4.0

_MAX_ENTRY_NAME = 120
_MAX_ENTRY_BYTES = 200
_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|]')
_OF = b" of "
_COMPARED_BYTES = 1 << 16
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # equal input gives equal bytes


@dataclass(frozen=True, slots=True)
class RoiStyle:
    """How an ROI looks in ImageJ.

    Args:
        group: ROI group, 0 (none) to 255.
        stroke_rgb: colour of the outline, three numbers 0 to 255.
    """

    group: int
    stroke_rgb: tuple[int, int, int]


_MOST_OLD_GROUPS, _MOST_GROUPS = 255, 65535
_STROKES = (
    (255, 255, 0),  # mitochondria, and ROIs that a person gave no category
    (0, 114, 255),
    (230, 80, 0),
    (0, 200, 120),
    (240, 90, 190),
    (90, 220, 255),
    (160, 90, 255),
    (255, 170, 0),
)


def category_style(category_id: int) -> RoiStyle:
    """Group and colour of a category: group = category id - 1, so mitochondria have none."""
    group = category_id - 1 if 1 <= category_id <= _MOST_GROUPS + 1 else 0
    return RoiStyle(group, _STROKES[group % len(_STROKES)])


def write_roi_zip(
    path: Path,
    pages: Sequence[ImageInstances],
    *,
    is_stack: bool | None = None,
    styles: Mapping[int, RoiStyle] | None = None,
) -> int:
    """Write the instances of one image as ImageJ ROI zip, anew and atomically.

    An instance in one piece without a hole becomes a traced ROI, any other a composite one.
    Names are those that the instances carry, else ``NUMBER-SCORE`` (``0001-0.97``), or
    ``NUMBER`` without scores, with the slice in front in stacks; the number is the instance's
    place in its page, as in ``objects.csv``. Names that occur twice get a number behind. The
    comment of the zip is a mark by which `is_untouched` knows it, with hashes of the image's path
    and content.

    Args:
        path: the zip.
        pages: instances of the pages of one image file; the ROIs keep this order.
        is_stack: whether ROIs carry their slice (``frame`` + 1); by default, if there are
            several pages or any page but the first.
        styles: group and colour of categories by id, in place of `category_style`. A group
            that an instance carries is kept.

    Returns:
        Number of ROIs written; empty masks have no outline and are left out.

    Raises:
        ConfigError: if the file cannot be written.
    """
    if is_stack is None:
        is_stack = len(pages) > 1 or any(page.frame > 0 for page in pages)
    names = _UniqueNames()
    n_written = 0
    image = Path(pages[0].image) if pages else Path()
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        dimensions = _needed_dimensions(image) if is_stack else None
        for name, roi in _rois(pages, is_stack, styles or {}, dimensions):
            roi.name, entry = names.add(name)
            information = zipfile.ZipInfo(f"{entry}.roi", _ZIP_DATE)
            archive.writestr(information, roi.tobytes(), zipfile.ZIP_DEFLATED)
            n_written += 1
        archive.comment = _mark(archive.infolist()) + _OF + _place(image) + _content(image)
    if n_written > MAX_ENTRIES:
        logger.warning(
            "%s: holds %d ROIs; commands that read ROIs take %d of a zip: part the stack to "
            "measure or correct these",
            path,
            n_written,
            MAX_ENTRIES,
        )
    return n_written


def is_untouched(path: Path) -> bool:
    """Whether a zip is as `write_roi_zip` wrote it; what ImageJ saved, or is no zip, is not.

    Only the list of its entries is read: their names, checksums and sizes.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.comment.partition(_OF)[0] == _mark(archive.infolist())
    except Exception:  # whatever is wrong with it, it was not written here
        return False


def is_of_another_image(path: Path, image: Path) -> bool:
    """Whether `write_roi_zip` wrote a zip of an image of another place and another content.

    An image that was moved is the same, and so is one that was changed.

    Args:
        path: the zip; False for one that does not tell.
        image: the image whose ROIs it is thought to hold; False if it cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _, of, place = archive.comment.partition(_OF)
    except Exception:
        return False
    own = _place(image)
    if not of or place.startswith(own):
        return False
    known, content = place[len(own) :], _content(image)
    return bool(known and content) and known != content


def _place(image: Path) -> bytes:
    """Tells the places of images apart, and keeps them to itself."""
    path = os.path.realpath(image)
    return hashlib.sha256(path.encode("utf-8", "backslashreplace")).hexdigest()[:16].encode()


def _content(image: Path) -> bytes:
    """Tells images apart by their sizes, beginnings and ends; empty for one that is not there."""
    try:
        if not image.is_file():  # a pipe would wait for ever
            return b""
        with image.open("rb") as file:
            head = file.read(_COMPARED_BYTES)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _COMPARED_BYTES))
            tail = file.read(_COMPARED_BYTES)
    except (OSError, ValueError):
        return b""
    return hashlib.sha256(b"%d" % size + head + tail).hexdigest()[:16].encode()


def _mark(entries: Sequence[zipfile.ZipInfo]) -> bytes:
    """The comment of a zip of these entries."""
    listed = [(entry.filename, entry.CRC, entry.file_size) for entry in entries]
    digest = hashlib.sha256(repr(listed).encode("utf-8", "backslashreplace")).hexdigest()
    return f"mito-instance {digest}".encode()


def encode_roi(
    outlines: Sequence[Outline], name: str, position: int, style: RoiStyle
) -> roifile.ImagejRoi:
    """One ROI of outlines along pixel edges.

    Args:
        outlines: at least one.
        name: name of the ROI.
        position: slice of the stack, from 1; 0 for none.
        style: group and colour.
    """
    corners = np.concatenate([outline.corners_xy for outline in outlines])
    left, top = (int(value) for value in corners.min(axis=0))
    right, bottom = (int(value) for value in corners.max(axis=0))
    roi = roifile.ImagejRoi(
        version=228 if style.group <= _MOST_OLD_GROUPS else 229,  # which has 16 bits for it
        name=name,
        left=left,
        top=top,
        right=right,
        bottom=bottom,
        position=position,
        group=style.group,
        stroke_color=bytes((255, *style.stroke_rgb)),
    )
    is_small = max(right, bottom) <= _MAX_COORDINATE_PX and min(left, top) >= -_MAX_COORDINATE_PX
    if len(outlines) == 1 and len(corners) <= _MAX_VERTICES and is_small:
        roi.roitype = roifile.ROI_TYPE.TRACED
        roi.n_coordinates = len(corners)
        roi.integer_coordinates = (corners - np.array([left, top])).astype(np.int32)
        return roi
    roi.roitype = roifile.ROI_TYPE.RECT
    roi.multi_coordinates = np.concatenate([_path(outline) for outline in outlines])
    roi.shape_roi_size = len(roi.multi_coordinates)
    return roi


def _needed_dimensions(image: Path) -> StackDimensions | None:
    """Dimensions of a file whose ROIs need channel, slice and time; None where the page will do.

    In a hyperstack ImageJ takes the number of a page for that of a slice (z): it shows, selects
    and updates an ROI on another page than its own, or on none. It opens OME-TIFF as a plain stack,
    where the page is right; other readers count its pages otherwise if they are shuffled.
    """
    found = hyperstack(image) if image.suffix.lower() in (".tif", ".tiff") else None
    return found if found is not None and (found.is_shuffled or not is_ome(image)) else None


def _rois(
    pages: Sequence[ImageInstances],
    is_stack: bool,
    styles: Mapping[int, RoiStyle],
    dimensions: StackDimensions | None,
) -> Iterator[tuple[str, roifile.ImagejRoi]]:
    """Wanted name and ROI of each instance that has pixels."""
    for page in pages:
        position = page.frame + 1 if is_stack else 0
        for index, mask in enumerate(page.masks):
            found = rle_outlines(mask)
            if not found:
                continue
            category_id = page.category_ids[index]
            style = styles.get(category_id) or category_style(category_id)
            if page.groups and page.groups[index]:
                style = RoiStyle(min(page.groups[index], _MOST_GROUPS), style.stroke_rgb)
            name = _name(page, index, position)
            roi = encode_roi(found, name, position, style)
            if dimensions is not None:  # these win over the slice
                roi.c_position, roi.z_position, roi.t_position = dimensions.numbers(page.frame)
            yield name, roi


def _name(page: ImageInstances, index: int, position: int) -> str:
    """Name of an instance: its own, or slice, number and score."""
    if page.names and page.names[index]:
        # ImageJ counts UTF-16 units: characters that need two are replaced.
        return re.sub(
            r"[^\x20-\ud7ff\ue000-\uffff]", "\N{REPLACEMENT CHARACTER}", page.names[index]
        )
    parts = [f"{position:04d}"] if position else []
    parts.append(f"{index + 1:04d}")
    if page.scores is not None:
        parts.append(f"{page.scores[index]:.2f}")
    return "-".join(parts)


def _path(outline: Outline) -> npt.NDArray[np.float32]:
    """An outline as ImageJ writes paths: move, lines, close."""
    corners = outline.corners_xy
    steps = np.empty((len(corners), 3), dtype=np.float32)
    steps[:, 0] = _LINE
    steps[0, 0] = _MOVE
    steps[:, 1:] = corners
    return np.append(steps.ravel(), np.float32(_CLOSE))


class _UniqueNames:
    """Names of ROIs and their file names in one zip."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._last: dict[str, int] = {}  # number last tried, so that equal names stay fast

    def add(self, name: str) -> tuple[str, str]:
        """Name of an ROI and its file name in the zip.

        The file name is legal on every system. Both are unique, even where case is ignored.
        """
        short = _UNSAFE.sub("_", name)[:_MAX_ENTRY_NAME].encode(errors="replace")
        plain = short[:_MAX_ENTRY_BYTES].decode(errors="ignore").strip(" .") or "roi"
        suffix, number = "", self._last.get(plain.casefold(), 1)
        if number > 1:
            suffix = f"-{number}"
        while f"{plain}{suffix}".casefold() in self._taken:
            number += 1
            suffix = f"-{number}"
        self._last[plain.casefold()] = number
        self._taken.add(f"{plain}{suffix}".casefold())
        return f"{name}{suffix}", f"{plain}{suffix}"
