"""ImageJ ROI files: every kind, names, positions, and files that are damaged or hostile."""

from __future__ import annotations

import contextlib
import io
import math
import re
import stat
import struct
import zipfile

import numpy as np
import pytest
import roifile
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from mito_instance.errors import AnnotationError
from mito_instance.io import imagej_roi
from mito_instance.io.imagej_path import path_rings
from mito_instance.io.imagej_position import StackDimensions, StackPosition, stack_dimensions
from mito_instance.io.imagej_roi import (
    ImageJRoi,
    SkippedRoi,
    decode_roi,
    has_overlay,
    read_roi_files,
    read_rois,
)
from mito_instance.masks.polygons import fill

# The last roifile for Python 3.10 wraps boxes beyond 65,535 px and words its errors differently.
OLD_ROIFILE = tuple(int(part) for part in roifile.__version__.split(".")[:2]) < (2026, 2)
needs_new_roifile = pytest.mark.skipif(OLD_ROIFILE, reason="needs roifile 2026.2 (Python 3.11)")

SQUARE = [[2, 3], [6, 3], [6, 7], [2, 7]]


def roi_bytes(points=SQUARE, kind=roifile.ROI_TYPE.TRACED, name="m1", **fields):
    roi = roifile.ImagejRoi.frompoints(np.asarray(points), name=name)
    roi.roitype = kind
    for field, value in fields.items():
        setattr(roi, field, value)
    return roi.tobytes()


def box_bytes(kind, left, top, right, bottom, **fields):
    roi = roifile.ImagejRoi(roitype=kind, left=left, top=top, right=right, bottom=bottom, **fields)
    return roi.tobytes()


def write_zip(path, entries):
    with zipfile.ZipFile(path, "w") as archive, pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)  # names twice are the point here
        for name, data in entries:
            archive.writestr(name, data)
    return path


def area(roi):
    return int(fill(roi.rings, (0, 0, 64, 64)).sum())


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        pytest.param(roifile.ROI_TYPE.POLYGON, "polygon", id="polygon"),
        pytest.param(roifile.ROI_TYPE.FREEHAND, "freehand", id="freehand"),
        pytest.param(roifile.ROI_TYPE.TRACED, "traced", id="traced"),
    ],
)
def test_outlines(kind, expected):
    roi = decode_roi(roi_bytes(kind=kind), "x", "x.roi")
    assert isinstance(roi, ImageJRoi)
    assert (roi.kind, roi.name, roi.source) == (expected, "m1", "x.roi")
    assert roi.rings[0].tolist() == SQUARE
    assert area(roi) == 16


def test_sub_pixel_coordinates_win_over_the_rounded_ones():
    points = np.array([[0.75, 0.0], [3.25, 0.0], [3.25, 2.0], [0.75, 2.0]], dtype=np.float32)
    roi = decode_roi(roi_bytes(points, kind=roifile.ROI_TYPE.FREEHAND), "x", "x.roi")
    assert roi.rings[0].tolist() == points.tolist()
    assert area(roi) == 4


def test_a_spline_passes_its_control_points_and_bulges_between_them():
    options = roifile.ROI_OPTIONS.SPLINE_FIT
    roi = decode_roi(roi_bytes(kind=roifile.ROI_TYPE.POLYGON, options=options), "x", "x.roi")
    (ring,) = roi.rings
    assert (roi.kind, len(ring)) == ("spline", 100)
    assert ring[0].tolist() == ring[-1].tolist() == [2, 3]
    assert np.abs(ring - 4).max() > 2.5  # beyond the square's corners
    # Four points of a circle of radius 2√2: 25.1 px; ImageJ's curve is a little smaller.
    assert 20 < area(roi) < 26


def test_options_of_old_files_are_not_read():
    data = bytearray(roi_bytes(kind=roifile.ROI_TYPE.POLYGON, options=roifile.ROI_OPTIONS(1)))
    data[4:6] = struct.pack(">h", 217)
    assert decode_roi(bytes(data), "x", "x.roi").kind == "polygon"


