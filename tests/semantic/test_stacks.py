import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

from mito_instance.inference.tiling import tiles_of
from mito_instance.instances import ImageInstances
from mito_instance.io.images import read_page

pytest.importorskip("detectron2")

from mito_instance.semantic import stacks
from mito_instance.semantic.stacks import Series, SeriesOnDisk, file_states, read_slice, runs_of
from mito_instance.semantic.windows import owned_parts


def image(name, frame=0, image_hw=(8, 8)):
    return ImageInstances(name, image_hw, frame=frame)


@pytest.mark.parametrize(
    ("images", "runs"),
    [
        pytest.param([], [], id="none"),
        pytest.param(
            [image("a/3.png"), image("a/1.png"), image("a/2.png")], [[1, 2, 0]], id="files"
        ),
        pytest.param([image("1.png"), image("3.png")], [[0], [1]], id="gap"),
        pytest.param([image("1.png"), image("2.png", image_hw=(9, 9))], [[0], [1]], id="sizes"),
        pytest.param([image("a/1.png"), image("b/2.png")], [[0], [1]], id="folders"),
        pytest.param([image("s.tif", 1), image("s.tif", 0)], [[1, 0]], id="pages"),
        pytest.param([image("cell.png"), image("liver.png")], [[0], [1]], id="no-numbers"),
        pytest.param([image("z1.png"), image("z2.tif")], [[0], [1]], id="formats"),
    ],
)
def test_runs(images, runs):
    assert sorted(runs_of(images)) == sorted(runs)


def test_first_pages_of_stacks_are_no_neighbours(tmp_path):
    for number in (1, 2, 3):
        tifffile.imwrite(tmp_path / f"cell{number}.tif", np.zeros((2, 8, 8), np.uint8))
    images = [image(str(tmp_path / f"cell{number}.tif")) for number in (1, 2, 3)]
    assert sorted(runs_of(images)) == [[0], [1], [2]]
    tifffile.imwrite(tmp_path / "cell2.tif", np.zeros((8, 8), np.uint8))
    tifffile.imwrite(tmp_path / "cell3.tif", np.zeros((8, 8), np.uint8))
    assert sorted(runs_of(images)) == [[0], [1, 2]]


def test_the_first_page_of_another_stack_is_not_read_as_a_slice(tmp_path):
    for number in (1, 2, 3):
        pages = np.zeros((1 + (number == 1), 8, 8), np.uint8)
        tifffile.imwrite(tmp_path / f"cell{number}.tif", pages, photometric="minisblack")
    page = read_page(tmp_path / "cell2.tif", 0)
    places = SeriesOnDisk().around(page.path, 0, 1).places
    assert [read_slice(place, page) is None for place in places] == [True, False, False]


def test_neighbours_on_disk(tmp_path):
    for name in ("z1.png", "z2.png", "z4.png", "other.png", "z3.tif", "notes.txt"):
        (tmp_path / name).touch()
    disk = SeriesOnDisk()
    first, second = ((tmp_path / f"z{n}.png", 0) for n in (1, 2))
    assert disk.around(tmp_path / "z2.png", 0, 1) == Series((first, second), 1)
    assert disk.around(tmp_path / "z4.png", 0, 1).places == ((tmp_path / "z4.png", 0),)
    stack = tmp_path / "z3.tif"
    assert disk.around(stack, 2, 4) == Series(tuple((stack, page) for page in range(4)), 2)
    assert disk.around(Path("gone/5.png"), 0, 1).position == 0


