"""Mask files of every form to instances."""

from __future__ import annotations

import weakref
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from mito_instance.annotations.from_masks import convert_mask_pairs
from mito_instance.annotations.mask_options import MaskOptions
from mito_instance.annotations.mask_pairs import pair_masks
from mito_instance.annotations.mask_parts import component_parts
from mito_instance.calibration import PixelSize
from mito_instance.errors import AnnotationError, ConfigError, MitoInstanceError
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
    (report,) = conversion.reports
    assert report.saw.startswith("JPEG: ")
    assert report.repairs[0].startswith("cut at 127 (")


def test_label_image(tmp_path, image):
    labels = two_squares(3)
    labels[2:6, 8:10] = 7  # touches the first square; value 3 lies in two places
    conversion = convert_mask_pairs(
        [(image, save(tmp_path / "m" / "a.png", labels))], MaskOptions()
    )
    assert sorted(areas(conversion)) == [8, 18, 20]
    (report,) = conversion.reports
    assert report.saw == "8-bit: 2 labels to 7"
    assert report.did == ("labels", "1 labels in several parts, each an instance")
    assert conversion.images[0].track_ids == ()


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
    assert conversion.reports[0].did == ("components", "2 under 2 px dropped")
    assert conversion.reports[0].n_specks == 2
    assert "2 instances are specks under 25 px and are kept" in conversion.notices[0]


def test_a_folder_with_one_file_an_instance(tmp_path, image):
    folder = tmp_path / "masks" / "a"
    whole = np.zeros((20, 30), np.uint8)
    whole[2:10, 3:13] = 255
    save(folder / "a_Mask_0.jpg", whole)
    save(folder / "a_Mask_1.png", np.roll(whole, 5, axis=1))
    save(folder / "a_Mask_2.png", np.zeros((20, 30), np.uint8))
    (folder / "notes.txt").write_text("x")
    (folder / "._a_Mask_1.png").write_bytes(b"\0\5\x16\7")  # as macOS writes them
    (tmp_path / "masks" / ".cache").mkdir()
    conversion = convert_mask_pairs([(image, folder)], MaskOptions())
    assert areas(conversion) == [80, 80]
    assert rle.intersection_px(*conversion.images[0].masks) == 40
    (report,) = conversion.reports
    assert report.did == ("files", "no instance in: a_Mask_2.png")
    assert report.repairs == ("cut at 127: a_Mask_0.jpg",)
    assert pair_masks(tmp_path / "images", tmp_path / "masks").pairs == ((image, folder),)


@pytest.mark.parametrize("name", ["a.png", "a"])
def test_folders_of_masks_named_like_images_and_hidden_files_are_no_masks(tmp_path, image, name):
    folder = tmp_path / "masks" / name
    save(folder / "0.png", two_squares())
    (tmp_path / "masks" / "._old.png").write_bytes(b"\0\5\x16\7")
    assert pair_masks(tmp_path / "images", tmp_path / "masks").pairs == ((image, folder),)


def test_an_empty_folder_is_an_image_without_instances(tmp_path, image):
    (tmp_path / "masks" / "a").mkdir(parents=True)
    conversion = convert_mask_pairs([(image, tmp_path / "masks" / "a")], MaskOptions())
    assert areas(conversion) == []


def test_a_folder_of_other_files_is_no_image_without_instances(tmp_path, image):
    folder = tmp_path / "masks" / "a"
    folder.mkdir(parents=True)
    np.save(folder / "0.npy", two_squares())
    (folder / "1.gif").write_bytes(b"GIF89a")
    conversion = convert_mask_pairs([(image, folder)], MaskOptions())
    assert conversion.images == []
    assert conversion.failures == [
        f"{folder}: holds no PNG, JPEG, BMP or TIFF but 2 other files, such as 0.npy; save each "
        f"mask as PNG, or empty the folder if {image} has no instance"
    ]


