"""ROI sets to instances of the images and pages they were drawn on."""

from __future__ import annotations

import zipfile

import cv2
import numpy as np
import pytest
import roifile
import tifffile

from mito_instance.annotations.from_rois import convert_roi_pairs
from mito_instance.annotations.roi_sets import find_roi_sets, pair_by_table, pair_roi_sets
from mito_instance.calibration import PixelSize
from mito_instance.errors import AnnotationError
from mito_instance.masks import rle

SQUARE = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])


def square(x, y, side=4, **fields):
    roi = roifile.ImagejRoi.frompoints(SQUARE * side + np.array([x, y]), name=f"m{x}")
    roi.roitype = fields.pop("roitype", roifile.ROI_TYPE.TRACED)
    for field, value in fields.items():
        setattr(roi, field, value)
    return roi.tobytes()


def save_zip(path, *rois):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for number, data in enumerate(rois):
            archive.writestr(f"{number}.roi", data)
    return path


def save_image(path, n_pages=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        pixels = np.zeros((n_pages, 20, 30), np.uint8)
        tifffile.imwrite(path, pixels, imagej=True, metadata={"axes": "ZYX"})
    else:
        cv2.imwrite(str(path), np.zeros((20, 30), np.uint8))
    return path


def convert(image, *inputs, **fields):
    pairing = pair_roi_sets([image], find_roi_sets(list(inputs)))
    return convert_roi_pairs(pairing.pairs, **fields)


def always(_image, _page):
    return True


def areas(conversion, position=0):
    return [rle.area_px(item) for item in conversion.images[position].masks]


def test_a_zip_and_its_image(tmp_path):
    image = save_image(tmp_path / "i" / "a.png")
    conversion = convert(image, save_zip(tmp_path / "a.zip", square(2, 3), square(10, 3, 5)))
    assert areas(conversion) == [16, 25]
    assert rle.box_xywh(conversion.images[0].masks[0]) == (2, 3, 4, 4)
    assert (conversion.notices, conversion.failures, conversion.skipped) == ([], [], [])


def test_user_pixel_size(tmp_path):
    image = save_image(tmp_path / "a.png")
    size = PixelSize(4.0, "user")
    conversion = convert(image, save_zip(tmp_path / "a.zip", square(2, 3)), pixel_size=size)
    assert conversion.images[0].pixel_size == size


def test_an_empty_zip_is_an_image_without_instances(tmp_path):
    conversion = convert(save_image(tmp_path / "a.png"), save_zip(tmp_path / "a.zip"))
    assert areas(conversion) == []
    assert "holds no area ROI" in conversion.notices[0]


def test_overlaps_are_kept(tmp_path):
    image = save_image(tmp_path / "a.png")
    conversion = convert(image, save_zip(tmp_path / "a.zip", square(2, 3), square(4, 3)))
    assert rle.intersection_px(*conversion.images[0].masks) == 8


def test_an_roi_over_the_border_is_cut_with_a_notice(tmp_path):
    image = save_image(tmp_path / "a.png")
    conversion = convert(image, save_zip(tmp_path / "a.zip", square(28, 18)))
    assert areas(conversion) == [4]
    assert "reaches beyond its image; cut at the border" in conversion.notices[0]


def test_an_roi_outside_is_a_failure_and_the_others_stay(tmp_path):
    image = save_image(tmp_path / "a.png")
    conversion = convert(image, save_zip(tmp_path / "a.zip", square(50, 3), square(2, 3)))
    assert areas(conversion) == [16]
    assert conversion.failures == [
        f"{tmp_path}/a.zip: 0.roi (ROI 'm50'): lies outside its image (x 50 to 54, y 3 to 7 px, "
        "but the image is 30 x 20 px); check that this outline belongs to this image"
    ]
    assert conversion.skipped[0].is_damaged


def test_an_image_of_which_every_roi_failed_is_left_out(tmp_path):
    image = save_image(tmp_path / "a.png")
    conversion = convert(image, save_zip(tmp_path / "a.zip", square(50, 3)))
    assert conversion.images == []
    assert len(conversion.failures) == 1


@pytest.mark.parametrize("kind", ["zip", "folder"])
def test_so_is_one_of_which_every_roi_is_damaged(tmp_path, kind):
    image = save_image(tmp_path / "a.png")
    damaged = [square(2, 3)[:40], square(9, 3)[:40]]
    if kind == "zip":
        rois = save_zip(tmp_path / "a.zip", *damaged)
    else:
        rois = tmp_path / "a"
        rois.mkdir()
        for number, data in enumerate(damaged):
            (rois / f"{number}.roi").write_bytes(data)
    conversion = convert(image, rois)
    assert (conversion.images, len(conversion.failures)) == ([], 2)


def test_lines_are_listed_and_no_failure(tmp_path):
    image = save_image(tmp_path / "a.png")
    line = square(1, 1, roitype=roifile.ROI_TYPE.POLYLINE)
    conversion = convert(image, save_zip(tmp_path / "a.zip", line, square(2, 3)))
    assert areas(conversion) == [16]
    assert [item.reason for item in conversion.skipped] == ["segmented line selection has no area"]
    assert conversion.failures == []


def test_a_composite_of_two_parts_is_one_instance_and_is_noticed(tmp_path):
    path = [0, 1, 1, 1, 3, 1, 1, 3, 3, 4, 0, 9, 9, 1, 12, 9, 1, 12, 12, 4]
    roi = roifile.ImagejRoi(
        roitype=roifile.ROI_TYPE.RECT, left=1, top=1, right=12, bottom=12,
        shape_roi_size=len(path), multi_coordinates=np.asarray(path, np.float32),
    )  # fmt: skip
    image = save_image(tmp_path / "a.png")
    conversion = convert(image, save_zip(tmp_path / "a.zip", roi.tobytes()))
    assert len(conversion.images[0]) == 1
    assert "has 2 separate parts and counts as one instance" in conversion.notices[0]


def test_stack_positions(tmp_path):
    image = save_image(tmp_path / "a.tif", 4)
    rois = [
        square(2, 3, position=1),
        square(9, 3, position=3),
        square(2, 9, position=1, c_position=1, z_position=3, t_position=1),
        square(2, 12),
        square(2, 12, position=9),
    ]
    conversion = convert(image, save_zip(tmp_path / "a.zip", *rois))
    assert [(item.frame, len(item)) for item in conversion.images] == [(0, 1), (2, 2)]
    assert "has no slice position but its image has 4 pages" in conversion.failures[0]
    assert "page 9 but its image has 4 pages" in conversion.failures[1]
    assert "2 of 4 pages carry no ROI; left out" in conversion.notices[0]


def test_slices_of_a_stack_on_a_single_image_are_noticed(tmp_path):
    image = save_image(tmp_path / "a.png")
    rois = [square(x, 3, position=n) for x, n in ((2, 1), (9, 1), (16, 3))]
    conversion = convert(image, save_zip(tmp_path / "a.zip", *rois))
    assert areas(conversion) == [16, 16, 16]
    assert "has one page but its ROIs carry 2 slice positions" in conversion.notices[0]
    assert convert(image, save_zip(tmp_path / "a.zip", *rois[:2])).notices == []


def test_loose_files_of_one_folder_are_one_set(tmp_path):
    image = save_image(tmp_path / "i" / "a.png")
    folder = tmp_path / "rois"
    folder.mkdir()
    (folder / "x.roi").write_bytes(square(2, 3))
    (folder / "y.roi").write_bytes(square(9, 3))
    (folder / "broken.roi").write_bytes(b"Iout")
    conversion = convert(image, folder / "x.roi", folder)
    assert areas(conversion) == [16, 16]
    assert "damaged ROI" in conversion.failures[0]


def test_loose_files_named_like_images(tmp_path):
    images = [save_image(tmp_path / "i" / name) for name in ("a.png", "b.png", "c.png")]
    folder = tmp_path / "rois"
    folder.mkdir()
    for name in ("a", "b", "z"):
        (folder / f"{name}.roi").write_bytes(square(2, 3))
    pairing = pair_roi_sets(images, find_roi_sets([folder]))
    assert [(image.name, item.name.name) for image, item in pairing.pairs] == [
        ("a.png", "a.roi"),
        ("b.png", "b.roi"),
    ]
    assert pairing.images_alone == (images[2],)
    assert pairing.failures == (
        f"{folder}/z.roi: no image has this name; name the ROI set like its image",
    )


def test_loose_files_go_before_the_number_of_their_folder(tmp_path):
    images = [save_image(tmp_path / "i" / f"cell_{number}.png") for number in (1, 2, 3)]
    folder = tmp_path / "rois2"
    folder.mkdir()
    for path in images:
        (folder / f"{path.stem}.roi").write_bytes(square(2, 3))
    pairing = pair_roi_sets(images, find_roi_sets([folder]))
    assert [(image.stem, item.name.stem) for image, item in pairing.pairs] == [
        (path.stem, path.stem) for path in images
    ]


def test_folders_may_be_numbered_like_the_images(tmp_path):
    images = [save_image(tmp_path / "i" / f"cell_{number}.png") for number in (1, 2)]
    for number in (1, 2):
        (tmp_path / "rois" / f"set{number}").mkdir(parents=True)
        for name in ("0012-0345", "0044-0100"):
            (tmp_path / "rois" / f"set{number}" / f"{name}.roi").write_bytes(square(2, 3))
    pairing = pair_roi_sets(images, find_roi_sets([tmp_path / "rois"]))
    assert [item.name.name for _, item in pairing.pairs] == ["set1", "set2"]


def test_an_roi_that_fails_leaves_the_other_pages_empty_if_its_page_is_known(tmp_path):
    image = save_image(tmp_path / "s.tif", 4)
    good, beyond = square(2, 3, position=1), square(100, 100, position=2)
    conversion = convert(image, save_zip(tmp_path / "s.zip", good, beyond), is_empty=always)
    assert [(page.frame, len(page)) for page in conversion.images] == [(0, 1), (2, 0), (3, 0)]
    (failure,) = conversion.failures
    assert conversion.unusable == {(image, 1): failure}
    assert not conversion.incomplete


def test_an_roi_that_may_be_of_any_page_makes_all_doubtful(tmp_path):
    image = save_image(tmp_path / "s.tif", 4)
    good, homeless, beyond = square(2, 3, position=1), square(9, 3), square(99, 99, position=2)
    rois = save_zip(tmp_path / "s.zip", good, homeless, beyond)
    conversion = convert(image, rois, is_empty=always)
    assert [page.frame for page in conversion.images] == [0]
    conversion = convert(image, rois, is_empty=always, keeps_doubtful=True)
    assert [(page.frame, len(page)) for page in conversion.images] == [(0, 1), (2, 0), (3, 0)]
    no_page, outside = conversion.failures
    assert conversion.unusable == {(image, 1): outside}
    assert conversion.incomplete == dict.fromkeys([(image, 0), (image, 2), (image, 3)], no_page)


def test_a_selection_saved_with_an_image_is_no_roi_set_of_a_folder(tmp_path):
    image = tmp_path / "a.tif"
    metadata = {"ROI": square(2, 3)}
    tifffile.imwrite(image, np.zeros((20, 30), np.uint8), imagej=True, metadata=metadata)
    save_zip(tmp_path / "a.zip", square(2, 3), square(9, 3))
    assert [item.name.name for item in find_roi_sets([tmp_path])] == ["a.zip"]
    assert areas(convert(image, image)) == [16]  # named by itself


def test_folders_named_like_images(tmp_path):
    images = [save_image(tmp_path / "i" / name) for name in ("a.png", "b.png")]
    for name in ("a", "b"):
        (tmp_path / "rois" / name).mkdir(parents=True)
        (tmp_path / "rois" / name / "1.roi").write_bytes(square(2, 3))
    pairing = pair_roi_sets(images, find_roi_sets([tmp_path / "rois"]))
    assert [item.name.name for _, item in pairing.pairs] == ["a", "b"]


def test_a_roi_set_in_a_folder_named_like_its_image(tmp_path):
    images = [save_image(tmp_path / "i" / f"{name}.png") for name in "abcd"]
    for name in "abc":
        save_zip(tmp_path / "rois" / name / "RoiSet.zip", square(2, 3))
    save_zip(tmp_path / "rois" / "b" / "rois.zip", square(2, 3))  # which of the two is it?
    (tmp_path / "rois" / "c" / "1.roi").write_bytes(square(2, 3))  # the folder is a set already
    save_zip(tmp_path / "rois" / "d_RoiSet.zip", square(2, 3))
    pairing = pair_roi_sets(images, find_roi_sets([tmp_path / "rois"]))
    paired = {image.stem: item.files[0].name for image, item in pairing.pairs}
    assert paired == {"a": "RoiSet.zip", "c": "1.roi", "d": "d_RoiSet.zip"}
    assert len(pairing.failures) == 3
    assert all("no image has this name" in line for line in pairing.failures)


def test_the_only_set_belongs_to_the_only_image_with_a_notice(tmp_path):
    image = save_image(tmp_path / "a.png")
    pairing = pair_roi_sets([image], find_roi_sets([save_zip(tmp_path / "RoiSet.zip")]))
    assert len(pairing.pairs) == 1
    assert "taken as the ROI set of" in pairing.notices[0]


@pytest.mark.parametrize(
    ("image", "zip_name"), [("cell_02.png", "cell_01.zip"), ("s7.png", "s007b08_rois.zip")]
)
def test_the_only_set_is_not_that_of_another_image_of_its_series(tmp_path, image, zip_name):
    picture = save_image(tmp_path / image)
    (tmp_path / "rois").mkdir()
    save_zip(tmp_path / "rois" / zip_name)
    pairing = pair_roi_sets([picture], find_roi_sets([tmp_path / "rois"]))
    if zip_name == "cell_01.zip":
        assert pairing.pairs == ()
        assert f"{zip_name}: no image has this name" in pairing.failures[0]
    else:  # no such series: it is the only one that there is
        assert "taken as the ROI set of" in pairing.notices[0]


@pytest.mark.parametrize(
    ("image", "files", "paired"),
    [
        pytest.param("cell_2.png", ["rois/cell_1.roi"], [], id="another-image's"),
        pytest.param("cell_2.png", ["cell_1/RoiSet.zip"], [], id="another-folder"),
        pytest.param("cell_2.png", ["cell_2/RoiSet.zip"], ["RoiSet.zip"], id="its-folder"),
        pytest.param(
            "cell_2.png", ["rois/cell_1.roi", "rois/cell_2.roi"], ["cell_2.roi"], id="one-an-image"
        ),
        pytest.param("cell_2.png", ["rois/cell_2.roi"], ["cell_2.roi"], id="its-own"),
        pytest.param("cell_2.png", ["rois/1.roi", "rois/2.roi"], ["1.roi", "2.roi"], id="numbered"),
        pytest.param("2.png", ["rois/1.roi", "rois/2.roi"], ["1.roi", "2.roi"], id="all-numbered"),
        pytest.param(
            "cell_2.png", ["rois/cell_2.roi", "rois/b.roi"], ["b.roi", "cell_2.roi"], id="named"
        ),
    ],
)
def test_which_files_of_the_only_set_are_the_only_image_s(tmp_path, image, files, paired):
    picture = save_image(tmp_path / image)
    for name in files:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".zip"):
            save_zip(tmp_path / "in" / name)
        else:
            (tmp_path / "in" / name).write_bytes(square(2, 3))
    pairing = pair_roi_sets([picture], find_roi_sets([tmp_path / "in"]))
    assert [file.name for _, roi_set in pairing.pairs for file in roi_set.files] == paired
    assert len(pairing.failures) == len(files) - len(paired)


