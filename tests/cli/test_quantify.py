import csv
import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from mito_instance.batch.file_names import FileNames
from mito_instance.cli import convert_roi, quantify
from mito_instance.instances import ImageInstances
from mito_instance.io.coco import read_coco
from mito_instance.io.imagej_roi import read_rois
from mito_instance.masks import rle
from mito_instance.masks.labels import component_rles
from mito_instance.masks.polygons import rasterise
from mito_instance.measure.schema import COUNTS_NAMES, OBJECTS_NAMES


class DarkObjects:
    """A predictor that needs no network: every connected dark region is an instance."""

    score_threshold = 0.5
    pixel_size_nm = None
    tile_px = 256
    tile_overlap_px = 64

    def prepare(self, pixels):
        return np.clip(pixels, 0, 255).astype(np.uint8)

    def predict(self, tiles, min_score=0.0):
        found = []
        for tile in tiles:
            masks = component_rles(tile < 100)
            scores = np.linspace(0.9, 0.4, len(masks)) if masks else np.zeros(0)
            instances = ImageInstances("tile", tile.shape, tuple(masks), scores)
            found.append(instances.select(scores >= min_score))
        return found

    def record(self):
        return {"weights": "none"}


@pytest.fixture(autouse=True)
def predictor(monkeypatch):
    monkeypatch.setattr(quantify, "_load_model", lambda _args: DarkObjects())


def micrograph(*squares, height=120, width=150):
    image = np.full((height, width), 200, dtype=np.uint8)
    for x, y, edge in squares:
        image[y : y + edge, x : x + edge] = 50
    return image


