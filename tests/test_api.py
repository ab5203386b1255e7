"""The package from Python: the same path as the command."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
import tifffile

import mito_instance
from mito_instance import cli
from mito_instance.cli import quantify as command
from mito_instance.errors import ConfigError, ImageError
from tests.dark_objects import DarkObjects, micrograph


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), micrograph((10, 10, 20), (60, 60, 10)))
    tifffile.imwrite(
        folder / "b.tif", micrograph((0, 0, 30)), imagej=True, resolution=(200, 200),
        metadata={"unit": "um"},
    )  # fmt: skip
    (folder / "broken.png").write_text("no image")
    return folder


def test_the_rows_are_those_of_the_command(images, tmp_path, capsys, monkeypatch):
    from mito_instance.io.tables import write_table
    from mito_instance.measure.schema import COUNTS_NAMES, OBJECTS_NAMES

    found = mito_instance.quantify(images, DarkObjects())
    assert [row["count"] for row in found.counts] == [2, 1, None]
    assert [len(page) for page in found.instances] == [2, 1]
    assert "broken.png" in found.failures[0]
    monkeypatch.setattr(command, "_load_model", lambda _args: DarkObjects())
    assert command.main([str(images), "--objects", str(tmp_path / "objects.csv")]) == 1
    write_table(tmp_path / "counts.csv", COUNTS_NAMES, found.counts)
    write_table(tmp_path / "own.csv", OBJECTS_NAMES, found.objects)
    assert (tmp_path / "counts.csv").read_text() == capsys.readouterr().out
    assert (tmp_path / "own.csv").read_bytes() == (tmp_path / "objects.csv").read_bytes()


def test_numbers_of_numpy_are_numbers(images, tmp_path):
    """And 5 is 5.0 for what a folder of finished pages depends on."""

    class Resampling(DarkObjects):
        pixel_size_nm = 5.0

    settings = [(5, 0.5, 512), (np.float32(5), np.float64(0.5), np.int64(512))]
    for nm, score, tile in settings:
        found = mito_instance.quantify(
            images / "a.png", Resampling(), pixel_size_nm=nm, score_threshold=score, tile_px=tile,
            resume=tmp_path / "resume",
        )  # fmt: skip
        assert [row["status"] for row in found.counts] == ["ok"]
    assert len(list((tmp_path / "resume").iterdir())) == 1


def test_settings(images, tmp_path):
    found = mito_instance.quantify(
        [images / "a.png", str(images / "b.tif")],
        DarkObjects(),
        pixel_size_nm={images / "a.png": 8},
        score_threshold=0.9,
        tile_px=128,
        exclude_border=True,
        resume=tmp_path / "resume",
        n_threads=0,
    )
    assert [row["pixel_size_source"] for row in found.counts] == ["user", "imagej"]
    assert [row["count"] for row in found.counts] == [1, 1]
    assert found.counts[1]["area_mean_um2"] is None
    assert len(list((tmp_path / "resume").iterdir())) == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"score_threshold": 2}, r"must be in \[0, 1\], got 2", id="threshold"),
        pytest.param({"tile_px": 8}, "at least 64 px, got 8 px", id="tile"),
        pytest.param({"pixel_size_nm": 0}, "pixel size", id="pixel-size"),
        pytest.param({"n_threads": -1}, "n_threads: must be >= 0", id="threads"),
    ],
)
def test_settings_are_checked(images, settings, message):
    with pytest.raises(ConfigError, match=message):
        mito_instance.quantify(images, DarkObjects(), **settings)


@pytest.mark.parametrize(
    "name", ["images/a.png", "a.png", "images/../images/a.png", "{absolute}/x/../a.png"]
)
def test_pixel_sizes_by_path_or_name(images, monkeypatch, name):
    monkeypatch.chdir(images.parent)
    sizes = {name.format(absolute=images): 8}
    found = mito_instance.quantify("images", DarkObjects(), pixel_size_nm=sizes)
    assert [row["pixel_size_nm"] for row in found.counts] == [8, pytest.approx(5), None]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        pytest.param({"typo.png": 8}, r"\['typo.png'\]: is none of the images", id="no-image"),
        pytest.param({"a.png": 8, "images/a.png": 9}, "9 nm, but 8 nm under another", id="two"),
        pytest.param({"a.png": 0}, "must be between", id="impossible"),
        pytest.param({"same.png": 8}, "could be .*images.* or .*other", id="a-name-of-two"),
    ],
)
def test_pixel_sizes_that_fit_no_image_are_errors(images, monkeypatch, sizes, message):
    monkeypatch.chdir(images.parent)
    for folder in (images, images.parent / "other"):
        folder.mkdir(exist_ok=True)
        cv2.imwrite(str(folder / "same.png"), micrograph())
    with pytest.raises(ConfigError, match=message):
        mito_instance.quantify(["images", "other"], DarkObjects(), pixel_size_nm=sizes)


def test_no_images():
    with pytest.raises(ImageError, match="no such file"):
        mito_instance.quantify("absent.png", DarkObjects())


def test_the_package_itself_stays_light():
    code = (
        "import sys, mito_instance; assert 'quantify' in dir(mito_instance);"
        "assert not {'numpy', 'cv2', 'mito_instance.api'} & set(sys.modules), 'too much';"
        "from mito_instance import load_model, quantify;"
        "assert not {'torch', 'detectron2'} & set(sys.modules), 'too heavy'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_other_names_are_errors():
    with pytest.raises(AttributeError, match="has no attribute 'quantity'"):
        mito_instance.quantity  # noqa: B018
    assert cli.COMMANDS["quantify"]
