"""Published data sets: small trees of every form, converted in one command."""

from __future__ import annotations

import io
import zipfile

import cv2
import numpy as np
import pytest
import roifile
import tifffile

from mito_instance.annotations.clahe import Clahe, write_equalised
from mito_instance.annotations.datasets import find_parts
from mito_instance.annotations.published import CDEEP3M, EPFL, IMAGEJ, SNEMI
from mito_instance.calibration import PixelSize
from mito_instance.cli import prepare
from mito_instance.errors import AnnotationError, ConfigError
from mito_instance.instances import ImageInstances
from mito_instance.io.coco import read_coco

CDEEP3M_SLICES = {"training": 20, "validation": 10}
ALL = [EPFL, SNEMI, CDEEP3M, IMAGEJ]


def grey(seed=0):
    return np.random.default_rng(seed).integers(0, 255, (40, 60)).astype(np.uint8)


def mask(value=255):
    pixels = np.zeros((40, 60), np.uint8)
    pixels[5:15, 5:15] = value
    pixels[20:30, 20:35] = value
    return pixels


def slices(folder, n_slices, partner="labels", value=255):
    for name in ("images", partner):
        (folder / name).mkdir(parents=True)
    for number in range(n_slices):
        assert cv2.imwrite(str(folder / "images" / f"images.{number:03d}.png"), grey(number))
        label = folder / partner / f"mitos_3D.{number:03d}.png"
        assert cv2.imwrite(str(label), mask(value))


def stack(path, n_pages, make):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, np.stack([make() for _ in range(n_pages)]), photometric="minisblack")


def test_stacks_with_the_published_names(tmp_path, capsys):
    for half in ("training", "testing"):
        stack(tmp_path / f"{half}.tif", 3, grey)
        stack(tmp_path / f"{half}_groundtruth.tif", 3, mask)
    assert prepare.main("epfl", [str(tmp_path)]) == 0
    output = capsys.readouterr()
    assert "CVPR 2013" in output.out
    assert f"{tmp_path / 'train.json'}: 6 instances on 3 images" in output.out
    assert "has 3 pages of 60 x 40 px, but 165 pages of 1024 x 768 px are published" in output.err
    images = read_coco(tmp_path / "test.json")
    assert [(len(image), image.frame) for image in images] == [(2, 0), (2, 1), (2, 2)]
    assert images[0].pixel_size == PixelSize(5.0, "coco")
    assert images[0].image == str(tmp_path / "testing.tif")


def test_specks_under_the_least_area_are_dropped(tmp_path):
    slices(tmp_path, 1, "masks")
    pixels = mask()
    pixels[38, 58] = 255
    assert cv2.imwrite(str(tmp_path / "masks" / "mitos_3D.000.png"), pixels)
    assert prepare.main("epfl", [str(tmp_path)]) == 0
    assert len(read_coco(tmp_path / "all.json")[0]) == 2
    assert prepare.main("epfl", [str(tmp_path), "--min-area-px", "1"]) == 0
    assert len(read_coco(tmp_path / "all.json")[0]) == 3


def test_parts_in_folders_and_another_output(tmp_path):
    source, output = tmp_path / "cdeep3m", tmp_path / "out"
    slices(source / "Training", 2, value=1)
    slices(source / "validation", 1)
    assert prepare.main("cdeep3m", [str(source), "-o", str(output)]) == 0
    assert sorted(path.name for path in output.iterdir()) == ["training.json", "validation.json"]
    images = read_coco(output / "training.json")
    assert [len(image) for image in images] == [2, 2]
    assert images[0].pixel_size is None


def test_snemi_with_equalised_images(tmp_path):
    slices(tmp_path / "train", 2)
    stack(tmp_path / "valid" / "images" / "valid.tif", 2, grey)
    stack(tmp_path / "valid" / "labels" / "valid.tif", 2, mask)
    arguments = [str(tmp_path), "--clahe", "--clahe-clip-limit", "3", "--pixel-size-nm", "6"]
    assert prepare.main("snemi", arguments) == 0
    train, valid = read_coco(tmp_path / "train.json"), read_coco(tmp_path / "valid.json")
    assert train[0].image == str(tmp_path / "clahe" / "train" / "images.000.png")
    assert [image.image.rpartition("/")[2] for image in valid] == [
        "valid_0000.png",
        "valid_0001.png",
    ]
    assert [image.frame for image in valid] == [0, 0]
    assert valid[0].pixel_size == PixelSize(6.0, "coco")
    expected = cv2.createCLAHE(3.0, (8, 8)).apply(grey(1))
    assert np.array_equal(cv2.imread(train[1].image, cv2.IMREAD_UNCHANGED), expected)


