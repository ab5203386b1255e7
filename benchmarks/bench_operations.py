"""Seconds and memory of what is done with masks, against the same by pycocotools and scikit-image.

    python benchmarks/bench_operations.py [--cases place measure] [--output operations.json]

One image of 2048 x 2048 px with 196 wavy ellipses, every fifth with a hole. In turns, ours and what
one would write with the libraries at hand:

- ``place``: masks in boxes to RLEs of the image, against full-image arrays through pycocotools;
- ``crop``: RLEs to the pixels in their boxes, against decoding with pycocotools;
- ``overlap``: IoU of all pairs of two sets, against pycocotools (which does ours, too);
- ``components``: a mask to one RLE a component, against scikit-image and pycocotools;
- ``rois``: an ImageJ ROI zip to RLEs, against roifile, scikit-image polygons and pycocotools;
- ``measure``: sizes, shapes and grey levels, against scikit-image's region properties;
- ``stitch``: objects of 25 overlapping tiles to those of the image, against label images that are
  joined where they overlap.

Results are compared, too: ``differences`` says in how many objects the area is another. Pixels of
polygons follow other rules in scikit-image; ImageJ's are ours. The peak memory of each side is
what it needs beyond its inputs, in a process of its own. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask
from record import RUNS, in_turns, machine, ratio_of_medians, spread, versions

from mito_instance.inference.stitching import detections_of, stitch
from mito_instance.inference.tiling import tiles_of
from mito_instance.instances import ImageInstances
from mito_instance.io.imagej_roi import ImageJRoi, read_rois
from mito_instance.io.imagej_roi_writer import write_roi_zip
from mito_instance.masks import rle
from mito_instance.masks.labels import component_rles
from mito_instance.masks.polygons import rasterise
from mito_instance.measure.summary import measure_objects

HW = (2048, 2048)
PITCH_PX, N_ACROSS = 146, 14
TILE_PX, OVERLAP_PX = 512, 128
PROPERTIES = (
    *("area", "bbox", "centroid", "perimeter", "solidity", "feret_diameter_max"),
    *("axis_major_length", "axis_minor_length", "orientation", "intensity_mean", "intensity_std"),
)

Mask = npt.NDArray[np.bool_]
Areas = list[int]
"""Areas in px of the objects that an operation gives, in any order."""


class Inputs:
    """The objects, in all forms that the operations start from.

    Args:
        folder: where the ROI zip lies, or is written.
    """

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(0)
        self.grey = rng.integers(0, 256, HW, dtype=np.uint8)
        self.parts = [self._part(number, rng) for number in range(N_ACROSS**2)]
        self.rles = [rle.place(mask, x, y, HW) for mask, x, y in self.parts]
        self.moved = [rle.place(mask, x + 3, y + 2, HW) for mask, x, y in self.parts]
        self.labels = np.zeros(HW, np.int32)
        for number, (mask, x, y) in enumerate(self.parts, start=1):
            self.labels[y : y + mask.shape[0], x : x + mask.shape[1]][mask] = number
        self.image = ImageInstances("a.tif", HW, tuple(self.rles))
        self.zip = folder / "rois.zip"
        if not self.zip.exists():
            write_roi_zip(self.zip, [self.image])
        self.tiles = tiles_of(HW, TILE_PX, OVERLAP_PX)
        self.in_tiles = []
        for tile in self.tiles:
            masks = tuple(component_rles(self.labels[tile.slices] > 0))
            scores = np.full(len(masks), 0.9)
            self.in_tiles.append(ImageInstances("tile", (TILE_PX, TILE_PX), masks, scores))
        self.tile_labels = [self.labels[tile.slices] > 0 for tile in self.tiles]

    @staticmethod
    def _part(number: int, rng: np.random.Generator) -> tuple[Mask, int, int]:
        half_height, half_width = rng.integers(20, 65, 2)
        y, x = np.mgrid[-half_height : half_height + 1, -half_width : half_width + 1]
        wave = 0.1 * np.sin(7 * np.arctan2(y, x))
        distance = np.hypot(y / half_height, x / half_width)
        mask = distance < 0.88 + wave
        if number % 5 == 0:
            mask &= distance > 0.3
        left = (number % N_ACROSS) * PITCH_PX + 4
        top = (number // N_ACROSS) * PITCH_PX + 4
        return mask, left, top


def full(mask: Mask, x: int, y: int) -> npt.NDArray[np.uint8]:
    """The mask in an array of the image's size, as pycocotools wants it."""
    image = np.zeros(HW, np.uint8, order="F")
    image[y : y + mask.shape[0], x : x + mask.shape[1]] = mask
    return image


