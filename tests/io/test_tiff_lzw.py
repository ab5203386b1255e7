"""LZW strips are walked through before a decoder that trusts them sees them."""

import io
import subprocess
import sys
import time

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from mito_instance.errors import ImageError
from mito_instance.io.images import read_page
from mito_instance.io.tiff_lzw import check_lzw


def grey(kind, n):
    rng = np.random.default_rng(n)
    pixels = {
        "noise": rng.integers(0, 256, n),
        "flat": np.zeros(n),
        "few": rng.integers(0, 3, n),
        "ramp": np.arange(n) % 256,
    }[kind]
    return pixels.astype(np.uint8)


@pytest.mark.parametrize("kind", ["noise", "flat", "few", "ramp"])
@pytest.mark.parametrize("n", [1, 2, 253, 254, 255, 256, 1000, 5000, 80_000])
def test_what_encoders_write_passes(kind, n):
    check_lzw(bytes(imagecodecs.lzw_encode(grey(kind, n).tobytes())), n)
    check_lzw(b"", n)


@pytest.mark.parametrize("kind", ["noise", "few"])
def test_what_libtiff_writes_passes(kind):
    stream = io.BytesIO()
    Image.fromarray(grey(kind, 90_000).reshape(300, 300)).save(
        stream, "TIFF", compression="tiff_lzw"
    )
    with tifffile.TiffFile(io.BytesIO(stream.getvalue())) as tif:
        page = tif.pages.first
        assert page.compression == 5
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
            check_lzw(stream.getvalue()[offset : offset + count], 1 << 30)


def bits(*codes):
    """Nine-bit codes, packed."""
    text = "".join(f"{code:09b}" for code in codes)
    return int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(bits(256, 300, 257), "not defined", id="first"),
        pytest.param(bits(256, 258, 257), "not defined", id="just-beyond"),
        pytest.param(bits(256, 7, 259), "not defined", id="second"),
        pytest.param(bits(256, 7, 258, 256, 404), "not defined", id="after-another-clear"),
        pytest.param(bits(7, 7, 257), "does not begin with a Clear", id="no-clear"),
        pytest.param(b"\0\1abc", "reversed bits", id="old"),
    ],
)
def test_codes_that_nothing_defines(data, message):
    with pytest.raises(ValueError, match=message):
        check_lzw(data, 100)


@pytest.mark.parametrize("codes", [(256, 7, 258, 257), (256, 7, 7, 256, 9), (256, 257)])
def test_codes_that_are_defined(codes):
    check_lzw(bits(*codes), 100)


def test_what_fills_up_a_strip_without_an_end_is_not_looked_at():
    data = bits(256, 7, 258, 259, 511, 400)  # 1 + 2 + 3 bytes, and then noise
    check_lzw(data, 6)
    with pytest.raises(ValueError, match="not defined"):
        check_lzw(data, 7)
    data = bits(256, 7, 258, 259) + bytes(20_000)
    check_lzw(data, 6)
    with pytest.raises(ValueError, match="without a Clear"):
        check_lzw(data, 1_000_000)


def test_clear_codes_alone_take_no_time():
    start = time.perf_counter()
    with pytest.raises(ValueError, match="consists of Clear codes"):
        check_lzw(bits(*[256] * 100_000), 1 << 30)
    check_lzw(bits(*[256, 7] * 20_000), 1000)
    assert time.perf_counter() - start < 20


def test_low_bits_first(tmp_path):
    path = tmp_path / "a.tif"
    pixels = grey("few", 4096).reshape(64, 64)
    Image.fromarray(pixels).save(path, compression="tiff_lzw", tiffinfo={266: 2})
    with tifffile.TiffFile(path) as tif:
        assert (tif.pages.first.fillorder, tif.pages.first.compression) == (2, 5)
    np.testing.assert_array_equal(read_page(path, 0).pixels, pixels)


@pytest.mark.parametrize("predictor", [None, 2])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_every_kind_of_page_is_read(tmp_path, dtype, predictor):
    path = tmp_path / "a.tif"
    pixels = grey("noise", 6400).reshape(80, 80).astype(dtype)
    how = {"compression": "lzw", "photometric": "minisblack"}
    if predictor and dtype != np.float32:
        how["predictor"] = predictor
    for parts in ({"rowsperstrip": 7}, {"tile": (16, 32)}):
        tifffile.imwrite(path, pixels, **how, **parts)
        np.testing.assert_array_equal(read_page(path, 0).pixels, pixels)


def test_a_damaged_strip_is_an_error_and_not_the_end_of_the_process(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, grey("few", 4096).reshape(64, 64), compression="lzw", rowsperstrip=64)
    with tifffile.TiffFile(path) as tif:
        (offset,) = tif.pages.first.dataoffsets
    data = bytearray(path.read_bytes())
    data[offset + 1] |= 0x7F  # the first code after the Clear becomes one above 257
    data[offset + 2] |= 0xE0
    path.write_bytes(data)
    with pytest.raises(ImageError, match=r"a.tif: the TIFF is damaged .*LZW code is not defined"):
        read_page(path, 0)


@pytest.mark.slow
def test_no_changed_byte_kills_the_process(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, grey("few", 1024).reshape(32, 32), compression="lzw", tile=(16, 16))
    script = f"""
from pathlib import Path
from mito_instance.errors import MitoInstanceError
from mito_instance.io.images import read_page
path = Path({str(path)!r})
data = path.read_bytes()
for place in range(8, len(data)):
    for value in (0, 65, 128, 255):
        path.write_bytes(data[:place] + bytes([value]) + data[place + 1 :])
        try:
            read_page(path, 0)
        except MitoInstanceError:
            pass
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
