"""Sizes of images without decoding them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import tifffile

from mito_instance.errors import ImageError
from mito_instance.io.images import page_headers, page_pixel_sizes, page_sizes_hw, read_pages


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
def test_single_images(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    assert cv2.imwrite(str(path), np.zeros((5, 7), np.uint8))
    assert page_sizes_hw(path) == [(5, 7)]


def test_pages_of_a_tiff(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        for height in (4, 5, 6):
            writer.write(np.zeros((height, 9), np.uint16), photometric="minisblack")
    assert page_sizes_hw(path) == [(4, 9), (5, 9), (6, 9)]
    assert page_sizes_hw(path) == [page.pixels.shape for page in read_pages(path)]


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\0\xff\xff\xff\xff")
    with pytest.raises(ImageError, match=r"a\.tif: the TIFF is damaged"):
        page_sizes_hw(path)


def test_pixel_sizes_of_pages(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, np.zeros((2, 4, 5), np.uint8), imagej=True, resolution=(200.0, 200.0),
        metadata={"unit": "um", "axes": "ZYX"},
    )  # fmt: skip
    assert page_pixel_sizes(path) == [page.pixel_size for page in read_pages(path)]
    assert page_pixel_sizes(path)[1].nm == pytest.approx(5.0)
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((5, 7), np.uint8))
    assert page_pixel_sizes(tmp_path / "a.png") == [None]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif"])
def test_headers(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    assert cv2.imwrite(str(path), np.zeros((5, 7), np.uint8))
    assert page_headers(path) == [((5, 7), None)]


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_header_is_read_without_the_rest(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    pixels = np.random.default_rng(0).integers(0, 255, (400, 300), dtype=np.uint8)
    assert cv2.imwrite(str(path), pixels)
    path.write_bytes(path.read_bytes()[:5000])
    assert page_headers(path) == [((400, 300), None)]
    path.write_bytes(path.read_bytes()[:15])
    with pytest.raises(ImageError, match=r"a\.(png|jpg): the image is damaged or cut off"):
        page_headers(path)


def test_a_jpeg_with_a_long_preface(tmp_path):
    path = tmp_path / "a.jpg"
    assert cv2.imwrite(str(path), np.zeros((5, 7), np.uint8))
    data = path.read_bytes()
    comment = b"\xff\xfe\xff\xff" + bytes(0xFFFD)
    path.write_bytes(data[:2] + 2 * comment + data[2:])
    assert page_headers(path) == [((5, 7), None)]