@pytest.mark.parametrize(
    ("subtype", "aspect_or_width", "kind", "expected_area"),
    [
        pytest.param(3, 0.5, "ellipse", 162, id="ellipse"),  # pi / 4 * 20 * 10 = 157
        pytest.param(5, 6.0, "rotated rectangle", 120, id="rotated-rectangle"),
    ],
)
def test_shapes_are_rebuilt_from_their_axis(subtype, aspect_or_width, kind, expected_area):
    """Files from before sub-pixel coordinates hold a rounded outline that ImageJ ignores."""
    data = bytearray(roi_bytes(kind=roifile.ROI_TYPE.FREEHAND))
    data[18:34] = struct.pack(">4f", 5, 20, 25, 20)
    data[48:50] = struct.pack(">h", subtype)
    data[52:56] = struct.pack(">f", aspect_or_width)
    roi = decode_roi(bytes(data), "x", "x.roi")
    assert roi.kind == kind
    assert area(roi) == pytest.approx(expected_area, abs=6)


def test_group_and_colour():
    roi = decode_roi(roi_bytes(group=3, stroke_color=b"\xff\x01\x02\x03"), "x", "x.roi")
    assert (roi.group, roi.stroke_rgba) == (3, (1, 2, 3, 255))
    roi = decode_roi(roi_bytes(), "x", "x.roi")
    assert (roi.group, roi.stroke_rgba) == (0, None)


def test_negative_coordinates_are_legal():
    roi = decode_roi(roi_bytes([[-3, -2], [1, -2], [1, 2], [-3, 2]]), "x", "x.roi")
    assert roi.rings[0].min(axis=0).tolist() == [-3, -2]


@pytest.mark.parametrize(
    ("data", "kind", "expected_area"),
    [
        pytest.param(box_bytes(roifile.ROI_TYPE.RECT, 2, 3, 6, 5), "rectangle", 8, id="rectangle"),
        pytest.param(
            box_bytes(roifile.ROI_TYPE.RECT, 0, 0, 12, 8, rounded_rect_arc_size=6),
            "rectangle",
            92,
            id="rounded-rectangle",
        ),
        pytest.param(box_bytes(roifile.ROI_TYPE.OVAL, 5, 4, 8, 7), "oval", 9, id="oval-3x3"),
        pytest.param(box_bytes(roifile.ROI_TYPE.OVAL, 5, 4, 11, 10), "oval", 32, id="oval-6x6"),
    ],
)
def test_boxes(data, kind, expected_area):
    roi = decode_roi(data, "x", "x.roi")
    assert (roi.kind, area(roi)) == (kind, expected_area)


@needs_new_roifile
def test_boxes_beyond_16_bit_are_read_from_the_floats():
    data = box_bytes(
        roifile.ROI_TYPE.OVAL, 4464, 10, 4514, 50,
        options=roifile.ROI_OPTIONS.SUB_PIXEL_RESOLUTION, xd=70000.0, yd=10.0, widthd=50.0,
        heightd=40.0,
    )  # fmt: skip
    roi = decode_roi(data, "x", "x.roi")
    assert roi.rings[0][:, 0].min() == 70000
    assert roi.rings[0].max(axis=0).tolist() == [70050, 50]


def test_composites_are_even_odd():
    path = [0, 0, 0, 1, 8, 0, 1, 8, 8, 1, 0, 8, 4, 0, 2, 2, 1, 4, 2, 1, 4, 5, 1, 2, 5, 4]
    data = box_bytes(
        roifile.ROI_TYPE.RECT, 0, 0, 8, 8, shape_roi_size=len(path),
        multi_coordinates=np.asarray(path, dtype=np.float32),
    )  # fmt: skip
    roi = decode_roi(data, "x", "x.roi")
    assert (roi.kind, len(roi.rings), area(roi)) == ("composite", 2, 64 - 6)


