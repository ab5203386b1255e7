"""Nothing between the network and the tables has a limit of 100 objects."""

import csv
import io
import json

import cv2
import numpy as np
import pytest

from mito_instance.cli import quantify
from mito_instance.io.imagej_roi import read_rois
from tests.dark_objects import DarkObjects


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("tile_px", [64, 256, 4096])
def test_500_objects_are_500_rows(tmp_path, capsys, monkeypatch, tile_px):
    image = np.full((500, 640), 200, dtype=np.uint8)
    for number in range(500):  # 25 x 20 px apart, of 10 to 15 px
        y, x = divmod(number, 25)
        cv2.ellipse(image, (12 + 25 * x, 12 + 24 * y), (5 + number % 3, 6), 0, 0, 360, 50, -1)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    monkeypatch.setattr(quantify, "_load_model", lambda _args: DarkObjects())
    objects, coco = tmp_path / "objects.csv", tmp_path / "pred.json"
    arguments = [tmp_path / "a.png", "--objects", objects, "--coco", coco, "--tile-px", tile_px]
    arguments += ["--rois", tmp_path / "rois", "--overlays", tmp_path / "overlays"]
    assert quantify.main([str(argument) for argument in arguments]) == 0
    (row,) = rows_of(capsys.readouterr().out)
    assert row["count"] == "500"
    rows = rows_of(objects.read_text(encoding="utf-8"))
    assert sorted(int(row["object_id"]) for row in rows) == list(range(1, 501))
    assert sum(int(row["area_px"]) for row in rows) == np.count_nonzero(image == 50)
    assert len(json.loads(coco.read_text())["annotations"]) == 500
    assert len(list(read_rois(tmp_path / "rois" / "a.zip"))) == 500
