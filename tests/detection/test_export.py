"""What a model folder says of the model: classes, pixel size, arithmetic."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("detectron2")

from mito_instance.detection import weights  # noqa: E402
from mito_instance.detection.config import load_config  # noqa: E402
from mito_instance.detection.data import load_records  # noqa: E402
from mito_instance.detection.export import export_model, with_data  # noqa: E402
from mito_instance.detection.model import build_network  # noqa: E402
from mito_instance.detection.model_card import DataFile, TrainingRecord, model_card  # noqa: E402
from mito_instance.detection.predictor import load_predictor  # noqa: E402
from mito_instance.errors import ConfigError, DiskFullError  # noqa: E402
from mito_instance.inference.pipeline import predict_page  # noqa: E402
from mito_instance.io.images import read_page  # noqa: E402

TWO = ["MODEL.ROI_HEADS.NUM_CLASSES", "2"]


@pytest.fixture
def cfg(light_config, tiny_overrides):
    return load_config(light_config, tiny_overrides)


@pytest.mark.parametrize(
    ("given", "stored"), [("fp16", "auto"), ("bf16", "auto"), ("fp32", "fp32")]
)
def test_a_model_of_a_gpu_predicts_elsewhere(cfg, light_config, tmp_path, given, stored):
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MITO.PRECISION = given
    export_model(cfg, torch.nn.Conv2d(1, 1, 1), tmp_path, 0.5)
    assert stored == load_config(tmp_path / "config.yaml").MITO.PRECISION


def test_a_model_knows_the_names_of_its_classes(light_config, tiny_overrides, dataset, tmp_path):
    cfg = load_config(light_config, [*tiny_overrides, *TWO])
    records = load_records([str(dataset)], cfg)
    names = {1: "healthy", 2: "swollen"}
    records = [replace(record, category_names=names) for record in records]
    network = build_network(cfg)
    export_model(with_data(cfg, records), network, tmp_path / "model", 0.0)
    predictor = load_predictor(tmp_path / "model")
    assert predictor.category_names == names
    found = predict_page(predictor, read_page(Path(records[0].image), 0), score_threshold=0.0)
    assert found.category_names == names
    assert "| classes | healthy, swollen |" in (tmp_path / "model/MODEL_CARD.md").read_text()


def test_images_without_instances_name_no_class(light_config, tiny_overrides, dataset):
    """Another tool may have numbered the classes of a file of negatives otherwise."""
    cfg = load_config(light_config, [*tiny_overrides, *TWO])
    shown, *_, none = load_records([str(dataset)], cfg)
    named = replace(shown, category_names={1: "healthy", 2: "swollen"})
    negative = replace(none.select([]), category_names={1: "swollen", 2: "healthy"})
    assert with_data(cfg, [named, negative]).MITO.CLASS_NAMES == ("healthy", "swollen")


def test_a_card_names_files_that_are_not_utf8(cfg, tmp_path):
    record = TrainingRecord(
        start="", seed=1, step=1, steps_done=1, steps_planned=1, files=(), validation={},
        notes=(f"learned from {os.fsdecode(b'5' + bytes([0xB5]) + b'm.tif')}",),
    )  # fmt: skip
    export_model(cfg, torch.nn.Conv2d(1, 1, 1), tmp_path, 0.5, record)
    assert "learned from 5\\udcb5m.tif" in (tmp_path / "MODEL_CARD.md").read_text()


def test_names_that_the_data_lacks_come_from_the_model_before(light_config, tiny_overrides):
    words = [*tiny_overrides, *TWO, "MITO.CLASS_NAMES", "('a', 'b')"]
    assert with_data(load_config(light_config, words), []).MITO.CLASS_NAMES == ("a", "b")
    words = [*tiny_overrides, *TWO]
    named = with_data(load_config(light_config, words), []).MITO.CLASS_NAMES
    assert named == ("mitochondrion", "category 2")


@pytest.mark.parametrize(
    ("n_sized", "nm", "row"),
    [
        (0, 0.0, "as in the images; none is resampled"),
        (1, 5.0, "5 nm; 2 of 3 training images stated none: taken as they are"),
        (3, 5.0, "5 nm"),
    ],
)
def test_pixels_of_no_known_size_are_not_called_5_nm(cfg, dataset, tmp_path, n_sized, nm, row):
    records = load_records([str(dataset)], cfg)
    size = next(record.pixel_size for record in records if record.pixel_size)
    records = [
        replace(record, pixel_size=size if number < n_sized else None)
        for number, record in enumerate(records)
    ]
    learned = with_data(cfg, records)
    assert nm == learned.MITO.PIXEL_SIZE_NM
    training = DataFile.describe(dataset, "training", records)
    other = DataFile.describe(dataset, "validation", [replace(records[0], pixel_size=None)])
    record = TrainingRecord((training, other), "", 1, 3, 3, 3)
    export_model(learned, torch.nn.Conv2d(1, 1, 1), tmp_path, 0.5, record)
    files = (tmp_path / "model.safetensors", tmp_path / "config.yaml")
    assert f"| pixel size | {row} |" in model_card(learned, *files, record)


def test_a_category_0_of_the_data_moves_no_name(cfg, dataset):
    records = load_records([str(dataset)], cfg)
    names = {0: "background", 1: "mitochondrion"}
    records = [replace(record, category_names=names) for record in records]
    assert with_data(cfg, records).MITO.CLASS_NAMES == ("mitochondrion",)


@pytest.mark.parametrize(
    ("text", "error", "reason"),
    [
        ("I/O error: No space left on device (os error 28)", DiskFullError, "No space left on"),
        ("I/O error: something else", ConfigError, "something else"),
    ],
)
def test_weights_that_cannot_be_written_are_one_line(
    cfg, tmp_path, monkeypatch, text, error, reason
):
    def fail(*args, **kwargs):
        raise weights.SafetensorError(f"Error while serializing: {text}")

    monkeypatch.setattr(weights, "save_file", fail)
    message = rf"model.safetensors: cannot write the output \(.*{reason}"
    with pytest.raises(error, match=message):
        export_model(cfg, torch.nn.Conv2d(1, 1, 1), tmp_path / "model", 0.5)
    assert not any((tmp_path / "model").iterdir())


@pytest.mark.parametrize(
    ("figures", "origin", "sentence"),
    [
        ({"ap": 0.5, "score_threshold": 0.5}, "chosen on validation", "chose the score threshold,"),
        ({"ap": 0.0, "f1_50": 0.0}, "not chosen on this data", "score threshold is not chosen"),
        ({}, "not chosen on this data", "None: the model was not measured"),
    ],
)
def test_a_threshold_that_nothing_chose_is_not_called_chosen(
    cfg, dataset, tmp_path, figures, origin, sentence
):
    record = TrainingRecord((), "", 1, 3, 3, 3, figures)
    export_model(cfg, torch.nn.Conv2d(1, 1, 1), tmp_path, 0.5, record)
    card = (tmp_path / "MODEL_CARD.md").read_text()
    assert f"| score threshold | 0.5 ({origin}) |" in card
    assert sentence in card
    assert ("The validation images chose" in card) == ("score_threshold" in figures)


def test_a_training_keeps_no_sizes_of_another_model(light_config):
    cfg = load_config(light_config, ["MITO.FAMILIAR_PX", "(28, 90)"])
    assert with_data(cfg, []).MITO.FAMILIAR_PX == ()
