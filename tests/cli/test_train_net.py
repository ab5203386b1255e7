import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("detectron2")

from mito_instance.cli import train_net
from mito_instance.synthetic import write_dataset

CONFIG = Path(__file__).parents[2] / "configs" / "mask_rcnn_light.yaml"
TINY = [
    "MODEL.DEVICE", "cpu", "MODEL.FPN.OUT_CHANNELS", "8", "MODEL.ROI_BOX_HEAD.FC_DIM", "16",
    "MODEL.ROI_MASK_HEAD.CONV_DIM", "8", "MODEL.ROI_MASK_HEAD.NUM_CONV", "1",
    "MODEL.RPN.POST_NMS_TOPK_TEST", "20", "MITO.AUGMENT.CROP_PX", "64", "SOLVER.MAX_ITER", "2",
    "SOLVER.IMS_PER_BATCH", "1", "DATALOADER.NUM_WORKERS", "0", "TEST.EVAL_PERIOD", "0",
]  # fmt: skip


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"), 2, seed=1, image_hw=(96, 96), count=2)


def test_training_then_eval_only(truth, tmp_path, capfd, caplog):
    output = tmp_path / "run"
    words = ["--config-file", str(CONFIG), "--val", str(truth)]
    status = train_net.main(
        [*words, "--train", str(truth), *TINY, "MODEL.WEIGHTS", "", "OUTPUT_DIR", str(output)]
    )
    captured = capfd.readouterr()
    assert status == 0
    assert captured.out.strip() == str(output / "model")
    assert {path.name for path in (output / "model").iterdir()} == {
        "model.safetensors", "config.yaml", "MODEL_CARD.md", "images.csv"
    }  # fmt: skip
    with (output / "model" / "images.csv").open() as file:
        rows = list(csv.DictReader(file))
    images = sorted(truth.parent.glob("*.tif"))
    assert [(row["part"], row["image"], row["page"]) for row in rows] == [
        (part, path.name, "1") for part in ("training", "validation") for path in images
    ]
    digest = hashlib.sha256(images[0].read_bytes()).hexdigest()
    assert (rows[0]["sha256"], rows[0]["bytes"]) == (digest, str(images[0].stat().st_size))
    assert str(tmp_path) not in (output / "model" / "images.csv").read_text()
    assert "total_loss" in caplog.text

    weights = ["MODEL.WEIGHTS", str(output / "model")]
    status = train_net.main(
        [*words, "--eval-only", *TINY, *weights, "OUTPUT_DIR", str(tmp_path / "eval")]
    )
    captured = capfd.readouterr()
    assert status == 0
    names = {line.split("\t")[0] for line in captured.out.strip().splitlines()}
    assert {"ap", "ap50", "iou_foreground", "count_mae", "score_threshold"} <= names
    stored = json.loads((tmp_path / "eval" / "validation.json").read_text())
    assert all(np.isfinite(value) for value in stored.values())


def test_a_model_is_measured_as_it_is_used(truth, tmp_path, capfd):
    """Its own config and threshold count, although others would suit these images better."""
    words = ["--config-file", str(CONFIG), "--train", str(truth), *TINY, "MODEL.WEIGHTS", ""]
    output = tmp_path / "run"
    assert train_net.main([*words, "OUTPUT_DIR", str(output), "MITO.SCORE_THRESHOLD", "0.06"]) == 0
    words = ["--eval-only", "--val", str(truth), "MODEL.WEIGHTS", str(output / "model")]
    assert train_net.main([*words, "OUTPUT_DIR", str(tmp_path / "eval")]) == 0
    assert "score_threshold\t0.0600" in capfd.readouterr().out
    words += ["OUTPUT_DIR", str(tmp_path / "eval"), "MITO.SCORE_THRESHOLD", "0.7"]
    assert train_net.main(words) == 0
    assert "score_threshold\t0.7000" in capfd.readouterr().out


def test_images_on_both_sides_are_said(truth, tmp_path, capfd, caplog):
    words = ["--config-file", str(CONFIG), "--train", str(truth), "--val", str(truth), *TINY]
    words += ["MODEL.WEIGHTS", "", "OUTPUT_DIR", str(tmp_path / "run"), "SOLVER.MAX_ITER", "1"]
    assert train_net.main(words) == 0
    assert "2 of 2 validation images are trained on too" in caplog.text
    card = (tmp_path / "run" / "model" / "MODEL_CARD.md").read_text()
    assert "2 of 2 validation images are trained on too" in card


def test_images_that_the_start_had_learned_are_said_over_generations(truth, tmp_path, caplog):
    other = write_dataset(tmp_path / "other", 2, seed=5, image_hw=(96, 96), count=2)

    def run(name, train, weights, *more):
        words = ["--config-file", str(CONFIG), "--train", str(train), *more, *TINY]
        words += ["MODEL.WEIGHTS", str(weights), "OUTPUT_DIR", str(tmp_path / name)]
        assert train_net.main([*words, "SOLVER.MAX_ITER", "1"]) == 0
        return tmp_path / name / "model"

    first = run("first", truth, "")
    second = run("second", other, first)
    with (second / "images.csv").open() as file:
        assert [row["part"] for row in csv.DictReader(file)] == ["training"] * 2 + ["start"] * 2
    assert "are measured on are among" not in caplog.text
    third = run("third", other, second, "--val", str(truth))
    text = "2 of 2 images that are measured on are among those that the model at the start learned"
    assert text in caplog.text
    assert text in (third / "MODEL_CARD.md").read_text()


