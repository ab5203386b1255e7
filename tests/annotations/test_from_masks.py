"""Mask files of every form to instances."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import tifffile

from mito_instance.annotations.from_masks import MaskOptions, convert_mask_pairs, pair_masks
from mito_instance.calibration import PixelSize
from mito_instance.errors import ConfigError
from mito_instance.masks import rle


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        tifffile.imwrite(path, array, photometric="minisblack")
    else:
        assert cv2.imwrite(str(path), array)
    return path


def two_squares(value=255, dtype=np.uint8):
    mask = np.zeros((20, 30), dtype)
    mask[2:6, 3:8] = value
    mask[10:13, 20:26] = value
    return mask


def with_stray_greys():
    mask = two_squares()
    mask[0, :5] = [1, 2, 40, 100, 127]
    return mask


@pytest.fixture
def image(tmp_path):
    return save(tmp_path / "images" / "a.png", np.full((20, 30), 90, np.uint8))


def areas(conversion, position=0):
    return [rle.area_px(item) for item in conversion.images[position].masks]


@pytest.mark.parametrize(
    ("mask", "name", "expected"),
    [
        pytest.param(two_squares(0), "a.png", [], id="empty"),
        pytest.param(two_squares(1), "a.png", [20, 18], id="0-1"),
        pytest.param(two_squares(255), "a.png", [20, 18], id="0-255"),
        pytest.param(two_squares(65535, np.uint16), "a.png", [20, 18], id="16-bit"),
        pytest.param(two_squares(1.0, np.float32), "a.tif", [20, 18], id="float"),
        pytest.param(with_stray_greys(), "a.png", [20, 18], id="stray-greys"),
    ],
)
def test_binary_masks(tmp_path, image, mask, name, expected):
    conversion = convert_mask_pairs([(image, save(tmp_path / "m" / name, mask))], MaskOptions())
    assert areas(conversion) == expected
    assert conversion.failures == []
    assert conversion.images[0].image == str(image)
    assert conversion.images[0].image_hw == (20, 30)


def test_jpeg_noise_makes_no_instances(tmp_path, image):
    mask = save(tmp_path / "m" / "a.jpg", two_squares())
    assert len(np.unique(cv2.imread(str(mask), 0))) > 2
    conversion = convert_mask_pairs([(image, mask)], MaskOptions())
    assert len(conversion.images[0]) == 2
    assert conversion.notices == ["masks read as: 1 binary, with noise"]


def test_label_image(tmp_path, image):
    labels = two_squares(3)
    labels[2:6, 8:10] = 7  # touches the first square
    conversion = convert_mask_pairs(
        [(image, save(tmp_path / "m" / "a.png", labels))], MaskOptions()
    )
    assert sorted(areas(conversion)) == [8, 18, 20]
    assert "masks read as: 1 label images" in conversion.notices
    assert any("1 label values lie in several parts" in line for line in conversion.notices)


def test_the_mode_can_be_forced(tmp_path, image):
    pair = (image, save(tmp_path / "m" / "a.png", np.maximum(two_squares(200), 0)))
    labels = convert_mask_pairs([pair], MaskOptions(instances="labels"))
    assert areas(labels) == [20, 18]
    failed = convert_mask_pairs([pair], MaskOptions(instances="files"))
    assert "--instances files needs a folder of masks" in failed.failures[0]


def test_connectivity(tmp_path, image):
    mask = np.zeros((20, 30), np.uint8)
    mask[3, 3] = mask[4, 4] = 255
    pair = (image, save(tmp_path / "m" / "a.png", mask))
    assert areas(convert_mask_pairs([pair], MaskOptions())) == [2]
    assert areas(convert_mask_pairs([pair], MaskOptions(connectivity=4))) == [1, 1]


def test_specks_are_kept_unless_asked_and_then_counted(tmp_path, image):
    mask = two_squares()
    mask[0, 0] = mask[19, 0] = 255
    pair = (image, save(tmp_path / "m" / "a.png", mask))
    assert len(convert_mask_pairs([pair], MaskOptions()).images[0]) == 4
    conversion = convert_mask_pairs([pair], MaskOptions(min_area_px=2))
    assert areas(conversion) == [20, 18]
    assert "2 of 4 instances are smaller than 2 px; dropped" in conversion.notices[-1]


def test_a_folder_with_one_file_an_instance(tmp_path, image):
    folder = tmp_path / "masks" / "a"
    whole = np.zeros((20, 30), np.uint8)
    whole[2:10, 3:13] = 255
    save(folder / "a_Mask_0.jpg", whole)
    save(folder / "a_Mask_1.png", np.roll(whole, 5, axis=1))
    save(folder / "a_Mask_2.png", np.zeros((20, 30), np.uint8))
    (folder / "notes.txt").write_text("x")
    conversion = convert_mask_pairs([(image, folder)], MaskOptions())
    assert areas(conversion) == [80, 80]
    assert rle.intersection_px(*conversion.images[0].masks) == 40
    assert any("holds no instance; left out" in line for line in conversion.notices)
    assert pair_masks(tmp_path / "images", tmp_path / "masks").pairs == ((image, folder),)


def test_an_empty_folder_is_an_image_without_instances(tmp_path, image):
    (tmp_path / "masks" / "a").mkdir(parents=True)
    conversion = convert_mask_pairs([(image, tmp_path / "masks" / "a")], MaskOptions())
    assert areas(conversion) == []


def test_stacks_go_page_by_page(tmp_path):
    image = save(tmp_path / "a.tif", np.zeros((3, 20, 30), np.uint8))
    masks = np.stack([two_squares(), two_squares(0), two_squares()])
    conversion = convert_mask_pairs([(image, save(tmp_path / "m" / "a.tif", masks))], MaskOptions())
    assert [(item.frame, len(item)) for item in conversion.images] == [(0, 2), (1, 0), (2, 2)]


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        pytest.param(np.zeros((20, 31), np.uint8), "mask is 31 x 20 px but its image", id="size"),
        pytest.param(np.zeros((2, 20, 30), np.uint8), "has 2 pages but", id="pages"),
    ],
)
def test_masks_that_do_not_fit(tmp_path, image, mask, message):
    conversion = convert_mask_pairs([(image, save(tmp_path / "m" / "a.tif", mask))], MaskOptions())
    assert conversion.images == []
    assert message in conversion.failures[0]
    assert str(image) in conversion.failures[0]


def test_a_bad_file_leaves_the_others(tmp_path, image):
    bad = tmp_path / "m" / "bad.png"
    good = save(tmp_path / "m" / "a.png", two_squares())
    bad.write_bytes(b"no image at all")
    conversion = convert_mask_pairs([(image, bad), (image, good)], MaskOptions())
    assert len(conversion.images) == 1
    assert len(conversion.failures) == 1
    assert str(bad) in conversion.failures[0]
    assert "\n" not in conversion.failures[0]


def test_pixel_size_of_the_user_wins(tmp_path, image):
    pair = (image, save(tmp_path / "m" / "a.png", two_squares()))
    size = PixelSize(5.0, "user")
    assert convert_mask_pairs([pair], MaskOptions(pixel_size=size)).images[0].pixel_size == size


def test_no_pairs_give_nothing():
    conversion = convert_mask_pairs([], MaskOptions())
    assert (conversion.images, conversion.notices, conversion.failures) == ([], [], [])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        pytest.param({"instances": "watershed"}, "must be one of auto, components", id="mode"),
        pytest.param({"connectivity": 6}, "must be 4 or 8, got 6", id="connectivity"),
        pytest.param({"min_area_px": 0}, "must be >= 1 px, got 0", id="area"),
    ],
)
def test_options_are_checked(fields, message):
    with pytest.raises(ConfigError, match=message):
        MaskOptions(**fields)


def test_two_files_belong_together_whatever_their_names(tmp_path, image):
    mask = save(tmp_path / "m" / "other.png", two_squares())
    assert pair_masks(image, mask).pairs == ((image, mask),)


def test_masks_inside_the_image_folder_are_no_images(tmp_path, image):
    mask = save(tmp_path / "images" / "masks" / "a.png", two_squares())
    pairing = pair_masks(tmp_path / "images", tmp_path / "images" / "masks")
    assert pairing.pairs == ((image, mask),)
    assert pairing.images_alone == ()


def test_one_folder_for_both_is_refused(image):
    with pytest.raises(ConfigError, match="are the same folder"):
        pair_masks(image.parent, image.parent)
