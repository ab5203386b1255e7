"""ROI zips: pixels, names, slices, groups and colours, and the way through real ImageJ."""

from __future__ import annotations

import zipfile
from dataclasses import replace

import numpy as np
import pytest
import roifile
import tifffile
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from mito_instance.errors import AnnotationError, ConfigError
from mito_instance.instances import ImageInstances
from mito_instance.io import imagej_roi_writer
from mito_instance.io.imagej_position import stack_dimensions
from mito_instance.io.imagej_roi import read_rois
from mito_instance.io.imagej_roi_writer import (
    RoiStyle,
    _UniqueNames,
    category_style,
    write_roi_zip,
)
from mito_instance.masks import rle
from mito_instance.masks.polygons import rasterise
from tests.imagej import imagej_masks, require_imagej, require_windows, run_script

HW = (20, 30)


def square(x=2, y=3, side=4):
    return rle.place(np.ones((side, side)), x, y, HW)


def ring():
    mask = np.ones((6, 6))
    mask[2:4, 2:5] = 0
    return rle.place(mask, 10, 5, HW)


def page(*masks, image_hw=HW, **fields):
    return ImageInstances("a.png", image_hw, tuple(masks), **fields)


def entries(path):
    with zipfile.ZipFile(path) as archive:
        return {
            name: roifile.ImagejRoi.frombytes(archive.read(name)) for name in archive.namelist()
        }


def counts(path, image_hw=HW):
    return [rasterise(roi.rings, image_hw, "x").rle["counts"] for roi in read_rois(path)]


def test_one_piece_is_traced_and_a_hole_makes_a_composite(tmp_path):
    assert write_roi_zip(tmp_path / "a.zip", [page(square(), ring())]) == 2
    first, second = entries(tmp_path / "a.zip").values()
    assert first.roitype == roifile.ROI_TYPE.TRACED
    assert (first.left, first.top, first.right, first.bottom) == (2, 3, 6, 7)
    assert first.coordinates().tolist() == [[2, 3], [6, 3], [6, 7], [2, 7]]
    assert second.composite
    assert second.shape_roi_size == 2 * (4 * 3 + 1)
    assert counts(tmp_path / "a.zip") == [square()["counts"], ring()["counts"]]


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        pytest.param({}, ["0001", "0002"], id="number"),
        pytest.param({"scores": np.array([0.9749, 1.0])}, ["0001-0.97", "0002-1.00"], id="score"),
        pytest.param({"frame": 2}, ["0003-0001", "0003-0002"], id="stack"),
        pytest.param({"names": ("m/1", "")}, ["m_1", "0002"], id="own-name"),
        pytest.param({"names": ("dark", "Dark")}, ["dark", "Dark-2"], id="own-name-twice"),
        pytest.param({"names": ("..", "x" * 500)}, ["roi", "x" * 120], id="no-file-name"),
    ],
)
def test_names(tmp_path, fields, names):
    write_roi_zip(tmp_path / "a.zip", [page(square(), ring(), **fields)])
    found = entries(tmp_path / "a.zip")
    assert list(found) == [f"{name}.roi" for name in names]
    if "names" not in fields:
        assert [roi.name for roi in found.values()] == names


def test_names_stay_unique_whatever_they_are():
    names = _UniqueNames()
    given = ["m", "M", "m-2", "m", "m-2", "x/y", "x_y", ".", ""]
    entries = [names.add(name)[1] for name in given]
    assert entries == ["m", "M-2", "m-2-2", "m-3", "m-2-3", "x_y", "x_y-2", "roi", "roi-2"]


def test_long_names_of_entries_fit_a_disk():
    name, entry = _UniqueNames().add("线" * 150)
    assert name == "线" * 150
    assert entry == "线" * 66


def test_many_equal_names_cost_one_look_each(monkeypatch):
    looks = 0

    class Counting(set):
        def __contains__(self, item):
            nonlocal looks
            looks += 1
            return super().__contains__(item)

    names = _UniqueNames()
    names._taken = Counting()
    for _ in range(1000):
        names.add("mitochondrion")
    assert len(names._taken) == 1000
    assert looks < 3000


def position_of_the_fourth(path):
    """Channel, slice and time in the ROI of the fourth of six pages, which is read back there."""
    zipped = path.with_suffix(".zip")
    write_roi_zip(zipped, [replace(page(square()), image=str(path), frame=3)])
    (roi,) = entries(zipped).values()
    (read,) = read_rois(zipped)
    assert read.position.page(6, stack_dimensions(path), "a.zip") == 3
    return roi.c_position, roi.z_position, roi.t_position


