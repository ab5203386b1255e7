"""MRC: pixels, orientation, pages, pixel sizes, and headers that lie."""

import struct

import mrcfile
import numpy as np
import pytest

from mito_instance.errors import ImageError
from mito_instance.io.images import find_images, n_frames, page_sizes_hw, read_page, read_pages

GREY = np.arange(35, dtype=np.int16).reshape(5, 7) * 900 - 300
STAMP, FLAGS, MAP = 152, 156, 208
NX, MODE, MX, CELL, MAPC, N_EXTRA, DMIN, DMAX = 0, 12, 28, 40, 64, 92, 76, 80


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.mrc"


def write(path, data, voxel_angstrom=50.0):
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(data)
        file.voxel_size = voxel_angstrom


def patch(path, *changes):
    content = bytearray(path.read_bytes())
    for place, form, *values in changes:
        struct.pack_into(form, content, place, *values)
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "float32"])
def test_grey_levels_of_every_kind_the_first_row_at_the_bottom(path, dtype):
    pixels = GREY.astype(dtype)
    write(path, pixels)
    page = read_page(path)
    assert page.pixels.dtype == np.dtype(dtype)
    assert np.array_equal(page.pixels, pixels[::-1])
    assert (page.n_frames, page.pixel_size.nm, page.pixel_size.source) == (1, 5.0, "mrc")


def test_half_floats_become_floats(path):
    write(path, GREY.astype(np.float16))
    assert read_page(path).pixels.dtype == np.float32


def test_big_endian_and_a_wrong_machine_stamp(path):
    write(path, GREY.astype(">i2"))
    assert np.array_equal(read_page(path).pixels, GREY[::-1])
    patch(path, (212, "4B", 0x44, 0x44, 0, 0))
    assert np.array_equal(read_page(path).pixels, GREY[::-1])


def test_a_stack_page_by_page_with_an_extended_header(path):
    stack = np.stack([GREY, GREY + 1, GREY + 2])
    with mrcfile.new(path) as file:
        file.set_data(stack)
        file.set_extended_header(np.zeros(333, "V1"))
    assert n_frames(path) == 3
    assert page_sizes_hw(path) == [(5, 7)] * 3
    assert np.array_equal([page.pixels for page in read_pages(path)], stack[:, ::-1])


def test_a_stack_of_volumes_is_all_its_sections(path):
    volumes = np.arange(2 * 3 * 4 * 5, dtype=np.int16).reshape(2, 3, 4, 5)
    write(path, volumes)
    assert np.array_equal(
        [page.pixels for page in read_pages(path)], volumes.reshape(6, 4, 5)[:, ::-1]
    )


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        pytest.param([(DMIN, "<2f", -100, 100)], -56, id="signed"),
        pytest.param([(DMIN, "<2f", 0, 250)], 200, id="greatest-value-above-127"),
        pytest.param([(STAMP, "<2i", 1146047817, 0)], 200, id="stamp-unsigned"),
        pytest.param([(STAMP, "<2i", 1146047817, 1)], -56, id="stamp-signed"),
    ],
)
def test_bytes_signed_or_not(path, changes, first):
    write(path, np.full((4, 4), -56, np.int8))
    patch(path, *changes)
    assert read_page(path).pixels[0, 0] == first


@pytest.mark.parametrize(
    ("changes", "nm"),
    [
        pytest.param([], 5.0, id="angstrom"),
        pytest.param([(CELL, "<2f", 0, 0)], None, id="no-cell"),
        pytest.param([(MX, "<2i", 0, 0)], None, id="no-intervals"),
        pytest.param([(CELL, "<2f", 7, 5)], None, id="one-angstrom-is-a-default"),
        pytest.param([(CELL, "<2f", 350, 300)], None, id="not-square"),
        pytest.param([(CELL, "<2f", float("nan"), 5)], None, id="not-a-number"),
        pytest.param([(MX, "<2i", 14, 10)], 2.5, id="intervals-that-are-no-pixels"),
        pytest.param([(MAPC, "<3i", 2, 1, 3), (MX, "<2i", 5, 7), (CELL, "<2f", 250, 350)], 5.0,
                     id="columns-along-y"),
        pytest.param([(MAPC, "<3i", 0, 0, 0)], 5.0, id="axes-not-set"),
    ],
)  # fmt: skip
def test_pixel_sizes(path, changes, nm):
    write(path, GREY)
    patch(path, *changes)
    size = read_page(path).pixel_size
    assert (None if size is None else size.nm) == (None if nm is None else pytest.approx(nm))


def test_old_files_without_the_mark_by_their_suffix(path, tmp_path):
    write(path, GREY)
    patch(path, (MAP, "4s", b""))
    assert np.array_equal(read_page(path).pixels, GREY[::-1])
    assert find_images([tmp_path]) == [path]
    with pytest.raises(ImageError, match="not a PNG"):
        read_page(path.rename(tmp_path / "a.bin"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param([(NX, "<3i", 60000, 60000, 1)], "cannot hold an image", id="bomb"),
        pytest.param([(NX, "<3i", 7, 5, 2**31 - 1)], "announces 2147483647 pages", id="pages"),
        pytest.param([(N_EXTRA, "<i", 2**31 - 1)], "but the file has", id="extended-header"),
        pytest.param([(N_EXTRA, "<i", -1000)], "but the file has", id="negative-header"),
        pytest.param([(NX, "<i", -7)], "header is damaged", id="negative-width"),
        pytest.param([(NX, "<i", 0)], "header is damaged", id="no-pixels"),
        pytest.param([(MODE, "<i", 3)], "MRC mode 3 cannot be read", id="mode"),
        pytest.param([(MODE, "<i", 4)], "but the file has|must be integers", id="complex"),
    ],
)
def test_headers_that_lie_are_one_line(path, changes, message):
    write(path, GREY)
    patch(path, *changes)
    with pytest.raises(ImageError, match=message) as raised:
        read_page(path)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


def test_a_file_that_is_cut_off(path):
    write(path, np.stack([GREY, GREY]))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ImageError, match="announces 2 pages"):
        n_frames(path)