@pytest.mark.parametrize(
    ("path", "rings"),
    [
        pytest.param([], [], id="empty"),
        pytest.param([0, 0, 0, 1, 5, 0, 4], [], id="two-vertices-enclose-nothing"),
        pytest.param(
            [0, 0, 0, 1, 5, 0, 1, 5, 5], [[[0, 0], [5, 0], [5, 5]]], id="closed-by-its-end"
        ),
        pytest.param(
            [0, 0, 0, 2, 4, 0, 8, 0, 1, 8, 8, 4], [[[0, 0], [8, 0], [8, 8]]], id="straight-curve"
        ),
    ],
)
def test_path_rings(path, rings):
    assert [ring.tolist() for ring in path_rings(np.asarray(path, dtype=np.float32))] == rings


def test_curves_are_flat_to_a_hundredth_of_a_pixel():
    k = 0.5522847498307936 * 100  # the usual four cubics of a circle of radius 100
    quarters = [
        [3, 100, k, k, 100, 0, 100], [3, -k, 100, -100, k, -100, 0],
        [3, -100, -k, -k, -100, 0, -100], [3, k, -100, 100, -k, 100, 0],
    ]  # fmt: skip
    path = np.array([0, 100, 0, *(value for quarter in quarters for value in quarter), 4.0])
    (ring,) = path_rings(path)
    assert np.abs(np.hypot(*ring.T) - 100).max() < 0.03
    middles = (ring + np.roll(ring, -1, axis=0)) / 2
    assert np.hypot(*middles.T).min() > 100 - 0.02


@pytest.mark.parametrize(
    ("path", "message"),
    [
        pytest.param([7, 0, 0], "unknown path operation 7", id="operation"),
        pytest.param([np.nan], "unknown path operation nan", id="nan"),
        pytest.param([0, 1], "ends inside", id="cut"),
        pytest.param([1, 1, 1], "does not begin with a move", id="no-move"),
        pytest.param([0, 0, 0, 3, 1, 1, np.inf, 1, 2, 2], "not a finite", id="infinite-curve"),
    ],
)
def test_damaged_paths(path, message):
    with pytest.raises(ValueError, match=message):
        list(path_rings(np.asarray(path, dtype=np.float64)))


def test_the_limit_of_vertices_holds_for_the_whole_path(monkeypatch):
    monkeypatch.setattr("mito_instance.io.imagej_path._MAX_VERTICES", 8)
    triangle = [0, 0, 0, 1, 2, 0, 1, 2, 2, 4]
    assert len(list(path_rings(np.asarray(triangle * 2, dtype=np.float64)))) == 2
    with pytest.raises(ValueError, match="path of more than 8 vertices"):
        list(path_rings(np.asarray(triangle * 3, dtype=np.float64)))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(roi_bytes(kind=roifile.ROI_TYPE.POLYLINE), "segmented line", id="polyline"),
        pytest.param(roi_bytes(kind=roifile.ROI_TYPE.FREELINE), "freehand line", id="freeline"),
        pytest.param(roi_bytes(kind=roifile.ROI_TYPE.ANGLE), "angle", id="angle"),
        pytest.param(roi_bytes(kind=roifile.ROI_TYPE.POINT), "point", id="point"),
        pytest.param(box_bytes(roifile.ROI_TYPE.LINE, 0, 0, 9, 9), "line", id="line"),
        pytest.param(
            box_bytes(roifile.ROI_TYPE.RECT, 0, 0, 9, 9, subtype=roifile.ROI_SUBTYPE.TEXT),
            "text",
            id="text",
        ),
    ],
)
def test_what_has_no_area_is_skipped_and_not_called_damaged(data, reason):
    skipped = decode_roi(data, "x", "x.roi")
    assert isinstance(skipped, SkippedRoi)
    assert skipped.reason == f"{reason} selection has no area"
    assert not skipped.is_damaged