def test_overlay_tiff_is_found_and_a_plain_tiff_is_not(tmp_path):
    save_image(tmp_path / "plain.tif")
    tifffile.imwrite(
        tmp_path / "over.tif",
        np.zeros((20, 30), np.uint8),
        imagej=True,
        metadata={"Overlays": [square(2, 3)]},
    )
    sets = find_roi_sets([tmp_path])
    assert [item.name.name for item in sets] == ["over.tif"]
    pairing = pair_roi_sets([tmp_path / "over.tif"], sets)
    assert areas(convert_roi_pairs(pairing.pairs)) == [16]


def test_an_unreadable_zip_is_a_failure(tmp_path):
    image = save_image(tmp_path / "a.png")
    (tmp_path / "a.zip").write_text("no zip")
    conversion = convert(image, tmp_path / "a.zip")
    assert conversion.images == []
    assert "not an ImageJ ROI, a zip of ROIs or a TIFF" in conversion.failures[0]


def zip_of(path, *entries):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name in entries:
            archive.writestr(name, square(2, 3) if name.endswith(".roi") else b"x")
    return path


def test_a_zip_of_other_files_is_no_image_without_instances(tmp_path):
    image = save_image(tmp_path / "a.png")
    path = zip_of(tmp_path / "a.zip", "masks/", "masks/a_mask.png", "readme.txt")
    conversion = convert(image, path)
    assert conversion.images == []
    assert conversion.failures == [
        f"{path}: holds no .roi entry but 2 other files, such as masks/a_mask.png; give a zip "
        "that Fiji's ROI Manager saved, or masks to convert-masks"
    ]


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        pytest.param(["rois/", "__MACOSX/._a.roi", ".DS_Store"], [], id="only-hidden"),
        pytest.param(["a.roi", "readme.txt"], [16], id="rois-and-others"),
    ],
)
def test_other_files_in_a_zip_of_rois_are_skipped(tmp_path, entries, expected):
    conversion = convert(save_image(tmp_path / "a.png"), zip_of(tmp_path / "a.zip", *entries))
    assert conversion.failures == []
    assert areas(conversion) == expected


