"""The command export_roi: files, names, slices, and the way back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import tifffile

from mito_instance.cli import convert_roi, export_roi
from mito_instance.instances import ImageInstances
from mito_instance.io.coco import read_coco, write_coco
from mito_instance.io.imagej_roi import read_rois
from mito_instance.masks import rle

HW = (20, 30)


def square(x, y=3, side=4):
    return rle.place(np.ones((side, side)), x, y, HW)


def ring():
    mask = np.ones((6, 6))
    mask[2:4, 2:5] = 0
    return rle.place(mask, 10, 5, HW)


@pytest.fixture
def folder(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a.png", "b.png", "empty.png"):
        cv2.imwrite(str(images / name), np.zeros(HW, np.uint8))
    tifffile.imwrite(images / "stack.tif", np.zeros((4, *HW), np.uint8), imagej=True)
    return tmp_path


def page(folder, name, *masks, **fields):
    return ImageInstances(str(folder / "images" / name), HW, tuple(masks), **fields)


def run(folder):
    return export_roi.main([str(folder / "in.json"), "-o", str(folder / "rois")])


def test_masks_names_and_groups_come_back(folder, capsys):
    given = [
        page(folder, "a.png", square(2), ring(), names=("dark-1", "pale"), groups=(0, 3)),
        page(folder, "b.png", ring()),
        page(folder, "empty.png"),
        page(folder, "stack.tif", square(2), square(4), frame=1),
        page(folder, "stack.tif", ring(), frame=3),
    ]
    write_coco(folder / "in.json", given)
    assert run(folder) == 0
    assert "6 ROIs in 4 zips" in capsys.readouterr().err
    zips = sorted(path.name for path in (folder / "rois").iterdir())
    assert zips == ["a.zip", "b.zip", "empty.zip", "stack.zip"]
    arguments = [folder / "rois", "--images", folder / "images", "-o", folder / "out.json"]
    assert convert_roi.main([str(item) for item in arguments]) == 0
    found = read_coco(folder / "out.json")
    assert [(item.image, item.frame) for item in found] == [
        (item.image, item.frame) for item in given
    ]
    assert [item.masks for item in found] == [item.masks for item in given]
    assert (found[0].names, found[0].groups) == (("dark-1", "pale"), (0, 3))
    assert found[3].names == ("0002-0001", "0002-0002")


def test_a_stack_of_which_only_the_first_page_is_listed(folder):
    write_coco(folder / "in.json", [page(folder, "stack.tif", square(2))])
    assert run(folder) == 0
    (roi,) = read_rois(folder / "rois" / "stack.zip")
    assert (roi.name, roi.position.index) == ("0001-0001", 1)


def test_the_images_need_not_be_there(folder):
    given = [page(folder, name, square(2), scores=np.ones(1)) for name in ("x/a.tif", "y/a.tif")]
    write_coco(folder / "in.json", given)
    assert run(folder) == 0
    assert sorted(path.name for path in (folder / "rois").iterdir()) == ["x_a.zip", "y_a.zip"]
    (roi,) = read_rois(folder / "rois" / "x_a.zip")
    assert (roi.name, roi.position.is_set) == ("0001-1.00", False)


def test_errors_are_one_line(folder, capsys):
    assert run(folder) == 2
    write_coco(folder / "in.json", [page(folder, "a.png", square(2))])
    (folder / "rois").write_text("a file")
    assert run(folder) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"error: {folder}/in.json: cannot read")
    assert second == f"error: {folder}/rois: is a file; name a folder for the zips"


def test_categories_that_groups_do_not_tell_apart_are_refused(folder, capsys):
    names = {"category_names": {0: "mitochondrion", 1: "lysosome"}}
    given = [page(folder, "a.png", square(2), ring(), category_ids=(0, 1), **names)]
    write_coco(folder / "in.json", given)
    assert run(folder) == 2
    assert "categories 0 and 1 would be one ROI group; number the" in capsys.readouterr().err
    assert not (folder / "rois").exists()


def test_help_has_an_example(capsys):
    with pytest.raises(SystemExit) as status:
        export_roi.build_parser().parse_args(["--help"])
    assert status.value.code == 0
    assert "example:\n  mito export-roi" in capsys.readouterr().out


def test_corrected_zips_are_not_replaced(folder, capsys):
    write_coco(folder / "found.json", [page(folder, "a.png", square(3)), page(folder, "b.png")])
    words = [str(folder / "found.json"), "-o", str(folder / "rois")]
    assert export_roi.main(words) == 0
    assert export_roi.main(words) == 0
    (folder / "rois" / "b.zip").write_bytes(b"corrected")
    before = (folder / "rois" / "a.zip").stat().st_mtime_ns
    assert export_roi.main(words) == 2
    assert "b.zip: was not written by this program, or changed since" in capsys.readouterr().err
    assert (folder / "rois" / "b.zip").read_bytes() == b"corrected"
    assert (folder / "rois" / "a.zip").stat().st_mtime_ns == before
