"""The command convert_masks: files, exit status, messages."""

from __future__ import annotations

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mito_instance.annotations import from_masks
from mito_instance.cli.convert_masks import build_parser, main
from mito_instance.errors import ConfigError
from mito_instance.visualize import cut_preview


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array)
    return path


@pytest.fixture
def folders(tmp_path):
    mask = np.zeros((20, 30), np.uint8)
    mask[2:6, 3:8] = 255
    mask[10:13, 20:26] = 255
    for name, content in (("a", mask), ("b", mask * 0)):
        save(tmp_path / "images" / f"{name}.png", np.full((20, 30), 90, np.uint8))
        save(tmp_path / "masks" / f"{name}_mask.png", content)
    return tmp_path


def run(folder, *extra, output="out.json"):
    paths = ["--images", folder / "images", "--masks", folder / "masks", "-o", folder / output]
    return main([str(item) for item in (*paths, *extra)])


def test_converts(folders, capsys):
    assert run(folders, "--pixel-size-nm", "5") == 0
    document = json.loads((folders / "out.json").read_text())
    first, second = document["images"]
    assert (first["file_name"], first["width"], first["pixel_size_nm"]) == ("images/a.png", 30, 5.0)
    assert second["file_name"] == "images/b.png"
    assert [entry["area"] for entry in document["annotations"]] == [20, 18]
    assert [coco_mask.area(entry["segmentation"]) for entry in document["annotations"]] == [20, 18]
    output = capsys.readouterr()
    assert output.out == ""
    assert "out.json: 2 instances on 2 images, 1 of them empty, 0 failures" in output.err
    table = [line.split() for line in output.err.splitlines()[:3]]
    assert table[0] == ["mask", "instances", "specks", "cuts", "saw", "did"]
    assert table[1] == ["a_mask.png", "2", "2", "8-bit:", "0", "and", "255", "components"]
    assert table[2][:3] == ["b_mask.png", "0", "0"]


def test_equal_input_gives_equal_bytes(folders):
    run(folders)
    first = (folders / "out.json").read_bytes()
    run(folders)
    assert (folders / "out.json").read_bytes() == first


def test_files_without_partner_are_named(folders, capsys):
    save(folders / "images" / "lonely.png", np.zeros((20, 30), np.uint8))
    save(folders / "masks" / "other.png", np.zeros((20, 30), np.uint8))
    assert run(folders) == 1
    error = capsys.readouterr().err
    assert "lonely.png: no mask has its name" in error
    assert "other.png: no image has its name" in error
    assert len(json.loads((folders / "out.json").read_text())["images"]) == 2


def test_a_mask_of_another_size_is_named_and_the_rest_is_converted(folders, capsys):
    save(folders / "masks" / "b_mask.png", np.zeros((29, 30), np.uint8))
    assert run(folders) == 1
    assert "mask is 30 x 29 px but its image" in capsys.readouterr().err
    assert len(json.loads((folders / "out.json").read_text())["images"]) == 1


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        pytest.param(["--images", "none"], "error: none: no such file or folder", id="no-images"),
        pytest.param(["--pixel-size-nm", "-1"], "error: pixel size (user): must be", id="size"),
        pytest.param(["--min-area-px", "0"], "error: min_area_px must be >= 1 px", id="area"),
        pytest.param(["--watershed-depth", "0"], "error: watershed_depth_px must be > 0", id="ws"),
    ],
)
def test_nothing_can_be_done(folders, capsys, extra, message):
    assert run(folders, *extra) == 2
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert error.count("\n") == 1
    assert not (folders / "out.json").exists()


def test_no_pairs(folders, capsys):
    for name in ("a_mask.png", "b_mask.png"):
        (folders / "masks" / name).rename(folders / "masks" / f"un{name}")
    assert run(folders) == 2
    error = capsys.readouterr().err
    assert "none of 2 masks has the name of one of the 2 images" in error
    assert error.count("\n") == 1


def test_empty_folder(folders, capsys):
    for path in (folders / "masks").iterdir():
        path.unlink()
    assert run(folders) == 2
    assert "folder holds no image" in capsys.readouterr().err


def test_only_bad_masks(folders, capsys):
    for path in (folders / "masks").iterdir():
        path.write_bytes(b"nothing")
    assert run(folders) == 2
    error = capsys.readouterr().err
    assert "error: " in error
    assert "Traceback" not in error
    assert not (folders / "out.json").exists()


def test_help_has_an_example(capsys):
    with pytest.raises(SystemExit) as status:
        build_parser().parse_args(["--help"])
    assert status.value.code == 0
    assert "example:\n  mito convert-masks" in capsys.readouterr().out


