"""Mask files of every form: palettes, colours, alpha, depth, stacks; hostile ones."""

from __future__ import annotations

import contextlib
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from mito_instance.errors import AnnotationError, MitoInstanceError
from mito_instance.io.mask_pages import read_mask_pages, read_stored_page

LABELS = np.array([[0, 1, 1], [0, 2, 3]], np.uint8)


def chunk(kind, content):
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def test_a_palette_of_few_colours_is_read_by_index_of_a_region_too(tmp_path):
    path = tmp_path / "a.tif"
    colormap = np.zeros((3, 256), np.uint16)
    colormap[:, 0] = colormap[0, 1] = 65535  # red on white
    values = np.array([[0, 1, 1], [0, 0, 1]], np.uint8)
    tifffile.imwrite(path, values, photometric="palette", colormap=colormap)
    assert read_stored_page(path).tolist() == values.tolist()
    tifffile.imwrite(path, values.astype(np.float32), photometric="miniswhite")
    assert read_stored_page(path).tolist() == values.tolist()
    greys = np.zeros((3, 256), np.uint16)
    greys[:, :3] = 61680, 2570, 64250  # in no order: as it looks
    tifffile.imwrite(path, values, photometric="palette", colormap=greys)
    assert (read_stored_page(path) > 128).tolist() == (values == 0).tolist()


def indexed_png(indices, palette, bits=8):
    """A PNG with a palette, written by hand: OpenCV cannot."""
    height, width = indices.shape
    header = struct.pack(">IIBBBBB", width, height, bits, 3, 0, 0, 0)
    rows = b""
    for row in indices:
        text = "".join(format(int(value), f"0{bits}b") for value in row)
        text += "0" * (-len(text) % 8)
        rows += b"\0" + bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))
    parts = [(b"IHDR", header), (b"PLTE", bytes(np.array(palette, np.uint8).ravel()))]
    parts += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def only(path):
    (page,) = read_mask_pages(path)
    assert page.values.shape == (2, 3)
    return page


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_a_palette_of_colours_is_read_by_index(tmp_path, bits):
    palette = [[0, 0, 0], [128, 0, 0], [0, 76, 0], [128, 0, 0]]  # 1 and 3 look alike
    path = tmp_path / "a.png"
    path.write_bytes(indexed_png(LABELS, palette, bits))
    page = only(path)
    assert page.values.tolist() == LABELS.tolist()
    assert page.form == "palette of colours, by index"


def test_a_palette_of_greys_is_read_as_it_looks(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(indexed_png(LABELS > 0, [[255] * 3, [0] * 3], 1))
    assert only(path).values.tolist() == [[255, 0, 0], [255, 0, 0]]


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_an_inverting_lookup_table_looks_dark_and_keeps_what_is_stored(tmp_path, name):
    path = tmp_path / name
    mask = (LABELS > 0) * np.uint8(255)
    if name == "a.png":
        path.write_bytes(indexed_png(mask, [[grey] * 3 for grey in range(255, -1, -1)]))
    else:
        tifffile.imwrite(path, mask, photometric="miniswhite")
    page = only(path)
    assert page.is_inverted
    assert page.values.tolist() == (255 - mask).tolist()
    assert page.stored.tolist() == read_stored_page(path).tolist() == mask.tolist()


def test_what_is_not_inverted_is_stored_as_it_looks(tmp_path):
    for name, pixels in (("a.png", LABELS), ("b.tif", LABELS), ("c.tif", LABELS > 0)):
        path = tmp_path / name
        if name == "a.png":
            path.write_bytes(indexed_png(LABELS > 0, [[255] * 3, [0] * 3], 1))
        else:
            photometric = "miniswhite" if pixels.dtype == bool else "minisblack"
            tifffile.imwrite(path, pixels, photometric=photometric)
        page = only(path)
        assert not page.is_inverted
        assert page.stored.tolist() == page.values.tolist() == read_stored_page(path).tolist()


def test_colours_are_numbered_and_black_is_0(tmp_path):
    colours = np.array([[0, 0, 0], [0, 0, 255], [0, 150, 0], [255, 0, 0]], np.uint8)
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), colours[LABELS])
    page = only(path)
    values = page.values
    assert page.form == "colours"
    assert (values == 0).tolist() == (LABELS == 0).tolist()
    assert len(np.unique(values)) == 4
    assert values[0, 1] == values[0, 2]