def test_imagej_rois(tmp_path, capsys):
    (tmp_path / "rois").mkdir()
    (tmp_path / "images").mkdir()
    assert cv2.imwrite(str(tmp_path / "images" / "a.png"), grey())
    points = np.array([[5, 5], [15, 5], [15, 15], [5, 15]], dtype=np.int32)
    roi = roifile.ImagejRoi.frompoints(points, name="mito")
    roi.roitype = roifile.ROI_TYPE.POLYGON
    line = roifile.ImagejRoi.frompoints(points[:2], name="line")
    line.roitype = roifile.ROI_TYPE.LINE
    roifile.roiwrite(tmp_path / "rois" / "a.zip", [roi, line], mode="w")
    assert prepare.main("imagej", [str(tmp_path)]) == 0
    assert "(ROI 'line'): line selection has no area" in capsys.readouterr().err
    assert len(read_coco(tmp_path / "all.json")[0]) == 1


def test_a_bad_file_is_named_and_the_others_go_on(tmp_path, capsys):
    slices(tmp_path, 2)
    (tmp_path / "images" / "images.001.png").write_bytes(b"no image")
    assert prepare.main("cdeep3m", [str(tmp_path)]) == 1
    assert "images.001.png" in capsys.readouterr().err
    assert len(read_coco(tmp_path / "all.json")) == 1


def test_a_part_without_labels_is_said(tmp_path, capsys):
    slices(tmp_path / "train", 1)
    (tmp_path / "test" / "images").mkdir(parents=True)
    assert prepare.main("snemi", [str(tmp_path)]) == 0
    assert "has images but no folder labels or label or masks" in capsys.readouterr().err


def test_half_of_a_pair_is_said(tmp_path):
    stack(tmp_path / "training.tif", 1, grey)
    slices(tmp_path, 1, "masks")
    parts, notices = find_parts(tmp_path, EPFL)
    assert [part.name for part in parts] == ["all"]
    assert notices == [
        f"{tmp_path / 'training_groundtruth.tif'}: not there; part train is left out"
    ]


@pytest.mark.parametrize("data_set", ALL, ids=["epfl", "snemi", "cdeep3m", "imagej"])
def test_an_empty_folder_is_refused_with_the_expected_files(tmp_path, data_set):
    with pytest.raises(AnnotationError, match="holds no part of this data set; expected"):
        find_parts(tmp_path, data_set)
    with pytest.raises(AnnotationError, match="no such folder; unpack"):
        find_parts(tmp_path / "gone", data_set)


def test_parts_of_one_name_are_refused(tmp_path):
    slices(tmp_path / "train", 1)
    if (tmp_path / "Train").exists():
        pytest.skip("a file system that does not tell upper from lower case")
    slices(tmp_path / "Train", 1)
    with pytest.raises(AnnotationError, match="must have different names"):
        find_parts(tmp_path, SNEMI)