@pytest.mark.parametrize(("axes", "numbers"), [("CZYX", (2, 1, 1)), ("ZCYX", (0, 0, 0))])
def test_pages_that_imagej_counts_otherwise_are_named_by_channel_and_slice(tmp_path, axes, numbers):
    path = tmp_path / "a.ome.tif"
    shape = (2, 3) if axes == "CZYX" else (3, 2)
    tifffile.imwrite(path, np.zeros((*shape, 40, 40), np.uint8), metadata={"axes": axes})
    assert position_of_the_fourth(path) == numbers


STACKS = [
    pytest.param("ZCYX", (3, 2), (2, 2, 1), id="channels"),
    pytest.param("TZYX", (2, 3), (1, 1, 2), id="time-points"),
    pytest.param("ZYX", (6,), (0, 0, 0), id="slices"),
    pytest.param("TYX", (6,), (0, 0, 0), id="slices-as-time-points"),
    pytest.param("CYX", (6,), (0, 0, 0), id="channels-alone"),
]


@pytest.mark.parametrize(("axes", "shape", "numbers"), STACKS)
def test_pages_of_a_hyperstack_are_named_by_channel_slice_and_time(tmp_path, axes, shape, numbers):
    """ImageJ takes the number of a page for a slice there, but not where one axis is all."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, np.zeros((*shape, 40, 40), np.uint8), imagej=True, metadata={"axes": axes}
    )
    assert position_of_the_fourth(path) == numbers


@pytest.mark.slow
@pytest.mark.parametrize(("axes", "shape", "numbers"), STACKS)
def test_imagej_shows_the_page_of_an_roi_that_is_selected_and_updates_it_there(
    tmp_path, axes, shape, numbers
):
    require_windows()
    path, zipped, saved = (tmp_path / name for name in ("a.tif", "a.zip", "saved.zip"))
    pixels = np.zeros((6, 40, 40), np.uint8)
    pixels[:] = np.arange(6)[:, None, None]
    tifffile.imwrite(path, pixels.reshape(*shape, 40, 40), imagej=True, metadata={"axes": axes})
    order = [3, 0, 5, 1]
    write_roi_zip(zipped, [replace(page(square()), image=str(path), frame=at) for at in order])
    run_script("imagej_select.bsh", path, zipped, tmp_path / "seen", saved, windows=True)
    assert list(map(int, (tmp_path / "seen").read_text().split())) == order
    dimensions = stack_dimensions(path)
    kept = [roi.position.page(6, dimensions, "saved.zip") for roi in read_rois(saved)]
    assert kept == order


def test_positions_in_a_copy_without_dimensions_are_no_guess(tmp_path):
    path = tmp_path / "a.tif"
    pixels = np.zeros((3, 2, 40, 40), np.uint8)
    tifffile.imwrite(path, pixels, imagej=True, metadata={"axes": "ZCYX"})
    write_roi_zip(tmp_path / "a.zip", [replace(page(square()), image=str(path), frame=2)])
    (read,) = read_rois(tmp_path / "a.zip")
    assert (read.position.channel, read.position.z) == (1, 2)
    assert read.position.page(6, stack_dimensions(path), "a.zip") == 2
    with pytest.raises(AnnotationError, match="the dimensions of its image are unknown"):
        read.position.page(6, None, "a.zip")


def test_a_stack_that_was_cut_off_keeps_its_pages(tmp_path):
    path = tmp_path / "a.tif"
    pixels = np.zeros((3, 2, 40, 40), np.uint8)
    tifffile.imwrite(path, pixels, imagej=True, metadata={"axes": "ZCYX"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    write_roi_zip(tmp_path / "a.zip", [replace(page(square()), image=str(path), frame=3)])
    assert [roi.position.index for roi in read_rois(tmp_path / "a.zip")] == [4]


def test_own_names_stay_whole_inside(tmp_path):
    names = ("m/1", "Zelle 线 \N{MOUSE}")
    write_roi_zip(tmp_path / "a.zip", [page(square(), ring(), names=names)])
    found = [roi.name for roi in read_rois(tmp_path / "a.zip")]
    assert found == ["m/1", "Zelle 线 \N{REPLACEMENT CHARACTER}"]


def test_slices_of_a_stack(tmp_path):
    pages = [page(square()), page(square(), ring(), frame=4)]
    assert write_roi_zip(tmp_path / "a.zip", pages) == 3
    assert [roi.position.index for roi in read_rois(tmp_path / "a.zip")] == [1, 5, 5]
    write_roi_zip(tmp_path / "a.zip", pages[:1])
    assert [roi.position.index for roi in read_rois(tmp_path / "a.zip")] == [0]
    write_roi_zip(tmp_path / "a.zip", pages[:1], is_stack=True)
    assert [roi.position.index for roi in read_rois(tmp_path / "a.zip")] == [1]


def test_groups_and_colours_by_category(tmp_path):
    fields = {"category_ids": (1, 3, 9), "groups": (0, 0, 300)}
    write_roi_zip(
        tmp_path / "a.zip",
        [page(square(), ring(), square(9), **fields)],
        styles={9: RoiStyle(4, (1, 2, 3))},
    )
    found = list(entries(tmp_path / "a.zip").values())
    assert [roi.group for roi in found] == [0, 2, 300]
    assert [roi.stroke_color for roi in found] == [
        bytes((255, *category_style(1).stroke_rgb)),
        bytes((255, *category_style(3).stroke_rgb)),
        bytes((255, 1, 2, 3)),
    ]
    assert category_style(1000).group == 999
    assert category_style(100_000).group == 0


def test_a_zip_is_written_anew_and_alike(tmp_path):
    write_roi_zip(tmp_path / "a.zip", [page(square(), ring())])
    write_roi_zip(tmp_path / "a.zip", [page(ring())])
    first = (tmp_path / "a.zip").read_bytes()
    write_roi_zip(tmp_path / "a.zip", [page(ring())])
    assert (tmp_path / "a.zip").read_bytes() == first
    assert list(entries(tmp_path / "a.zip")) == ["0001.roi"]


@pytest.mark.parametrize("pages", [[], [page()], [page(rle.encode(np.zeros(HW)))]])
def test_nothing_gives_an_empty_zip(tmp_path, pages):
    assert write_roi_zip(tmp_path / "a.zip", pages) == 0
    assert list(read_rois(tmp_path / "a.zip")) == []


def test_a_zip_that_readers_would_refuse_is_said(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(imagej_roi_writer, "MAX_ENTRIES", 1)
    write_roi_zip(tmp_path / "a.zip", [page(square(), ring())])
    assert "a.zip: holds 2 ROIs; commands that read ROIs take 1 of a zip" in caplog.text


def test_a_folder_is_no_output(tmp_path):
    with pytest.raises(ConfigError, match="this is a folder"):
        write_roi_zip(tmp_path, [page(square())])


@settings(deadline=None, max_examples=60)
@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_reading_a_written_zip_gives_the_mask_back(tmp_path_factory, mask):
    path = tmp_path_factory.mktemp("zip") / "a.zip"
    write_roi_zip(path, [page(rle.encode(mask), image_hw=mask.shape)])
    assert counts(path, mask.shape) == ([rle.encode(mask)["counts"]] if mask.any() else [])


def hard_sets():
    """Masks that overflow what ImageJ's 16-bit fields hold, noise, and holes in holes."""
    rng = np.random.default_rng(7)
    noise = rng.random((60, 70)) < 0.5
    comb = np.zeros((9, 32_767), dtype=bool)  # 65,536 corners
    comb[:, ::2] = comb[0] = True
    wide = (300, 70_000)
    far = [rle.place(np.ones((5, 9)), x, 10, wide) for x in (32_758, 32_760, 60_000, 69_991)]
    return {
        "noise": page(rle.encode(noise), rle.encode(~noise), image_hw=noise.shape),
        "comb": page(rle.encode(comb), image_hw=comb.shape),
        "wide": page(*far, rle.place(noise, 40_000, 99, wide), image_hw=wide),
        "named": page(square(), ring(), names=("a/b", "Zelle 线"), groups=(7, 0)),
    }


