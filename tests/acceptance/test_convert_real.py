"""The conversion commands on real masks and on ROI files that ImageJ wrote."""

from __future__ import annotations

import json
import shutil
import time

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mito_instance.cli import convert_masks, convert_roi
from mito_instance.io.imagej_roi import read_rois
from mito_instance.masks.polygons import fill

pytestmark = [
    pytest.mark.acceptance,
    # pycocotools' own decoder, here as the independent judge, predates NumPy 2.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


def components(path):
    """Component masks as bytes, by an independent route: one full-size mask each."""
    binary = (cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) > 127).astype(np.uint8)
    n_labels, labels = cv2.connectedComponents(binary, connectivity=8)
    return {(labels == label).tobytes() for label in range(1, n_labels)}


def load(path):
    """The document and, for each image id, the decoded masks as bytes."""
    document = json.loads(path.read_text())
    masks = {image["id"]: [] for image in document["images"]}
    for entry in document["annotations"]:
        mask = coco_mask.decode(entry["segmentation"]).astype(bool)
        assert mask.sum() == entry["area"] == coco_mask.area(entry["segmentation"])
        masks[entry["image_id"]].append(mask.tobytes())
    return document, masks


def test_epfl_masks_give_their_components(shared_data, tmp_path):
    source = shared_data / "epfl_ca1"
    output = tmp_path / "epfl.json"
    start = time.process_time()
    arguments = ["--images", source / "images", "--masks", source / "masks", "-o", output]
    assert convert_masks.main([str(item) for item in arguments]) == 0
    assert time.process_time() - start < 10  # about 3 s of one core
    document, masks = load(output)
    assert len(document["images"]) == 155
    for image in document["images"]:
        found = masks[image["id"]]
        path = source / "masks" / image["file_name"].split("/")[-1]
        assert len(found) == len(set(found))
        assert set(found) == components(path)


@pytest.mark.parametrize(
    ("folder", "n_images"), [pytest.param("a", 10, id="0-1"), pytest.param("b", 20, id="0-255")]
)
def test_cdeep3m_pairs_by_number(shared_data, tmp_path, folder, n_images):
    source = shared_data / "cdeep3m" / folder
    output = tmp_path / "out.json"
    arguments = ["--images", source / "images", "--masks", source / "labels", "-o", output]
    assert convert_masks.main([str(item) for item in arguments]) == 0
    document, masks = load(output)
    assert len(document["images"]) == n_images
    for image in document["images"]:
        number = image["file_name"].split(".")[-2]
        mask = cv2.imread(str(source / "labels" / f"mitos_3D.{number}.png"), cv2.IMREAD_GRAYSCALE)
        n_labels, _ = cv2.connectedComponents((mask > 0).astype(np.uint8), connectivity=8)
        assert len(masks[image["id"]]) == n_labels - 1


def test_folders_of_one_file_an_instance(shared_data, tmp_path):
    source = shared_data / "tem_instances"
    output = tmp_path / "out.json"
    arguments = ["--images", source, "--masks", source / "masks", "-o", output]
    assert convert_masks.main([str(item) for item in arguments]) == 0
    document, masks = load(output)
    for image, name in zip(document["images"], ("Image_1", "Image_2"), strict=True):
        files = list((source / "masks" / name).iterdir())
        expected = {(cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) > 127).tobytes() for file in files}
        assert set(masks[image["id"]]) == expected
        assert len(masks[image["id"]]) == len(files)


def test_a_stack_of_3d_ids_gives_its_2d_sections(shared_data, tmp_path):
    source = shared_data / "mitoem_r_crop"
    output = tmp_path / "out.json"
    arguments = ["--images", source / "image_zyx.tif", "--masks", source / "label_zyx.tif"]
    assert convert_masks.main([str(item) for item in (*arguments, "-o", output)]) == 0
    document, _ = load(output)
    assert [image["frame"] for image in document["images"]] == list(range(16))


