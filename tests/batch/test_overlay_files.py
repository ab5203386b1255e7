"""Overlays of stacks: one TIFF, page by page, the same whatever happened on the way."""

import shutil
import tracemalloc

import cv2
import numpy as np
import pytest
import tifffile

from mito_instance.batch import overlay_files
from mito_instance.batch.file_names import FileNames
from mito_instance.batch.overlay_files import OverlayFiles, StackOverlays
from mito_instance.cli import quantify
from mito_instance.errors import ConfigError
from mito_instance.io.coco import read_coco
from mito_instance.visualize import overlay_tiff
from mito_instance.visualize.overlay_tiff import blank_picture, descriptions, encode_picture
from mito_instance.visualize.overlays import draw_overlay
from tests.dark_objects import DarkObjects, micrograph

SQUARES = [[(5, 5, 10)], [], [(9, 9, 20), (70, 30, 30)], [(1, 1, 40)]]
STACK = np.stack([micrograph(*squares) for squares in SQUARES])


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    write_stack(folder / "stack.tif")
    cv2.imwrite(str(folder / "single.png"), STACK[0])
    return folder


def write_stack(path, pages=STACK):
    noise = np.random.default_rng(1).integers(0, 20, pages.shape, dtype=np.uint8)
    tifffile.imwrite(path, pages + noise, photometric="minisblack", compression="zlib")
    return pages + noise


def damage_page(path, frame):
    with tifffile.TiffFile(path) as tif:
        offset, length = tif.pages[frame].dataoffsets[0], tif.pages[frame].databytecounts[0]
    data = bytearray(path.read_bytes())
    data[offset : offset + length] = b"\xff" * length
    path.write_bytes(bytes(data))


def run(images, out, *more):
    return quantify.main([str(images), "--overlays", str(out), *map(str, more)])


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def n_drawn(monkeypatch):
    """A list that grows with every page of a stack that is drawn."""
    drawn = []

    def counted(image, instances, **options):
        drawn.append(instances.frame)
        return draw_overlay(image, instances, **options)

    monkeypatch.setattr(overlay_files, "draw_overlay", counted)
    return drawn


def test_a_page_of_the_tiff_for_every_page_of_the_stack(images, tmp_path):
    pixels, out = write_stack(images / "stack.tif"), tmp_path / "out"
    assert run(images, out, "--coco", tmp_path / "pred.json") == 0
    assert sorted(content(out)) == ["single.png", "stack.tif"]
    found = [page for page in read_coco(tmp_path / "pred.json") if "stack" in page.image]
    expected = [draw_overlay(image, page) for image, page in zip(pixels, found, strict=True)]
    assert np.array_equal(tifffile.imread(out / "stack.tif"), expected)
    assert np.array_equal(cv2.imreadmulti(str(out / "stack.tif"))[1][2][..., ::-1], expected[2])
    texts = descriptions(out / "stack.tif")
    assert texts[2].startswith("page 3 of 4: 2 instances; drawn from ")
    assert texts[1].startswith("page 2 of 4: 0 instances; ")


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(["--workers", "1"], id="one-thread"),
        pytest.param(["--workers", "5"], id="threads"),
        pytest.param(["--resume"], id="resume"),
        pytest.param(["--workers", "5", "--resume"], id="threads-and-resume"),
    ],
)
def test_the_bytes_do_not_depend_on_the_way(images, tmp_path, options):
    run(images, tmp_path / "plain")
    if "--resume" in options:
        options = [*options, tmp_path / "resume"]
    for _ in range(2):
        run(images, tmp_path / "other", *options)
        assert content(tmp_path / "other") == content(tmp_path / "plain")


def test_a_stack_that_is_drawn_is_left_alone(images, tmp_path, n_drawn):
    out, resume = tmp_path / "out", ("--resume", tmp_path / "resume")
    run(images, out, *resume)
    assert n_drawn == [0, 1, 2, 3]
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    run(images, out, *resume)
    assert n_drawn == [0, 1, 2, 3]
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before


@pytest.mark.parametrize("damage", ["lost", "cut-off", "fewer-pages"])
def test_a_lost_or_damaged_tiff_is_made_again(images, tmp_path, damage):
    out, resume = tmp_path / "out", ("--resume", tmp_path / "resume")
    run(images, out, *resume)
    expected, file = content(out), out / "stack.tif"
    if damage == "lost":
        file.unlink()
    elif damage == "cut-off":
        file.write_bytes(expected["stack.tif"][:5000])
    else:
        tifffile.imwrite(file, np.zeros((5, 5), np.uint8), description=descriptions(file)[0])
    run(images, out, *resume)
    assert content(out) == expected


def test_an_interrupted_stack_is_there_as_far_as_it_came(images, tmp_path, monkeypatch, n_drawn):
    run(images, tmp_path / "plain")
    expected = content(tmp_path / "plain")
    predict = DarkObjects.predict

    def interrupted(self, tiles, min_score=0.0):
        if len(n_drawn) == 6:
            raise KeyboardInterrupt
        return predict(self, tiles, min_score)

    monkeypatch.setattr(DarkObjects, "predict", interrupted)
    out, resume = tmp_path / "out", ("--resume", tmp_path / "resume", "--workers", 1)
    assert run(images, out, *resume) == 130
    assert len(descriptions(out / "stack.tif")) == 2
    assert n_drawn[4:] == [0, 1]
    monkeypatch.setattr(DarkObjects, "predict", predict)
    assert run(images, out, *resume) == 0
    assert n_drawn[4:] == [0, 1, 2, 3]  # the first two were copied
    assert content(out) == expected


