"""The command check: lines on stdout, exit status, repaired file."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from mito_instance.cli import main
from mito_instance.io.coco import read_coco
from mito_instance.masks import rle

SQUARE = [2.0, 3.0, 8.0, 3.0, 8.0, 8.0, 2.0, 8.0]


def write(folder, n_orphans=0, **changes):
    assert cv2.imwrite(str(folder / "a.png"), np.zeros((20, 30), np.uint8))
    sound = {
        "id": 1,
        "image_id": 1,
        "category_id": 1,
        "segmentation": [SQUARE],
        "area": 30.0,
        "bbox": [2, 3, 6, 5],
        "iscrowd": 0,
    }
    path = folder / "data.json"
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 30, "height": 20}],
        "categories": [{"id": 1, "name": "mitochondrion"}],
        "annotations": [
            sound | changes,
            *(sound | {"id": 2 + i, "image_id": 9} for i in range(n_orphans)),
        ],
    }
    path.write_text(json.dumps(content))
    return path


def test_clean(tmp_path, capsys):
    path = write(tmp_path)
    assert main(["check", str(path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "notice polygon: image 1 (a.png) annotation 1: the mask is a polygon",
        f"{path}: 1 images, 1 annotations: 0 errors, 0 warnings, 1 notices",
    ]


def test_problems_are_capped_by_kind(tmp_path, capsys):
    path = write(tmp_path, n_orphans=5, area=99)
    assert main(["check", str(path), "--max-lines", "2"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "error annotation-without-image: annotation 2: image_id 9 is not among the 1 images",
        "error annotation-without-image: annotation 3: image_id 9 is not among the 1 images",
        "error annotation-without-image: … 5 in all, 2 shown",
        "warning area-differs: image 1 (a.png) annotation 1: area is 99 but the mask has 30 px",
        "notice polygon: image 1 (a.png) annotation 1: the mask is a polygon",
        f"{path}: 1 images, 6 annotations: 5 errors, 1 warnings, 1 notices",
    ]


def test_fix(tmp_path, capsys):
    path = write(tmp_path, n_orphans=5, area=99)
    output = tmp_path / "sub" / "fixed.json"
    assert main(["check", str(path), "--fix", str(output)]) == 1
    assert capsys.readouterr().out.splitlines()[-4:] == [
        "repaired annotation-without-image: left out (5)",
        "repaired area-differs: computed from mask (1)",
        "repaired polygon: converted to run lengths (1)",
        f"{output}: 1 of 1 images, 1 of 6 annotations",
    ]
    assert json.loads(output.read_text())["images"][0]["file_name"] == "../a.png"
    assert len(read_coco(output)[0]) == 1
    assert main(["check", str(output)]) == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "cannot read", id="missing"),
        pytest.param("{", "not a JSON file", id="no-json"),
        pytest.param('{"images": ' + "[" * 100_000, "nested too deeply", id="deep"),
    ],
)
def test_unreadable(tmp_path, capsys, content, message):
    path = tmp_path / "data.json"
    if content is not None:
        path.write_text(content)
    assert main(["check", str(path), "--fix", str(tmp_path / "out.json")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


def test_the_input_is_not_overwritten(tmp_path, capsys):
    path = write(tmp_path)
    before = path.read_bytes()
    assert main(["check", str(path), "--fix", str(path)]) == 2
    assert "is one of the files that are read" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_brush_masks_of_cvat_are_kept_as_instances(tmp_path, capsys):
    mask = np.zeros((20, 30), bool)
    mask[3:8, 2:8] = True
    segmentation = rle.encode(mask)
    path = write(tmp_path, iscrowd=1, segmentation=segmentation)
    output = tmp_path / "fixed.json"
    assert main(["check", str(path), "--crowds-are-instances"]) == 2
    assert "give --fix OUT.json as well" in capsys.readouterr().err
    assert main(["check", str(path), "--fix", str(output), "--crowds-are-instances"]) == 1
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "repaired crowd: written as single instances (1)",
        f"{output}: 1 of 1 images, 1 of 1 annotations",
    ]
    assert len(read_coco(output)[0]) == 1
    assert main(["check", str(output)]) == 0


def test_nothing_left_after_repair(tmp_path, capsys):
    path = tmp_path / "data.json"
    path.write_text('{"images": [], "annotations": []}')
    assert main(["check", str(path), "--fix", str(tmp_path / "out.json")]) == 2
    assert "no usable image" in capsys.readouterr().err
    assert not (tmp_path / "out.json").exists()
