"""TIFFs of overlays, as other programs see them."""

import numpy as np
import pytest
import tifffile

from mito_instance.visualize.overlay_tiff import (
    OverlayTiff,
    blank_picture,
    copied_page,
    descriptions,
    encode_picture,
)
from tests.imagej import require_imagej, run_script

PAGES = np.random.default_rng(0).integers(0, 255, (3, 300, 401, 3), dtype=np.uint8)


@pytest.fixture
def path(tmp_path):
    with OverlayTiff(tmp_path / "a.tif", 3, (300, 401)) as tiff:
        for number, page in enumerate(PAGES):
            tiff.add(encode_picture(page, f"page {number}"))
    return tmp_path / "a.tif"


def test_pages_come_back_and_can_be_copied(path, tmp_path):
    assert np.array_equal(tifffile.imread(path), PAGES)
    assert descriptions(path) == ("page 0", "page 1", "page 2")
    with OverlayTiff(tmp_path / "b.tif", 3, (300, 401)) as tiff:
        for frame in range(3):
            tiff.add(copied_page(path, frame))
    assert (tmp_path / "b.tif").read_bytes() == path.read_bytes()


def test_a_blank_page_is_black(tmp_path):
    with OverlayTiff(tmp_path / "a.tif", 1, (4, 5)) as tiff:
        tiff.add(blank_picture((4, 5), "nothing"))
    assert not tifffile.imread(tmp_path / "a.tif").any()


@pytest.mark.parametrize(
    ("n_pages", "is_big"), [(100, False), (12_000, True)], ids=["classic", "big"]
)
def test_large_stacks_are_bigtiff(tmp_path, n_pages, is_big):
    with OverlayTiff(tmp_path / "a.tif", n_pages, (300, 401)) as tiff:
        tiff.add(encode_picture(PAGES[0]))
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.is_bigtiff == is_big


@pytest.mark.parametrize(
    "content", [None, b"", b"II*\0 and no more"], ids=["absent", "empty", "cut"]
)
def test_other_files_have_no_pages(tmp_path, content):
    if content is not None:
        (tmp_path / "a.tif").write_bytes(content)
    assert descriptions(tmp_path / "a.tif") == ()


@pytest.mark.slow
def test_imagej_sees_the_same_colours(path, tmp_path):
    require_imagej()
    run_script("imagej_overlay.bsh", path, tmp_path / "out.txt")
    lines = (tmp_path / "out.txt").read_text().split("\n")
    assert lines[0] == "3 24"
    assert [int(line) for line in lines[1:4]] == [int(page.sum()) for page in PAGES]