@pytest.fixture
def folder(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    cv2.imwrite(str(images / "b2.png"), micrograph((10, 10, 20), (60, 60, 10)))
    cv2.imwrite(str(images / "b10.png"), micrograph())
    resolution = (200.0, 200.0)  # 200 px/µm: 5 nm
    tifffile.imwrite(
        images / "a.tif", micrograph((0, 0, 30)), imagej=True, resolution=resolution,
        metadata={"unit": "um"},
    )  # fmt: skip
    return images


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_a_row_an_image_in_natural_order_with_units_only_where_known(folder, capsys):
    assert quantify.main([str(folder)]) == 0
    rows = rows_of(capsys.readouterr().out)
    assert list(rows[0]) == list(COUNTS_NAMES)
    assert [row["image"].rsplit("/", 1)[1] for row in rows] == ["a.tif", "b2.png", "b10.png"]
    assert [row["count"] for row in rows] == ["1", "1", "0"]  # the second square scores 0.4
    assert rows[0]["pixel_size_source"] == "imagej"
    assert float(rows[0]["area_total_um2"]) == pytest.approx(900 * 0.005**2)
    assert rows[0]["count_touching_border"] == "1"
    assert rows[1]["area_total_um2"] == ""
    assert rows[2]["area_fraction"] == "0"


def test_a_lower_threshold_counts_more(folder, capsys):
    assert quantify.main([str(folder / "b2.png"), "--score-threshold", "0.3"]) == 0
    assert rows_of(capsys.readouterr().out)[0]["count"] == "2"


def test_the_users_pixel_size_overrules_the_files(folder, capsys):
    assert quantify.main([str(folder / "a.tif"), "--pixel-size-nm", "10"]) == 0
    (row,) = rows_of(capsys.readouterr().out)
    assert (row["pixel_size_nm"], row["pixel_size_source"]) == ("10", "user")


def test_all_outputs_speak_of_the_same_objects(folder, tmp_path, capsys):
    out = tmp_path / "out"
    status = quantify.main([
        str(folder), "--score-threshold", "0", "--objects", str(out / "objects.csv"),
        "--coco", str(out / "pred.json"), "--overlays", str(out / "overlays"),
    ])  # fmt: skip
    assert status == 0
    counts = rows_of(capsys.readouterr().out)
    objects = rows_of((out / "objects.csv").read_text(encoding="utf-8"))
    assert list(objects[0]) == list(OBJECTS_NAMES)
    images = read_coco(out / "pred.json")
    assert [len(image) for image in images] == [int(row["count"]) for row in counts] == [1, 2, 0]
    areas = [rle.area_px(mask) for image in images for mask in image.masks]
    assert [int(row["area_px"]) for row in objects] == areas == [900, 400, 100]
    assert json.loads((out / "pred.json").read_text())["info"]["score_threshold"] == 0
    names = sorted(path.name for path in (out / "overlays").iterdir())
    assert names == ["a.png", "b10.png", "b2.png"]
    assert cv2.imread(str(out / "overlays" / "a.png")).shape == (120, 150, 3)


def test_a_stack_has_a_row_and_an_overlay_a_page(tmp_path, capsys):
    stack = np.stack([micrograph((5, 5, 10)), micrograph(), micrograph((5, 5, 10), (40, 40, 9))])
    tifffile.imwrite(tmp_path / "stack.tif", stack.astype(np.uint16), photometric="minisblack")
    overlays = tmp_path / "overlays"
    assert quantify.main([str(tmp_path / "stack.tif"), "--overlays", str(overlays)]) == 0
    rows = rows_of(capsys.readouterr().out)
    assert [(row["frame"], row["count"]) for row in rows] == [("0", "1"), ("1", "0"), ("2", "1")]
    assert [path.name for path in overlays.iterdir()] == ["stack.tif"]
    assert tifffile.imread(overlays / "stack.tif").shape == (3, 120, 150, 3)


def test_large_images_are_tiled(tmp_path, capsys):
    image = micrograph((240, 240, 40), (500, 30, 20), height=600, width=700)
    cv2.imwrite(str(tmp_path / "large.png"), image)
    coco = tmp_path / "pred.json"
    assert quantify.main([str(tmp_path / "large.png"), "--coco", str(coco)]) == 0
    (found,) = read_coco(coco)
    assert sorted(rle.area_px(mask) for mask in found.masks) == [400, 1600]


def test_a_bad_file_keeps_its_row_and_does_not_stop_the_batch(folder, capsys):
    (folder / "broken.png").write_text("this is no image")
    assert quantify.main([str(folder)]) == 1
    captured = capsys.readouterr()
    rows = {row["image"].rsplit("/", 1)[1]: row for row in rows_of(captured.out)}
    assert rows["broken.png"]["status"] == "error"
    assert "broken.png" in rows["broken.png"]["message"]
    assert rows["broken.png"]["count"] == ""
    assert rows["b2.png"]["status"] == "ok"
    assert "failed: " in captured.err
    assert "Traceback" not in captured.err


def test_a_damaged_page_does_not_take_the_others_along(tmp_path, capsys):
    path = tmp_path / "stack.tif"
    pages = [np.random.default_rng(n).integers(150, 255, (64, 64), dtype=np.uint8) for n in (1, 2)]
    tifffile.imwrite(path, np.stack(pages), compression="zlib", photometric="minisblack")
    with tifffile.TiffFile(path) as tif:
        offset, length = tif.pages[0].dataoffsets[0], tif.pages[0].databytecounts[0]
    data = bytearray(path.read_bytes())
    data[offset : offset + length] = b"\xff" * length
    path.write_bytes(bytes(data))
    assert quantify.main([str(path)]) == 1
    assert [row["status"] for row in rows_of(capsys.readouterr().out)] == ["error", "ok"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("notes.png", b"just some text", id="text-named-png"),
        pytest.param("cut.tif", None, id="truncated-tiff"),
        pytest.param("nothing.png", b"", id="empty-file"),
    ],
)
def test_a_single_bad_file_is_one_line_and_exit_2(tmp_path, capsys, name, content):
    path = tmp_path / name
    if content is None:
        tifffile.imwrite(path, np.zeros((50, 50), np.uint16))
        path.write_bytes(path.read_bytes()[:200])
    else:
        path.write_bytes(content)
    assert quantify.main([str(path)]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert len(errors) == 1
    assert errors[0].startswith(f"error: {path}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["{tmp}/absent"], "absent", id="missing-path"),
        pytest.param(["{tmp}"], "holds no image", id="empty-folder"),
        pytest.param(["{image}", "--tile-px", "8"], "--tile-px: must be at least 64", id="tile"),
        pytest.param(["{image}", "--coco", "{tmp}"], "is a folder", id="coco-is-a-folder"),
        pytest.param(["{image}", "--overlays", "{image}"], "cannot make", id="overlays-is-a-file"),
    ],
)
def test_misuse_is_one_line_and_exit_2(tmp_path, capsys, arguments, message):
    images = tmp_path / "images"
    images.mkdir()
    cv2.imwrite(str(images / "a.png"), micrograph())
    empty = tmp_path / "empty"
    empty.mkdir()
    filled = [part.format(tmp=empty, image=images / "a.png") for part in arguments]
    assert quantify.main(filled) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = [line for line in captured.err.splitlines() if line.startswith("error:")]
    assert message in line


@pytest.mark.parametrize(
    ("option", "value"), [("--score-threshold", "1.5"), ("--pixel-size-nm", "none")]
)
def test_numbers_are_checked(folder, capsys, option, value):
    with pytest.raises(SystemExit) as left:
        quantify.main([str(folder), option, value])
    assert left.value.code == 2
    assert "must be a number from" in capsys.readouterr().err


def test_an_interruption_keeps_what_is_done(folder, tmp_path, capsys, monkeypatch):
    seen = []

    class Interrupted(DarkObjects):
        def predict(self, tiles, min_score=0.0):
            if seen:
                raise KeyboardInterrupt
            seen.append(1)
            return super().predict(tiles, min_score)

    monkeypatch.setattr(quantify, "_load_model", lambda _args: Interrupted())
    objects = tmp_path / "objects.csv"
    assert quantify.main([str(folder), "--objects", str(objects)]) == 130
    assert len(rows_of(capsys.readouterr().out)) == 1
    assert len(rows_of(objects.read_text(encoding="utf-8"))) == 1


