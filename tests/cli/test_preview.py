from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("detectron2")

from mito_instance.cli.preview import main
from mito_instance.synthetic import write_dataset

CONFIGS = Path(__file__).parents[2] / "configs"
RECIPES = sorted(CONFIGS.glob("mask_rcnn*.yaml"))


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    folder = tmp_path_factory.mktemp("micrographs")
    return write_dataset(folder, 2, seed=3, image_hw=(150, 200), count=4)


def preview(config, truth, sheet, *words):
    arguments = ["--config-file", str(config), "--train", str(truth), "-o", str(sheet)]
    return main([*arguments, "--rows", "1", "--columns", "2", *words])


@pytest.mark.parametrize("config", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_has_a_preview(config, truth, tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    assert preview(config, truth, sheet) == 0
    assert capsys.readouterr().out == f"{sheet}\n"
    drawn = cv2.imread(str(sheet))
    assert (drawn.max(axis=2) != drawn.min(axis=2)).any()  # coloured outlines


@pytest.mark.parametrize("name", ["unet2d", "unet3d"])
def test_semantic_recipes_have_one_too(name, truth, tmp_path):
    sheet = tmp_path / "sheet.png"
    config = CONFIGS / "semantic" / f"{name}.yaml"
    assert preview(config, truth, sheet, "MITO.AUGMENT.CROP_ON_INSTANCE", "1.0") == 0
    drawn = cv2.imread(str(sheet))
    assert (drawn.max(axis=2) != drawn.min(axis=2)).any()


def test_the_seed_decides_what_is_seen(truth, tmp_path):
    config = CONFIGS / "mask_rcnn_light.yaml"
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert preview(config, truth, tmp_path / f"{name}.png", "--seed", seed) == 0
    a, b, c = (cv2.imread(str(tmp_path / f"{name}.png")) for name in "abc")
    assert np.array_equal(a, b)
    assert not (a.shape == c.shape and np.array_equal(a, c))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["MITO.AUGMENT.ROTATION_DEG", "60.0"], "from 0 to 45, got 60", id="range"),
        pytest.param(["NO.SUCH", "1"], "NO.SUCH", id="unknown-key"),
        pytest.param(["--train", "/none.json"], "none.json", id="no-file"),
    ],
)
def test_misuse_is_one_line(truth, tmp_path, capsys, words, message):
    assert preview(CONFIGS / "mask_rcnn_light.yaml", truth, tmp_path / "a.png", *words) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert line.startswith("error: ")
    assert message in line
    assert not (tmp_path / "a.png").exists()


def test_an_image_is_not_replaced(truth, capsys):
    picture = cv2.imread(str(truth.parent / "synthetic_000.tif"), cv2.IMREAD_UNCHANGED)
    png = truth.parent / "synthetic_000.png"
    cv2.imwrite(str(png), picture)
    before = png.read_bytes()
    document = truth.read_text().replace("synthetic_000.tif", "synthetic_000.png")
    (truth.parent / "png.json").write_text(document)
    assert preview(CONFIGS / "mask_rcnn_light.yaml", truth.parent / "png.json", png) == 2
    assert "is one of the images; name another file" in capsys.readouterr().err
    assert png.read_bytes() == before


def test_another_format_is_refused_before_any_work(tmp_path, capsys):
    assert preview(tmp_path / "no.yaml", tmp_path / "no.json", tmp_path / "sheet.gif") == 2
    assert "sheet.gif: must end in one of .png" in capsys.readouterr().err


def test_nothing_to_show_is_said(tmp_path, capsys):
    config = CONFIGS / "mask_rcnn_light.yaml"
    assert main(["--config-file", str(config), "-o", str(tmp_path / "a.png")]) == 2
    assert "DATASETS.TRAIN: nothing to show; pass --train JSON" in capsys.readouterr().err