def test_stacks_go_page_by_page(tmp_path):
    image = save(tmp_path / "a.tif", np.zeros((3, 20, 30), np.uint8))
    masks = np.stack([two_squares(), two_squares(0), two_squares()])
    conversion = convert_mask_pairs([(image, save(tmp_path / "m" / "a.tif", masks))], MaskOptions())
    assert [(item.frame, len(item)) for item in conversion.images] == [(0, 2), (1, 0), (2, 2)]


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        pytest.param(np.zeros((20, 39), np.uint8), "mask is 39 x 20 px but its image", id="size"),
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
        pytest.param({"instances": "best"}, "must be one of auto, components", id="mode"),
        pytest.param({"foreground": "red"}, "one of auto, bright, dark, got 'red'", id="side"),
        pytest.param({"fill_pinholes_px": -1}, "must be >= 0 px, got -1", id="pinholes"),
        pytest.param({"watershed_depth_px": float("nan")}, "must be > 0 px, got nan", id="depth"),
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


def test_a_mask_beside_its_image_is_no_image(tmp_path, image):
    mask = save(tmp_path / "images" / "mask.png", two_squares())
    assert pair_masks(tmp_path / "images", mask).pairs == ((image, mask),)


def test_a_mask_beside_its_image_is_none_however_it_is_spelled(tmp_path, image, monkeypatch):
    save(tmp_path / "images" / "a_mask.png", two_squares())
    monkeypatch.chdir(tmp_path)
    pairs = pair_masks(Path("images"), tmp_path / "images" / "a_mask.png").pairs
    assert [(one.name, mask.name) for one, mask in pairs] == [(image.name, "a_mask.png")]


def test_a_transposed_mask_is_refused(tmp_path):
    image = save(tmp_path / "images" / "a.png", np.full((30, 34), 90, np.uint8))
    mask = np.zeros((34, 30), np.uint8)
    mask[2:9, 3:6] = 255
    conversion = convert(save(tmp_path / "m" / "a.png", mask), image)
    assert conversion.images == []
    assert "rows and columns are exchanged; save the mask transposed" in conversion.failures[0]


def test_one_folder_for_both_is_refused(image):
    with pytest.raises(ConfigError, match="are the same folder"):
        pair_masks(image.parent, image.parent)


def convert(mask, image, **options):
    return convert_mask_pairs([(image, mask)], MaskOptions(**options))


def test_a_mask_a_few_px_off_is_mended_at_the_bottom_right(tmp_path, image):
    larger = np.pad(two_squares(), ((0, 3), (0, 8)))
    larger[20:, :5] = larger[:5, 30:] = 255  # outside the image
    conversion = convert(save(tmp_path / "m" / "a.png", larger), image)
    assert areas(conversion) == [20, 18]
    assert conversion.reports[0].repairs == ("38 x 23 px cropped or padded to 30 x 20",)
    smaller = convert(save(tmp_path / "m" / "b.png", two_squares()[:12]), image)
    assert areas(smaller) == [20, 12]