def test_equal_names_in_two_folders_get_two_overlays(tmp_path, capsys):
    for name in ("wt", "ko"):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / "cell.png"), micrograph())
    cv2.imwrite(str(tmp_path / "wt" / "other.png"), micrograph())
    overlays = tmp_path / "overlays"
    assert quantify.main([
        str(tmp_path / "ko"), str(tmp_path / "wt"), "--overlays", str(overlays)
    ]) == 0  # fmt: skip
    names = sorted(path.name for path in overlays.iterdir())
    assert names == ["ko_cell.png", "other.png", "wt_cell.png"]


@pytest.mark.parametrize(
    ("inputs", "stems"),
    [
        pytest.param(["ko/a.tif", "wt/b.tif"], ["a", "b"], id="names-of-their-own"),
        pytest.param(["ko/a.tif", "wt/a.tif"], ["ko_a", "wt_a"], id="a-name-in-two-folders"),
        pytest.param(["ko/a.tif", "wt/A.tif"], ["ko_a", "wt_A"], id="but-for-case"),
        pytest.param(["ko/a.tif", "ko/a.png"], ["ko_a", "ko_a_2"], id="in-one-folder"),
        pytest.param(
            ["m1/wt/a.tif", "m2/wt/a.tif", "m1/ko/a.tif"],
            ["m1_wt_a", "m2_wt_a", "m1_ko_a"],
            id="folders-of-one-name",
        ),
        pytest.param(
            ["ko/a.tif", "wt/a.tif", "x/ko_A.tif"], ["ko_a_2", "wt_a", "ko_A"], id="name-is-taken"
        ),
    ],
)
def test_names_of_results(inputs, stems):
    names = FileNames([Path(path) for path in inputs])
    assert [names.stems[Path(path)] for path in inputs] == stems
    assert len({stem.casefold() for stem in stems}) == len(stems)


def test_zips_of_equal_names_go_back_to_their_own_images(tmp_path, capsys):
    squares = {"m1/ko": (10, 10, 20), "m1/wt": (70, 40, 30), "m2/wt": (30, 30, 25)}
    for name, square in squares.items():
        (tmp_path / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / name / "cell.png"), micrograph(square))
    rois = tmp_path / "rois"
    assert quantify.main([*(str(tmp_path / name) for name in squares), "--rois", str(rois)]) == 0
    zips = sorted(path.name for path in rois.iterdir())
    assert zips == ["m1_ko_cell.zip", "m1_wt_cell.zip", "m2_wt_cell.zip"]
    for name, (x, y, edge) in squares.items():
        coco = tmp_path / f"{name.replace('/', '_')}.json"
        convert_roi.main([str(rois), "--images", str(tmp_path / name), "-o", str(coco)])
        (image,) = read_coco(coco)
        assert image.image.endswith(f"{name}/cell.png")
        assert [rle.box_xywh(mask) for mask in image.masks] == [(x, y, edge, edge)]


def test_roi_zips_one_an_image_and_one_a_stack(folder, tmp_path, capsys):
    pages = np.stack([micrograph((5, 5, 12)), micrograph(), micrograph((40, 30, 9), (80, 9, 9))])
    tifffile.imwrite(folder / "stack.tif", pages, imagej=True, metadata={"axes": "ZYX"})
    arguments = [folder, "--rois", tmp_path / "rois", "--coco", tmp_path / "out.json"]
    assert quantify.main([*map(str, arguments), "--score-threshold", "0.3"]) == 0
    zips = sorted(path.name for path in (tmp_path / "rois").iterdir())
    assert zips == ["a.zip", "b10.zip", "b2.zip", "stack.zip"]
    rois = list(read_rois(tmp_path / "rois" / "stack.zip"))
    assert [roi.name for roi in rois] == ["0001-0001-0.90", "0003-0001-0.90", "0003-0002-0.40"]
    assert [roi.position.index for roi in rois] == [1, 3, 3]
    assert [roi.name for roi in read_rois(tmp_path / "rois" / "b2.zip")] == [
        "0001-0.90",
        "0002-0.40",
    ]
    for page in read_coco(tmp_path / "out.json"):
        found = [roi.rings for roi in _of_page(tmp_path / "rois", page)]
        assert [rasterise(rings, page.image_hw, "x").rle for rings in found] == list(page.masks)


def _of_page(folder, page):
    rois = read_rois(folder / f"{page.image.rsplit('/', 1)[1].split('.')[0]}.zip")
    return [roi for roi in rois if roi.position.index in (0, page.frame + 1)]