def test_a_changed_pixel_size_draws_all_pages_anew(images, tmp_path, n_drawn):
    out, resume = tmp_path / "out", ("--resume", tmp_path / "resume")
    run(images, out, *resume)
    run(images, out, *resume, "--pixel-size-nm", 5)
    assert n_drawn == [0, 1, 2, 3] * 2
    run(images, tmp_path / "plain", "--pixel-size-nm", 5)
    assert content(out) == content(tmp_path / "plain")


@pytest.mark.parametrize("frames", [[0], [1, 2], [3], [0, 1, 2, 3]], ids=str)
def test_failed_pages_are_black_and_the_others_keep_their_number(images, tmp_path, frames):
    out = tmp_path / "out"
    run(images, out)
    expected = tifffile.imread(out / "stack.tif")
    for frame in frames:
        damage_page(images / "stack.tif", frame)
    shutil.rmtree(out)
    assert run(images, out) == 1
    if len(frames) == 4:
        assert sorted(content(out)) == ["single.png"]
        return
    pages = tifffile.imread(out / "stack.tif")
    assert len(pages) == 4
    for number, page in enumerate(pages):
        assert np.array_equal(page, expected[number] * (number not in frames)), number


@pytest.mark.parametrize("place", ["folder", "link-to-the-folder", "folder-of-a-linked-image"])
def test_overlays_never_replace_images(images, tmp_path, capsys, place):
    before, inputs, out = content(images), images / "stack.tif", images
    if place == "link-to-the-folder":
        out = tmp_path / "link"
        out.symlink_to(images)
    elif place == "folder-of-a-linked-image":
        inputs = tmp_path / "linked.tif"
        inputs.symlink_to(images / "stack.tif")
    assert run(inputs, out) == 2  # single.png is no input, but an image
    assert "could replace an image" in capsys.readouterr().err
    assert content(images) == before


def test_overlays_follow_no_link_to_an_image(images, tmp_path, capsys):
    before, out = content(images), tmp_path / "out"
    out.mkdir()
    (out / "single.png").symlink_to(images / "single.png")
    assert run(images, out) == 2
    assert "could replace an image in the folder of " in capsys.readouterr().err
    assert content(images) == before


def test_a_disk_that_refuses_costs_the_stack_and_not_the_run(images, tmp_path, monkeypatch):
    def refused(*_):
        raise ConfigError("no")

    monkeypatch.setattr(overlay_files.OverlayTiff, "add", refused)
    out = tmp_path / "out"
    assert run(images, out) == 1
    assert sorted(content(out)) == ["single.png"]


def test_pages_do_not_wait_in_memory(tmp_path):
    path, rng = tmp_path / "a.tif", np.random.default_rng(0)
    picture = rng.integers(0, 255, (400, 500, 3), dtype=np.uint8)
    page = encode_picture(picture)
    assert sum(map(len, page.strips)) > 500_000
    tracemalloc.start()
    with StackOverlays(OverlayFiles(tmp_path / "out", FileNames([path]))) as stacks:
        for frame in range(30):
            stacks.add(path, frame, 30, encode_picture(picture))
        _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6_000_000
    assert tifffile.imread(tmp_path / "out" / "a.tif").shape == (30, 400, 500, 3)


def test_pages_of_other_sizes_and_a_page_that_is_gone(tmp_path):
    path = tmp_path / "a.tif"
    files = OverlayFiles(tmp_path, FileNames([tmp_path / "b.png", path]))
    with StackOverlays(files) as stacks:
        stacks.add(tmp_path / "b.png", 0, 1, None)
        stacks.add(path, 0, 4, None)  # said to be drawn, but lost since
        stacks.add(path, 1, 4, blank_picture((9, 8)))
        stacks.add_failed(path)
        stacks.add(path, 3, 4, blank_picture((70, 3), "x"))
    with tifffile.TiffFile(path) as tif:
        assert [page.shape for page in tif.pages] == [(9, 8, 3), (9, 8, 3), (9, 8, 3), (70, 3, 3)]


def test_the_largest_page_of_a_stack_decides_on_bigtiff(tmp_path, monkeypatch):
    small, large = np.zeros((5, 6), np.uint8), np.zeros((900, 1000), np.uint8)
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for page in (small, large):
            tiff.write(page)
    monkeypatch.setattr(overlay_tiff, "_MAX_CLASSIC_BYTES", 1_000_000)
    files = OverlayFiles(tmp_path / "out", FileNames([tmp_path / "a.tif"]))
    (tmp_path / "out").mkdir()
    with StackOverlays(files) as stacks:
        stacks.add(tmp_path / "a.tif", 0, 2, blank_picture((5, 6)))
        stacks.add(tmp_path / "a.tif", 1, 2, blank_picture((900, 1000)))
    with tifffile.TiffFile(tmp_path / "out" / "a.tif") as tif:
        assert tif.is_bigtiff


def test_no_folder_no_files(tmp_path):
    with StackOverlays(OverlayFiles(None, FileNames([]))) as stacks:
        stacks.add(tmp_path / "a.tif", 0, 2, None)
        stacks.add_failed(tmp_path / "a.tif")
    assert list(tmp_path.iterdir()) == []
