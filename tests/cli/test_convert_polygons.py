"""The command convert-polygons: a folder of Labelme or YOLO files to COCO JSON."""

from __future__ import annotations

import json

import cv2
import numpy as np

from mito_instance.cli import main
from mito_instance.io.coco import read_coco


def write(folder, n_images=2):
    (folder / "images").mkdir()
    (folder / "labels").mkdir()
    for number in range(n_images):
        path = folder / "images" / f"cell_{number}.png"
        assert cv2.imwrite(str(path), np.zeros((10, 20), np.uint8))
        line = "0 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5\n"
        (folder / "labels" / f"cell_{number}.txt").write_text(line)


def arguments(folder):
    labels, images = str(folder / "labels"), str(folder / "images")
    return ["convert-polygons", labels, "--images", images, "-o", str(folder / "truth.json")]


def test_a_folder_of_yolo_files(tmp_path):
    write(tmp_path)
    assert main(arguments(tmp_path)) == 0
    images = read_coco(tmp_path / "truth.json")
    assert [len(image) for image in images] == [1, 1]
    assert main(["check", str(tmp_path / "truth.json")]) == 0


def test_labelme_beside_its_images(tmp_path):
    write(tmp_path, n_images=1)
    folder = tmp_path / "images"
    points = [[2, 1], [10, 1], [10, 5]]
    entry = {"label": "mito", "points": points, "shape_type": "polygon", "group_id": None}
    (folder / "cell_0.json").write_text(json.dumps({"shapes": [entry]}))
    output = folder / "truth.json"
    for _ in range(2):  # the output beside the files is no input of the next run
        assert main(["convert-polygons", str(folder), "-o", str(output)]) == 0
    assert len(read_coco(output)[0]) == 1


def test_failures_are_named_and_the_rest_is_written(tmp_path, capsys):
    write(tmp_path)
    (tmp_path / "labels" / "cell_0.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    (tmp_path / "labels" / "other.txt").write_text("")
    assert main(arguments(tmp_path)) == 1
    error = capsys.readouterr().err
    assert "cell_0.txt: line 1: holds a box" in error
    assert "other.txt: no image has its name" in error
    assert [len(image) for image in read_coco(tmp_path / "truth.json")] == [1]


def test_no_pair(tmp_path, capsys):
    write(tmp_path, n_images=1)
    (tmp_path / "labels" / "cell_0.txt").rename(tmp_path / "labels" / "other.txt")
    assert main(arguments(tmp_path)) == 2
    assert "name them alike" in capsys.readouterr().err
    assert not (tmp_path / "truth.json").exists()


def test_a_file_that_a_person_made_is_not_written_to(tmp_path, capsys):
    write(tmp_path)
    labels = tmp_path / "images"
    entry = {"label": "m", "points": [[2, 1], [9, 1], [9, 5]], "shape_type": "polygon"}
    for number in range(2):
        (labels / f"cell_{number}.json").write_text(json.dumps({"shapes": [entry]}))
    before = (labels / "cell_1.json").read_bytes()
    assert main(["convert-polygons", str(labels), "-o", str(labels / "cell_1.json")]) == 2
    assert "cell_1.json: is one of the files that are read" in capsys.readouterr().err
    assert (labels / "cell_1.json").read_bytes() == before