RECT = roifile.ROI_TYPE.RECT
OTHER_TYPE = roi_bytes()[:6] + b"\x4d" + roi_bytes()[7:]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"Iout", "damaged ROI .*(too short|requires a buffer)", id="header-only"),
        pytest.param(roi_bytes()[:70], "damaged ROI", id="truncated-coordinates"),
        pytest.param(b"\0" * 200, "damaged ROI .*not an ImageJ ROI", id="zeros"),
        pytest.param(box_bytes(RECT, 5, 5, 5, 9), "box of 0 x 4 px", id="no-width"),
        pytest.param(OTHER_TYPE, "unknown type 77|77 is not a valid", id="unknown-type"),
        pytest.param(
            roi_bytes(np.array([[0, 0], [1e9, 0], [1e9, 1e9]], dtype=np.float32),
                      roifile.ROI_TYPE.POLYGON, options=roifile.ROI_OPTIONS.SPLINE_FIT
                      | roifile.ROI_OPTIONS.SUB_PIXEL_RESOLUTION),
            "spline of 3.41e.09 px",
            id="endless-spline",
        ),
        pytest.param(
            box_bytes(
                roifile.ROI_TYPE.OVAL, 0, 0, 9, 9,
                options=roifile.ROI_OPTIONS.SUB_PIXEL_RESOLUTION, widthd=1e30, heightd=9.0,
            ),
            "box of",
            id="huge-box",
            marks=needs_new_roifile,
        ),
    ],
)  # fmt: skip
def test_damage_is_named(data, reason):
    skipped = decode_roi(data, "x", "x.roi")
    assert isinstance(skipped, SkippedRoi)
    assert skipped.is_damaged
    assert re.search(reason, skipped.reason)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=300), st.integers(0, 11), st.integers(217, 230))
def test_random_bytes_never_raise(body, kind, version):
    data = b"Iout" + struct.pack(">hBx", version, kind) + body
    assert isinstance(decode_roi(data, "x", "x.roi"), (ImageJRoi, SkippedRoi))


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 239), st.integers(0, 255), st.sampled_from(["traced", "float", "composite"]))
def test_one_changed_byte_never_raises(place, value, kind):
    path = np.asarray([0, 0, 0, 1, 8, 0, 1, 8, 8, 4], dtype=np.float32)
    data = bytearray(
        {
            "traced": roi_bytes(),
            "float": roi_bytes(np.asarray(SQUARE, dtype=np.float32) + 0.25),
            "composite": box_bytes(
                roifile.ROI_TYPE.RECT, 0, 0, 8, 8, shape_roi_size=10, multi_coordinates=path
            ),
        }[kind]
    )
    data[place % len(data)] = value
    assert isinstance(decode_roi(bytes(data), "x", "x.roi"), (ImageJRoi, SkippedRoi))


def test_zip_with_folders_and_equal_names(tmp_path):
    entries = [("a/b/m.roi", roi_bytes()), ("m.roi", roi_bytes()), ("m.roi", roi_bytes(name=""))]
    rois = list(read_rois(write_zip(tmp_path / "set.zip", entries)))
    assert [roi.name for roi in rois] == ["m1", "m1", "m"]
    assert rois[0].source == f"{tmp_path}/set.zip: a/b/m.roi"


def test_other_entries_of_a_zip_are_listed(tmp_path):
    entries = [("readme.txt", b"hello"), ("__MACOSX/._m.roi", b"x"), ("m.roi", roi_bytes())]
    first, second, third = read_rois(write_zip(tmp_path / "set.zip", entries))
    assert first.reason == second.reason == "not an .roi entry"
    assert isinstance(third, ImageJRoi)


def test_what_macos_leaves_beside_rois_in_a_zip_is_none(tmp_path):
    entries = [("rois/m.roi", roi_bytes()), ("rois/._m.roi", b"\0\5\x16\7")]
    first, second = read_rois(write_zip(tmp_path / "set.zip", entries))
    assert isinstance(first, ImageJRoi)
    assert (second.reason, second.is_damaged) == ("not an .roi entry", False)


