"""The command convert_roi: files, exit status, messages."""

from __future__ import annotations

import csv
import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import roifile
from pycocotools import mask as coco_mask

from mito_instance.cli.convert_roi import build_parser, main
from mito_instance.io.coco import read_coco


def square(x, y, kind=roifile.ROI_TYPE.TRACED):
    points = np.array([[x, y], [x + 4, y], [x + 4, y + 4], [x, y + 4]])
    roi = roifile.ImagejRoi.frompoints(points, name=f"m{x}")
    roi.roitype = kind
    return roi.tobytes()


def save_zip(path, *rois):
    with zipfile.ZipFile(path, "w") as archive:
        for number, data in enumerate(rois):
            archive.writestr(f"sub/{number}.roi", data)


@pytest.fixture
def folders(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "rois").mkdir()
    for name in ("a", "b"):
        cv2.imwrite(str(tmp_path / "images" / f"{name}.png"), np.zeros((20, 30), np.uint8))
    save_zip(tmp_path / "rois" / "RoiSet_a.zip", square(2, 3), square(10, 3))
    return tmp_path


def run(folder, *extra):
    arguments = [folder / "rois", "--images", folder / "images", "-o", folder / "out.json", *extra]
    return main([str(item) for item in arguments])


def test_converts_and_names_images_without_rois(folders, capsys):
    assert run(folders) == 0
    document = json.loads((folders / "out.json").read_text())
    assert [image["file_name"] for image in document["images"]] == ["images/a.png"]
    assert [coco_mask.area(entry["segmentation"]) for entry in document["annotations"]] == [16, 16]
    output = capsys.readouterr()
    assert output.out == ""
    assert "b.png: no ROI set has its name; left out" in output.err


def test_report_of_skipped_rois(folders, capsys):
    line = square(1, 1, roifile.ROI_TYPE.POLYLINE)
    save_zip(folders / "rois" / "b.zip", line, square(50, 3), square(2, 3))
    assert run(folders, "--report", folders / "skipped.csv") == 1
    rows = list(csv.DictReader((folders / "skipped.csv").read_text().splitlines()))
    assert [(row["name"], row["damaged"]) for row in rows] == [("m1", "no"), ("m50", "yes")]
    assert rows[0]["reason"] == "segmented line selection has no area"
    assert rows[0]["source"].endswith("b.zip: sub/0.roi")
    assert "failed: " in capsys.readouterr().err


def test_the_report_runs_no_formula(folders):
    line = roifile.ImagejRoi.frombytes(square(1, 1, roifile.ROI_TYPE.POLYLINE))
    line.name = '=HYPERLINK("http://x","y")'
    save_zip(folders / "rois" / "b.zip", line.tobytes(), square(2, 3))
    run(folders, "--report", folders / "skipped.csv")
    (row,) = csv.DictReader((folders / "skipped.csv").read_text().splitlines())
    assert row["name"] == "'" + line.name


def test_report_without_skipped_rois_is_the_header(folders):
    run(folders, "--report", folders / "skipped.csv")
    assert (folders / "skipped.csv").read_text() == "source,name,damaged,reason\n"


def test_strict_writes_nothing(folders, capsys):
    save_zip(folders / "rois" / "b.zip", square(1, 1, roifile.ROI_TYPE.POLYLINE), square(2, 3))
    assert run(folders) == 0
    (folders / "out.json").unlink()
    assert run(folders, "--strict") == 2
    assert "error: --strict: nothing written, because of" in capsys.readouterr().err
    assert not (folders / "out.json").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"just text", "not an ImageJ ROI, a zip of ROIs or a TIFF", id="text"),
        pytest.param(b"PK\x03\x04junk", "damaged zip", id="cut-zip"),
        pytest.param(np.random.default_rng(1).bytes(999), "not an ImageJ ROI", id="random"),
    ],
)
def test_a_bad_file_is_named_and_the_rest_is_converted(folders, capsys, content, message):
    (folders / "rois" / "b.zip").write_bytes(content)
    assert run(folders) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert len(json.loads((folders / "out.json").read_text())["images"]) == 1


