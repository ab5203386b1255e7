"""What a run replaces, and what it leaves alone."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import roifile
import tifffile

from mito_instance.batch.outputs import Outputs
from mito_instance.cli import quantify
from mito_instance.errors import ConfigError
from mito_instance.io.imagej_roi import read_rois
from mito_instance.io.imagej_roi_writer import is_untouched
from tests.dark_objects import DarkObjects, micrograph


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), micrograph((10, 10, 20)))
    cv2.imwrite(str(folder / "b.png"), micrograph((60, 60, 10)))
    return folder


def run(*arguments):
    return quantify.main([str(argument) for argument in arguments])


class Interrupted(DarkObjects):
    def predict(self, tiles, min_score=0.0):
        raise KeyboardInterrupt


@pytest.mark.parametrize("failure", ["resume-is-a-file", "overlays-on-images", "ctrl-c"])
def test_a_run_that_did_nothing_leaves_older_results(images, tmp_path, monkeypatch, failure):
    names = ("objects.csv", "pred.json", "summary.csv", "report.html")
    options = ("--objects", "--coco", "--summary", "--report")
    files = [tmp_path / name for name in names]
    outputs = [part for pair in zip(options, files, strict=True) for part in pair]
    assert run(images, *outputs) == 0
    before = [file.read_bytes() for file in files]
    expected, more = 2, []
    if failure == "resume-is-a-file":
        more = ["--resume", images / "a.png"]
    elif failure == "overlays-on-images":
        more = ["--overlays", images]
    else:
        monkeypatch.setattr(quantify, "_load_model", lambda _args: Interrupted())
        expected = 130
    assert run(images, *outputs, *more) == expected
    assert [file.read_bytes() for file in files] == before


def test_where_all_images_failed_the_results_say_so(images, tmp_path):
    for path in images.iterdir():
        path.write_bytes(b"no image")
    report, coco = tmp_path / "report.html", tmp_path / "pred.json"
    assert run(images, "--report", report, "--coco", coco) == 2
    assert "not a PNG" in report.read_text(encoding="utf-8")
    assert json.loads(coco.read_text())["images"] == []


@pytest.mark.parametrize(
    ("options", "names"),
    [
        pytest.param(["--objects", "t.csv", "--summary", "t.csv"], "objects summary", id="tables"),
        pytest.param(
            ["--objects", "summary.csv", "--group-by", "folder"], "objects summary", id="implied"
        ),
        pytest.param(
            ["--objects", "t.csv", "--log", "x/../t.csv"], "objects log", id="another-way"
        ),
        pytest.param(["--coco", "t.csv", "--report", "link.csv"], "coco report", id="link"),
    ],
)
def test_two_outputs_are_never_one_file(images, tmp_path, capsys, monkeypatch, options, names):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").mkdir()
    (tmp_path / "link.csv").symlink_to("t.csv")
    assert run(images, *options) == 2
    first, second = names.split()
    assert f"would be written by --{first} and by --{second}; give" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "link.csv", "x"]


@pytest.mark.parametrize("option", ["--objects", "--coco", "--summary", "--report", "--log"])
def test_a_forgotten_file_name_costs_no_image(images, capsys, monkeypatch, option):
    monkeypatch.setattr(quantify, "_load_model", lambda _args: pytest.fail("model was loaded"))
    before = {path: path.read_bytes() for path in images.iterdir()}
    first, *others = sorted(images.iterdir())  # what a shell makes of images/*.png
    assert run(option, first, *others) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"error: {option} {first}: is one of the images, or named like one, and is not written to; "
        f"put the name of the file to write behind {option}"
    )
    assert {path: path.read_bytes() for path in images.iterdir()} == before


@pytest.mark.parametrize("name", ["a", "symbolic", "hard", "x/../a", "new.TIF", "to_new"])
def test_an_image_by_any_name_is_no_output(images, tmp_path, monkeypatch, name):
    monkeypatch.chdir(images)
    (images / "x").mkdir()
    image = (images / "a.png").rename(images / "a")  # an input whatever its suffix
    (images / "symbolic").symlink_to(image)
    (images / "hard").hardlink_to(image)
    (images / "to_new").symlink_to("new.tif")
    with pytest.raises(ConfigError, match=f"--log {name}: is one of the images, or named"):
        Outputs(log=Path(name)).check([tmp_path / "gone.png", image])
    Outputs(log=tmp_path / "run.jsonl").check([image])


def test_two_outputs_may_be_thrown_away(images, monkeypatch):
    """Also by a user who may not write to the folder of devices."""
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != "/dev" and access(path, mode))
    assert run(images, "--objects", "/dev/null", "--summary", "/dev/null") == 0


@pytest.mark.parametrize("option", ["--objects", "--log"])
def test_the_counts_are_not_replaced_by_another_output(images, tmp_path, option):
    counts = tmp_path / "counts.csv"
    code = f"from mito_instance.cli.quantify import main; main([{str(images)!r}, {option!r}, "
    with counts.open("w") as stream:
        done = subprocess.run(
            [sys.executable, "-c", f"{code}{str(counts)!r}])"],
            stdout=stream, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert f"would be written by {option} and by standard output; give" in done.stderr
    assert counts.read_text() == ""


def correct(path):
    """What Fiji does: another zip, with ROIs of the same names."""
    roi = roifile.ImagejRoi.frompoints([[1, 1], [1, 9], [9, 9], [9, 1]])
    roi.name = "0001-1.00"
    path.unlink()
    roifile.roiwrite(path, [roi], mode="w")


def add_entry(path):
    """What other programs do: they keep the comment."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("mine.roi", b"Iout")


