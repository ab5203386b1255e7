"""The report of a batch, from plain inputs, and how a browser shows it."""

import math
import re
import shutil
import subprocess

import cv2
import numpy as np
import pytest

from mito_instance.calibration import PixelSize
from mito_instance.cli import quantify_report_pages
from mito_instance.cli.quantify_report import report
from mito_instance.cli.quantify_report_pages import ReportPages, names_of_files, page_names
from mito_instance.instances import ImageInstances
from mito_instance.masks import rle
from mito_instance.measure.summary import failed_row, measure_objects, object_rows, summarise_image
from mito_instance.visualize.page_pictures import page_pictures

HW = (120, 160)
HOSTILE = "<img src=x onerror=alert(1)>&\"'.png"
BOXES = [(5, 5, 40, 20), (80, 40, 20, 20)]


def test_files_below_a_folder_with_two_slashes_have_names():
    assert names_of_files(["//data/a.tif", "//data/b.tif"]) == {
        "//data/a.tif": "//data/a.tif", "//data/b.tif": "//data/b.tif",
    }  # fmt: skip
    assert names_of_files(["/data/x/a.tif", "/data/b.tif"]) == {
        "/data/x/a.tif": "x/a.tif", "/data/b.tif": "b.tif",
    }  # fmt: skip


def add(pages, name, boxes=BOXES, nm=10.0, frame=0, overlay=None, scores=None, image_hw=HW):
    """A measured page of noise with rectangles as objects."""
    masks = tuple(rle.place(np.ones((h, w), dtype=bool), x, y, image_hw) for x, y, w, h in boxes)
    scores = np.linspace(0.9, 0.6, len(masks)) if scores is None else np.array(scores)
    size = None if nm is None else PixelSize(nm, "user")
    found = ImageInstances(name, image_hw, masks, scores, frame, size)
    image = np.random.default_rng(0).integers(90, 160, image_hw, dtype=np.uint8)
    shapes = measure_objects(found, image)
    row = summarise_image(found, shapes)
    pages.add(row, object_rows(found, shapes), page_pictures(image, found), overlay)


def text_of(page):
    return re.sub(r"<[^>]*>", " ", page)


@pytest.fixture
def pages():
    return ReportPages()


def test_names_are_escaped_and_nothing_is_loaded(pages, tmp_path):
    add(pages, f"in/{HOSTILE}", overlay=tmp_path / "overlays" / HOSTILE)
    pages.add(failed_row(f"in/<b>{HOSTILE}", 0, "<script>alert(2)</script>"))
    page = report(pages, {"weights": "<i>", "config": {"a": "<u>"}}, tmp_path)
    for markup in ("<img src=x", "<script>alert", "<b>", "<i>", "<u>"):
        assert markup not in page
    assert "&lt;img src=x onerror=alert(1)&gt;&amp;&quot;&#x27;.png" in page
    assert set(re.findall(r'src="([^"]{5})', page)) == {"data:"}
    links = set(re.findall(r'href="([^"]*)"', page))
    outside = {link for link in links if not link.startswith("#")}
    assert outside == {"./overlays/%3Cimg%20src%3Dx%20onerror%3Dalert%281%29%3E%26%22%27.png"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("javascript:alert(1)", "./javascript%3Aalert%281%29", id="protocol"),
        pytest.param("a#b?c%20.png", "./a%23b%3Fc%2520.png", id="signs-of-addresses"),
        pytest.param("b\udce4d.png", "./b%E4d.png", id="no-unicode"),
    ],
)
def test_links_to_overlays_name_the_file(pages, tmp_path, name, expected):
    add(pages, "a.png", overlay=tmp_path / name)
    assert f'href="{expected}"' in report(pages, {}, tmp_path)


def test_a_batch_of_nothing(pages, tmp_path):
    page = report(pages, {}, tmp_path)
    assert "No page was worked on." in page
    assert page.count("<svg ") == 4
    assert "<img" not in page