def areas(rles: list[Any]) -> Areas:
    """Of RLEs."""
    return [int(area) for area in coco_mask.area(rles)]


def place_ours(given: Inputs) -> Areas:
    """Run lengths from the box alone."""
    return areas([rle.place(mask, x, y, HW) for mask, x, y in given.parts])


def place_peer(given: Inputs) -> Areas:
    """Full-image arrays, encoded."""
    return areas([coco_mask.encode(full(mask, x, y)) for mask, x, y in given.parts])


def crop_ours(given: Inputs) -> Areas:
    """Only the runs in the box are decoded."""
    return [int(rle.crop(one, rle.box_xywh(one)).sum()) for one in given.rles]


def crop_peer(given: Inputs) -> Areas:
    """Decoded, then cut out."""
    found = []
    for one in given.rles:
        x, y, width, height = (int(value) for value in coco_mask.toBbox(one))
        found.append(int(coco_mask.decode(one)[y : y + height, x : x + width].sum()))
    return found


def overlap_ours(given: Inputs) -> Areas:
    """With its checks."""
    return [int(value) for value in (rle.iou_matrix(given.rles, given.moved) * 1e6).ravel()]


def overlap_peer(given: Inputs) -> Areas:
    """As it is called everywhere."""
    iou = coco_mask.iou(given.rles, given.moved, [0] * len(given.moved))
    return [int(value) for value in (iou * 1e6).ravel()]


def components_ours(given: Inputs) -> Areas:
    """OpenCV's labels, run lengths from boxes."""
    return areas(component_rles(given.labels > 0))


def components_peer(given: Inputs) -> Areas:
    """A full-image mask for each label."""
    from skimage.measure import label

    labels, count = label(given.labels > 0, return_num=True)
    found = []
    for number in range(1, count + 1):
        found.append(coco_mask.encode(np.asfortranarray(labels == number, dtype=np.uint8)))
    return areas(found)


def rois_ours(given: Inputs) -> Areas:
    """ImageJ's pixels, holes kept."""
    rois = [roi for roi in read_rois(given.zip) if isinstance(roi, ImageJRoi)]
    return areas([rasterise(roi.rings, HW, roi.name).rle for roi in rois])


def rois_peer(given: Inputs) -> Areas:
    """The outlines of each ROI filled one after the other, inner ones taken out."""
    import roifile
    from skimage.draw import polygon

    found = []
    for roi in roifile.roiread(given.zip):
        image = np.zeros(HW, np.uint8, order="F")
        rings = roi.coordinates(multi=True) if roi.multi_coordinates is not None else None
        for ring in rings if rings is not None else [roi.coordinates()]:
            image[polygon(ring[:, 1] - 0.5, ring[:, 0] - 0.5, HW)] ^= 1
        found.append(coco_mask.encode(image))
    return areas(found)


def measure_ours(given: Inputs) -> Areas:
    """All columns of objects.csv."""
    return [shape.area_px for shape in measure_objects(given.image, given.grey)]


def measure_peer(given: Inputs) -> Areas:
    """The properties that both know; scikit-image has no least Feret diameter."""
    from skimage.measure import regionprops_table

    table = regionprops_table(given.labels, given.grey, properties=PROPERTIES)
    return [int(area) for area in table["area"]]