def remove_mark(path):
    """A zip as older versions wrote it."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b""


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(correct, id="saved-by-fiji"),
        pytest.param(add_entry, id="an-entry-more"),
        pytest.param(remove_mark, id="without-mark"),
        pytest.param(lambda path: path.write_bytes(b""), id="no-zip"),
    ],
)
def test_corrected_rois_are_never_replaced(images, tmp_path, capsys, monkeypatch, change):
    rois, resume = tmp_path / "rois", ("--resume", tmp_path / "resume")
    assert run(images, "--rois", rois, *resume) == 0
    assert run(images, "--rois", rois, *resume) == 0  # as they were written: replaced
    change(rois / "a.zip")
    before = {path: path.read_bytes() for path in rois.iterdir()}
    capsys.readouterr()
    monkeypatch.setattr(quantify, "_load_model", lambda _args: pytest.fail("model was loaded"))
    assert run(images, "--rois", rois, *resume) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"error: {rois / 'a.zip'}: was not written by this program, or changed since, and would "
        "be replaced; keep corrected ROIs in another folder, such as corrected/, or write to "
        "another one"
    )
    assert {path: path.read_bytes() for path in rois.iterdir()} == before


def test_rois_corrected_while_a_run_goes_on_are_kept(images, tmp_path, monkeypatch, caplog):
    rois = tmp_path / "rois"
    run(images, "--rois", rois)

    class Slow(DarkObjects):
        def predict(self, tiles, min_score=0.0):
            if is_untouched(rois / "a.zip"):
                correct(rois / "a.zip")
            return super().predict(tiles, min_score)

    monkeypatch.setattr(quantify, "_load_model", lambda _args: Slow())
    assert run(images, "--rois", rois) == 0
    assert not is_untouched(rois / "a.zip")
    assert "a.zip: was changed since this run began; it is kept" in caplog.text


def test_corrected_rois_of_other_images_are_no_matter(images, tmp_path):
    rois = tmp_path / "rois"
    run(images, "--rois", rois)
    correct(rois / "a.zip")
    before = (rois / "a.zip").read_bytes()
    assert run(images / "b.png", "--rois", rois) == 0
    assert (rois / "a.zip").read_bytes() == before


def test_all_corrected_zips_are_counted(images, tmp_path):
    rois = tmp_path / "rois"
    run(images, "--rois", rois)
    for path in rois.iterdir():
        correct(path)
    with pytest.raises(ConfigError, match=r"a\.zip \(and 1 more\): was not written by"):
        Outputs(rois=rois).check(sorted(images.iterdir()))


def test_zips_of_an_interrupted_run_are_replaced(images, tmp_path, monkeypatch):
    class Second(DarkObjects):
        n_done = 0

        def predict(self, tiles, min_score=0.0):
            if self.n_done:
                raise KeyboardInterrupt
            self.n_done = 1
            return super().predict(tiles, min_score)

    rois = tmp_path / "rois"
    monkeypatch.setattr(quantify, "_load_model", lambda _args: Second())
    assert run(images, "--rois", rois) == 130
    monkeypatch.setattr(quantify, "_load_model", lambda _args: DarkObjects())
    assert run(images, "--rois", rois) == 0
    assert [len(list(read_rois(rois / name))) for name in ("a.zip", "b.zip")] == [1, 1]


def test_results_of_images_that_fail_now_are_named_once(images, tmp_path, caplog):
    stack = np.stack([micrograph((5, 5, 9)), micrograph()])
    tifffile.imwrite(images / "s.tif", stack, photometric="minisblack")
    rois, overlays = tmp_path / "rois", tmp_path / "overlays"
    outputs = ("--rois", rois, "--overlays", overlays, "--resume", tmp_path / "resume")
    assert run(images, *outputs) == 0
    assert run(images, *outputs) == 0
    assert "failed now" not in caplog.text
    for name in ("b.png", "s.tif"):
        (images / name).write_bytes(b"no image")
    (rois / "s.zip").unlink()
    (images / "new.png").write_bytes(b"no image")
    assert run(images, *outputs) == 1
    (said,) = [text for text in caplog.messages if "failed now" in text]
    left = [overlays / "s.tif", rois / "b.zip", overlays / "b.png"]
    assert all(str(path) in said for path in left)
    assert "a.png" not in said
    assert "new" not in said
    assert all(path.exists() for path in left)


def test_a_stack_with_a_damaged_page_has_results_of_this_run(images, tmp_path, caplog):
    path, rois = images / "s.tif", tmp_path / "rois"
    noise = np.random.default_rng(0).integers(150, 255, (2, 64, 64), dtype=np.uint8)
    tifffile.imwrite(path, noise, compression="zlib", photometric="minisblack")
    run(path, "--rois", rois)
    with tifffile.TiffFile(path) as tif:
        offset, length = tif.pages[0].dataoffsets[0], tif.pages[0].databytecounts[0]
    data = bytearray(path.read_bytes())
    data[offset : offset + length] = b"\xff" * length
    path.write_bytes(bytes(data))
    assert "lacks page" not in caplog.text
    assert run(path, "--rois", rois) == 1
    assert "failed now" not in caplog.text
    assert "s.zip: lacks page 1 of 2" in caplog.text


def test_rois_of_another_image_of_the_name_are_not_replaced(images, tmp_path, capsys):
    rois, other = tmp_path / "rois", tmp_path / "other"
    assert run(images, "--rois", rois) == 0
    before = {path.name: path.read_bytes() for path in rois.iterdir()}
    images.rename(other)  # the same images in another place
    assert run(other, "--rois", rois) == 0
    assert {path.name for path in rois.iterdir()} == set(before)
    images.mkdir()
    for path in other.iterdir():
        (images / path.name).write_bytes(path.read_bytes())
    changed = images / min(path.name for path in images.iterdir())
    cv2.imwrite(str(changed), np.full((64, 64), 200, np.uint8))
    assert run(images, "--rois", rois) == 2
    said = capsys.readouterr().err
    assert f"{changed.stem}.zip: holds the outlines of another image of the name" in said
    other_rois = tmp_path / "other_rois"
    assert run(images, "--rois", other_rois) == 0
    cv2.imwrite(str(changed), np.full((64, 64), 201, np.uint8))  # changed in its place
    assert run(images, "--rois", other_rois) == 0


def test_the_json_says_what_counted(images, tmp_path):
    region, sizes, coco = tmp_path / "cell.roi", tmp_path / "sizes.csv", tmp_path / "pred.json"
    roifile.ImagejRoi.frompoints([[0, 0], [50, 0], [50, 50], [0, 50]]).tofile(region)
    sizes.write_text("a.png,5\n")
    resume = ("--resume", tmp_path / "resume")
    infos = []
    for more in (
        [],
        ["--region", region, "--exclude-border", "--pixel-size-nm", 7, "--pixel-size-csv", sizes],
    ):
        assert run(images, "--coco", coco, *resume, *more) == 0
        infos.append(json.loads(coco.read_text())["info"])
    assert infos[0]["options"] == {}
    assert infos[1]["options"] == {
        "region": str(region), "exclude_border": True, "pixel_size_nm": 7.0,
        "pixel_size_csv": str(sizes),
    }  # fmt: skip
    assert {**infos[1], "options": {}} == infos[0]
    assert len(list((tmp_path / "resume").iterdir())) == 2  # what is kept depends on none of them


def test_pictures_of_a_user_are_not_replaced_by_overlays(images, tmp_path, capsys):
    mine = tmp_path / "mine"
    mine.mkdir()
    cv2.imwrite(str(mine / "b.png"), micrograph((9, 9, 3)))
    before = (mine / "b.png").read_bytes()
    assert run(images, "--overlays", mine) == 2
    assert "b.png is there, was not written by this program" in capsys.readouterr().err
    assert (mine / "b.png").read_bytes() == before
    assert run(images, "--overlays", tmp_path / "o") == 0
    assert run(images, "--overlays", tmp_path / "o") == 0  # its own are drawn anew


def test_stacks_of_a_user_are_not_replaced_by_overlays(tmp_path, capsys):
    pages = np.stack([micrograph((10, 10, 20))] * 2)
    tifffile.imwrite(tmp_path / "s.tif", pages, photometric="minisblack")
    mine = tmp_path / "mine"
    mine.mkdir()
    tifffile.imwrite(mine / "s.tif", pages, photometric="minisblack")
    assert run(tmp_path / "s.tif", "--overlays", mine) == 2
    assert "s.tif is there, was not written by this program" in capsys.readouterr().err
    for _ in range(2):
        assert run(tmp_path / "s.tif", "--overlays", tmp_path / "o") == 0


def test_the_table_of_pixel_sizes_is_not_written_to(images, tmp_path, capsys):
    sizes = tmp_path / "sizes.csv"
    sizes.write_text("image,nm\na.png,5\nb.png,5\n")
    assert run(images, "--pixel-size-csv", sizes, "--objects", sizes) == 2
    assert "sizes.csv: is one of the files that are read" in capsys.readouterr().err
    assert sizes.read_text().startswith("image,nm")


def test_a_stack_whose_first_page_could_not_be_drawn_is_drawn_anew(tmp_path, monkeypatch):
    pages = np.stack([micrograph((10, 10, 20))] * 2)
    tifffile.imwrite(tmp_path / "s.tif", pages, photometric="minisblack")
    predict = DarkObjects.predict
    failing = iter([True])

    def fail_once(self, tiles, min_score=0.0):
        if next(failing, False):
            raise ValueError("no")
        return predict(self, tiles, min_score)

    monkeypatch.setattr(DarkObjects, "predict", fail_once)
    words = [tmp_path / "s.tif", "--overlays", tmp_path / "o", "--workers", 1]
    assert run(*words) == 1
    monkeypatch.setattr(DarkObjects, "predict", predict)
    assert run(*words) == 0
