"""Images: finding, reading at full depth, and refusing what is none."""

import contextlib
import logging
import os
import struct
import zlib
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, TiffImagePlugin

from mito_instance.errors import ImageError
from mito_instance.io import tiff_chain
from mito_instance.io.grey import to_grey
from mito_instance.io.images import (
    find_images,
    n_frames,
    page_headers,
    read_page,
    read_pages,
    to_uint8,
)
from mito_instance.io.limits import check_size
from mito_instance.io.tiff import TiffPages

RNG = np.random.default_rng(0)
GREY8 = RNG.integers(0, 256, (40, 50)).astype(np.uint8)
STACK16 = RNG.integers(0, 65536, (3, 40, 50)).astype(np.uint16)
GREY_RGB = np.stack([GREY8] * 3, axis=-1)


def encoded(path: Path, pixels: np.ndarray) -> Path:
    path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())
    return path


def written(path: Path, pixels: np.ndarray, **options) -> Path:
    tifffile.imwrite(path, pixels, **options)
    return path


def only(path: Path) -> np.ndarray:
    (page,) = read_pages(path)
    assert (page.frame, page.n_frames, page.path) == (0, 1, path)
    return page.pixels


# ------------------------------------------------------------------------------ PNG, JPEG, BMP
@pytest.mark.parametrize(
    ("name", "pixels", "expected"),
    [
        pytest.param("a.png", GREY8, GREY8, id="png-8"),
        pytest.param("a.png", STACK16[0], STACK16[0], id="png-16-is-not-clipped"),
        pytest.param("a.png", GREY_RGB, GREY8, id="png-rgb"),
        pytest.param("a.png", np.stack([STACK16[0]] * 3, -1), STACK16[0], id="png-rgb-16"),
        pytest.param("a.png", np.dstack([GREY_RGB, GREY8 // 2]), GREY8, id="png-rgba"),
        pytest.param("a.bmp", GREY8, GREY8, id="bmp"),
        pytest.param("a.bmp", GREY_RGB, GREY8, id="bmp-rgb"),
        pytest.param("µ ü 图.png", GREY8, GREY8, id="unicode-and-spaces-in-the-name"),
    ],
)
def test_raster_pixels_come_back_exactly(tmp_path, name, pixels, expected):
    read = only(encoded(tmp_path / name, pixels))
    assert read.dtype == expected.dtype
    assert np.array_equal(read, expected)


def test_jpeg_is_near(tmp_path):
    smooth = cv2.GaussianBlur(GREY8, (0, 0), 4)
    assert np.abs(only(encoded(tmp_path / "a.jpg", smooth)).astype(int) - smooth).max() <= 4


def test_the_content_decides_not_the_suffix(tmp_path):
    png = encoded(tmp_path / "a.png", GREY8)
    assert np.array_equal(only(png.rename(tmp_path / "a.tif")), GREY8)


def test_exif_rotation_is_not_applied(tmp_path):
    jpeg = encoded(tmp_path / "a.jpg", cv2.GaussianBlur(GREY8, (0, 0), 4)).read_bytes()
    tiff = b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHHI", 0x112, 3, 1, 6, 0, 0)
    exif = b"Exif\0\0" + tiff
    marker = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    (tmp_path / "turned.jpg").write_bytes(jpeg[:2] + marker + jpeg[2:])
    assert np.array_equal(only(tmp_path / "turned.jpg"), only(tmp_path / "a.jpg"))


# ---------------------------------------------------------------------------------------- TIFF
@pytest.mark.parametrize(
    ("pixels", "options"),
    [
        pytest.param(GREY8, {}, id="uint8"),
        pytest.param(STACK16[0], {"byteorder": ">"}, id="uint16-big-endian"),
        pytest.param(STACK16[0].astype(np.uint32) * 9, {}, id="uint32"),
        pytest.param(GREY8.astype(np.int8), {}, id="int8"),
        pytest.param(STACK16[0].astype(np.int16), {}, id="int16"),
        pytest.param(STACK16[0].astype(np.int32) * -9, {}, id="int32"),
        pytest.param(GREY8 / np.float32(255), {}, id="float32"),
        pytest.param(STACK16[0], {"compression": "zlib"}, id="deflate"),
        pytest.param(STACK16[0], {"tile": (16, 16)}, id="tiled"),
        pytest.param(STACK16[0], {"bigtiff": True}, id="bigtiff"),
    ],
)
def test_tiff_keeps_its_depth(tmp_path, pixels, options):
    read = only(written(tmp_path / "a.tif", pixels, **options))
    assert read.dtype == pixels.dtype
    assert np.array_equal(read, pixels)


@pytest.mark.parametrize(
    "compression", ["lzw", "packbits", "zlib", "zstd", "lzma", "lerc", "jpeg2000"]
)
def test_lossless_compressions_of_a_stack(tmp_path, compression):
    options = {"compression": compression, "photometric": "minisblack"}
    path = written(tmp_path / "a.tif", STACK16, **options)
    assert [page.frame for page in read_pages(path)] == [0, 1, 2]
    assert np.array_equal(read_page(path, 2).pixels, STACK16[2])


@pytest.mark.parametrize("predictor", [2, 3])
@pytest.mark.parametrize("compression", ["lzw", "zlib"])
def test_predictors(tmp_path, compression, predictor):
    pixels = GREY8 / np.float32(255) if predictor == 3 else STACK16[0]
    path = written(tmp_path / "a.tif", pixels, compression=compression, predictor=predictor)
    assert np.array_equal(only(path), pixels)


def by_pillow(path: Path, image: Image.Image, compression: str, photometric: int | None) -> Path:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    if photometric is not None:
        tags[262] = photometric
    image.save(path, compression=compression, tiffinfo=tags)
    with tifffile.TiffFile(path) as tif:
        codes = {"raw": 1, "tiff_lzw": 5, "packbits": 32773, "group4": 4, "tiff_adobe_deflate": 8}
        assert tif.pages.first.compression == codes[compression]
        assert photometric in (None, tif.pages.first.photometric)
    return path


BYTEWISE = ("tiff_lzw", "tiff_adobe_deflate", "packbits")
DEEP, BIT = ("white-is-zero", "palette", "grey"), ("bit", "bit-white-is-zero")


@pytest.mark.parametrize(
    ("kind", "compression"),
    [*product(DEEP, BYTEWISE), *product(BIT, (*BYTEWISE, "group4"))],
)
def test_compression_changes_no_pixel(tmp_path, kind, compression):
    image = Image.fromarray(GREY8 > 99 if kind.startswith("bit") else GREY8)
    if kind == "palette":
        image = Image.fromarray(GREY8, mode="P")
        image.putpalette([*RNG.integers(0, 256, 768).tolist()])
    photometric = {"white-is-zero": 0, "bit-white-is-zero": 0, "bit": 1}.get(kind)
    plain = only(by_pillow(tmp_path / "plain.tif", image, "raw", photometric))
    read = only(by_pillow(tmp_path / "a.tif", image, compression, photometric))
    assert read.dtype == plain.dtype
    assert np.array_equal(read, plain)
    assert len(np.unique(plain)) == (2 if kind.startswith("bit") else 256)


def test_jpeg_pages_are_near(tmp_path):
    smooth = cv2.GaussianBlur(GREY8, (0, 0), 4)
    path = written(tmp_path / "a.tif", smooth, compression="jpeg", rowsperstrip=16)
    assert np.abs(only(path).astype(int) - smooth).max() <= 4


@pytest.mark.parametrize(
    ("pixels", "options"),
    [
        pytest.param(GREY_RGB, {"photometric": "rgb"}, id="interleaved"),
        pytest.param(
            np.moveaxis(GREY_RGB, -1, 0),
            {"photometric": "rgb", "planarconfig": "separate"},
            id="planar",
        ),
        pytest.param(
            np.dstack([GREY_RGB, GREY8 // 3]),
            {"photometric": "rgb", "extrasamples": ["unassalpha"]},
            id="rgba",
        ),
    ],
)
def test_tiff_colour_becomes_grey(tmp_path, pixels, options):
    assert np.array_equal(only(written(tmp_path / "a.tif", pixels, **options)), GREY8)


@pytest.mark.parametrize("count", [1, 2, 512, 700])
def test_a_damaged_palette_is_no_reason_to_lose_the_image(tmp_path, count):
    path = tmp_path / "a.tif"
    pixels = np.arange(30, dtype=np.uint8).reshape(5, 6)
    falling = np.linspace(65535, 0, 256).astype(np.uint16)
    tifffile.imwrite(path, pixels, photometric="palette", colormap=np.stack([falling] * 3))
    assert np.array_equal(read_page(path).pixels, 255 - pixels)
    with tifffile.TiffFile(path) as tif:
        tag = tif.pages[0].tags[320].offset
    data = bytearray(path.read_bytes())
    data[tag + 4 : tag + 8] = struct.pack("<I", count)
    path.write_bytes(data)
    assert np.array_equal(read_page(path).pixels, pixels)


GREYS_IN_NO_ORDER = np.arange(256, dtype=np.uint16) ^ 85


@pytest.mark.parametrize(
    ("pixels", "greys", "expected"),
    [
        pytest.param(GREY8, GREYS_IN_NO_ORDER * 257, GREYS_IN_NO_ORDER[GREY8], id="8-bit"),
        pytest.param(GREY8, GREYS_IN_NO_ORDER * 256, GREYS_IN_NO_ORDER[GREY8], id="low-byte-0"),
        pytest.param(GREY8, GREYS_IN_NO_ORDER, GREYS_IN_NO_ORDER[GREY8], id="entries-of-8-bit"),
        pytest.param(GREY8, np.sqrt(np.arange(256)) * 4096, GREY8, id="rising-is-contrast"),
        pytest.param(STACK16[0], np.arange(65536) ^ 85, STACK16[0] ^ 85, id="16-bit"),
    ],
)
def test_greys_in_no_order_are_read_as_seen(tmp_path, pixels, greys, expected):
    colormap = np.stack([greys] * 3).astype(np.uint16)
    path = written(tmp_path / "a.tif", pixels, photometric="palette", colormap=colormap)
    assert only(path).dtype == pixels.dtype
    assert np.array_equal(only(path), expected)
    with TiffPages(path) as pages:  # labels, perhaps
        assert np.array_equal(pages.pixels(0), pixels)
    colormap[0] = 0
    path = written(tmp_path / "a.tif", pixels, photometric="palette", colormap=colormap)
    assert np.array_equal(only(path), pixels)  # colours


@pytest.mark.parametrize("method", [0, 1, 2])
def test_a_grey_picture_with_a_red_bar_reduced_to_256_colours_is_read_as_seen(
    tmp_path, method, caplog
):
    rows, columns = np.mgrid[:96, :128]
    grey = (40 + 150 * np.hypot(rows - 40, columns - 60) / 110).astype(np.uint8)
    picture = np.stack([grey] * 3, axis=-1)
    picture[88:92, 100:120] = 220, 20, 20
    image = Image.fromarray(picture).quantize(256, method=method)
    image.save(tmp_path / "a.tif")
    difference = only(tmp_path / "a.tif").astype(int) - to_grey(np.array(image.convert("RGB")), "")
    assert abs(difference).max() <= 1
    assert not caplog.messages


def test_a_grey_ramp_with_marked_ends_is_read_by_its_values(tmp_path, caplog):
    ramp = np.stack([np.arange(256, dtype=np.uint16) * 257] * 3)
    ramp[:, 0], ramp[:, -1] = (0, 0, 65535), (65535, 0, 0)  # ImageJ's HiLo
    path = written(tmp_path / "a.tif", GREY8, photometric="palette", colormap=ramp)
    assert np.array_equal(only(path), GREY8)
    assert not caplog.messages


def test_colours_in_no_order_are_named(tmp_path, caplog):
    colours = RNG.integers(0, 65536, (3, 256)).astype(np.uint16)
    path = written(tmp_path / "a.tif", GREY8, photometric="palette", colormap=colours)
    assert np.array_equal(only(path), GREY8)
    assert "a.tif: its values number colours in no order of brightness" in caplog.text


@pytest.mark.parametrize("n_samples", [2, 3, 4])
def test_channels_that_are_no_colours_are_refused(tmp_path, n_samples):
    pixels = np.stack([GREY8 ^ k for k in range(n_samples)], axis=-1)
    options = {
        "photometric": "minisblack",
        "planarconfig": "contig",
        "extrasamples": [0] * (n_samples - 1),
    }
    with pytest.raises(ImageError, match=f"a.tif: holds {n_samples} channels that are no colours"):
        only(written(tmp_path / "a.tif", pixels, **options))
    pixels[..., 1:] = GREY8[..., None]
    assert np.array_equal(only(written(tmp_path / "a.tif", pixels, **options)), GREY8)
    pixels[..., 1:] = 255
    assert np.array_equal(only(written(tmp_path / "a.tif", pixels, **options)), GREY8)


@pytest.mark.parametrize(
    "pixels",
    [
        pytest.param(np.stack([GREY8 > 99] * 2), id="one-bit"),
        pytest.param(np.where(np.eye(40, 50) > 0, np.nan, [GREY8] * 2), id="nan-in-both"),
    ],
)
def test_extra_samples_that_say_nothing_are_left_out(tmp_path, pixels):
    pixels = pixels if pixels.dtype == bool else pixels.astype(np.float32)
    path = written(tmp_path / "a.tif", pixels, photometric="minisblack", planarconfig="separate")
    page = next(read_pages(path)).pixels
    assert page.shape == GREY8.shape
    assert np.array_equal(page > 99, pixels[0] > 0 if pixels.dtype == bool else pixels[0] > 99)


def without_tag(path, code):
    """The file with a tag's number changed to one that nobody knows."""
    data = path.read_bytes()
    entry = struct.pack("<H", code)
    start = struct.unpack_from("<I", data, 4)[0] + 2
    while data[start : start + 2] != entry:
        start += 12
    path.write_bytes(data[:start] + struct.pack("<H", 60000) + data[start + 2 :])
    return path


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_black_is_zero_where_the_file_does_not_say(tmp_path, photometric):
    path = written(tmp_path / "a.tif", GREY8, photometric=photometric)
    assert np.array_equal(only(without_tag(path, 262)), GREY8)


def test_channels_without_a_word_on_them_are_refused(tmp_path):
    pixels = np.stack([GREY8, GREY8 ^ 7, GREY8 ^ 9], axis=-1)
    options = {"photometric": "minisblack", "planarconfig": "contig", "extrasamples": [0, 0]}
    for code in (338, 262):
        path = without_tag(written(tmp_path / "a.tif", pixels, **options), code)
        with pytest.raises(ImageError, match=r"a.tif: holds 3 channels that are no colours"):
            only(path)


def test_colours_without_a_word_on_them_are_colours(tmp_path):
    pixels = np.stack([GREY8, GREY8 ^ 7, GREY8 ^ 9], axis=-1)
    path = written(tmp_path / "a.tif", pixels, photometric="rgb")
    expected = only(path)
    assert np.array_equal(only(without_tag(path, 262)), expected)


def test_an_empty_directory_is_no_page(tmp_path):
    path = written(tmp_path / "a.tif", GREY8)
    data = bytearray(path.read_bytes())
    first = struct.unpack_from("<I", data, 4)[0]
    link = first + 2 + 12 * struct.unpack_from("<H", data, first)[0]
    struct.pack_into("<I", data, link, len(data))
    path.write_bytes(bytes(data) + struct.pack("<HI", 0, 0))
    assert n_frames(path) == 1
    assert np.array_equal(only(path), GREY8)


def test_all_planes_of_a_metamorph_stack_are_read(tmp_path):
    path = tmp_path / "a.tif"
    planes = np.stack([GREY8, GREY8 // 2, GREY8 // 3])
    tag = (33629, "I", 18, (0,) * 18, True)
    written(path, GREY8, photometric="minisblack", extratags=[tag])
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        offset = tif.pages[0].dataoffsets[0]
        entry = tif.pages[0].tags[33629].offset
    struct.pack_into("<I", data, entry + 4, 3)  # as MetaMorph counts: three planes
    assert offset + GREY8.nbytes == len(data)
    path.write_bytes(bytes(data) + planes[1].tobytes() + planes[2].tobytes())
    assert n_frames(path) == 3
    for frame, plane in enumerate(planes):
        assert np.array_equal(read_page(path, frame).pixels, plane)


def test_slices_stored_as_colours_are_named(tmp_path, caplog):
    path = written(tmp_path / "a.tif", np.stack([GREY8] * 3), photometric="rgb")
    only(path)
    assert "a.tif: is read as one colour image; if its 3 planes are slices" in caplog.text


def test_greys_in_no_order_of_4_bit(tmp_path):
    values = GREY8 % 16
    packed = values[:, ::2] << 4 | values[:, 1::2]
    colormap = np.zeros((3, 256), np.uint16)
    path = written(tmp_path / "a.tif", packed, photometric="palette", colormap=colormap)
    greys = np.arange(16, dtype=np.uint16) ^ 5
    with tifffile.TiffFile(path, mode="r+") as tif:
        tags = tif.pages.first.tags
        tags["ImageWidth"].overwrite(2 * packed.shape[1])
        tags["BitsPerSample"].overwrite(4)
        tags["ColorMap"].overwrite(np.tile(greys * 4369, 3).tolist())
    assert np.array_equal(only(path), (greys * 17)[values])


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_stored_one_of_a_one_bit_page_becomes_255(tmp_path, photometric):
    read = only(written(tmp_path / "a.tif", GREY8 > 99, photometric=photometric))
    assert np.array_equal(read, np.where(GREY8 > 99, 255, 0))


def test_white_is_zero_is_turned_round(tmp_path):
    path = written(tmp_path / "a.tif", GREY8, photometric="miniswhite")
    assert np.array_equal(only(path), 255 - GREY8)


def test_white_is_zero_of_fractions_is_turned_round_but_for_labels(tmp_path):
    fractions = GREY8.astype(np.float32)
    path = written(tmp_path / "a.tif", fractions, photometric="miniswhite")
    assert np.array_equal(to_uint8(only(path)), to_uint8(-fractions))
    with TiffPages(path) as pages:
        assert np.array_equal(pages.pixels(0), fractions)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="plain-stack"),
        pytest.param({"imagej": True}, id="imagej-stack"),
        pytest.param({"ome": True}, id="ome"),
        pytest.param({"compression": "zlib"}, id="compressed"),
    ],
)
def test_a_stack_has_one_page_a_plane(tmp_path, options):
    path = written(tmp_path / "a.tif", STACK16, photometric="minisblack", **options)
    assert n_frames(path) == 3
    for frame, page in enumerate(read_pages(path)):
        assert (page.frame, page.n_frames) == (frame, 3)
        assert np.array_equal(page.pixels, STACK16[frame])
    assert np.array_equal(read_page(path, 1).pixels, STACK16[1])


def test_hyperstack_planes_are_pages(tmp_path):
    hyperstack = RNG.integers(0, 256, (2, 3, 8, 9)).astype(np.uint8)
    path = written(tmp_path / "a.tif", hyperstack, imagej=True, metadata={"axes": "ZCYX"})
    read = np.stack([page.pixels for page in read_pages(path)])
    assert np.array_equal(read, hyperstack.reshape(6, 8, 9))


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_imagej_stack_with_one_directory(tmp_path, byteorder):
    """ImageJ writes stacks beyond 4 GB so: all planes behind each other after one directory."""
    description = f"ImageJ=1.53t\nimages={len(STACK16)}\nslices={len(STACK16)}\n"
    path = written(
        tmp_path / "a.tif",
        STACK16[0],
        description=description,
        metadata=None,
        byteorder=byteorder,
    )
    with tifffile.TiffFile(path) as tif:
        offset = tif.pages.first.dataoffsets[0]
    planes = STACK16.astype(np.dtype(np.uint16).newbyteorder(byteorder)).tobytes()
    path.write_bytes(path.read_bytes()[:offset] + planes)
    read = list(read_pages(path))
    assert np.array_equal(np.stack([page.pixels for page in read]), STACK16)
    assert read[0].pixels.flags.writeable
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ImageError, match="too short"):
        n_frames(path)


def test_a_page_that_kept_the_description_of_its_stack(tmp_path, caplog):
    description = "ImageJ=1.53t\nimages=50\nslices=50\n"
    path = written(tmp_path / "a.tif", GREY8, description=description, metadata=None)
    for _ in range(2):
        assert np.array_equal(only(path), GREY8)
    assert caplog.text.count("a.tif: is read as one page") == 1


def test_thumbnails_are_no_pages(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        tif.write(GREY8, metadata=None)
        tif.write(GREY8[::4, ::4], subfiletype=1, metadata=None)
    assert np.array_equal(only(tmp_path / "a.tif"), GREY8)


def settled(path: Path, seconds: int) -> Path:
    """The file as if it had been written a while ago."""
    os.utime(path, ns=(0, (1_700_000_000 + seconds) * 10**9))
    return path


def with_thumbnails(path: Path, n_pages: int, n_thumbnails: int) -> Path:
    with tifffile.TiffWriter(path) as tif:
        for _ in range(n_thumbnails):
            tif.write(GREY8[::4, ::4], subfiletype=1, metadata=None)
        for _ in range(n_pages):
            tif.write(GREY8, metadata=None)
    return path


def test_a_stack_that_is_read_page_by_page_is_searched_once(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    searched = []
    find = tiff_chain._find
    monkeypatch.setattr(tiff_chain, "_find", lambda *a: (searched.append(1), find(*a))[1])
    path = settled(with_thumbnails(tmp_path / "a.tif", 3, 1), 0)
    for frame in range(3):
        assert np.array_equal(read_page(path, frame).pixels, GREY8)
    assert len(searched) == 1
    settled(with_thumbnails(path, 2, 2), 0)  # another size
    assert n_frames(path) == 2
    settled(path, 1)  # another time
    assert n_frames(path) == 2
    assert len(searched) == 3
    assert caplog.text.count("a.tif: 1 thumbnail, mask or empty pages skipped") == 1
    assert caplog.text.count("thumbnail") == 1


def test_a_file_written_just_now_is_searched_anew(tmp_path):
    path = with_thumbnails(tmp_path / "a.tif", 2, 1)
    assert n_frames(path) == 2
    with_thumbnails(path, 1, 2)
    assert n_frames(path) == 1


def test_few_files_are_remembered(tmp_path):
    for number in range(tiff_chain.MAX_REMEMBERED + 3):
        assert n_frames(settled(written(tmp_path / f"{number}.tif", GREY8[:2, :2]), 0)) == 1
    assert len(tiff_chain._remembered) == tiff_chain.MAX_REMEMBERED


def test_pages_may_differ_in_size(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        tif.write(GREY8, metadata=None)
        tif.write(GREY8[:10, :20], metadata=None)
    assert [page.pixels.shape for page in read_pages(tmp_path / "a.tif")] == [(40, 50), (10, 20)]


def test_pages_are_read_lazily(tmp_path):
    path = written(tmp_path / "a.tif", STACK16, photometric="minisblack", compression="zlib")
    with tifffile.TiffFile(path) as tif:
        offset = tif.pages[2].dataoffsets[0]
    data = bytearray(path.read_bytes())
    data[offset : offset + 4] = b"\xff" * 4
    path.write_bytes(data)
    pages = read_pages(path)
    assert np.array_equal(next(pages).pixels, STACK16[0])
    assert np.array_equal(next(pages).pixels, STACK16[1])
    with pytest.raises(ImageError, match="page 3"):
        next(pages)


# ------------------------------------------------------------------------------------ refusals
def whole_files(folder: Path) -> list[Path]:
    return [
        encoded(folder / "a.png", GREY8),
        encoded(folder / "a.jpg", GREY8),
        encoded(folder / "a.bmp", GREY8),
        written(folder / "plain.tif", GREY8),
        written(folder / "stack.tif", STACK16, photometric="minisblack"),
        written(folder / "deflate.tif", STACK16, photometric="minisblack", compression="zlib"),
        written(folder / "imagej.tif", STACK16, imagej=True),
        written(folder / "tiled.tif", STACK16, photometric="minisblack", tile=(16, 16)),
        written(folder / "lzw.tif", STACK16, photometric="minisblack", compression="lzw"),
        written(folder / "jpeg.tif", GREY8, compression="jpeg"),
    ]


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.5, 0.7, 0.97])
@pytest.mark.parametrize("index", range(10))
def test_a_file_that_is_cut_off_is_never_read_in_part(tmp_path, index, kept):
    path = whole_files(tmp_path)[index]
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(ImageError, match=r"damaged|cut off") as caught:
        list(read_pages(path))
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_damaged_bytes_never_escape_as_another_error(tmp_path):
    rng = np.random.default_rng(3)
    for path in whole_files(tmp_path):
        original = np.frombuffer(path.read_bytes(), dtype=np.uint8)
        for _ in range(25):
            data = original.copy()
            places = rng.integers(0, min(len(data), 400), 4)
            data[places] = rng.integers(0, 256, 4)
            path.write_bytes(data.tobytes())
            try:
                for page in read_pages(path):
                    assert page.pixels.ndim == 2
            except ImageError as error:
                assert "\n" not in str(error)  # noqa: PT017 - either outcome is right


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        pytest.param("a.png", b"", r"empty \(0 bytes\)", id="empty"),
        pytest.param("a.png", b"just text", "not a PNG, JPEG, BMP, TIFF, MRC or DM", id="text"),
        pytest.param("a.png", png_header(0, 5), "at least 1 x 1 px", id="no-width"),
        pytest.param("a.png", png_header(10**5, 10**5), "<= 4000000000 px", id="absurd"),
        pytest.param("a.png", png_header(50_000, 50_000), "cannot hold an image", id="bomb"),
        pytest.param("a.png", png_header(50, 50), "damaged", id="no-pixels"),
        pytest.param("a.jpg", b"\xff\xd8\xff\xd9", "damaged", id="empty-jpeg"),
        pytest.param("a.bmp", b"BM" + bytes(60), "at least 1 x 1|damaged", id="empty-bmp"),
        pytest.param("a.tif", b"II*\0\x08\0\0\0", "damaged", id="tiff-header-alone"),
    ],
)
def test_what_is_no_image(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=message):
        list(read_pages(tmp_path / name))


def test_tiff_bomb_is_refused_before_memory_is_given(tmp_path):
    path = written(tmp_path / "a.tif", GREY8, compression="zlib", metadata=None, rowsperstrip=40)
    with tifffile.TiffFile(path, mode="r+") as tif:
        tif.pages.first.tags["ImageWidth"].overwrite(60_000)
        tif.pages.first.tags["ImageLength"].overwrite(60_000)
    with pytest.raises(ImageError, match="cannot hold an image"):
        list(read_pages(path))


def test_a_page_with_missing_strips_is_damaged(tmp_path):
    """Not: a page whose lower part is black."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY8, rowsperstrip=4, compression="zlib")
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        place = tif.pages[0].tags["ImageLength"].valueoffset
    struct.pack_into("<H", data, place, 1000)
    path.write_bytes(bytes(data))
    with pytest.raises(ImageError, match="cut off"):
        read_page(path)


@pytest.mark.parametrize(("n_directories", "back_to"), [(101, 100), (3, 0), (150, 120)])
def test_directories_that_lead_back_never_end_a_batch(tmp_path, n_directories, back_to):
    """tifffile looks for circles once, at the hundredth directory."""
    data = b"II*\0" + struct.pack("<I", 8)
    for number in range(n_directories):
        following = number + 1 if number + 1 < n_directories else back_to
        data += struct.pack("<HHHIII", 1, 256, 3, 1, 1, 8 + 18 * following)
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(ImageError, match="directories lead back to one before"):
        page_headers(tmp_path / "a.tif")


def test_tiles_of_many_samples_are_refused_before_memory_is_given(tmp_path):
    path = tmp_path / "a.tif"
    tile = np.zeros((64, 64, 128), np.float64)
    tifffile.imwrite(
        path,
        tile,
        tile=(64, 64),
        planarconfig="contig",
        photometric="minisblack",
        compression="zlib",
    )
    with tifffile.TiffFile(path) as tif:
        places = {tag.name: tag.valueoffset for tag in tif.pages[0].tags.values()}
    data = bytearray(path.read_bytes())
    for name, value in (("TileWidth", 4096), ("TileLength", 4096)):
        data[places[name] : places[name] + 2] = struct.pack("<H", value)
    path.write_bytes(bytes(data))
    with pytest.raises(ImageError, match=r"cannot hold an image of 4096 x 4096 px|is larger than"):
        list(read_pages(path))


@pytest.mark.parametrize("compression", [5, 7])
def test_strips_that_share_their_bytes_are_refused(tmp_path, compression):
    path = tmp_path / "a.tif"
    name = {5: "lzw", 7: "jpeg"}[compression]
    tifffile.imwrite(path, np.zeros((64, 64), np.uint8), rowsperstrip=8, compression=name)
    with tifffile.TiffFile(path) as tif:
        tags = tif.pages[0].tags
        offsets, counts = tags["StripOffsets"], tags["StripByteCounts"]
        first = min(offsets.value)
        form, size = {3: ("<H", 2), 4: ("<I", 4)}[counts.dtype], 0
        size = form[1]
    data = bytearray(path.read_bytes())
    of_offsets = {3: "<H", 4: "<I"}[offsets.dtype]
    step = struct.calcsize(of_offsets)
    for number in range(8):
        struct.pack_into(of_offsets, data, offsets.valueoffset + step * number, first)
        struct.pack_into(form[0], data, counts.valueoffset + size * number, len(data) // 3 - number)
    path.write_bytes(bytes(data))
    with pytest.raises(ImageError, match="strips or tiles share their bytes"):
        list(read_pages(path))


def test_a_tile_far_larger_than_its_image_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY8, tile=(16, 16), compression="zlib")
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        place = tif.pages[0].tags["TileWidth"].valueoffset
    struct.pack_into("<I", data, place, 0x00FF0000)
    path.write_bytes(bytes(data))
    with pytest.raises(ImageError, match=r"a tile of .* px is larger than its image|cut off"):
        read_page(path)


@pytest.mark.parametrize(
    ("code", "name"),
    [
        pytest.param(50002, r"JPEGXL \(50002\)", id="size-of-its-own"),
        pytest.param(32809, r"THUNDERSCAN \(32809\)", id="no-decoder"),
        pytest.param(54321, "number 54321", id="no-name"),
    ],
)
def test_an_unknown_compression_is_named(tmp_path, code, name):
    path = written(tmp_path / "a.tif", STACK16, photometric="minisblack", compression="zlib")
    with tifffile.TiffFile(path, mode="r+") as tif:
        tif.pages[1].tags["Compression"].overwrite(code)
    assert np.array_equal(read_page(path, 0).pixels, STACK16[0])
    message = rf"a.tif page 2: TIFF compression {name} cannot be read; save the image uncompressed"
    with pytest.raises(ImageError, match=message):
        read_page(path, 1)


def with_other_bytes(path: Path, pattern: bytes, place: int, content: bytes) -> None:
    """Write content behind the first place of a pattern in the pixels of a TIFF."""
    with tifffile.TiffFile(path) as tif:
        start = tif.pages.first.dataoffsets[0]
    data = bytearray(path.read_bytes())
    found = data.index(pattern, start) + place
    data[found : found + len(content)] = content
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("compression", "pattern", "place", "content", "message"),
    [
        pytest.param("jpeg", b"\xff\xc0", 7, b"\x4e\x20", "20000 px wide but", id="jpeg-width"),
        pytest.param("jpeg", b"\xff\xc0", 5, b"\0\0", "at least 1 x 1 px", id="jpeg-height"),
        pytest.param("jpeg", b"\xff\xd8", 0, b"\0\0", "header of a strip", id="no-jpeg"),
        pytest.param(
            "jpeg2000", b"\xff\x4f\xff\x51", 8, b"\0\x01\0\0", "65536 px wide", id="2000-width"
        ),
        pytest.param(
            "jpeg2000", b"\xff\x4f\xff\x51", 12, b"\x7f\0\0\0", "<= 4000000000", id="2000-height"
        ),
        pytest.param("jpeg2000", b"\xff\x4f", 0, b"\0\0", "header of a strip", id="no-2000"),
    ],
)
def test_a_strip_larger_than_its_page_is_refused_before_memory_is_given(
    tmp_path, compression, pattern, place, content, message
):
    path = written(tmp_path / "a.tif", GREY8, compression=compression)
    with_other_bytes(path, pattern, place, content)
    with pytest.raises(ImageError, match=message):
        read_page(path)


@pytest.mark.parametrize("compression", ["lzw", "packbits", "zstd", "lerc", "jpeg2000", "jpeg"])
def test_damaged_strips_never_escape_as_another_error(tmp_path, capfd, compression):
    path = written(tmp_path / "a.tif", GREY8, compression=compression)
    with tifffile.TiffFile(path) as tif:
        start, count = tif.pages.first.dataoffsets[0], tif.pages.first.databytecounts[0]
    original = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    rng = np.random.default_rng(5)
    for _ in range(40):
        data = original.copy()
        places = start + rng.integers(0, min(count, 200), 4)
        data[places] = rng.integers(0, 256, 4)
        path.write_bytes(data.tobytes())
        with contextlib.suppress(ImageError):
            assert read_page(path).pixels.shape == GREY8.shape
    assert capfd.readouterr().err == ""


def test_decoders_are_silent(tmp_path, capfd):
    path = tmp_path / "a.tif"
    path.write_bytes(cv2.imencode(".tif", GREY8, [cv2.IMWRITE_TIFF_COMPRESSION, 5])[1].tobytes())
    data = bytearray(path.read_bytes())
    data[8:40] = bytes(32)
    path.write_bytes(bytes(data))
    with contextlib.suppress(ImageError):
        read_page(path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("pixels", "options", "message"),
    [
        pytest.param(
            np.arange(405, dtype=np.uint16).reshape(9, 9, 5),
            {"photometric": "minisblack", "planarconfig": "contig"},
            "5 channels that are no colours",
            id="five-channels",
        ),
        pytest.param(
            np.zeros((4, 16, 16), np.uint8),
            {"volumetric": True, "tile": (4, 16, 16), "photometric": "minisblack"},
            "one plane",
            id="volume",
        ),
        pytest.param(
            np.zeros((9, 9, 4), np.uint8),
            {"photometric": "separated"},
            "CMYK, those of print; save as grey",
            id="cmyk",
        ),
        pytest.param(
            np.zeros((9, 9, 3), np.uint8), {"photometric": "cielab"}, "YCbCr or Lab", id="lab"
        ),
        pytest.param(np.zeros((9, 9), np.complex64), {}, "integers or floats", id="complex"),
    ],
)
def test_pages_that_are_no_micrograph(tmp_path, pixels, options, message):
    with pytest.raises(ImageError, match=message):
        list(read_pages(written(tmp_path / "a.tif", pixels, **options)))


def test_missing_file_folder_and_page(tmp_path):
    with pytest.raises(ImageError, match="no such file"):
        list(read_pages(tmp_path / "no.png"))
    with pytest.raises(ImageError, match="not a regular file"):
        read_page(tmp_path)
    path = encoded(tmp_path / "a.png", GREY8)
    with pytest.raises(ImageError, match=r"page must be in 0 … 0, got 3"):
        read_page(path, 3)
    path = written(tmp_path / "a.tif", STACK16, photometric="minisblack")
    with pytest.raises(ImageError, match=r"page must be in 0 … 2, got -1"):
        read_page(path, -1)


@pytest.mark.parametrize(
    ("width", "height", "n_bytes", "fits"),
    [
        pytest.param(16_000, 16_000, 100, True, id="up-to-256-MB-anything-fits"),
        pytest.param(60_000, 60_000, 10**6, False, id="compressed-3600-fold"),
        pytest.param(60_000, 60_000, 10**7, True, id="compressed-360-fold"),
        pytest.param(70_000, 70_000, 10**10, False, id="too-many-pixels"),
    ],
)
def test_size_limits(width, height, n_bytes, fits):
    if fits:
        check_size("a", width, height, channels=1, n_bytes=n_bytes)
    else:
        with pytest.raises(ImageError, match=f"{width} x {height}"):
            check_size("a", width, height, channels=1, n_bytes=n_bytes)


# ------------------------------------------------------------------------------- grey and 8 bit
@pytest.mark.parametrize(
    ("rgb", "dtype", "expected"),
    [
        pytest.param((255, 0, 0), np.uint8, 76, id="red"),
        pytest.param((0, 255, 0), np.uint8, 150, id="green"),
        pytest.param((0, 0, 255), np.uint8, 29, id="blue"),
        pytest.param((65535, 65535, 0), np.uint16, 58064, id="yellow-16-bit"),
        pytest.param((1.0, 0.0, 0.0), np.float32, 0.299, id="red-float"),
        pytest.param((-100, -100, -100), np.int16, -100, id="signed-grey"),
        pytest.param((2**32 - 1,) * 3, np.uint32, 2**32 - 1, id="white-32-bit"),
    ],
)
def test_luminance_by_hand(rgb, dtype, expected):
    grey = to_grey(np.array([[rgb]], dtype=dtype), "a")
    assert grey.dtype == dtype
    assert grey[0, 0] == pytest.approx(expected)


def test_grey_with_alpha_and_empty():
    assert to_grey(np.array([[[7, 255]]], np.uint8), "a").tolist() == [[7]]
    with pytest.raises(ImageError, match="no pixel"):
        to_grey(np.zeros((0, 5), np.uint8), "a")


def test_to_uint8():
    assert to_uint8(GREY8) is GREY8
    assert to_uint8(np.full((4, 4), 3.0)).tolist() == [[128] * 4] * 4
    ramp = np.linspace(0, 65535, 10_000).astype(np.uint16).reshape(100, 100)
    stretched = to_uint8(ramp)
    assert (stretched.dtype, stretched.min(), stretched.max()) == (np.uint8, 0, 255)
    assert np.abs(stretched.astype(float) - ramp / 257).max() < 3  # the whole range is used
    with_nan = ramp.astype(np.float32)
    with_nan[0, 0], with_nan[0, 1] = np.nan, np.inf
    assert to_uint8(with_nan).shape == (100, 100)


# ----------------------------------------------------------------------------------- find_images
def folder_of(tmp_path: Path, *names: str) -> Path:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def test_folder_in_natural_order_images_only(tmp_path, caplog):
    folder = folder_of(
        tmp_path, "s10.tif", "s2.PNG", "s1.jpeg", "notes.txt", "._s1.tif", "sub/x.png"
    )
    with caplog.at_level("INFO"):
        assert [path.name for path in find_images([folder])] == ["s1.jpeg", "s2.PNG", "s10.tif"]
    assert "3 images; 3 other files and folders skipped" in caplog.text


def test_explicit_files_are_taken_whatever_they_are_called(tmp_path):
    folder = folder_of(tmp_path, "notes.txt", "a[1].png")
    assert find_images([folder / "notes.txt", str(folder / "a[1].png")]) == [
        folder / "a[1].png",
        folder / "notes.txt",
    ]


def test_patterns(tmp_path):
    folder = folder_of(tmp_path, "a1.png", "b1.png", "sub/a2.png")
    assert [path.name for path in find_images([str(folder / "a*.png")])] == ["a1.png"]
    assert [path.name for path in find_images([f"{folder}/**/a*.png"])] == ["a1.png", "a2.png"]


def test_a_file_named_twice_is_taken_once(tmp_path):
    folder = folder_of(tmp_path, "a.png", "b.png")
    assert find_images([folder, folder / "a.png", f"{folder}/*.png"]) == [
        folder / "a.png",
        folder / "b.png",
    ]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        pytest.param([], "no images given", id="nothing"),
        pytest.param(["missing.png"], r"missing\.png: no such file or folder", id="missing"),
        pytest.param(["empty"], "folder holds no image", id="empty-folder"),
        pytest.param(["*.tif"], "pattern matches no image", id="pattern"),
        pytest.param(["a\0b"], "check the path", id="nul"),
    ],
)
def test_inputs_that_name_no_image(tmp_path, inputs, message):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match=message):
        find_images([str(tmp_path / name) for name in inputs])


def test_a_truncated_stack_of_tifffile_has_all_its_pages(tmp_path):
    path = tmp_path / "a.tif"
    stack = np.random.default_rng(0).integers(0, 200, (5, 64, 64)).astype(np.uint8)
    tifffile.imwrite(path, stack, truncate=True, photometric="minisblack")
    assert n_frames(path) == 5
    np.testing.assert_array_equal([page.pixels for page in read_pages(path)], stack)


@pytest.mark.parametrize(
    "description", ["my text", "shape=(40, 50)", "[1, 2]", '{"shape": [5', '{"truncated": true}']
)
def test_a_description_of_any_kind_is_one_page(tmp_path, description):
    path = tmp_path / "a.tif"
    pixels = np.arange(2000, dtype=np.uint16).reshape(40, 50)
    tifffile.imwrite(path, pixels, description=description)
    assert n_frames(path) == 1
    np.testing.assert_array_equal(read_page(path, 0).pixels, pixels)
    tifffile.imwrite(path, pixels, description=description, metadata=None)
    np.testing.assert_array_equal(read_page(path, 0).pixels, pixels)


def test_links_that_lead_round_are_followed_once(tmp_path):
    (tmp_path / "data" / "in").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "data" / "in" / "1.png"), np.zeros((4, 4), np.uint8))
    for name in ("a", "b"):
        (tmp_path / "data" / name).symlink_to(".")
    (tmp_path / "elsewhere").mkdir()
    cv2.imwrite(str(tmp_path / "elsewhere" / "2.png"), np.zeros((4, 4), np.uint8))
    (tmp_path / "data" / "far").symlink_to(tmp_path / "elsewhere")
    found = find_images([f"{tmp_path}/data/**/*.png"])
    assert [path.name for path in found] == ["2.png", "1.png"]
    for pattern in ("d*/**/[1].png", "data/in/**", "data/**/in/**/*.png"):
        assert [path.name for path in find_images([f"{tmp_path}/{pattern}"])] == ["1.png"]


def test_patterns_may_be_seen_from_the_working_folder(tmp_path, monkeypatch):
    (tmp_path / "a[1]" / ".hidden").mkdir(parents=True)
    for name in ("a[1]/1.png", "a[1]/.hidden/2.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((4, 4), np.uint8))
    monkeypatch.chdir(tmp_path)
    assert find_images(["**/*.png"]) == [Path("a[1]/1.png")]
    assert find_images(["./**"]) == [Path("a[1]/1.png")]