def test_hidden_files_are_no_roi_sets(tmp_path):
    """macOS writes ``._NAME`` beside each file that it copies to a foreign disk."""
    save_zip(tmp_path / "rois" / "a.zip", square(2, 3))
    (tmp_path / "rois" / "._a.zip").write_bytes(b"\0\5\x16\7")
    (tmp_path / "rois" / "b").mkdir()
    (tmp_path / "rois" / "b" / "._1.roi").write_bytes(b"\0\5\x16\7")
    assert [item.name.name for item in find_roi_sets([tmp_path / "rois"])] == ["a.zip"]


def test_inputs_without_rois(tmp_path):
    with pytest.raises(AnnotationError, match="no such file or folder"):
        find_roi_sets([tmp_path / "none"])
    with pytest.raises(AnnotationError, match=r"holds no \.roi, no \.zip"):
        find_roi_sets([tmp_path])
    assert find_roi_sets([]) == []


def test_an_outline_that_is_there_twice_counts_once_and_is_named(tmp_path):
    image = save_image(tmp_path / "a.png")
    rois = save_zip(tmp_path / "a.zip", square(2, 3), square(2, 3), square(9, 3))
    conversion = convert(image, rois)
    assert areas(conversion) == [16, 16]
    (notice,) = conversion.notices
    assert "1 ROIs repeat an outline of the same page exactly, and do not count again" in notice
    stack = save_image(tmp_path / "s.tif", n_pages=2)
    rois = save_zip(tmp_path / "s.zip", square(2, 3, position=1), square(2, 3, position=2))
    assert [len(page) for page in convert(stack, rois).images] == [1, 1]


def test_two_spellings_of_an_image_are_one(tmp_path):
    image = save_image(tmp_path / "a.png")
    (tmp_path / "sub").mkdir()
    zips = [save_zip(tmp_path / f"{x}.zip", square(x, 3)) for x in (2, 9)]
    other = tmp_path / "sub" / ".." / "a.png"
    pairing = pair_by_table(list(zip((image, other), zips, strict=True)))
    conversion = convert_roi_pairs(pairing.pairs)
    assert [page.image for page in conversion.images] == [str(image)]
    assert len(conversion.images[0]) == 2