def test_a_few_bytes_do_not_become_outlines_without_end(tmp_path):
    oval = roifile.ImagejRoi.frombytes(box_bytes(roifile.ROI_TYPE.OVAL, 0, 0, 9, 30_000)).tobytes()
    path = write_zip(tmp_path / "set.zip", [(f"{n}.roi", oval) for n in range(400)])
    with pytest.raises(AnnotationError, match=r"set\.zip: curves must have 20000000 corners"):
        for _ in read_rois(path):
            pass


def test_a_damaged_entry_leaves_the_others(tmp_path):
    path = write_zip(tmp_path / "set.zip", [("a.roi", roi_bytes()), ("b.roi", roi_bytes())])
    data = bytearray(path.read_bytes())
    data[data.index(b"Iout") + 10] ^= 1  # the checksum of a.roi no longer fits
    path.write_bytes(bytes(data))
    first, second = read_rois(path)
    assert "damaged zip entry (Bad CRC-32" in first.reason
    assert isinstance(second, ImageJRoi)


def test_names_that_climb_out_of_the_zip_write_nothing(tmp_path):
    path = write_zip(tmp_path / "set.zip", [("../../evil\n.roi", roi_bytes(name=""))])
    (roi,) = read_rois(path)
    assert roi.name == "evil\N{REPLACEMENT CHARACTER}"
    assert [item.name for item in tmp_path.iterdir()] == ["set.zip"]


def test_links_and_absolute_names_in_a_zip_are_not_followed(tmp_path):
    outside = tmp_path / "secret.roi"
    outside.write_bytes(roi_bytes(name="secret"))
    link = zipfile.ZipInfo("link.roi")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16  # as of Unix
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link, str(outside))
        archive.writestr(str(tmp_path / "new.roi"), roi_bytes(name="inside"))
    followed, roi = read_rois(path)
    assert followed.is_damaged  # its bytes are a path, and no ROI
    assert roi.name == "inside"
    assert sorted(item.name for item in tmp_path.iterdir()) == ["secret.roi", "set.zip"]


def with_damaged_entry(path, kind, name="a.roi"):
    """A zip of which the first entry cannot be read, and the second can."""
    methods = {"bzip2": zipfile.ZIP_BZIP2, "deflate": zipfile.ZIP_DEFLATED}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, roi_bytes(), methods.get(kind, zipfile.ZIP_LZMA))
        archive.writestr("b.roi", roi_bytes())
    data = bytearray(path.read_bytes())
    start, listed = 30 + len(name), data.index(b"PK\x01\x02")
    if kind == "encrypted":
        data[6] |= 1
        data[listed + 8] |= 1
    elif kind == "unknown":
        data[8:10] = data[listed + 10 : listed + 12] = struct.pack("<H", 97)
    elif kind == "lzma-properties":
        data[start + 4] = 255
    else:
        data[start + 9 : start + 29] = b"\xfe" * 20
    path.write_bytes(bytes(data))
    return path


@pytest.mark.parametrize(
    "kind", ["deflate", "bzip2", "lzma", "lzma-properties", "encrypted", "unknown"]
)
def test_an_entry_that_cannot_be_unpacked_is_one_damaged_roi(tmp_path, kind):
    first, second = read_rois(with_damaged_entry(tmp_path / "set.zip", kind))
    assert isinstance(second, ImageJRoi)
    assert first.is_damaged
    assert first.source == f"{tmp_path / 'set.zip'}: a.roi"
    assert re.fullmatch(r"damaged zip entry \(.*\); save it anew", first.reason)


def test_zips_in_zips_are_read_and_what_lies_too_deep_is_named(tmp_path):
    path = write_zip(tmp_path / "0.zip", [("a/m.roi", roi_bytes())])
    for depth in range(1, 18):
        entries = [("a/m.roi", roi_bytes()), ("b/n.zip", path.read_bytes())]
        path = write_zip(tmp_path / f"{depth}.zip", entries)
    *rois, skipped = read_rois(path)
    assert [roi.kind for roi in rois] == ["traced"] * 17
    assert rois[2].source == f"{path}: b/n.zip: b/n.zip: a/m.roi"
    assert "this one lies deeper; unpack it" in skipped.reason
    assert skipped.is_damaged
    (only,) = read_rois(write_zip(tmp_path / "x.zip", [("n.zip", b"PK no zip")]))
    assert only.is_damaged


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressions_that_unpack_without_a_limit_are_not_read(tmp_path, method):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a.roi", roi_bytes())
    (only,) = read_rois(path)
    assert only.reason == f"damaged zip entry (compression {method} is not read); save it anew"


