"""Which pixel size holds."""

import unicodedata

import pytest

from mito_instance.calibration import PixelSize
from mito_instance.errors import ConfigError
from mito_instance.io.pixel_sizes import PixelSizes, read_pixel_size_list


@pytest.fixture
def images(tmp_path):
    return [tmp_path / "wt" / "a.tif", tmp_path / "ko" / "a.tif", tmp_path / "wt" / "b.tif"]


def sizes_of(tmp_path, text, images):
    table = tmp_path / "sizes.csv"
    table.write_text(text, encoding="utf-8")
    return [
        size and (size.nm, size.source)
        for size in map(read_pixel_size_list(table, images).get, images)
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("image,nm\nb.tif,5\n", [None, None, 5], id="name-and-header"),
        pytest.param("b.tif,5\n", [None, None, 5], id="no-header"),
        pytest.param("wt/a.tif,4\nko/a.tif,6\nb.tif,5\n", [4, 6, 5], id="paths"),
        pytest.param("{tmp}/ko/a.tif,6", [None, 6, None], id="absolute"),
        pytest.param("image;nm\r\nb.tif;4,5\r\n", [None, None, 4.5], id="semicolon-decimal-comma"),
        pytest.param("b.tif;4,5\r\n", [None, None, 4.5], id="decimal-comma-without-header"),
        pytest.param("b.tif\t4,5\n", [None, None, 4.5], id="decimal-comma-and-tab"),
        pytest.param('"b.tif";"4,5"\n', [None, None, 4.5], id="decimal-comma-quoted"),
        pytest.param("image;Pixel, nm\nb.tif;4,5\n", [None, None, 4.5], id="comma-in-header"),
        pytest.param("image,nm\nx;1,5\nb.tif,6\n", [None, None, 6], id="semicolon-in-a-name"),
        pytest.param("\nimage,nm\nb.tif,5\n", [None, None, 5], id="header-after-a-blank-line"),
        pytest.param("\nb.tif,5\n", [None, None, 5], id="blank-first-line"),
        pytest.param("image,pixel;nm\nb.tif,5\n", [None, None, 5], id="semicolon-in-header"),
        pytest.param("b.tif\t5\n\nother.tif\t1\n", [None, None, 5], id="tab-and-unused"),
        pytest.param('"b.tif",5,\n', [None, None, 5], id="empty-third-column"),
        pytest.param("\ufeffb.tif,5\nb.tif,5\n", [None, None, 5], id="twice-the-same"),
        pytest.param("", [None, None, None], id="empty"),
    ],
)
def test_the_list(tmp_path, images, text, expected):
    found = sizes_of(tmp_path, text.replace("{tmp}", str(tmp_path)), images)
    assert found == [nm and (nm, "csv") for nm in expected]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("a.tif,5\n", r"line 1: a.tif could be .*wt.*ko", id="ambiguous"),
        pytest.param("b.tif,5\nb.tif,6\n", "line 2: b.tif has 6 nm here but 5 nm", id="two-sizes"),
        pytest.param("b.tif,5\nb.tif,five\n", "line 2: pixel size must be a number", id="text"),
        pytest.param("b.tif,5 nm\n", "line 1: pixel size must .* got '5 nm'", id="unit-in-line-1"),
        pytest.param("wt/b.tif,\n", "line 1: pixel size must be", id="nothing-in-line-1"),
        pytest.param("b.tif,0\n", "line 1: pixel size must be a number from 0.001", id="zero"),
        pytest.param("b.tif,nan\nb.tif,nan\n", "line 1: pixel size must be", id="nan"),
        pytest.param("b.tif\n", "line 1: must be image and pixel size", id="one-column"),
        pytest.param("b.tif,5,7\n", "line 1: must be image and pixel size", id="three-columns"),
        pytest.param("image,nm\nb,5\n", "line 2: b is none of the images", id="no-ending"),
        pytest.param('"b.tif,5\n', "not a CSV table", id="open-quote"),
    ],
)
def test_a_bad_list_is_one_line(tmp_path, images, text, message):
    with pytest.raises(ConfigError, match=message):
        sizes_of(tmp_path, text, images)


@pytest.mark.parametrize("line", ["{name},5", "{tmp}/{name},5", "../{folder}/{name},5"])
def test_accents_may_be_composed_or_not(tmp_path, line):
    on_disk, in_table = (unicodedata.normalize(form, "Zelle_ä.tif") for form in ("NFD", "NFC"))
    text = line.format(name=in_table, tmp=tmp_path, folder=tmp_path.name)
    assert sizes_of(tmp_path, text, [tmp_path / on_disk]) == [(5, "csv")]
    both = [tmp_path / on_disk, tmp_path / in_table]
    if "/" in line:
        assert sizes_of(tmp_path, text, both) == [None, (5, "csv")]
    else:  # beside the table: a path as well
        with pytest.raises(ConfigError, match=r"line 1: .* could be"):
            sizes_of(tmp_path, text, [path.parent / "x" / path.name for path in both])


def test_a_list_that_is_no_text(tmp_path, images):
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00b")
    with pytest.raises(ConfigError, match="not a text file"):
        read_pixel_size_list(tmp_path / "x.csv", images)
    with pytest.raises(ConfigError, match="cannot read"):
        read_pixel_size_list(tmp_path / "absent.csv", images)


def test_list_before_option_before_file_and_conflicts_are_named_once(tmp_path, images, caplog):
    first, second, third = images
    sizes = PixelSizes(PixelSize(10, "user"), {first: PixelSize(4, "csv")})
    from_file = PixelSize(5, "ome")
    assert sizes.of(first, from_file) == PixelSize(4, "csv")
    assert sizes.of(first, from_file) == PixelSize(4, "csv")
    assert sizes.of(second, None) == PixelSize(10, "user")
    assert sizes.of(third, PixelSize(10.05, "ome")) == PixelSize(10, "user")
    assert [record.getMessage() for record in caplog.records] == [
        f"{first}: pixel size 4 nm (csv) is used, but the file says 5 nm (ome)"
    ]
    assert PixelSizes().of(first, from_file) == from_file
    assert PixelSizes().of(first, None) is None
