"""Draws fiji_loop.png: ROIs as exported, as corrected, and how they follow the pixels.

Run: python docs/images/fiji_loop.py
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from mito_instance.instances import ImageInstances
from mito_instance.io.imagej_roi import ImageJRoi, read_rois
from mito_instance.io.imagej_roi_writer import write_roi_zip
from mito_instance.masks import rle
from mito_instance.synthetic import make_micrograph

Picture = npt.NDArray[np.uint8]

IMAGE_HW, ZOOM, PANEL_PX, GAP_PX, CAPTION_PX = (230, 230), 2, 460, 8, 30
YELLOW, BLUE, GREEN = (255, 235, 0), (60, 170, 255), (60, 230, 120)
SHIFT = 4  # OpenCV draws in sixteenths of a pixel
SEED = 4


def main() -> None:
    """Export, correct, read back and draw."""
    made = make_micrograph(np.random.default_rng(SEED), IMAGE_HW, 6.0, 7, touching_fraction=0.6)
    truth = with_hole(made.instances)
    pair = nearest_pair(truth)
    others = [number for number in range(len(truth)) if number not in pair]
    missed = min(others, key=lambda number: rle.area_px(truth.masks[number]))
    kept = [number for number in others if number != missed]
    merged = rle.union([truth.masks[number] for number in pair], IMAGE_HW)
    scores = np.array([0.81, *np.linspace(0.99, 0.93, len(kept))])
    found = replace(truth.select([]), masks=(merged, *truth.select(kept).masks), scores=scores)
    corrected = truth.select([*pair, *kept, missed])
    with tempfile.TemporaryDirectory() as folder:
        before = exported(Path(folder) / "found.zip", found)
        after = exported(Path(folder) / "corrected.zip", corrected)
    panels = [
        panel(made.image, before, {0}, "1  exported: 0001 holds two"),
        panel(made.image, after, {0, 1, len(after) - 1}, "2  in Fiji: one split, one drawn"),
        close_up(made.image, corrected, after, "3  read back: every pixel, every hole"),
    ]
    gap = np.full((panels[0].shape[0], GAP_PX, 3), 255, np.uint8)
    picture = np.hstack([panels[0], gap, panels[1], gap, panels[2]])
    path = Path(__file__).with_suffix(".png")
    cv2.imwrite(str(path), picture[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])


def with_hole(instances: ImageInstances) -> ImageInstances:
    """The same with a hole in the largest instance."""
    largest = max(range(len(instances)), key=lambda number: rle.area_px(instances.masks[number]))
    mask = rle.decode(instances.masks[largest]).copy()
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3)
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    rows, columns = np.ogrid[: mask.shape[0], : mask.shape[1]]
    mask &= ((rows - y) / 3.5) ** 2 + ((columns - x) / 4.5) ** 2 > 1
    masks = list(instances.masks)
    masks[largest] = rle.encode(mask)
    return replace(instances, masks=tuple(masks))


def nearest_pair(instances: ImageInstances) -> tuple[int, int]:
    """The two instances that touch most."""
    grown = [
        rle.encode(cv2.dilate(rle.decode(mask).astype(np.uint8), np.ones((3, 3), np.uint8)))
        for mask in instances.masks
    ]
    numbers = range(len(instances))
    pairs = [(first, second) for first in numbers for second in numbers if first < second]
    return max(pairs, key=lambda pair: rle.intersection_px(*(grown[i] for i in pair)))


def exported(path: Path, instances: ImageInstances) -> list[ImageJRoi]:
    """The ROIs as they come back from a zip."""
    write_roi_zip(path, [instances])
    return [roi for roi in read_rois(path) if isinstance(roi, ImageJRoi)]


def panel(image: Picture, rois: list[ImageJRoi], marked: set[int], caption: str) -> Picture:
    """The image with outlines and names, as ImageJ shows them."""
    picture = enlarged(image, ZOOM)
    for number, roi in enumerate(rois):
        draw_rings(picture, roi, ZOOM, (0, 0), BLUE if number in marked else YELLOW, 2)
    for roi in rois:
        x, y = ZOOM * np.concatenate(roi.rings).mean(axis=0)
        write(picture, roi.name, (max(2, int(x) - 34), int(y) + 5), 0.45)
    return captioned(picture, caption)


def close_up(
    image: Picture, instances: ImageInstances, rois: list[ImageJRoi], caption: str
) -> Picture:
    """Pixels around the hole, those of the mask tinted, with the outlines on their edges."""
    number = max(range(len(rois)), key=lambda i: len(rois[i].rings))
    hole = min(rois[number].rings, key=len)
    n_shown = 38
    zoom = PANEL_PX // n_shown
    left, top = (np.round(hole.mean(axis=0)) - (19, 26)).astype(int).tolist()
    left, top = max(0, left), max(0, top)
    inside = rle.crop(instances.masks[number], (left, top, n_shown, n_shown))
    cut = image[top : top + n_shown, left : left + n_shown]
    tinted = np.repeat(cut[:, :, None], 3, axis=2).astype(np.float64)
    tinted[inside] = 0.7 * tinted[inside] + 0.3 * np.array(GREEN)
    picture = cv2.resize(
        tinted.astype(np.uint8), (n_shown * zoom, n_shown * zoom), interpolation=cv2.INTER_NEAREST
    )
    for place in range(0, n_shown * zoom, zoom):
        picture[place, :] = (picture[place, :] * 0.7).astype(np.uint8)
        picture[:, place] = (picture[:, place] * 0.7).astype(np.uint8)
    draw_rings(picture, rois[number], zoom, (left, top), YELLOW, 3)
    picture = cv2.copyMakeBorder(
        picture, 0, PANEL_PX - len(picture), 0, PANEL_PX - len(picture), cv2.BORDER_REPLICATE
    )
    return captioned(np.asarray(picture, dtype=np.uint8), caption)


def enlarged(image: Picture, zoom: int) -> Picture:
    """The image in colour, each pixel a square."""
    size = (image.shape[1] * zoom, image.shape[0] * zoom)
    grey = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), dtype=np.uint8)


def draw_rings(
    picture: Picture,
    roi: ImageJRoi,
    zoom: int,
    origin_xy: tuple[int, int],
    colour: tuple[int, int, int],
    line_px: int,
) -> None:
    """Draw outlines; corner 0 of pixel 0 is the picture's own corner."""
    for ring in roi.rings:
        points = np.round(((ring - origin_xy) * zoom - 0.5) * 2**SHIFT).astype(np.int32)
        cv2.polylines(picture, [points], True, (0, 0, 0), line_px + 2, cv2.LINE_AA, SHIFT)
    for ring in roi.rings:
        points = np.round(((ring - origin_xy) * zoom - 0.5) * 2**SHIFT).astype(np.int32)
        cv2.polylines(picture, [points], True, colour, line_px, cv2.LINE_AA, SHIFT)


def write(picture: Picture, text: str, origin_xy: tuple[int, int], scale: float) -> None:
    """White text with a dark rim."""
    font = cv2.FONT_HERSHEY_SIMPLEX
    for step_x, step_y in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        shifted = (origin_xy[0] + step_x, origin_xy[1] + step_y)
        cv2.putText(picture, text, shifted, font, scale, (0, 0, 0), 1, cv2.LINE_AA)
    cv2.putText(picture, text, origin_xy, font, scale, (255, 255, 255), 1, cv2.LINE_AA)


def captioned(picture: Picture, caption: str) -> Picture:
    """The picture with a line of text above."""
    band = np.full((CAPTION_PX, picture.shape[1], 3), 255, np.uint8)
    cv2.putText(
        band, caption, (4, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.58, (20, 20, 20), 1, cv2.LINE_AA
    )
    return np.vstack([band, picture])


if __name__ == "__main__":
    main()