def test_what_is_unpacked_counts_also_where_it_is_no_zip(tmp_path, monkeypatch):
    monkeypatch.setattr(imagej_roi, "MAX_TOTAL_BYTES", 2000)
    path = write_zip(tmp_path / "x.zip", [(f"{n}.zip", bytes(900)) for n in range(3)])
    with pytest.raises(AnnotationError, match="unpacks to more than 2000 bytes"):
        list(read_rois(path))


def test_curves_of_several_files_count_together(tmp_path, monkeypatch):
    monkeypatch.setattr(imagej_roi, "MAX_VERTICES", 1500)
    paths = []
    for number in range(3):
        paths.append(tmp_path / f"{number}.roi")
        paths[-1].write_bytes(box_bytes(roifile.ROI_TYPE.OVAL, 0, 0, 9, 200))
    assert len([roi for path in paths for roi in read_rois(path)]) == 3
    with pytest.raises(AnnotationError, match="curves must have 1500 corners at most"):
        list(read_roi_files(paths))


def test_a_zip_bomb_in_a_zip_ends_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(imagej_roi, "MAX_TOTAL_BYTES", 2000)
    inner = tmp_path / "inner.zip"
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.roi", bytes(100_000))
    path = write_zip(tmp_path / "x.zip", [("n.zip", inner.read_bytes())])
    with pytest.raises(AnnotationError, match="unpacks to more than 2000 bytes"):
        list(read_rois(path))


def test_a_zip_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.roi", b"Iout" + bytes(imagej_roi.MAX_ROI_BYTES + 1))
    (skipped,) = read_rois(path)
    assert "ROI must be <= 16777216 bytes" in skipped.reason


def test_many_large_entries_end_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(imagej_roi, "MAX_TOTAL_BYTES", 300)
    path = write_zip(tmp_path / "set.zip", [(f"{i}.roi", roi_bytes()) for i in range(9)])
    with pytest.raises(AnnotationError, match="unpacks to more than 300 bytes"):
        list(read_rois(path))


def test_too_many_entries(tmp_path, monkeypatch):
    monkeypatch.setattr(imagej_roi, "MAX_ENTRIES", 2)
    path = write_zip(tmp_path / "set.zip", [(f"{i}.roi", roi_bytes()) for i in range(3)])
    with pytest.raises(AnnotationError, match="may hold 2 ROIs, got 3"):
        list(read_rois(path))


def test_an_entry_without_a_name_is_listed(tmp_path):
    path = write_zip(tmp_path / "set.zip", [("X", b"x"), ("m.roi", roi_bytes())])
    path.write_bytes(path.read_bytes().replace(b"X", b"\0"))  # read as an empty name
    first, second = read_rois(path)
    assert (first.name, first.reason) == ("", "not an .roi entry")
    assert isinstance(second, ImageJRoi)


def test_nan_coordinates_raise_no_warning():
    path = np.frombuffer(b"\0\0\0\0\x7f\x80\0\1" + b"\0" * 4, dtype=">f4")  # a signalling NaN
    data = box_bytes(RECT, 0, 0, 8, 8, shape_roi_size=3, multi_coordinates=path)
    assert isinstance(decode_roi(data, "x", "x.roi"), ImageJRoi)