@pytest.mark.parametrize(
    ("axes", "shape", "frame", "pages"),
    [
        pytest.param("ZCYX", (3, 2), 3, [1, 3, 5], id="two-channels"),
        pytest.param("TZCYX", (2, 3, 2), 8, [6, 8, 10], id="time-points"),
        pytest.param("TYX", (4,), 2, [0, 1, 2, 3], id="slices-as-time-points"),
        pytest.param("CYX", (4,), 2, [0, 1, 2, 3], id="slices-as-channels"),
        pytest.param("TCYX", (3, 2), 3, [1, 3, 5], id="time-points-of-channels"),
        pytest.param("ZYX", (4,), 2, [0, 1, 2, 3], id="simple-stack"),
    ],
)
def test_neighbours_in_a_hyperstack_are_of_one_channel_and_time(
    tmp_path, axes, shape, frame, pages
):
    path = tmp_path / "stack.tif"
    pixels = np.zeros((*shape, 8, 8), dtype=np.uint8)
    tifffile.imwrite(path, pixels, imagej=True, metadata={"axes": axes})
    series = SeriesOnDisk().around(path, frame, int(np.prod(shape)))
    assert [page for _, page in series.places] == pages
    assert series.places[series.position] == (path, frame)
    assert series.n_interleaved == pages[1] - pages[0]
    images = [image(str(path), page) for page in range(int(np.prod(shape)))]
    assert pages in runs_of(images)


@pytest.mark.parametrize("n_pages", [4, 8])
def test_a_file_of_other_pages_than_it_says_is_one_series(tmp_path, n_pages):
    """One channel that was saved apart, and a file that was added to."""
    path = tmp_path / "stack.tif"
    text = "ImageJ=1.53t\nimages=6\nchannels=2\nslices=3\nhyperstack=true\n"
    tifffile.imwrite(
        path, np.zeros((n_pages, 8, 8), np.uint8), description=text, photometric="minisblack"
    )
    assert len(SeriesOnDisk().around(path, 1, n_pages).places) == n_pages
    assert runs_of([image(str(path), page) for page in range(n_pages)]) == [list(range(n_pages))]


def test_maps_are_kept_for_few_channels_alone(tmp_path):
    places = tuple((tmp_path / "a.tif", page) for page in range(0, 600, 200))
    assert Series(places, 0).n_interleaved == 1
    assert Series(places[:1], 0).n_interleaved == 1


def test_a_folder_is_listed_again_when_it_changes(tmp_path, monkeypatch):
    listed = []
    images_beside = stacks._images_beside
    monkeypatch.setattr(
        stacks, "_images_beside", lambda path: listed.append(path) or images_beside(path)
    )
    for n in (1, 2):
        (tmp_path / f"z{n}.png").touch()
    disk, path = SeriesOnDisk(), tmp_path / "z1.png"

    def numbers():
        return [int(place.stem[1:]) for place, _ in disk.around(path, 0, 1).places]

    assert numbers() == [1, 2]
    (tmp_path / "z3.png").touch()  # at once: its time of change may be that of the listing
    assert numbers() == [1, 2, 3]
    (tmp_path / "z2.png").unlink()
    assert numbers() == [1]
    os.utime(tmp_path, ns=(10**9, 10**9))  # long ago
    assert numbers() == [1]
    listed.clear()
    assert numbers() == numbers() == [1]
    assert listed == []
    (tmp_path / "z2.png").touch()
    assert numbers() == [1, 2, 3]


def test_the_state_of_a_file_is_its_size_and_time(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"xyz")
    os.utime(path, ns=(7, 7))
    assert file_states([(path, 0), (path, 1), (tmp_path / "gone.png", 0)]) == ((3, 7), (0, 0))
    assert file_states([]) == ()


@pytest.mark.parametrize("image_hw", [(64, 64), (150, 64), (201, 333)])
def test_every_pixel_belongs_to_one_tile(image_hw):
    tiles = tiles_of(image_hw, 100, 30)
    owners = np.zeros(image_hw, dtype=int)
    for tile, (in_page, in_tile) in zip(tiles, owned_parts(tiles), strict=True):
        owners[in_page] += 1
        inside = np.zeros((tile.height, tile.width))
        assert inside[in_tile].shape == owners[in_page].shape
        assert in_page[0].start - tile.y == in_tile[0].start
    assert (owners == 1).all()