def test_a_download_offline_is_one_line(tmp_path, capsys, monkeypatch):
    def fail(url, path, **limits):
        raise ConfigError(f"{url}: cannot be downloaded")

    monkeypatch.setattr("mito_instance.io.download.download", fail)
    assert prepare.main("epfl", [str(tmp_path / "new"), "--download"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: https://documents.epfl.ch/")
    assert error.count("\n") == 1


def test_what_is_there_is_not_downloaded_again(tmp_path, monkeypatch):
    fetched = []
    monkeypatch.setattr(
        "mito_instance.io.download.download", lambda url, path, **limits: fetched.append(path.name)
    )
    for name in ("training", "training_groundtruth"):
        stack(tmp_path / f"{name}.tif", 1, mask)
    assert prepare.main("epfl", [str(tmp_path), "--download"]) == 0
    assert fetched == ["testing.tif", "testing_groundtruth.tif"]


def snemi_zip(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name in members:
            stream = io.BytesIO()
            tifffile.imwrite(stream, np.stack([grey(1), grey(2)]), photometric="minisblack")
            archive.writestr(name, stream.getvalue())


def test_the_micrographs_of_snemi_are_unpacked_and_its_neurites_are_not(
    tmp_path, capsys, monkeypatch
):
    def fetched(url, path, **limits):
        assert limits["md5"] == "3d25a7025f66698f33c7850ace885939"
        snemi_zip(path, ["image/train-input.tif", "seg/train-labels.tif", "image/test-input.tif"])

    monkeypatch.setattr("mito_instance.io.download.download", fetched)
    assert prepare.main("snemi", [str(tmp_path), "--download"]) == 2
    labels = tmp_path / "test" / "labels"
    assert f"put what outlines its mitochondria into {labels}" in capsys.readouterr().err
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.tif")}
    assert files == {"train/images/train-input.tif", "test/images/test-input.tif"}
    stack(tmp_path / "train" / "labels" / "train-labels.tif", 2, mask)
    assert prepare.main("snemi", [str(tmp_path), "--download"]) == 0
    assert [len(page) for page in read_coco(tmp_path / "train.json")] == [2, 2]


@pytest.mark.parametrize("kind", ["lzma", "encrypted", "unknown"])
def test_a_member_that_cannot_be_unpacked_is_one_line(tmp_path, capsys, monkeypatch, kind):
    def fetched(url, path, **limits):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
            archive.writestr("image/train-input.tif", bytes(range(200)))
        data = bytearray(path.read_bytes())
        listed = data.index(b"PK\x01\x02")
        if kind == "lzma":
            data[30 + len("image/train-input.tif") + 4] = 255
        elif kind == "encrypted":
            data[6] = data[listed + 8] = 1
        else:
            data[8] = data[listed + 10] = 97
        path.write_bytes(bytes(data))

    monkeypatch.setattr("mito_instance.io.download.download", fetched)
    assert prepare.main("snemi", [str(tmp_path), "--download"]) == 2
    error = capsys.readouterr().err
    assert "image/train-input.tif cannot be unpacked" in error
    assert error.count("\n") == 1


def test_a_zip_without_its_members_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        "mito_instance.io.download.download", lambda url, path, **limits: snemi_zip(path, ["x.tif"])
    )
    assert prepare.main("snemi", [str(tmp_path), "--download"]) == 2
    error = capsys.readouterr().err
    assert "image/train-input.tif cannot be unpacked" in error
    assert error.count("\n") == 1


def test_cdeep3m_is_fetched_slice_by_slice(tmp_path, monkeypatch):
    def fetched(url, path, **limits):
        assert url.endswith(path.relative_to(tmp_path).as_posix())
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = grey() if path.parent.name == "images" else mask(1)
        assert cv2.imwrite(str(path), pixels)

    monkeypatch.setattr("mito_instance.io.download.download", fetched)
    assert prepare.main("cdeep3m", [str(tmp_path), "--download"]) == 0
    n_slices = {name: len(read_coco(tmp_path / f"{name}.json")) for name in CDEEP3M_SLICES}
    assert n_slices == CDEEP3M_SLICES


@pytest.mark.parametrize("data_set", ALL, ids=["epfl", "snemi", "cdeep3m", "imagej"])
def test_downloads_are_https_and_limited(data_set):
    names = [file.name for file in data_set.files]
    assert len(set(names)) == len(names)
    for file in data_set.files:
        name = file.url.rpartition("/")[2].removesuffix("?download=1")
        assert name == file.name.rpartition("/")[2]
        assert file.url.startswith("https://")
        assert 0 < file.max_bytes < 10**9
    assert data_set.terms
    assert data_set.citation


def test_equalised_images_keep_their_names_apart(tmp_path):
    for name in ("a.png", "a.tif"):
        assert cv2.imwrite(str(tmp_path / name), grey())
    images = [ImageInstances(str(tmp_path / name), (40, 60)) for name in ("a.png", "a.tif")]
    with pytest.raises(ConfigError, match="but for its suffix"):
        write_equalised(images, tmp_path / "out", Clahe())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"clip_limit": 0.0}, "clip limit", id="no-limit"),
        pytest.param({"tiles": 0}, "tiles", id="no-tiles"),
    ],
)
def test_clahe_settings(settings, message):
    with pytest.raises(ConfigError, match=message):
        Clahe(**settings)


def test_clahe_of_16_bit_is_8_bit():
    assert Clahe().apply(grey().astype(np.uint16) * 200).dtype == np.uint8
