"""One real mask in every form that published data comes in gives the same instances."""

from __future__ import annotations

import json

import cv2
import numpy as np
import PIL.Image
import pytest
import tifffile

from mito_instance.annotations.from_masks import convert_mask_pairs
from mito_instance.annotations.mask_options import MaskOptions
from mito_instance.cli import convert_masks
from mito_instance.io.coco import read_coco
from mito_instance.masks import rle
from mito_instance.masks.labels import component_rles

pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module")
def real(shared_data):
    """An image and its mask as bool."""
    image = shared_data / "epfl_ca1" / "images" / "010.png"
    mask = cv2.imread(str(shared_data / "epfl_ca1" / "masks" / "010.png"), cv2.IMREAD_GRAYSCALE)
    return image, mask > 127


def jpeg(mask, quality=75):
    return cv2.imencode(".jpg", mask, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]


def labels(mask, dtype):
    _, found = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    return found.astype(dtype)


def colours(mask):
    table = np.random.default_rng(0).integers(1, 255, (1000, 3)).astype(np.uint8)
    table[0] = 0
    return table[labels(mask, np.int32)]


def palette(mask):
    """Indices that mean the same instances whatever colours the palette has."""
    picture = PIL.Image.fromarray(labels(mask, np.uint8), "P")
    picture.putpalette(np.random.default_rng(1).integers(0, 256, 768).astype(np.uint8).tobytes())
    return picture


def stray(mask):
    values = mask * np.uint8(255)
    values[0, :40] = np.arange(1, 41)
    return values


PNG = {
    "0-1": lambda mask: mask * np.uint8(1),
    "0-255": lambda mask: mask * np.uint8(255),
    "two-greys": lambda mask: np.where(mask, 180, 60).astype(np.uint8),
    "inverted": lambda mask: ~mask * np.uint8(255),
    "png-of-a-jpeg": lambda mask: cv2.imdecode(jpeg(mask * np.uint8(255), 95), 0),
    "rgb": lambda mask: np.dstack([mask * np.uint8(255)] * 3),
    "rgba": lambda mask: np.dstack([*[mask * np.uint8(255)] * 3, mask * 0 + np.uint8(255)]),
    "alpha": lambda mask: np.dstack([*[mask * np.uint8(0)] * 3, mask * np.uint8(255)]),
    "red": lambda mask: np.dstack([mask * np.uint8(0)] * 2 + [mask * np.uint8(255)]),
    "colours": colours,
    "stray": stray,
    "8-bit-labels": lambda mask: labels(mask, np.uint8),
    "16-bit-labels": lambda mask: labels(mask, np.uint16) * 900,
    "larger": lambda mask: np.pad(mask * np.uint8(255), ((0, 8), (0, 2))),
}
TIFF = {
    "1-bit": lambda mask: mask,
    "32-bit": lambda mask: mask * np.uint32(2**32 - 1),
    "float": lambda mask: mask * np.float32(1),
    "32-bit-labels": lambda mask: labels(mask, np.uint32) * 70_001,
    "float-labels": lambda mask: labels(mask, np.float32),
}


PILLOW = {
    "palette": palette,
    "1-bit-png": lambda mask: PIL.Image.fromarray(mask),
}


@pytest.mark.parametrize("form", [*PNG, *TIFF, *PILLOW])
def test_forms(real, tmp_path, form):
    image, mask = real
    path = tmp_path / f"010.{'tif' if form in TIFF else 'png'}"
    if form in PILLOW:
        PILLOW[form](mask).save(path)
    elif form in PNG:
        assert cv2.imwrite(str(path), PNG[form](mask))
    else:
        tifffile.imwrite(path, TIFF[form](mask), photometric="minisblack")
    conversion = convert_mask_pairs([(image, path)], MaskOptions())
    assert conversion.failures == []
    expected = {item["counts"] for item in component_rles(mask)}
    (found,) = conversion.images
    if form == "png-of-a-jpeg":  # the edges are blurred: nearly the same
        assert rle.iou_matrix(component_rles(mask), list(found.masks)).max(axis=1).min() > 0.95
    else:
        assert {item["counts"] for item in found.masks} == expected
    repaired = form in ("inverted", "png-of-a-jpeg", "stray", "larger")
    assert bool(conversion.reports[0].repairs) == repaired


