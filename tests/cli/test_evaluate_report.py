"""The report and the ROI zips of an evaluation, and how a browser shows the report."""

import base64
import hashlib
import json
import re
import shutil
import subprocess

import cv2
import numpy as np
import pytest
import roifile

from mito_instance.calibration import PixelSize
from mito_instance.cli.evaluate import main
from mito_instance.cli.evaluate_rois import STYLES
from mito_instance.instances import ImageInstances
from mito_instance.io.coco import read_coco, write_coco
from mito_instance.masks import rle

HW = (120, 160)
HOSTILE = "<img src=x onerror=alert(1)>&$x_1$.png"


def instances(path, boxes, scores=None, frame=0):
    masks = tuple(rle.place(np.ones((h, w), dtype=bool), x, y, HW) for x, y, w, h in boxes)
    scores = None if scores is None else np.array(scores, float)
    return ImageInstances(str(path), HW, masks, scores, frame, PixelSize(20.0, "user"))


@pytest.fixture
def files(tmp_path):
    """One split, one merge, one missed, one false, on two images; one has a hostile name."""
    image = np.random.default_rng(0).integers(60, 200, HW, dtype=np.uint8)
    for name in ("a.png", HOSTILE):
        cv2.imwrite(str(tmp_path / name), image)
    truth = [
        instances(tmp_path / "a.png", [(5, 5, 40, 20), (80, 5, 20, 20), (102, 5, 20, 20)]),
        instances(tmp_path / HOSTILE, [(30, 30, 30, 30), (5, 80, 12, 12)]),
    ]
    pred = [
        instances(
            tmp_path / "a.png", [(5, 5, 19, 20), (26, 5, 19, 20), (80, 5, 42, 20)], [0.9] * 3
        ),
        instances(tmp_path / HOSTILE, [(30, 30, 29, 30), (100, 80, 9, 9)], [0.8, 0.6]),
    ]
    write_coco(tmp_path / "truth.json", truth)
    write_coco(tmp_path / "pred.json", pred)
    return [str(tmp_path / "truth.json"), str(tmp_path / "pred.json")]


def test_report_shows_every_class_and_is_one_file(files, tmp_path):
    assert main([*files, "-o", str(tmp_path / "o")]) == 0
    report = (tmp_path / "o" / "report.html").read_text()
    for title in ("Merges", "Splits", "Missed", "False"):
        assert f"<h3>{title}" in report
    assert "several predicted, not true" not in report
    assert report.count("<img ") == 3 * 4  # no element from the name of the image
    assert "&lt;img src=x onerror=alert(1)&gt;&amp;$x_1$.png" in report
    assert not re.findall(r'(?:src|href)="(?!data:|#)', report)
    assert "µm²" in report
    assert " px;" not in report
    assert report.count("<svg ") == 9


def test_report_without_micrographs_says_so(files, tmp_path):
    for image in tmp_path.glob("*.png"):
        image.unlink()
    assert main([*files, "-o", str(tmp_path / "o")]) == 0
    report = (tmp_path / "o" / "report.html").read_text()
    assert "Of 2 images the micrograph is not at hand" in report
    assert report.count("<img ") == 3 * 4


def test_report_of_nothing(tmp_path):
    for name in ("truth", "pred"):
        write_coco(tmp_path / f"{name}.json", [instances(tmp_path / "a.png", [])])
    paths = [str(tmp_path / "truth.json"), str(tmp_path / "pred.json")]
    for option in ([], ["--truth-incomplete"]):
        assert main([*paths, "-o", str(tmp_path / "o"), *option]) == 0
        assert "None." in (tmp_path / "o" / "report.html").read_text()


def test_rois_carry_their_class(files, tmp_path):
    assert main([*files, "-o", str(tmp_path / "o")]) == 0
    folder = tmp_path / "o" / "rois"
    assert len(list(folder.iterdir())) == 4
    found = {roi.name: tuple(roi.stroke_color) for roi in roifile.roiread(folder / "a_pred.zip")}
    split, merge = ((255, *STYLES[kind].stroke_rgb) for kind in ("split", "merge"))
    assert found == {"split-0001": split, "split-0002": split, "merge-0003": merge}
    # ImageJ colours ROIs with a group by that group, whatever colour they have.
    assert {roi.group for roi in roifile.roiread(folder / "a_pred.zip")} == {0}
    (name,) = folder.glob("_img*_true.zip")
    found = [roi.name for roi in roifile.roiread(name)]
    assert found == ["one-to-one-0001", "missed-0002"]


def chromium(tmp_path, page, *options):
    """Output of the browser for a page."""
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("needs Chromium (apt-get install chromium)")
    return subprocess.run(
        [
            *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            f"--user-data-dir={tmp_path / 'profile'}",
            *options,
            page.as_uri(),
        ],
        capture_output=True,
        timeout=120,
        check=True,
        text=True,
    ).stdout


