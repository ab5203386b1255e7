"""Evaluation of real annotations: every form of the same truth agrees with itself."""

import json

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from mito_instance.cli.convert_masks import main as convert_masks
from mito_instance.cli.evaluate import main as evaluate
from mito_instance.cli.quantify import main as quantify
from tests.coco_reference import reference

pytestmark = pytest.mark.acceptance

ONES = ("ap", "ap50", "f1_50", "f1_95", "pq", "iou_foreground", "dice_foreground", "f1_boundary")
ERRORS = ("n_missed", "n_false", "n_split", "n_merge", "n_many_to_many")


def metrics_of(tmp_path, *arguments):
    assert evaluate([*map(str, arguments), "-o", str(tmp_path / "o"), "--bootstrap", "0"]) == 0
    return json.loads((tmp_path / "o" / "metrics.json").read_text())


def test_masks_as_coco_and_as_label_images_are_the_same(shared_data, tmp_path):
    images, masks = shared_data / "epfl_ca1" / "images", tmp_path / "masks"
    masks.mkdir()
    for name in ("001.png", "060.png", "150.png"):
        (masks / name).symlink_to(shared_data / "epfl_ca1" / "masks" / name)
    truth = tmp_path / "truth.json"
    # 1: images without a mask are named.
    assert convert_masks(["--images", str(images), "--masks", str(masks), "-o", str(truth)]) <= 1
    metrics = metrics_of(tmp_path, truth, masks, "--images", images)
    assert metrics["n_images"] == 3
    assert metrics["n_true"] > 30
    assert [metrics[name] for name in ONES] == [1.0] * len(ONES)
    assert [metrics[name] for name in ERRORS] == [0] * len(ERRORS)
    assert (tmp_path / "o" / "report.html").stat().st_size < 10e6


@pytest.mark.slow
def test_ap_of_the_shipped_model_is_that_of_pycocotools(shared_data, tmp_path, detectron2, capsys):
    epfl = shared_data / "epfl_ca1"
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
        for name in ("143.png", "151.png", "165.png"):
            (tmp_path / kind / name).symlink_to(epfl / kind / name)
    truth, pred = tmp_path / "truth.json", tmp_path / "pred.json"
    sides = ["--images", tmp_path / "images", "--masks", tmp_path / "masks"]
    assert convert_masks([*map(str, sides), "-o", str(truth), "--min-area-px", "25"]) == 0
    assert quantify([str(tmp_path / "images"), "--coco", str(pred)]) == 0
    metrics = metrics_of(tmp_path, truth, pred)
    assert (metrics["n_images"], metrics["n_true"] > 20) == (3, True)
    expected = reference(*(json.loads(path.read_text("utf-8")) for path in (truth, pred)))
    assert 0.5 < expected["ap"] < 1
    assert {name: metrics[name] for name in expected} == pytest.approx(expected, abs=1e-9)


def test_traced_rois_of_imagej_equal_the_mask(shared_data, tmp_path):
    rois = shared_data / "imagej_rois" / "ij_generated_epfl" / "train_001_traced.zip"
    folder = shared_data / "epfl_ca1"
    metrics = metrics_of(
        tmp_path, folder / "masks" / "001.png", rois, "--images", folder / "images" / "001.png"
    )
    assert [metrics[name] for name in ONES] == [1.0] * len(ONES)


def test_components_of_a_volume_merge_what_touches(shared_data, tmp_path):
    path = shared_data / "mitoem_r_crop" / "label_zyx.tif"
    labels = tifffile.imread(path)
    components, n_components = ndimage.label(labels > 0, np.ones((3, 3, 3)))
    found = tmp_path / "components.tif"
    tifffile.imwrite(found, components.astype(np.uint16), photometric="minisblack")
    metrics = metrics_of(tmp_path, path, found, "--volume")
    assert metrics["n_true"] == len(np.unique(labels)) - 1
    assert metrics["n_pred"] == n_components
    assert metrics["excess_merged"] == metrics["n_true"] - n_components > 0
    assert (metrics["iou_foreground"], metrics["voi_split"]) == (1.0, pytest.approx(0, abs=1e-9))
    assert metrics["voi_merge"] > 0