def test_a_dry_run_writes_nothing(folders, capsys):
    before = sorted(folders.rglob("*"))
    paths = ["--images", folders / "images", "--masks", folders / "masks"]
    arguments = [*paths, "--dry-run", "--preview", folders / "preview"]
    assert main([str(item) for item in arguments]) == 0
    assert sorted(folders.rglob("*")) == before
    assert "dry run, nothing written: 2 instances on 2 images" in capsys.readouterr().err
    assert main([str(item) for item in paths]) == 2
    assert "error: -o JSON is missing" in capsys.readouterr().err


def test_repairs_are_in_the_table_and_strict_refuses_the_first(folders, capsys):
    mask = cv2.imread(str(folders / "masks" / "a_mask.png"), 0)
    save(folders / "masks" / "a_mask.png", 255 - mask)
    assert run(folders) == 0
    assert "REPAIRED inverted: bright is 94% and surrounds the rest" in capsys.readouterr().err
    (folders / "out.json").unlink()
    assert run(folders, "--strict") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "a_mask.png: needs a repair, which --strict refuses: inverted" in error
    assert error.count("\n") == 1
    assert not (folders / "out.json").exists()


def test_previews_show_cuts_in_red(folders, capsys):
    mask = np.zeros((20, 30), np.uint8)
    cv2.circle(mask, (8, 10), 6, 255, -1)
    cv2.circle(mask, (20, 10), 6, 255, -1)
    save(folders / "masks" / "a_mask.png", mask)
    assert run(folders, "--instances", "watershed", "--preview", str(folders / "cuts")) == 0
    assert "1 cuts through touching objects" in capsys.readouterr().err
    pictures = sorted((folders / "cuts").iterdir())
    assert [path.name for path in pictures] == ["0001_a_1.png", "0002_b_1.png"]
    red = [(cv2.imread(str(path)) == (0, 0, 255)).all(axis=2) for path in pictures]
    assert 0 < red[0][7:14, 12:17].sum() < 20  # the cut, two columns of pixels
    assert red[0][10, [3, 4, 5, 23, 24, 25]].any()  # the ring around it
    assert not red[1].any()


@pytest.mark.parametrize("output", ["images", "a_file/out.json"])
def test_an_output_that_cannot_be_written_is_told_first(folders, capsys, monkeypatch, output):
    (folders / "a_file").touch()
    monkeypatch.setattr(from_masks, "convert_mask_pairs", lambda *_: pytest.fail("converted"))
    assert run(folders, output=output) == 2
    assert capsys.readouterr().err.count("error: ") == 1


@pytest.mark.parametrize("place", ["images", "masks"])
def test_previews_do_not_lie_among_images(folders, capsys, place):
    assert run(folders, "--preview", str(folders / place)) == 2
    assert "images or masks lie there, and its pictures" in capsys.readouterr().err


def test_a_preview_that_fails_costs_no_json(folders, monkeypatch, capsys):
    def fail(*_):
        raise ConfigError("cuts/0001_a_1.png: cannot write the output")

    monkeypatch.setattr(cut_preview, "write_cut_preview", fail)
    assert run(folders, "--preview", str(folders / "cuts")) == 2
    assert (folders / "out.json").exists()


def test_starts_without_torch():
    code = "import sys, mito_instance.cli.convert_masks; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def n_instances(folder, mask, *options):
    save(folder / "masks" / "a_mask.png", mask)
    assert run(folder, *options) == 0
    document = json.loads((folder / "out.json").read_text())
    areas = [entry["area"] for entry in document["annotations"]]
    return len(areas), sum(areas)


def test_options_of_masks_do_what_they_say(folders):
    mask = np.zeros((20, 30), np.uint8)
    mask[2:8, 2:8] = mask[8:14, 8:14] = 255  # two that touch at a corner
    mask[4, 4] = 0  # a pinhole
    assert n_instances(folders, mask, "--connectivity", "8") == (1, 71)
    assert n_instances(folders, mask, "--connectivity", "4") == (2, 71)
    assert n_instances(folders, mask, "--connectivity", "4", "--fill-pinholes", "4") == (2, 72)
    bright = np.full((20, 30), 255, np.uint8)
    bright[5:9, 5:9] = 0
    assert n_instances(folders, bright) == (1, 16)
    assert n_instances(folders, bright, "--foreground", "bright") == (1, 600 - 16)
    (folders / "masks" / "b_mask.png").rename(folders / "masks" / "z.png")
    assert n_instances(folders, bright, "--pair-by", "order") == (1, 16)
