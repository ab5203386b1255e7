"""The command convert_roi: files, exit status, messages."""

from __future__ import annotations

import csv
import json
import zipfile

import cv2
import numpy as np
import pytest
import roifile
from pycocotools import mask as coco_mask

from mito_instance.cli.convert_roi import build_parser, main


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


def test_help_has_an_example(capsys):
    with pytest.raises(SystemExit) as status:
        build_parser().parse_args(["--help"])
    assert status.value.code == 0
    assert "example:\n  tools/convert_roi.py" in capsys.readouterr().out