def stitch_ours(given: Inputs) -> Areas:
    """Boxes that meet, masks compared inside them."""
    found = []
    for tile, instances in zip(given.tiles, given.in_tiles, strict=True):
        found += detections_of(instances, tile, HW)
    return areas(list(stitch(found, ImageInstances("a.tif", HW, ()), given.tiles).masks))


def stitch_peer(given: Inputs) -> Areas:
    """Tile after tile is labelled into one label image, and equal pixels make equal objects."""
    from skimage.measure import label, regionprops_table

    canvas = np.zeros(HW, np.int32)
    highest = 0
    for tile, mask in zip(given.tiles, given.tile_labels, strict=True):
        found, count = label(mask, return_num=True)
        seen = canvas[tile.slices]
        for number in range(1, count + 1):
            inside = found == number
            under = np.unique(seen[inside])
            under = under[under > 0]
            highest += 1
            seen[inside] = highest
            for other in under:
                canvas[canvas == other] = highest
    return [int(area) for area in regionprops_table(canvas, properties=("area",))["area"]]


Operation = Callable[[Inputs], Areas]

CASES: dict[str, tuple[str, Operation, Operation]] = {
    "place": ("pycocotools", place_ours, place_peer),
    "crop": ("pycocotools", crop_ours, crop_peer),
    "overlap": ("pycocotools", overlap_ours, overlap_peer),
    "components": ("scikit-image, pycocotools", components_ours, components_peer),
    "rois": ("roifile, scikit-image, pycocotools", rois_ours, rois_peer),
    "measure": ("scikit-image", measure_ours, measure_peer),
    "stitch": ("scikit-image", stitch_ours, stitch_peer),
}


def main() -> None:
    """Measure every case."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", nargs="+", choices=tuple(CASES), default=list(CASES))
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--output", type=Path, help="write the JSON here, too")
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peak is not None:
        print(own_growth_mib(Path(args.peak[0]), args.cases[0], int(args.peak[1])))
        return
    with tempfile.TemporaryDirectory() as name:
        given = Inputs(Path(name))
        result = {
            "image_hw": HW,
            "n_objects": len(given.parts),
            "machine": machine(),
            "versions": versions(),
            "cases": {case: measured(case, given, args.runs) for case in args.cases},
        }
    text = json.dumps(result, indent=1)
    print(text)
    if args.output is not None:
        args.output.write_text(text + "\n", encoding="utf-8")


def measured(case: str, given: Inputs, runs: int) -> dict[str, Any]:
    """Both sides of a case."""
    libraries, ours, peer = CASES[case]
    mine, theirs = sorted(ours(given)), sorted(peer(given))
    seconds = in_turns({"ours": lambda: ours(given), "peer": lambda: peer(given)}, runs)
    same = len(mine) == len(theirs)
    return {
        "peer_is": libraries,
        **{
            side: {**spread(times), "peak_mib": growth_mib(case, given.zip.parent, place)}
            for place, (side, times) in enumerate(seconds.items(), start=1)
        },
        "ratio_of_medians": ratio_of_medians(seconds["peer"], seconds["ours"]),
        "n_results": len(mine),
        "differences": sum(a != b for a, b in zip(mine, theirs, strict=True)) if same else "count",
    }


def growth_mib(case: str, folder: Path, place: int) -> float:
    """Peak memory of one side beyond its inputs, measured in a process of its own."""
    command = [sys.executable, __file__, "--cases", case, "--peak", str(folder), str(place)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout)


def own_growth_mib(folder: Path, case: str, place: int) -> float:
    """By how much the largest resident memory of this process grows; 0 if the inputs took more."""
    import skimage.draw
    import skimage.measure  # noqa: F401 - the cost of loading it is none of the operation's

    given = Inputs(folder)
    n_pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    before_kib = n_pages * resource.getpagesize() / 1024
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew
    CASES[case][place](given)
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM"):
            return round((int(line.split()[1]) - before_kib) / 1024, 1)
    return 0.0


if __name__ == "__main__":
    main()