def test_pages_without_objects(pages, tmp_path):
    add(pages, "a.png", boxes=[])
    page = report(pages, {}, tmp_path)
    assert "Area (µm²) of 0 objects." in page
    assert "None." in page
    assert "nan" not in text_of(page).lower().replace("nanom", "")


def test_failed_files_are_named_and_enter_no_mean(pages, tmp_path):
    add(pages, "in/a.png")
    pages.add(failed_row("in/broken.png", 0, "in/broken.png: is no image"))
    text = text_of(report(pages, {}, tmp_path))
    assert text.count("in/broken.png: is no image") == 2  # by itself and in the table
    assert "in 1 page" in text
    assert "2.00 (mean ± SD), from 2 to 2." in text
    assert "2 images, 2 pages from in" in text


def test_all_failed(pages, tmp_path):
    pages.add(failed_row("broken.png", 0, "broken.png: is no image"))
    assert "no page is known." in report(pages, {}, tmp_path)


@pytest.mark.parametrize(
    ("sizes", "unit", "absent"),
    [
        pytest.param((10.0, 5.0), "µm²", "px²)", id="all-known"),
        pytest.param((None, None), "px²", "µm²)", id="none-known"),
    ],
)
def test_the_unit_of_areas(pages, tmp_path, sizes, unit, absent):
    for n, nm in enumerate(sizes):
        add(pages, f"{n}.png", nm=nm)
    text = text_of(report(pages, {}, tmp_path))
    assert f"Area ({unit}) of 4 objects" in text
    assert absent not in text


def test_units_are_never_mixed(pages, tmp_path):
    add(pages, "a.png", nm=10.0)
    add(pages, "b.png", nm=None)
    text = text_of(report(pages, {}, tmp_path))
    # Areas are 800 and 400 px in both: 600 in the middle.
    assert "Area (px²) of 4 objects; median 600 (dashed)." in text
    assert "The pixel size of 1 of 2 pages is unknown" in text
    assert "Density (1/µm²)" not in text
    assert "density (1/µm²)" in text  # a column, with a dash for b.png


def test_areas_and_shapes(pages, tmp_path):
    add(pages, "a.png", nm=1000.0)  # 1 px is 1 µm
    add(pages, "b.png", nm=500.0)
    text = text_of(report(pages, {}, tmp_path))
    # 800, 400 and a fourth of them: 200 and 100; 300 in the middle.
    assert "Area (µm²) of 4 objects; median 300 (dashed)." in text
    assert "Aspect ratio of 4 objects; median 1.50 (dashed)." in text
    assert "2 of 4 objects touch the border" not in text


@pytest.mark.parametrize(
    ("exclude", "median", "said"),
    [
        pytest.param(False, "Area (µm²) of 3 objects; median 400", "shown", id="shown"),
        pytest.param(True, "Area (µm²) of 2 objects; median 600", "left out", id="left-out"),
    ],
)
def test_objects_at_the_border(tmp_path, exclude, median, said):
    pages = ReportPages(exclude_border=exclude)
    add(pages, "a.png", boxes=[*BOXES, (0, 60, 10, 10)], nm=1000.0)
    text = text_of(report(pages, {}, tmp_path))
    assert "1 of 3 objects touch the border of their image" in text
    assert f"they are {said} here." in text
    assert median in text
    assert re.search(r"Mitochondria\s+3\s+in 1 page", text)


def test_undefined_values_are_counted(pages, tmp_path):
    add(pages, "a.png", boxes=[*BOXES, (10, 100, 0, 0)])
    text = text_of(report(pages, {}, tmp_path))
    assert "It is undefined for 1 more." in text


def test_the_least_certain_objects_of_all_pages(pages, tmp_path):
    boxes = [(10 * n, 10, 8, 8) for n in range(15)]
    for name, low in (("a.png", 0.70), ("b.png", 0.50), ("c.png", 0.71)):
        add(pages, name, boxes, scores=[low + 0.001 * n for n in range(15)])
    found = [(page.row["image"], crop.number) for page, crop in pages.crops()]
    assert found == [("b.png", n) for n in range(1, 16)] + [("a.png", n) for n in range(1, 10)]
    text = text_of(report(pages, {}, tmp_path))
    assert text.count("b.png, #1: score 0.500, 0.0064 µm²") == 1