def test_imagej_fills_exactly_the_masks_and_keeps_them_when_it_saves(tmp_path):
    require_imagej()
    sets = hard_sets()
    (tmp_path / "saved").mkdir()
    for name, given_page in sets.items():
        write_roi_zip(tmp_path / f"{name}.zip", [given_page])
    run_script("imagej_resave.bsh", tmp_path, tmp_path / "saved")
    files = [tmp_path / f"{name}.zip" for name in sets]
    seen = imagej_masks(files, tmp_path)
    for number, (name, given_page) in enumerate(sets.items()):
        expected = [mask["counts"] for mask in given_page.masks]
        theirs = [
            rle.place(item.mask, item.x, item.y, given_page.image_hw)["counts"]
            for item in seen
            if item.file == number
        ]
        assert theirs == expected
        assert counts(tmp_path / f"{name}.zip", given_page.image_hw) == expected
        assert counts(tmp_path / "saved" / f"{name}.zip", given_page.image_hw) == expected
    assert [(item.name, item.group) for item in seen[-2:]] == [("a/b", 7), ("Zelle 线", 0)]
    saved = list(read_rois(tmp_path / "saved" / "named.zip"))
    assert [roi.name for roi in saved] == ["a/b", "Zelle 线"]


def test_groups_above_255_come_back(tmp_path):
    mask = np.zeros((20, 20), bool)
    mask[3:9, 4:12] = True
    image = ImageInstances("a.tif", mask.shape, (rle.encode(mask),) * 2, groups=(300, 70))
    write_roi_zip(tmp_path / "a.zip", [image])
    assert [roi.group for roi in read_rois(tmp_path / "a.zip")] == [300, 70]