def test_nothing_can_be_done(folders, capsys):
    (folders / "rois" / "RoiSet_a.zip").rename(folders / "rois" / "unknown.zip")
    assert run(folders) == 2
    assert "error: " in capsys.readouterr().err
    (folders / "rois" / "unknown.zip").unlink()
    assert run(folders) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {folders}/rois: holds no .roi")
    assert error.count("\n") == 1


def convert(folder, *arguments):
    output = folder / "out.json"
    return main([*(str(item) for item in arguments), "-o", str(output)]), output


def named(x, name, group=0):
    roi = roifile.ImagejRoi.frombytes(square(x, 3))
    roi.name, roi.group = name, group
    return roi.tobytes()


def test_names_and_groups_are_kept(folders):
    save_zip(folders / "rois" / "RoiSet_a.zip", named(2, "dark-1", 2), named(9, "0002-0.97"))
    assert run(folders) == 0
    first, second = json.loads((folders / "out.json").read_text())["annotations"]
    assert (first["name"], first["group"], first["category_id"]) == ("dark-1", 2, 1)
    assert (second["name"], "group" in second, second["category_id"]) == ("0002-0.97", False, 1)


@pytest.mark.parametrize(
    ("source", "ids", "names"),
    [
        pytest.param("group", [3, 1, 1], {1: "mitochondrion", 3: "group 2"}, id="group-plus-1"),
        pytest.param(
            "name", [2, 1, 3], {1: "mitochondrion", 2: "dark", 3: "pale one"}, id="name-prefix"
        ),
    ],
)
def test_categories(folders, source, ids, names):
    rois = named(2, "Dark-1", 2), named(9, "0002-0.97"), named(15, "pale one_7")
    save_zip(folders / "rois" / "RoiSet_a.zip", *rois)
    assert run(folders, "--category-from", source) == 0
    document = json.loads((folders / "out.json").read_text())
    assert [entry["category_id"] for entry in document["annotations"]] == ids
    assert {entry["id"]: entry["name"] for entry in document["categories"]} == names


def test_one_image_for_all_sets(folders):
    save_zip(folders / "rois" / "other.zip", square(20, 3))
    status, output = convert(folders, folders / "rois", "--image", folders / "images" / "b.png")
    assert status == 0
    document = json.loads(output.read_text())
    assert [image["file_name"] for image in document["images"]] == ["images/b.png"]
    assert len(document["annotations"]) == 3


