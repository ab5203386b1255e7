"""``quantify --report``: the page of a whole batch, also one that goes on."""

import contextlib
import re

import cv2
import numpy as np
import pytest

from mito_instance.cli import quantify
from tests.dark_objects import DarkObjects, micrograph


@pytest.fixture(autouse=True)
def predictor(monkeypatch):
    monkeypatch.setattr(quantify, "_load_model", lambda _args: DarkObjects())


@pytest.fixture
def folder(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    cv2.imwrite(str(images / "a.png"), micrograph((10, 10, 20), (60, 60, 10)))
    cv2.imwrite(str(images / "b.png"), micrograph())
    (images / "c<b>.png").write_bytes(b"no image")
    return images


def run(folder, *options):
    return quantify.main([str(folder), *map(str, options)])


def test_a_report_of_every_page(folder, tmp_path, capsys):
    file = tmp_path / "new" / "report.html"
    assert run(folder, "--report", file, "--overlays", tmp_path / "over lays") == 1
    page = file.read_text(encoding="utf-8")
    assert page.count("<img ") == 2 + 2  # pages, objects
    assert "c&lt;b&gt;.png: not a PNG" in page
    assert 'href="./../over%20lays/a.png"' in page
    assert "interrupted" not in page
    assert "over lays" in page  # the options
    assert "failed: " in capsys.readouterr().err


def test_no_links_without_overlays(folder, tmp_path):
    run(folder, "--report", tmp_path / "report.html")
    links = re.findall(r'href="([^"]*)"', (tmp_path / "report.html").read_text(encoding="utf-8"))
    assert links
    assert all(link.startswith("#") for link in links)


@pytest.mark.parametrize("overlays", [[], ["--overlays", "overlays"]], ids=["alone", "overlays"])
def test_stored_pages_are_in_the_report_as_well(folder, tmp_path, monkeypatch, overlays):
    monkeypatch.chdir(tmp_path)
    options = ["--report", "report.html", "--resume", "done", *overlays]
    run(folder, *options)
    first = (tmp_path / "report.html").read_bytes()
    files = [*tmp_path.glob("done/*"), *tmp_path.glob("overlays/*")]
    times = {file: file.stat().st_mtime_ns for file in files}
    monkeypatch.setattr(DarkObjects, "predict", None)  # nothing is left to predict
    run(folder, *options)
    assert (tmp_path / "report.html").read_bytes() == first
    assert {file: file.stat().st_mtime_ns for file in files} == times


def test_an_interrupted_run_leaves_its_report(folder, tmp_path, monkeypatch):
    predict = DarkObjects.predict

    def interrupted(self, tiles, min_score=0.0):
        if np.all(tiles[0] == 200):  # b.png
            raise KeyboardInterrupt
        return predict(self, tiles, min_score)

    monkeypatch.setattr(DarkObjects, "predict", interrupted)
    with contextlib.suppress(KeyboardInterrupt):
        run(folder, "--report", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "The run was interrupted" in page
    assert "1 image, 1 page" in page


def test_a_report_that_cannot_be_written_is_known_at_once(folder, tmp_path, capsys):
    assert run(folder, "--report", tmp_path) == 2
    assert "is a folder; name a file to write to" in capsys.readouterr().err
