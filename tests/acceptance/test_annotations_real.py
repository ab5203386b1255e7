"""Preparing, checking, splitting and outlining real masks, from files to files."""

from __future__ import annotations

import json
import time

import pytest

from mito_instance.cli import main, prepare
from mito_instance.io.coco import read_coco
from mito_instance.masks import rle
from mito_instance.masks.contours import rle_outlines

pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module")
def epfl(shared_data, tmp_path_factory):
    """The JSON of the EPFL slices, instances of at least 25 px."""
    folder = tmp_path_factory.mktemp("epfl")
    assert prepare.main("epfl", [str(shared_data / "epfl_ca1"), "-o", str(folder)]) == 0
    return folder / "all.json"


def test_prepared_slices_are_clean(epfl, capsys):
    start = time.process_time()
    assert main(["check", str(epfl)]) == 0
    assert time.process_time() - start < 5  # about 1 s
    assert capsys.readouterr().out.endswith(
        "155 images, 2505 annotations: 0 errors, 0 warnings, 0 notices\n"
    )
    assert {image.pixel_size.nm for image in read_coco(epfl)} == {5.0}


def test_runs_of_slices_keep_their_distance(epfl, tmp_path, capsys):
    arguments = ["--by", "image", "--gap", "10", "--val", "0.15", "--test", "0.15"]
    assert main(["split", str(epfl), *arguments, "-o", str(tmp_path)]) == 0
    numbers = {
        name: [int(image.image[-7:-4]) for image in read_coco(tmp_path / f"{name}.json")]
        for name in ("train", "val", "test")
    }
    for name in ("val", "test"):
        assert min(abs(a - b) for a in numbers["train"] for b in numbers[name]) > 10
    assert "left out" in capsys.readouterr().out


@pytest.mark.parametrize("form", ["labelme", "yolo"])
def test_outlines_of_real_masks_come_back_pixel_by_pixel(epfl, tmp_path, form):
    image = read_coco(epfl)[0]
    height, width = image.image_hw
    expected, rings = [], []
    for mask in image.masks:
        outlines = rle_outlines(mask)
        if len(outlines) == 1:  # a polygon has no holes
            expected.append(mask)
            rings.append(outlines[0].corners_xy)
    assert len(rings) > 5
    if form == "labelme":
        shapes = [{"label": "mito", "points": ring.tolist()} for ring in rings]
        (tmp_path / "001.json").write_text(json.dumps({"shapes": shapes}))
    else:
        lines = (
            " ".join(["0", *(f"{x / width:.17g} {y / height:.17g}" for x, y in ring.tolist())])
            for ring in rings
        )
        (tmp_path / "001.txt").write_text("\n".join(lines))
    output = tmp_path / "out" / "truth.json"
    arguments = [str(tmp_path), "--images", image.image, "-o", str(output)]
    assert main(["convert-polygons", *arguments]) == 0
    found = read_coco(output)[0].masks
    assert [rle.area_px(mask) for mask in found] == [rle.area_px(mask) for mask in expected]
    assert list(found) == expected