def labels_of(n_labels):
    labels = np.zeros((20, 100), np.uint8)
    for number in range(n_labels):
        labels[2 + 9 * (number // 15) :, 2 + 6 * (number % 15) :][:5, :4] = number + 1
    return labels


@pytest.mark.parametrize("n_labels", [2, 3, 30])
@pytest.mark.parametrize("ground", [(255, 255, 255), (0, 0, 0), (90, 90, 90)])
def test_colours_are_labels_on_any_ground(tmp_path, n_labels, ground):
    image = save(tmp_path / "images" / "a.png", np.full((20, 100), 90, np.uint8))
    palette = np.random.default_rng(0).permutation(250)[:n_labels] + 3
    colours = np.array([ground, *((20, value, 255 - value) for value in palette)], np.uint8)
    conversion = convert(save(tmp_path / "m" / "a.png", colours[labels_of(n_labels)]), image)
    assert areas(conversion) == [20] * n_labels
    as_binary = MaskOptions(instances="components")
    conversion = convert_mask_pairs([(image, tmp_path / "m" / "a.png")], as_binary)
    assert areas(conversion) == [20] * n_labels


@pytest.mark.parametrize("options", [{}, {"instances": "components"}])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_the_ground_of_a_palette_may_have_any_index(tmp_path, options, suffix):
    """As programs number colours that save an RGB picture with a palette."""
    image = save(tmp_path / "images" / "a.png", np.full((20, 100), 90, np.uint8))
    indices = (labels_of(7) + 3) % 8  # ground 3, one of the labels 0
    palette = np.random.default_rng(0).permutation(250)[: 3 * 8].reshape(8, 3)
    path = tmp_path / f"a{suffix}"
    picture = Image.fromarray(indices.astype(np.uint8), mode="P")
    picture.putpalette(palette.ravel().tolist())
    picture.save(path)
    conversion = convert(path, image, **options)
    assert areas(conversion) == [20] * 7
    assert "colour 3 of the palette, which surrounds the rest, is background" in (
        conversion.reports[0].repairs
    )


def test_colours_of_a_bmp_are_labels(tmp_path):
    image = save(tmp_path / "images" / "a.png", np.full((20, 100), 90, np.uint8))
    colours = np.array([(0, 0, 0), (0, 0, 2), (40, 0, 0), (0, 40, 0)], np.uint8)
    assert areas(convert(save(tmp_path / "m" / "a.bmp", colours[labels_of(3)]), image)) == [20] * 3


@pytest.mark.parametrize("ground", [(255, 255, 255), (0, 0, 0), (250, 240, 200)])
@pytest.mark.parametrize("ink", [(0, 0, 255), (200, 30, 10), (0, 0, 0)])
def test_soft_edges_of_one_colour_are_no_labels(tmp_path, ground, ink):
    image = save(tmp_path / "images" / "a.png", np.full((90, 120), 90, np.uint8))
    if ground == ink:
        pytest.skip("nothing is drawn")
    drawn = np.full((90, 120, 3), ground, np.uint8)
    for x, y, radius in ((25, 25, 12), (80, 40, 20), (40, 70, 9)):
        cv2.circle(drawn, (x, y), radius, ink, -1, cv2.LINE_AA)
    conversion = convert(save(tmp_path / "m" / "a.png", drawn), image)
    assert len(conversion.images[0]) == 3
    assert sorted(areas(conversion)) == pytest.approx([284, 491, 1320], rel=0.03)


def test_a_lookup_table_of_imagej_paints_greys_and_numbers_no_colours(tmp_path):
    image = save(tmp_path / "images" / "a.png", np.full((90, 120), 90, np.uint8))
    drawn = np.full((90, 120), 255, np.uint8)
    for x, y in ((30, 45), (90, 45)):
        cv2.circle(drawn, (x, y), 20, 0, -1, cv2.LINE_AA)
    red = np.zeros((3, 256), np.uint16)
    red[0] = np.arange(256) * 257
    path = tmp_path / "m.tif"
    tifffile.imwrite(path, drawn, photometric="palette", colormap=red)
    assert areas(convert(path, image)) == pytest.approx([1300, 1300], rel=0.04)


def test_soft_edges_on_black_are_no_ground_however_much_is_drawn(tmp_path):
    image = save(tmp_path / "images" / "a.png", np.full((90, 120), 90, np.uint8))
    drawn = np.zeros((90, 120, 3), np.uint8)
    for x, y in ((30, 45), (90, 45)):
        cv2.ellipse(drawn, (x, y), (26, 42), 0, 0, 360, (0, 0, 255), -1, cv2.LINE_AA)
    conversion = convert(save(tmp_path / "m" / "a.png", drawn), image)
    assert areas(conversion) == pytest.approx([3540, 3540], rel=0.03)


def test_labels_in_shades_of_one_colour_are_labels(tmp_path):
    image = save(tmp_path / "images" / "a.png", np.full((20, 100), 90, np.uint8))
    shades = np.zeros((6, 3), np.uint8)
    shades[1:, 2] = (255, 200, 150, 100, 50)
    conversion = convert(save(tmp_path / "m" / "a.png", shades[labels_of(5)]), image)
    assert len(conversion.images[0]) == 5


def test_labels_under_an_inverting_lookup_table_are_those_stored(tmp_path):
    image = save(tmp_path / "images" / "a.png", np.full((20, 100), 90, np.uint8))
    for dtype in (np.uint8, np.uint16):
        path = tmp_path / "m.tif"
        tifffile.imwrite(path, labels_of(30).astype(dtype), photometric="miniswhite")
        assert areas(convert(path, image)) == [20] * 30


@pytest.mark.parametrize("name", ["v1", "old2", "1"])
def test_a_folder_with_a_number_beside_masks_is_no_mask_of_that_image(tmp_path, name):
    images = [tmp_path / "images" / f"cell_{number}.png" for number in (1, 2, 3)]
    for path in images:
        save(path, np.zeros((20, 30), np.uint8))
        save(tmp_path / "masks" / path.name, np.zeros((20, 30), np.uint8))
        save(tmp_path / "masks" / name / path.name, np.zeros((20, 30), np.uint8))
    found = pair_masks(tmp_path / "images", tmp_path / "masks")
    assert found.pairs == tuple((path, tmp_path / "masks" / path.name) for path in images)


def test_folders_of_masks_may_be_numbered_like_the_images(tmp_path):
    images = [tmp_path / "images" / f"cell_{number}.png" for number in (1, 2, 3)]
    for number, path in enumerate(images, start=1):
        save(path, np.zeros((20, 30), np.uint8))
        save(tmp_path / "masks" / f"m{number}" / "a.png", np.zeros((20, 30), np.uint8))
    save(tmp_path / "masks" / "overview.png", np.zeros((20, 30), np.uint8))
    found = pair_masks(tmp_path / "images", tmp_path / "masks")
    assert [partner.name for _, partner in found.pairs] == ["m1", "m2", "m3"]


@pytest.mark.parametrize("foreground", ["auto", "dark"])
def test_particles_under_an_inverting_lookup_table_are_those_stored_as_255(tmp_path, foreground):
    image = save(tmp_path / "images" / "a.png", np.full((20, 30), 90, np.uint8))
    stored = np.zeros((20, 30), np.uint8)
    stored[:, :25] = 255  # fills most of the picture, which neither side surrounds
    path = tmp_path / "m.tif"
    tifffile.imwrite(path, stored, photometric="miniswhite")
    assert areas(convert(path, image, foreground=foreground)) == [20 * 25]
    assert areas(convert(path, image, foreground="bright")) == [20 * 5]


def test_folders_of_files_named_like_images_are_no_masks_of_numbered_ones(tmp_path):
    images = [tmp_path / "images" / f"cell_{number}.png" for number in (1, 2, 3)]
    for path in images:
        save(path, np.zeros((20, 30), np.uint8))
        for name in ("v1", "v2"):
            save(tmp_path / "masks" / name / path.name, np.zeros((20, 30), np.uint8))
    with pytest.raises(MitoInstanceError, match="masks"):
        pair_masks(tmp_path / "images", tmp_path / "masks")
    save(tmp_path / "masks" / "cell_1.png", np.zeros((20, 30), np.uint8))
    found = pair_masks(tmp_path / "images", tmp_path / "masks")
    assert found.pairs == ((images[0], tmp_path / "masks" / "cell_1.png"),)


def test_folders_whose_masks_are_numbered_may_be_numbered_like_the_images(tmp_path):
    for number in (1, 2):
        save(tmp_path / "images" / f"{number}.png", np.zeros((20, 30), np.uint8))
        for mask in (1, 2, 3):
            save(tmp_path / "masks" / f"m{number}" / f"{mask}.png", np.zeros((20, 30), np.uint8))
    found = pair_masks(tmp_path / "images", tmp_path / "masks")
    assert [(image.stem, partner.name) for image, partner in found.pairs] == [
        ("1", "m1"),
        ("2", "m2"),
    ]


def test_folders_that_count_from_another_number_are_said(tmp_path):
    for number in range(3):
        save(tmp_path / "images" / f"image_{number:03d}.png", np.zeros((20, 30), np.uint8))
        mask = tmp_path / "masks" / f"mask_{number + 1:03d}" / "a.png"
        save(mask, np.zeros((20, 30), np.uint8))
    found = pair_masks(tmp_path / "images", tmp_path / "masks")
    assert found.pairs == ()
    assert "3 images are numbered 0 to 2, but as many partners" in found.ambiguous[0]


def test_white_particles_that_are_stored_as_0_need_no_repair(tmp_path):
    image = save(tmp_path / "images" / "a.png", np.full((20, 30), 90, np.uint8))
    stored = np.full((20, 30), 255, np.uint8)
    stored[4:8, 5:10] = 0
    path = tmp_path / "m.tif"
    tifffile.imwrite(path, stored, photometric="miniswhite")
    conversion = convert(path, image)
    assert areas(conversion) == [20]
    assert conversion.reports[0].repairs == ()


def test_colours_of_a_stack_are_no_tracks(tmp_path):
    pages = np.zeros((2, 20, 30, 3), np.uint8)
    pages[0, 2:6, 3:8], pages[0, 10:13, 20:26] = (0, 255, 0), (255, 0, 0)
    pages[1, 2:6, 3:8], pages[1, 10:13, 20:26] = (0, 0, 255), (0, 255, 0)
    mask = tmp_path / "m.tif"
    tifffile.imwrite(mask, pages, photometric="rgb")
    stack = save(tmp_path / "images" / "s.tif", np.full((2, 20, 30), 90, np.uint8))
    conversion = convert_mask_pairs([(stack, mask)], MaskOptions())
    assert [image.track_ids for image in conversion.images] == [(), ()]
    assert "no track_id: numbers of colours hold for their page alone" in conversion.reports[0].did


def test_an_inverted_mask_is_turned_over_and_padded_with_background(tmp_path, image):
    inverted = 255 - two_squares()[:18]
    conversion = convert(save(tmp_path / "m" / "a.png", inverted), image)
    assert areas(conversion) == [20, 18]
    assert "inverted: bright is 93% and surrounds the rest" in conversion.reports[0].repairs
    kept = convert(tmp_path / "m" / "a.png", image, foreground="bright")
    assert areas(kept) == [18 * 30 - 38]
    turned = convert(tmp_path / "m" / "a.png", image, foreground="dark")
    assert areas(turned) == [20, 18]


def test_masks_of_both_senses_in_one_set_are_pointed_out(tmp_path, image):
    one = save(tmp_path / "m" / "a.png", two_squares())
    other = save(tmp_path / "m" / "b.png", 255 - two_squares())
    conversion = convert_mask_pairs([(image, one), (image, other)], MaskOptions())
    assert "1 of 2 masks were inverted" in conversion.notices[0]


def test_strict_refuses_a_repair_and_names_the_mask(tmp_path, image):
    mask = save(tmp_path / "m" / "a.png", 255 - two_squares())
    with pytest.raises(AnnotationError, match=r"a\.png: needs a repair, .*: inverted: bright"):
        convert(mask, image, strict=True)
    assert areas(convert(save(mask, two_squares()), image, strict=True)) == [20, 18]


def test_pinholes_are_counted_and_filled_only_when_asked(tmp_path, image):
    mask = two_squares()
    mask[3, 4] = mask[4, 6] = 0
    path = save(tmp_path / "m" / "a.png", mask)
    assert areas(convert(path, image)) == [18, 18]
    assert convert(path, image).reports[0].did == ("2 pinholes kept", "components")
    filled = convert(path, image, fill_pinholes_px=1)
    assert areas(filled) == [20, 18]
    assert filled.reports[0].did == ("2 pinholes filled", "components")


def test_a_pinhole_between_two_labels_stays(tmp_path, image):
    labels = two_squares(1)
    labels[2:6, 8:13] = 2
    labels[3, 5] = labels[4, 8] = 0  # inside label 1; between both
    path = save(tmp_path / "m" / "a.png", labels)
    conversion = convert(path, image, fill_pinholes_px=2)
    assert sorted(areas(conversion)) == [18, 19, 20]
    assert "1 pinholes filled" in conversion.reports[0].did


def test_watershed_counts_its_cuts(tmp_path):
    mask = np.zeros((60, 100), np.uint8)
    cv2.circle(mask, (25, 30), 15, 255, -1)
    cv2.circle(mask, (53, 30), 15, 255, -1)
    image = save(tmp_path / "i" / "a.png", np.zeros_like(mask))
    path = save(tmp_path / "m" / "a.png", mask)
    assert len(convert(path, image).images[0]) == 1
    conversion = convert(path, image, instances="watershed")
    assert len(conversion.images[0]) == 2
    assert sum(areas(conversion)) == int((mask > 0).sum())
    assert conversion.reports[0].n_cuts == 1


def test_components_3d_keep_their_number_over_the_pages(tmp_path):
    stack = np.zeros((3, 20, 30), np.uint8)
    stack[:, 2:6, 3:8] = 255
    stack[1, 2:6, 20:25] = stack[1, 2:6, 7:21] = 255  # joins both on the second page
    stack[2, 2:6, 20:25] = 255
    stack[2, 15, 15] = 255
    image = save(tmp_path / "a.tif", np.zeros_like(stack))
    conversion = convert(save(tmp_path / "m.tif", stack), image, instances="components-3d")
    assert [item.track_ids for item in conversion.images] == [(1,), (1,), (1, 1, 2)]
    assert "2 3D components in 3 slices" in conversion.notices[0]
    large = convert(tmp_path / "m.tif", image, instances="components-3d", min_area_px=2)
    assert [item.track_ids for item in large.images] == [(1,), (1,), (1, 1)]


def test_components_3d_of_two_stacks_are_numbered_apart_and_hold_few_pages(tmp_path, monkeypatch):
    pages, n_alive = [], []

    def counted(*args):
        parts = component_parts(*args)
        pages.append(weakref.ref(parts))
        n_alive.append(sum(page() is not None for page in pages))
        return parts

    monkeypatch.setattr("mito_instance.annotations.mask_conversion.component_parts", counted)
    stack = np.stack([two_squares()] * 12)
    pairs = []
    for name in ("a.tif", "b.tif"):
        image = save(tmp_path / "i" / name, np.zeros_like(stack))
        pairs.append((image, save(tmp_path / "m" / name, stack)))
    conversion = convert_mask_pairs(pairs, MaskOptions(instances="components-3d"))
    assert [item.track_ids for item in conversion.images] == [(1, 2)] * 12 + [(3, 4)] * 12
    assert (len(pages), max(n_alive) <= 8) == (24, True)


def test_components_3d_link_numbered_files_and_stop_at_gaps(tmp_path):
    pairs = []
    for number in (9, 10, 12):
        name = f"z_{number}.png"
        image = save(tmp_path / "i" / name, np.zeros((20, 30), np.uint8))
        pairs.append((image, save(tmp_path / "m" / name, two_squares())))
    conversion = convert_mask_pairs(pairs, MaskOptions(instances="components-3d"))
    assert [item.track_ids for item in conversion.images] == [(1, 2), (1, 2), (3, 4)]


def test_a_stack_of_labels_keeps_them_also_where_a_page_has_only_one(tmp_path):
    stack = np.zeros((2, 20, 30), np.uint16)
    stack[0, 2:6, 3:8], stack[0, 10:13, 20:26] = 700, 3
    stack[1, 2:6, 3:8] = 700
    image = save(tmp_path / "a.tif", np.zeros_like(stack))
    conversion = convert(save(tmp_path / "m.tif", stack), image)
    assert [item.track_ids for item in conversion.images] == [(700, 3), (700,)]


@pytest.mark.parametrize(
    ("values", "tracks"),
    [
        ((1, 2, 2), [(1,), (2,), (2,)]),
        ((300, 1, 300), [(300,), (1,), (300,)]),
        ((7, 7, 7), [(), (), ()]),
        ((255, 254, 255), [(), (), ()]),
        ((255, 65535, 255), [(), (), ()]),
        ((1, 255, 1), [(), (), ()]),
    ],
)
def test_a_stack_of_one_label_a_page_is_one_of_labels(tmp_path, values, tracks):
    stack = np.zeros((3, 20, 30), np.uint16)
    for page, value in enumerate(values):
        stack[page, 2:6, 3:8] = value
    image = save(tmp_path / "a.tif", np.zeros_like(stack))
    conversion = convert(save(tmp_path / "m.tif", stack), image)
    assert [item.track_ids for item in conversion.images] == tracks


def test_names_with_spaces_and_unicode(tmp_path):
    image = save(tmp_path / "i" / "größe 1.tif", np.zeros((20, 30), np.uint8))
    mask = save(tmp_path / "m" / "gro\u0308ße 1_mask.tif", two_squares())
    pairing = pair_masks(tmp_path / "i", tmp_path / "m")
    assert pairing.pairs == ((image, mask),)
    assert areas(convert_mask_pairs(pairing.pairs, MaskOptions())) == [20, 18]


def test_pairing_by_order_only_when_asked(tmp_path):
    for name in ("x1.png", "x2.png"):
        save(tmp_path / "i" / name, np.zeros((20, 30), np.uint8))
    for name in ("beta.png", "alpha.png"):
        save(tmp_path / "m" / name, two_squares())
    assert pair_masks(tmp_path / "i", tmp_path / "m").pairs == ()
    pairs = pair_masks(tmp_path / "i", tmp_path / "m", "order").pairs
    assert [mask.name for _, mask in pairs] == ["alpha.png", "beta.png"]
    save(tmp_path / "m" / "gamma.png", two_squares())
    with pytest.raises(AnnotationError, match="got 3 masks for 2 images"):
        pair_masks(tmp_path / "i", tmp_path / "m", "order")


def test_noise_is_refused_in_one_line(tmp_path):
    noise = np.zeros((500, 500), np.uint8)
    noise[::2, ::2] = 255  # 62,500 specks
    image = save(tmp_path / "i" / "a.png", np.zeros_like(noise))
    conversion = convert(save(tmp_path / "m" / "a.png", noise), image)
    assert "a mask may have 50000 separate parts, got 62500" in conversion.failures[0]


@pytest.mark.parametrize("names", [("wt_1", "ko_1"), ("cell", "cell_2"), ("cell_2", "cell")])
def test_a_mask_beside_a_folder_is_that_of_its_own_image(tmp_path, names):
    for name in names:
        save(tmp_path / "images" / f"{name}.png", np.zeros((20, 30), np.uint8))
    folder, file = tmp_path / "masks" / names[0], tmp_path / "masks" / f"{names[1]}.png"
    save(folder / "1.png", np.zeros((20, 30), np.uint8))
    save(file, np.zeros((20, 30), np.uint8))
    found = pair_masks(tmp_path / "images", tmp_path / "masks")
    assert {image.stem: mask for image, mask in found.pairs} == {names[0]: folder, names[1]: file}


def test_masks_beside_folders_of_masks(tmp_path):
    images = [tmp_path / "images" / f"{name}.png" for name in "abc"]
    for path in images:
        save(path, np.zeros((20, 30), np.uint8))
    save(tmp_path / "masks" / "a" / "1.png", np.zeros((20, 30), np.uint8))
    save(tmp_path / "masks" / "b.png", np.zeros((20, 30), np.uint8))
    save(tmp_path / "masks" / "other.png", np.zeros((20, 30), np.uint8))
    found = pair_masks(tmp_path / "images", tmp_path / "masks")
    assert dict(found.pairs) == {
        images[0]: tmp_path / "masks" / "a",
        images[1]: tmp_path / "masks" / "b.png",
    }
    assert found.images_alone == (images[2],)
    assert found.partners_alone == (tmp_path / "masks" / "other.png",)
    save(tmp_path / "masks" / "a.png", np.zeros((20, 30), np.uint8))
    assert pair_masks(tmp_path / "images", tmp_path / "masks").pairs == found.pairs
    images[2].unlink()
    images[1].unlink()
    found = pair_masks(tmp_path / "images", tmp_path / "masks")
    assert (found.pairs, found.partners_alone) == (((images[0], tmp_path / "masks" / "a"),), ())
