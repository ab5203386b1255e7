"""COCO run-length masks: encode, decode, place and measure without full-image arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from mito_instance.errors import AnnotationError

RLE = dict[str, Any]
"""A compressed COCO RLE: ``{"size": [height, width], "counts": bytes or ASCII str}``."""

BoolMask = npt.NDArray[np.bool_]

_MERGED_AT_ONCE = 16


def encode(mask: npt.NDArray[Any]) -> RLE:
    """Compressed RLE of a mask.

    Args:
        mask: bool or 0/non-zero array (H, W).

    Returns:
        RLE whose ``counts`` is an ASCII string, ready for JSON. An empty mask gives area 0.
    """
    rle: RLE = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(mask.shape[0]), int(mask.shape[1])], "counts": rle["counts"].decode()}


def decode(rle: RLE) -> BoolMask:
    """Bool mask (H, W) of an RLE."""
    height, width = rle["size"]
    runs = run_lengths(rle)
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    mask: BoolMask = flat.reshape(width, height).T
    return mask


def area_px(rle: RLE) -> int:
    """Number of pixels in the mask."""
    return int(coco_mask.area(_as_bytes(rle)))


def box_xywh(rle: RLE) -> tuple[int, int, int, int]:
    """Tight box (x, y, width, height) in pixels; all 0 for an empty mask."""
    if area_px(rle) == 0:
        return (0, 0, 0, 0)
    x, y, width, height = coco_mask.toBbox(_as_bytes(rle))
    return (int(x), int(y), int(width), int(height))


def run_lengths(rle: RLE) -> npt.NDArray[np.int64]:
    """Uncompressed run lengths, column-major, background first.

    Source: the compressed string of pycocotools (``rleFrString`` in maskApi.c): 5 bits a
    character, little end first, a continuation bit, and differences to the run two before.
    """
    counts = rle["counts"]
    text = counts.encode() if isinstance(counts, str) else counts
    chunks = np.frombuffer(text, dtype=np.uint8).astype(np.int64) - 48
    if chunks.size == 0:
        return np.zeros(0, dtype=np.int64)
    last = np.flatnonzero((chunks & 0x20) == 0)
    first = np.concatenate([[0], last[:-1] + 1])
    n_chunks = last - first + 1
    shifts = 5 * (np.arange(last[-1] + 1) - np.repeat(first, n_chunks))
    runs: npt.NDArray[np.int64] = np.add.reduceat((chunks[: last[-1] + 1] & 0x1F) << shifts, first)
    negative = (chunks[last] & 0x10) != 0
    runs[negative] -= np.left_shift(1, 5 * n_chunks[negative])
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs


def from_run_lengths(runs: npt.NDArray[np.int64], image_hw: tuple[int, int]) -> RLE:
    """Compressed RLE of column-major run lengths (background first)."""
    height, width = image_hw
    rle: RLE = coco_mask.frPyObjects(
        {"size": [height, width], "counts": [int(run) for run in runs]}, height, width
    )
    return {"size": [height, width], "counts": rle["counts"].decode()}


def crop(rle: RLE, box: tuple[int, int, int, int]) -> BoolMask:
    """Pixels of the mask inside a box, decoded without the rest of the image.

    Args:
        rle: mask of an image (H, W).
        box: (x, y, width, height) in pixels, inside the image.

    Returns:
        bool array (height, width).
    """
    x, y, width, height = box
    image_height = int(rle["size"][0])
    edges = np.cumsum(run_lengths(rle))
    starts, stops = edges[0::2][: len(edges) // 2], edges[1::2]
    first = int(np.searchsorted(stops, x * image_height, side="right"))
    last = int(np.searchsorted(starts, (x + width) * image_height, side="left"))
    starts, stops = starts[first:last], stops[first:last]
    # One piece for each column that a run passes.
    first_column = starts // image_height
    n_columns = (stops - 1) // image_height - first_column + 1
    run = np.repeat(np.arange(len(starts)), n_columns)
    earlier = np.cumsum(n_columns) - n_columns
    column = first_column[run] + np.arange(len(run)) - earlier[run]
    top = np.clip(starts[run] - column * image_height - y, 0, height)
    bottom = np.clip(np.minimum(stops[run] - column * image_height, image_height) - y, 0, height)
    inside = (column >= x) & (column < x + width) & (top < bottom)
    # Columns of the box one after the other: no two pieces begin, nor end, at one place.
    places = (column[inside] - x) * height
    steps = np.zeros(width * height + 1, dtype=np.int8)
    steps[places + top[inside]] = 1
    steps[places + bottom[inside]] -= 1
    filled: BoolMask = np.cumsum(steps[:-1], dtype=np.int8).view(np.bool_).reshape(width, height)
    return filled.T


def place(mask: npt.NDArray[Any], x: int, y: int, image_hw: tuple[int, int]) -> RLE:
    """RLE, in an image of ``image_hw``, of a mask whose top-left pixel lies at (x, y).

    Works on run lengths: memory is that of ``mask``, not of the image. Pixels outside the
    image are cut off.

    Args:
        mask: bool array (h, w).
        x: column of the mask's first pixel; may be negative.
        y: row of the mask's first pixel; may be negative.
        image_hw: height and width of the image in pixels.
    """
    height, width = image_hw
    top, left = max(0, -y), max(0, -x)
    inside = np.asarray(mask, dtype=bool)[top : max(top, height - y), left : max(left, width - x)]
    if not inside.any():
        return from_run_lengths(np.array([height * width], dtype=np.int64), image_hw)
    x, y = max(x, 0), max(y, 0)
    padded = np.zeros((inside.shape[1], inside.shape[0] + 2), dtype=bool)
    padded[:, 1:-1] = inside.T
    # In a column, mask and background take turns: every second change begins a run.
    changes = np.flatnonzero(padded[:, 1:] != padded[:, :-1])
    columns, rows = np.divmod(changes, padded.shape[1] - 1)
    edges = ((columns + x) * height + y + rows).astype(np.int64).reshape(-1, 2)
    # A run that reaches the last row continues in the next column's first row.
    joined = np.flatnonzero(edges[1:, 0] == edges[:-1, 1])
    flat = np.delete(edges.ravel(), np.concatenate([2 * joined + 1, 2 * joined + 2]))
    boundaries = np.concatenate([[0], flat, [height * width]])
    runs = np.diff(boundaries)
    return from_run_lengths(runs if runs[-1] > 0 else runs[:-1], image_hw)


def iou_matrix(masks_true: list[RLE], masks_pred: list[RLE]) -> npt.NDArray[np.float64]:
    """IoU of every true mask with every predicted mask.

    Args:
        masks_true: M RLEs of one image.
        masks_pred: N RLEs of the same image.

    Returns:
        float64 (M, N) in [0, 1]; 0 where both masks are empty.

    Raises:
        AnnotationError: if the image sizes differ.
    Source: Lin et al. 2014, COCO; pycocotools ``mask.iou`` with iscrowd = 0.
    """
    if not masks_true or not masks_pred:
        return np.zeros((len(masks_true), len(masks_pred)))
    sizes = {tuple(rle["size"]) for rle in [*masks_true, *masks_pred]}
    if len(sizes) > 1:
        raise AnnotationError(
            f"masks of one image must have one size, got {sorted(sizes)}; "
            "check that both files belong to the same images"
        )
    iou: npt.NDArray[np.float64] = np.asarray(
        coco_mask.iou(
            [_as_bytes(rle) for rle in masks_true],
            [_as_bytes(rle) for rle in masks_pred],
            [0] * len(masks_pred),
        ),
        dtype=np.float64,
    )
    return np.nan_to_num(iou)


def union(masks: list[RLE], image_hw: tuple[int, int]) -> RLE:
    """Union of masks of one image; the empty mask for an empty list."""
    if not masks:
        return from_run_lengths(np.array([image_hw[0] * image_hw[1]], dtype=np.int64), image_hw)
    # A few at a time: one after the other, each step would walk through all masks before it.
    parts = [_as_bytes(rle) for rle in masks]
    while len(parts) > 1:
        groups = range(0, len(parts), _MERGED_AT_ONCE)
        parts = [coco_mask.merge(parts[n : n + _MERGED_AT_ONCE], intersect=False) for n in groups]
    return {"size": list(image_hw), "counts": parts[0]["counts"].decode()}


def intersect(first: RLE, second: RLE) -> RLE:
    """The pixels that two masks of one image share; the empty mask for none."""
    shared: RLE = coco_mask.merge([_as_bytes(first), _as_bytes(second)], intersect=True)
    return {"size": list(first["size"]), "counts": shared["counts"].decode()}


def intersection_px(first: RLE, second: RLE) -> int:
    """Number of pixels that two masks of one image share."""
    return area_px(intersect(first, second))


def check(rle: Any, image_hw: tuple[int, int], where: str) -> RLE:
    """Validate a compressed RLE that came from a file.

    pycocotools trusts its input and can crash the process on a malformed string, so
    everything from outside passes here first.

    Args:
        rle: what the file holds.
        image_hw: size of the image that the mask belongs to.
        where: file and annotation, for the message.

    Raises:
        AnnotationError: if the size is not the image's, or the runs are malformed or do not
            add up to the number of pixels.
    """
    if not isinstance(rle, dict) or "size" not in rle or "counts" not in rle:
        raise AnnotationError(f"{where}: an RLE needs 'size' and 'counts'; convert the masks anew")
    if not isinstance(rle["size"], list | tuple) or list(rle["size"]) != list(image_hw):
        raise AnnotationError(
            f"{where}: mask is {rle['size']!r:.60} (height, width) but its image is "
            f"{list(image_hw)}; check that masks and images belong together"
        )
    total = image_hw[0] * image_hw[1]
    counts = rle["counts"]
    if isinstance(counts, list):
        if not all(type(run) is int and 0 <= run <= total for run in counts):
            raise AnnotationError(
                f"{where}: RLE runs must be whole numbers from 0 to {total} px; "
                "the mask is damaged, convert it anew"
            )
        runs = np.asarray(counts, dtype=np.int64)
    elif isinstance(counts, str | bytes):
        runs = _checked_runs(counts, where)
    else:
        raise AnnotationError(
            f"{where}: RLE counts must be text or a list, got {type(counts).__name__}; "
            "convert the masks anew"
        )
    covered = sum(runs.tolist())  # Python numbers: hostile runs cannot wrap around
    if (runs < 0).any() or covered != total:
        raise AnnotationError(
            f"{where}: RLE runs must be >= 0 and add up to {total} px, got {covered}; "
            "the mask is damaged, convert it anew"
        )
    return from_run_lengths(_without_empty_runs(runs), image_hw)


def _without_empty_runs(runs: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The same mask in its only canonical form: no run of 0 px but a leading background."""
    if (runs[1:] > 0).all():
        return runs
    value = np.arange(len(runs)) % 2
    kept = runs > 0
    runs, value = runs[kept], value[kept]
    starts = np.flatnonzero(np.diff(value, prepend=-1))
    merged: npt.NDArray[np.int64] = np.add.reduceat(runs, starts)
    return merged if value[0] == 0 else np.concatenate([[0], merged])


def _checked_runs(counts: str | bytes, where: str) -> npt.NDArray[np.int64]:
    """Run lengths of a compressed string whose every character is a legal one."""
    try:
        data = counts.encode("ascii") if isinstance(counts, str) else counts
        codes = np.frombuffer(data, dtype=np.uint8).astype(np.int64) - 48
        if ((codes < 0) | (codes > 63)).any() or (len(codes) and codes[-1] & 0x20):
            raise ValueError("illegal character")
        ends = np.flatnonzero((codes & 0x20) == 0)
        if np.diff(ends, prepend=-1).max(initial=0) > 8:  # 40 bits: more than any image has
            raise ValueError("a run of more than 40 bits")
        return run_lengths({"counts": data})
    except (ValueError, UnicodeEncodeError) as error:
        raise AnnotationError(
            f"{where}: RLE counts are not a COCO run-length string ({error}); "
            "convert the masks anew"
        ) from error


def _as_bytes(rle: RLE) -> RLE:
    """The form that pycocotools accepts fastest."""
    counts = rle["counts"]
    return {
        "size": rle["size"],
        "counts": counts.encode() if isinstance(counts, str) else counts,
    }
