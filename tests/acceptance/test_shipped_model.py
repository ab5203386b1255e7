"""The main job as a user runs it: installed command, shipped model, nothing else configured."""

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from mito_instance import load_model, quantify
from mito_instance.io.coco import read_coco, write_coco
from mito_instance.masks import rle
from mito_instance.synthetic.micrograph import make_micrograph

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]

TOOLS = Path(__file__).parents[2] / "tools"


def run(tool, *arguments):
    """Run a tool of the checkout in a process of its own."""
    return subprocess.run(
        [sys.executable, str(TOOLS / tool), *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


@pytest.fixture(scope="module")
def truth(shared_data, tmp_path_factory):
    """Components of at least 25 px of the 25 validation slices that the model never saw."""
    folder = tmp_path_factory.mktemp("truth")
    epfl = shared_data / "epfl_ca1"
    made = run(
        "convert_masks.py", "--images", epfl / "images", "--masks", epfl / "masks",
        "-o", folder / "all.json",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    kept = [
        image.select([rle.area_px(mask) >= 25 for mask in image.masks])
        for image in read_coco(folder / "all.json")
        if Path(image.image).stem >= "141"
    ]
    assert len(kept) == 25
    write_coco(folder / "validation.json", kept)
    return folder / "validation.json"


def test_validation_slices_reach_the_promised_figures(truth, shared_data, tmp_path, detectron2):
    images = [shared_data / "epfl_ca1" / "images" / f"{n:03d}.png" for n in range(141, 166)]
    counted = run("quantify.py", *images, "--coco", tmp_path / "pred.json")
    assert counted.returncode == 0, counted.stderr
    rows = list(csv.DictReader(io.StringIO(counted.stdout)))
    assert len(rows) == 25
    assert all(row["status"] == "ok" and row["area_total_um2"] == "" for row in rows)

    scored = run("evaluate.py", truth, tmp_path / "pred.json", "-o", tmp_path / "evaluation")
    assert scored.returncode == 0, scored.stderr
    figures = json.loads((tmp_path / "evaluation" / "metrics.json").read_text(encoding="utf-8"))
    # What the model card promises, less what another CPU's arithmetic may change.
    assert figures["ap"] >= 0.79
    assert figures["ap50"] >= 0.94
    assert figures["ap75"] >= 0.92
    assert figures["iou_foreground"] >= 0.88
    assert figures["f1_50"] >= 0.94
    assert figures["count_mae"] <= 0.8
    assert figures["n_pred"] == sum(int(row["count"]) for row in rows)


def test_another_tissue_reaches_the_promised_figures(shared_data, tmp_path, detectron2):
    source = shared_data / "cdeep3m" / "a"
    folders = {"images": tmp_path / "images", "labels": tmp_path / "labels"}
    for name, folder in folders.items():
        folder.mkdir()
        for path in (source / name).iterdir():
            if re.search(r"01[789]\D*$", path.name):  # not trained on
                (folder / path.name).write_bytes(path.read_bytes())
    made = run(
        "convert_masks.py", "--images", folders["images"], "--masks", folders["labels"],
        "-o", tmp_path / "truth.json",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    counted = run("quantify.py", folders["images"], "--coco", tmp_path / "pred.json")
    assert counted.returncode == 0, counted.stderr
    words = [tmp_path / "truth.json", tmp_path / "pred.json", "--min-area-px", "25"]
    assert run("evaluate.py", *words, "-o", tmp_path / "e").returncode == 0
    figures = json.loads((tmp_path / "e" / "metrics.json").read_text(encoding="utf-8"))
    assert figures["n_images"] == 3
    # What the model card promises, less what another CPU's arithmetic may change.
    assert figures["iou_foreground"] >= 0.74
    assert figures["f1_50"] >= 0.84


def test_the_demo_counts_synthetic_micrographs(tmp_path, detectron2):
    done = subprocess.run(
        [sys.executable, "-m", "mito_instance.cli", "demo", "--n-images", "2",
         "-o", str(tmp_path / "demo")],
        capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    counts = (tmp_path / "demo" / "counts.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(counts)))
    assert all(int(row["count"]) > 0 and float(row["area_total_um2"]) > 0 for row in rows)
    figures = json.loads((tmp_path / "demo" / "evaluation" / "metrics.json").read_text())
    assert figures["f1_50"] >= 0.85
    assert "overlays" in done.stdout


def test_two_copies_of_the_model_count_what_one_counts(tmp_path, detectron2):
    drawn = make_micrograph(np.random.default_rng(2), (260, 340))
    cv2.imwrite(str(tmp_path / "a.png"), drawn.image)
    settings = {"tile_px": 192, "score_threshold": 0.1}
    one = quantify(tmp_path / "a.png", load_model(device="cpu"), **settings)
    two = quantify(tmp_path / "a.png", load_model(device="cpu,cpu"), **settings)
    assert one.objects
    assert two.objects == one.objects
    assert [i.masks for i in two.instances] == [i.masks for i in one.instances]