@pytest.mark.slow
@pytest.mark.parametrize("width", [1400, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_report_in_a_browser(files, tmp_path, width, scheme):
    assert main([*files, "-o", str(tmp_path / "o")]) == 0
    picture = tmp_path / "report.png"
    chromium(
        tmp_path,
        tmp_path / "o" / "report.html",
        f"--blink-settings=preferredColorScheme={ {'dark': 0, 'light': 1}[scheme] }",
        f"--screenshot={picture}",
        f"--window-size={width},1600",
    )
    pixels = cv2.imread(str(picture), cv2.IMREAD_GRAYSCALE)
    assert pixels.shape == (1600, width)
    ground = np.median(pixels)
    assert (ground < 60) == (scheme == "dark")
    # Text and plots are there, and the right margin is free: nothing is wider than the window.
    assert np.std(pixels) > 5
    assert np.ptp(pixels[:, -5:]) == 0


@pytest.mark.slow
def test_a_click_sorts_and_the_policy_lets_our_script_run(files, tmp_path):
    assert main([*files, "-o", str(tmp_path / "o")]) == 0
    report = (tmp_path / "o" / "report.html").read_text()
    # The test's own script needs a place in the page's policy.
    click = """
        const table = [...document.querySelectorAll("table")].at(-1);
        const heads = [...table.tHead.rows[0].cells];
        const column = heads.findIndex(head => head.textContent === "missed");
        const shown = () => [...table.tBodies[0].rows].map(r => r.cells[column].textContent).join();
        heads[column].querySelector("button").click();
        const up = shown();
        heads[column].querySelector("button").click();
        document.title = up + " " + shown() + " " + heads[column].getAttribute("aria-sort");
    """
    digest = base64.b64encode(hashlib.sha256(click.encode()).digest()).decode()
    page = tmp_path / "click.html"
    page.write_text(
        report.replace(
            "script-src &#x27;", f"script-src &#x27;sha256-{digest}&#x27; &#x27;"
        ).replace("</body>", f"<script>{click}</script></body>")
    )
    found = chromium(tmp_path, page, "--dump-dom")
    assert "<title>0,1 1,0 descending</title>" in found


def test_images_of_one_name_stay_apart(tmp_path):
    images = []
    for folder in ("ko", "wt"):
        (tmp_path / folder).mkdir()
        images.append(instances(tmp_path / folder / "cell.png", [(5, 5, 40, 20)]))
    images.append(instances(tmp_path / "ko" / "cell_2.png", [(5, 5, 9, 9)]))
    write_coco(tmp_path / "truth.json", images)
    paths = [str(tmp_path / "truth.json")] * 2
    assert main([*paths, "-o", str(tmp_path / "o")]) == 0
    zips = {path.name for path in (tmp_path / "o" / "rois").glob("*_true.zip")}
    assert zips == {"ko_cell_true.zip", "wt_cell_true.zip", "cell_2_true.zip"}
    report = (tmp_path / "o" / "report.html").read_text()
    assert ">ko/cell.png<" in report
    assert ">wt/cell.png<" in report


def test_rois_of_an_earlier_evaluation(files, tmp_path, caplog):
    """Untouched ones go with their image, changed ones stay."""
    assert main([*files, "-o", str(tmp_path / "o")]) == 0
    rois = tmp_path / "o" / "rois"
    (rois / "a_true.zip").write_bytes(b"changed by hand")
    (rois / "mine_true.zip").write_bytes(b"my own")
    for name in ("truth", "pred"):
        images = read_coco(tmp_path / f"{name}.json")
        write_coco(tmp_path / f"{name}.json", images[:1])
    assert main([*files, "-o", str(tmp_path / "o")]) == 0
    assert {path.name for path in rois.iterdir()} == {"a_true.zip", "a_pred.zip", "mine_true.zip"}
    assert (rois / "a_true.zip").read_bytes() == b"changed by hand"
    assert "a_true.zip: was not written by this program, or changed since" in caplog.text


def test_nothing_is_false_where_the_truth_is_incomplete(files, tmp_path):
    folder = tmp_path / "o"
    assert main([*files, "-o", str(folder)]) == 0
    assert (folder / "false.json").is_file()
    assert main([*files, "-o", str(folder), "--truth-incomplete"]) == 0
    assert not (folder / "false.json").exists()
    assert ",unmatched," in (folder / "associations.csv").read_text()
    (name,) = (folder / "rois").glob("_img*_pred.zip")
    assert [roi.name for roi in roifile.roiread(name)] == ["one-to-one-0001", "unmatched-0002"]


def test_what_intervals_rest_on_is_said(files, tmp_path):
    assert main([*files, "-o", str(tmp_path / "o")]) == 0
    about = "resampling 2 image files; of fewer than about ten they are too narrow."
    assert about in (tmp_path / "o" / "report.html").read_text()
    assert json.loads((tmp_path / "o" / "metrics.json").read_text())["n_groups"] == 2
    assert main([*files, "-o", str(tmp_path / "o"), "--group-regex", "(.)"]) == 0
    about = "No confidence intervals: 1 group of 2 images or pages; resampling needs at least two."
    assert about in (tmp_path / "o" / "report.html").read_text()


def test_cut_scores_are_said(files, tmp_path, capsys):
    assert main(files) == 0
    output = capsys.readouterr()
    assert "notice: the predictions have scores from 0.60 on: AP and the best score" in output.err
    (line,) = [line for line in output.out.splitlines() if "score_threshold_best_f1" in line]
    assert float(line.split()[1]) >= 0.6
