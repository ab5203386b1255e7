"""Masks to COCO to ROI zips, opened and saved by real ImageJ, back to COCO: nothing is lost."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mito_instance.cli import convert_masks, convert_roi, export_roi
from mito_instance.io.coco import read_coco
from mito_instance.io.imagej_roi import read_rois
from tests.imagej import require_imagej, run_script

pytestmark = pytest.mark.acceptance

N_TIMES = 5


def run(command, *arguments):
    assert command.main([str(item) for item in arguments]) == 0


def with_holes(mask, rng):
    """The mask with holes of all sizes: single pixels, diagonal pairs, blocks with islands."""
    holed = mask.copy()
    kernel = np.ones((13, 13), np.uint8)
    inner = cv2.erode(mask, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    for _ in range(40):
        rows, columns = np.nonzero(inner)
        if not len(rows):
            break
        place = rng.integers(len(rows))
        y, x = rows[place], columns[place]
        kind = rng.integers(3)
        if kind == 0:
            holed[y, x] = 0
        elif kind == 1:
            holed[y, x] = holed[y + 1, x + 1] = 0
        else:
            holed[y - 2 : y + 3, x - 2 : x + 3] = 0
            holed[y, x] = 255
        inner[max(0, y - 9) : y + 10, max(0, x - 9) : x + 10] = 0
    return holed


def test_five_rounds_through_imagej_change_no_pixel(shared_data, tmp_path):
    require_imagej()
    rng = np.random.default_rng(11)
    images, masks = tmp_path / "images", tmp_path / "masks"
    for folder in (images, masks):
        folder.mkdir()
    for number in (*range(1, 131, 10), 141, 151, 161):
        name = f"{number:03d}.png"
        (images / name).symlink_to(shared_data / "epfl_ca1" / "images" / name)
        mask = cv2.imread(str(shared_data / "epfl_ca1" / "masks" / name), cv2.IMREAD_GRAYSCALE)
        cv2.imwrite(str(masks / name), with_holes(mask, rng))
    run(convert_masks, "--images", images, "--masks", masks, "-o", tmp_path / "0.json")
    given = read_coco(tmp_path / "0.json")
    for number in range(N_TIMES):
        zips, saved = tmp_path / f"zips_{number}", tmp_path / f"saved_{number}"
        saved.mkdir()
        run(export_roi, tmp_path / f"{number}.json", "-o", zips)
        run_script("imagej_resave.bsh", zips, saved)
        run(convert_roi, saved, "--images", images, "-o", tmp_path / f"{number + 1}.json")
        found = read_coco(tmp_path / f"{number + 1}.json")
        assert [(item.image, item.masks) for item in found] == [
            (item.image, item.masks) for item in given
        ]
    kinds = [roi.kind for path in saved.iterdir() for roi in read_rois(path)]
    assert len(kinds) == sum(map(len, given)) > 60
    assert kinds.count("composite") > 80
