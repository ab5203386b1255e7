"""Masks and ROI sets find their images by name, and by nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from mito_instance.annotations.pairing import folders_and_name, names_another, pair_by_name
from mito_instance.io.images import IMAGE_SUFFIXES


def paths(folder, *names):
    return [Path(folder) / name for name in names]


@pytest.mark.parametrize(
    ("images", "partners", "expected"),
    [
        pytest.param([], [], {}, id="nothing"),
        pytest.param(["a.png"], ["a.tif"], {"a.png": "a.tif"}, id="same-stem"),
        pytest.param(["a.ome.tif"], ["a.zip"], {"a.ome.tif": "a.zip"}, id="ome"),
        pytest.param(["a.tif"], ["a.tif.zip"], {"a.tif": "a.tif.zip"}, id="suffix-kept-in-name"),
        pytest.param(["A1.png"], ["a1.png"], {"A1.png": "a1.png"}, id="case"),
        pytest.param(["a 1.png"], ["a 1_mask.png"], {"a 1.png": "a 1_mask.png"}, id="suffix"),
        pytest.param(["c_2.png"], ["mask_c_2.png"], {"c_2.png": "mask_c_2.png"}, id="prefix"),
        pytest.param(["a.tif"], ["RoiSet_a.zip"], {"a.tif": "RoiSet_a.zip"}, id="roiset-prefix"),
        pytest.param(["a.tif"], ["a_rois.zip"], {"a.tif": "a_rois.zip"}, id="rois-suffix"),
        pytest.param(["img_7.png"], ["label_7.png"], {"img_7.png": "label_7.png"}, id="both"),
        pytest.param(
            ["images.010.png", "images.011.png"],
            ["mitos_3D.011.png", "mitos_3D.010.png"],
            {"images.010.png": "mitos_3D.010.png", "images.011.png": "mitos_3D.011.png"},
            id="number-at-the-end",
        ),
        pytest.param(
            ["train-input.tif"],
            ["train-labels.tif"],
            {"train-input.tif": "train-labels.tif"},
            id="input",
        ),
        pytest.param(
            ["Image_1.jpg", "Image_2.jpg"],
            ["Image_1_Mask_1.jpg", "Image_1_Mask_2.jpg"],
            {},
            id="number-against-name",
        ),
        pytest.param(
            ["1.png", "2.png"],
            ["z_2_1.png", "z_2_2.png"],
            {"1.png": "z_2_1.png", "2.png": "z_2_2.png"},
            id="number-by-chance",
        ),
        pytest.param(["x9.png"], ["y09.png"], {"x9.png": "y09.png"}, id="number-leading-zero"),
        pytest.param(
            ["a.png", "a_mask.png"],
            ["a.png"],
            {"a.png": "a.png"},
            id="exact-name-first",
        ),
        pytest.param(["rat_1.png", "cat_1.png"], ["truth_1.png"], {}, id="two-series-no-number"),
        pytest.param(["a.png"], ["RoiSet.zip"], {}, id="name-without-image"),
        pytest.param(["RoiSet.png"], ["mask.zip"], {}, id="only-words"),
        pytest.param(["c7.png"], ["c7_by-anna.png"], {"c7.png": "c7_by-anna.png"}, id="one-affix"),
        pytest.param(
            ["c1.png", "c2.png"], ["c1_anna.png", "c2_ben.png"], {}, id="different-affixes"
        ),
        pytest.param(["c1.png"], ["c10.png"], {}, id="affix-inside-a-number"),
        pytest.param(
            ["s0.tif", "s1.tif", "s2.tif"],
            ["m1.png", "m2.png"],
            {"s1.tif": "m1.png", "s2.tif": "m2.png"},
            id="numbers-of-a-part",
        ),
        pytest.param(["s0.tif", "s1.tif"], ["m7.png", "m8.png"], {}, id="other-numbers"),
        pytest.param(["\u00e4.png"], ["a\u0308.png"], {"\u00e4.png": "a\u0308.png"}, id="unicode"),
    ],
)
def test_pairs(images, partners, expected):
    pairing = pair_by_name(paths("i", *images), paths("m", *partners))
    assert {image.name: partner.name for image, partner in pairing.pairs} == expected
    assert pairing.ambiguous == ()
    n_files = len(images) + len(partners)
    assert len(pairing.images_alone) + len(pairing.partners_alone) == n_files - 2 * len(expected)


@pytest.mark.parametrize(
    ("images", "partners", "message"),
    [
        pytest.param(
            ["a.png"],
            ["a_mask.png", "a_label.png"],
            "i/a.png: could belong to m/a_mask.png and m/a_label.png; "
            "rename the files so that one name fits",
            id="two-masks",
        ),
        pytest.param(
            ["a_img.png", "img_a.png"],
            ["mask_a.png"],
            "m/mask_a.png: could belong to i/a_img.png and i/img_a.png; "
            "rename the files so that one name fits",
            id="two-images",
        ),
        pytest.param(
            ["x1.png"],
            ["y1.png", "y01.png", "y001.png"],
            "i/x1.png: could belong to m/y1.png and m/y01.png and 1 more; "
            "rename the files so that one name fits",
            id="one-number-three-times",
        ),
        pytest.param(
            ["c7.tif"],
            ["c7_by-anna.png", "c7_by-anna.tif"],
            "i/c7.tif: could belong to m/c7_by-anna.png and m/c7_by-anna.tif; "
            "rename the files so that one name fits",
            id="one-affix-twice",
        ),
        pytest.param(
            ["c7.tif", "c7.png"],
            ["c7_by-anna.png"],
            "m/c7_by-anna.png: could belong to i/c7.tif and i/c7.png; "
            "rename the files so that one name fits",
            id="two-images-of-one-affix",
        ),
        pytest.param(
            ["image_000.tif", "image_001.tif", "image_002.tif"],
            ["mask_001.png", "mask_002.png", "mask_003.png"],
            "i: 3 images are numbered 0 to 2, but as many partners in m 1 to 3; "
            "number both alike, or remove what has no partner",
            id="one-side-counts-from-0-behind-words",
        ),
        pytest.param(
            ["s0.tif", "s1.tif", "s2.tif"],
            ["m1.png", "m2.png", "m3.png"],
            "i: 3 images are numbered 0 to 2, but as many partners in m 1 to 3; "
            "number both alike, or remove what has no partner",
            id="a-series-that-begins-elsewhere",
        ),
    ],
)
def test_ambiguous_names_are_refused_and_both_are_named(images, partners, message):
    pairing = pair_by_name(paths("i", *images), paths("m", *partners))
    assert pairing.ambiguous == (message,)
    assert pairing.pairs == pairing.images_alone == pairing.partners_alone == ()


def test_names_alone_may_decide():
    loose = paths("i", "c7.png"), paths("m", "c7_by-anna.png")
    assert pair_by_name(*loose).pairs
    assert not pair_by_name(*loose, loosely=False).pairs
    numbered = paths("i", "a1.png"), paths("m", "b1.png")
    assert pair_by_name(*numbered).pairs
    assert not pair_by_name(*numbered, loosely=False).pairs


def test_names_twice_beside_an_affix_leave_the_others():
    partners = paths("m", "c7_by-anna.zip", "c7_by-anna", "c8_by-anna.zip")
    pairing = pair_by_name(paths("i", "c7.tif", "c8.tif"), partners)
    assert [(image.name, partner.name) for image, partner in pairing.pairs] == [
        ("c8.tif", "c8_by-anna.zip")
    ]
    (line,) = pairing.ambiguous
    assert line.startswith("i/c7.tif: could belong to m/c7_by-anna.zip and m/c7_by-anna;")


def test_pairs_are_in_the_order_of_the_images():
    pairing = pair_by_name(paths("i", "b.png", "a.png"), paths("m", "a.png", "b.png"))
    assert [image.name for image, _ in pairing.pairs] == ["b.png", "a.png"]


@pytest.mark.parametrize("suffix", sorted(IMAGE_SUFFIXES))
@pytest.mark.parametrize("partner", ["cell_01.zip", "RoiSet_cell_01.zip", "cell_01{}.zip"])
def test_images_of_every_format_find_their_rois(suffix, partner):
    pairing = pair_by_name(
        paths("i", f"cell_01{suffix}", f"cell_02{suffix.upper()}"),
        paths("r", partner.format(suffix), "cell_02.roi"),
    )
    assert [(image.stem, roi.name) for image, roi in pairing.pairs] == [
        ("cell_01", partner.format(suffix)),
        ("cell_02", "cell_02.roi"),
    ]


@pytest.mark.parametrize(
    ("images", "partners", "expected"),
    [
        pytest.param(
            ["ko/cell_01.tif", "wt/cell_01.tif"],
            ["wt_cell_01.zip", "ko_cell_01.zip"],
            {"ko/cell_01.tif": "ko_cell_01.zip", "wt/cell_01.tif": "wt_cell_01.zip"},
            id="two-folders",
        ),
        pytest.param(
            ["ko/cell_01.tif", "wt/cell_01.tif"],
            ["ko_cell_01.zip", "wt_cell_01.zip", "cell_01.zip"],
            {"ko/cell_01.tif": "ko_cell_01.zip", "wt/cell_01.tif": "wt_cell_01.zip"},
            id="an-old-zip-beside-them-stays-alone",
        ),
        pytest.param(
            ["KO/Cell_01.dm4", "wt/cell_01.ome.tif", "wt/cell_02.tif"],
            ["cell_02.zip", "wt_cell_01.ome.zip", "KO_Cell_01.zip"],
            {
                "KO/Cell_01.dm4": "KO_Cell_01.zip",
                "wt/cell_01.ome.tif": "wt_cell_01.ome.zip",
                "wt/cell_02.tif": "cell_02.zip",
            },
            id="with-a-name-of-its-own-beside-them",
        ),
        pytest.param(
            ["wt/cell_01.tif", "new/wt_cell_01.tif"],
            ["wt_cell_01.zip"],
            {"new/wt_cell_01.tif": "wt_cell_01.zip"},
            id="an-image-of-that-very-name",
        ),
        pytest.param(
            ["wt/cell_01.tif", "new/wt_cell_01.tif"],
            ["cell_01.zip", "wt_cell_01.zip"],
            {"wt/cell_01.tif": "cell_01.zip", "new/wt_cell_01.tif": "wt_cell_01.zip"},
            id="both-by-their-own-names",
        ),
        pytest.param(
            ["mask/1.png", "mask/2.png"],
            ["mask_1.png", "mask_2.png"],
            {"mask/1.png": "mask_1.png", "mask/2.png": "mask_2.png"},
            id="a-folder-that-is-called-like-a-word",
        ),
    ],
)
def test_the_folder_tells_images_of_one_name_apart(images, partners, expected):
    pairing = pair_by_name([Path("d") / image for image in images], paths("r", *partners))
    found = {image.relative_to("d").as_posix(): roi.name for image, roi in pairing.pairs}
    assert found == expected
    assert pairing.ambiguous == ()
    assert len(pairing.images_alone) == len(images) - len(expected)
    assert len(pairing.partners_alone) == len(partners) - len(expected)


def test_two_folders_of_one_name_stay_ambiguous():
    images = [Path("a/wt/cell.tif"), Path("b/wt/cell.tif")]
    pairing = pair_by_name(images, paths("r", "wt_cell.zip"))
    assert pairing.pairs == ()
    assert pairing.ambiguous == (
        "r/wt_cell.zip: could belong to a/wt/cell.tif and b/wt/cell.tif; "
        "rename the files so that one name fits",
    )


@pytest.mark.parametrize(
    ("images", "partners", "expected", "alone"),
    [
        pytest.param(
            ["raw/a.tif"], ["m/a.png", "m/raw_a.png"], {"a.tif": "a.png"}, ["raw_a.png"],
            id="a-name-of-its-own-comes-first",
        ),
        pytest.param(
            ["m1/wt/a.tif", "m2/wt/a.tif"], ["r/m2_wt_a.zip"], {"a.tif": "m2_wt_a.zip"}, [],
            id="two-folders-deep",
        ),
    ],
)  # fmt: skip
def test_folders_in_front_of_a_name(tmp_path, images, partners, expected, alone):
    pairing = pair_by_name(paths(tmp_path, *images), paths(tmp_path, *partners))
    assert {image.name: partner.name for image, partner in pairing.pairs} == expected
    assert [path.name for path in pairing.partners_alone] == alone


def test_names_with_folders_are_never_hidden(tmp_path, monkeypatch):
    (tmp_path / "wt").mkdir()
    monkeypatch.chdir(tmp_path / "wt")
    assert folders_and_name(Path("../a.tif"), "a", 1) == f"{tmp_path.name}_a"
    assert folders_and_name(Path("../.hidden/a.tif"), "a", 1) == "hidden_a"
    assert folders_and_name(Path("/a.tif"), "a", 3) == "a"


@pytest.mark.parametrize(
    ("image", "partner", "expected"),
    [
        ("cell_02.tif", "cell_01.zip", True),
        ("cell_02.tif", "cell_01_rois.zip", True),
        ("a1_b3.tif", "a2_b3.zip", True),
        ("cell_02.tif", "cell_2.zip", False),
        ("cell_02.tif", "Cell_02_mask.png", False),
        ("cell_02.tif", "RoiSet.zip", False),
        ("cell_02.tif", "nucleus.zip", False),
        ("0002.tif", "0001.zip", True),
        ("image_2.tif", "RoiSet1.zip", False),
        ("img5.tif", "rois2", False),
        ("0001.tif", "0002_mask.png", True),
        ("image_1.tif", "mask_2.png", True),
        ("0001.tif", "0002_RoiSet.zip", True),
    ],
)
def test_a_name_that_is_of_another_image_of_the_series(image, partner, expected):
    assert names_another(Path(image), Path(partner)) is expected


@pytest.mark.parametrize("suffix", [".st", ".ali", ".mrcs"])
def test_sets_of_all_mrc_files_are_named_like_them(suffix):
    """As `mito quantify --rois` names them."""
    images = [Path(f"a{number}{suffix}") for number in (1, 2)]
    zips = [Path(f"rois/a{number}.zip") for number in (1, 2)]
    assert pair_by_name(images, zips).pairs == tuple(zip(images, zips, strict=True))