def test_a_start_in_the_folder_of_the_training_is_known_at_its_end(truth, tmp_path):
    other = write_dataset(tmp_path / "other", 1, seed=5, image_hw=(96, 96), count=2)
    for train, weights in ((truth, ""), (other, str(tmp_path / "run" / "model"))):
        words = ["--config-file", str(CONFIG), "--train", str(train), *TINY]
        words += ["MODEL.WEIGHTS", weights, "OUTPUT_DIR", str(tmp_path / "run")]
        assert train_net.main([*words, "SOLVER.MAX_ITER", "1"]) == 0
    with (tmp_path / "run" / "model" / "images.csv").open() as file:
        assert [row["part"] for row in csv.DictReader(file)] == ["training", "start", "start"]


def test_look_alikes_of_validation_images_are_said(truth, tmp_path, capfd, caplog):
    train = write_dataset(tmp_path / "train", 2, seed=5, image_hw=(96, 96), count=2)
    words = ["--config-file", str(CONFIG), "--train", str(train), "--val", str(truth), *TINY]
    words += ["MODEL.WEIGHTS", "", "OUTPUT_DIR", str(tmp_path / "run"), "SOLVER.MAX_ITER", "1"]
    words += ["MITO.AUGMENT.COPY_PASTE_MAX", "1", "MITO.AUGMENT.LOOKALIKES", f"('{truth}',)"]
    assert train_net.main(words) == 0
    assert "2 of 2 validation images are trained on too" in caplog.text
    card = (tmp_path / "run" / "model" / "MODEL_CARD.md").read_text()
    assert f"| `{truth.name}` | look-alikes | 2 |" in card


@pytest.mark.parametrize(
    ("words", "overrides", "message"),
    [
        pytest.param([], [], "DATASETS.TRAIN: nothing to train on; pass --train", id="no-data"),
        pytest.param(["--eval-only"], [], "--eval-only: nothing to measure on", id="no-truth"),
        pytest.param(["--train", "absent.json"], [], "absent.json", id="missing-json"),
        pytest.param(["--train", "{bad}"], [], "bad.json", id="json-without-images"),
        pytest.param(
            ["--train", "{truth}"], ["MODEL.WEIGHTS", "gone.pth"], "gone.pth", id="missing-weights"
        ),
        pytest.param(["--train", "{truth}"], ["SOLVER.NO_KEY", "1"], "SOLVER.NO_KEY", id="bad-key"),
        pytest.param(
            ["--train", "{truth}"], ["MITO.EMA_DECAY", "1"], "MITO.EMA_DECAY: must", id="range"
        ),
        pytest.param(
            ["--train", "{truth}", "--val", "{truth}", "--val", "{truth}"],
            [],
            "synthetic_000.tif: page 1 is given twice with --val (DATASETS.TEST); leave one out",
            id="measured-twice",
        ),
        pytest.param(
            ["--train", "{truth}", "--num-gpus", "2"],
            [],
            "--num-gpus 2: this training runs on the CPU",
            id="gpus-that-are-not-there",
        ),
        pytest.param(
            ["--eval-only", "--val", "{truth}", "--num-gpus", "2"],
            [],
            "--eval-only: one process measures, not those of --num-gpus 2 and --num-machines 1",
            id="several-processes-that-measure",
        ),
        pytest.param(
            ["--train", "{truth}", "--num-machines", "2"],
            [],
            "--num-machines 2: --dist-url auto works on one machine only",
            id="machines-without-address",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_2(truth, tmp_path, capfd, words, overrides, message):
    bad = tmp_path / "bad.json"
    bad.write_text('{"annotations": []}')
    filled = [word.format(truth=truth, bad=bad) for word in words]
    output = ["OUTPUT_DIR", str(tmp_path / "run")]
    status = train_net.main(["--config-file", str(CONFIG), *filled, *TINY, *output, *overrides])
    assert status == 2
    errors = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert message in errors[0]


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["--resume", "A.B", "1", "C.D", "-0.5"], id="option-first"),
        pytest.param(["A.B", "1", "--resume", "C.D", "-0.5"], id="option-between"),
        pytest.param(["A.B", "1", "C.D", "-0.5", "--resume"], id="option-last"),
        pytest.param(["--resume", "--", "A.B", "1", "C.D", "-0.5"], id="two-dashes"),
    ],
)
def test_options_may_stand_anywhere_among_the_overrides(monkeypatch, words):
    parsed = []
    monkeypatch.setattr(train_net, "_train", lambda args: parsed.append(args) or 0)
    assert train_net.main(["--config-file", "a.yaml", *words]) == 0
    assert parsed[0].resume
    assert parsed[0].opts == ["A.B", "1", "C.D", "-0.5"]


def test_a_training_needs_a_config(truth, tmp_path, capfd):
    words = ["--train", str(truth), "OUTPUT_DIR", str(tmp_path / "run"), *TINY]
    assert train_net.main(words) == 2
    assert "error: --config-file: give the config of the training" in capfd.readouterr().err