def test_a_table_of_pairs(folders, capsys):
    save_zip(folders / "rois" / "other.zip", square(20, 3))
    table = "Image,ROIs\nimages/a.png,rois/other.zip\n\nimages/b.png, rois/RoiSet_a.zip\n"
    (folders / "pairs.csv").write_text(f"{table}images/b.png,rois/none.zip\n")
    status, output = convert(folders, "--pairs", folders / "pairs.csv")
    assert status == 1
    assert "rois/none.zip: no such file or folder" in capsys.readouterr().err
    document = json.loads(output.read_text())
    assert [image["file_name"] for image in document["images"]] == ["images/a.png", "images/b.png"]
    assert [entry["image_id"] for entry in document["annotations"]] == [1, 2, 2]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators_of_a_table_of_pairs(folders, separator):
    rows = ["image", "rois"], ["images/a.png", "rois/RoiSet_a.zip"]
    (folders / "pairs.csv").write_text("\n".join(separator.join(row) for row in rows))
    status, output = convert(folders, "--pairs", folders / "pairs.csv")
    assert status == 0
    assert len(json.loads(output.read_text())["annotations"]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--images", "images"], "no ROIs given", id="no-rois"),
        pytest.param(["rois", "--image", "images"], "images: is a folder; give --images", id="dir"),
        pytest.param(["rois", "--pairs", "pairs.csv"], "--pairs names the ROI sets", id="both"),
        pytest.param(["--pairs", "none.csv"], "none.csv: cannot read", id="no-table"),
        pytest.param(["--pairs", "pairs.csv"], "row 1 must be an image and an ROI set", id="row"),
        pytest.param(["rois"], "one of the arguments --images --image --pairs", id="no-image"),
    ],
)
def test_wrong_usage_is_one_line(folders, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(folders)
    (folders / "pairs.csv").write_text("a,b,c\n")
    try:
        status = main([*arguments, "-o", "out.json"])
    except SystemExit as left:
        status = left.code
    error = capsys.readouterr().err
    assert (status, error.count("\n")) == (2, 1)
    assert message in error


def test_two_outputs_are_never_one_file(folders, capsys, monkeypatch):
    monkeypatch.chdir(folders)
    (folders / "x").mkdir()
    words = ["rois", "--images", "images", "-o", "t.json", "--report", "x/../t.json"]
    assert main(words) == 2
    assert "would be written by -o and by --report" in capsys.readouterr().err


def test_an_empty_table_of_pairs_is_told(folders, capsys):
    (folders / "pairs.csv").write_text("image,rois\n")
    assert main(["--pairs", str(folders / "pairs.csv"), "-o", str(folders / "t.json")]) == 2
    assert "pairs.csv: holds no pair; write an image and its ROI set" in capsys.readouterr().err


def test_a_folder_that_is_named_by_a_dot_has_its_name(tmp_path, monkeypatch):
    """Its files are named by the numbers of the ROIs, which are not those of images."""
    (tmp_path / "images").mkdir()
    for number in (1, 2, 3):
        cv2.imwrite(str(tmp_path / "images" / f"cell_0{number}.png"), np.zeros((20, 30), np.uint8))
    folder = tmp_path / "cell_02"
    folder.mkdir()
    for number in (1, 2):
        roi = roifile.ImagejRoi.frompoints(np.array([[2, 2], [9, 2], [9, 5 + number]]))
        roi.tofile(folder / f"000{number}.roi")
    monkeypatch.chdir(folder)
    assert main([".", "--images", "../images", "-o", "../t.json"]) == 0
    (found,) = [image for image in read_coco(tmp_path / "t.json") if len(image)]
    assert (Path(found.image).name, len(found)) == ("cell_02.png", 2)


@pytest.mark.parametrize(
    "names", [("001.ome.tif", "002.ome.tif"), ("001.png", "002.png", "overview.png")]
)
def test_images_may_be_named_by_numbers_as_their_roi_files(tmp_path, names):
    (tmp_path / "images").mkdir()
    (tmp_path / "rois").mkdir()
    for name in names:
        cv2.imwrite(str(tmp_path / "images" / name), np.zeros((20, 30), np.uint8))
    for number in (1, 2):
        roi = roifile.ImagejRoi.frompoints(np.array([[2, 2], [9, 2], [9, 9]]))
        roi.tofile(tmp_path / "rois" / f"00{number}.roi")
    words = [str(tmp_path / "rois"), "--images", str(tmp_path / "images")]
    assert main([*words, "-o", str(tmp_path / "t.json")]) == 0
    assert [len(image) for image in read_coco(tmp_path / "t.json")] == [1, 1]


def test_roi_files_of_numbers_are_not_named_like_images(tmp_path, capsys):
    (tmp_path / "images").mkdir()
    (tmp_path / "tuesday").mkdir()
    for number in (1, 2):
        cv2.imwrite(str(tmp_path / "images" / f"cell_{number}.png"), np.zeros((20, 30), np.uint8))
        roi = roifile.ImagejRoi.frompoints(np.array([[2, 2], [9, 2], [9, 9]]))
        roi.tofile(tmp_path / "tuesday" / f"{number}.roi")
    words = [str(tmp_path / "tuesday"), "--images", str(tmp_path / "images")]
    assert main([*words, "-o", str(tmp_path / "t.json")]) == 2
    assert "tuesday: no image has this name" in capsys.readouterr().err


def test_help_has_an_example(capsys):
    with pytest.raises(SystemExit) as status:
        build_parser().parse_args(["--help"])
    assert status.value.code == 0
    assert "example:\n  mito convert-roi" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["-o", "--report"])
def test_what_a_person_made_is_not_written_to(tmp_path, capsys, option):
    for name in "ab":
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((20, 30), np.uint8))
        roi = roifile.ImagejRoi.frompoints(np.array([[2, 2], [9, 2], [9, 9]]))
        roifile.roiwrite(tmp_path / f"{name}.zip", [roi], mode="w")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    words = [str(tmp_path / "b.zip"), "--images", str(tmp_path)]
    for target in ("a.zip", "b.zip", "a.png", "new.tif"):
        more = [] if option == "-o" else ["-o", str(tmp_path / "out.json")]
        assert main([*words, *more, option, str(tmp_path / target)]) == 2
        assert f"error: {option} " in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