def test_traced_rois_are_the_components_of_the_mask(shared_data, tmp_path):
    (tmp_path / "images").mkdir()
    shutil.copyfile(
        shared_data / "epfl_ca1" / "images" / "001.png", tmp_path / "images" / "001.png"
    )
    rois = shared_data / "imagej_rois" / "ij_generated_epfl" / "train_001_traced.zip"
    output = tmp_path / "out.json"
    arguments = [rois, "--images", tmp_path / "images", "-o", output]
    assert convert_roi.main([str(item) for item in arguments]) == 0
    _, masks = load(output)
    (found,) = masks.values()
    # The traced set leaves out specks; every ROI is one whole component.
    whole = components(shared_data / "epfl_ca1" / "masks" / "001.png")
    assert len(found) == 20
    assert set(found) <= whole
    assert all(sum(mask) < 100 for mask in whole - set(found))


@pytest.mark.parametrize("rois", ["stack_traced.zip", "hyperstack_traced.zip", "stack_overlay.tif"])
def test_rois_of_a_stack_lie_on_their_pages(shared_data, tmp_path, rois):
    folder = shared_data / "imagej_rois" / "ij_generated_epfl"
    stack = folder / "train_001-005_stack_overlay.tif"
    output = tmp_path / "out.json"
    arguments = [folder / f"train_001-005_{rois}", "--images", stack, "-o", output]
    assert convert_roi.main([str(item) for item in arguments]) == 0
    document, masks = load(output)
    assert [image["frame"] for image in document["images"]] == [0, 1, 2, 3, 4]
    assert sum(len(found) for found in masks.values()) == 103
    for image in document["images"]:
        whole = components(shared_data / "epfl_ca1" / "masks" / f"00{image['frame'] + 1}.png")
        assert set(masks[image["id"]]) <= whole


@pytest.mark.parametrize(
    ("file", "area_px"),
    [
        # Pixels of each ROI's own mask in ImageJ 1.53t, summed over the file.
        pytest.param("ij_generated_epfl/train_001_polygon.zip", 61908, id="polygon"),
        pytest.param("ij_generated_epfl/train_001_freehand.zip", 61908, id="freehand"),
        pytest.param("ij_generated_epfl/train_001_traced.zip", 63870, id="traced"),
        pytest.param("ij_generated_epfl/train_001_subpixel_freehand.zip", 61852, id="sub-pixel"),
        pytest.param("ij_generated_epfl/train_001_composite.zip", 70907, id="composite"),
        pytest.param("ij_generated_epfl/train_001_oval_ellipse_rect.zip", 81719, id="oval-rect"),
        pytest.param("ij_generated_epfl/negative_outside.zip", 10478, id="negative"),
        pytest.param("RImageJROI/rounded_rect.roi", 16956, id="rounded-rectangle"),
        pytest.param("RImageJROI/elliptical.roi", 696, id="ellipse"),
        pytest.param("read-roi/composite-oval-in-rect.roi", 938, id="oval-in-rectangle"),
        pytest.param("read-roi/composite-two-ellipses.roi", 1389, id="two-ellipses"),
        pytest.param("read-roi/composite-brush-yin-yang.roi", 545, id="yin-yang"),
        pytest.param("read-roi/polygon-top.roi", 25, id="negative-polygon"),
        pytest.param("ijroi/freehand_circle.roi", 4, id="sub-pixel-circle"),
        pytest.param("ijroi/polygon_integer.roi", 36, id="edges-through-centres"),
    ],
)
def test_areas_are_those_of_imagej(shared_data, file, area_px):
    total = 0
    for roi in read_rois(shared_data / "imagej_rois" / file):
        low = np.floor(np.min([ring.min(axis=0) for ring in roi.rings], axis=0)).astype(int)
        high = np.ceil(np.max([ring.max(axis=0) for ring in roi.rings], axis=0)).astype(int)
        total += fill(roi.rings, (*low.tolist(), *(high - low).tolist())).sum()
    assert total == area_px


def test_rois_outside_their_image_are_named_and_no_empty_image_is_written(
    shared_data, tmp_path, capsys
):
    folder = shared_data / "imagej_rois" / "ij_generated_epfl"
    image = shared_data / "epfl_ca1" / "images" / "001.png"
    arguments = [folder / "big_coordinates.zip", "--images", image, "-o", tmp_path / "out.json"]
    assert convert_roi.main([str(item) for item in arguments]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "lies outside" in line]
    assert len(lines) == 20
    assert not (tmp_path / "out.json").exists()
