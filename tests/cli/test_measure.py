"""The command measure: the tables of quantify, of instances that a person has outlined."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from dataclasses import replace

import cv2
import numpy as np
import pytest
import roifile
import tifffile

from mito_instance.calibration import PixelSize
from mito_instance.cli import export_roi, measure
from mito_instance.instances import ImageInstances
from mito_instance.io.coco import read_coco, write_coco
from mito_instance.masks import rle

HW = (20, 30)


def square(x, y=3, side=4):
    return rle.place(np.ones((side, side), bool), x, y, HW)


@pytest.fixture
def folder(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a.png", "b.png", "drawn_nothing.png", "untouched.png"):
        cv2.imwrite(str(images / name), np.full(HW, 90, np.uint8))
    tifffile.imwrite(images / "stack.tif", np.zeros((3, *HW), np.uint8), imagej=True)
    write_coco(
        tmp_path / "truth.json",
        [
            page(tmp_path, "a.png", square(2), square(10, 16), scores=np.array([0.9, 0.8])),
            page(
                tmp_path, "b.png", square(2, side=5),
                scores=np.array([0.7]), pixel_size=PixelSize(10.0, "user"),
            ),
            page(tmp_path, "drawn_nothing.png"),
            page(tmp_path, "stack.tif", square(2), square(9), frame=1, scores=np.array([0.6, 0.5])),
        ],
    )  # fmt: skip
    return tmp_path


def page(folder, name, *masks, **fields):
    return ImageInstances(str(folder / "images" / name), HW, tuple(masks), **fields)


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def counts(text):
    rows = rows_of(text)
    return {(row["image"].split("/")[-1], row["frame"]): row["count"] for row in rows}


def roi_zips(folder):
    assert export_roi.main([str(folder / "truth.json"), "-o", str(folder / "rois")]) == 0
    return ["--rois", str(folder / "rois"), "--images", str(folder / "images")]


def test_roi_zips_give_the_tables_of_quantify(folder, capsys):
    words = roi_zips(folder)
    capsys.readouterr()
    objects = folder / "objects.csv"
    assert measure.main([*words, "--objects", str(objects), "--pixel-size-nm", "5"]) == 0
    out, err = capsys.readouterr()
    assert counts(out) == {
        ("a.png", "0"): "2",
        ("b.png", "0"): "1",
        ("drawn_nothing.png", "0"): "0",
        ("stack.tif", "0"): "0",
        ("stack.tif", "1"): "2",
        ("stack.tif", "2"): "0",
    }
    assert "untouched.png: no ROI set; left out" in err
    first = rows_of(out)[0]
    assert first["area_total_px"] == "32"
    assert float(first["area_total_um2"]) == pytest.approx(32 * 25e-6)
    drawn = rows_of(objects.read_text())
    assert len(drawn) == 5
    assert {row["score"] for row in drawn} == {""}
    assert [row["area_px"] for row in drawn] == ["16", "16", "25", "16", "16"]


def test_a_json_gives_the_pages_that_it_lists(folder, capsys, caplog):
    words = ["--coco", str(folder / "truth.json"), "--overlays", str(folder / "overlays")]
    assert measure.main(words) == 0
    out, _ = capsys.readouterr()
    rows = {(row["image"].split("/")[-1], row["frame"]): row for row in rows_of(out)}
    assert len(rows) == 4
    assert rows["stack.tif", "1"]["count"] == "2"
    assert "2 pages are not among the outlined ones; left out" in caplog.text
    assert rows["drawn_nothing.png", "0"]["count"] == "0"
    assert rows["b.png", "0"]["pixel_size_nm"] == "10"
    assert rows["b.png", "0"]["pixel_size_source"] == "coco"
    assert rows["a.png", "0"]["area_total_um2"] == ""
    overlay = tifffile.imread(folder / "overlays" / "stack.tif")
    assert overlay[1].any()


def test_an_empty_set_says_that_a_stack_shows_nothing(folder, capsys):
    rois = folder / "rois"
    rois.mkdir()
    with zipfile.ZipFile(rois / "stack.zip", "w"):
        pass
    assert measure.main(["--rois", str(rois), "--images", str(folder / "images")]) == 0
    out, err = capsys.readouterr()
    assert counts(out) == {("stack.tif", str(page)): "0" for page in range(3)}
    assert "3 pages carry no ROI; nothing was found there" in err


def test_pages_without_rois_can_be_left_out(folder, capsys):
    words = [*roi_zips(folder), "--only-outlined-pages"]
    capsys.readouterr()
    assert measure.main(words) == 0
    out, err = capsys.readouterr()
    assert [key for key in counts(out) if key[0] == "stack.tif"] == [("stack.tif", "1")]
    assert "2 of 3 pages carry no ROI; left out" in err


def test_an_roi_that_may_be_of_any_page_is_told_with_each(folder, capsys):
    words = roi_zips(folder)
    with zipfile.ZipFile(folder / "rois" / "stack.zip", "a") as rois:
        rois.writestr("0003-0001.roi", b"Iout")
    capsys.readouterr()
    assert measure.main(words) == 1
    out, err = capsys.readouterr()
    rows = [row for row in rows_of(out) if row["image"].endswith("stack.tif")]
    assert [row["count"] for row in rows] == ["0", "2", "0"]
    assert all("0003-0001.roi" in row["message"] for row in rows)
    assert "2 pages carry no ROI; nothing was found there, though an ROI" in err


def test_a_page_all_of_whose_rois_failed_is_no_empty_one(folder, capsys):
    words = roi_zips(folder)
    outline = np.array([[100, 100], [100, 110], [110, 110]])
    beyond = roifile.ImagejRoi.frompoints(outline, position=2).tobytes()
    with zipfile.ZipFile(folder / "rois" / "stack.zip", "a") as rois:
        rois.writestr("beyond.roi", beyond)
    capsys.readouterr()
    assert measure.main(words) == 1
    out, err = capsys.readouterr()
    rows = [row for row in rows_of(out) if row["image"].endswith("stack.tif")]
    assert [(row["count"], row["status"]) for row in rows] == [
        ("0", "ok"), ("2", "ok"), ("", "error"),
    ]  # fmt: skip
    assert "beyond" in rows[2]["message"]
    assert err.count(rows[2]["message"]) == 1


def test_detections_and_second_names_are_said(folder, capsys):
    stack = next(image for image in read_coco(folder / "truth.json") if image.frame)
    link = folder / "images" / "link.tif"
    link.symlink_to(stack.image)
    other = replace(stack, image=str(link), frame=0, scores=np.array([0.25, 0.5]))
    write_coco(folder / "pred.json", [stack, other])
    assert measure.main(["--coco", str(folder / "pred.json")]) == 0
    out, err = capsys.readouterr()
    assert "4 masks are detections, with scores from 0.25 on; all of them count" in err
    assert f"{link}: is {stack.image}, and measured under that name" in err
    assert [row["count"] for row in rows_of(out)] == ["2", "2"]


def test_a_bad_image_of_a_json_is_named_and_the_others_go_on(folder, capsys):
    (folder / "images" / "b.png").unlink()
    cv2.imwrite(str(folder / "images" / "a.png"), np.zeros((5, 5), np.uint8))
    assert measure.main(["--coco", str(folder / "truth.json")]) == 1
    out, err = capsys.readouterr()
    assert counts(out) == {
        ("a.png", "0"): "",
        ("b.png", "0"): "",
        ("drawn_nothing.png", "0"): "0",
        ("stack.tif", "1"): "2",
    }
    reasons = [row["message"] for row in rows_of(out) if row["status"] == "error"]
    assert "a.png: image is (5, 5)" in reasons[0]
    assert "b.png: no such file" in reasons[1]
    for reason in reasons:
        assert err.count(reason) == 1


def test_the_other_pages_of_a_stack_go_on(folder, capsys):
    path = str(folder / "images" / "stack.tif")
    other = ImageInstances(path, (5, 6), (rle.place(np.ones((2, 2), bool), 1, 1, (5, 6)),), frame=2)
    pages = [ImageInstances(path, HW, (square(3),), frame=frame) for frame in (0, 1, 7)]
    write_coco(folder / "some.json", [*pages, other])
    assert measure.main(["--coco", str(folder / "some.json")]) == 1
    out, err = capsys.readouterr()
    assert [(row["frame"], row["status"]) for row in rows_of(out)] == [
        ("0", "ok"), ("1", "ok"), ("2", "error"),
    ]  # fmt: skip
    assert "stack.tif: page must be in 0 … 2, got 7" in err
    assert "image is (20, 30) (height, width) but its annotation says (5, 6)" in err


def test_what_cannot_be_used_of_roi_sets_keeps_its_row(folder, capsys):
    words = roi_zips(folder)
    (folder / "images" / "a.png").write_bytes(b"no image")
    (folder / "rois" / "b.zip").write_bytes(b"no zip")
    (folder / "rois" / "stack.zip").write_bytes(b"no zip")
    capsys.readouterr()
    assert measure.main(words) == 1
    out, err = capsys.readouterr()
    assert [(row["image"].split("/")[-1], row["frame"], row["status"]) for row in rows_of(out)] == [
        ("a.png", "0", "error"),
        ("b.png", "0", "error"),
        ("drawn_nothing.png", "0", "ok"),
        ("stack.tif", "0", "error"),
    ]
    for row in rows_of(out):
        assert row["status"] == "ok" or err.count(row["message"]) == 1
    assert "rois/b.zip" in rows_of(out)[1]["message"]


def test_a_page_of_which_an_roi_failed_says_so_in_its_row(folder, capsys):
    words = roi_zips(folder)
    with zipfile.ZipFile(folder / "rois" / "a.zip", "a") as archive:
        archive.writestr("broken.roi", b"Iout" + bytes(10))
    capsys.readouterr()
    assert measure.main(words) == 1
    rows = {row["image"].split("/")[-1]: row for row in rows_of(capsys.readouterr().out)}
    assert (rows["a.png"]["status"], rows["a.png"]["count"]) == ("ok", "2")
    assert rows["a.png"]["message"].startswith("not all of its ROIs could be used: ")
    assert "broken.roi" in rows["a.png"]["message"]
    assert rows["b.png"]["message"] == ""


def test_a_file_under_two_names_is_counted_once(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    for name, frames in (("p.json", [0]), ("q.json", [1, 2])):
        image = "images/stack.tif" if name == "p.json" else str(folder / "images" / "stack.tif")
        pages = [ImageInstances(image, HW, (square(3),), frame=frame) for frame in frames]
        write_coco(folder / name, pages)
    assert measure.main(["--coco", "p.json", "q.json"]) == 0
    assert [row["frame"] for row in rows_of(capsys.readouterr().out)] == ["0", "1", "2"]


def test_outlines_are_never_replaced(folder, capsys):
    truth = folder / "truth.json"
    before = truth.read_bytes()
    assert measure.main(["--coco", str(truth), "--objects", str(truth)]) == 2
    assert "is one of the files that are read" in capsys.readouterr().err
    words = roi_zips(folder)
    assert measure.main([*words, "--summary", str(folder / "rois" / "a.zip")]) == 2
    assert truth.read_bytes() == before


def test_summary_regions_and_overlays_are_as_in_quantify(folder, capsys):
    words = roi_zips(folder)
    cell = page(folder, "a.png", rle.place(np.ones((10, 10), bool), 0, 0, HW))
    write_coco(folder / "cell.json", [cell])
    assert export_roi.main([str(folder / "cell.json"), "-o", str(folder / "cells")]) == 0
    capsys.readouterr()
    status = measure.main([
        *words[:2], "--images", str(folder / "images" / "a.png"),
        "--region", str(folder / "cells" / "a.zip"),
        "--summary", str(folder / "summary.csv"), "--group-by", "folder",
        "--overlays", str(folder / "overlays"),
    ])  # fmt: skip
    assert status == 1  # the zips of the other images have no image here
    (row,) = rows_of(capsys.readouterr().out)
    assert row["count"] == "1"
    (group,) = rows_of((folder / "summary.csv").read_text())
    assert group["group"] == str(folder / "images")
    assert cv2.imread(str(folder / "overlays" / "a.png")) is not None


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "no outlined images"),
        (["--rois", "x"], "--rois and --images belong together"),
        (["--rois", "x", "--images", "y", "--coco", "z.json"], "give one of the two"),
        (["--coco", "missing.json"], "missing.json"),
        (["--rois", "x", "--images", "y", "--category", "z"], "--category: names categories of"),
    ],
)
def test_misuse_is_one_line(words, reason, capsys):
    assert measure.main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert reason in err
    assert err.count("\n") == 1


def test_one_category_of_a_json_can_be_measured(folder, capsys):
    document = json.loads((folder / "truth.json").read_text())
    document["categories"].append({"id": 2, "name": "nucleus"})
    document["annotations"][0]["category_id"] = 2
    (folder / "truth.json").write_text(json.dumps(document))
    n_found = []
    for words in ([], ["--category", "nucleus"], ["--category", "mitochondrion"]):
        assert measure.main(["--coco", str(folder / "truth.json"), *words]) == 0
        n_found.append(sum(int(value) for value in counts(capsys.readouterr().out).values()))
    assert n_found == [n_found[1] + n_found[2], 1, n_found[0] - 1]