def test_a_picture_in_colour_is_refused(tmp_path):
    rng = np.random.default_rng(0)
    cv2.imwrite(str(tmp_path / "a.png"), rng.integers(0, 255, (80, 80, 3)).astype(np.uint8))
    with pytest.raises(AnnotationError, match="may have 4096 colours, got"):
        list(read_mask_pages(tmp_path / "a.png"))


@pytest.mark.parametrize("alpha", [LABELS * 0 + 255, LABELS * 60])
def test_alpha_counts_only_where_colour_says_nothing(tmp_path, alpha):
    grey = LABELS * 0 if alpha.min() < 255 else (LABELS > 1) * np.uint8(255)
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.dstack([grey, grey, grey, alpha]))
    page = only(path)
    if alpha.min() < 255:
        assert (page.values.tolist(), page.form) == (alpha.tolist(), "alpha channel")
    else:
        assert (page.values.tolist(), page.form) == (grey.tolist(), "RGB 8-bit")


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.uint16, np.uint32, np.int32, np.float32, np.float64, bool]
)
def test_tiff_of_any_depth(tmp_path, dtype):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, LABELS.astype(dtype), photometric="minisblack")
    assert (only(path).values > 0).tolist() == (LABELS > 0).tolist()


def test_a_stack_gives_its_pages(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.stack([LABELS, LABELS * 2]), photometric="minisblack")
    pages = list(read_mask_pages(path))
    assert [page.values.max() for page in pages] == [3, 6]
    assert [page.where for page in pages] == [f"{path} page 1", f"{path} page 2"]


def test_a_jpeg_says_so_whatever_its_suffix(tmp_path):
    _, data = cv2.imencode(".jpg", LABELS)
    path = tmp_path / "a.png"
    path.write_bytes(data.tobytes())
    assert only(path).is_jpeg


@pytest.mark.parametrize("photometric", ["minisblack", "rgb"])
def test_so_does_a_tiff_page_compressed_as_jpeg(tmp_path, photometric):
    path = tmp_path / "a.tif"
    pixels = np.dstack([LABELS * 60] * 3) if photometric == "rgb" else LABELS * 60
    tifffile.imwrite(path, pixels, compression="jpeg", photometric=photometric)
    assert (only(path).is_jpeg, only(path).form) == (True, "JPEG")
    tifffile.imwrite(path, pixels, compression="lzw", photometric=photometric)
    assert not only(path).is_jpeg


def test_a_bomb_is_refused_before_it_takes_memory(tmp_path):
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 3, 0, 0, 0)
    body = (
        chunk(b"IHDR", header) + chunk(b"PLTE", b"abc") + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    )
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    with pytest.raises(MitoInstanceError, match="cannot hold an image of 60000 x 60000 px"):
        list(read_mask_pages(path))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 200), st.integers(0, 255), st.integers(0, 120))
def test_damaged_files_raise_only_our_errors(tmp_path_factory, position, value, cut):
    data = bytearray(indexed_png(LABELS, [[0, 0, 0], [9, 0, 0], [0, 9, 0], [0, 0, 9]]))
    data[position % len(data)] = value
    path = tmp_path_factory.mktemp("hostile") / "a.png"
    path.write_bytes(bytes(data[: len(data) - cut % len(data)]))
    with contextlib.suppress(MitoInstanceError):  # whole after all, or one of ours
        list(read_mask_pages(path))