def test_an_empty_zip_holds_nothing(tmp_path):
    assert list(read_rois(write_zip(tmp_path / "set.zip", []))) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"not a zip", r"not an ImageJ ROI, a zip of ROIs or a TIFF", id="text"),
        pytest.param(b"", r"starts with b''", id="empty"),
        pytest.param(b"PK\x03\x04 and then nothing", "damaged zip", id="cut-zip"),
        pytest.param(b"II*\0 and then nothing", "TIFF", id="cut-tiff"),
    ],
)
def test_files_of_another_kind(tmp_path, content, message):
    path = tmp_path / "set.zip"
    path.write_bytes(content)
    with pytest.raises(AnnotationError, match=message):
        list(read_rois(path))


def test_absent_file(tmp_path):
    with pytest.raises(AnnotationError, match=r"none\.roi: cannot read \(No such file"):
        list(read_rois(tmp_path / "none.roi"))


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 400), st.integers(0, 255))
def test_a_changed_byte_in_a_zip_raises_only_our_errors(tmp_path_factory, place, value):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.roi", roi_bytes())
        archive.writestr("b.roi", roi_bytes())
    data = bytearray(buffer.getvalue())
    data[place % len(data)] = value
    path = tmp_path_factory.mktemp("zip") / "set.zip"
    path.write_bytes(bytes(data))
    with contextlib.suppress(AnnotationError):
        list(read_rois(path))


def test_overlay_of_a_tiff(tmp_path):
    path = tmp_path / "image.tif"
    tifffile.imwrite(
        path, np.zeros((8, 9), np.uint8), imagej=True, metadata={"Overlays": [roi_bytes()] * 2}
    )
    assert has_overlay(path)
    assert [roi.kind for roi in read_rois(path)] == ["traced", "traced"]


def test_tiff_without_overlay(tmp_path):
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, np.zeros((8, 9), np.uint8))
    assert not has_overlay(path)
    with pytest.raises(AnnotationError, match="holds no ImageJ overlay"):
        list(read_rois(path))


@pytest.mark.parametrize(
    ("fields", "name", "expected"),
    [
        pytest.param({}, "m", StackPosition(), id="not-set"),
        pytest.param({"position": 3}, "m", StackPosition(index=3), id="index"),
        pytest.param(
            {"c_position": 1, "z_position": 4, "t_position": 2},
            "m",
            StackPosition(channel=1, z=4, time=2),
            id="hyperstack",
        ),
        pytest.param({}, "0003-0102-0045", StackPosition(index=3), id="from-the-name"),
        pytest.param({"position": 2}, "0003-0102-0045", StackPosition(index=2), id="field-wins"),
        pytest.param({}, "0102-0045", StackPosition(), id="name-without-slice"),
    ],
)
def test_positions(fields, name, expected):
    assert decode_roi(roi_bytes(name=name, **fields), "x", "x.roi").position == expected


@pytest.mark.parametrize(
    ("position", "n_pages", "dimensions", "page"),
    [
        pytest.param(StackPosition(), 1, None, 0, id="single-image"),
        pytest.param(StackPosition(index=7), 1, None, 0, id="single-image-with-a-position"),
        pytest.param(StackPosition(index=3), 5, None, 2, id="index"),
        pytest.param(StackPosition(index=3, z=5), 5, None, 4, id="z-wins-over-index"),
        pytest.param(StackPosition(channel=1, z=1, time=1), 5, None, 0, id="first"),
        pytest.param(StackPosition(channel=2, z=3, time=1), 12, (2, 6, 1), 5, id="c-then-z"),
        pytest.param(StackPosition(channel=1, z=2, time=2), 12, (2, 3, 2), 8, id="c-z-t"),
        pytest.param(StackPosition(channel=1, z=3), 20, (2, 20, 1), 2, id="a-channel-alone"),
        pytest.param(StackPosition(3, 1, 2, 1), 3, (2, 3, 1), 1, id="a-channel-alone-of-ours"),
        pytest.param(StackPosition(channel=1, z=5), 15, (2, 10, 1), 8, id="cut-off"),
    ],
)
def test_pages(position, n_pages, dimensions, page):
    known = dimensions and StackDimensions(*dimensions)
    assert position.page(n_pages, known, "a.roi") == page


