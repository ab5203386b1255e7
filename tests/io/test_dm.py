"""DM3 and DM4: pixels, pages, pixel sizes, and files that lie."""

import struct

import numpy as np
import pytest

from mito_instance.errors import ImageError
from mito_instance.io.dm_tags import MAX_DEPTH
from mito_instance.io.images import find_images, n_frames, page_sizes_hw, read_page, read_pages
from tests.dm_writer import DmFile

GREY = np.arange(35, dtype=np.int16).reshape(5, 7) * 900 - 300
NM = ((5.0, 5.0), ("nm", "nm"))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.dm3"


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint16", "int32", "float32"])
def test_grey_levels_of_every_kind(path, version, order, dtype):
    writer = DmFile(version, order)
    pixels = GREY.astype(dtype)
    path.write_bytes(writer.bytes([writer.thumbnail(), writer.image(pixels, *NM)]))
    page = read_page(path)
    assert page.pixels.dtype == np.dtype(dtype)
    assert np.array_equal(page.pixels, pixels)
    assert (page.n_frames, page.pixel_size.nm, page.pixel_size.source) == (1, 5.0, "dm")


def test_a_stack_page_by_page(path):
    writer = DmFile(4)
    stack = np.stack([GREY, GREY + 1, GREY + 2])
    sizes = ((5.0, 5.0, 30.0), ("nm", "nm", "nm"))
    path.write_bytes(writer.bytes([writer.thumbnail(), writer.image(stack, *sizes)]))
    assert n_frames(path) == 3
    assert page_sizes_hw(path) == [(5, 7)] * 3
    assert np.array_equal([page.pixels for page in read_pages(path)], stack)
    with pytest.raises(ImageError, match=r"page must be in 0 … 2, got 3"):
        read_page(path, 3)


@pytest.mark.parametrize(
    ("scales", "units", "nm"),
    [
        pytest.param((0.005, 0.005), ("µm", "µm"), 5, id="micrometres"),
        pytest.param((5, 0.005), ("nm", "µm"), 5, id="two-units"),
        pytest.param((5, 6), ("nm", "nm"), None, id="not-square"),
        pytest.param((0.1, 0.1), ("1/nm", "1/nm"), None, id="diffraction"),
        pytest.param((1, 1), ("", ""), None, id="no-unit"),
        pytest.param((0, 0), ("nm", "nm"), None, id="zero"),
        pytest.param((), (), None, id="absent"),
    ],
)
def test_pixel_sizes(path, scales, units, nm):
    writer = DmFile()
    path.write_bytes(writer.bytes([writer.thumbnail(), writer.image(GREY, scales, units)]))
    size = read_page(path).pixel_size
    assert (None if size is None else size.nm) == nm


@pytest.mark.parametrize("thumbnails", [True, False], ids=["listed", "not-listed"])
def test_the_thumbnail_is_no_page(path, thumbnails):
    writer = DmFile()
    images = [writer.thumbnail(), writer.image(GREY, *NM)]
    path.write_bytes(writer.bytes(images, thumbnails=thumbnails))
    assert np.array_equal(read_page(path).pixels, GREY)


def test_colour_becomes_grey(path):
    writer = DmFile()
    red = np.full((4, 6), 200 << 16, np.int32)  # bytes blue, green, red, alpha
    path.write_bytes(writer.bytes([writer.image(red, data_type=23)], thumbnails=False))
    assert np.array_equal(read_page(path).pixels, np.full((4, 6), 60, np.uint8))


def test_a_folder_and_the_suffix(path, tmp_path):
    writer = DmFile()
    path.write_bytes(writer.bytes([writer.image(GREY, *NM)], thumbnails=False))
    assert find_images([tmp_path]) == [path]
    other = path.rename(tmp_path / "without_suffix")
    assert np.array_equal(read_page(other).pixels, GREY)


def hostile_files():
    writer = DmFile()
    good = writer.bytes([writer.thumbnail(), writer.image(GREY, *NM)])
    large = writer.image(GREY, *NM)[1].replace(struct.pack("<I", 7), struct.pack("<I", 1 << 20))
    nested = writer.number(3, 1)
    for _ in range(MAX_DEPTH + 2):
        nested = writer.group({"A" * 999: nested})
    spectrum = writer.image(GREY[0][None], *NM, data_type=3)
    four = writer.image(np.zeros((2, 2, 3, 4), np.int16))
    long_array = (21, b"%%%%" + struct.pack(">5I", 4, 20, 4, 4_000_000_000, 9))
    words = (21, b"%%%%" + struct.pack(">I", 4_000_000_000))
    many = writer.group({}, n_entries=4_000_000_000)
    cases = {
        "cut-in-the-tags": (good[:300], "beyond the end|is missing"),
        "only-the-head": (good[:16], "the end is missing"),
        "announces-too-much": (writer.bytes([(20, large)], thumbnails=False), "70 bytes of pixels"),
        "too-deep": (writer.bytes([], more={"x": nested}), "groups in one another"),
        "no-image": (writer.bytes([], thumbnails=False), "damaged or holds no image"),
        "complex": (writer.bytes([spectrum], thumbnails=False), "pixels of type 3"),
        "four-dimensions": (writer.bytes([four], thumbnails=False), "dimensions"),
        "array-beyond-the-end": (writer.bytes([], more={"x": long_array}), "beyond the end"),
        "description": (writer.bytes([], more={"x": words}), "words of description"),
        "number-of-tags": (writer.bytes([], more={"x": many}), "damaged"),
        "mark": (good.replace(b"%%%%", b"%%%x", 1), "without its mark"),
    }
    return [pytest.param(*case, id=name) for name, case in cases.items()]


@pytest.mark.parametrize(("content", "message"), hostile_files())
def test_files_that_lie_are_one_line(path, content, message):
    path.write_bytes(content)
    with pytest.raises(ImageError, match=message) as raised:
        read_page(path)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


def test_every_cut_is_an_error_and_no_crash(path):
    writer = DmFile(4)
    content = writer.bytes([writer.image(GREY, *NM)], thumbnails=False)
    whole = content.index(b"PixelDepth")
    for length in range(13, whole, 7):
        path.write_bytes(content[:length])
        with pytest.raises(ImageError):
            read_page(path)


def test_every_changed_byte_is_an_image_or_an_error(path):
    writer = DmFile()
    content = writer.bytes([writer.image(GREY, *NM)], thumbnails=False)
    rng = np.random.default_rng(0)
    n_read = 0
    for _ in range(300):
        changed = bytearray(content)
        changed[int(rng.integers(12, len(content)))] = int(rng.integers(256))
        path.write_bytes(bytes(changed))
        try:
            n_read += read_page(path).pixels.size > 0
        except ImageError:
            continue
    assert 50 < n_read < 300


def test_a_number_that_is_infinite_is_one_line(path, monkeypatch):
    writer = DmFile()
    image, infinite = writer.image(GREY, *NM), writer.number(6, float("inf"))
    monkeypatch.setattr(writer, "number", lambda *_: infinite)  # of the image that is a thumbnail
    path.write_bytes(writer.bytes([image]))
    with pytest.raises(ImageError, match=r"the DM file is damaged .*infinity"):
        read_page(path)