def test_jpeg_and_pinholes(real, tmp_path):
    image, mask = real
    path = tmp_path / "010.jpg"
    path.write_bytes(jpeg(mask * np.uint8(255)).tobytes())
    (found,) = convert_mask_pairs([(image, path)], MaskOptions(min_area_px=25)).images
    expected = [item for item in component_rles(mask) if rle.area_px(item) >= 25]
    assert len(found) == len(expected)
    assert rle.iou_matrix(expected, list(found.masks)).max(axis=1).min() > 0.9

    inner = np.pad(mask[4:-4, 4:-4], 4)  # a hole at the border of the image stays one
    core = cv2.erode(inner.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    y, x = (axis[::50] for axis in np.nonzero(core))
    holed = mask * np.uint32(7)
    holed[y, x] = 0
    tifffile.imwrite(tmp_path / "010.tif", holed, photometric="minisblack")
    pair = (image, tmp_path / "010.tif")
    assert convert_mask_pairs([pair], MaskOptions()).images[0].masks != tuple(component_rles(mask))
    filled = convert_mask_pairs([pair], MaskOptions(fill_pinholes_px=8)).images[0]
    before = int(mask.sum())
    assert before <= sum(rle.area_px(item) for item in filled.masks) <= before + 20


def counts(masks):
    return {item["counts"] for item in masks}


def test_a_smaller_mask_is_padded(real, tmp_path):
    image, mask = real
    assert cv2.imwrite(str(tmp_path / "010.png"), mask[:-3, :-5] * np.uint8(255))
    conversion = convert_mask_pairs([(image, tmp_path / "010.png")], MaskOptions())
    expected = mask.copy()
    expected[-3:], expected[:, -5:] = False, False
    assert counts(conversion.images[0].masks) == counts(component_rles(expected))
    assert "1019 x 765 px cropped or padded" in conversion.reports[0].repairs[0]


def test_specks_are_counted_and_dropped_when_asked(real, tmp_path):
    image, mask = real
    free = ~cv2.dilate(mask.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool)
    y, x = (axis[::4999] for axis in np.nonzero(free))
    specked = mask.copy()
    specked[y, x] = True
    assert cv2.imwrite(str(tmp_path / "010.png"), specked * np.uint8(255))
    pair = (image, tmp_path / "010.png")
    conversion = convert_mask_pairs([pair], MaskOptions())
    n_small = sum(rle.area_px(item) < 25 for item in component_rles(mask))
    assert conversion.reports[0].n_specks == len(y) + n_small > 100
    dropped = convert_mask_pairs([pair], MaskOptions(min_area_px=25))
    large = [item for item in component_rles(mask) if rle.area_px(item) >= 25]
    assert counts(dropped.images[0].masks) == counts(large)


def test_one_file_an_instance_and_a_stack(shared_data, real, tmp_path):
    image, mask = real
    (tmp_path / "masks" / "010").mkdir(parents=True)
    for number, item in enumerate(component_rles(mask)):
        single = (rle.decode(item) * np.uint8(255)).astype(np.uint8)
        assert cv2.imwrite(str(tmp_path / "masks" / "010" / f"mito {number}.png"), single)
    output = tmp_path / "out.json"
    arguments = ["--images", image, "--masks", tmp_path / "masks", "-o", output]
    assert convert_masks.main([str(item) for item in arguments]) == 0
    assert counts(read_coco(output)[0].masks) == counts(component_rles(mask))

    pages = {}
    for what in ("images", "masks"):
        paths = [shared_data / "epfl_ca1" / what / f"01{number}.png" for number in range(3)]
        pages[what] = np.stack([cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in paths])
        tifffile.imwrite(tmp_path / f"{what}.tif", pages[what], photometric="minisblack")
    arguments = ["--images", tmp_path / "images.tif", "--masks", tmp_path / "masks.tif"]
    assert convert_masks.main([str(item) for item in (*arguments, "-o", output)]) == 0
    found = read_coco(output)
    assert [item.frame for item in found] == [0, 1, 2]
    for item, page in zip(found, pages["masks"], strict=True):
        assert counts(item.masks) == counts(component_rles(page > 127))


@pytest.mark.parametrize(
    ("image_name", "mask_name"),
    [
        pytest.param("Maus 3 \u00e4.png", "Maus 3 a\u0308_mask.png", id="spaces-and-two-unicodes"),
        pytest.param("\u7ebf\u7c92\u4f53 1.png", "\u7ebf\u7c92\u4f53 1_label.png", id="chinese"),
        pytest.param("images.010.png", "labels.010.png", id="images-and-labels"),
    ],
)
def test_names(real, tmp_path, image_name, mask_name):
    image, mask = real
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    (tmp_path / "images" / image_name).symlink_to(image)
    png = cv2.imencode(".png", mask * np.uint8(255))[1]
    (tmp_path / "masks" / mask_name).write_bytes(png.tobytes())
    output = tmp_path / "out.json"
    arguments = ["--images", tmp_path / "images", "--masks", tmp_path / "masks", "-o", output]
    assert convert_masks.main([str(item) for item in arguments]) == 0
    (found,) = read_coco(output)
    assert found.image.endswith(image_name)
    assert counts(found.masks) == counts(component_rles(mask))


def test_watershed_parts_touching_mitochondria(shared_data, tmp_path, capsys):
    source = shared_data / "cdeep3m" / "b"
    arguments = ["--images", source / "images", "--masks", source / "labels", "--dry-run"]
    assert convert_masks.main([str(item) for item in (*arguments, "--instances", "watershed")]) == 0
    error = capsys.readouterr().err
    assert "notice: 99 cuts through touching objects" in error
    assert "1144 instances on 20 images" in error  # 1045 components


def test_3d_components_keep_their_number(shared_data, tmp_path):
    source = shared_data / "epfl_ca1"
    output = tmp_path / "out.json"
    arguments = ["--images", source / "images", "--masks", source / "masks", "-o", output]
    arguments += ["--instances", "components-3d", "--min-area-px", "25"]
    assert convert_masks.main([str(item) for item in arguments]) == 0
    document = json.loads(output.read_text())
    ids = {entry["track_id"] for entry in document["annotations"]}
    assert len(document["annotations"]) == 2505
    assert len(ids) == 54  # 43 in slices 1 to 130, 11 in 141 to 165