@pytest.mark.parametrize(
    ("position", "dimensions", "message"),
    [
        pytest.param(StackPosition(), None, "no slice position but its image has 5", id="not-set"),
        pytest.param(StackPosition(index=6), None, "page 6 but its image has 5", id="too-far"),
        pytest.param(StackPosition(channel=2, time=1), (1, 5, 1), "no slice position", id="no-z"),
        pytest.param(StackPosition(channel=1, z=1), (1, 1, 5), "no time position", id="no-t"),
        pytest.param(StackPosition(z=6), (1, 5, 1), "lies on page", id="z-too-far"),
        pytest.param(StackPosition(channel=2, z=2), None, "dimensions .* unknown", id="unknown"),
    ],
)
def test_pages_that_do_not_exist(position, dimensions, message):
    with pytest.raises(AnnotationError, match=message):
        position.page(5, dimensions and StackDimensions(*dimensions), "a.roi")


def test_stack_dimensions(tmp_path):
    path = tmp_path / "hyper.tif"
    stack = np.zeros((2, 3, 4, 8, 9), np.uint8)  # time, z, channel
    tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "TZCYX"})
    assert stack_dimensions(path) == (4, 3, 2, "CZT")
    tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "TZCYX", "order": "zct"})
    assert stack_dimensions(path) == (4, 3, 2, "ZCT")
    plain = tmp_path / "plain.tif"
    tifffile.imwrite(plain, np.zeros((8, 9), np.uint8))
    assert stack_dimensions(plain) is None
    assert stack_dimensions(tmp_path / "none.tif") is None


SCALE_BAR = roi_bytes(name="|SB|")


def test_a_scale_bar_is_no_outline(tmp_path):
    path = tmp_path / "a.tif"
    pixels = np.zeros((8, 9), np.uint8)
    overlays = [roi_bytes(), SCALE_BAR]
    tifffile.imwrite(path, pixels, imagej=True, metadata={"Overlays": overlays})
    assert has_overlay(path)
    roi, bar = read_rois(path)
    assert roi.name == "m1"
    assert (bar.reason, bar.is_damaged) == ("scale bar of ImageJ, no outline", False)
    tifffile.imwrite(path, pixels, imagej=True, metadata={"Overlays": [SCALE_BAR] * 2})
    assert not has_overlay(path)


@pytest.mark.parametrize(
    ("axes", "order", "page"), [("ZCYX", "CZT", 4), ("CZYX", "ZCT", 2), ("TZYX", "ZTC", 2)]
)
def test_positions_in_an_ome_hyperstack(tmp_path, axes, order, page):
    path = tmp_path / "a.ome.tif"
    sizes = {"C": 2, "Z": 5, "T": 3}
    shape = tuple(sizes[axis] for axis in axes[:2])
    tifffile.imwrite(path, np.zeros((*shape, 8, 9), np.uint8), metadata={"axes": axes})
    dimensions = stack_dimensions(path)
    found = tuple(sizes[axis] if axis in axes else 1 for axis in "CZT")
    assert dimensions[:3] == found
    assert StackPosition(channel=1, z=3, time=1).page(math.prod(found), dimensions, "r") == page
    assert dimensions.numbers(page) == (1, 3, 1)
    assert dimensions.is_shuffled == (axes == "CZYX")


def test_entries_of_an_inner_zip_are_counted_before_they_are_listed(tmp_path, monkeypatch):
    listed = imagej_roi._LISTED + bytes(42)
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 65535, 65535, 300_000 * 46, 0, 0)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.zip", listed * 300_000 + end)
    opened = []
    real = zipfile.ZipFile
    monkeypatch.setattr(
        imagej_roi.zipfile, "ZipFile", lambda file, *_: opened.append(file) or real(file)
    )
    with pytest.raises(AnnotationError, match="a zip may hold 200000 ROIs"):
        list(read_rois(tmp_path / "a.zip"))
    assert len(opened) == 1