def test_thumbnails_shrink_before_any_is_left_out(pages, tmp_path, monkeypatch):
    monkeypatch.setattr(quantify_report_pages, "MAX_PICTURE_BYTES", 120_000)
    for n in range(20):
        add(pages, f"{n}.png", image_hw=(480, 640))
    shown = [page.thumbnail for page in pages.pages if page.thumbnail is not None]
    assert pages.side_px == 256
    assert {picture.width_px for picture in shown} == {256}
    assert sum(len(picture.data) for picture in shown) <= 120_000
    assert 0 < len(shown) < 20
    assert pages.n_left_out == 20 - len(shown)
    page = report(pages, {}, tmp_path)
    assert "they have 256 px instead of 640" in page
    assert f"Only the first {len(shown)} pictures" in page
    assert f"{20 - len(shown)} are left out" in page
    assert page.count('href="#page-1"') == 2  # in the table, and to close
    assert 'href="#page-20"' not in page
    assert len(pages.pages) == 20


def test_an_interrupted_run_says_so(pages, tmp_path):
    add(pages, "a.png")
    assert "The run was interrupted" in report(pages, {}, tmp_path, is_complete=False)


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        pytest.param([("a/x.tif", 0), ("a/b/y.tif", 0)], ["x.tif", "b/y.tif"], id="below"),
        pytest.param([("x.tif", 0), ("a/y.tif", 0)], ["x.tif", "a/y.tif"], id="no-common"),
        pytest.param([("/a/x.tif", 0), ("b/y.tif", 0)], ["/a/x.tif", "b/y.tif"], id="mixed"),
        pytest.param(
            [("x.tif", 0), ("x.tif", 1), ("y.tif", 0)],
            ["x.tif, page 1", "x.tif, page 2", "y.tif"],
            id="stack",
        ),
        pytest.param([], [], id="none"),
    ],
)
def test_names_of_pages(images, expected):
    assert page_names([failed_row(image, frame, "") for image, frame in images]) == expected


def test_the_same_pages_give_the_same_report(tmp_path):
    texts = set()
    for _ in range(2):
        pages = ReportPages()
        add(pages, "a.png")
        texts.add(report(pages, {"weights": "w"}, tmp_path))
    assert len(texts) == 1


def test_values_are_numbers(pages):
    add(pages, "a.png", nm=None)
    assert len(pages.values) == 2
    assert all(math.isnan(value) for value in pages.values.area_um2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("width", "scheme", "address"),
    [
        pytest.param(1400, "light", "", id="wide-light"),
        pytest.param(400, "dark", "", id="narrow-dark"),
        pytest.param(400, "light", "#picture-1", id="opened-picture"),
    ],
)
def test_in_a_browser(pages, tmp_path, width, scheme, address):
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("needs Chromium (apt-get install chromium)")
    add(pages, f"in/{HOSTILE}")
    add(pages, "in/" + "a_long_name" * 12 + ".png", nm=None)
    pages.add(failed_row("in/broken.png", 0, "in/broken.png: is no image"))
    file, picture = tmp_path / "report.html", tmp_path / "shown.png"
    file.write_text(report(pages, {"weights_sha256": "0" * 64}, tmp_path), encoding="utf-8")
    subprocess.run(
        [
            *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--blink-settings=preferredColorScheme={ {'dark': 0, 'light': 1}[scheme] }",
            f"--screenshot={picture}",
            f"--window-size={width},1600",
            file.as_uri() + address,
        ],
        capture_output=True,
        timeout=120,
        check=True,
    )
    pixels = cv2.imread(str(picture), cv2.IMREAD_GRAYSCALE)
    assert pixels.shape == (1600, width)
    assert (np.median(pixels) < 60) == (scheme == "dark")
    assert np.std(pixels) > 5
    if not address:  # nothing is wider than the window
        assert np.ptp(pixels[:, -5:]) == 0
